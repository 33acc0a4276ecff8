//! What the gateway decides itself: in which order the services' events are told.

pub(crate) mod timeline;
