//! Which RPC a JSON call is for, as the protos' `google.api.http` annotations say.

use std::sync::Arc;

use http::Method;
use otdel_api::google::api::{HttpRule, http_rule::Pattern};
use otdel_runtime::auth::{DESCRIPTORS, policy_of};
use prost_reflect::{Kind, MessageDescriptor, MethodDescriptor};

use super::template::{AskedPath, Bindings, Template};

/// The JSON form of an RPC.
#[derive(Debug)]
pub(crate) struct Route {
    /// The HTTP method.
    pub(crate) verb: Method,
    /// The path.
    pub(crate) template: Template,
    /// The RPC's path, such as `/otdel.leads.v1.LeadService/GetLead`.
    pub(crate) rpc: &'static str,
    /// Whether the body is the request; otherwise the query holds its fields.
    pub(crate) has_body: bool,
    /// The RPC as its proto declares it.
    pub(crate) method: MethodDescriptor,
}

/// Every RPC that has a JSON form.
#[derive(Debug)]
pub(crate) struct Table(Vec<Arc<Route>>);

/// An annotation that the gateway cannot serve. The protos are part of the build, so this is a mistake in them.
#[derive(Debug, thiserror::Error)]
#[error("{rpc}: {what} is not supported")]
pub struct BadRule {
    rpc: &'static str,
    what: String,
}

/// What a path and an HTTP method lead to.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// An RPC, with the fields that the path fills in.
    Route(&'a Arc<Route>, Bindings),
    /// RPCs of other HTTP methods.
    OtherVerbs(Vec<&'a Method>),
    /// Nothing.
    Nothing,
}

impl Table {
    /// Reads the annotations of every public RPC. Streams of requests have no JSON form, and no RPC takes one.
    pub(crate) fn from_protos() -> Result<Self, BadRule> {
        let mut routes = Vec::new();
        let Some(annotation) = DESCRIPTORS.get_extension_by_name("google.api.http") else { return Ok(Self(routes)) };
        for method in DESCRIPTORS.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            let Some(policy) = policy_of(&path).filter(|policy| !policy.internal) else { continue };
            if method.is_client_streaming() {
                continue;
            }
            let options = method.options();
            let value = options.get_extension(&annotation);
            let rule = value.as_message().and_then(|rule| rule.transcode_to::<HttpRule>().ok()).unwrap_or_default();
            routes.extend(Route::read(policy.method, &method, &rule)?.map(Arc::new));
        }
        Ok(Self(routes))
    }

    /// Every route.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &Route> {
        self.0.iter().map(Arc::as_ref)
    }

    /// Finds what an HTTP method and a raw path are for.
    pub(crate) fn find(&self, verb: &Method, path: &str) -> Found<'_> {
        let Some(path) = AskedPath::read(path) else { return Found::Nothing };
        let mut others = Vec::new();
        for route in &self.0 {
            let Some(bindings) = route.template.bind(&path) else { continue };
            if route.verb == *verb {
                return Found::Route(route, bindings);
            }
            others.push(&route.verb);
        }
        if others.is_empty() { Found::Nothing } else { Found::OtherVerbs(others) }
    }
}

impl Route {
    /// An annotation as a route; none where the RPC has no annotation.
    fn read(rpc: &'static str, method: &MethodDescriptor, rule: &HttpRule) -> Result<Option<Self>, BadRule> {
        let unsupported = |what: &str| Err(BadRule { rpc, what: what.to_owned() });
        let (verb, path) = match &rule.pattern {
            None => return Ok(None),
            Some(Pattern::Get(path)) => (Method::GET, path),
            Some(Pattern::Put(path)) => (Method::PUT, path),
            Some(Pattern::Post(path)) => (Method::POST, path),
            Some(Pattern::Delete(path)) => (Method::DELETE, path),
            Some(Pattern::Patch(path)) => (Method::PATCH, path),
            Some(Pattern::Custom(_)) => return unsupported("a custom HTTP method"),
        };
        if !rule.additional_bindings.is_empty() || !rule.response_body.is_empty() {
            return unsupported("an additional binding or a response body");
        }
        if !matches!(rule.body.as_str(), "" | "*") {
            return unsupported("a body that is one field");
        }
        let template = Template::parse(path).map_err(|bad| BadRule { rpc, what: bad.to_string() })?;
        if !template.fields().all(|field| is_text_field(&method.input(), field)) {
            return unsupported("a path variable that is no text field");
        }
        Ok(Some(Self { verb, template, rpc, has_body: rule.body == "*", method: method.clone() }))
    }
}

/// Whether a field path leads through messages to a single text.
fn is_text_field(message: &MessageDescriptor, path: &str) -> bool {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let Some(field) = message.get_field_by_name(name).filter(|field| !field.is_list()) else { return false };
    match (field.kind(), rest) {
        (Kind::String, None) => true,
        (Kind::Message(inner), Some(rest)) => is_text_field(&inner, rest),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn found(verb: &Method, path: &str) -> (&'static str, Bindings) {
        match Table::from_protos().unwrap().find(verb, path) {
            Found::Route(route, bindings) => (route.rpc, bindings),
            other => panic!("{verb} {path} leads to {other:?}"),
        }
    }

    #[test]
    fn every_public_rpc_has_a_path() {
        let table = Table::from_protos().unwrap();
        let routed: HashSet<_> = table.0.iter().map(|route| route.rpc).collect();
        for policy in otdel_runtime::auth::public_methods() {
            assert!(routed.contains(policy.method), "{}", policy.method);
        }
        assert_eq!(table.0.iter().filter(|route| route.method.is_server_streaming()).count(), 3, "the feeds");
    }

    #[test]
    fn the_annotations_lead_to_their_rpcs() {
        let id = |field: &str, value: &str| vec![(field.to_owned(), value.to_owned())];
        assert_eq!(found(&Method::GET, "/v1/leads/7"), ("/otdel.leads.v1.LeadService/GetLead", id("name", "leads/7")));
        assert_eq!(
            found(&Method::POST, "/v1/leads/7:assign"),
            ("/otdel.leads.v1.LeadService/AssignLead", id("name", "leads/7"))
        );
        assert_eq!(
            found(&Method::PATCH, "/v1/clients/7"),
            ("/otdel.leads.v1.ClientService/UpdateClient", id("client.name", "clients/7"))
        );
        assert_eq!(
            found(&Method::GET, "/v1/deals/7/timeline"),
            ("/otdel.gateway.v1.GatewayService/GetDealTimeline", id("deal", "deals/7"))
        );
        assert_eq!(found(&Method::POST, "/v1/leads:submit"), ("/otdel.leads.v1.LeadService/SubmitLead", vec![]));
    }

    #[test]
    fn another_verb_is_told_from_no_path() {
        let table = Table::from_protos().unwrap();
        assert!(
            matches!(table.find(&Method::DELETE, "/v1/leads/7"), Found::OtherVerbs(verbs) if verbs == [&Method::GET])
        );
        assert!(matches!(table.find(&Method::GET, "/v1/nothing"), Found::Nothing));
        assert!(matches!(table.find(&Method::GET, "/"), Found::Nothing));
    }

    #[test]
    fn every_path_leads_to_its_own_rpc_alone() {
        let table = Table::from_protos().unwrap();
        for route in &table.0 {
            let path = route.template.expand(&["0190b3c1-7d5a-7c3e-9f59-2f1f6f0d3a11"]);
            assert_eq!(found(&route.verb, &path).0, route.rpc, "{path} leads elsewhere");
        }
    }
}
