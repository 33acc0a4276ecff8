//! What both sides do: the suite by an RPC, pgbench by a script, each in one call or transaction.

use otdel::cli::Role;

use super::args::What;

/// An operation that both sides can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// A request is submitted.
    Submit,
    /// A contact is logged.
    Contact,
    /// A lead is converted.
    Convert,
    /// A lead is read.
    Get,
    /// 50 leads of a manager are listed.
    List,
    /// An order is confirmed, up to the commit of its invoice.
    Invoice,
    /// A payment is recorded that pays a part of an invoice.
    Payment,
}

/// A number that an operation moves, and the statement that reads it.
pub type Trace = (&'static str, &'static str);

impl Operation {
    /// All of them, in the order in which they are measured.
    pub const ALL: [Self; 7] =
        [Self::Submit, Self::Contact, Self::Convert, Self::Get, Self::List, Self::Invoice, Self::Payment];

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Contact => "contact",
            Self::Convert => "convert",
            Self::Get => "get",
            Self::List => "list",
            Self::Invoice => "invoice",
            Self::Payment => "payment",
        }
    }

    /// Its name on the command line.
    pub fn what(self) -> What {
        match self {
            Self::Submit => What::Submit,
            Self::Contact => What::Contact,
            Self::Convert => What::Convert,
            Self::Get => What::Get,
            Self::List => What::List,
            Self::Invoice => What::Invoice,
            Self::Payment => What::Payment,
        }
    }

    /// The roles that do it. No others run meanwhile, which would follow their feeds.
    pub fn roles(self) -> &'static [Role] {
        match self {
            Self::Submit | Self::Contact | Self::Convert | Self::Get | Self::List => &[Role::Leads],
            Self::Invoice | Self::Payment => &[Role::Contracts, Role::Billing],
        }
    }

    /// pgbench's script.
    pub fn script(self) -> &'static str {
        match self {
            Self::Submit => include_str!("scripts/submit.sql"),
            Self::Contact => include_str!("scripts/contact.sql"),
            Self::Convert => include_str!("scripts/convert.sql"),
            Self::Get => include_str!("scripts/get.sql"),
            Self::List => include_str!("scripts/list.sql"),
            Self::Invoice => include_str!("scripts/invoice.sql"),
            Self::Payment => include_str!("scripts/payment.sql"),
        }
    }

    /// At how many clients it is measured at most.
    pub fn most_clients(self) -> usize {
        if self == Self::Submit { 128 } else { 32 }
    }

    /// Whether more follows from it than its answer tells: the rate counts that too, the latency does not.
    pub fn goes_on_after_its_answer(self) -> bool {
        self == Self::Invoice
    }

    /// How many rows of its stock it takes in a second at most; none where it takes a row as often as it likes.
    pub fn appetite(self) -> u64 {
        match self {
            Self::Convert => 3_500,
            Self::Invoice => 3_000,
            _ => 0,
        }
    }

    /// What it writes: the same on both sides, or the two do not do the same work. Statements of one number each.
    pub fn traces(self) -> &'static [Trace] {
        const ANSWERED: &str = "select count(*) from leads.idempotency where answer is not null";
        const EVENTS: &str = "select count(*) from leads.outbox";
        const OPEN: &str = "select sum(open_leads)::bigint from leads.person";
        const VERSIONS: &str = "select sum(version)::bigint from leads.lead";
        match self {
            Self::Submit => &[
                ("leads", "select count(*) from leads.lead"),
                ("holders", "select count(*) from leads.lead_holder"),
                ("requests answered", ANSWERED),
                ("events", EVENTS),
                ("open leads of people", OPEN),
                ("turns of the rota", "select turn from leads.rota"),
            ],
            Self::Contact => &[
                ("contacts", "select count(*) from leads.contact"),
                ("versions of leads", VERSIONS),
                ("requests answered", ANSWERED),
                ("events", EVENTS),
            ],
            Self::Convert => &[
                ("clients", "select count(*) from leads.client"),
                ("deals", "select count(*) from leads.deal"),
                ("versions of leads", VERSIONS),
                ("open leads of people", OPEN),
                ("requests answered", ANSWERED),
                ("events", EVENTS),
            ],
            Self::Get | Self::List => &[],
            Self::Invoice => &[
                ("orders confirmed", "select count(*) from contracts.order where state = 'confirmed'"),
                ("requests answered", "select count(*) from contracts.idempotency where answer is not null"),
                ("events of contracts", "select count(*) from contracts.outbox"),
                ("invoices", "select count(*) from billing.invoice"),
                ("invoice lines", "select count(*) from billing.invoice_line"),
                ("numbers", "select coalesce(sum(last), 0)::bigint from billing.counter"),
                ("ledger transactions", "select count(*) from billing.ledger_transaction"),
                ("ledger entries", "select count(*) from billing.ledger_entry"),
                ("events of billing", "select count(*) from billing.outbox"),
            ],
            Self::Payment => &[
                ("payments", "select count(*) from billing.payment where allocated = amount"),
                ("allocations", "select count(*) from billing.allocation"),
                ("versions of invoices", "select sum(version)::bigint from billing.invoice"),
                ("requests answered", "select count(*) from billing.idempotency where answer is not null"),
                ("ledger transactions", "select count(*) from billing.ledger_transaction"),
                ("ledger entries", "select count(*) from billing.ledger_entry"),
                ("events", "select count(*) from billing.outbox"),
            ],
        }
    }
}

/// What a row is, in ids that both sides can tell from its number.
#[derive(Clone, Copy, Debug)]
#[repr(u16)]
pub enum Kind {
    /// A manager.
    Person = 2,
    /// A lead that is read and contacted.
    Lead = 3,
    /// A lead whose requester was reached.
    Contacted = 4,
    /// A client.
    Client = 5,
    /// An order that waits.
    Order = 8,
    /// An invoice of a large sum.
    Invoice = 10,
}

impl Kind {
    /// The id of a row that was there before: `load.id` in `sql/seed.sql`.
    pub fn id(self, number: u64) -> String {
        format!("018f{:04x}-0000-7000-8000-{number:012x}", self as u16)
    }
}

/// Managers, clients and deals that everything is about.
pub const PEOPLE: u64 = 10;
/// Clients, each with a deal.
pub const CLIENTS: u64 = 1_000;
