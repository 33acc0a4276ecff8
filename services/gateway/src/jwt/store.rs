//! The issuer's keys, kept.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use otdel_runtime::{clock::pause, fault::Fault};
use tokio::{sync::Semaphore, time::Instant};

use super::{
    fetch::{Fetch, NotFetched},
    issuer::KeySource,
    keys::{self, BadKeySet, Key, Keys},
};

/// How often keys are fetched: as long does a key that the issuer took back let in.
const FETCH_EVERY: Duration = Duration::from_mins(5);

/// How often at most, whatever comes: a token that names an unknown key asks for it, and strangers can make such tokens.
const FETCH_AT_MOST_EVERY: Duration = Duration::from_secs(10);

/// How long keys are good while none can be fetched: as long as the longest token lives. With the issuer down nobody gets
/// a new one, so a longer time would serve nobody but whoever has a key that was taken back.
const KEPT_FOR: Duration = Duration::from_hours(1);

/// So many calls wait for keys; the others are refused at once, so that strangers cannot fill the gateway with waiting.
const MOST_WAITING: usize = 64;

/// Where keys come from and which they are.
#[derive(Debug)]
pub(super) struct KeyStore {
    source: KeySource,
    loaded: Mutex<Option<Loaded>>,
    /// When they were tried to be fetched last. Who holds it fetches, and the others wait for what comes.
    tried: tokio::sync::Mutex<Option<Instant>>,
    waiting: Arc<Semaphore>,
}

#[derive(Clone, Debug)]
struct Loaded {
    keys: Arc<Keys>,
    at: Instant,
}

/// Why there are no new keys.
#[derive(Debug, thiserror::Error)]
enum NotLoaded {
    #[error(transparent)]
    Web(#[from] NotFetched),
    #[error("the file cannot be read: {0}")]
    File(#[from] std::io::Error),
    #[error("certificates cannot be used: {0}")]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Keys(#[from] BadKeySet),
}

impl KeyStore {
    pub(super) fn new(source: KeySource) -> Self {
        let waiting = Arc::new(Semaphore::new(MOST_WAITING));
        Self { source, loaded: Mutex::default(), tried: tokio::sync::Mutex::default(), waiting }
    }

    /// Fetches keys again and again, for ever: soon where they could not be fetched.
    pub(super) async fn keep(&self) {
        loop {
            self.refresh(Instant::now()).await;
            let fresh = self.loaded().is_some_and(|loaded| loaded.at.elapsed() < FETCH_AT_MOST_EVERY);
            pause(if fresh { FETCH_EVERY } else { FETCH_AT_MOST_EVERY }).await;
        }
    }

    /// A key by its id. One that is not known may be new: then they are fetched once more. UNAVAILABLE where keys are not
    /// known, or not recently enough.
    pub(super) async fn find(self: &Arc<Self>, id: &str) -> Result<Option<Arc<Key>>, Fault> {
        self.find_at(id, Instant::now()).await
    }

    pub(super) async fn find_at(self: &Arc<Self>, id: &str, now: Instant) -> Result<Option<Arc<Key>>, Fault> {
        if let Some(key) = self.known(now).ok().and_then(|keys| keys.get(id).cloned()) {
            return Ok(Some(key));
        }
        if let Ok(place) = self.waiting.clone().try_acquire_owned() {
            let store = self.clone();
            // In a task of its own: a caller who hangs up would take the fetch along, and with it everybody's keys.
            let refresh = tokio::spawn(async move {
                store.refresh(now).await;
                drop(place);
            });
            let _ = refresh.await;
        }
        Ok(self.known(now)?.get(id).cloned())
    }

    fn known(&self, now: Instant) -> Result<Arc<Keys>, Fault> {
        let good = self.loaded().filter(|loaded| now.saturating_duration_since(loaded.at) <= KEPT_FOR);
        let unknown = || Fault::unavailable("ISSUER_UNREACHABLE", "the issuer's keys are not known recently enough");
        good.map(|loaded| loaded.keys).ok_or_else(unknown)
    }

    fn loaded(&self) -> Option<Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches keys, unless somebody did just now. What is known stays where that fails.
    async fn refresh(&self, now: Instant) {
        let mut tried = self.tried.lock().await;
        if tried.is_some_and(|at| now.saturating_duration_since(at) < FETCH_AT_MOST_EVERY) {
            return;
        }
        *tried = Some(now);
        match self.load().await {
            Ok(keys) => {
                if keys.is_empty() {
                    tracing::error!("the issuer has no key that is of use: no login token lets in");
                }
                tracing::debug!(keys = keys.len(), "issuer's keys loaded");
                let loaded = Loaded { keys: Arc::new(keys), at: now };
                *self.loaded.lock().unwrap_or_else(PoisonError::into_inner) = Some(loaded);
            }
            Err(cause) => {
                tracing::warn!(%cause, "issuer's keys cannot be loaded, what is known stays good for an hour");
            }
        }
    }

    async fn load(&self) -> Result<Keys, NotLoaded> {
        let json = match &self.source {
            KeySource::Web { url, authorities } => Fetch::new(url.clone(), authorities)?.get().await?,
            KeySource::File(path) => tokio::fs::read(path).await?.into(),
        };
        Ok(keys::read(&json)?)
    }
}
