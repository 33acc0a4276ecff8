//! The rules of reports as pure functions: what a fact changes, what a report is asked for, and its figures.

pub mod ask;
pub mod change;
pub mod debt;
pub mod figures;
