//! A build holds nobody up, and what passes does not end it.

use std::time::Duration;

use futures_util::future::join_all;
use otdel_api::reporting as rp;
use otdel_tests::{
    door::Door,
    eventually::{eventually, known},
    refusal::reason,
    suite::{Suite, Topology},
};
use sqlx::{AssertSqlSafe, Executor as _, PgPool};
use tokio::{sync::watch, task::JoinHandle};
use tonic::Code;

use super::{draft, leads, pay_a_kopeck, projection, rebuild, submit, with_an_invoice};

/// A suite whose reports count one lead.
async fn with_a_lead() -> (Suite, PgPool) {
    let suite = Suite::start(Topology::AllInOne).await;
    let change = submit(&suite.admin).await.change;
    assert_eq!(leads(&suite.admin, vec![change]).await, 1);
    let pool = suite.database.pool("reporting").await;
    (suite, pool)
}

/// Waits for the second build, which goes on when a call for it ends.
async fn second_build(door: Door) -> rp::Projection {
    let ask = rp::RebuildProjectionRequest { generation: 1 };
    let built = known(|| async { door.projections().rebuild_projection(ask).await }).await;
    built.expect("equal digests").projection.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_cannot_log_in_goes_on_when_it_can() {
    let (suite, pool) = with_a_lead().await;
    let limit = async |connections: i32| {
        let sql = format!(
            "do $$ begin
               execute format('alter database %I connection limit {connections}', current_database());
             end $$"
        );
        pool.execute(AssertSqlSafe(sql)).await.unwrap();
    };
    limit(0).await;
    eventually("the call says that the build goes on", || async {
        let mut ask = tonic::Request::new(rp::RebuildProjectionRequest { generation: 1 });
        ask.set_timeout(Duration::from_secs(6));
        let refused = suite.admin.projections().rebuild_projection(ask).await.expect_err("nobody can log in");
        let told = reason(&refused);
        assert_ne!(told.1, "DATABASE_UNAVAILABLE", "the build is lost: {refused:?}");
        if told == (Code::Unavailable, "REBUILDING".into()) { Ok(()) } else { Err(told) }
    })
    .await;
    limit(-1).await;
    assert_eq!(second_build(suite.admin.clone()).await.generation, 2);
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_build_goes_on_while_the_old_one_is_removed() {
    let (suite, pool) = with_a_lead().await;
    let mut held = pool.begin().await.unwrap();
    held.execute("select from lead where generation = 1 for update").await.unwrap();
    let building = tokio::spawn(second_build(suite.admin.clone()));
    eventually("the next build is live", || async {
        let live: i64 = sqlx::query_scalar("select live from projection").fetch_one(&pool).await.unwrap();
        if live == 2 { Ok(()) } else { Err(live) }
    })
    .await;

    let change = submit(&suite.admin).await.change;
    assert_eq!(leads(&suite.admin, vec![change]).await, 2);
    held.rollback().await.unwrap();
    assert_eq!(building.await.unwrap().generation, 2);
    let left: i64 =
        sqlx::query_scalar("select count(*) from lead where generation = 1").fetch_one(&pool).await.unwrap();
    assert_eq!(left, 0, "rows of the old build were left");
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_waits_for_its_read_model_keeps_its_session() {
    let (suite, pool) = with_a_lead().await;
    let mut held = pool.begin().await.unwrap();
    held.execute("select from projection for update").await.unwrap();
    let (change, office) = (submit(&suite.admin).await.change, office(&pool).await);
    let first = waiting_since(&pool, office, "").await;
    // The first wait for the row is given up, and the next one begins.
    waiting_since(&pool, office, &first).await;
    held.rollback().await.unwrap();
    assert_eq!(leads(&suite.admin, vec![change]).await, 2);
    assert_eq!(self::office(&pool).await, office, "another session follows");
    suite.stop().await;
}

/// The session that follows leads, by its number in the server.
async fn office(pool: &PgPool) -> i32 {
    let sql = "select pid from pg_locks join pg_database d on d.oid = database and datname = current_database()
               where locktype = 'advisory' and granted
                 and (classid::bigint << 32) | objid::bigint
                     = hashtextextended('otdel.follow/reporting/reporting/leads', 0)";
    eventually("somebody follows", || async { sqlx::query_scalar(sql).fetch_one(pool).await }).await
}

/// When the transaction began in which a session waits for a lock. Not one that began at `but`.
async fn waiting_since(pool: &PgPool, session: i32, but: &str) -> String {
    let sql = "select xact_start::text from pg_stat_activity
               where pid = $1 and wait_event_type = 'Lock' and xact_start::text <> $2";
    eventually("the session waits for a lock", || async {
        sqlx::query_scalar(sql).bind(session).bind(but).fetch_one(pool).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_while_writes_go_on_ends_with_equal_digests() {
    let (suite, _staff, story) = with_an_invoice().await;
    let (open, closed) = watch::channel(());
    let writers: [JoinHandle<()>; 3] = [
        tokio::spawn(until_closed(closed.clone(), suite.admin.clone(), async |door: &Door| drop(submit(door).await))),
        tokio::spawn({
            let (closed, story) = (closed.clone(), story.clone());
            until_closed(closed, suite.admin.clone(), async move |door: &Door| drop(pay_a_kopeck(door, &story).await))
        }),
        tokio::spawn({
            let (closed, story) = (closed.clone(), story.clone());
            until_closed(closed, suite.admin.clone(), async move |door: &Door| drop(draft(door, &story).await))
        }),
    ];
    let reader = tokio::spawn(never_counts_back(closed, suite.admin.clone()));
    for generation in 2..=3 {
        let built = rebuild(&suite.admin).await.expect("equal digests");
        assert_eq!(built.generation, generation);
    }
    drop(open);
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    assert!(reader.await.unwrap() > 1, "hardly anybody read meanwhile");

    suite.settle().await;
    let live = projection(&suite.admin).await;
    let built = rebuild(&suite.admin).await.expect("equal digests");
    assert_eq!(built, rp::Projection { generation: 4, ..live });
    suite.stop().await;
}

/// Does something again and again.
async fn until_closed(closed: watch::Receiver<()>, door: Door, act: impl AsyncFn(&Door)) {
    while closed.has_changed().is_ok() {
        act(&door).await;
    }
}

/// Reads a report again and again: whichever build is live, it is never behind what was read before.
async fn never_counts_back(closed: watch::Receiver<()>, door: Door) -> usize {
    let (mut before, mut reads) = (0, 0);
    while closed.has_changed().is_ok() {
        let now = leads(&door, vec![]).await;
        assert!(now >= before, "{now} after {before}");
        (before, reads) = (now, reads + 1);
    }
    reads
}
