//! The sums that reports read are what the facts make, whatever is written, however often and in whatever order.

use otdel::{cli::Role, node};
use otdel_runtime::db::{Deployment, Schema};
use otdel_tests::{
    cluster::{Database, ZONE, password},
    dice::Dice,
    eventually::eventually,
};
use sqlx::{AssertSqlSafe, PgConnection, migrate::Migrator};

/// The tables of sums with what tells a sum of nothing, which does not count: those that there are depend on the order.
const SUMS: [(&str, &str); 6] = [
    ("lead", "(leads, won) = (0, 0)"),
    ("won", "won = 0"),
    ("worth", "(won, amount) = (0, 0)"),
    ("stage", "(entered, standing) = (0, 0)"),
    ("money", "(invoices, net, vat, gross, parts, paid) = (0, 0, 0, 0, 0, 0)"),
    ("debt", "(invoices, invoiced, parts, paid) = (0, 0, 0, 0)"),
];

/// How many leads, deals and clients a history is about: few, so that most statements meet others.
const THINGS: usize = 12;
const STATEMENTS: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn sums_are_those_of_the_facts_whatever_is_written() {
    let database = Database::standing().await;
    let mut db = database.app("reporting").await;
    for seed in 1..=8 {
        let mut dice = Dice::new(seed);
        let generation = i64::try_from(seed).unwrap();
        sqlx::query("begin").execute(&mut db).await.unwrap();
        // Also what no event does yet: deals that change hands, invoices that are corrected, deals that are opened again.
        for _ in 0..STATEMENTS {
            let statement = if dice.below(3) == 0 { of_billing(&mut dice, true) } else { of_leads(&mut dice, true) };
            write(&mut db, &statement, generation).await;
        }
        has_counted(&mut db, generation).await;
        are_those_of_the_facts(&mut db, generation).await;
        sqlx::query("commit").execute(&mut db).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_builds_of_the_same_feeds_are_equal_however_the_feeds_interleave() {
    let database = Database::standing().await;
    let mut db = database.app("reporting").await;
    for seed in 1..=8 {
        let mut dice = Dice::new(seed);
        let leads: Vec<String> = (0..STATEMENTS).map(|_| of_leads(&mut dice, false)).collect();
        let billing: Vec<String> = (0..STATEMENTS / 2).map(|_| of_billing(&mut dice, false)).collect();
        let (one, other) = (i64::try_from(seed * 2).unwrap(), i64::try_from(seed * 2 + 1).unwrap());
        sqlx::query("begin").execute(&mut db).await.unwrap();
        for generation in [one, other] {
            let (mut leads, mut billing) = (leads.iter(), billing.iter());
            // Each feed in its order, and one of them far ahead of the other now and then.
            while leads.len() + billing.len() > 0 {
                let from_leads = dice.below(2) == 0;
                for _ in 0..=dice.below(40) {
                    if let Some(statement) = if from_leads { leads.next() } else { billing.next() } {
                        write(&mut db, statement, generation).await;
                    }
                }
            }
        }
        has_counted(&mut db, one).await;
        for (sum, nothing) in SUMS {
            let of = |generation: i64| {
                format!(
                    "select to_jsonb(s) - 'generation' from reporting.{sum}_sum s
                     where not ({nothing}) and generation = {generation}"
                )
            };
            assert_eq!(difference(&mut db, &of(one), &of(other)).await, 0, "{sum}_sum of seed {seed}");
        }
        let of = |generation| {
            format!("select fact_table, facts, digest from reporting.content where generation = {generation}")
        };
        assert_eq!(difference(&mut db, &of(one), &of(other)).await, 0, "content of seed {seed}");
        sqlx::query("commit").execute(&mut db).await.unwrap();
    }
}

/// A name of the n-th thing of a kind.
fn name(kind: usize, at: usize) -> String {
    format!("'{kind:08}-0000-7000-8000-{at:012}'::uuid")
}

fn any(dice: &mut Dice, kind: usize) -> String {
    name(kind, dice.below(THINGS))
}

fn date(dice: &mut Dice) -> String {
    format!("date '2026-01-01' + {}", dice.below(90))
}

/// One of a few people or teams.
fn one_of_three(dice: &mut Dice, kind: usize) -> String {
    name(kind, dice.below(3))
}

const LEAD: usize = 1;
const DEAL: usize = 2;
const CLIENT: usize = 3;
const PERSON: usize = 4;
const TEAM: usize = 5;

/// A statement as the facts of leads make them, or, if `anything` goes, one that no fact makes yet. It writes the
/// generation $1.
fn of_leads(dice: &mut Dice, anything: bool) -> String {
    let (lead, deal) = (any(dice, LEAD), any(dice, DEAL));
    let (owner, team) = (one_of_three(dice, PERSON), one_of_three(dice, TEAM));
    let stage = dice.below(3);
    match dice.below(if anything { 9 } else { 7 }) {
        0 | 1 => {
            let (owner, team) = (*dice.of(&["null", &owner]), *dice.of(&["null", &team]));
            let date = date(dice);
            let origin = dice.below(2);
            format!(
                "insert into reporting.lead (generation, lead_id, receive_date, channel, origin, owner_id, team_id)
                 values ($1, {lead}, {date}, 'site', 'origin {origin}', {owner}, {team}) on conflict do nothing"
            )
        }
        2 => {
            let owner = *dice.of(&["null", &owner]);
            format!(
                "update reporting.lead set owner_id = {owner}, team_id = {team} where generation = $1 and lead_id = {lead}"
            )
        }
        3 | 4 => format!(
            "with opened as (
                 insert into reporting.deal (generation, deal_id, lead_id, owner_id, team_id, pipeline_id, stage, state,
                     open_date, receive_date, channel, origin)
                 select $1, {deal}, lead_id, {owner}, {team}, {pipeline}, 'stage 0', 'open', {date}, receive_date, channel,
                     origin
                 from reporting.lead where generation = $1 and lead_id = {lead}
                 on conflict do nothing
                 returning deal_id, pipeline_id, stage)
             insert into reporting.stage_entry (generation, deal_id, pipeline_id, stage, position)
             select $1, deal_id, pipeline_id, stage, 1 from opened",
            pipeline = name(6, dice.below(2)),
            date = date(dice),
        ),
        5 => format!(
            "with moved as (update reporting.deal set stage = 'stage {stage}' where generation = $1 and deal_id = {deal}
                            returning deal_id, pipeline_id)
             insert into reporting.stage_entry as entry (generation, deal_id, pipeline_id, stage, position)
             select $1, deal_id, pipeline_id, 'stage {stage}', 2 from moved
             on conflict (generation, deal_id, stage) do update set position = entry.position"
        ),
        6 => {
            let worth = *dice.of(&["amount = null, currency = null", "amount = 700, currency = 'RUB'", "amount = 90, currency = 'USD'"]);
            format!(
                "with won as (
                     update reporting.deal set state = 'won', win_date = {date}, {worth}
                     where generation = $1 and deal_id = {deal} returning lead_id)
                 update reporting.lead set won = true where generation = $1 and lead_id in (select lead_id from won)",
                date = date(dice),
            )
        }
        7 => format!(
            "update reporting.deal set state = '{state}', win_date = null, amount = null, currency = null
             where generation = $1 and deal_id = {deal}",
            state = dice.of(&["open", "lost"]),
        ),
        _ => format!(
            "update reporting.deal set owner_id = {owner}, team_id = {team}, open_date = {date}
             where generation = $1 and deal_id = {deal}",
            date = date(dice),
        ),
    }
}

/// The same for billing.
fn of_billing(dice: &mut Dice, anything: bool) -> String {
    let (deal, client, date) = (any(dice, DEAL), any(dice, CLIENT), date(dice));
    let (amount, currency) = (dice.below(1_000), *dice.of(&["RUB", "USD"]));
    let id = name(7, dice.below(usize::MAX) % 1_000_000_000);
    match dice.below(if anything { 6 } else { 4 }) {
        0 | 1 => format!(
            "insert into reporting.invoice
                 (generation, invoice_id, deal_id, client_id, issue_date, currency, net, vat, gross)
             values ($1, {id}, {deal}, {client}, {date}, '{currency}', {amount}, 2, {amount} + 2)"
        ),
        2 | 3 => format!(
            "insert into reporting.allocation
                 (generation, position, part, deal_id, client_id, allocate_date, currency, amount)
             select $1, {position}, part, {deal}, {client}, {date}, '{currency}', {amount} from generate_series(1, 2) part",
            position = dice.below(usize::MAX) % 1_000_000_000,
        ),
        4 => format!(
            "update reporting.invoice set gross = {amount}, client_id = {client}, issue_date = {date}
             where generation = $1 and deal_id = {deal}"
        ),
        _ => format!(
            "update reporting.allocation set amount = {amount}, deal_id = {deal}
             where generation = $1 and client_id = {client}"
        ),
    }
}

async fn write(db: &mut PgConnection, statement: &str, generation: i64) {
    let written = sqlx::query(AssertSqlSafe(statement)).bind(generation).execute(db).await;
    written.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_beside_a_follower_that_writes_counts_every_fact() {
    let database = Database::empty().await;
    upgrade(&database, 1).await;
    let mut follower = database.app("reporting").await;
    for statement in [
        "insert into reporting.projection (name, live) values ('reporting', 1)",
        "insert into reporting.cursor (projection, generation, source, position, token)
         values ('reporting', 1, 'leads', 0, '')",
    ] {
        sqlx::query(statement).execute(&mut follower).await.unwrap();
    }
    let mut dice = Dice::new(1);
    begin_a_batch(&mut follower, &mut dice).await;
    sqlx::query("commit").execute(&mut follower).await.unwrap();
    for version in 2..=3 {
        begin_a_batch(&mut follower, &mut dice).await;
        let upgrading = tokio::spawn({
            let database = database.clone();
            async move { upgrade(&database, version).await }
        });
        eventually("the upgrade waits for the batch", || async {
            let sql = "select count(*) from pg_locks join pg_database d on d.oid = database
                       where datname = current_database() and not granted";
            let mut db = database.app("reporting").await;
            let waiting: i64 = sqlx::query_scalar(sql).fetch_one(&mut db).await.unwrap();
            if waiting > 0 { Ok(()) } else { Err(waiting) }
        })
        .await;
        sqlx::query("commit").execute(&mut follower).await.unwrap();
        upgrading.await.unwrap();
    }
    has_counted(&mut follower, 1).await;
    are_those_of_the_facts(&mut follower, 1).await;
    // It may go on for as long as it likes.
    begin_a_batch(&mut follower, &mut dice).await;
    are_those_of_the_facts(&mut follower, 1).await;
}

/// Brings the schema to a version.
async fn upgrade(database: &Database, version: usize) {
    let schema = node::schema(Role::Reporting).expect("a schema");
    let migrations = schema.migrations.migrations[..version].to_vec().into();
    let migrator = Box::leak(Box::new(Migrator { migrations, ..Migrator::DEFAULT }));
    let deployment = Deployment { zone: ZONE.parse().unwrap(), test_time: None };
    let schema = Schema { migrations: migrator, ..*schema };
    schema.migrate(&database.options(), &password("reporting"), &deployment).await.unwrap();
}

/// Writes a batch as the follower of the first version does, and does not commit it.
async fn begin_a_batch(db: &mut PgConnection, dice: &mut Dice) {
    for statement in [
        "begin",
        "select from reporting.projection where name = 'reporting' for update",
        "update reporting.cursor set position = position + 1",
    ] {
        sqlx::query(statement).execute(&mut *db).await.unwrap();
    }
    for _ in 0..STATEMENTS {
        let statement = if dice.below(3) == 0 { of_billing(dice, false) } else { of_leads(dice, false) };
        // It knows of no pipeline in a stage's entry.
        let statement = statement.replace("deal_id, pipeline_id, ", "deal_id, ");
        write(db, &statement, 1).await;
    }
}

async fn are_those_of_the_facts(db: &mut PgConnection, generation: i64) {
    for (sum, nothing) in SUMS {
        let kept = format!("select * from reporting.{sum}_sum where not ({nothing}) and generation = {generation}");
        let recounted = format!("select * from reporting.{sum}_recount where generation = {generation}");
        assert_eq!(difference(db, &kept, &recounted).await, 0, "{sum}_sum of generation {generation}");
    }
    let of = |name| format!("select * from reporting.{name} where generation = {generation}");
    let differing = difference(db, &of("content"), &of("content_recount")).await;
    assert_eq!(differing, 0, "content of generation {generation}");
}

/// A history without one of these would prove less than it seems to.
async fn has_counted(db: &mut PgConnection, generation: i64) {
    for (sum, nothing) in SUMS {
        let sql =
            format!("select count(*) from reporting.{sum}_sum where generation = $1 and not whole and not ({nothing})");
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).bind(generation).fetch_one(&mut *db).await.unwrap();
        assert!(count > 0, "{sum}_sum has no rows");
    }
}

/// How many rows one query has and the other has not.
async fn difference(db: &mut PgConnection, one: &str, other: &str) -> i64 {
    let sql = format!(
        "select count(*) from ((({one}) except all ({other})) union all (({other}) except all ({one}))) as differ"
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(db).await.unwrap()
}
