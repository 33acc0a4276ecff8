//! What `otdel report` takes.

use clap::{Args, ValueEnum};

use super::GatewayArgs;

/// Which report is asked for, of what, and how it is written.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// The report's name; `otdel report --list` tells them with what each takes
    #[arg(value_name = "NAME", required_unless_present = "list")]
    pub name: Option<String>,
    /// Lists the reports and what each takes
    #[arg(long, conflicts_with = "name")]
    pub list: bool,
    /// The first month, as 2026-01 [default: from the beginning]
    #[arg(long, value_name = "MONTH")]
    pub from_month: Option<String>,
    /// The last month, as 2026-12 [default: without end]
    #[arg(long, value_name = "MONTH")]
    pub to_month: Option<String>,
    /// Only what this manager answers for, as people/{uuid}
    #[arg(long, value_name = "PERSON")]
    pub owner: Option<String>,
    /// Only what this team answers for, as teams/{uuid}
    #[arg(long, value_name = "TEAM")]
    pub team: Option<String>,
    /// What to count by, in this order: month, origin, channel [default: one row for all]
    #[arg(long = "by", value_name = "DIMENSION", value_delimiter = ',')]
    pub dimensions: Vec<String>,
    /// Only deals of this pipeline version, as pipelines/{uuid}
    #[arg(long, value_name = "PIPELINE")]
    pub pipeline: Option<String>,
    /// Only this client, as clients/{uuid}
    #[arg(long, value_name = "CLIENT")]
    pub client: Option<String>,
    /// A change that the report must include, as a mutating RPC answered it; may be given again
    #[arg(long, value_name = "CHANGE")]
    pub at_least: Vec<String>,
    /// How it is written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: ReportFormat,
    /// Where the gateway is.
    #[command(flatten)]
    pub gateway: GatewayArgs,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// Columns for people.
    #[default]
    Table,
    /// Comma-separated values (RFC 4180), the columns named as in the proto.
    Csv,
    /// The response in the JSON of protobuf, the fields named as in the proto.
    Json,
}
