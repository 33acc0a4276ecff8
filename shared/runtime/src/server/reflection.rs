use tonic::service::Routes;
use tonic_reflection::server::{Builder, Error};

use crate::auth::{DESCRIPTORS, public_methods};

/// The gRPC services that a role serves: those of its package, and at the gateway all that are open to callers outside.
pub(super) fn services_of(role: &str) -> Vec<String> {
    let own = format!("otdel.{role}.v1");
    let is_public = |service: &str| {
        public_methods()
            .any(|policy| policy.method.strip_prefix('/').and_then(|path| path.split('/').next()) == Some(service))
    };
    let services = DESCRIPTORS.services();
    let names = services
        .filter(|service| service.package_name() == own || (role == "gateway" && is_public(service.full_name())));
    names.map(|service| service.full_name().to_owned()).collect()
}

/// Adds reflection in the versions that clients ask for: v1, and v1alpha for Python's. It lists what the role serves.
/// The files behind the list hold every message, because they refer to each other, and the details that refusals carry,
/// which no file refers to: without them a client that knows nothing but reflection cannot read why it was refused.
pub(super) fn add_to(routes: Routes, role: &str) -> Result<Routes, Error> {
    let builder = || {
        let builder = Builder::configure()
            .register_encoded_file_descriptor_set(otdel_api::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET);
        services_of(role).into_iter().fold(builder, Builder::with_service_name)
    };
    Ok(routes.add_service(builder().build_v1()?).add_service(builder().build_v1alpha()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_lists_what_is_public_and_a_service_its_own() {
        let (gateway, leads) = (services_of("gateway"), services_of("leads"));
        assert!(gateway.iter().any(|name| name == "otdel.billing.v1.InvoiceService"), "{gateway:?}");
        assert!(!gateway.iter().any(|name| name == "otdel.leads.v1.DirectoryService"), "{gateway:?}");
        assert!(leads.iter().any(|name| name == "otdel.leads.v1.DirectoryService"), "{leads:?}");
        assert!(!leads.iter().any(|name| name == "otdel.billing.v1.InvoiceService"), "{leads:?}");
        assert!(add_to(Routes::default(), "gateway").is_ok());
    }
}
