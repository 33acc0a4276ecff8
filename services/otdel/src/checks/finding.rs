use std::fmt::{self, Display};

use otdel_runtime::content::Table;
use serde::Serialize;

use super::digits;

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Nothing is wrong, and it is not over: a service does the rest by itself when it runs.
    Pending,
    /// Not as it should be.
    Wrong,
}

/// What was found. Nothing in it changes from one look to the next unless what it is about did, so that two runs can be
/// compared line by line.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// How well it is.
    pub state: State,
    /// Whose schema.
    pub service: &'static str,
    /// What was looked at.
    pub check: &'static str,
    /// What was found there.
    pub found: String,
    /// What it holds, in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The tables of a content.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<FoundTable>,
}

/// What a table holds.
#[derive(Clone, Debug, Serialize)]
pub struct FoundTable {
    name: String,
    rows: u64,
    digest: String,
}

impl Finding {
    /// Something is as it should be.
    pub fn ok(service: &'static str, check: &'static str, found: impl Display) -> Self {
        Self::new(State::Ok, service, check, found)
    }

    /// Something comes right by itself when the service runs.
    pub fn pending(service: &'static str, check: &'static str, found: impl Display) -> Self {
        Self::new(State::Pending, service, check, found)
    }

    /// Something is not as it should be.
    pub fn wrong(service: &'static str, check: &'static str, found: impl Display) -> Self {
        Self::new(State::Wrong, service, check, found)
    }

    fn new(state: State, service: &'static str, check: &'static str, found: impl Display) -> Self {
        Self { state, service, check, found: found.to_string(), digest: None, tables: Vec::new() }
    }

    /// With a digest.
    #[must_use]
    pub fn with_digest(self, digest: &[u8]) -> Self {
        Self { digest: Some(digits(digest)), ..self }
    }

    /// With the tables of a content.
    #[must_use]
    pub fn with_tables(self, tables: &[Table]) -> Self {
        let found =
            |table: &Table| FoundTable { name: table.name.clone(), rows: table.rows, digest: digits(&table.digest) };
        Self { tables: tables.iter().map(found).collect(), ..self }
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Ok => "ok",
            State::Pending => "pending",
            State::Wrong => "WRONG",
        };
        write!(f, "{state:<8}{:<11}{:<12}{}", self.service, self.check, self.found)?;
        match &self.digest {
            Some(digest) if !digest.is_empty() => write!(f, " {digest}"),
            _ => Ok(()),
        }
    }
}
