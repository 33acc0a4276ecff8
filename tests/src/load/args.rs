//! What is measured, and for how long.

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};

/// Measures Otdel beside pgbench, which writes the same committed rows on the same private, durable PostgreSQL cluster in
/// turn with it. Only the ratios of one run mean anything: the machine may be shared.
#[derive(Clone, Debug, Parser)]
#[command(name = "otdel-load", version)]
pub struct Args {
    /// How much is measured
    #[arg(long, value_enum, default_value_t = Profile::Full)]
    pub profile: Profile,
    /// How long one turn lasts [default: as the profile says]
    #[arg(long, value_name = "SECONDS")]
    pub seconds: Option<u64>,
    /// How many turns each side has [default: as the profile says]
    #[arg(long, value_name = "N")]
    pub pairs: Option<usize>,
    /// How many clients call at once [default: as the profile says; 128 for `submit` only]
    #[arg(long, value_delimiter = ',', value_name = "N")]
    pub clients: Vec<usize>,
    /// Only these [default: all]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WHAT")]
    pub only: Vec<What>,
    /// Chooses which rows are read and written
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Connections to the database, for each service
    #[arg(long, default_value_t = 16, value_name = "N")]
    pub connections: u32,
    /// The binary of the suite [default: `otdel-node` beside this one]
    #[arg(long, value_name = "FILE")]
    pub node: Option<PathBuf>,
    /// Another build of it, which has its turns too: what a change has gained
    #[arg(long, value_name = "FILE")]
    pub before: Option<PathBuf>,
    /// Where the figures go as JSON
    #[arg(long, default_value = "target/load.json", value_name = "FILE")]
    pub json: PathBuf,
    /// Exits with 1 if a floor does not hold, or is to be measured and is not; needs pgbench
    #[arg(long)]
    pub check: bool,
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Turns of 10 s: about 40 minutes.
    Full,
    /// The table of all operations with turns of 3 s: about a quarter of an hour.
    Table,
    /// Two turns of 2 s at 32 clients, to see where things stand.
    Quick,
    /// A moment of everything, to see that the generator itself works.
    Smoke,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// A request is submitted.
    Submit,
    /// A contact is logged.
    Contact,
    /// A lead is converted.
    Convert,
    /// A lead is read.
    Get,
    /// 50 leads of a manager are listed.
    List,
    /// An order is confirmed, up to the commit of its invoice.
    Invoice,
    /// A payment is recorded that pays a part of an invoice.
    Payment,
    /// What the gateway adds to a call and takes of the throughput.
    Gateway,
    /// Latency at half of the capacity of the operations that are measured, calls coming at a fixed rate.
    Open,
    /// How fast the feed numbers events and one reader takes them in.
    Feed,
    /// How late leads change hands whose owners let the deadline pass.
    Deadline,
    /// How long a named report takes.
    Report,
    /// The whole story, told by eight at once through the gateway.
    Story,
    /// How long a role takes to serve, and its memory.
    Role,
}

/// How the turns of a run are.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The length of a turn; 0 is a moment.
    pub seconds: u64,
    /// Turns of each side.
    pub pairs: usize,
    /// Clients at once, in the order in which they are measured.
    pub clients: Vec<usize>,
}

impl Plan {
    /// The length of a turn.
    pub fn time(&self) -> Duration {
        if self.seconds == 0 { Duration::from_millis(200) } else { Duration::from_secs(self.seconds) }
    }
}

impl Args {
    /// Whether something is measured.
    pub fn wants(&self, what: What) -> bool {
        self.only.is_empty() || self.only.contains(&what)
    }

    /// How the turns are, or what is wrong with what was asked for.
    pub fn plan(&self) -> Result<Plan> {
        let (seconds, pairs, clients): (u64, usize, &[usize]) = match self.profile {
            Profile::Full => (10, 3, &[1, 8, 32, 128]),
            Profile::Table => (3, 3, &[1, 8, 32, 128]),
            Profile::Quick => (2, 2, &[32]),
            Profile::Smoke => (0, 1, &[4]),
        };
        let clients = if self.clients.is_empty() { clients.to_vec() } else { self.clients.clone() };
        let plan = Plan { seconds: self.seconds.unwrap_or(seconds), pairs: self.pairs.unwrap_or(pairs), clients };
        if self.seconds == Some(0) || plan.pairs == 0 || plan.clients.iter().any(|many| !(1..=128).contains(many)) {
            bail!("a turn lasts a second or more, each side has a turn or more, and 1 to 128 clients call at once");
        }
        Ok(plan)
    }
}
