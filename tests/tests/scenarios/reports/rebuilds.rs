//! A build holds nobody up, and what passes does not end it.

use std::time::Duration;

use otdel_api::reporting as rp;
use otdel_tests::{
    door::Door,
    eventually::{eventually, known},
    refusal::reason,
    suite::{Suite, Topology},
};
use sqlx::{AssertSqlSafe, Executor as _, PgPool};
use tonic::Code;

use super::{leads, submit};

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
