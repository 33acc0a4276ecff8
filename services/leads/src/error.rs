//! What can go wrong in leads, and the one place that picks codes for it.

use std::fmt;

use otdel_runtime::{
    fault::{Explain, Fault},
    violations::Violations,
};
use otdel_types::{ApiKeyId, ClientId, DealId, LeadId, PersonId, PipelineId, PrincipalId, TeamId};
use tonic::Code;

use crate::{
    domain::{api_key, client, deal, lead, pipeline::Gate, principal, version::Stale},
    rpc::present,
};

/// A resource that does not exist, or that the caller does not reach: the two look the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    /// A lead.
    Lead(LeadId),
    /// A client.
    Client(ClientId),
    /// A deal.
    Deal(DealId),
    /// A person.
    Person(PersonId),
    /// A team.
    Team(TeamId),
    /// A principal.
    Principal(PrincipalId),
    /// An API key.
    ApiKey(ApiKeyId),
    /// A pipeline version.
    Pipeline(PipelineId),
}

impl Resource {
    /// The reason, the metadata's key and the resource's name.
    fn told(self) -> (&'static str, &'static str, String) {
        match self {
            Self::Lead(id) => ("LEAD_NOT_FOUND", "lead", id.to_string()),
            Self::Client(id) => ("CLIENT_NOT_FOUND", "client", id.to_string()),
            Self::Deal(id) => ("DEAL_NOT_FOUND", "deal", id.to_string()),
            Self::Person(id) => ("PERSON_NOT_FOUND", "person", id.to_string()),
            Self::Team(id) => ("TEAM_NOT_FOUND", "team", id.to_string()),
            Self::Principal(id) => ("PRINCIPAL_NOT_FOUND", "principal", id.to_string()),
            Self::ApiKey(id) => ("API_KEY_NOT_FOUND", "api_key", id.to_string()),
            Self::Pipeline(id) => ("PIPELINE_NOT_FOUND", "pipeline", id.to_string()),
        }
    }

    fn fault(self, code: Code, text: &Error) -> Fault {
        let (reason, key, name) = self.told();
        Fault::new(code, reason, text).with(key, name)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told().1.replace('_', " "))
    }
}

/// Why an RPC of leads does not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Fields are wrong.
    #[error(transparent)]
    Invalid(#[from] Violations),
    /// What the request is about does not exist.
    #[error("there is no such {0}")]
    NotFound(Resource),
    /// What an argument names does not exist.
    #[error("there is no such {0}")]
    NoSuch(Resource),
    /// The resource changed since it was read.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// A lead does not do what is asked.
    #[error(transparent)]
    Lead(#[from] lead::Refusal),
    /// A deal does not do what is asked.
    #[error(transparent)]
    Deal(#[from] deal::Refusal),
    /// A client would be out of reach.
    #[error(transparent)]
    Client(#[from] client::Unreachable),
    /// The principal is the caller's own.
    #[error(transparent)]
    OwnPrincipal(#[from] principal::Own),
    /// Another principal has the subject.
    #[error("another principal has this subject")]
    SubjectTaken,
    /// A key does not change as is asked.
    #[error(transparent)]
    ApiKey(#[from] api_key::Refusal),
    /// Nobody could change principals and keys any more.
    #[error("nobody would be left who can make principals and keys")]
    LastAdministrator,
    /// A person is off shift or full.
    #[error("the person is not on shift or has no room for one more lead")]
    NoCapacity(PersonId),
    /// The source reference belongs to another request.
    #[error("the source reference belongs to an earlier lead with another content")]
    SourceRefTaken(LeadId),
    /// The phone or the e-mail is another client's.
    #[error("another client has this {0}")]
    ContactTaken(&'static str),
    /// Another key has this secret.
    #[error("another API key has the digest of this secret")]
    SecretReused,
    /// A refusal that is the same in every service.
    #[error(transparent)]
    Shared(#[from] Fault),
    /// The database said no.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

impl Explain for Error {
    fn explain(&self) -> Fault {
        match self {
            Self::Invalid(all) => Fault::fields(all),
            Self::NotFound(resource) => resource.fault(Code::NotFound, self),
            Self::NoSuch(resource) => resource.fault(Code::FailedPrecondition, self),
            Self::Stale(Stale { current }) => Fault::new(Code::Aborted, "STALE_ETAG", self).with("etag", current),
            Self::Lead(lead::Refusal::WrongState { state, .. }) => {
                Fault::new(Code::FailedPrecondition, "WRONG_STATE", self)
                    .with("state", present::lead_state(*state).as_str_name())
            }
            Self::Deal(refusal) => deal_fault(refusal),
            Self::Client(unreachable) => {
                let mut wrong = Violations::default();
                wrong.add("client", unreachable);
                Fault::fields(&wrong)
            }
            Self::OwnPrincipal(principal::Own) | Self::ApiKey(api_key::Refusal::Wider) => {
                Fault::new(Code::FailedPrecondition, "OWN_PRINCIPAL", self)
            }
            Self::SubjectTaken => Fault::new(Code::AlreadyExists, "SUBJECT_TAKEN", self),
            Self::ApiKey(api_key::Refusal::Revoked) => {
                Fault::new(Code::FailedPrecondition, "WRONG_STATE", self).with("state", "REVOKED")
            }
            Self::LastAdministrator => {
                Fault::new(Code::FailedPrecondition, "WRONG_STATE", self).with("state", "LAST_ADMINISTRATOR")
            }
            Self::NoCapacity(id) => Fault::new(Code::FailedPrecondition, "NO_CAPACITY", self).with("person", id),
            Self::SourceRefTaken(id) => Fault::new(Code::AlreadyExists, "SOURCE_REF_TAKEN", self).with("lead", id),
            Self::ContactTaken(field) => Fault::new(Code::AlreadyExists, "CONTACT_TAKEN", self).with("field", field),
            Self::SecretReused => Fault::new(Code::AlreadyExists, "SECRET_REUSED", self),
            Self::Shared(fault) => fault.clone(),
            Self::Database(error) => Fault::database(error),
        }
    }
}

fn deal_fault(refusal: &deal::Refusal) -> Fault {
    let fault = |reason| Fault::new(Code::FailedPrecondition, reason, refusal);
    match refusal {
        deal::Refusal::WrongState { state, .. } => {
            fault("WRONG_STATE").with("state", present::deal_state(*state).as_str_name())
        }
        deal::Refusal::StageSkipped { next } => {
            fault("STAGE_SKIPPED").with("next", next.as_deref().unwrap_or_default())
        }
        deal::Refusal::GatesShut(gates) => gates
            .iter()
            .fold(fault("GATE_SHUT"), |fault, gate| fault.lacking(present::gate(*gate).as_str_name(), lacking(*gate))),
        deal::Refusal::PipelineHasGates => fault("PIPELINE_HAS_GATES"),
    }
}

/// What is lacking where a gate is shut.
fn lacking(gate: Gate) -> &'static str {
    match gate {
        Gate::Need => "the deal does not say what the client needs",
        Gate::Amount => "the deal does not say what it is worth",
        Gate::ContractSigned => "no contract of the deal is signed",
        Gate::InvoiceIssued => "no invoice of the deal is issued",
        Gate::Paid => "not every invoice of the deal is paid",
    }
}

#[cfg(test)]
mod tests {
    use otdel_api::leads as pb;

    use super::*;
    use crate::domain::{deal::State as DealState, lead::State as LeadState};

    /// One of each, but for those of the runtime.
    fn all() -> Vec<Error> {
        let (lead, person, pipeline) = (LeadId::new(), PersonId::new(), PipelineId::new());
        let mut wrong = Violations::default();
        wrong.add("name", "must be given");
        let resources = [
            Resource::Lead(lead),
            Resource::Client(ClientId::new()),
            Resource::Deal(DealId::new()),
            Resource::Person(person),
            Resource::Team(TeamId::new()),
            Resource::Principal(PrincipalId::new()),
            Resource::ApiKey(ApiKeyId::new()),
            Resource::Pipeline(pipeline),
        ];
        let mut errors: Vec<Error> = resources.into_iter().map(Error::NotFound).collect();
        errors.extend([
            Error::Invalid(wrong),
            Error::NoSuch(Resource::Person(person)),
            Stale { current: 2 }.into(),
            lead::Refusal::WrongState { state: LeadState::Closed, verb: "assigned" }.into(),
            deal::Refusal::WrongState { state: DealState::Won, verb: "won" }.into(),
            deal::Refusal::StageSkipped { next: None }.into(),
            deal::Refusal::GatesShut(vec![Gate::Need, Gate::Paid]).into(),
            deal::Refusal::PipelineHasGates.into(),
            client::Unreachable.into(),
            principal::Own.into(),
            Error::SubjectTaken,
            api_key::Refusal::Revoked.into(),
            api_key::Refusal::Wider.into(),
            Error::LastAdministrator,
            Error::NoCapacity(person),
            Error::SourceRefTaken(lead),
            Error::ContactTaken("phone"),
            Error::SecretReused,
        ]);
        errors
    }

    #[test]
    fn every_reason_is_declared() {
        for error in all() {
            let reason = format!("ERROR_REASON_{}", error.explain().reason);
            assert!(pb::ErrorReason::from_str_name(&reason).is_some(), "{reason}");
        }
    }

    #[test]
    fn what_is_absent_is_not_found_when_named_and_a_precondition_when_an_argument() {
        let team = Resource::Team(TeamId::new());
        assert_eq!(Error::NotFound(team).explain().code, Code::NotFound);
        let fault = Error::NoSuch(team).explain();
        assert_eq!(
            (fault.code, fault.reason, fault.text.as_str()),
            (Code::FailedPrecondition, "TEAM_NOT_FOUND", "there is no such team",)
        );
    }

    #[test]
    fn every_shut_gate_is_named_in_the_answer() {
        let fault = Error::from(deal::Refusal::GatesShut(vec![Gate::Need, Gate::Paid])).explain();
        let named: Vec<&str> = fault.preconditions.iter().map(|(gate, _)| gate.as_str()).collect();
        assert_eq!(named, ["GATE_KIND_NEED", "GATE_KIND_PAID"]);
    }
}
