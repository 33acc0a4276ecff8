//! Who is at the door.

use http::{HeaderMap, header::AUTHORIZATION};
use otdel_runtime::{
    auth::{Authenticate, Caller, Entry, Identity},
    clock::system_now,
    fault::Fault,
};
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use subtle::ConstantTimeEq as _;
use tonic::Code;
use uuid::Uuid;

use crate::{
    directory::{Directory, Known, KnownKey, Pass},
    jwt::Logins,
    quota::{Quotas, Taken},
};

/// Lets in who has a key, `authorization: Bearer {id}.{secret}`, or a login token of the issuer, `authorization: Bearer
/// {JWT}`. Whatever is wrong with either, the answer is the same, so that nobody can find out which keys there are.
///
/// Calls are counted once it is known whose they are: what strangers send under somebody's key id counts for nobody.
///
/// An internal token that comes from outside is not looked at, and neither is who calls: outside there are no services.
#[derive(Debug)]
pub(crate) struct Callers {
    /// Who may call.
    pub(crate) directory: Directory,
    /// Who judges login tokens. None: they let nobody in.
    pub(crate) logins: Option<Logins>,
    /// How much is taken from whom.
    pub(crate) quotas: Quotas,
    /// What the gateway signs the internal tokens with.
    pub(crate) identity: Identity,
}

#[tonic::async_trait]
impl Authenticate for Callers {
    async fn authenticate(&self, headers: &HeaderMap, _caller: Option<Caller>) -> Result<Entry, Fault> {
        let (pass, version) = self.find(headers).await?;
        let Taken { told, excess, place } = self.quotas.take(&pass.principal.name, pass.calls_per_second());
        let token = pass.mint(&self.identity, version);
        Ok(Entry { principal: pass.principal, token, told, excess, place })
    }
}

impl Callers {
    /// What opens the door to whoever has sent these headers, and the directory's version that says so.
    pub(crate) async fn find(&self, headers: &HeaderMap) -> Result<(Pass, i64), Fault> {
        let bearer = bearer(headers);
        let login = match (&self.logins, bearer) {
            (Some(logins), Some(token)) if ApiKey::read(token).is_none() => logins.subject(token).await?,
            _ => None,
        };
        let known = self.directory.known()?;
        let by_login = login.and_then(|subject| known.login(&subject));
        let pass = by_login.or_else(|| by_key(&known, ApiKey::read(bearer?)?)).ok_or_else(denied)?;
        Ok((pass.clone(), known.version))
    }
}

fn denied() -> Fault {
    Fault::new(Code::Unauthenticated, "UNAUTHENTICATED", "the call carries no valid key or login token")
}

/// What the caller carries, if it carries one thing.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(only), None) = (given.next(), given.next()) else { return None };
    let (scheme, carried) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| carried.trim())
}

fn by_key<'a>(known: &'a Known, presented: ApiKey<'_>) -> Option<&'a Pass> {
    let key = known.key(&presented.id);
    // An unknown key costs as much as a wrong secret.
    let fits = presented.fits(key.map_or(&[0; SHA256_OUTPUT_LEN], |key| &key.digest));
    key.filter(|key| fits && is_current(key)).map(|key| &key.pass)
}

/// Expiry is real time: it guards against the world outside.
fn is_current(key: &KnownKey) -> bool {
    key.expires.is_none_or(|end| system_now() < end)
}

/// A key as it was presented. It has no `Debug`: the secret is never to be seen in a log.
struct ApiKey<'a> {
    id: Uuid,
    secret: &'a str,
}

impl<'a> ApiKey<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (id, secret) = text.split_once('.').filter(|(id, _)| id.len() == HYPHENATED)?;
        Some(Self { id: Uuid::try_parse(id).ok()?, secret })
    }

    fn fits(&self, wanted: &[u8; SHA256_OUTPUT_LEN]) -> bool {
        digest(&SHA256, self.secret.as_bytes()).as_ref().ct_eq(wanted).into()
    }
}

/// A UUID has several spellings; a key's id has one.
const HYPHENATED: usize = 36;
