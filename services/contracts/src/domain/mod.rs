//! The rules of contracts and orders as pure functions: no async, no SQL, no clock.

pub mod authority;
pub mod contract;
pub mod document;
pub mod line;
pub mod order;
