//! From domain values to messages. None of it can fail.

mod client;
mod deal;
mod lead;
mod pipeline;
mod principal;
mod staff;

use otdel_runtime::auth::Principal;

pub(crate) use client::client;
pub(crate) use deal::{deal, deal_state, gate, loss_reason};
pub(crate) use lead::{
    channel, close_reason, contact_kind, contact_outcome, lead, lead_for_source, lead_state, policy_version, result,
};
pub(crate) use pipeline::pipeline;
pub(crate) use principal::{api_key, directory_key, directory_principal, principal, role};
pub(crate) use staff::{person, team};

/// What the caller may see of clients' names, phones, e-mails, texts and references: all of it or none (K4). Names of colleagues are
/// no secret: who may see the staff sees their names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight {
    personal: bool,
}

impl Sight {
    pub(crate) fn of(principal: &Principal) -> Self {
        Self { personal: principal.may("personal.read") }
    }

    /// The same, or nothing at all where the row is out of reach.
    pub(crate) fn within(self, reached: bool) -> Self {
        Self { personal: self.personal && reached }
    }

    pub(crate) fn text(self, text: impl Into<String>) -> String {
        if self.personal { text.into() } else { String::new() }
    }
}

/// A resource's name, or the empty one.
pub(crate) fn name(id: Option<impl std::fmt::Display>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}
