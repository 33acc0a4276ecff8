//! Who may do what: principals, the roles' table, the RPCs' policies, the internal token and the guard that applies them.

mod guard;
mod policy;
mod principal;
mod roles;
mod token;

pub use guard::{Admitted, Authenticate, Caller, Entry, InternalToken};
pub(crate) use guard::{guard, is_open};
pub use policy::{DESCRIPTORS, Policy, policy_of, public_methods};
pub use principal::{Principal, SERVICES};
pub use roles::{PERMISSIONS, grants_of_role, grants_of_service, only_reads};
pub use token::{Identity, Keyring, TOKEN_HEADER};
