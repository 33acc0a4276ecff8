//! Building a read model again, beside the live one.
//!
//! Generation n + 1 is filled from the first event of every source. The proof: at one instant the live build's cursors
//! and its digest are taken together; the new build is filled to exactly these cursors; its digest must be the same. The
//! live build goes on meanwhile. For the change of the two it waits a moment, until the new one stands where it stands.
//!
//! The new build reads one source after the other. The sources have no order among them in the live build either, so an
//! effect must not depend on it; here such a dependence shows.

use std::time::Duration;

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;
use tonic::Code;

use super::{
    Following, Rebuild, Snapshot, Source,
    batch::Reader,
    consumer::reason,
    lane::{Lane, Stopped},
    store,
    wait::WAY_BACK,
};
use crate::{clock, db::SNAPSHOT, fault::Fault, session};

/// A build under way, which all who ask for one share.
pub(super) type Running = Shared<BoxFuture<'static, Result<i64, Fault>>>;

/// How long the live build may wait for the change. Its consumers wait longer than that before they give up.
const HOLD: Duration = Duration::from_secs(3);

/// The pause before something that may pass is tried again.
const PAUSE: Duration = Duration::from_millis(250);

impl Following {
    /// Builds the read model again and tells which generation is live then. A later one than `seen` is the answer at
    /// once, so that the call repeats safely. Who asks while a build is under way shares it, and it goes on when nobody
    /// waits any more: just before `patience` is over the answer is UNAVAILABLE `REBUILDING`. A build with another content
    /// than the live one's is `DATA_LOSS` `DIGESTS_DIFFER`, and the live one stays.
    pub async fn rebuild(&self, seen: i64, patience: Option<Duration>) -> Result<i64, Fault> {
        let build = async {
            loop {
                // How an earlier build ended may still be untold. Where that is what the caller has seen, it asks for the next.
                let live = self.shared(seen, true).await?;
                if live > seen {
                    return Ok(live);
                }
            }
        };
        let late = || Fault::unavailable("REBUILDING", "the read model is being built; ask again how it ended");
        match patience {
            Some(patience) => timeout(patience.saturating_sub(WAY_BACK), build).await.unwrap_or_else(|_| Err(late())),
            None => build.await,
        }
    }

    /// Builds the read model again because a source was restored to an earlier state. There is nothing to compare with.
    pub(super) async fn rebuild_after_loss(&self, seen: i64) -> Result<i64, Fault> {
        self.shared(seen, false).await
    }

    /// The content of the live build, and how far it had read when it had it.
    pub async fn snapshot(&self) -> Result<Snapshot, Fault> {
        let mut db = session::open(&self.0.core.db, &UNHURRIED).await?;
        snapshot(self, self.rebuildable()?, &mut db).await
    }

    fn rebuildable(&self) -> Result<&dyn Rebuild, Fault> {
        let text = "this follower keeps no read model";
        self.0.follower.rebuild().ok_or_else(|| Fault::new(Code::FailedPrecondition, "NOTHING_TO_REBUILD", text))
    }

    fn shared(&self, seen: i64, prove: bool) -> Running {
        let mut running = self.0.rebuilding.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(running) = running.as_ref().filter(|running| running.peek().is_none()) {
            return running.clone();
        }
        let (following, stop) = (self.clone(), self.0.stop.clone());
        let build = async move {
            let stopped = || Err(Fault::unavailable("SHUTTING_DOWN", "the service is shutting down"));
            stop.run_until_cancelled(build(following, seen, prove)).await.unwrap_or_else(stopped)
        };
        let build = self.0.tasks.spawn(build).map(|ended| ended.unwrap_or_else(|panic| Err(Fault::internal(panic))));
        running.insert(build.boxed().shared()).clone()
    }
}

/// Settings of a session whose statements may take as long as they need.
const UNHURRIED: [(&str, &str); 2] = [("statement_timeout", "0"), ("lock_timeout", "0")];

/// A session for a build. Where the database cannot be reached the login is tried again, because the build would have to
/// read everything again.
async fn session_of_build(following: &Following) -> Result<PgConnection, Fault> {
    loop {
        match session::open(&following.0.core.db, &UNHURRIED).await {
            Err(Fault { code: Code::Unavailable, reason, cause, .. }) => {
                tracing::warn!(follower = following.name(), reason, ?cause, "build cannot log in, trying again");
                clock::pause(PAUSE).await;
            }
            ended => return ended,
        }
    }
}

/// Cursors and content at one instant.
async fn snapshot(following: &Following, rebuild: &dyn Rebuild, db: &mut PgConnection) -> Result<Snapshot, Fault> {
    let mut tx = db.begin_with(SNAPSHOT).await?;
    let generation = store::live(&mut *tx, following.name()).await?.unwrap_or(1);
    let reached = following.reached(&mut *tx).await?;
    let digest = rebuild.digest(&mut tx, generation).await?;
    tx.commit().await?;
    Ok(Snapshot { generation, reached, digest })
}

async fn build(following: Following, seen: i64, prove: bool) -> Result<i64, Fault> {
    following.rebuildable()?;
    let (name, service) = (following.name(), following.0.core.service);
    // A session of its own, which holds the office to the end: the build gives up sessions on its way.
    let mut office = session_of_build(&following).await?;
    // Another replica may be building. Its build is ours then.
    while !store::elect(&mut office, &format!("otdel.rebuild/{service}/{name}")).await? {
        clock::pause(PAUSE).await;
    }
    let mut db = session_of_build(&following).await?;
    let live = store::prepare(&mut db, name, following.0.follower.sources()).await?;
    if live > seen {
        return Ok(live);
    }
    let mut build = Build { following, db, live, next: live + 1 };
    tracing::info!(follower = name, generation = build.next, "building a read model again");
    let ended = build.run(&mut office, prove).await;
    let ended = build.settle(&mut office, ended).await;
    match &ended {
        Ok(()) => tracing::info!(follower = name, generation = build.next, "read model was built again"),
        Err(Fault { reason, cause, .. }) => {
            tracing::error!(follower = name, generation = build.next, reason, ?cause, "read model was not built again");
        }
    }
    ended.map(|()| build.next)
}

/// How far a build reads a source.
#[derive(Clone, Copy)]
enum Until {
    Position(i64),
    CaughtUp,
}

/// What becomes live and what is removed is decided in the session of the office: who has lost it does neither any more.
struct Build {
    following: Following,
    db: PgConnection,
    live: i64,
    next: i64,
}

impl Build {
    async fn run(&mut self, office: &mut PgConnection, prove: bool) -> Result<(), Fault> {
        let sources = self.following.0.follower.sources();
        // An earlier build may have been left half done, or half removed.
        for left in [self.live - 1, self.next] {
            self.clear(office, left).await?;
        }
        store::begin(&mut self.db, self.following.name(), self.next, sources).await?;
        if prove {
            self.prove().await?;
            while !self.change(office).await? {
                // The live build gets as long for itself as it has waited.
                clock::pause(HOLD).await;
            }
            return Ok(());
        }
        for source in sources {
            self.fill(*source, Until::CaughtUp).await?;
        }
        self.switch(office).await
    }

    /// Fills the new build to where the live one stood at one instant, and compares.
    async fn prove(&mut self) -> Result<(), Fault> {
        let following = self.following.clone();
        let rebuild = following.rebuildable()?;
        let before = snapshot(&following, rebuild, &mut self.db).await?;
        for place in &before.reached {
            self.fill(place.source, Until::Position(place.position)).await?;
        }
        let rebuilt = rebuild.digest(&mut self.db, self.next).await?;
        if rebuilt == before.digest {
            return Ok(());
        }
        metrics::counter!("otdel_follow_digests_differ_total", "follower" => following.name()).increment(1);
        let text = "the events make another read model than the live one";
        let differ = Fault::new(Code::DataLoss, "DIGESTS_DIFFER", text);
        Err(differ.with("live", before.digest).with("rebuilt", rebuilt))
    }

    /// Holds the live build still, takes the new one to where it stands and changes them. False: it took too long, and
    /// the live one goes on.
    ///
    /// This is the one place where something from another service is waited for while a transaction is open. The
    /// transaction holds nothing but the row that says which build is live, for at most 3 s. Without it a live build
    /// that is always a few events ahead would never be met.
    async fn change(&mut self, office: &mut PgConnection) -> Result<bool, Fault> {
        self.meet().await?;
        let following = self.following.clone();
        let mut tx = office.begin().await?;
        still(self.live, store::lock_live(&mut tx, following.name()).await?)?;
        let Ok(met) = timeout(HOLD, self.meet()).await else {
            tx.rollback().await?;
            // What was abandoned may have left the session inside a transaction.
            self.db = session_of_build(&following).await?;
            return Ok(false);
        };
        met?;
        store::switch(&mut tx, following.name(), self.next).await?;
        following.0.core.commit(tx).await?;
        Ok(true)
    }

    /// Fills the new build to where the live one stands.
    async fn meet(&mut self) -> Result<(), Fault> {
        for place in self.following.reached(&mut self.db).await? {
            self.fill(place.source, Until::Position(place.position)).await?;
        }
        Ok(())
    }

    async fn switch(&self, office: &mut PgConnection) -> Result<(), Fault> {
        let mut tx = office.begin().await?;
        still(self.live, store::lock_live(&mut tx, self.following.name()).await?)?;
        store::switch(&mut tx, self.following.name(), self.next).await?;
        self.following.0.core.commit(tx).await
    }

    /// Reads one source, again and again where it goes away meanwhile.
    async fn fill(&mut self, source: Source, until: Until) -> Result<(), Fault> {
        loop {
            match self.fill_from_stream(source, until).await {
                Ok(()) => return Ok(()),
                Err(Stopped::Source(status)) if status.code() != Code::DataLoss => {
                    if reason(&status) != "REAUTHORIZE" {
                        tracing::warn!(source = source.name(), code = ?status.code(), reason = reason(&status), "source cannot be read, trying again");
                        clock::pause(PAUSE).await;
                    }
                }
                Err(stopped) => return Err(failed(source, stopped)),
            }
        }
    }

    async fn fill_from_stream(&mut self, source: Source, until: Until) -> Result<(), Stopped> {
        let at = store::at(&mut self.db, self.following.name(), self.next, source).await?;
        if matches!(until, Until::Position(position) if position <= at.position) {
            return Ok(());
        }
        let (following, generation) = (self.following.clone(), self.next);
        let mut lane = Lane::open(Reader { following, source, generation, live: false }, at).await?;
        let up_to = if let Until::Position(position) = until { position } else { i64::MAX };
        loop {
            lane.receive().await?;
            while !lane.is_empty() && lane.position() < up_to {
                lane.apply(&mut self.db, up_to).await?;
            }
            match until {
                Until::Position(position) if lane.position() >= position => return Ok(()),
                Until::CaughtUp if lane.is_caught_up() => return Ok(()),
                Until::Position(wanted) if lane.is_caught_up() => {
                    return Err(Stopped::Gap { wanted, found: lane.position() });
                }
                _ => {}
            }
        }
    }

    /// Finds out how the build ended, and removes the build that is useless now.
    ///
    /// The answer to the commit that changes the builds can be lost although it took effect: what counts is which build
    /// is live. Where even that cannot be found out, nothing is removed.
    async fn settle(&mut self, office: &mut PgConnection, ended: Result<(), Fault>) -> Result<(), Fault> {
        let (ended, useless) = match ended {
            Ok(()) => (Ok(()), self.live),
            Err(fault) => match self.find_live(office).await {
                Ok(Some(live)) if live == self.next => (Ok(()), self.live),
                Ok(_) => (Err(fault), self.next),
                Err(unknown) => {
                    self.tell_left(self.next, &unknown);
                    return Err(fault);
                }
            },
        };
        if let Err(fault) = self.clear(office, useless).await {
            self.tell_left(useless, &fault);
        }
        ended
    }

    /// Which build is live after a failure, which may have left the session broken. To lock the row is to wait for a
    /// change whose commit is still under way.
    async fn find_live(&mut self, office: &mut PgConnection) -> Result<Option<i64>, Fault> {
        // The row may be held by a transaction of the office that failed: its rollback goes out with what is sent next.
        let _broken = office.ping().await;
        self.db = session_of_build(&self.following).await?;
        let mut tx = self.db.begin().await?;
        let live = store::lock_live(&mut tx, self.following.name()).await?;
        tx.commit().await?;
        Ok(live)
    }

    /// The next build removes what was left.
    fn tell_left(&self, generation: i64, Fault { reason, cause, .. }: &Fault) {
        tracing::warn!(follower = self.following.name(), generation, reason, ?cause, "build was not removed");
    }

    /// Removes a build's cursors and rows. Never the live one's, and none becomes live meanwhile.
    ///
    /// Without its cursors nobody writes to it any more. Its rows may take long, for which the live build must not be held
    /// up: they go by themselves, a statement for each table, and nobody waits for those. In parts it would take longer:
    /// a million leads went in 1.9 s at once and in 3.8 s by 5,000, of which each part passes all that went before it
    /// while an older transaction is open (300,000 leads in 25 s).
    async fn clear(&self, office: &mut PgConnection, generation: i64) -> Result<(), Fault> {
        let (name, rebuild) = (self.following.name(), self.following.rebuildable()?);
        let mut tx = office.begin().await?;
        if store::lock_live(&mut tx, name).await? == Some(generation) {
            return Err(conflict());
        }
        store::forget(&mut tx, name, generation).await?;
        tx.commit().await?;
        rebuild.discard(office, generation).await
    }
}

/// Whether the build that was live at the beginning still is. Only a person with a database client changes that.
fn still(live: i64, found: Option<i64>) -> Result<(), Fault> {
    if found == Some(live) { Ok(()) } else { Err(conflict()) }
}

/// Why a build cannot go on.
fn failed(source: Source, stopped: Stopped) -> Fault {
    match stopped {
        Stopped::Here(fault) => fault,
        Stopped::Event { position, kind, fault } => {
            let (source, reason) = (source.name(), fault.reason);
            tracing::error!(source, position, event.r#type = kind, reason, cause = ?fault.cause, "event failed in a build");
            fault
        }
        Stopped::Gap { wanted, found } => {
            let text = "the source does not hold the events that were read from it";
            Fault::new(Code::DataLoss, "SOURCE_DIVERGED", text)
                .with("service", source.name())
                .with("position", found)
                .with("wanted", wanted)
        }
        Stopped::Source(status) => Fault::internal(status),
        Stopped::Moved => conflict(),
    }
}

fn conflict() -> Fault {
    Fault::new(Code::Aborted, "CONFLICT", "another build of the same read model is under way")
}
