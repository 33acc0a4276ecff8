//! The rules of billing: pure functions of their arguments.

pub mod invoice;
pub mod ledger;
pub mod payment;
#[cfg(test)]
mod story;
