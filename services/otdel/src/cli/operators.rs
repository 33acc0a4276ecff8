//! What the commands around a restore take.

use clap::{Args, ValueEnum};

use super::{AdminDatabaseArgs, Role};

/// Services with a schema.
fn parse_service(text: &str) -> Result<Role, String> {
    match Role::from_str(text, false)? {
        Role::Gateway => Err("the gateway has no schema".to_owned()),
        role => Ok(role),
    }
}

/// The services that have a schema, those first that others follow.
pub const SERVICES: [Role; 4] = [Role::Leads, Role::Contracts, Role::Billing, Role::Reporting];

/// Which services are named; none is all of them.
#[derive(Clone, Debug, Default, Args)]
pub struct ServicesArgs {
    /// The services [default: leads contracts billing reporting]
    #[arg(value_name = "SERVICE", value_parser = parse_service)]
    pub services: Vec<Role>,
}

impl ServicesArgs {
    /// The services, each once, those first that others follow.
    pub fn named(&self) -> Vec<Role> {
        SERVICES.into_iter().filter(|role| self.services.is_empty() || self.services.contains(role)).collect()
    }
}

/// How what was found is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FindingsFormat {
    /// A line for each, for people and for `diff`.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// Which feeds begin anew.
#[derive(Clone, Debug, Args)]
pub struct NewEpochArgs {
    /// Whose feeds.
    #[command(flatten)]
    pub services: ServicesArgs,
    /// The database.
    #[command(flatten)]
    pub database: AdminDatabaseArgs,
    /// Does it while services use the database: streams that are open learn of it within a minute
    #[arg(long)]
    pub while_running: bool,
}

/// Which restored database is finished.
#[derive(Clone, Debug, Args)]
pub struct RestoreFinishArgs {
    /// The database.
    #[command(flatten)]
    pub database: AdminDatabaseArgs,
}

/// What is verified.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// Whose schemas.
    #[command(flatten)]
    pub services: ServicesArgs,
    /// The database.
    #[command(flatten)]
    pub database: AdminDatabaseArgs,
    /// How what was found is written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: FindingsFormat,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_named_is_all_and_the_order_is_ours() {
        let of = |services: &[Role]| ServicesArgs { services: services.to_vec() }.named();
        assert_eq!(of(&[]), SERVICES);
        assert_eq!(of(&[Role::Billing, Role::Leads, Role::Billing]), [Role::Leads, Role::Billing]);
        assert!(parse_service("gateway").is_err());
    }
}
