//! The RPCs of contracts: one file a use case, which shows the whole of it. Here is delegation only.

mod approve_contract;
mod cancel_order;
mod confirm_order;
mod create_order;
mod draft_contract;
mod get_contract;
mod get_order;
mod list_approval_limits;
mod list_contracts;
mod list_deal_events;
mod list_orders;
mod open_deal;
pub(crate) mod present;
mod read;
mod reject_contract;
mod request_approval;
mod revise_contract;
mod set_approval_limit;
mod sign_contract;

use otdel_api::contracts as pb;
use otdel_runtime::{
    call::run,
    feed::{EventStream, Locate},
};
use tonic::{Request, Response, Status};

use crate::Contracts;

#[tonic::async_trait]
impl pb::contract_service_server::ContractService for Contracts {
    async fn get_contract(
        &self,
        request: Request<pb::GetContractRequest>,
    ) -> Result<Response<pb::GetContractResponse>, Status> {
        run(&self.core, self.clone(), request, get_contract::get_contract).await
    }

    async fn list_contracts(
        &self,
        request: Request<pb::ListContractsRequest>,
    ) -> Result<Response<pb::ListContractsResponse>, Status> {
        run(&self.core, self.clone(), request, list_contracts::list_contracts).await
    }

    async fn draft_contract(
        &self,
        request: Request<pb::DraftContractRequest>,
    ) -> Result<Response<pb::DraftContractResponse>, Status> {
        run(&self.core, self.clone(), request, draft_contract::draft_contract).await
    }

    async fn revise_contract(
        &self,
        request: Request<pb::ReviseContractRequest>,
    ) -> Result<Response<pb::ReviseContractResponse>, Status> {
        run(&self.core, self.clone(), request, revise_contract::revise_contract).await
    }

    async fn request_approval(
        &self,
        request: Request<pb::RequestApprovalRequest>,
    ) -> Result<Response<pb::RequestApprovalResponse>, Status> {
        run(&self.core, self.clone(), request, request_approval::request_approval).await
    }

    async fn approve_contract(
        &self,
        request: Request<pb::ApproveContractRequest>,
    ) -> Result<Response<pb::ApproveContractResponse>, Status> {
        run(&self.core, self.clone(), request, approve_contract::approve_contract).await
    }

    async fn reject_contract(
        &self,
        request: Request<pb::RejectContractRequest>,
    ) -> Result<Response<pb::RejectContractResponse>, Status> {
        run(&self.core, self.clone(), request, reject_contract::reject_contract).await
    }

    async fn sign_contract(
        &self,
        request: Request<pb::SignContractRequest>,
    ) -> Result<Response<pb::SignContractResponse>, Status> {
        run(&self.core, self.clone(), request, sign_contract::sign_contract).await
    }
}

#[tonic::async_trait]
impl pb::order_service_server::OrderService for Contracts {
    async fn get_order(&self, request: Request<pb::GetOrderRequest>) -> Result<Response<pb::GetOrderResponse>, Status> {
        run(&self.core, self.clone(), request, get_order::get_order).await
    }

    async fn list_orders(
        &self,
        request: Request<pb::ListOrdersRequest>,
    ) -> Result<Response<pb::ListOrdersResponse>, Status> {
        run(&self.core, self.clone(), request, list_orders::list_orders).await
    }

    async fn create_order(
        &self,
        request: Request<pb::CreateOrderRequest>,
    ) -> Result<Response<pb::CreateOrderResponse>, Status> {
        run(&self.core, self.clone(), request, create_order::create_order).await
    }

    async fn confirm_order(
        &self,
        request: Request<pb::ConfirmOrderRequest>,
    ) -> Result<Response<pb::ConfirmOrderResponse>, Status> {
        run(&self.core, self.clone(), request, confirm_order::confirm_order).await
    }

    async fn cancel_order(
        &self,
        request: Request<pb::CancelOrderRequest>,
    ) -> Result<Response<pb::CancelOrderResponse>, Status> {
        run(&self.core, self.clone(), request, cancel_order::cancel_order).await
    }
}

#[tonic::async_trait]
impl pb::authority_service_server::AuthorityService for Contracts {
    async fn list_approval_limits(
        &self,
        request: Request<pb::ListApprovalLimitsRequest>,
    ) -> Result<Response<pb::ListApprovalLimitsResponse>, Status> {
        run(&self.core, self.clone(), request, list_approval_limits::list_approval_limits).await
    }

    async fn set_approval_limit(
        &self,
        request: Request<pb::SetApprovalLimitRequest>,
    ) -> Result<Response<pb::SetApprovalLimitResponse>, Status> {
        run(&self.core, self.clone(), request, set_approval_limit::set_approval_limit).await
    }
}

#[tonic::async_trait]
impl pb::contract_event_service_server::ContractEventService for Contracts {
    type SubscribeStream = EventStream<pb::SubscribeResponse>;

    async fn subscribe(
        &self,
        request: Request<pb::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        self.feed.subscribe::<pb::ContractEvent>(request).await
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
