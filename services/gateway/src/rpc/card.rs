//! The sections of a client's card.

use otdel_api::{
    billing::{self, invoice_service_client::InvoiceServiceClient, ledger_service_client::LedgerServiceClient},
    contracts::{self, contract_service_client::ContractServiceClient, order_service_client::OrderServiceClient},
    gateway as pb,
    leads::{self, client_service_client::ClientServiceClient, deal_service_client::DealServiceClient},
};
use otdel_runtime::call::Call;
use otdel_types::ClientId;

use super::section::{Section, forward, section};
use crate::Gateway;

/// What is asked, and who asks.
pub(crate) struct Asked<'a> {
    /// The gateway.
    pub(crate) app: &'a Gateway,
    /// The call.
    pub(crate) call: &'a Call<pb::GetClientCardRequest>,
    /// Whose card it is.
    pub(crate) client: ClientId,
}

impl Asked<'_> {
    /// Name, phone, e-mail and owner.
    pub(crate) async fn client(&self) -> Section<leads::Client> {
        let ask = forward(self.call, leads::GetClientRequest { name: self.client.to_string() });
        let mut leads = ClientServiceClient::new(self.app.peers.leads.clone());
        section(self.call, "client", "leads", async {
            Ok(leads.get_client(ask).await?.into_inner().client.unwrap_or_default())
        })
        .await
    }

    /// The newest deals.
    pub(crate) async fn deals(&self) -> Section<Vec<pb::CardDeal>> {
        let ask = leads::ListDealsRequest { client: self.client.to_string(), ..Default::default() };
        let ask = forward(self.call, ask);
        let mut leads = DealServiceClient::new(self.app.peers.leads.clone());
        section(self.call, "deals", "leads", async {
            Ok(leads.list_deals(ask).await?.into_inner().deals.into_iter().map(deal).collect())
        })
        .await
    }

    /// The newest contracts.
    pub(crate) async fn contracts(&self) -> Section<Vec<pb::CardContract>> {
        let ask = contracts::ListContractsRequest { client: self.client.to_string(), ..Default::default() };
        let ask = forward(self.call, ask);
        let mut contracts = ContractServiceClient::new(self.app.peers.contracts.clone());
        section(self.call, "contracts", "contracts", async {
            Ok(contracts.list_contracts(ask).await?.into_inner().contracts.into_iter().map(contract).collect())
        })
        .await
    }

    /// The newest orders.
    pub(crate) async fn orders(&self) -> Section<Vec<pb::CardOrder>> {
        let ask = contracts::ListOrdersRequest { client: self.client.to_string(), ..Default::default() };
        let ask = forward(self.call, ask);
        let mut contracts = OrderServiceClient::new(self.app.peers.contracts.clone());
        section(self.call, "orders", "contracts", async {
            Ok(contracts.list_orders(ask).await?.into_inner().orders.into_iter().map(order).collect())
        })
        .await
    }

    /// The newest invoices.
    pub(crate) async fn invoices(&self) -> Section<Vec<pb::CardInvoice>> {
        let ask = billing::ListInvoicesRequest { client: self.client.to_string(), ..Default::default() };
        let ask = forward(self.call, ask);
        let mut billing = InvoiceServiceClient::new(self.app.peers.billing.clone());
        section(self.call, "invoices", "billing", async {
            Ok(billing.list_invoices(ask).await?.into_inner().invoices.into_iter().map(invoice).collect())
        })
        .await
    }

    /// What is owed and what was paid in advance.
    pub(crate) async fn receivables(&self) -> Section<Vec<billing::Receivable>> {
        let ask = forward(self.call, billing::GetReceivablesRequest { client: self.client.to_string() });
        let mut billing = LedgerServiceClient::new(self.app.peers.billing.clone());
        section(self.call, "receivables", "billing", async {
            Ok(billing.get_receivables(ask).await?.into_inner().receivables)
        })
        .await
    }
}

fn deal(deal: leads::Deal) -> pb::CardDeal {
    let state = short(deal.state().as_str_name());
    pb::CardDeal { deal: deal.name, stage: deal.stage, state, amount: deal.amount }
}

fn contract(contract: contracts::Contract) -> pb::CardContract {
    let state = short(contract.state().as_str_name());
    pb::CardContract { contract: contract.name, number: contract.number, state, gross: contract.gross }
}

fn order(order: contracts::Order) -> pb::CardOrder {
    let state = short(order.state().as_str_name());
    pb::CardOrder { order: order.name, state, gross: order.gross }
}

fn invoice(invoice: billing::Invoice) -> pb::CardInvoice {
    let state = short(invoice.state().as_str_name());
    pb::CardInvoice { invoice: invoice.name, number: invoice.number, state, gross: invoice.gross, paid: invoice.paid }
}

/// A state without the prefix that tells enums apart: `OPEN` for `STATE_OPEN`.
fn short(name: &str) -> String {
    name.strip_prefix("STATE_").unwrap_or(name).to_owned()
}
