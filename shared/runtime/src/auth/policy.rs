use std::{collections::HashMap, sync::LazyLock};

use prost_reflect::DescriptorPool;
use tonic::Code;

use super::principal::Principal;
use crate::{fault::Fault, scope::Reach};

/// The descriptors of every proto, with their options.
pub static DESCRIPTORS: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(otdel_api::DESCRIPTORS).unwrap_or_default());

static POLICIES: LazyLock<HashMap<String, Policy>> = LazyLock::new(read_policies);

/// Who may call an RPC, as its proto declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The RPC's path, such as `/otdel.leads.v1.LeadService/GetLead`.
    pub method: &'static str,
    /// The permission that the caller needs.
    pub permission: String,
    /// Whether the grant must reach all rows.
    pub all_rows: bool,
    /// The services that may call it: as themselves, where they hold the permission, and for callers outside.
    pub services: Vec<String>,
    /// Whether nobody outside may call it.
    pub internal: bool,
    /// Whether it answers with a stream.
    pub streams: bool,
}

impl Policy {
    /// Whether a principal holds the permission as far as the RPC needs.
    pub fn admits(&self, principal: &Principal) -> bool {
        principal.reach(&self.permission).is_some_and(|reach| !self.all_rows || reach == Reach::All)
    }

    /// What a principal is told whom it does not admit.
    pub fn denied(&self) -> Fault {
        Fault::new(Code::PermissionDenied, "PERMISSION_DENIED", "the caller may not do this")
            .with("permission", &self.permission)
    }
}

/// The policy of an RPC by its path. None: there is no such RPC, so nobody may call it.
pub fn policy_of(path: &str) -> Option<&'static Policy> {
    POLICIES.get(path)
}

/// The RPCs that callers outside may use.
pub fn public_methods() -> impl Iterator<Item = &'static Policy> {
    POLICIES.values().filter(|policy| !policy.internal)
}

fn read_policies() -> HashMap<String, Policy> {
    let Some(option) = DESCRIPTORS.get_extension_by_name("otdel.policy.v1.policy") else { return HashMap::new() };
    let mut policies = HashMap::new();
    for method in DESCRIPTORS.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let options = method.options();
        let value = options.get_extension(&option);
        let Some(declared) = value.as_message() else { continue };
        let Ok(declared) = declared.transcode_to::<otdel_api::policy::Policy>() else { continue };
        let policy = Policy {
            // Paths live as long as the process and label every span and metric.
            method: Box::leak(path.clone().into_boxed_str()),
            all_rows: declared.reach() == otdel_api::policy::Reach::All,
            permission: declared.permission,
            services: declared.services,
            internal: declared.internal,
            streams: method.is_server_streaming(),
        };
        policies.insert(path, policy);
    }
    policies
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{PERMISSIONS, SERVICES};

    #[test]
    fn every_rpc_names_a_known_permission_and_known_services() {
        assert!(POLICIES.len() > 40, "descriptors were not read");
        for policy in POLICIES.values() {
            assert!(PERMISSIONS.contains(&policy.permission.as_str()), "{}: {}", policy.method, policy.permission);
            for service in &policy.services {
                assert!(SERVICES.contains(&service.as_str()), "{}: {service}", policy.method);
            }
            assert!(!policy.internal || !policy.services.is_empty(), "{} can be called by nobody", policy.method);
        }
    }

    #[test]
    fn what_only_reads_changes_nothing() {
        for method in DESCRIPTORS.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            let level =
                method.options().get_field_by_name("idempotency_level").and_then(|value| value.as_enum_number());
            let policy = policy_of(&path).unwrap();
            // 1 is `NO_SIDE_EFFECTS`.
            assert!(!crate::auth::only_reads(&policy.permission) || level == Some(1), "{path}: {}", policy.permission);
        }
    }

    #[test]
    fn every_service_that_a_policy_names_holds_its_permission() {
        for policy in POLICIES.values() {
            for service in &policy.services {
                let granted = crate::auth::grants_of_service(service).contains(&policy.permission.as_str());
                assert!(granted || !policy.internal, "{service} lacks {} for {}", policy.permission, policy.method);
            }
        }
    }
}
