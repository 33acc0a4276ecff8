//! Calling another service, in the same process or in another one, by the same client.

mod attempt;
mod health;
mod hub;
mod remote;
mod resolve;
mod retry;
mod rpc;
#[cfg(test)]
mod tests;
mod tls;

pub use hub::Hub;
pub use resolve::{BadAddress, HostPort};
pub use retry::NO_RETRY_HEADER;
pub use rpc::{MAX_RESPONSE, Rpc};
pub(crate) use tls::Pems;
pub use tls::{BadTls, ClientTls};

/// The services that have RPCs for others, each bound to the same caller.
///
/// A generated client goes on top: `LeadServiceClient::new(app.peers.leads.clone())`.
#[derive(Clone, Debug)]
pub struct Peers {
    /// Leads, clients, deals, staff and principals.
    pub leads: Rpc,
    /// Contracts and orders.
    pub contracts: Rpc,
    /// Invoices, payments and the ledger.
    pub billing: Rpc,
    /// Reports.
    pub reporting: Rpc,
}

impl Peers {
    /// Peers by the way that `way` chooses for each: [`Rpc::local`] where the role runs in this process, else
    /// [`Rpc::remote`].
    pub fn new<E>(way: impl Fn(&'static str) -> Result<Rpc, E>) -> Result<Self, E> {
        Ok(Self {
            leads: way("leads")?,
            contracts: way("contracts")?,
            billing: way("billing")?,
            reporting: way("reporting")?,
        })
    }

    /// Peers of `caller` that all run in this process.
    pub fn in_process(hub: &Hub, caller: &'static str) -> Self {
        let to = |peer| Rpc::local(hub, peer, caller);
        Self { leads: to("leads"), contracts: to("contracts"), billing: to("billing"), reporting: to("reporting") }
    }

    /// A peer by its name.
    pub fn by_name(&self, service: &str) -> Option<&Rpc> {
        match service {
            "leads" => Some(&self.leads),
            "contracts" => Some(&self.contracts),
            "billing" => Some(&self.billing),
            "reporting" => Some(&self.reporting),
            _ => None,
        }
    }
}
