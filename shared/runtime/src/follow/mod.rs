//! Following the feeds of other services.
//!
//! A service says what it does with an event ([`Follower`]) and puts a [`Following`] into its `Service`; the loops here do
//! the rest. The effect of an event and the cursor behind it commit together, so effects happen exactly once.
//!
//! ```ignore
//! let access = Following::new(core.clone(), peers.clone(), Arc::new(follow::Access));
//! // in an RPC that takes `at_least`, before it reads:
//! app.access.at_least(&call, &call.msg.at_least).await?;
//! ```
//!
//! A read model's tables have the generation in their key. Whoever reads them does so in one statement that joins
//! `projection` (`... join contracts.projection p on p.name = 'contracts.access' and p.live = a.generation`), or in one
//! repeatable-read transaction: between two statements another build may become the live one and the old one go.
//!
//! The events of one source come in their order and those of two sources in none. Batches of one read model never run at
//! the same time, so an effect may look before it writes; but what comes out must not depend on which source is ahead.
//! A read model must come from the events alone: neither from the time nor from what is not in an event.

mod batch;
mod consumer;
mod lane;
mod rebuild;
mod source;
mod store;
mod wait;

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use source::{Source, SourceEvent};

use crate::{core::Core, fault::Fault, peers::Peers};

/// What a service does with the events of others.
#[tonic::async_trait]
pub trait Follower: Send + Sync + 'static {
    /// The follower's name, unique in its service, such as `contracts.access`: the name of its projection and cursors.
    fn name(&self) -> &'static str;

    /// The services whose feeds it reads.
    fn sources(&self) -> &'static [Source];

    /// Does what an event calls for, in the transaction that also moves the cursor. No RPC and no second connection here.
    /// An error is tried again and again, since no event is ever skipped; so what the follower does not care about, or
    /// finds done already, is no error. `generation` is the build that is written to; `now` is never earlier than the
    /// event, and no part of a read model.
    async fn apply(
        &self,
        db: &mut PgConnection,
        generation: i64,
        event: &SourceEvent,
        now: DateTime<Utc>,
    ) -> Result<(), Fault>;

    /// How what it keeps is built again. None: it keeps nothing and only reacts; then each effect must be unique by what
    /// it is about, because the events come again when a source was restored to an earlier state.
    fn rebuild(&self) -> Option<&dyn Rebuild> {
        None
    }
}

/// A follower's read model, whose builds stand side by side under their generations.
#[tonic::async_trait]
pub trait Rebuild: Send + Sync {
    /// A digest of a build's content, in an order that the content decides, without the generation: equal for two builds
    /// that were made of the same events. Such as SHA-256 in hexadecimal digits.
    async fn digest(&self, db: &mut PgConnection, generation: i64) -> Result<String, Fault>;

    /// Removes a build that nobody reads or writes. It may be half removed already, and need not go at once.
    async fn discard(&self, db: &mut PgConnection, generation: i64) -> Result<(), Fault>;
}

/// A follower at work. Cheap to clone.
#[derive(Clone)]
pub struct Following(Arc<Inner>);

struct Inner {
    core: Core,
    peers: Peers,
    follower: Arc<dyn Follower>,
    rebuilding: Mutex<Option<rebuild::Running>>,
    seen: wait::Seen,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// How far the live build of a read model has read a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The live build.
    pub generation: i64,
    /// The source.
    pub source: Source,
    /// The last position read; 0 before the first.
    pub position: i64,
    /// When the last event that was read had happened.
    pub occur_time: Option<DateTime<Utc>>,
}

/// The content of a build, and how far it had read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The build.
    pub generation: i64,
    /// How far it had read each source.
    pub reached: Vec<Reached>,
    /// Its digest.
    pub digest: String,
}

/// How far a live build has read a source, and the source's cursor there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The follower's name.
    pub follower: String,
    /// Its live build.
    pub generation: i64,
    /// The source's name.
    pub source: String,
    /// The last position read; 0 before the first.
    pub position: i64,
    /// The source's cursor there. Empty before the first event.
    pub token: String,
}

/// How far every follower of the schema on the search path has read its sources, in the order of their names.
pub async fn standing(db: &mut PgConnection) -> sqlx::Result<Vec<Standing>> {
    store::standing(db).await
}

impl Following {
    /// A follower of a service. It follows when the service is started.
    pub fn new(core: Core, peers: Peers, follower: Arc<dyn Follower>) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        Self(Arc::new(Inner {
            core,
            peers,
            follower,
            rebuilding: Mutex::new(None),
            seen: wait::Seen::default(),
            stop,
            tasks,
        }))
    }

    /// The follower's name.
    pub fn name(&self) -> &'static str {
        self.0.follower.name()
    }

    /// The services whose feeds it reads.
    pub fn sources(&self) -> &'static [Source] {
        self.0.follower.sources()
    }

    /// How far the live build has read each source, as the given connection or transaction sees it.
    pub async fn reached(&self, db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Reached>> {
        store::reached(db, self.name(), self.sources()).await
    }

    /// The loops that follow, one for each source, each until `stop`.
    pub(crate) fn consumers(&self) -> impl Iterator<Item = (Self, Source)> + '_ {
        self.sources().iter().map(|source| (self.clone(), *source))
    }

    /// Follows one source until it is stopped.
    pub(crate) async fn follow(self, source: Source, stop: CancellationToken) {
        consumer::run(self, source, stop).await;
    }

    /// Abandons a build that is under way. It is begun anew when somebody asks for it.
    pub(crate) async fn abandon_rebuild(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl fmt::Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Following").field(&self.name()).finish()
    }
}
