//! Who is at the door.

use std::sync::Arc;

use http::{HeaderMap, header::AUTHORIZATION};
use otdel_runtime::{
    auth::{Authenticate, Caller, Identity, Principal},
    clock::system_now,
    fault::Fault,
};
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use subtle::ConstantTimeEq as _;
use tonic::Code;
use uuid::Uuid;

use crate::directory::{Directory, KnownKey};

/// Lets in who has a key: `authorization: Bearer {id}.{secret}`. Whatever is wrong with a key, the answer is the same,
/// so that nobody can find out which keys there are.
///
/// An internal token that comes from outside is not looked at, and neither is who calls: outside there are no services.
#[derive(Debug)]
pub(crate) struct ApiKeys {
    /// Who may call.
    pub(crate) directory: Directory,
    /// What the gateway signs the internal tokens with.
    pub(crate) identity: Identity,
}

#[tonic::async_trait]
impl Authenticate for ApiKeys {
    async fn authenticate(
        &self,
        headers: &HeaderMap,
        _caller: Option<Caller>,
    ) -> Result<(Arc<Principal>, String), Fault> {
        let known = self.directory.known()?;
        let presented = Presented::read(headers).ok_or_else(denied)?;
        let key = known.key(&presented.id);
        // An unknown key costs as much as a wrong secret.
        let fits = presented.fits(key.map_or(&[0; SHA256_OUTPUT_LEN], |key| &key.digest));
        let key = key.filter(|key| fits && is_current(key)).ok_or_else(denied)?;
        Ok((key.holder.principal.clone(), key.mint(&self.identity, known.version)))
    }
}

fn denied() -> Fault {
    Fault::new(Code::Unauthenticated, "UNAUTHENTICATED", "the call carries no valid key")
}

/// Expiry is real time: it guards against the world outside.
fn is_current(key: &KnownKey) -> bool {
    key.expires.is_none_or(|end| system_now() < end)
}

/// A key as it was presented. It has no `Debug`: the secret is never to be seen in a log.
struct Presented<'a> {
    id: Uuid,
    secret: &'a str,
}

impl<'a> Presented<'a> {
    fn read(headers: &'a HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let (Some(only), None) = (given.next(), given.next()) else { return None };
        let (scheme, key) = only.to_str().ok()?.split_once(' ')?;
        let (id, secret) = key.trim().split_once('.')?;
        if !scheme.eq_ignore_ascii_case("bearer") || id.len() != HYPHENATED {
            return None;
        }
        Some(Self { id: Uuid::try_parse(id).ok()?, secret })
    }

    fn fits(&self, wanted: &[u8; SHA256_OUTPUT_LEN]) -> bool {
        digest(&SHA256, self.secret.as_bytes()).as_ref().ct_eq(wanted).into()
    }
}

/// A UUID has several spellings; a key's id has one.
const HYPHENATED: usize = 36;
