//! What leads does by itself.

mod gates;
mod hand_on;

pub(crate) use gates::Gates;
pub(crate) use hand_on::HandOn;
