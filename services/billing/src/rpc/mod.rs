//! The RPCs of billing: one file a use case, which shows the whole of it. Here is delegation only.

mod allocate_payment;
mod get_invoice;
mod get_payment;
mod get_receivables;
mod get_trial_balance;
mod list_deal_events;
mod list_invoices;
mod list_payments;
mod present;
mod record_payment;
mod settle;

use otdel_api::billing::{self as pb, BillingEvent};
use otdel_runtime::{
    call::run,
    feed::{EventStream, Locate},
};
use tonic::{Request, Response, Status};

use crate::Billing;

#[tonic::async_trait]
impl pb::invoice_service_server::InvoiceService for Billing {
    async fn get_invoice(
        &self,
        request: Request<pb::GetInvoiceRequest>,
    ) -> Result<Response<pb::GetInvoiceResponse>, Status> {
        run(&self.core, self.clone(), request, get_invoice::get_invoice).await
    }

    async fn list_invoices(
        &self,
        request: Request<pb::ListInvoicesRequest>,
    ) -> Result<Response<pb::ListInvoicesResponse>, Status> {
        run(&self.core, self.clone(), request, list_invoices::list_invoices).await
    }
}

#[tonic::async_trait]
impl pb::payment_service_server::PaymentService for Billing {
    async fn get_payment(
        &self,
        request: Request<pb::GetPaymentRequest>,
    ) -> Result<Response<pb::GetPaymentResponse>, Status> {
        run(&self.core, self.clone(), request, get_payment::get_payment).await
    }

    async fn list_payments(
        &self,
        request: Request<pb::ListPaymentsRequest>,
    ) -> Result<Response<pb::ListPaymentsResponse>, Status> {
        run(&self.core, self.clone(), request, list_payments::list_payments).await
    }

    async fn record_payment(
        &self,
        request: Request<pb::RecordPaymentRequest>,
    ) -> Result<Response<pb::RecordPaymentResponse>, Status> {
        run(&self.core, self.clone(), request, record_payment::record_payment).await
    }

    async fn allocate_payment(
        &self,
        request: Request<pb::AllocatePaymentRequest>,
    ) -> Result<Response<pb::AllocatePaymentResponse>, Status> {
        run(&self.core, self.clone(), request, allocate_payment::allocate_payment).await
    }
}

#[tonic::async_trait]
impl pb::ledger_service_server::LedgerService for Billing {
    async fn get_receivables(
        &self,
        request: Request<pb::GetReceivablesRequest>,
    ) -> Result<Response<pb::GetReceivablesResponse>, Status> {
        run(&self.core, self.clone(), request, get_receivables::get_receivables).await
    }

    async fn get_trial_balance(
        &self,
        request: Request<pb::GetTrialBalanceRequest>,
    ) -> Result<Response<pb::GetTrialBalanceResponse>, Status> {
        run(&self.core, self.clone(), request, get_trial_balance::get_trial_balance).await
    }
}

#[tonic::async_trait]
impl pb::billing_event_service_server::BillingEventService for Billing {
    type SubscribeStream = EventStream<pb::SubscribeResponse>;

    async fn subscribe(
        &self,
        request: Request<pb::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        self.feed.subscribe::<BillingEvent>(request).await
    }

    async fn locate(&self, request: Request<pb::LocateRequest>) -> Result<Response<pb::LocateResponse>, Status> {
        let place = self.feed.locate(request.map(|ask| Locate { change: ask.change, read_to: ask.read_to })).await?;
        Ok(Response::new(pb::LocateResponse { epoch: place.epoch.to_string(), position: place.position }))
    }

    async fn list_deal_events(
        &self,
        request: Request<pb::ListDealEventsRequest>,
    ) -> Result<Response<pb::ListDealEventsResponse>, Status> {
        run(&self.core, self.clone(), request, list_deal_events::list_deal_events).await
    }
}
