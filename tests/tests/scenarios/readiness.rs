//! A service that has just started is as quick as one that has run for a while.

use otdel_tests::{
    eventually::eventually,
    suite::{Suite, Topology},
};

/// As many as the suite gives each service.
const CONNECTIONS: i64 = 8;

#[tokio::test(flavor = "multi_thread")]
async fn the_connections_of_calls_are_open_before_calls_come() {
    let suite = Suite::start(Topology::AllInOne).await;
    let pool = suite.database.pool("reporting").await;
    for service in ["leads", "contracts", "billing", "reporting"] {
        // Nobody calls contracts or billing here: their connections are not opened by waiting calls.
        eventually("all connections are open", || async {
            let open: i64 = sqlx::query_scalar(
                "select count(*) from pg_stat_activity where datname = current_database() and usename = $1",
            )
            .bind(format!("otdel_{service}_app"))
            .fetch_one(&pool)
            .await
            .unwrap();
            if open >= CONNECTIONS { Ok(()) } else { Err(format!("{service} has {open}")) }
        })
        .await;
    }
    suite.stop().await;
}
