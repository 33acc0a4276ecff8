//! Serving: what stands around a role's RPCs, the listener below them, and the order in which all of it ends.

mod admin;
mod answer;
pub(crate) mod code;
mod connection;
mod counted;
mod door;
mod ending;
mod health;
mod listener;
mod measure;
pub(crate) mod method;
mod question;
mod reflection;
mod serve;
mod shutdown;
mod stack;
#[cfg(test)]
pub(crate) mod testkit;
#[cfg(test)]
mod tests;
pub(crate) mod timeout;
mod tls;

use std::time::Duration;

pub use admin::admin_router;
pub(crate) use answer::refused;
pub use code::name_of as code_name;
pub use connection::Connection;
pub use health::Health;
pub use listener::Listener;
pub use serve::{Kind, Serve, Serving, Unservable, serve};
pub use shutdown::{Drain, Shutdown, shut_down};
pub use stack::{REQUEST_ID_HEADER, stack};
pub use timeout::parse as asked_timeout;
pub use tls::ServerTls;

/// The largest request, in bytes. To be set on every service where it is made
/// (`LeadServiceServer::new(app).max_decoding_message_size(MAX_REQUEST)`): tonic checks it where it decodes, with the
/// five bytes before a message that could otherwise reserve 4 MiB.
pub const MAX_REQUEST: usize = 256 * 1024;

/// What a role and its listener bear.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Calls under way at once in a role. Streams count until their first answer.
    pub calls: usize,
    /// How long a single answer may take where the caller does not say.
    pub timeout: Duration,
    /// How long it may take whatever the caller says.
    pub longest_timeout: Duration,
    /// How long a request may take to come whole. It holds a place meanwhile, and a stream has no other time.
    pub question: Duration,
    /// Connections at once to a listener.
    pub connections: usize,
    /// Connections at once to a listener from one address. An IPv6 network of 64 bits counts as one address, and the
    /// machine itself is not counted: its proxies speak for everybody.
    pub connections_per_address: usize,
    /// How long a connection may stay before its first request.
    pub idle: Duration,
    /// How long a public connection may stay with no call under way. Its owner connects again when there is something to
    /// ask.
    pub rest: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls: 256,
            timeout: Duration::from_secs(10),
            longest_timeout: Duration::from_mins(10),
            question: Duration::from_secs(10),
            connections: 512,
            connections_per_address: 32,
            idle: Duration::from_secs(30),
            rest: Duration::from_mins(5),
        }
    }
}
