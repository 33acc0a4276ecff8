//! The gateway's own RPCs: what only several services together can tell, and the suite's clock.

mod advance_clock;
mod card;
mod feeds;
mod get_caller;
mod get_client_card;
mod get_clock;
mod get_deal_timeline;
mod section;

use otdel_api::{
    gateway::{self as pb, gateway_service_server::GatewayService},
    test::{self, test_clock_service_server::TestClockService},
};
use otdel_runtime::call::run_unit;
use tonic::{Request, Response, Status};

use crate::{Gateway, SERVICE};

#[tonic::async_trait]
impl GatewayService for Gateway {
    async fn get_client_card(
        &self,
        request: Request<pb::GetClientCardRequest>,
    ) -> Result<Response<pb::GetClientCardResponse>, Status> {
        run_unit(SERVICE, &self.units, self.clock.now(), self.clone(), request, get_client_card::get_client_card).await
    }

    async fn get_deal_timeline(
        &self,
        request: Request<pb::GetDealTimelineRequest>,
    ) -> Result<Response<pb::GetDealTimelineResponse>, Status> {
        run_unit(SERVICE, &self.units, self.clock.now(), self.clone(), request, get_deal_timeline::get_deal_timeline)
            .await
    }

    async fn get_caller(
        &self,
        request: Request<pb::GetCallerRequest>,
    ) -> Result<Response<pb::GetCallerResponse>, Status> {
        run_unit(SERVICE, &self.units, self.clock.now(), self.clone(), request, get_caller::get_caller).await
    }
}

#[tonic::async_trait]
impl TestClockService for Gateway {
    async fn advance_clock(
        &self,
        request: Request<test::AdvanceClockRequest>,
    ) -> Result<Response<test::AdvanceClockResponse>, Status> {
        run_unit(SERVICE, &self.units, self.clock.now(), self.clone(), request, advance_clock::advance_clock).await
    }

    async fn get_clock(
        &self,
        request: Request<test::GetClockRequest>,
    ) -> Result<Response<test::GetClockResponse>, Status> {
        run_unit(SERVICE, &self.units, self.clock.now(), self.clone(), request, get_clock::get_clock).await
    }
}
