//! Otdel in one binary: the roles composed into a process, the private PostgreSQL, and the operators' commands.
//!
//! `node` runs any set of roles; `commands::up` runs all of them in one process, `commands::serve` one or several. The
//! test harness calls the very same.

mod certificate;
mod checks;
pub mod cli;
pub mod client;
pub mod commands;
pub mod data;
pub mod door;
mod exit;
mod first_call;
pub mod node;
pub mod postgres;
pub mod private;
pub mod secrets;
pub mod settings;
mod signals;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, Result};

use cli::{Cli, Command, Import, ImportArgs};
use exit::Exit;

/// A call makes and frees some hundred small pieces, mostly by another thread than made them: a sixth of a service's time
/// with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs what the command line says and exits as `otdel --help` tells.
pub fn main() -> ExitCode {
    match run(Cli::read()) {
        Ok(exit) => exit.into(),
        Err(error) => {
            let _ = writeln!(io::stderr(), "otdel: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<Exit> {
    let command = cli.command.unwrap_or(Command::Up(cli.up));
    // The guard becomes another program, so it comes before everything that starts threads.
    if let Command::PostgresGuard(guard) = command {
        let never = postgres::guard::run(guard)?;
        match never {}
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no threads can be started")?;
    let outcome = runtime.block_on(async {
        match command {
            Command::Up(args) => commands::up::up(&args).await?,
            Command::Serve(args) => commands::serve::serve(&args).await?,
            Command::Init(args) => commands::init::init(&args).await?,
            Command::Migrate(args) => commands::migrate::migrate(&args).await?,
            Command::Report(args) => commands::report::report(&args).await?,
            Command::Import(ImportArgs { what: Import::Leads(args) }) => return commands::import::leads(&args).await,
            Command::Verify(args) => return commands::verify::verify(&args).await,
            Command::NewEpoch(args) => commands::new_epoch::new_epoch(&args).await?,
            Command::RestoreFinish(args) => return commands::restore_finish::restore_finish(&args).await,
            Command::Settings => say_exactly(&settings::table()?)?,
            Command::Token(args) => commands::token::token(&args)?,
            Command::Healthcheck(args) => commands::healthcheck::healthcheck(&args).await?,
            Command::PostgresGuard(_) => {}
        }
        Ok(Exit::Well)
    });
    // Whatever did not end within its drain is not waited for.
    runtime.shutdown_background();
    outcome
}

/// Says something to whoever ran the command, on a line of its own.
fn say(text: &str) -> Result<()> {
    say_exactly(&format!("{text}\n"))
}

/// Says something as it is. A closed pipe is nobody to say it to, not an error.
fn say_exactly(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
