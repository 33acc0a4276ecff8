//! Everything a service of Otdel needs and nothing it decides.

pub mod auth;
pub mod call;
pub mod clock;
pub mod convert;
pub mod core;
pub mod db;
pub mod fault;
pub mod faults;
pub mod feed;
pub mod follow;
pub mod idempotency;
pub mod mask;
pub mod outbox;
pub mod page;
pub mod peers;
pub mod scope;
pub(crate) mod scram;
pub mod server;
pub mod service;
mod session;
pub mod telemetry;
pub mod testclock;
pub mod together;
pub mod trace;
pub mod violations;
pub mod worker;
