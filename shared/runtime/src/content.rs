//! What a schema holds, as a digest: equal in a database and in a restored copy of it.

use futures_util::TryStreamExt as _;
use ring::digest::{Context, SHA256};
use sqlx::{AssertSqlSafe, PgConnection};

/// What a schema holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Its tables, in the order of their names.
    pub tables: Vec<Table>,
    /// SHA-256 over the tables' names and digests.
    pub digest: Vec<u8>,
}

/// What a table holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name, without the schema.
    pub name: String,
    /// How many rows it has.
    pub rows: u64,
    /// SHA-256 over the digests of its rows in their own order, so that neither the place of a row on the disk nor a
    /// collation counts.
    pub digest: Vec<u8>,
}

/// Digests the schema on the search path, as the transaction sees it. What follows from elsewhere is left out: read models,
/// which have digests of their own without their generation, how far feeds were read, the epoch, and which migrations
/// were run. Rows are digested in the database and ordered there, on disk where need be; this process holds one at a
/// time. `read` is told the table and how many of its rows are read.
pub async fn digest(db: &mut PgConnection, mut read: impl FnMut(&str, u64)) -> sqlx::Result<Content> {
    let names = tables(&mut *db).await?;
    let mut tables = Vec::with_capacity(names.len());
    for name in names {
        tables.push(table(&mut *db, name, &mut read).await?);
    }
    let mut whole = Context::new(&SHA256);
    for table in &tables {
        whole.update(table.name.as_bytes());
        whole.update(&table.digest);
    }
    Ok(Content { tables, digest: whole.finish().as_ref().to_vec() })
}

/// How often to tell how many rows are read.
const TELL: u64 = 10_000;

async fn table(db: &mut PgConnection, name: String, read: &mut impl FnMut(&str, u64)) -> sqlx::Result<Table> {
    // A row is its JSON, so that a column cannot be forgotten here.
    let sql = format!(
        r#"select sha256(convert_to(to_jsonb(one)::text, 'UTF8')) from "{}" one order by 1"#,
        name.replace('"', "\"\"")
    );
    let (mut sum, mut rows) = (Context::new(&SHA256), 0);
    let mut found = sqlx::query_scalar::<_, Vec<u8>>(AssertSqlSafe(sql)).fetch(db);
    while let Some(row) = found.try_next().await? {
        sum.update(&row);
        rows += 1;
        if rows % TELL == 0 {
            read(&name, rows);
        }
    }
    drop(found);
    Ok(Table { name, rows, digest: sum.finish().as_ref().to_vec() })
}

/// The tables whose content nothing else tells.
async fn tables(db: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"select relname::text as "name!"
           from pg_class
           where relnamespace = current_schema()::text::regnamespace and relkind in ('r', 'p') and not relispartition
             and relname not in ('deployment', 'projection', 'cursor', 'migration', 'runtime_migration')
             and not exists (select from pg_attribute
                             where attrelid = pg_class.oid and attname = 'generation' and not attisdropped)
           order by relname::text collate "C""#
    )
    .fetch_all(db)
    .await
}
