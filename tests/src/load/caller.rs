//! Our side: the calls that a client makes.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Result;
use bytes::Bytes;
use http::uri::PathAndQuery;
use otdel::{cli::Role, secrets};
use otdel_api::{
    billing::{self as bl, payment_service_client::PaymentServiceClient},
    common::{Date, Money},
    contracts::{self as ct, order_service_client::OrderServiceClient},
    leads::{self as pb, lead_service_client::LeadServiceClient},
};
use otdel_runtime::{
    auth::{Identity, Principal, TOKEN_HEADER},
    clock, convert,
};
use tokio::time::Instant;
use tonic::{
    Request, Status,
    client::Grpc,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use tonic_prost::ProstCodec;
use uuid::Uuid;

use super::{
    ground::{Ground, Stock},
    operation::{CLIENTS, Kind, Operation, PEOPLE},
    roles::Roles,
};
use crate::dice::Dice;

/// Says for whom a call is made: at the gateway with a key, at a service with the token that the gateway would mint.
#[derive(Clone)]
pub enum Pass {
    /// An API key.
    Key(MetadataValue<Ascii>),
    /// Whoever the gateway let in.
    Token(Arc<Minted>),
}

impl Pass {
    /// For somebody whom the gateway let in.
    pub fn token(identity: Identity, principal: Principal) -> Self {
        Self::Token(Arc::new(Minted { identity, principal, kept: Mutex::default() }))
    }
}

/// A token as the gateway would mint it, kept for a moment so that the generator's own work is not measured.
pub struct Minted {
    identity: Identity,
    principal: Principal,
    kept: Mutex<Option<(Instant, MetadataValue<Ascii>)>>,
}

impl Minted {
    fn token(&self) -> Result<MetadataValue<Ascii>, Status> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((minted, token)) = &*kept
            && minted.elapsed() < Duration::from_secs(1)
        {
            return Ok(token.clone());
        }
        let token = self.identity.token_for(&self.principal, &[], None, 1);
        let token: MetadataValue<Ascii> = token.parse().map_err(|_| Status::internal("a token is ASCII"))?;
        *kept = Some((Instant::now(), token.clone()));
        Ok(token)
    }
}

impl Interceptor for Pass {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let (name, value) = match self {
            Self::Key(value) => ("authorization", value.clone()),
            Self::Token(minted) => (TOKEN_HEADER, minted.token()?),
        };
        request.metadata_mut().insert(name, value);
        Ok(request)
    }
}

type Passed = InterceptedService<Channel, Pass>;

/// What one side's clients share.
#[derive(Clone)]
pub struct Caller {
    ways: Vec<Ways>,
    stock: Stock,
    /// How many rows of the stock are taken: of leads to convert, of orders to confirm.
    taken: Arc<[AtomicU64; 2]>,
    seed: u64,
    today: Date,
}

/// The answer to a read. Its leads are counted and not looked into, as pgbench does not look into its rows.
#[derive(Clone, PartialEq, prost::Message)]
struct Leads {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    leads: Vec<Bytes>,
}

/// Connections to the services.
#[derive(Clone)]
struct Ways {
    leads: LeadServiceClient<Passed>,
    reads: Grpc<Passed>,
    orders: OrderServiceClient<Passed>,
    payments: PaymentServiceClient<Passed>,
}

/// One client, who asks for one thing after another.
pub struct Client {
    ways: Ways,
    caller: Caller,
    dice: Dice,
}

/// As many connections to a service as the gateway has to each of its addresses.
pub const CONNECTIONS: usize = 1;

/// As many to the gateway that 128 clients stay below the 100 calls that it takes on each.
const PUBLIC_CONNECTIONS: usize = 4;

impl Caller {
    /// Calls the services themselves, as the gateway does.
    pub fn direct(ground: &Ground, roles: &Roles, seed: u64) -> Result<Self> {
        let identity = secrets::read("gateway", &ground.secrets_of(Role::Gateway))?.identity;
        let own = [pb::Role::CommercialDirector, pb::Role::LeadManager, pb::Role::Accountant];
        let principal = Principal::new(ground.principal.clone(), None, own.to_vec(), &[], vec![]);
        let pass = Pass::token(identity, principal);
        let ways = [Role::Leads, Role::Contracts, Role::Billing].map(|role| roles.channels(role, CONNECTIONS));
        Self::new(ground, ways, pass, seed)
    }

    /// Calls the gateway, as everybody does.
    pub fn through_the_gateway(ground: &Ground, roles: &Roles, seed: u64) -> Result<Self> {
        let pass = Pass::Key(format!("Bearer {}", ground.key).parse()?);
        let ways = [Role::Gateway; 3].map(|role| roles.channels(role, PUBLIC_CONNECTIONS));
        Self::new(ground, ways, pass, seed)
    }

    fn new(ground: &Ground, ways: [Result<Vec<Channel>>; 3], pass: Pass, seed: u64) -> Result<Self> {
        let [leads, contracts, billing] = ways;
        let ways = leads?.into_iter().zip(contracts?).zip(billing?).map(|((leads, contracts), billing)| Ways {
            leads: LeadServiceClient::with_interceptor(leads.clone(), pass.clone()),
            reads: Grpc::new(InterceptedService::new(leads, pass.clone())),
            orders: OrderServiceClient::with_interceptor(contracts, pass.clone()),
            payments: PaymentServiceClient::with_interceptor(billing, pass.clone()),
        });
        let today = convert::date(clock::system_now().date_naive());
        Ok(Self { ways: ways.collect(), stock: ground.stock, taken: Arc::default(), seed, today })
    }

    /// The client of this number.
    pub fn client(&self, number: u64) -> Client {
        let at = usize::try_from(number).unwrap_or_default() % self.ways.len();
        Client { ways: self.ways[at].clone(), caller: self.clone(), dice: Dice::new(self.seed ^ (number << 20)) }
    }

    /// Goes on in the stock where another caller of the same database is.
    pub fn share_stock(&mut self, other: &Self) {
        self.taken = other.taken.clone();
    }

    /// How many rows of an operation's stock are used up.
    pub fn taken(&self, operation: Operation) -> u64 {
        match operation {
            Operation::Convert => self.taken[0].load(Relaxed),
            Operation::Invoice => self.taken[1].load(Relaxed),
            _ => 0,
        }
    }
}

impl Client {
    /// Does it once.
    pub async fn call(&mut self, operation: Operation) -> Result<(), Status> {
        match operation {
            Operation::Submit => {
                let request = self.submission();
                self.ways.leads.submit_lead(request).await.map(drop)
            }
            Operation::Contact => {
                let request = pb::LogContactRequest {
                    request_id: request_id(),
                    name: format!("leads/{}", self.any_lead()),
                    etag: String::new(),
                    kind: pb::ContactKind::Call.into(),
                    outcome: pb::ContactOutcome::Reached.into(),
                    note: "перезвонить завтра".into(),
                };
                self.ways.leads.log_contact(request).await.map(drop)
            }
            Operation::Convert => {
                let lead = self.caller.taken[0].fetch_add(1, Relaxed);
                let name = format!("leads/{}", Kind::Contacted.id(lead));
                let request = pb::ConvertLeadRequest { request_id: request_id(), name, ..Default::default() };
                self.ways.leads.convert_lead(request).await.map(drop)
            }
            Operation::Get => {
                let name = format!("leads/{}", self.any_lead());
                self.read("/otdel.leads.v1.LeadService/GetLead", pb::GetLeadRequest { name }, 1).await
            }
            Operation::List => {
                let owner = format!("people/{}", Kind::Person.id(self.below(PEOPLE)));
                let request = pb::ListLeadsRequest { page_size: 50, owner, ..Default::default() };
                self.read("/otdel.leads.v1.LeadService/ListLeads", request, 50).await
            }
            Operation::Invoice => {
                let order = self.caller.taken[1].fetch_add(1, Relaxed);
                let name = format!("orders/{}", Kind::Order.id(order));
                let request = ct::ConfirmOrderRequest { request_id: request_id(), name, etag: String::new() };
                self.ways.orders.confirm_order(request).await.map(drop)
            }
            Operation::Payment => {
                let request = self.payment();
                self.ways.payments.record_payment(request).await.map(drop)
            }
        }
    }

    /// Reads so many leads.
    async fn read<M: prost::Message + 'static>(
        &mut self,
        path: &'static str,
        request: M,
        expected: usize,
    ) -> Result<(), Status> {
        let reads = &mut self.ways.reads;
        reads.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let codec = ProstCodec::<M, Leads>::default();
        let answer = reads.unary(Request::new(request), PathAndQuery::from_static(path), codec).await?;
        match answer.into_inner().leads.len() {
            leads if leads == expected => Ok(()),
            leads => Err(Status::out_of_range(format!("{leads} leads of {expected}"))),
        }
    }

    fn submission(&mut self) -> pb::SubmitLeadRequest {
        let id = request_id();
        pb::SubmitLeadRequest {
            channel: pb::Channel::Site.into(),
            origin: "ads".into(),
            source_ref: format!("load-{id}"),
            contact: Some(pb::LeadContact {
                display_name: "Анна Ёлкина".into(),
                phone: format!("+7916{:07}", self.below(10_000_000)),
                ..Default::default()
            }),
            text: "Сколько стоит ваша продукция?".into(),
            receive_time: None,
            request_id: id,
        }
    }

    fn payment(&mut self) -> bl::RecordPaymentRequest {
        let (id, invoice) = (request_id(), self.below(self.caller.stock.invoices));
        let one = Money { currency_code: "RUB".into(), units: 1, nanos: 0 };
        let name = format!("invoices/{}", Kind::Invoice.id(invoice));
        bl::RecordPaymentRequest {
            client: format!("clients/{}", Kind::Client.id(invoice % CLIENTS)),
            amount: Some(one.clone()),
            bank_ref: format!("load-{id}"),
            value_date: Some(self.caller.today),
            allocations: vec![bl::Allocation { invoice: name, amount: Some(one) }],
            request_id: id,
        }
    }

    fn any_lead(&mut self) -> String {
        Kind::Lead.id(self.below(self.caller.stock.leads))
    }

    fn below(&mut self, end: u64) -> u64 {
        self.dice.below(usize::try_from(end).unwrap_or(usize::MAX)) as u64
    }
}

fn request_id() -> String {
    Uuid::now_v7().to_string()
}
