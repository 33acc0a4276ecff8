//! `otdel restore-finish`

use anyhow::{Context as _, Result, bail};
use otdel_runtime::epoch::When;
use sqlx::Connection as _;

use super::new_epoch::{nobody_uses, renew};
use crate::{
    checks::{self, State},
    cli::{RestoreFinishArgs, SERVICES},
    exit::Exit,
    node::schema,
    say,
};

/// Does what a restored database needs before services run on it, and tells what it did. A second time changes nothing.
pub async fn restore_finish(args: &RestoreFinishArgs) -> Result<Exit> {
    let admin = args.database.options()?;
    // Nothing is written before everything is as it must be.
    for role in SERVICES {
        let schema = schema(role).context("a service without a schema was named")?;
        let mut db = schema.connect(&admin).await?;
        schema.check_version(&mut db).await?;
        let wrong = schema.wrong_rights(&mut db).await?;
        if !wrong.is_empty() {
            bail!("{}: {}: run `otdel migrate`, which makes roles and gives rights", schema.service, wrong.join(", "));
        }
        db.close().await?;
    }
    say("every schema is at the version of this binary, and its roles are there")?;
    nobody_uses(&admin, &SERVICES).await?;
    say("no service uses the database")?;
    renew(&admin, &SERVICES, When::Restored).await?;

    let mut worst = State::Ok;
    checks::look(&admin, &SERVICES, &mut |finding| {
        worst = worst.max(finding.state);
        say(&finding.to_string())
    })
    .await?;
    if worst == State::Wrong {
        say("the restored data are not as they should be: do not start the services")?;
        return Ok(Exit::Wrong);
    }
    say("start the services: followers read again, then `otdel verify` exits with 0")?;
    Ok(Exit::Well)
}
