use std::sync::Arc;

use axum::{extract::Request, response::Response};
use http::HeaderMap;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Code;

use super::{
    policy::{Policy, policy_of},
    principal::Principal,
    token::{Keyring, TOKEN_HEADER},
};
use crate::{fault::Fault, server::refused};

/// Which service calls, as the transport knows it: the client certificate's name or the hub's word. Put into the
/// request's extensions by the transport, never read from metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller(pub &'static str);

/// Somebody who was found out.
#[derive(Debug)]
pub struct Entry {
    /// Who calls.
    pub principal: Arc<Principal>,
    /// The internal token that speaks for the caller.
    pub token: String,
    /// What the answer's headers say of how much more the caller may ask for, whatever the answer is.
    pub told: HeaderMap,
    /// Why the call is not taken though its caller is known: it asks for too much. None: it is taken.
    pub excess: Option<Fault>,
    /// The call's place among those of its caller that are taken at once, given back when the answer begins. None: they
    /// are not counted.
    pub place: Option<OwnedSemaphorePermit>,
}

/// Finds out who calls.
#[tonic::async_trait]
pub trait Authenticate: Send + Sync + 'static {
    /// The caller, who is told nothing where it is not known.
    async fn authenticate(&self, headers: &HeaderMap, caller: Option<Caller>) -> Result<Entry, Fault>;
}

/// Behind the gateway: the internal token says for whom, the transport says which service.
#[derive(Debug)]
pub struct InternalToken(pub Keyring);

#[tonic::async_trait]
impl Authenticate for InternalToken {
    async fn authenticate(&self, headers: &HeaderMap, caller: Option<Caller>) -> Result<Entry, Fault> {
        let denied = || Fault::new(Code::Unauthenticated, "UNAUTHENTICATED", "the call carries no valid token");
        let Some(caller) = caller else { return Err(denied()) };
        let token = headers.get(TOKEN_HEADER).and_then(|value| value.to_str().ok()).ok_or_else(denied)?;
        let principal = self.0.verify(token).map_err(|error| {
            tracing::warn!(caller = caller.0, %error, "token refused");
            denied()
        })?;
        // A service's own token is good only in that service's hands.
        if principal.as_service().is_some_and(|service| service != caller.0) {
            tracing::warn!(caller = caller.0, subject = principal.name, "token of another service refused");
            return Err(denied());
        }
        // Behind the gateway nobody counts calls again.
        Ok(Entry { principal, token: token.to_owned(), told: HeaderMap::new(), excess: None, place: None })
    }
}

/// What the guard tells the handler.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Who calls.
    pub principal: Arc<Principal>,
    /// The token to pass on when a peer is asked for the same caller.
    pub token: String,
    /// The policy of the RPC.
    pub policy: &'static Policy,
}

/// Lets a call through to its handler, or does not. It denies by default.
pub(crate) async fn guard<W>(
    service: &'static str,
    authenticate: &dyn Authenticate,
    mut request: Request,
    handle: impl FnOnce(Request) -> W,
) -> Response
where
    W: Future<Output = Response>,
{
    if is_open(request.uri().path()) {
        return handle(request).await;
    }
    let caller = request.extensions().get::<Caller>().copied();
    let mut told = HeaderMap::new();
    let mut answer = match admit(authenticate, request.uri().path(), request.headers(), caller, &mut told).await {
        Ok((admitted, _place)) => {
            request.extensions_mut().insert(admitted);
            handle(request).await
        }
        Err(fault) => {
            tell(request.uri().path(), &fault);
            refused(service, fault)
        }
    };
    answer.headers_mut().extend(told);
    answer
}

/// Health and reflection are open to everybody who reaches the port: they tell nothing about the business.
pub(crate) fn is_open(path: &str) -> bool {
    path.starts_with("/grpc.health.v1.Health/") || path.starts_with("/grpc.reflection.")
}

/// Callers choose paths freely, so only a known one is logged; and neither strangers nor who calls too often must be able
/// to fill the log.
fn tell(path: &str, fault: &Fault) {
    let (method, reason) = (policy_of(path).map_or("other", |policy| policy.method), fault.reason);
    if matches!(fault.code, Code::Unauthenticated | Code::ResourceExhausted) {
        tracing::debug!(rpc.method = method, reason, "call not admitted");
    } else {
        tracing::info!(rpc.method = method, reason, "call not admitted");
    }
}

/// Lets a call in or not; `told` is what its answer's headers say either way.
async fn admit(
    authenticate: &dyn Authenticate,
    path: &str,
    headers: &HeaderMap,
    caller: Option<Caller>,
    told: &mut HeaderMap,
) -> Result<(Admitted, Option<OwnedSemaphorePermit>), Fault> {
    // Who calls is asked first, so that a stranger learns nothing about which RPCs there are.
    let entry = authenticate.authenticate(headers, caller).await?;
    *told = entry.told;
    if let Some(excess) = entry.excess {
        return Err(excess);
    }
    let policy = policy_of(path).ok_or_else(no_such_rpc)?;
    authorize(&entry.principal, policy, caller)?;
    Ok((Admitted { principal: entry.principal, token: entry.token, policy }, entry.place))
}

fn no_such_rpc() -> Fault {
    Fault::new(Code::Unimplemented, "NO_SUCH_RPC", "there is no such RPC")
}

/// Whether a caller meets an RPC's policy. For people and systems outside an internal RPC does not exist.
///
/// The token of somebody outside passes through the hands of services. Beside the gateway only the services that the
/// policy names may use it, so that one service that is broken into does not open all the others.
fn authorize(principal: &Principal, policy: &Policy, caller: Option<Caller>) -> Result<(), Fault> {
    let names = |service: &str| policy.services.iter().any(|named| named == service);
    match principal.as_service() {
        Some(service) if !names(service) => return Err(policy.denied()),
        None if policy.internal => return Err(no_such_rpc()),
        None if caller.is_some_and(|Caller(service)| service != "gateway" && !names(service)) => {
            return Err(policy.denied());
        }
        _ => {}
    }
    if policy.admits(principal) { Ok(()) } else { Err(policy.denied()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use otdel_api::leads::Role;

    fn with_role(role: Role) -> Principal {
        Principal::new("principals/x".into(), None, vec![role], &[], vec![])
    }

    fn may(principal: &Principal, method: &str) -> bool {
        let caller = principal.as_service().is_none().then_some(Caller("gateway"));
        authorize(principal, policy_of(method).unwrap(), caller).is_ok()
    }

    #[test]
    fn a_permission_is_needed_and_enough() {
        assert!(may(&with_role(Role::Manager), "/otdel.leads.v1.LeadService/GetLead"));
        assert!(!may(&with_role(Role::Accountant), "/otdel.leads.v1.LeadService/GetLead"));
        assert!(!may(&with_role(Role::Administrator), "/otdel.leads.v1.LeadService/GetLead"));
    }

    #[test]
    fn the_token_of_somebody_outside_is_good_in_the_gateways_hands_and_those_that_the_policy_names() {
        let manager = with_role(Role::Manager);
        let may = |caller: Option<&'static str>, method| {
            authorize(&manager, policy_of(method).unwrap(), caller.map(Caller)).is_ok()
        };
        let (deal, lead) = ("/otdel.leads.v1.DealService/GetDeal", "/otdel.leads.v1.LeadService/GetLead");
        // At the public door the transport names nobody.
        for method in [deal, lead] {
            assert!(may(Some("gateway"), method) && may(None, method) && !may(Some("billing"), method), "{method}");
        }
        assert!(may(Some("contracts"), deal) && !may(Some("contracts"), lead));
        // To be named for callers outside gives the service itself nothing.
        assert!(
            authorize(&Principal::service("contracts"), policy_of(deal).unwrap(), Some(Caller("contracts"))).is_err()
        );
    }

    #[test]
    fn an_answer_without_rows_needs_reach_over_all() {
        assert!(may(&with_role(Role::Auditor), "/otdel.leads.v1.LeadEventService/Subscribe"));
        assert!(!may(&with_role(Role::HeadOfDepartment), "/otdel.leads.v1.LeadEventService/Subscribe"));
    }

    #[test]
    fn a_service_calls_only_what_names_it_and_people_nothing_internal() {
        let (billing, gateway) = (Principal::service("billing"), Principal::service("gateway"));
        assert!(may(&billing, "/otdel.contracts.v1.ContractEventService/Subscribe"));
        assert!(!may(&billing, "/otdel.leads.v1.DirectoryService/WatchDirectory"));
        assert!(may(&gateway, "/otdel.leads.v1.DirectoryService/WatchDirectory"));
        let everything: Vec<String> = crate::auth::PERMISSIONS.iter().map(|name| (*name).to_owned()).collect();
        let person = Principal::new("principals/x".into(), None, vec![], &everything, vec![]);
        assert!(!may(&person, "/otdel.leads.v1.DirectoryService/WatchDirectory"));
    }
}
