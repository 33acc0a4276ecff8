//! Generated code of Otdel's protos. Nothing here is written by hand but this file.
#![allow(clippy::all, clippy::pedantic, missing_docs)]

/// The descriptors of every proto with their comments and options, as an encoded `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/otdel.binpb"));

/// A request that changes something and may be repeated under its id. Implemented for every request with a `request_id`.
pub trait Mutation: prost::Message + Clone {
    /// The id that the caller made for this intent.
    fn request_id(&self) -> &str;
    /// Takes the id out, so that what is left tells whether two requests are the same.
    fn clear_request_id(&mut self);
}

/// An envelope with one of a service's facts. Implemented for every message of that shape.
pub trait Event: prost::Message + Default + Clone {
    /// The service that owns the feed.
    const SERVICE: &'static str;
    /// Where and how the fact came to be.
    fn envelope(&self) -> Option<&event::Envelope>;
    /// The envelope, made where there is none.
    fn envelope_mut(&mut self) -> &mut event::Envelope;
    /// The full message name of the fact. Empty for a fact that this build does not know.
    fn fact_type(&self) -> &'static str;
}

mod shapes {
    include!(concat!(env!("OUT_DIR"), "/shapes.rs"));
}

/// Types of Google's that our protos use.
pub mod google {
    /// HTTP annotations, field behaviour, resource references.
    pub mod api {
        include!(concat!(env!("OUT_DIR"), "/google.api.rs"));
    }
    /// Money, Decimal, Date.
    pub mod r#type {
        include!(concat!(env!("OUT_DIR"), "/google.r#type.rs"));
    }
}

/// The protos of Otdel, by package.
pub mod otdel {
    /// The envelope of events.
    pub mod event {
        /// Version 1.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/otdel.event.v1.rs"));
        }
    }
    /// The policy option.
    pub mod policy {
        /// Version 1.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/otdel.policy.v1.rs"));
        }
    }
    /// What every service shares beside events and policies.
    pub mod r#type {
        /// Version 1.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/otdel.r#type.v1.rs"));
        }
    }
    /// Moving the clock of a test suite.
    pub mod test {
        /// Version 1.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/otdel.test.v1.rs"));
        }
    }
    /// Leads, clients, deals, staff and principals.
    pub mod leads {
        /// Version 1.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/otdel.leads.v1.rs"));
        }
    }
    /// Contracts and orders.
    pub mod contracts {
        /// Version 1.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/otdel.contracts.v1.rs"));
        }
    }
    /// Invoices, payments and the ledger.
    pub mod billing {
        /// Version 1.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/otdel.billing.v1.rs"));
        }
    }
    /// Reports.
    pub mod reporting {
        /// Version 1.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/otdel.reporting.v1.rs"));
        }
    }
    /// What only the gateway can tell.
    pub mod gateway {
        /// Version 1.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/otdel.gateway.v1.rs"));
        }
    }
}

pub use google::r#type as common;
pub use otdel::{
    billing::v1 as billing, contracts::v1 as contracts, event::v1 as event, gateway::v1 as gateway, leads::v1 as leads,
    policy::v1 as policy, reporting::v1 as reporting, test::v1 as test,
};
