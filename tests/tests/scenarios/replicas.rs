//! Two processes of a role: both take load, and one that ends or dies costs no call and does nothing twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use otdel::cli::Role;
use otdel_api::{billing as bl, common::Date, gateway as gw, leads as pb};
use otdel_gateway::Settings;
use otdel_runtime::{
    clock::{pause, system_now},
    convert::date,
};
use otdel_tests::{
    cluster::Database,
    door::Door,
    eventually::eventually,
    refusal::{is_unknown, reason},
    split::{Seat, second},
    staff::{self, id},
    story::{Step, Story, roubles},
    suite::{Suite, Topology},
};
use tokio::{
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
};
use tonic::{Request, Status, transport::Endpoint};

/// One call each 5 ms: 200 a second.
const PACE: Duration = Duration::from_millis(5);
/// How often a client sends a request: once, and twice more.
const SENDS: usize = 3;
/// A machine that cannot keep the pace gets the calls later and not all at once: each process has as many connections to
/// the database.
const MOST_UNDER_WAY: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_ends_or_dies_under_load_costs_no_call_and_does_nothing_twice() {
    let flags = ["--metrics-listen", "127.0.0.1:0"];
    let (database, door) = (Database::running().await, Settings::default());
    let mut suite = Suite::start_with(Topology::Replicas, database, &door, &flags).await;
    let staff = staff::department(&suite.admin).await;
    let mut story = Story::new(&staff, today());
    story.tell_until(Step::PayPart).await;
    // Deadlines pass while replicas come and go.
    let pool = suite.database.pool("leads").await;
    sqlx::query("insert into leads.sla_policy values (2, 2, 1, now())").execute(&pool).await.unwrap();
    let doors = [suite.admin.clone(), second_door(&mut suite).await];
    let mut asked = |role: Role| [role.into(), second(role)].map(|seat| suite.split().proxy(seat).asked());
    let before = [asked(Role::Leads), asked(Role::Billing)];
    let load = Load::begin(doors.clone(), &story);
    load.goes_on(200).await;
    for (role, before) in [Role::Leads, Role::Billing].into_iter().zip(before) {
        let now = asked(role);
        let (first, second) = (now[0] - before[0], now[1] - before[1]);
        assert!(first.min(second) > (first + second) / 4, "{role:?} was asked unevenly: {first} and {second} bytes");
    }

    for seat in [Role::Leads.into(), second(Role::Gateway)] {
        let (status, took) = suite.split().terminate(seat).await;
        assert!(status.success(), "{seat:?} ended with {status}");
        assert!(took < Duration::from_secs(12), "{seat:?} took {took:?}");
        load.goes_on(30).await;
        suite.split().run(seat).await;
        takes_load_again(&mut suite, seat, &doors).await;
    }
    for seat in [second(Role::Leads), second(Role::Billing)] {
        suite.split().kill(seat).await;
        load.goes_on(30).await;
        suite.split().run(seat).await;
        takes_load_again(&mut suite, seat, &doors).await;
    }

    let made = load.end().await;
    eventually("every deadline has passed", || async {
        let sql = "select count(*) from leads.lead where state = 'assigned'";
        let left: i64 = sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap();
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
    for service in ["leads", "contracts", "billing"] {
        let pool = suite.database.pool(service).await;
        otdel_runtime::feed::verify(&mut pool.acquire().await.unwrap(), |_, _| {})
            .await
            .unwrap_or_else(|broken| panic!("{service}: {broken:?}"));
    }
    every_lead_went_its_way_once(&super::feed::lead_events(&suite.admin).await, &made.leads);
    every_payment_was_recorded_once(&super::feed::billing_events(&suite.admin).await, &made.payments);
    super::story::a_rebuild_is_equal(&suite).await;
    suite.stop().await;
}

/// The date of a suite whose clock runs.
fn today() -> Date {
    date(system_now().date_naive())
}

/// The other gateway, once it knows the administrator.
async fn second_door(suite: &mut Suite) -> Door {
    let address = suite.split().proxy(second(Role::Gateway)).address();
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let door = suite.admin.at(endpoint.connect_lazy());
    answers(&door).await;
    door
}

async fn answers(door: &Door) {
    eventually("a gateway answers", || async { door.gateway().get_caller(gw::GetCallerRequest {}).await }).await;
}

/// The services that the load calls.
const CALLED: [&str; 4] = ["LeadService", "DealService", "InvoiceService", "PaymentService"];

/// Others find a process that has come back, and gateways tell callers apart: a balancer would wait for that, too.
async fn takes_load_again(suite: &mut Suite, seat: Seat, doors: &[Door]) {
    let metrics = suite.split().metrics(seat).expect("it tells its metrics");
    eventually("a replica that is back takes load", || async {
        let told = super::metrics::scrape(metrics).await;
        let counts = told.lines().filter_map(|line| line.strip_prefix("rpc_server_call_duration_seconds_count{"));
        let calls = counts.filter(|line| CALLED.iter().any(|service| line.contains(&format!(".{service}/"))));
        let answered: u64 = calls.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum();
        if answered >= 10 { Ok(()) } else { Err(answered) }
    })
    .await;
    for door in doors {
        answers(door).await;
    }
}

/// Calls at an even pace, whatever becomes of those before.
struct Load {
    answered: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    made: JoinHandle<Made>,
}

/// What was acknowledged, by what was sent.
#[derive(Debug, Default)]
struct Made {
    leads: BTreeMap<usize, String>,
    payments: BTreeMap<usize, String>,
}

impl Made {
    fn note(&mut self, outcome: Result<(usize, String), Status>) {
        let (number, name) = outcome.expect("no call fails");
        match number % 4 {
            0 => self.leads.insert(number, name),
            1 => self.payments.insert(number, name),
            _ => None,
        };
    }
}

impl Load {
    fn begin(doors: [Door; 2], story: &Story) -> Self {
        let (answered, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let caller = Arc::new(Caller { doors, story: story.clone() });
        let made = tokio::spawn({
            let (answered, stop) = (answered.clone(), stop.clone());
            async move {
                let (mut calls, mut made) = (JoinSet::new(), Made::default());
                let places = Arc::new(Semaphore::new(MOST_UNDER_WAY));
                let began = Instant::now();
                for number in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let due = began + PACE * u32::try_from(number).unwrap();
                    pause(due.saturating_duration_since(Instant::now())).await;
                    while let Some(outcome) = calls.try_join_next() {
                        made.note(outcome.unwrap());
                    }
                    let place = places.clone().acquire_owned().await.unwrap();
                    let (caller, answered) = (caller.clone(), answered.clone());
                    calls.spawn(async move {
                        let outcome = caller.call(number).await;
                        answered.fetch_add(1, Ordering::SeqCst);
                        drop(place);
                        outcome.map(|name| (number, name))
                    });
                }
                for outcome in calls.join_all().await {
                    made.note(outcome);
                }
                made
            }
        });
        Self { answered, stop, made }
    }

    /// Waits for so many more calls.
    async fn goes_on(&self, more: usize) {
        let start = self.answered.load(Ordering::SeqCst);
        eventually("the load goes on", || async {
            assert!(!self.made.is_finished(), "the load has ended");
            let now = self.answered.load(Ordering::SeqCst);
            if now >= start + more { Ok(()) } else { Err(now) }
        })
        .await;
    }

    async fn end(self) -> Made {
        self.stop.store(true, Ordering::SeqCst);
        self.made.await.expect("no call fails")
    }
}

/// A client as clients should be: it sends the same request again, to another gateway if there is one.
struct Caller {
    doors: [Door; 2],
    story: Story,
}

impl Caller {
    /// Makes the call of this number, and tells the name of what it made or read.
    async fn call(&self, number: usize) -> Result<String, Status> {
        let request_id = id();
        let mut sent = 1;
        loop {
            let door = &self.doors[(number + sent) % 2];
            match self.send(door, number, &request_id).await {
                // A machine that is too slow for the pace asks for patience, replicas or not.
                Err(status) if ["OVERLOADED", "BUSY"].contains(&reason(&status).1.as_str()) => {
                    pause(Duration::from_millis(100)).await;
                }
                Err(status) if sent < SENDS && is_unknown(&status) => {
                    pause(Duration::from_millis(100) * u32::try_from(sent).unwrap()).await;
                    sent += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn send(&self, door: &Door, number: usize, request_id: &str) -> Result<String, Status> {
        let story = &self.story;
        match number % 4 {
            0 => {
                let request = pb::SubmitLeadRequest {
                    request_id: request_id.into(),
                    ..super::feed::submit(format!("r-{number}"))
                };
                Ok(door.leads().submit_lead(request).await?.into_inner().lead.unwrap().name)
            }
            1 => {
                let request = bl::RecordPaymentRequest {
                    request_id: request_id.into(),
                    client: story.client.clone(),
                    amount: Some(roubles(1, 0)),
                    bank_ref: format!("r-{number}"),
                    value_date: Some(story.today),
                    allocations: vec![],
                };
                Ok(door.payments().record_payment(request).await?.into_inner().payment.unwrap().name)
            }
            2 => {
                let ask = Request::new(pb::GetDealRequest { name: story.deal.clone() });
                Ok(door.deals().get_deal(ask).await?.into_inner().deal.unwrap().name)
            }
            _ => {
                let ask = Request::new(bl::GetInvoiceRequest { name: story.invoice.clone() });
                Ok(door.invoices().get_invoice(ask).await?.into_inner().invoice.unwrap().name)
            }
        }
    }
}

/// Each lead that was acknowledged is there once and no other is, and its deadline had one effect.
fn every_lead_went_its_way_once(events: &[pb::LeadEvent], made: &BTreeMap<usize, String>) {
    use pb::lead_event::Fact;
    let mut ways: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for event in events {
        match event.fact.as_ref().unwrap() {
            Fact::LeadSubmitted(fact) => ways.entry(&fact.lead).or_default().push("submitted"),
            Fact::LeadReassigned(fact) => ways.entry(&fact.lead).or_default().push("handed on"),
            Fact::LeadPooled(fact) => ways.entry(&fact.lead).or_default().push("pooled"),
            _ => {}
        }
    }
    // The story's own lead was answered.
    assert_eq!(ways.len(), made.len() + 1);
    for name in made.values() {
        assert_eq!(ways[name.as_str()], ["submitted", "pooled"], "{name}");
    }
}

fn every_payment_was_recorded_once(events: &[bl::BillingEvent], made: &BTreeMap<usize, String>) {
    let recorded: Vec<_> = events
        .iter()
        .filter_map(|event| match event.fact.as_ref().unwrap() {
            bl::billing_event::Fact::PaymentRecorded(fact) => Some(fact.payment.as_str()),
            _ => None,
        })
        .collect();
    let acknowledged: BTreeSet<_> = made.values().map(String::as_str).collect();
    assert_eq!(recorded.len(), acknowledged.len());
    assert_eq!(recorded.into_iter().collect::<BTreeSet<_>>(), acknowledged);
}
