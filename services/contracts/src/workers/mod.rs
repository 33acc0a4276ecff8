//! What contracts does when something happens elsewhere.

mod access;

pub(crate) use access::AccessFollower;
