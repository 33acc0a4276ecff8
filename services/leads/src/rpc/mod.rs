//! The RPCs of leads: one file a use case, which shows the whole of it. Here is delegation only.

mod advance_stage;
mod assign_lead;
mod close_lead;
mod close_lost;
mod convert_lead;
mod create_api_key;
mod create_person;
mod create_pipeline;
mod create_principal;
mod create_team;
mod describe_deal;
pub(crate) mod facts;
mod get_api_key;
mod get_client;
mod get_deal;
pub(crate) mod get_lead;
mod get_person;
mod get_pipeline;
mod get_principal;
mod grants;
mod intake;
mod list_api_keys;
mod list_clients;
mod list_deal_events;
mod list_deals;
pub(crate) mod list_leads;
mod list_people;
mod list_pipelines;
mod list_principals;
mod list_teams;
mod log_contact;
mod mark_won;
mod parse;
pub(crate) mod present;
mod revoke_api_key;
mod set_principal_state;
mod set_shift;
pub(crate) mod submit_lead;
mod update_api_key;
mod update_client;
mod update_principal;
mod watch_directory;

use otdel_api::leads as pb;
use otdel_runtime::{
    call::run,
    feed::{EventStream, Locate},
    server::MAX_REQUEST,
};
use tonic::{Request, Response, Status, service::Routes};

use crate::Leads;

/// The RPCs of the service.
pub(crate) fn routes(app: &Leads) -> Routes {
    let mut routes = Routes::builder();
    routes
        .add_service(
            pb::lead_service_server::LeadServiceServer::new(app.clone()).max_decoding_message_size(MAX_REQUEST),
        )
        .add_service(
            pb::client_service_server::ClientServiceServer::new(app.clone()).max_decoding_message_size(MAX_REQUEST),
        )
        .add_service(
            pb::deal_service_server::DealServiceServer::new(app.clone()).max_decoding_message_size(MAX_REQUEST),
        )
        .add_service(
            pb::pipeline_service_server::PipelineServiceServer::new(app.clone()).max_decoding_message_size(MAX_REQUEST),
        )
        .add_service(
            pb::staff_service_server::StaffServiceServer::new(app.clone()).max_decoding_message_size(MAX_REQUEST),
        )
        .add_service(
            pb::principal_service_server::PrincipalServiceServer::new(app.clone())
                .max_decoding_message_size(MAX_REQUEST),
        )
        .add_service(
            pb::directory_service_server::DirectoryServiceServer::new(app.clone())
                .max_decoding_message_size(MAX_REQUEST),
        )
        .add_service(
            pb::lead_event_service_server::LeadEventServiceServer::new(app.clone())
                .max_decoding_message_size(MAX_REQUEST),
        );
    routes.routes()
}

#[tonic::async_trait]
impl pb::lead_service_server::LeadService for Leads {
    async fn get_lead(&self, request: Request<pb::GetLeadRequest>) -> Result<Response<pb::GetLeadResponse>, Status> {
        run(&self.core, self.clone(), request, get_lead::get_lead).await
    }

    async fn list_leads(
        &self,
        request: Request<pb::ListLeadsRequest>,
    ) -> Result<Response<pb::ListLeadsResponse>, Status> {
        run(&self.core, self.clone(), request, list_leads::list_leads).await
    }

    async fn submit_lead(
        &self,
        request: Request<pb::SubmitLeadRequest>,
    ) -> Result<Response<pb::SubmitLeadResponse>, Status> {
        run(&self.core, self.clone(), request, submit_lead::submit_lead).await
    }

    async fn log_contact(
        &self,
        request: Request<pb::LogContactRequest>,
    ) -> Result<Response<pb::LogContactResponse>, Status> {
        run(&self.core, self.clone(), request, log_contact::log_contact).await
    }

    async fn assign_lead(
        &self,
        request: Request<pb::AssignLeadRequest>,
    ) -> Result<Response<pb::AssignLeadResponse>, Status> {
        run(&self.core, self.clone(), request, assign_lead::assign_lead).await
    }

    async fn convert_lead(
        &self,
        request: Request<pb::ConvertLeadRequest>,
    ) -> Result<Response<pb::ConvertLeadResponse>, Status> {
        run(&self.core, self.clone(), request, convert_lead::convert_lead).await
    }

    async fn close_lead(
        &self,
        request: Request<pb::CloseLeadRequest>,
    ) -> Result<Response<pb::CloseLeadResponse>, Status> {
        run(&self.core, self.clone(), request, close_lead::close_lead).await
    }
}

#[tonic::async_trait]
impl pb::client_service_server::ClientService for Leads {
    async fn get_client(
        &self,
        request: Request<pb::GetClientRequest>,
    ) -> Result<Response<pb::GetClientResponse>, Status> {
        run(&self.core, self.clone(), request, get_client::get_client).await
    }

    async fn list_clients(
        &self,
        request: Request<pb::ListClientsRequest>,
    ) -> Result<Response<pb::ListClientsResponse>, Status> {
        run(&self.core, self.clone(), request, list_clients::list_clients).await
    }

    async fn update_client(
        &self,
        request: Request<pb::UpdateClientRequest>,
    ) -> Result<Response<pb::UpdateClientResponse>, Status> {
        run(&self.core, self.clone(), request, update_client::update_client).await
    }
}

#[tonic::async_trait]
impl pb::deal_service_server::DealService for Leads {
    async fn get_deal(&self, request: Request<pb::GetDealRequest>) -> Result<Response<pb::GetDealResponse>, Status> {
        run(&self.core, self.clone(), request, get_deal::get_deal).await
    }

    async fn list_deals(
        &self,
        request: Request<pb::ListDealsRequest>,
    ) -> Result<Response<pb::ListDealsResponse>, Status> {
        run(&self.core, self.clone(), request, list_deals::list_deals).await
    }

    async fn describe_deal(
        &self,
        request: Request<pb::DescribeDealRequest>,
    ) -> Result<Response<pb::DescribeDealResponse>, Status> {
        run(&self.core, self.clone(), request, describe_deal::describe_deal).await
    }

    async fn advance_stage(
        &self,
        request: Request<pb::AdvanceStageRequest>,
    ) -> Result<Response<pb::AdvanceStageResponse>, Status> {
        run(&self.core, self.clone(), request, advance_stage::advance_stage).await
    }

    async fn mark_won(&self, request: Request<pb::MarkWonRequest>) -> Result<Response<pb::MarkWonResponse>, Status> {
        run(&self.core, self.clone(), request, mark_won::mark_won).await
    }

    async fn close_lost(
        &self,
        request: Request<pb::CloseLostRequest>,
    ) -> Result<Response<pb::CloseLostResponse>, Status> {
        run(&self.core, self.clone(), request, close_lost::close_lost).await
    }
}

#[tonic::async_trait]
impl pb::pipeline_service_server::PipelineService for Leads {
    async fn get_pipeline(
        &self,
        request: Request<pb::GetPipelineRequest>,
    ) -> Result<Response<pb::GetPipelineResponse>, Status> {
        run(&self.core, self.clone(), request, get_pipeline::get_pipeline).await
    }

    async fn list_pipelines(
        &self,
        request: Request<pb::ListPipelinesRequest>,
    ) -> Result<Response<pb::ListPipelinesResponse>, Status> {
        run(&self.core, self.clone(), request, list_pipelines::list_pipelines).await
    }

    async fn create_pipeline(
        &self,
        request: Request<pb::CreatePipelineRequest>,
    ) -> Result<Response<pb::CreatePipelineResponse>, Status> {
        run(&self.core, self.clone(), request, create_pipeline::create_pipeline).await
    }
}

#[tonic::async_trait]
impl pb::staff_service_server::StaffService for Leads {
    async fn get_person(
        &self,
        request: Request<pb::GetPersonRequest>,
    ) -> Result<Response<pb::GetPersonResponse>, Status> {
        run(&self.core, self.clone(), request, get_person::get_person).await
    }

    async fn list_people(
        &self,
        request: Request<pb::ListPeopleRequest>,
    ) -> Result<Response<pb::ListPeopleResponse>, Status> {
        run(&self.core, self.clone(), request, list_people::list_people).await
    }

    async fn list_teams(
        &self,
        request: Request<pb::ListTeamsRequest>,
    ) -> Result<Response<pb::ListTeamsResponse>, Status> {
        run(&self.core, self.clone(), request, list_teams::list_teams).await
    }

    async fn create_team(
        &self,
        request: Request<pb::CreateTeamRequest>,
    ) -> Result<Response<pb::CreateTeamResponse>, Status> {
        run(&self.core, self.clone(), request, create_team::create_team).await
    }

    async fn create_person(
        &self,
        request: Request<pb::CreatePersonRequest>,
    ) -> Result<Response<pb::CreatePersonResponse>, Status> {
        run(&self.core, self.clone(), request, create_person::create_person).await
    }

    async fn set_shift(&self, request: Request<pb::SetShiftRequest>) -> Result<Response<pb::SetShiftResponse>, Status> {
        run(&self.core, self.clone(), request, set_shift::set_shift).await
    }
}

#[tonic::async_trait]
impl pb::principal_service_server::PrincipalService for Leads {
    async fn get_principal(
        &self,
        request: Request<pb::GetPrincipalRequest>,
    ) -> Result<Response<pb::GetPrincipalResponse>, Status> {
        run(&self.core, self.clone(), request, get_principal::get_principal).await
    }

    async fn list_principals(
        &self,
        request: Request<pb::ListPrincipalsRequest>,
    ) -> Result<Response<pb::ListPrincipalsResponse>, Status> {
        run(&self.core, self.clone(), request, list_principals::list_principals).await
    }

    async fn create_principal(
        &self,
        request: Request<pb::CreatePrincipalRequest>,
    ) -> Result<Response<pb::CreatePrincipalResponse>, Status> {
        run(&self.core, self.clone(), request, create_principal::create_principal).await
    }

    async fn update_principal(
        &self,
        request: Request<pb::UpdatePrincipalRequest>,
    ) -> Result<Response<pb::UpdatePrincipalResponse>, Status> {
        run(&self.core, self.clone(), request, update_principal::update_principal).await
    }

    async fn set_principal_state(
        &self,
        request: Request<pb::SetPrincipalStateRequest>,
    ) -> Result<Response<pb::SetPrincipalStateResponse>, Status> {
        run(&self.core, self.clone(), request, set_principal_state::set_principal_state).await
    }

    async fn get_api_key(
        &self,
        request: Request<pb::GetApiKeyRequest>,
    ) -> Result<Response<pb::GetApiKeyResponse>, Status> {
        run(&self.core, self.clone(), request, get_api_key::get_api_key).await
    }

    async fn list_api_keys(
        &self,
        request: Request<pb::ListApiKeysRequest>,
    ) -> Result<Response<pb::ListApiKeysResponse>, Status> {
        run(&self.core, self.clone(), request, list_api_keys::list_api_keys).await
    }

    async fn create_api_key(
        &self,
        request: Request<pb::CreateApiKeyRequest>,
    ) -> Result<Response<pb::CreateApiKeyResponse>, Status> {
        run(&self.core, self.clone(), request, create_api_key::create_api_key).await
    }

    async fn update_api_key(
        &self,
        request: Request<pb::UpdateApiKeyRequest>,
    ) -> Result<Response<pb::UpdateApiKeyResponse>, Status> {
        run(&self.core, self.clone(), request, update_api_key::update_api_key).await
    }

    async fn revoke_api_key(
        &self,
        request: Request<pb::RevokeApiKeyRequest>,
    ) -> Result<Response<pb::RevokeApiKeyResponse>, Status> {
        run(&self.core, self.clone(), request, revoke_api_key::revoke_api_key).await
    }
}

#[tonic::async_trait]
impl pb::directory_service_server::DirectoryService for Leads {
    type WatchDirectoryStream = watch_directory::DirectoryStream;

    async fn watch_directory(
        &self,
        request: Request<pb::WatchDirectoryRequest>,
    ) -> Result<Response<Self::WatchDirectoryStream>, Status> {
        watch_directory::watch_directory(self.clone(), request)
    }
}

#[tonic::async_trait]
impl pb::lead_event_service_server::LeadEventService for Leads {
    type SubscribeStream = EventStream<pb::SubscribeResponse>;

    async fn subscribe(
        &self,
        request: Request<pb::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        self.feed.subscribe::<pb::LeadEvent>(request).await
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
