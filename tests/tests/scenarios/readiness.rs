//! A service that has just started is as quick as one that has run for a while.

use otdel_tests::{
    eventually::eventually,
    suite::{Suite, Topology},
};

/// As many as the suite gives the calls of each service.
const CONNECTIONS: i64 = 8;

/// Sessions of a service's own: one for each feed that it follows, and one for numbering its events.
const OWN: [(&str, i64); 4] = [("leads", 3), ("contracts", 2), ("billing", 3), ("reporting", 3)];

#[tokio::test(flavor = "multi_thread")]
async fn the_connections_of_calls_are_open_before_calls_come() {
    let suite = Suite::start(Topology::AllInOne).await;
    let pool = suite.database.pool("reporting").await;
    // Nobody calls contracts or billing here: their connections are not opened by waiting calls.
    let open = async |service: &str| -> i64 {
        let sql = "select count(*) from pg_stat_activity where datname = current_database() and usename = $1";
        sqlx::query_scalar(sql).bind(format!("otdel_{service}_app")).fetch_one(&pool).await.unwrap()
    };
    suite.ready().await;
    for (service, _) in OWN {
        let open = open(service).await;
        assert!(open >= CONNECTIONS, "{service} says that it is ready and has {open}");
    }
    // Those of its own come when they may, and were not among those.
    for (service, own) in OWN {
        eventually("all connections are open", || async {
            let open = open(service).await;
            if open >= CONNECTIONS + own { Ok(()) } else { Err(format!("{service} has {open}")) }
        })
        .await;
    }
    suite.stop().await;
}
