//! Calls whose callers left: nothing is lost, nothing is doubled, and no session stays in a transaction.

use std::time::Duration;

use futures_util::future::join_all;
use otdel_api::leads as pb;
use otdel_tests::{
    eventually::eventually,
    staff,
    suite::{Suite, Topology},
};
use tonic::Request;

/// How many calls are abandoned.
const CALLS: usize = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_abandoned_calls_lose_and_double_nothing() {
    let suite = Suite::start(Topology::AllInOne).await;
    staff::department(&suite.admin).await;
    let requests: Vec<_> = (0..CALLS).map(|number| super::feed::submit(format!("abandoned-{number}"))).collect();
    // A few at a time, so that calls are cut off in every phase rather than refused at the door.
    for (chunk, requests) in requests.chunks(40).enumerate() {
        let calls = requests.iter().enumerate().map(|(at, request)| {
            let (door, request) = (suite.admin.clone(), request.clone());
            let patience = Duration::from_micros(u64::try_from((chunk * 997 + at * 331) % 25_000).unwrap());
            async move {
                if at % 2 == 0 {
                    // The caller hangs up.
                    let _ = tokio::time::timeout(patience, door.leads().submit_lead(request)).await;
                } else {
                    // The caller says how long it waits.
                    let mut request = Request::new(request);
                    request.set_timeout(patience);
                    let _ = door.leads().submit_lead(request).await;
                }
            }
        });
        join_all(calls).await;
    }
    // Each is sent again until it is answered: what was done is told, what was not is done now.
    let mut leads = std::collections::HashSet::new();
    for requests in requests.chunks(16) {
        let answers = join_all(requests.iter().map(|request| {
            eventually("the request is answered", || async {
                suite.admin.leads().submit_lead(request.clone()).await.map_err(|status| status.to_string())
            })
        }));
        leads.extend(answers.await.into_iter().map(|answer| answer.into_inner().lead.unwrap().name));
    }
    assert_eq!(leads.len(), CALLS);
    let pool = suite.database.pool("leads").await;
    let rows: i64 = sqlx::query_scalar("select count(*) from leads.lead").fetch_one(&pool).await.unwrap();
    assert_eq!(rows, i64::try_from(CALLS).unwrap());
    let events = super::feed::lead_events(&suite.admin).await;
    let submitted =
        events.iter().filter(|event| matches!(event.fact, Some(pb::lead_event::Fact::LeadSubmitted(_)))).count();
    assert_eq!(submitted, CALLS, "one event each");
    eventually("no session stays in a transaction", || async {
        let idle: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where datname = current_database() and state like 'idle in transaction%'",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        if idle == 0 { Ok(()) } else { Err(idle) }
    })
    .await;
    let held: i64 =
        sqlx::query_scalar("select sum(open_leads)::bigint from leads.person").fetch_one(&pool).await.unwrap();
    assert_eq!(held, i64::try_from(CALLS).unwrap(), "every lead is counted once with its owner");
    suite.stop().await;
}
