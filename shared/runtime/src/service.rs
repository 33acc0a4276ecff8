//! A service as a value: what a process composes.

use std::{future::Future, sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;

use crate::{
    clock,
    core::Core,
    feed::{self, Feed},
    follow::Following,
    testclock,
    worker::{self, Due, ForgetAnswers},
};

/// A service that was built. Its RPCs are served elsewhere, by the transport that the process chooses.
#[derive(Clone)]
pub struct Service {
    /// What it holds.
    pub core: Core,
    /// Its RPCs.
    pub routes: Routes,
    /// Its event feed, if it owns events.
    pub feed: Option<Feed>,
    /// What it does when something is due.
    pub workers: Vec<Arc<dyn Due>>,
    /// What it does when something happened elsewhere.
    pub followings: Vec<Following>,
}

impl Service {
    /// A service with its RPCs and what it does by itself. What every service has is added here: the worker that forgets
    /// old answers and, on a test database, its part in moving the clock.
    pub fn new(
        core: Core,
        routes: Routes,
        feed: Option<Feed>,
        workers: Vec<Arc<dyn Due>>,
        followings: Vec<Following>,
    ) -> Self {
        let mut service = Self { core, routes, feed, workers, followings };
        service.workers.push(Arc::new(ForgetAnswers(service.core.clone())));
        if service.core.clock.is_standing() {
            let part = testclock::ClockPart::of(&service);
            service.routes = service.routes.add_service(part.into_server());
        }
        service
    }

    /// Starts everything that the service does by itself: numbering, due work and following. It ends when `process` is
    /// cancelled, or for this service alone by [`Running::stop`].
    pub fn start(&self, process: &CancellationToken) -> Running {
        let running = Running {
            service: self.core.service,
            stop: process.child_token(),
            tasks: TaskTracker::new(),
            feed: self.feed.clone(),
            followings: self.followings.clone(),
        };
        if let Some(feed) = self.feed.clone() {
            let (streams, stop) = (feed.clone(), running.stop.clone());
            running.tasks.spawn(async move {
                stop.cancelled().await;
                streams.end_streams();
            });
            running.keep("feed", move |stop| feed::sequence(feed.clone(), stop));
        }
        for due in &self.workers {
            let (core, due) = (self.core.clone(), due.clone());
            running.keep(due.name(), move |stop| worker::run(core.clone(), due.clone(), stop));
        }
        for (following, source) in self.followings.iter().flat_map(Following::consumers) {
            running.keep(following.name(), move |stop| following.clone().follow(source, stop));
        }
        running
    }
}

/// A service at work.
pub struct Running {
    service: &'static str,
    stop: CancellationToken,
    tasks: TaskTracker,
    feed: Option<Feed>,
    followings: Vec<Following>,
}

impl Running {
    /// Stops, and waits until the last transaction of every loop has ended.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        for following in &self.followings {
            following.abandon_rebuild().await;
        }
        if let Some(feed) = &self.feed {
            feed.close().await;
        }
    }

    fn keep<W>(&self, name: &'static str, make: impl Fn(CancellationToken) -> W + Send + 'static)
    where
        W: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(keep(self.service, name, self.stop.clone(), make));
    }
}

/// The pause before a loop that panicked begins again.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs a loop until it is stopped. One that panics begins again: without it the service would answer and yet do nothing
/// by itself any more.
pub fn keep<W>(
    service: &'static str,
    name: &'static str,
    stop: CancellationToken,
    make: impl Fn(CancellationToken) -> W + Send + 'static,
) -> impl Future<Output = ()> + Send
where
    W: Future<Output = ()> + Send + 'static,
{
    let panics = metrics::counter!("otdel_task_panics_total", "service" => service, "task" => name);
    // A panic is then seen as a step from 0.
    panics.increment(0);
    async move {
        while let Err(panic) = tokio::spawn(make(stop.clone())).await {
            tracing::error!(service, task = name, %panic, "task panicked, beginning again");
            panics.increment(1);
            stop.run_until_cancelled(clock::pause(PAUSE)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_loop_that_panics_begins_again() {
        let begun = Arc::new(AtomicUsize::new(0));
        let count = begun.clone();
        let make = move |_| {
            let before = count.fetch_add(1, Ordering::Relaxed);
            async move { assert!(before > 0, "the first time") }
        };
        keep("leads", "test", CancellationToken::new(), make).await;
        assert_eq!(begun.load(Ordering::Relaxed), 2);
    }
}
