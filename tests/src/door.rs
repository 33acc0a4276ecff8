//! Calling the suite as a client does: through the gateway, with an API key.

use otdel_api::{
    billing::{
        billing_event_service_client::BillingEventServiceClient, invoice_service_client::InvoiceServiceClient,
        ledger_service_client::LedgerServiceClient, payment_service_client::PaymentServiceClient,
    },
    contracts::{
        authority_service_client::AuthorityServiceClient, contract_event_service_client::ContractEventServiceClient,
        contract_service_client::ContractServiceClient, order_service_client::OrderServiceClient,
    },
    gateway::gateway_service_client::GatewayServiceClient,
    leads::{
        client_service_client::ClientServiceClient, deal_service_client::DealServiceClient,
        lead_event_service_client::LeadEventServiceClient, lead_service_client::LeadServiceClient,
        pipeline_service_client::PipelineServiceClient, principal_service_client::PrincipalServiceClient,
        staff_service_client::StaffServiceClient,
    },
    reporting::{projection_service_client::ProjectionServiceClient, report_service_client::ReportServiceClient},
    test::test_clock_service_client::TestClockServiceClient,
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

/// A connection to the gateway in somebody's name.
#[derive(Clone, Debug)]
pub struct Door {
    pub(crate) channel: Channel,
    pub(crate) bearer: Bearer,
}

/// Puts the key into every call.
#[derive(Clone, Debug)]
pub struct Bearer(pub(crate) Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// What the generated clients stand on.
pub type Keyed = InterceptedService<Channel, Bearer>;

impl Door {
    /// A connection without a key.
    pub fn anonymous(channel: Channel) -> Self {
        Self { channel, bearer: Bearer(None) }
    }

    /// The same connection with a key, `{id}.{secret}`.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        let value = format!("Bearer {key}").parse().expect("a key is ASCII");
        Self { channel: self.channel.clone(), bearer: Bearer(Some(value)) }
    }

    /// The same key at another connection.
    #[must_use]
    pub fn at(&self, channel: Channel) -> Self {
        Self { channel, bearer: self.bearer.clone() }
    }

    /// The connection with its key, for clients that are not generated.
    pub fn keyed(&self) -> Keyed {
        InterceptedService::new(self.channel.clone(), self.bearer.clone())
    }

    /// Leads' requests.
    pub fn leads(&self) -> LeadServiceClient<Keyed> {
        LeadServiceClient::new(self.keyed())
    }

    /// Clients.
    pub fn clients(&self) -> ClientServiceClient<Keyed> {
        ClientServiceClient::new(self.keyed())
    }

    /// Deals.
    pub fn deals(&self) -> DealServiceClient<Keyed> {
        DealServiceClient::new(self.keyed())
    }

    /// Pipelines.
    pub fn pipelines(&self) -> PipelineServiceClient<Keyed> {
        PipelineServiceClient::new(self.keyed())
    }

    /// Staff.
    pub fn staff(&self) -> StaffServiceClient<Keyed> {
        StaffServiceClient::new(self.keyed())
    }

    /// Principals and keys.
    pub fn principals(&self) -> PrincipalServiceClient<Keyed> {
        PrincipalServiceClient::new(self.keyed())
    }

    /// The feed of leads.
    pub fn lead_events(&self) -> LeadEventServiceClient<Keyed> {
        LeadEventServiceClient::new(self.keyed())
    }

    /// Contracts.
    pub fn contracts(&self) -> ContractServiceClient<Keyed> {
        ContractServiceClient::new(self.keyed())
    }

    /// Orders.
    pub fn orders(&self) -> OrderServiceClient<Keyed> {
        OrderServiceClient::new(self.keyed())
    }

    /// Approval limits.
    pub fn authority(&self) -> AuthorityServiceClient<Keyed> {
        AuthorityServiceClient::new(self.keyed())
    }

    /// The feed of contracts.
    pub fn contract_events(&self) -> ContractEventServiceClient<Keyed> {
        ContractEventServiceClient::new(self.keyed())
    }

    /// Invoices.
    pub fn invoices(&self) -> InvoiceServiceClient<Keyed> {
        InvoiceServiceClient::new(self.keyed())
    }

    /// Payments.
    pub fn payments(&self) -> PaymentServiceClient<Keyed> {
        PaymentServiceClient::new(self.keyed())
    }

    /// The ledger.
    pub fn ledger(&self) -> LedgerServiceClient<Keyed> {
        LedgerServiceClient::new(self.keyed())
    }

    /// The feed of billing.
    pub fn billing_events(&self) -> BillingEventServiceClient<Keyed> {
        BillingEventServiceClient::new(self.keyed())
    }

    /// Reports.
    pub fn reports(&self) -> ReportServiceClient<Keyed> {
        ReportServiceClient::new(self.keyed())
    }

    /// The read models.
    pub fn projections(&self) -> ProjectionServiceClient<Keyed> {
        ProjectionServiceClient::new(self.keyed())
    }

    /// The gateway's own answers.
    pub fn gateway(&self) -> GatewayServiceClient<Keyed> {
        GatewayServiceClient::new(self.keyed())
    }

    /// The suite's clock.
    pub fn clock(&self) -> TestClockServiceClient<Keyed> {
        TestClockServiceClient::new(self.keyed())
    }
}
