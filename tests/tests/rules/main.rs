//! What holds for the project's text itself: protos and the walls between rooms.

// Clippy takes only functions marked as tests for tests; everything here is one.
#![allow(clippy::unwrap_used)]

mod deploy;
mod protos;
mod reasons;
mod walls;
mod watch;
