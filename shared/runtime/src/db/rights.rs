//! Who owns a schema and what its service may do there, looked at and not changed.

use sqlx::PgConnection;

use super::Schema;
use crate::auth::SERVICES;

impl Schema {
    /// What is not so about the roles of the schema and their rights as `otdel migrate` sets them. `db` as
    /// [`Schema::connect`] makes it. Empty: all is as it should be.
    pub async fn wrong_rights(&self, db: &mut PgConnection) -> sqlx::Result<Vec<String>> {
        let (owner, app) = (self.owner_role(), self.app_role());
        let mut wrong = roles(&mut *db, &owner, &app).await?;
        // Rights of a role that is not there cannot be asked for.
        if !wrong.is_empty() {
            return Ok(wrong);
        }
        wrong.extend(ownership(&mut *db, self.service, &owner).await?);
        wrong.extend(access(&mut *db, self.service, &app).await?);
        for grant in self.grants() {
            let Some((privileges, tables)) = revoked(&grant) else { continue };
            for table in tables {
                for privilege in &privileges {
                    if holds(&mut *db, &app, self.service, table, privilege).await? {
                        wrong.push(format!("{app} may {privilege} {table}"));
                    }
                }
            }
        }
        Ok(wrong)
    }

    /// How many sessions the running service has in this database.
    pub async fn sessions(&self, db: &mut PgConnection) -> sqlx::Result<i64> {
        sqlx::query_scalar!(
            r#"select count(*) as "sessions!" from pg_stat_activity
               where datname = current_database() and usename = $1"#,
            self.app_role(),
        )
        .fetch_one(db)
        .await
    }
}

/// The privileges and tables of a statement that takes rights away.
fn revoked(statement: &str) -> Option<(Vec<&str>, Vec<&str>)> {
    let (privileges, rest) = statement.strip_prefix("revoke ")?.split_once(" on ")?;
    let (tables, _) = rest.split_once(" from ")?;
    Some((privileges.split(", ").collect(), tables.split(", ").collect()))
}

async fn roles(db: &mut PgConnection, owner: &str, app: &str) -> sqlx::Result<Vec<String>> {
    let found = sqlx::query!(
        r#"select rolname::text as "name!", rolcanlogin as "login!", rolsuper as "superuser!"
           from pg_roles where rolname in ($1, $2)"#,
        owner,
        app,
    )
    .fetch_all(db)
    .await?;
    let mut wrong = Vec::new();
    for (role, login) in [(owner, false), (app, true)] {
        match found.iter().find(|one| one.name == role) {
            None => wrong.push(format!("the role {role} is missing")),
            Some(one) if one.login != login => {
                wrong.push(format!("the role {role} may {}log in", if one.login { "" } else { "not " }));
            }
            Some(one) if one.superuser => wrong.push(format!("the role {role} is a superuser")),
            Some(_) => {}
        }
    }
    Ok(wrong)
}

async fn ownership(db: &mut PgConnection, schema: &str, owner: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"select format('%s belongs to %s', what, pg_get_userbyid(held_by)) as "wrong!"
           from (select format('the schema %s', nspname) as what, nspowner as held_by
                 from pg_namespace where nspname = $1
                 union all
                 select oid::regclass::text, relowner from pg_class
                 where relnamespace = $1::text::regnamespace and relkind in ('r', 'v', 'S')) as held
           where pg_get_userbyid(held_by) <> $2
           order by 1"#,
        schema,
        owner,
    )
    .fetch_all(db)
    .await
}

/// The service uses its own schema, reads every table of it and enters no other service's.
async fn access(db: &mut PgConnection, schema: &str, app: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"select format('%s may not read %s', $2::text, oid::regclass) as "wrong!"
           from pg_class
           where relnamespace = $1::text::regnamespace and relkind in ('r', 'v')
             and not (has_schema_privilege($2, $1, 'usage') and has_table_privilege($2, oid, 'select'))
           union all
           select format('%s may enter the schema %s', $2::text, nspname)
           from pg_namespace
           where nspname = any($3) and nspname <> $1 and has_schema_privilege($2, oid, 'usage')
           order by 1"#,
        schema,
        app,
        &SERVICES.map(ToOwned::to_owned),
    )
    .fetch_all(db)
    .await
}

/// Whether a role has a privilege on a whole table, named with or without its schema.
async fn holds(db: &mut PgConnection, role: &str, schema: &str, table: &str, privilege: &str) -> sqlx::Result<bool> {
    let table = table.strip_prefix(schema).and_then(|rest| rest.strip_prefix('.')).unwrap_or(table);
    sqlx::query_scalar!(
        r#"select has_table_privilege($1, format('%I.%I', $2::text, $3::text), $4) as "holds!""#,
        role,
        schema,
        table,
        privilege,
    )
    .fetch_one(db)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_away_is_read_from_the_statement_that_does() {
        let read = revoked("revoke update, delete on leads.stage, outbox from otdel_leads_app");
        assert_eq!(read, Some((vec!["update", "delete"], vec!["leads.stage", "outbox"])));
        assert_eq!(revoked("grant update (position, hash) on outbox to otdel_leads_app"), None);
    }
}
