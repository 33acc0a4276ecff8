//! The race between a contact and its deadline, on the machine's clock with three replicas of leads, one of them killed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use otdel::cli::Role;
use otdel_api::leads as pb;
use otdel_runtime::clock::{pause, system_now};
use otdel_tests::{
    cluster::Database,
    eventually::eventually,
    refusal::is_passing,
    staff::{self, id},
    suite::{Suite, Topology},
};
use tonic::Code;

const LEADS: usize = 120;
/// How far from the deadline the latest and the earliest contact come.
const SPREAD_MS: i64 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_at_its_deadline_and_the_hand_on_have_one_outcome() {
    let mut suite = Suite::start_on(Topology::Split, Database::running().await).await;
    let pool = suite.database.pool("leads").await;
    // Short enough to wait for, long enough to take everything in before the first deadline.
    sqlx::query("insert into leads.sla_policy values (2, 6, 2, now())").execute(&pool).await.unwrap();
    let staff = staff::department(&suite.admin).await;
    let two = suite.split().replica(Role::Leads, "-two").await;
    let three = suite.split().replica(Role::Leads, "-three").await;

    let taken = (0..LEADS).map(|number| {
        let (door, request) = (suite.admin.clone(), super::feed::submit(format!("race-{number}")));
        async move {
            let answer = eventually("a lead is taken in", || async {
                door.leads().submit_lead(request.clone()).await.map_err(|status| status.to_string())
            });
            answer.await.into_inner().lead.unwrap()
        }
    });
    let leads = join_all(taken).await;
    let contacts = leads.iter().enumerate().map(|(at, lead)| {
        let owner = if lead.owner == staff.manager.person { &staff.manager } else { &staff.colleague };
        let (door, lead) = (owner.door.clone(), lead.clone());
        let shift = SPREAD_MS * 2 * i64::try_from(at).unwrap() / i64::try_from(LEADS).unwrap() - SPREAD_MS;
        tokio::spawn(async move {
            let due = instant(lead.respond_by_time.as_ref().unwrap());
            wait_until(due + chrono::TimeDelta::milliseconds(shift)).await;
            contact(&door, &lead.name).await
        })
    });
    let contacts: Vec<_> = contacts.collect();
    // One replica dies while deadlines pass.
    wait_until(instant(leads[LEADS / 2].respond_by_time.as_ref().unwrap())).await;
    two.kill().await;
    let answered: Vec<bool> = join_all(contacts).await.into_iter().map(|outcome| outcome.unwrap()).collect();

    let outcomes = eventually("every deadline had its effect", || async {
        let events = super::feed::lead_events(&suite.admin).await;
        let outcomes: Vec<_> = leads.iter().map(|lead| Outcome::of(&lead.name, &events)).collect();
        let open = outcomes.iter().filter(|one| one.contacts + one.moves == 0).count();
        if open == 0 { Ok(outcomes) } else { Err(format!("{open} leads had neither")) }
    })
    .await;
    let mut latest = 0;
    for (at, outcome) in outcomes.iter().enumerate() {
        // Answered by its first owner, or handed on: never both, never twice for the same deadline.
        assert_eq!(usize::from(answered[at]), outcome.contacts_of_first, "{}: {outcome:?}", leads[at].name);
        assert_eq!(outcome.contacts_of_first + outcome.moves_of_first, 1, "{}: {outcome:?}", leads[at].name);
        latest = latest.max(outcome.lateness_ms);
    }
    assert!(latest <= 1_000, "a lead was handed on {latest} ms late");
    assert!(answered.iter().any(|answered| *answered), "nobody was in time: the race was none");
    assert!(answered.iter().any(|answered| !*answered), "everybody was in time: the race was none");
    three.kill().await;
    suite.stop().await;
}

/// Reaches the requester once, and tells whether that counted.
async fn contact(door: &otdel_tests::door::Door, lead: &str) -> bool {
    let request = pb::LogContactRequest {
        request_id: id(),
        name: lead.to_owned(),
        kind: pb::ContactKind::Call.into(),
        outcome: pb::ContactOutcome::Reached.into(),
        ..Default::default()
    };
    loop {
        match door.leads().log_contact(request.clone()).await {
            Ok(_) => return true,
            Err(status) if is_passing(&status) => {}
            // It is somebody else's by now.
            Err(status) if status.code() == Code::NotFound => return false,
            Err(status) if status.code() == Code::FailedPrecondition => return false,
            Err(status) => panic!("{status:?}"),
        }
    }
}

/// What the feed tells of one lead.
#[derive(Debug, Default)]
struct Outcome {
    contacts: usize,
    moves: usize,
    contacts_of_first: usize,
    moves_of_first: usize,
    lateness_ms: i64,
}

impl Outcome {
    fn of(lead: &str, events: &[pb::LeadEvent]) -> Self {
        let mut outcome = Self::default();
        let mut first = String::new();
        for event in events.iter().filter(|event| event.envelope.as_ref().unwrap().subject == lead) {
            match event.fact.as_ref().unwrap() {
                pb::lead_event::Fact::LeadSubmitted(fact) => first.clone_from(&fact.owner),
                pb::lead_event::Fact::LeadContacted(fact) => {
                    outcome.contacts += 1;
                    outcome.contacts_of_first += usize::from(fact.owner == first);
                }
                pb::lead_event::Fact::LeadReassigned(fact) => {
                    outcome.moves += 1;
                    outcome.moves_of_first += usize::from(fact.from == first);
                    outcome.lateness_ms = outcome.lateness_ms.max(fact.lateness_ms);
                }
                pb::lead_event::Fact::LeadPooled(fact) => {
                    outcome.moves += 1;
                    outcome.moves_of_first += usize::from(fact.from == first);
                    outcome.lateness_ms = outcome.lateness_ms.max(fact.lateness_ms);
                }
                _ => {}
            }
        }
        outcome
    }
}

fn instant(timestamp: &prost_types::Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp(timestamp.seconds, timestamp.nanos.unsigned_abs()).unwrap()
}

/// Waits for an instant of the machine's clock, which is what this race is against.
async fn wait_until(instant: DateTime<Utc>) {
    pause((instant - system_now()).to_std().unwrap_or(Duration::ZERO)).await;
}
