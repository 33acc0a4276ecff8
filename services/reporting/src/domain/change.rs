//! What the facts of other services change in the read model.

use chrono::NaiveDate;
use otdel_types::{ClientId, DealId, InvoiceId, LeadId, Money, PersonId, PipelineId, TeamId};

/// The origin of a lead whose request named none.
pub const NO_ORIGIN: &str = "(missing)";

/// The way a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Channel {
    /// A phone call.
    Phone,
    /// An e-mail.
    Email,
    /// A social network or messenger.
    Social,
    /// The company's own site.
    Site,
    /// A visit to the office.
    WalkIn,
}

impl Channel {
    /// Its name in reports, by which their rows are ordered.
    pub fn name(self) -> &'static str {
        match self {
            Self::Phone => "PHONE",
            Self::Email => "EMAIL",
            Self::Social => "SOCIAL",
            Self::Site => "SITE",
            Self::WalkIn => "WALK_IN",
        }
    }
}

/// What a fact of leads changes. Its tables are written by nothing else, so that the order of facts of other services
/// does not matter to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeadChange {
    /// A request was taken in.
    Received(ReceivedLead),
    /// A lead was given to somebody.
    Given {
        /// The lead.
        lead: LeadId,
        /// Who answers for it now.
        owner: PersonId,
        /// The owner's team.
        team: TeamId,
    },
    /// A lead went to the pool. The team that had it last stays: its head still reaches it.
    Pooled {
        /// The lead.
        lead: LeadId,
    },
    /// A deal was opened.
    Opened(OpenedDeal),
    /// A deal entered a further stage.
    StageEntered {
        /// The deal.
        deal: DealId,
        /// The stage's id.
        stage: String,
    },
    /// A deal was won.
    Won {
        /// The deal.
        deal: DealId,
        /// When, in the business zone.
        date: NaiveDate,
        /// What it is worth, where known.
        amount: Option<Money>,
    },
    /// A deal was lost.
    Lost {
        /// The deal.
        deal: DealId,
    },
}

/// A request that was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedLead {
    /// The lead.
    pub lead: LeadId,
    /// When the request was received, in the business zone.
    pub date: NaiveDate,
    /// The way it came in.
    pub channel: Channel,
    /// What brought the requester; [`NO_ORIGIN`] where the request did not say.
    pub origin: String,
    /// Who answers for it; none while pooled.
    pub owner: Option<PersonId>,
    /// The owner's team.
    pub team: Option<TeamId>,
}

/// A deal that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedDeal {
    /// The deal.
    pub deal: DealId,
    /// The lead it came from.
    pub lead: LeadId,
    /// Who answers for it.
    pub owner: PersonId,
    /// The owner's team.
    pub team: TeamId,
    /// The pipeline version.
    pub pipeline: PipelineId,
    /// The first stage.
    pub stage: String,
    /// When, in the business zone.
    pub date: NaiveDate,
}

/// What a fact of billing changes. Its tables are written by nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BillingChange {
    /// An invoice was issued.
    Issued(IssuedInvoice),
    /// A payment was allocated to invoices.
    Allocated(Allocation),
}

/// An invoice that was issued. All its sums are of one currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedInvoice {
    /// The invoice.
    pub invoice: InvoiceId,
    /// The deal.
    pub deal: DealId,
    /// Who owes.
    pub client: ClientId,
    /// The invoice's date.
    pub date: NaiveDate,
    /// The sum without VAT.
    pub net: Money,
    /// The VAT.
    pub vat: Money,
    /// The sum with VAT.
    pub gross: Money,
}

/// Parts of a payment that pay invoices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// Who paid.
    pub client: ClientId,
    /// When it was allocated, in the business zone.
    pub date: NaiveDate,
    /// The deal of each part's invoice, and how much the part is.
    pub parts: Vec<(DealId, Money)>,
}
