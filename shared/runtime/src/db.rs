//! The service's own schema: connections, migrations and what is checked before anything is served.

use std::{borrow::Cow, time::Duration};

use chrono::{DateTime, Utc};
use otdel_types::Zone;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection, PgPool, Postgres, Transaction,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use uuid::Uuid;

use crate::{epoch, scram};

mod rights;

/// The tables that every schema has.
static RUNTIME: Migrator = sqlx::migrate!("./migrations");

/// A service's schema and how it comes to be.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// The service's name, which is the schema's too.
    pub service: &'static str,
    /// The service's own migrations, after the runtime's.
    pub migrations: &'static Migrator,
    /// Statements after the migrations that narrow what the running service may do to its own tables.
    pub restrictions: &'static [&'static str],
}

/// What a deployment decides once, at its first migration.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The zone that decides months and dates.
    pub zone: Zone,
    /// On a test database: the time at which the suite's clock begins to stand.
    pub test_time: Option<DateTime<Utc>>,
}

/// What is known of a schema when a service starts on it.
#[derive(Clone, Copy, Debug)]
pub struct Opened {
    /// The zone that decides months and dates.
    pub zone: Zone,
    /// The suite's time on a test database.
    pub test_time: Option<DateTime<Utc>>,
}

/// Why a service does not start on a database.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The database answered with an error.
    #[error("the database of {service} cannot be used: {source}")]
    Database {
        /// The service.
        service: &'static str,
        /// What the database said.
        source: sqlx::Error,
    },
    /// A migration failed.
    #[error("the schema of {service} cannot be migrated: {source}")]
    Migration {
        /// The service.
        service: &'static str,
        /// What went wrong.
        source: sqlx::migrate::MigrateError,
    },
    /// The schema is not at the version of this binary.
    #[error("the schema of {service} is not at the version of this binary: run `otdel migrate` ({detail})")]
    Version {
        /// The service.
        service: &'static str,
        /// Which migration is missing, unknown or different.
        detail: String,
    },
    /// The server may forget what it acknowledged.
    #[error("the server runs with {setting} = {value}, which can lose acknowledged work: set it to on")]
    NotDurable {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: String,
    },
    /// A test database outside a test, or the other way round.
    #[error("the schema of {service} is {}marked as a test database: {}",
        if *marked { "" } else { "not " },
        if *marked { "only `--test` may use it" } else { "`--test` makes a fresh one of its own" })]
    TestMark {
        /// The service.
        service: &'static str,
        /// Whether the database is marked.
        marked: bool,
    },
    /// The zone that was configured is not the one that the figures stand on.
    #[error("the business zone of {service} is {stored} since its first migration and cannot become {configured}")]
    Zone {
        /// The service.
        service: &'static str,
        /// The zone in the schema.
        stored: String,
        /// The zone that was asked for.
        configured: String,
    },
}

impl Schema {
    fn database(&self) -> impl Fn(sqlx::Error) -> Unfit + use<> {
        let service = self.service;
        move |source| Unfit::Database { service, source }
    }

    fn migration(&self) -> impl Fn(sqlx::migrate::MigrateError) -> Unfit + use<> {
        let service = self.service;
        move |source| Unfit::Migration { service, source }
    }

    /// The role that owns the schema and migrates it.
    pub fn owner_role(&self) -> String {
        format!("otdel_{}_owner", self.service)
    }

    /// The role that the running service connects as.
    pub fn app_role(&self) -> String {
        format!("otdel_{}_app", self.service)
    }

    /// A database as the running service connects to it.
    pub fn as_app(&self, database: PgConnectOptions, password: &SecretString) -> PgConnectOptions {
        database.username(&self.app_role()).password(password.expose_secret())
    }

    /// Brings the schema to the version of this binary, from nothing if need be, and gives the service's role its rights
    /// and its password. `admin` may create roles and schemas. Running it again changes nothing.
    pub async fn migrate(
        &self,
        admin: &PgConnectOptions,
        password: &SecretString,
        deployment: &Deployment,
    ) -> Result<(), Unfit> {
        let quiet = admin.clone().disable_statement_logging();
        let mut db = PgConnection::connect_with(&quiet).await.map_err(self.database())?;
        // Whether it may be touched at all, before anything is.
        if self.exists(&mut db).await.map_err(self.database())? {
            self.compare(&mut db, Some(deployment.zone), deployment.test_time.is_some()).await?;
        }
        self.make_roles(&mut db, password).await.map_err(self.database())?;
        let owner = self.owner_role();
        let schema = format!("create schema if not exists {} authorization {owner}", self.service);
        run(&mut db, schema).await.map_err(self.database())?;
        run(&mut db, format!("set role {owner}; set search_path = {}; set lock_timeout = '2s'", self.service))
            .await
            .map_err(self.database())?;
        self.migrator(&RUNTIME, "runtime_migration")
            .run_direct(None, &mut db, false)
            .await
            .map_err(self.migration())?;
        self.migrator(self.migrations, "migration").run_direct(None, &mut db, false).await.map_err(self.migration())?;
        self.settle(&mut db, deployment).await?;
        self.grant(&mut db).await.map_err(self.database())?;
        db.close().await.map_err(self.database())
    }

    /// Makes the schema's roles where they are missing and sets the service's password, and nothing else: what a dump of
    /// another cluster names but does not hold. `admin` may create roles. Running it again changes nothing.
    pub async fn prepare_roles(&self, admin: &PgConnectOptions, password: &SecretString) -> Result<(), Unfit> {
        let quiet = admin.clone().disable_statement_logging();
        let mut db = PgConnection::connect_with(&quiet).await.map_err(self.database())?;
        self.make_roles(&mut db, password).await.map_err(self.database())?;
        db.close().await.map_err(self.database())
    }

    /// Connects an operator's command to the schema. `admin` reads it.
    pub async fn connect(&self, admin: &PgConnectOptions) -> Result<PgConnection, Unfit> {
        let options = admin.clone().application_name("otdel operator").options([
            ("search_path", self.service),
            ("timezone", "UTC"),
            // How the digest of the content reads values.
            ("bytea_output", "hex"),
            ("extra_float_digits", "1"),
            ("intervalstyle", "iso_8601"),
        ]);
        PgConnection::connect_with(&options).await.map_err(self.database())
    }

    /// The migrator with its own book-keeping table inside the service's schema.
    fn migrator(&self, of: &'static Migrator, table: &str) -> Migrator {
        let mut migrator = Migrator { migrations: Cow::Borrowed(&of.migrations), ..Migrator::DEFAULT };
        migrator.dangerous_set_table_name(format!("{}.{table}", self.service));
        migrator
    }

    /// Whether the schema was settled by an earlier migration.
    async fn exists(&self, db: &mut PgConnection) -> sqlx::Result<bool> {
        run(db, format!("set search_path = {}", self.service)).await?;
        let settled: bool =
            sqlx::query_scalar("select to_regclass('deployment') is not null").fetch_one(&mut *db).await?;
        if !settled {
            return Ok(false);
        }
        sqlx::query_scalar("select exists (select from deployment)").fetch_one(db).await
    }

    async fn make_roles(&self, db: &mut PgConnection, password: &SecretString) -> sqlx::Result<()> {
        let (schema, owner, app) = (self.service, self.owner_role(), self.app_role());
        // Services migrate one after another, but two operators may migrate at once.
        run(db, "select pg_advisory_lock(hashtext('otdel.migrate'))".into()).await?;
        for (role, login) in [(&owner, "nologin"), (&app, "login")] {
            let exists = sqlx::query_scalar::<_, bool>("select exists (select from pg_roles where rolname = $1)")
                .bind(role)
                .fetch_one(&mut *db)
                .await?;
            if !exists {
                run(db, format!("create role {role} {login}")).await?;
            }
        }
        // Membership lets an administrator who is no superuser act as the owner.
        run(db, format!("grant {owner} to current_user")).await.or_else(superuser_needs_none)?;
        // The verifier and not the password, which a server's log of data definition would show.
        let verifier = scram::verifier(password).map_err(|error| sqlx::Error::Configuration(error.into()))?;
        run(db, format!("alter role {app} password '{verifier}'")).await?;
        run(db, format!("alter role {app} set search_path = {schema}")).await?;
        run(db, "select pg_advisory_unlock(hashtext('otdel.migrate'))".into()).await
    }

    /// Writes the deployment's row once, or compares it with what is asked for.
    async fn settle(&self, db: &mut PgConnection, deployment: &Deployment) -> Result<(), Unfit> {
        sqlx::query!(
            "insert into deployment (business_zone, epoch, epoch_home, test_time) values ($1, $2, $3, $4)
             on conflict do nothing",
            deployment.zone.to_string(),
            Uuid::now_v7(),
            epoch::home(&mut *db).await.map_err(self.database())?,
            deployment.test_time,
        )
        .execute(&mut *db)
        .await
        .map_err(self.database())?;
        self.compare(db, Some(deployment.zone), deployment.test_time.is_some()).await.map(drop)
    }

    async fn compare(&self, db: &mut PgConnection, zone: Option<Zone>, test: bool) -> Result<Opened, Unfit> {
        let row = sqlx::query!("select business_zone, test_time from deployment")
            .fetch_one(db)
            .await
            .map_err(self.database())?;
        if row.test_time.is_some() != test {
            return Err(Unfit::TestMark { service: self.service, marked: row.test_time.is_some() });
        }
        let configured = zone.map_or_else(|| row.business_zone.clone(), |zone| zone.to_string());
        match row.business_zone.parse() {
            Ok(zone) if configured == row.business_zone => Ok(Opened { zone, test_time: row.test_time }),
            _ => Err(Unfit::Zone { service: self.service, stored: row.business_zone, configured }),
        }
    }

    async fn grant(&self, db: &mut PgConnection) -> sqlx::Result<()> {
        for statement in self.grants() {
            run(db, statement).await?;
        }
        Ok(())
    }

    /// The running service reads and writes its own tables and nothing else; what happened is never rewritten.
    fn grants(&self) -> Vec<String> {
        let (schema, app) = (self.service, self.app_role());
        let mut grants = vec![
            format!("grant usage on schema {schema} to {app}"),
            format!("grant select, insert, update, delete on all tables in schema {schema} to {app}"),
            format!("grant usage on all sequences in schema {schema} to {app}"),
            format!("revoke update, delete on outbox, deployment, runtime_migration, migration from {app}"),
            format!("revoke insert on deployment, runtime_migration, migration from {app}"),
            format!("grant update (position, hash) on outbox to {app}"),
            format!("grant update (test_time) on deployment to {app}"),
        ];
        grants.extend(self.restrictions.iter().map(|restriction| restriction.replace("{app}", &app)));
        grants
    }

    /// The zone that decides the service's months and dates.
    pub async fn zone(&self, db: &mut PgConnection) -> Result<Zone, Unfit> {
        let row = sqlx::query!("select business_zone, test_time from deployment").fetch_one(&mut *db).await;
        let test = row.map_err(self.database())?.test_time.is_some();
        self.compare(db, None, test).await.map(|opened| opened.zone)
    }

    /// Connects as the running service and refuses a database that it must not run on.
    pub async fn open(
        &self,
        database: PgConnectOptions,
        test: bool,
        connections: u32,
    ) -> Result<(PgPool, Opened), Unfit> {
        let options = self.session(database);
        // Not from the pool, where a call may wait 300 ms: a login may take longer, and a start can wait for it.
        let mut db = PgConnection::connect_with(&options).await.map_err(self.database())?;
        check_durable(&mut db, self.service).await?;
        self.check_version(&mut db).await?;
        let opened = self.compare(&mut db, None, test).await?;
        db.close().await.map_err(self.database())?;
        let pool = pool(options, connections);
        Ok((pool, opened))
    }

    /// What every session of the running service is set to.
    fn session(&self, options: PgConnectOptions) -> PgConnectOptions {
        options.application_name(&format!("otdel {}", self.service)).options([
            ("search_path", self.service),
            ("statement_timeout", "5s"),
            ("lock_timeout", "1s"),
            ("idle_in_transaction_session_timeout", "10s"),
            ("timezone", "UTC"),
        ])
    }

    /// Every migration of this binary is applied with the same content, and none that it does not know.
    pub async fn check_version(&self, db: &mut PgConnection) -> Result<(), Unfit> {
        for (of, table) in [(&RUNTIME, "runtime_migration"), (self.migrations, "migration")] {
            let sql = format!("select version, checksum from {}.{table} where success order by version", self.service);
            let applied: Vec<(i64, Vec<u8>)> = sqlx::query_as(AssertSqlSafe(sql))
                .fetch_all(&mut *db)
                .await
                .map_err(|error| self.version(error.to_string()))?;
            let known: Vec<(i64, Vec<u8>)> =
                of.migrations.iter().map(|one| (one.version, one.checksum.to_vec())).collect();
            if applied != known {
                let at = applied.iter().zip(&known).take_while(|(one, two)| one == two).count();
                let (is, wanted) = (applied.get(at).map(|one| one.0), known.get(at).map(|one| one.0));
                return Err(self.version(format!("{table}: it has {is:?} where this binary has {wanted:?}")));
            }
        }
        Ok(())
    }

    fn version(&self, detail: String) -> Unfit {
        Unfit::Version { service: self.service, detail }
    }
}

/// The connections of a running service's calls.
fn pool(options: PgConnectOptions, connections: u32) -> PgPool {
    PgPoolOptions::new()
        // All of them are opened at once and kept open: a login may take longer than a call may wait for a connection, on
        // a busy machine or with a password of an operator's own. With an end to their life sqlx would open them one by
        // one, as calls wait for them.
        .max_lifetime(None)
        .min_connections(connections)
        .max_connections(connections)
        .idle_timeout(None)
        .acquire_timeout(Duration::from_millis(300))
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

/// Connections for what a service does by itself, of which its calls cannot take any. They are opened as they are needed:
/// what is due can wait for a login, but not until calls leave it a connection. Readiness, which looks through them, has a
/// second: none is closed for its age.
pub fn background(calls: &PgPool) -> PgPool {
    PgPoolOptions::new()
        .max_lifetime(None)
        .max_connections(BACKGROUND)
        .acquire_timeout(Duration::from_secs(5))
        .connect_lazy_with(calls.connect_options().as_ref().clone())
}

/// More than a service has workers.
const BACKGROUND: u32 = 4;

/// Begins a transaction that reads one state of the database over several statements.
pub const SNAPSHOT: &str = "begin isolation level repeatable read read only";

/// Begins a transaction, to the end also where nobody waits for it any more.
///
/// sqlx 0.9.0 hands a session on inside an open transaction where the future of its `begin` was dropped, and what its next
/// user does without a transaction of its own is lost. A guard at each release (`begin; rollback`) was rejected: it is a
/// round trip for every call, a quarter of what a read costs.
pub(crate) async fn begin(pool: &PgPool, statement: &'static str) -> sqlx::Result<Transaction<'static, Postgres>> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin_with(statement).await });
    begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

/// Keeps the suite's time on a test database, so that a restarted process goes on where it was.
pub async fn keep_test_time(db: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!("update deployment set test_time = $1 where test_time is not null", now).execute(db).await?;
    Ok(())
}

/// A server that may forget what it acknowledged is refused, in tests too: they would prove nothing.
async fn check_durable(db: &mut PgConnection, service: &'static str) -> Result<(), Unfit> {
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let value: String = sqlx::query_scalar("select current_setting($1)")
            .bind(setting)
            .fetch_one(&mut *db)
            .await
            .map_err(|source| Unfit::Database { service, source })?;
        if value == "off" {
            return Err(Unfit::NotDurable { setting, value });
        }
    }
    Ok(())
}

/// Data definition knows no parameters; the names in it are the services' own.
async fn run(db: &mut PgConnection, sql: String) -> sqlx::Result<()> {
    db.execute(AssertSqlSafe(sql)).await.map(drop)
}

/// A superuser needs no membership, and granting a role to the superuser itself may be refused.
fn superuser_needs_none(error: sqlx::Error) -> sqlx::Result<()> {
    match error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() {
        Some("0LP01" | "42501") => Ok(()),
        _ => Err(error),
    }
}
