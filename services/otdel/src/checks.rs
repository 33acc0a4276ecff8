//! What `otdel verify` looks at in the databases, one finding a line.
//!
//! Each schema is read in one transaction of its own, so that what is found there belongs together although services go on
//! working. Cursors are taken from the followers' snapshots first and compared with their sources afterwards: a source
//! only grows.

mod finding;
mod progress;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use otdel_runtime::{
    content,
    db::{SNAPSHOT, Schema},
    feed::{self, Cursor, Recognised},
    follow::{self, Follower, Standing},
};
use otdel_types::Zone;
use sqlx::{Connection as _, PgConnection, Postgres, Transaction, postgres::PgConnectOptions};

pub use finding::{Finding, State};
use progress::Progress;

use crate::{cli::Role, node::schema, private::hex};

/// Looks at the schemas of these services and tells each finding as soon as it is there.
pub async fn look(
    admin: &PgConnectOptions,
    roles: &[Role],
    tell: &mut impl FnMut(&Finding) -> Result<()>,
) -> Result<()> {
    let progress = Progress::new();
    let mut say = |finding: Finding| progress.suspend(|| tell(&finding));
    let mut standings = Vec::new();
    for role in roles {
        let schema = schema(*role).context("a service without a schema was named")?;
        let mut db = schema.connect(admin).await?;
        if let Err(unfit) = schema.check_version(&mut db).await {
            // Nothing else can be said of a schema that this binary does not know.
            say(Finding::wrong(schema.service, "schema", unfit))?;
            continue;
        }
        say(Finding::ok(schema.service, "schema", "at the version of this binary"))?;
        let mut tx = db.begin_with(SNAPSHOT).await?;
        rights(schema, &mut tx, &mut say).await?;
        chain(schema, &mut tx, &progress, &mut say).await?;
        contents(schema, &mut tx, &progress, &mut say).await?;
        if *role == Role::Billing {
            books(&mut tx, &progress, &mut say).await?;
        }
        standings.extend(read_models(schema, *role, &mut tx, &progress, &mut say).await?);
        tx.commit().await?;
        db.close().await?;
    }
    for (service, standing) in standings {
        cursor(admin, roles, service, &standing, &mut say).await?;
    }
    Ok(())
}

async fn rights(schema: &Schema, db: &mut PgConnection, say: &mut impl FnMut(Finding) -> Result<()>) -> Result<()> {
    let wrong = schema.wrong_rights(db).await?;
    for one in &wrong {
        say(Finding::wrong(schema.service, "rights", one))?;
    }
    if wrong.is_empty() {
        say(Finding::ok(schema.service, "rights", "as `otdel migrate` gives them"))?;
    }
    Ok(())
}

async fn chain(
    schema: &Schema,
    db: &mut PgConnection,
    progress: &Progress,
    say: &mut impl FnMut(Finding) -> Result<()>,
) -> Result<()> {
    progress.begin(format!("{} feed", schema.service));
    match feed::verify(db, |position, last| progress.of(position, last)).await {
        Ok(verified) => {
            say(Finding::ok(schema.service, "feed", format_args!("{} events without a gap", verified.position))
                .with_digest(&verified.hash))
        }
        Err(feed::Broken::Database(error)) => Err(error.into()),
        Err(broken) => say(Finding::wrong(schema.service, "feed", broken)),
    }
}

async fn contents(
    schema: &Schema,
    db: &mut PgConnection,
    progress: &Progress,
    say: &mut impl FnMut(Finding) -> Result<()>,
) -> Result<()> {
    progress.begin(format!("{} content", schema.service));
    let content = content::digest(db, |table, rows| progress.count(table, rows)).await?;
    let rows: u64 = content.tables.iter().map(|table| table.rows).sum();
    let text = format!("{rows} rows in {} tables", content.tables.len());
    say(Finding::ok(schema.service, "content", text).with_digest(&content.digest).with_tables(&content.tables))
}

async fn books(
    db: &mut Transaction<'_, Postgres>,
    progress: &Progress,
    say: &mut impl FnMut(Finding) -> Result<()>,
) -> Result<()> {
    progress.begin("billing ledger".to_owned());
    let books = otdel_billing::books(db).await?;
    for (account, balance) in &books.balances {
        say(Finding::ok("billing", "balance", format_args!("{account} {balance}")))?;
    }
    for wrong in &books.wrong {
        say(Finding::wrong("billing", "ledger", wrong))?;
    }
    if books.wrong.is_empty() {
        let text = format_args!("{} transactions sum to zero and agree with the documents", books.transactions);
        say(Finding::ok("billing", "ledger", text))?;
    }
    Ok(())
}

/// Tells the digest of each live read model, as the service computes it, and returns where every follower stands.
async fn read_models(
    schema: &Schema,
    role: Role,
    db: &mut PgConnection,
    progress: &Progress,
    say: &mut impl FnMut(Finding) -> Result<()>,
) -> Result<Vec<(&'static str, Standing)>> {
    let standings = follow::standing(&mut *db).await?;
    let zone = schema.zone(&mut *db).await?;
    if let Some(model) = read_model(role, zone)
        && let Some(rebuild) = model.rebuild()
    {
        progress.begin(format!("{} read model", schema.service));
        // Before the follower has run for the first time, there is no build.
        let live = standings.iter().find(|standing| standing.follower == model.name());
        let digest = rebuild.digest(db, live.map_or(1, |standing| standing.generation)).await;
        let digest = digest.map_err(|fault| anyhow::anyhow!("{} cannot be digested: {fault:?}", model.name()))?;
        // Behind the digest stands what the build itself finds wrong with what it keeps.
        let (digest, found) = match digest.split_once(' ') {
            None => (digest.as_str(), Finding::ok(schema.service, "read model", model.name())),
            Some((digest, wrong)) => {
                (digest, Finding::wrong(schema.service, "read model", format_args!("{} {wrong}", model.name())))
            }
        };
        say(Finding { digest: Some(digest.to_owned()), ..found })?;
    }
    Ok(standings.into_iter().map(|standing| (schema.service, standing)).collect())
}

fn read_model(role: Role, zone: Zone) -> Option<Arc<dyn Follower>> {
    match role {
        Role::Contracts => Some(otdel_contracts::read_model()),
        Role::Billing => Some(otdel_billing::read_model()),
        Role::Reporting => Some(otdel_reporting::read_model(zone)),
        Role::Leads | Role::Gateway => None,
    }
}

/// Tells whether a source recognises where a follower stands in it.
async fn cursor(
    admin: &PgConnectOptions,
    roles: &[Role],
    service: &'static str,
    standing: &Standing,
    say: &mut impl FnMut(Finding) -> Result<()>,
) -> Result<()> {
    let Standing { follower, source, position, token, .. } = standing;
    let at = format!("{follower} at {position} of {source}");
    let Some(source) = roles.iter().find(|role| role.name() == source) else {
        return say(Finding::ok(service, "cursor", format_args!("{at}, which was not looked at")));
    };
    if token.is_empty() {
        return say(Finding::ok(service, "cursor", at));
    }
    let Ok(cursor) = token.parse::<Cursor>() else {
        return say(Finding::wrong(service, "cursor", format_args!("{at} is damaged")));
    };
    if cursor.position != *position {
        let text = format_args!("{at} says otherwise than its token, which is at {}", cursor.position);
        return say(Finding::wrong(service, "cursor", text));
    }
    let schema = schema(*source).context("a source has no schema")?;
    let mut db = schema.connect(admin).await?;
    let recognised = feed::recognise(&mut db, &cursor).await?;
    db.close().await?;
    say(match recognised {
        Recognised::Same => Finding::ok(service, "cursor", at),
        Recognised::EarlierEpoch => Finding::pending(
            service,
            "cursor",
            format_args!("{at} is of an earlier epoch: it reads again when it runs"),
        ),
        Recognised::Lost => {
            Finding::pending(service, "cursor", format_args!("{at} is of a lost history: it reads again when it runs"))
        }
        // Nothing else witnesses to it: a feed that was cut is whole up to where it ends. When the follower runs, it reads
        // again, and nobody will ever know.
        Recognised::Diverged => Finding::wrong(
            service,
            "cursor",
            format_args!("{at} is after events that the feed does not have, and no restore was finished"),
        ),
    })
}

/// The whole digest in hexadecimal digits.
fn digits(digest: &[u8]) -> String {
    hex(digest)
}
