//! `otdel import leads`: a client of the gateway that submits a lead for each line of a file.
//!
//! A line's request id follows from what the line says, so that the same line is the same request however often it is
//! sent; and long after the service has forgotten requests, the source reference still finds the first lead. Lines are
//! sent several at once and their outcomes are taken in the order of the file, so that "up to this line" has a meaning.

mod file;
mod line;
mod mapping;
mod rejects;
mod send;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use futures_util::StreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::ImportLeadsArgs,
    client::{Client, explain},
    exit::Exit,
    say, signals,
};
use mapping::Mapping;
use rejects::Rejects;
use send::Outcome;

/// Imports leads and tells how many were taken in and refused.
pub async fn leads(args: &ImportLeadsArgs) -> Result<Exit> {
    let client = Client::new(&args.gateway)?;
    let file = file::open(&args.file, args.separator)?;
    let mapping = Mapping::new(&file.columns, &args.set)?;
    let mut rejects = Rejects::new(rejects_path(args)?, file.separator, &file.columns);
    if !mapping.unread.is_empty() {
        say(&format!("columns that are not read: {}", mapping.unread.join(", ")))?;
    }
    let (bar, columns, interrupted) = (progress(file.bytes), file.columns.len(), interrupted());

    // What is on its way when a signal comes is still answered.
    let lines = ReceiverStream::new(file::lines(file, args.from_line)).take_until(interrupted.cancelled());
    let outcomes = lines.map(|read| async {
        let line = read?;
        let submission = line::submission(&mapping, args.zone, &line, columns);
        let outcome = send::send(&client, submission).await;
        Ok::<_, anyhow::Error>((line, outcome))
    });
    let mut outcomes = std::pin::pin!(outcomes.buffered(args.at_once.into()));
    let (mut taken_in, mut refused, mut next) = (0_u64, 0_u64, args.from_line);
    let stopped = loop {
        let (line, outcome) = match outcomes.next().await {
            None if interrupted.is_cancelled() => break Some(anyhow!("interrupted")),
            None => break None,
            Some(Err(error)) => break Some(error),
            Some(Ok(sent)) => sent,
        };
        match outcome {
            Outcome::TakenIn => taken_in += 1,
            Outcome::Refused(violations) => match rejects.write(&line, &violations) {
                Ok(()) => refused += 1,
                Err(error) => break Some(error),
            },
            Outcome::Stopped(status) => break Some(anyhow!("{}", explain(&status))),
        }
        next = line.next;
        bar.set_position(line.end);
        bar.set_message(format!("{taken_in} taken in, {refused} refused"));
    };
    bar.finish_and_clear();
    say(&format!("{taken_in} lines are taken in, those included that were there already; {refused} were refused"))?;
    if let Some(path) = rejects.finish()? {
        say(&format!("the lines that were refused are in {}, with the reasons", path.display()))?;
    }
    if let Some(error) = stopped {
        bail!("stopped before line {next}, go on with --from-line {next}: {error:#}");
    }
    Ok(if refused > 0 { Exit::Rejected } else { Exit::Well })
}

/// A file that is not there yet: the one that is named, else the first beside the file. What an earlier import refused, or
/// somebody has corrected since, may stand nowhere else.
fn rejects_path(args: &ImportLeadsArgs) -> Result<PathBuf> {
    if let Some(named) = &args.rejects {
        ensure!(!named.exists(), "{} is there already: name another file with --rejects", named.display());
        return Ok(named.clone());
    }
    let beside = if args.file == Path::new("-") { Path::new("leads") } else { &args.file };
    let numbered = (2_u32..).map(|number| format!("rejects.{number}.csv"));
    let mut names = std::iter::once("rejects.csv".to_owned()).chain(numbered);
    let free = names.find_map(|name| Some(beside.with_added_extension(name)).filter(|path| !path.exists()));
    free.context("there are too many files of rejects")
}

/// Cancelled by the first signal that asks the process to end.
fn interrupted() -> CancellationToken {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        if signals::terminated().await.is_ok() {
            cancelled.cancel();
        }
    });
    token
}

/// How far the file is read, on a terminal and nowhere else.
fn progress(bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes {
        Some(bytes) => (ProgressBar::new(bytes), "{bar:30} {percent:>3} % {msg} ({eta} left)"),
        None => (ProgressBar::new_spinner(), "{spinner} {msg}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
