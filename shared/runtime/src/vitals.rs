//! What a role has to work with at this moment, as gauges: its units of work and its connections to the database.

use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::{clock, core::Units};

const EVERY: Duration = Duration::from_secs(1);

/// Says it once a second until it is stopped. `pools` are named by what they are for.
pub async fn report(service: &'static str, units: Units, pools: Vec<(&'static str, PgPool)>, stop: CancellationToken) {
    let report = async {
        loop {
            for (lane, under_way, limit) in units.lanes() {
                metrics::gauge!("otdel_units_under_way", "service" => service, "lane" => lane).set(under_way);
                metrics::gauge!("otdel_units_limit", "service" => service, "lane" => lane).set(limit);
            }
            for (name, pool) in &pools {
                report_pool(service, name, pool);
            }
            clock::pause(EVERY).await;
        }
    };
    stop.run_until_cancelled(report).await;
}

fn report_pool(service: &'static str, name: &'static str, pool: &PgPool) {
    let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
    // The two are not read at one instant.
    let busy = pool.size().saturating_sub(idle);
    for (state, count) in [("idle", idle), ("busy", busy)] {
        metrics::gauge!("otdel_database_connections", "service" => service, "pool" => name, "state" => state)
            .set(count);
    }
    let limit = pool.options().get_max_connections();
    metrics::gauge!("otdel_database_connections_limit", "service" => service, "pool" => name).set(limit);
}
