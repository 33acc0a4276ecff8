//! A database session of one's own, outside the pool: for loops that must go on when calls have taken every connection.

use std::{error::Error, sync::Arc, time::Duration};

use sqlx::{Connection as _, PgConnection, PgPool};

use crate::fault::Fault;

const CONNECT: Duration = Duration::from_secs(5);

/// The server notices within 25 s that the machine at the other end is gone, and gives up what the session held. By
/// default that takes two hours.
const KEEPALIVE: [(&str, &str); 3] =
    [("tcp_keepalives_idle", "10"), ("tcp_keepalives_interval", "5"), ("tcp_keepalives_count", "3")];

/// Connects as the pool does, with settings of its own on top.
pub(crate) async fn open(pool: &PgPool, settings: &[(&str, &str)]) -> Result<PgConnection, Fault> {
    let options = pool.connect_options().as_ref().clone().options(KEEPALIVE).options(settings.iter().copied());
    let Ok(connected) = tokio::time::timeout(CONNECT, PgConnection::connect_with(&options)).await else {
        let mut fault = Fault::unavailable("DATABASE_UNAVAILABLE", "the database cannot be reached");
        fault.cause = Some(Arc::from(Box::<dyn Error + Send + Sync>::from("the login took longer than 5 s")));
        return Err(fault);
    };
    Ok(connected?)
}
