//! Operators' commands, run as an operator runs them: the binary with a command line and an environment of its own.

use std::process::Stdio;

use tokio::process::Command;

use crate::{cluster::Database, split::binary};

/// How a command ended, and what it said.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to its standard output.
    pub out: String,
    /// What it wrote to its standard error.
    pub err: String,
}

impl Ran {
    /// The lines of its output.
    pub fn lines(&self) -> Vec<&str> {
        self.out.lines().collect()
    }
}

/// Runs the binary, without any of this process's settings.
pub async fn otdel(args: &[&str]) -> Ran {
    let mut command = Command::new(binary());
    command.args(args);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OTDEL_")) {
        command.env_remove(name);
    }
    run(command).await
}

/// Runs a command on a database, as its superuser.
pub async fn on(database: &Database, args: &[&str]) -> Ran {
    otdel(&[args, &["--database-url", &database.url]].concat()).await
}

/// Runs a program to its end.
pub async fn run(mut command: Command) -> Ran {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}
