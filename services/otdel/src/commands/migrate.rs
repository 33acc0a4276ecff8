//! `otdel migrate`

use anyhow::Result;
use chrono::{DateTime, Utc};
use otdel_runtime::db::Deployment;
use otdel_types::Zone;
use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;

use crate::{
    cli::{MigrateArgs, Role},
    node, say, secrets,
};

/// Brings every schema to the version of this binary.
pub async fn migrate(args: &MigrateArgs) -> Result<()> {
    let admin = args.database.options()?;
    let password = |role: Role| secrets::password(&args.secrets.join(role.name()).join("database.password"));
    if args.roles_only {
        for role in Role::ALL {
            if let Some(schema) = node::schema(role) {
                schema.prepare_roles(&admin, &password(role)?).await?;
            }
        }
        return say("the roles of every service are there: restore the dump now, then `otdel migrate`");
    }
    all(&admin, password, args.business_zone, None).await?;
    say("every schema is at the version of this binary")
}

/// Brings every schema to the version of this binary. `test_time` makes a test database of a fresh one.
pub async fn all(
    admin: &PgConnectOptions,
    password: impl Fn(Role) -> Result<SecretString>,
    zone: Zone,
    test_time: Option<DateTime<Utc>>,
) -> Result<()> {
    let deployment = Deployment { zone, test_time };
    for role in Role::ALL {
        if let Some(schema) = node::schema(role) {
            schema.migrate(admin, &password(role)?, &deployment).await?;
        }
    }
    Ok(())
}
