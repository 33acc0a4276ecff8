//! What billing does when something happened elsewhere.

mod access;
mod orders;

pub(crate) use access::Access;
pub(crate) use orders::Orders;
