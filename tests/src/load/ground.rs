//! Where it is measured: one durable cluster, and on it a database for each side, alike in every row.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use otdel::{
    cli::Role,
    commands::{migrate, up},
    data,
    postgres::{Guard, Throwaway},
    private,
};
use otdel_runtime::auth;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool, postgres::PgPoolOptions};

use crate::{cluster, split};

/// The database that every other is a copy of.
const SEEDED: &str = "seeded";

/// What the cluster runs with beside durability, which is always on. A run shall not meet a checkpoint that belongs to an
/// earlier one: there is one before each turn.
const SETTINGS: [(&str, &str); 5] = [
    ("max_connections", "400"),
    ("shared_buffers", "1GB"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "30min"),
    ("wal_buffers", "16MB"),
];

/// Settings that are written down with the figures.
const TOLD: [&str; 8] = [
    "fsync",
    "full_page_writes",
    "synchronous_commit",
    "shared_buffers",
    "max_wal_size",
    "max_connections",
    "autovacuum",
    "wal_buffers",
];

/// How many rows there are to work on.
#[derive(Clone, Copy, Debug)]
pub struct Stock {
    /// Leads to read and to contact, over and over.
    pub leads: u64,
    /// Leads to convert, each once.
    pub contacted: u64,
    /// Orders to confirm, each once.
    pub orders: u64,
    /// Invoices to pay parts of, over and over.
    pub invoices: u64,
}

/// The cluster, and what all sides share.
pub struct Ground {
    cluster: Throwaway,
    folder: PathBuf,
    /// The key of the principal who does everything.
    pub key: String,
    /// The principal's name.
    pub principal: String,
    /// What there is to work on.
    pub stock: Stock,
}

/// A side's database.
#[derive(Clone, Debug)]
pub struct Base {
    /// Its URL, as the superuser.
    pub url: String,
    /// A few connections as the superuser.
    pub db: PgPool,
}

impl Ground {
    /// Starts a cluster, and makes the database that the sides get copies of.
    pub async fn start(stock: Stock) -> Result<Self> {
        let settings = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let cluster = Throwaway::start_with("otdel-load-", Guard::Setpriv, settings.to_vec()).await?;
        let folder = std::env::temp_dir().join(format!("otdel-load-roles-{}", uuid::Uuid::now_v7()));
        private::make_folder(&folder)?;
        split::make_secrets(&folder.join("secrets"));
        cluster.cluster().create_database_if_absent(SEEDED).await?;
        let options = cluster.cluster().options(SEEDED);
        migrate::all(&options, |role| Ok(cluster::password(role.name())), cluster::ZONE.parse()?, None).await?;

        let key_file = folder.join("token");
        let key = data::key_at(&key_file)?;
        let leads = PgPool::connect_with(options.clone().options([("search_path", "leads")])).await?;
        up::admit_developer(&leads, key).await?;
        let principal: String =
            sqlx::query_scalar("select 'principals/' || id from leads.principal").fetch_one(&leads).await?;
        leads.close().await;
        let db = PgPoolOptions::new().max_connections(1).connect_with(options).await?;
        run(&db, include_str!("sql/seed.sql"), &stock.numbers()).await?;
        show_planner(&db).await?;
        db.close().await;
        Ok(Self { cluster, folder, key: std::fs::read_to_string(&key_file)?.trim().to_owned(), principal, stock })
    }

    /// A side's own database.
    pub async fn copy(&self, name: &str) -> Result<Base> {
        let cluster = self.cluster.cluster();
        let mut db = PgConnection::connect_with(&cluster.options("postgres")).await?;
        let sql = format!("create database {name} template {SEEDED} strategy file_copy");
        db.execute(AssertSqlSafe(sql)).await?;
        let options = cluster.options(name);
        let db = PgPoolOptions::new().max_connections(3).connect_with(options).await?;
        Ok(Base { url: cluster.url(name), db })
    }

    /// Where the roles' secrets are, and where their logs go.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The secrets of a role.
    pub fn secrets_of(&self, role: Role) -> PathBuf {
        self.folder.join("secrets").join(role.name())
    }

    /// The process number of the PostgreSQL server.
    pub fn server(&self) -> i32 {
        self.cluster.cluster().pid().unwrap_or_default()
    }

    /// A program that comes with the server, if it did.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        Some(self.cluster.cluster().binaries().program(name)).filter(|path| path.exists())
    }

    /// Writes what is in memory to the disk, so that every turn begins alike.
    pub async fn checkpoint(&self, base: &Base) -> Result<()> {
        base.db.execute("checkpoint").await?;
        Ok(())
    }

    /// The server's version and the settings that matter.
    pub async fn settings(&self, base: &Base) -> Result<serde_json::Value> {
        let version: String = sqlx::query_scalar("show server_version").fetch_one(&base.db).await?;
        let rows: Vec<(String, String)> =
            sqlx::query_as("select name, current_setting(name) from pg_settings where name = any($1) order by name")
                .bind(TOLD.map(str::to_owned).to_vec())
                .fetch_all(&base.db)
                .await?;
        let settings: serde_json::Map<_, _> = rows.into_iter().map(|(name, value)| (name, value.into())).collect();
        Ok(serde_json::json!({ "version": version, "settings": settings }))
    }

    /// Ends the cluster.
    pub async fn stop(self) -> Result<()> {
        self.cluster.stop().await?;
        std::fs::remove_dir_all(&self.folder).context("the folder of the roles was not removed")
    }
}

impl Stock {
    fn numbers(self) -> [(&'static str, u64); 4] {
        [
            ("{leads}", self.leads),
            ("{contacted}", self.contacted),
            ("{orders}", self.orders),
            ("{invoices}", self.invoices),
        ]
    }
}

/// Runs the statements of a script one by one, on one connection, with these numbers filled in.
pub async fn run(db: &PgPool, script: &str, numbers: &[(&str, u64)]) -> Result<()> {
    let sql = script.lines().filter(|line| !line.trim_start().starts_with("--")).collect::<Vec<_>>().join("\n");
    let sql = numbers.iter().fold(sql, |sql, (name, number)| sql.replace(name, &number.to_string()));
    let mut db = db.acquire().await?;
    for statement in sql.split(';').filter(|text| !text.trim().is_empty()) {
        db.execute(AssertSqlSafe(statement.to_owned())).await.with_context(|| statement.to_owned())?;
    }
    Ok(())
}

impl Base {
    /// One number.
    pub async fn number(&self, sql: &'static str) -> Result<i64> {
        sqlx::query_scalar(sql).fetch_one(&self.db).await.with_context(|| sql.to_owned())
    }
}

/// Shows the planner the tables that hold something. One that it was shown empty it believes to stay so, and sessions that
/// plan for it then read it from end to end until somebody shows it again; for one that it was never shown it expects a few
/// pages. Autovacuum shows none that is empty.
async fn show_planner(db: &PgPool) -> Result<()> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select oid::regclass::text from pg_class
         where relkind = 'r' and pg_relation_size(oid) > 0 and relnamespace::regnamespace::text = any($1)",
    )
    .bind(auth::SERVICES.map(str::to_owned).to_vec())
    .fetch_all(db)
    .await?;
    for table in tables {
        db.execute(AssertSqlSafe(format!("vacuum analyze {table}"))).await?;
    }
    Ok(())
}
