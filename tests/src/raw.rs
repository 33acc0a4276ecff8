//! Calling any unary RPC with bytes: for tests that are made from the descriptors.

use prost_reflect::{DescriptorPool, MethodDescriptor};
use tonic::{Request, Response, Status, client::Grpc};

use crate::{door::Door, eventually::known};

/// The descriptors of every proto.
pub fn pool() -> DescriptorPool {
    DescriptorPool::decode(otdel_api::DESCRIPTORS).expect("descriptors")
}

/// Every RPC of ours.
pub fn methods(pool: &DescriptorPool) -> Vec<MethodDescriptor> {
    pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// The path of an RPC, such as `/otdel.leads.v1.LeadService/GetLead`.
pub fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// Whether callers outside may use an RPC.
pub fn is_public(method: &MethodDescriptor) -> bool {
    otdel_runtime::auth::policy_of(&path(method)).is_some_and(|policy| !policy.internal)
}

/// Calls a unary RPC with an encoded request, once.
pub async fn call(door: &Door, path: &str, request: Vec<u8>) -> Result<Vec<u8>, Status> {
    once(door, path, request).await.map(Response::into_inner)
}

/// Calls a unary RPC with an encoded request, the same each time, until its outcome is known.
pub async fn outcome(door: &Door, path: &str, request: Vec<u8>) -> Result<Vec<u8>, Status> {
    known(|| once(door, path, request.clone())).await
}

async fn once(door: &Door, path: &str, request: Vec<u8>) -> Result<Response<Vec<u8>>, Status> {
    let mut grpc = Grpc::new(door.keyed());
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = path.parse().map_err(|_| Status::internal("not a path"))?;
    grpc.unary(Request::new(request), path, otdel::client::Bytes).await
}
