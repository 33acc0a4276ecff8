//! The rules of leads as pure functions: no async, no SQL, no clock.

pub mod api_key;
mod change;
pub mod client;
pub mod contact;
pub mod deal;
pub mod lead;
pub mod pipeline;
pub mod principal;
pub mod rota;
pub mod staff;
pub mod version;
