//! The RPCs of reporting: one file a use case, which shows the whole of it. Here is delegation only.

mod ask;
mod get_conversion_report;
mod get_funnel_report;
mod get_lead_report;
mod get_projection;
mod get_receivables_report;
mod get_revenue_report;
mod get_won_report;
mod present;
mod rebuild_projection;
mod snapshot;

use otdel_api::reporting as pb;
use otdel_runtime::call::run;
use tonic::{Request, Response, Status};

use crate::Reporting;

#[tonic::async_trait]
impl pb::report_service_server::ReportService for Reporting {
    async fn get_lead_report(
        &self,
        request: Request<pb::GetLeadReportRequest>,
    ) -> Result<Response<pb::GetLeadReportResponse>, Status> {
        run(&self.core, self.clone(), request, get_lead_report::get_lead_report).await
    }

    async fn get_conversion_report(
        &self,
        request: Request<pb::GetConversionReportRequest>,
    ) -> Result<Response<pb::GetConversionReportResponse>, Status> {
        run(&self.core, self.clone(), request, get_conversion_report::get_conversion_report).await
    }

    async fn get_won_report(
        &self,
        request: Request<pb::GetWonReportRequest>,
    ) -> Result<Response<pb::GetWonReportResponse>, Status> {
        run(&self.core, self.clone(), request, get_won_report::get_won_report).await
    }

    async fn get_funnel_report(
        &self,
        request: Request<pb::GetFunnelReportRequest>,
    ) -> Result<Response<pb::GetFunnelReportResponse>, Status> {
        run(&self.core, self.clone(), request, get_funnel_report::get_funnel_report).await
    }

    async fn get_revenue_report(
        &self,
        request: Request<pb::GetRevenueReportRequest>,
    ) -> Result<Response<pb::GetRevenueReportResponse>, Status> {
        run(&self.core, self.clone(), request, get_revenue_report::get_revenue_report).await
    }

    async fn get_receivables_report(
        &self,
        request: Request<pb::GetReceivablesReportRequest>,
    ) -> Result<Response<pb::GetReceivablesReportResponse>, Status> {
        run(&self.core, self.clone(), request, get_receivables_report::get_receivables_report).await
    }
}

#[tonic::async_trait]
impl pb::projection_service_server::ProjectionService for Reporting {
    async fn get_projection(
        &self,
        request: Request<pb::GetProjectionRequest>,
    ) -> Result<Response<pb::GetProjectionResponse>, Status> {
        run(&self.core, self.clone(), request, get_projection::get_projection).await
    }

    async fn rebuild_projection(
        &self,
        request: Request<pb::RebuildProjectionRequest>,
    ) -> Result<Response<pb::RebuildProjectionResponse>, Status> {
        run(&self.core, self.clone(), request, rebuild_projection::rebuild_projection).await
    }
}
