//! What the suite promises, shown through its public RPCs on a real PostgreSQL.

// Clippy takes only functions marked as tests for tests; everything here is one.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod api_keys;
mod bad_requests;
mod cancellation;
mod clients;
mod contracts;
mod crash;
mod deadlines;
mod doors;
mod duplicates;
mod feed;
mod forms;
mod invoices;
mod ledger;
mod load;
mod logins;
mod metrics;
mod neighbours;
mod olist;
mod operators;
mod owasp;
mod quotas;
mod readiness;
mod replicas;
mod reports;
mod scope;
mod shutdown;
mod story;
mod sums;
mod trace;
