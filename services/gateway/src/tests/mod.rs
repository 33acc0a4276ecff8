//! The gateway in front of services that are made up.

mod authentication;
mod card;
mod clock;
mod document;
mod json;
mod lines;
mod pass;
mod timeline;
mod web;
mod world;
