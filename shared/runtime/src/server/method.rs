use std::{collections::HashMap, sync::LazyLock};

use crate::auth::{DESCRIPTORS, policy_of};

/// What the layers need to know of an RPC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Method {
    /// The RPC's path, which labels metrics.
    pub(crate) path: &'static str,
    /// The RPC's own name, such as `GetLead`.
    pub(crate) name: &'static str,
    /// Whether it takes one message and gives one.
    pub(crate) unary: bool,
    /// Whether it takes one message, whatever it gives.
    pub(crate) one_question: bool,
}

static METHODS: LazyLock<HashMap<&'static str, Method>> = LazyLock::new(|| {
    let methods = DESCRIPTORS.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let known = methods.filter_map(|method| {
        let path = policy_of(&format!("/{}/{}", method.parent_service().full_name(), method.name()))?.method;
        let name = path.rsplit('/').next().unwrap_or(path);
        let one_question = !method.is_client_streaming();
        Some((path, Method { path, name, unary: one_question && !method.is_server_streaming(), one_question }))
    });
    known.collect()
});

/// An RPC of ours by its path. None for any other path, which must not become a label: callers choose paths freely.
pub(crate) fn method_of(path: &str) -> Option<&'static Method> {
    METHODS.get(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_told_from_single_answers() {
        let get = method_of("/otdel.leads.v1.LeadService/GetLead").unwrap();
        assert!(get.unary);
        assert_eq!(get.name, "GetLead");
        let subscribe = method_of("/otdel.leads.v1.LeadEventService/Subscribe").unwrap();
        assert!(!subscribe.unary && subscribe.one_question);
        assert!(method_of("/otdel.leads.v1.LeadService/NoSuchRpc").is_none());
    }
}
