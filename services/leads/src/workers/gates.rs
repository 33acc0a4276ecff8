//! Opens the gates of deals when contracts or billing tells that something happened (P2).

use std::str::FromStr;

use chrono::{DateTime, Utc};
use otdel_api::{billing::billing_event::Fact as Billed, contracts::contract_event::Fact as Agreed, leads as pb};
use otdel_runtime::{
    call::Act,
    core::Core,
    fault::Fault,
    follow::{Follower, Source, SourceEvent},
    outbox::{self, Change, Fact},
    scope::Scope,
};
use otdel_types::{BadName, DealId, InvoiceId, OrderId};
use sqlx::PgConnection;

use crate::{
    domain::{deal::Deal, pipeline::Gate},
    rpc::{facts::about_deal, present},
    store,
};

/// The follower. Each effect is unique by what it is about: a gate is open once, an order has one invoice; so an event that
/// comes again changes nothing. The order between the two feeds does not matter, because no gate asks for both.
#[derive(Debug)]
pub(crate) struct Gates(pub(crate) Core);

#[tonic::async_trait]
impl Follower for Gates {
    fn name(&self) -> &'static str {
        "leads.gates"
    }

    fn sources(&self) -> &'static [Source] {
        &[Source::Contracts, Source::Billing]
    }

    async fn apply(
        &self,
        db: &mut PgConnection,
        _generation: i64,
        event: &SourceEvent,
        now: DateTime<Utc>,
    ) -> Result<(), Fault> {
        let Some(news) = News::of(event)? else { return Ok(()) };
        let Some(deal) = store::deals::lock(db, &Scope::all(), news.deal).await? else {
            // It was lost with a restore to an earlier state, or never was: there is nothing whose gate could open.
            tracing::warn!(deal = %news.deal, event.r#type = event.fact_type(), "event about an unknown deal skipped");
            return Ok(());
        };
        let act = Act::of_worker(&self.0, self.name(), now).because_of(event.source().name(), event.id());
        let told = Told { act, subject: news.subject.clone() };
        match news.what {
            What::ContractSigned => told.open(db, deal, Gate::ContractSigned).await,
            What::InvoiceIssued(order, invoice) => {
                if !store::gates::note_issued(db, deal.id, order, invoice).await? {
                    return Ok(());
                }
                let deal = told.shut(db, deal, Gate::Paid).await?;
                told.open(db, deal, Gate::InvoiceIssued).await
            }
            What::InvoicePaid(order, invoice) => {
                store::gates::note_paid(db, deal.id, order, invoice).await?;
                if !store::gates::are_all_paid(db, deal.id).await? {
                    return Ok(());
                }
                told.open(db, deal, Gate::Paid).await
            }
        }
    }
}

/// What an event says that a gate asks for.
struct News {
    deal: DealId,
    /// The contract or the invoice.
    subject: String,
    what: What,
}

enum What {
    ContractSigned,
    InvoiceIssued(OrderId, InvoiceId),
    InvoicePaid(OrderId, InvoiceId),
}

impl News {
    /// What an event says, if it says anything of interest. A name that is none is an error: no event is passed over
    /// because it cannot be read.
    fn of(event: &SourceEvent) -> Result<Option<Self>, Fault> {
        let (deal, subject, what) = match event {
            SourceEvent::Contracts(event) => match &event.fact {
                Some(Agreed::ContractSigned(fact)) => (&fact.deal, &fact.contract, What::ContractSigned),
                _ => return Ok(None),
            },
            SourceEvent::Billing(event) => match &event.fact {
                Some(Billed::InvoiceIssued(fact)) => {
                    (&fact.deal, &fact.invoice, What::InvoiceIssued(read(&fact.order)?, read(&fact.invoice)?))
                }
                Some(Billed::InvoicePaid(fact)) => {
                    (&fact.deal, &fact.invoice, What::InvoicePaid(read(&fact.order)?, read(&fact.invoice)?))
                }
                _ => return Ok(None),
            },
            SourceEvent::Leads(_) => return Ok(None),
        };
        Ok(Some(Self { deal: read(deal)?, subject: subject.clone(), what }))
    }
}

fn read<I: FromStr<Err = BadName>>(name: &str) -> Result<I, Fault> {
    name.parse().map_err(Fault::internal)
}

/// An event of another service, as the ground of what happens here.
struct Told {
    act: Act,
    /// The contract or the invoice.
    subject: String,
}

impl Told {
    /// Opens a gate, unless it is open already.
    async fn open(&self, db: &mut PgConnection, deal: Deal, kind: Gate) -> Result<(), Fault> {
        let Some(deal) = deal.open_gate(kind, self.act.causation.clone(), self.act.now) else { return Ok(()) };
        let Some(gate) = deal.open_gates.last() else { return Ok(()) };
        store::deals::save(db, &deal).await?;
        store::gates::open(db, deal.id, gate).await?;
        let fact = pb::DealGateOpened {
            deal: deal.id.to_string(),
            kind: present::gate(kind).into(),
            proof: gate.proof.clone(),
        };
        self.tell(db, about_deal(&deal, fact)).await?;
        Ok(())
    }

    /// Shuts a gate, if it is open.
    async fn shut(&self, db: &mut PgConnection, deal: Deal, kind: Gate) -> Result<Deal, Fault> {
        let Some(shut) = deal.clone().shut_gate(kind, self.act.now) else { return Ok(deal) };
        store::deals::save(db, &shut).await?;
        store::gates::shut(db, shut.id, kind).await?;
        let fact = pb::DealGateShut {
            deal: shut.id.to_string(),
            kind: present::gate(kind).into(),
            proof: self.act.causation.clone(),
        };
        self.tell(db, about_deal(&shut, fact)).await?;
        Ok(shut)
    }

    async fn tell(&self, db: &mut PgConnection, fact: Fact<pb::LeadEvent>) -> sqlx::Result<Change> {
        outbox::append(db, &self.act, fact.touches(&self.subject).changed(["open_gates"])).await
    }
}
