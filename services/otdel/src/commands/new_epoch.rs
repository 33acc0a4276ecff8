//! `otdel new-epoch`

use anyhow::{Context as _, Result, bail};
use otdel_runtime::epoch::{self, When};
use sqlx::{Connection as _, postgres::PgConnectOptions};

use crate::{
    cli::{NewEpochArgs, Role},
    node::schema,
    say,
};

/// Gives the named services' feeds a new epoch.
pub async fn new_epoch(args: &NewEpochArgs) -> Result<()> {
    let (admin, roles) = (args.database.options()?, args.services.named());
    for role in &roles {
        let schema = schema(*role).context("a service without a schema was named")?;
        schema.check_version(&mut schema.connect(&admin).await?).await?;
    }
    if !args.while_running {
        nobody_uses(&admin, &roles).await?;
    }
    renew(&admin, &roles, When::Always).await?;
    say("followers read again when they run; then `otdel verify` tells whether all is well")
}

/// Renews the epochs and tells what it did.
pub async fn renew(admin: &PgConnectOptions, roles: &[Role], when: When) -> Result<()> {
    for role in roles {
        let schema = schema(*role).context("a service without a schema was named")?;
        let mut db = schema.connect(admin).await?;
        match epoch::renew(&mut db, when).await? {
            Some(renewed) => say(&format!(
                "{}: the epoch is {} and was {}: every older cursor is refused",
                schema.service, renewed.after, renewed.before
            ))?,
            None => say(&format!("{}: the epoch was renewed in this database already", schema.service))?,
        }
        db.close().await?;
    }
    Ok(())
}

/// Refuses a database that services use: they would go on over what was restored beneath them.
pub async fn nobody_uses(admin: &PgConnectOptions, roles: &[Role]) -> Result<()> {
    let mut running = Vec::new();
    for role in roles {
        let schema = schema(*role).context("a service without a schema was named")?;
        let mut db = schema.connect(admin).await?;
        let sessions = schema.sessions(&mut db).await?;
        db.close().await?;
        if sessions > 0 {
            running.push(format!("{} ({sessions} sessions)", schema.service));
        }
    }
    if !running.is_empty() {
        bail!("services use the database: stop {} first", running.join(", "));
    }
    Ok(())
}
