//! Every SQL statement of leads. Functions take a connection and never begin or commit.
//!
//! Lock order: directory, then principal, then key; rota, then lead, then deal, then client, then person. Whoever locks
//! several locks them in this order. Several persons are locked by holders of the rota only, so those cannot meet.

pub(crate) mod api_keys;
pub(crate) mod clients;
pub(crate) mod deadlines;
pub(crate) mod deals;
pub(crate) mod directory;
pub(crate) mod gates;
pub(crate) mod leads;
pub(crate) mod people;
pub(crate) mod pipelines;
pub(crate) mod principals;
pub(crate) mod teams;

/// Whether a statement failed on this named constraint.
pub(crate) fn violates(error: &sqlx::Error, constraint: &str) -> bool {
    error.as_database_error().and_then(|inner| inner.constraint()) == Some(constraint)
}
