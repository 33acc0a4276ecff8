//! The event feed: gapless, in order, chained, and resumable.

use futures_util::future::join_all;
use otdel_api::{billing as bl, contracts as ct, leads as pb};
use otdel_tests::{
    door::Door,
    eventually::eventually,
    refusal::reason,
    staff::{self, id},
    story::Story,
    suite::{Suite, Topology},
};
use sqlx::Connection as _;
use tonic::Code;

/// Every event of leads that there is now.
pub async fn lead_events(door: &Door) -> Vec<pb::LeadEvent> {
    let mut stream = door.lead_events().subscribe(pb::SubscribeRequest::default()).await.unwrap().into_inner();
    let mut events = Vec::new();
    while let Some(answer) = stream.message().await.unwrap() {
        match answer.item {
            Some(pb::subscribe_response::Item::Event(event)) => events.push(event),
            Some(pb::subscribe_response::Item::CaughtUp(_)) => break,
            _ => {}
        }
    }
    events
}

/// Waits until every event that was committed before is in its feed, where it comes a moment after the answer.
pub async fn numbered(suite: &Suite) {
    for service in ["leads", "contracts", "billing"] {
        let pool = suite.database.pool(service).await;
        eventually("every event is numbered", || async {
            let sql = "select count(*) from outbox where position is null";
            let left: i64 = sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap();
            if left == 0 { Ok(()) } else { Err(left) }
        })
        .await;
    }
}

/// Every event of contracts that there is now.
pub async fn contract_events(door: &Door) -> Vec<ct::ContractEvent> {
    let mut stream = door.contract_events().subscribe(ct::SubscribeRequest::default()).await.unwrap().into_inner();
    let mut events = Vec::new();
    while let Some(answer) = stream.message().await.unwrap() {
        match answer.item {
            Some(ct::subscribe_response::Item::Event(event)) => events.push(event),
            Some(ct::subscribe_response::Item::CaughtUp(_)) => break,
            _ => {}
        }
    }
    events
}

/// Every event of billing that there is now.
pub async fn billing_events(door: &Door) -> Vec<bl::BillingEvent> {
    let mut stream = door.billing_events().subscribe(bl::SubscribeRequest::default()).await.unwrap().into_inner();
    let mut events = Vec::new();
    while let Some(answer) = stream.message().await.unwrap() {
        match answer.item {
            Some(bl::subscribe_response::Item::Event(event)) => events.push(event),
            Some(bl::subscribe_response::Item::CaughtUp(_)) => break,
            _ => {}
        }
    }
    events
}

/// A request of somebody new.
pub fn submit(source: String) -> pb::SubmitLeadRequest {
    pb::SubmitLeadRequest {
        request_id: id(),
        channel: pb::Channel::Site.into(),
        origin: "ads".into(),
        contact: Some(pb::LeadContact {
            display_name: "Пётр".into(),
            email: format!("{source}@example.org"),
            ..Default::default()
        }),
        source_ref: source,
        ..Default::default()
    }
}

const WRITERS: usize = 32;
const EACH: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_has_no_gap_under_32_writers_with_an_old_transaction_open() {
    let suite = Suite::start(Topology::AllInOne).await;
    staff::department(&suite.admin).await;
    let before = lead_events(&suite.admin).await.len();
    // A transaction that began before everything else and has drawn an early number in the outbox.
    let pool = suite.database.pool("leads").await;
    let mut old = pool.acquire().await.unwrap();
    let mut old = old.begin().await.unwrap();
    sqlx::query(
        "insert into outbox (id, type, subject, related, occur_time, payload)
         values (gen_random_uuid(), 'otdel.leads.v1.LeadClosed', 'leads/none', '{}', now(), '\\x')",
    )
    .execute(&mut *old)
    .await
    .unwrap();

    let writers = (0..WRITERS).map(|writer| {
        let door = suite.admin.clone();
        tokio::spawn(async move {
            for number in 0..EACH {
                let request = submit(format!("w{writer}-{number}"));
                eventually("a lead is taken in", || async {
                    door.leads().submit_lead(request.clone()).await.map_err(|status| status.to_string())
                })
                .await;
            }
        })
    });
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    // The open transaction holds nobody up.
    let events = eventually("every event is numbered", || async {
        let events = lead_events(&suite.admin).await;
        if events.len() < before + WRITERS * EACH { Err(events.len()) } else { Ok(events) }
    })
    .await;
    old.rollback().await.unwrap();

    let mut seen = std::collections::HashSet::new();
    for (at, event) in events.iter().enumerate() {
        let envelope = event.envelope.as_ref().unwrap();
        assert_eq!(envelope.position, i64::try_from(at).unwrap() + 1, "no gap and no repetition");
        assert!(seen.insert(envelope.event_id.clone()));
    }
    let verified = otdel_runtime::feed::verify(&mut pool.acquire().await.unwrap(), |_, _| {}).await.unwrap();
    assert_eq!(verified.position, i64::try_from(events.len()).unwrap());
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_goes_on_after_its_cursor_and_sees_nothing_twice() {
    let suite = Suite::start(Topology::AllInOne).await;
    let staff = staff::department(&suite.admin).await;
    Story::new(&staff, suite.today().await).tell().await;
    let all = eventually("the last event is numbered", || async {
        let all = lead_events(&suite.admin).await;
        let won = matches!(all.last().and_then(|last| last.fact.as_ref()), Some(pb::lead_event::Fact::DealWon(_)));
        if won { Ok(all) } else { Err(all.len()) }
    })
    .await;
    for at in [0, all.len() / 2, all.len() - 1] {
        let cursor = all[at].envelope.as_ref().unwrap().cursor.clone();
        let request = pb::SubscribeRequest { start_after: cursor, ..Default::default() };
        let mut stream = suite.admin.lead_events().subscribe(request).await.unwrap().into_inner();
        for expected in &all[at + 1..] {
            let item = stream.message().await.unwrap().unwrap().item;
            let Some(pb::subscribe_response::Item::Event(event)) = item else { panic!("{item:?}") };
            assert_eq!(event.envelope.unwrap().event_id, expected.envelope.as_ref().unwrap().event_id);
        }
        let item = stream.message().await.unwrap().unwrap().item;
        assert!(matches!(item, Some(pb::subscribe_response::Item::CaughtUp(_))), "{item:?}");
    }
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_history_is_data_loss_and_a_changed_event_is_found() {
    let suite = Suite::start(Topology::AllInOne).await;
    staff::department(&suite.admin).await;
    let all = lead_events(&suite.admin).await;
    let last = all.last().unwrap().envelope.clone().unwrap();
    let pool = suite.database.pool("leads").await;
    otdel_runtime::feed::verify(&mut pool.acquire().await.unwrap(), |_, _| {}).await.unwrap();

    // As a restore would: the same position holds something else.
    sqlx::query("update outbox set hash = sha256(hash) where position = $1")
        .bind(last.position)
        .execute(&pool)
        .await
        .unwrap();
    let request = pb::SubscribeRequest { start_after: last.cursor, ..Default::default() };
    let status = match suite.admin.lead_events().subscribe(request).await {
        Err(status) => status,
        Ok(stream) => stream.into_inner().message().await.unwrap_err(),
    };
    assert_eq!(reason(&status), (Code::DataLoss, "CURSOR_DIVERGED".into()), "{status:?}");
    assert!(
        otdel_runtime::feed::verify(&mut pool.acquire().await.unwrap(), |_, _| {}).await.is_err(),
        "the chain shows it"
    );

    let request = pb::SubscribeRequest { start_after: "garbage".into(), ..Default::default() };
    let status = match suite.admin.lead_events().subscribe(request).await {
        Err(status) => status,
        Ok(stream) => stream.into_inner().message().await.unwrap_err(),
    };
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    suite.stop().await;
}
