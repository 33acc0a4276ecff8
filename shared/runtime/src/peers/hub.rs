use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use axum::Router;
use http::{Request, Response};
use tonic::body::Body;
use tower::ServiceExt as _;

use super::rpc::NotAnswered;
use crate::auth::Caller;

/// The roles of this process by name: the way from one to another without a socket.
///
/// A role is opened once it is built, so that roles can refer to each other before all of them are. What is opened is
/// the role's whole [`stack`](crate::server::stack), so a call in process meets the same layers as one from outside.
/// A role that stops must be closed: it holds its peers, which hold the hub.
#[derive(Clone, Default)]
pub struct Hub(Arc<Mutex<HashMap<&'static str, Router>>>);

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut open: Vec<_> = self.roles().keys().copied().collect();
        open.sort_unstable();
        f.debug_tuple("Hub").field(&open).finish()
    }
}

impl Hub {
    /// Lets the others call a role from now on.
    pub fn open(&self, service: &'static str, stack: Router) {
        // The router is prepared once, or every call would do it.
        let prepared = stack.with_state(());
        let before = self.roles().insert(service, prepared);
        // Dropped here, outside the lock: a role's end may run anything.
        drop(before);
    }

    /// Ends a role for the others: their calls are UNAVAILABLE with reason `SERVICE_UNREACHABLE`.
    pub fn close(&self, service: &str) {
        let closed = self.roles().remove(service);
        drop(closed);
    }

    /// Ends all roles.
    pub fn close_all(&self) {
        let closed = std::mem::take(&mut *self.roles());
        drop(closed);
    }

    fn roles(&self) -> std::sync::MutexGuard<'_, HashMap<&'static str, Router>> {
        // Nothing panics while the lock is held, so what it guards is whole whatever happened elsewhere.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls a role in the name of another.
    pub(super) async fn call(
        &self,
        peer: &'static str,
        caller: &'static str,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, NotAnswered> {
        let role = self.roles().get(peer).cloned();
        let role = role.ok_or_else(|| NotAnswered::from("the role does not run in this process"))?;
        request.extensions_mut().insert(Caller(caller));
        match role.oneshot(request.map(axum::body::Body::new)).await {
            Ok(response) => Ok(response.map(Body::new)),
            Err(never) => match never {},
        }
    }
}
