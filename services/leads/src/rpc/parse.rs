//! What the requests of several RPCs have in common.

use chrono::{DateTime, Utc};
use otdel_runtime::{page, violations::Violations};
use otdel_types::{ResourceId, Token};
use uuid::Uuid;

/// Reads a request that is a resource's name and nothing else.
pub(crate) fn named<I: ResourceId>(text: &str) -> Result<I, Violations> {
    let mut wrong = Violations::default();
    wrong.name("name", text).ok_or(wrong)
}

/// Which page of a list, newest first, is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    size: i64,
    arguments: u64,
    after: Option<Token>,
}

impl Page {
    /// Reads `page_size` and `page_token`. `others` is the request without them.
    pub(crate) fn parse(wrong: &mut Violations, size: i32, token: &str, others: &impl prost::Message) -> Option<Self> {
        let arguments = page::arguments(others);
        let size = wrong.page_size(size);
        let after = wrong.page_token(token, arguments);
        Some(Self { size: size?, arguments, after: after? })
    }

    /// The last row of the page before.
    pub(crate) fn after(&self) -> Option<&Token> {
        self.after.as_ref()
    }

    /// How many rows to read: one more than the page holds tells whether another page follows.
    pub(crate) fn limit(&self) -> i64 {
        self.size + 1
    }

    /// The messages of the page and the token of the next, from the keys and messages of the rows.
    pub(crate) fn fill<M: prost::Message>(
        &self,
        rows: impl Iterator<Item = ((DateTime<Utc>, Uuid), M)>,
    ) -> (Vec<M>, String) {
        page::fill(rows, self.size, |(created, id)| Token { arguments: self.arguments, created, id }.encode())
    }
}
