//! The load generator (`otdel-load`): how fast the suite is, beside pgbench that writes the same rows.
//!
//! How a run goes:
//!
//! 1. `ground`: a private, durable cluster and a seeded database, of which each side gets a copy.
//! 2. `roles`: the suite's roles as processes with mutual TLS, only those that an operation needs.
//! 3. `compare`: `side` and `pgbench` in turn, A B A B …; `drive` is the closed and the open loop, `caller` the
//!    calls, `scripts/` what pgbench does instead. Afterwards the numbers in `operation` tell whether both wrote the same.
//! 4. `figures` and `suite`: what pgbench has no counterpart of.
//! 5. `table` and `floors`: what came of it.

mod args;
mod caller;
mod compare;
mod cpu;
mod drive;
mod figures;
mod floors;
mod ground;
mod operation;
mod pgbench;
mod roles;
mod run;
mod side;
mod suite;
mod table;
mod turn;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Result;
use clap::Parser as _;

/// Measures what the command line says. Exits with 0 when it is done, with 1 when it or a part of it failed or, with
/// `--check`, a floor does not hold, with 2 on a wrong command line.
pub fn main() -> ExitCode {
    let args = args::Args::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    // One thread, so that waking each other is not what the generator's threads do with the time of those it measures.
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(run::run(&args)));
    match outcome {
        Ok(holds) if holds || !args.check => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "otdel-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Says something to whoever waits for it.
fn say(text: &str) -> Result<()> {
    Ok(writeln!(io::stdout(), "{text}")?)
}
