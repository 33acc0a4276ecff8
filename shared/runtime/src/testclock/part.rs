use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use otdel_api::test::{
    self as pb,
    clock_peer_service_server::{ClockPeerService, ClockPeerServiceServer},
};
use tonic::{Code, Request, Response, Status};

use crate::{
    call::{self, Call},
    convert::timestamp,
    core::Core,
    db,
    fault::Fault,
    feed::Feed,
    follow::Following,
    server::MAX_REQUEST,
    service::Service,
    violations::Violations,
    worker::{self, Due},
};

/// A service's part in moving the clock. Cheap to clone.
#[derive(Clone)]
pub struct ClockPart(Arc<Inner>);

struct Inner {
    core: Core,
    feed: Option<Feed>,
    workers: Vec<Arc<dyn Due>>,
    followings: Vec<Following>,
}

impl ClockPart {
    /// The part of a service.
    pub fn of(service: &Service) -> Self {
        let Service { core, feed, workers, followings, .. } = service.clone();
        Self(Arc::new(Inner { core, feed, workers, followings }))
    }

    /// The RPCs.
    pub fn into_server(self) -> ClockPeerServiceServer<Self> {
        ClockPeerServiceServer::new(self).max_decoding_message_size(MAX_REQUEST)
    }

    async fn set(&self, now: DateTime<Utc>) -> Result<(), Fault> {
        let core = &self.0.core;
        // First moved and then kept: the services are told at the same time, and the first effects of the new time in
        // one of them must not come to another that is still writing the time down.
        if !core.clock.move_to(now) {
            return Err(Fault::new(Code::Unimplemented, "NO_SUCH_RPC", "this is no test database"));
        }
        let mut tx = core.begin().await?;
        db::keep_test_time(&mut tx, now).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn run_due(&self) -> Result<usize, Fault> {
        let mut done = 0;
        for worker in &self.0.workers {
            done += worker::run_all(&self.0.core, worker.as_ref()).await?;
        }
        if let Some(feed) = &self.0.feed {
            feed.number_all().await?;
        }
        Ok(done)
    }

    async fn progress(&self) -> Result<pb::GetProgressResponse, Fault> {
        let mut next_due = None;
        for worker in &self.0.workers {
            let due = worker.next_due().await?;
            next_due = [next_due, due].into_iter().flatten().min();
        }
        let (feed_position, numbered) = match &self.0.feed {
            Some(feed) => feed.progress().await?,
            None => (0, true),
        };
        Ok(pb::GetProgressResponse {
            now: Some(timestamp(self.0.core.clock.now())),
            next_due_time: next_due.map(timestamp),
            feed_position,
            numbered,
            follow_positions: self.follow_positions().await?,
        })
    }

    /// How far every follower of each source has read it: where the last of them stands.
    async fn follow_positions(&self) -> Result<BTreeMap<String, i64>, Fault> {
        let mut positions = BTreeMap::new();
        for following in &self.0.followings {
            let reached = following.reached(&self.0.core.db).await?;
            for source in following.sources() {
                let position = reached.iter().find(|place| place.source == *source).map_or(0, |place| place.position);
                let least = positions.entry(source.name().to_owned()).or_insert(position);
                *least = position.min(*least);
            }
        }
        Ok(positions)
    }
}

async fn set_clock(part: ClockPart, call: Call<pb::SetClockRequest>) -> Result<pb::SetClockResponse, Fault> {
    let mut wrong = Violations::default();
    let Some(now) = wrong.instant("now", call.msg.now.as_ref()) else { return Err(Fault::fields(&wrong)) };
    part.set(now).await?;
    Ok(pb::SetClockResponse {})
}

async fn run_due(part: ClockPart, _call: Call<pb::RunDueRequest>) -> Result<pb::RunDueResponse, Fault> {
    let done = part.run_due().await?;
    Ok(pb::RunDueResponse { done: i32::try_from(done).unwrap_or(i32::MAX) })
}

async fn get_progress(part: ClockPart, _call: Call<pb::GetProgressRequest>) -> Result<pb::GetProgressResponse, Fault> {
    part.progress().await
}

#[tonic::async_trait]
impl ClockPeerService for ClockPart {
    async fn set_clock(&self, request: Request<pb::SetClockRequest>) -> Result<Response<pb::SetClockResponse>, Status> {
        call::run(&self.0.core, self.clone(), request, set_clock).await
    }

    async fn run_due(&self, request: Request<pb::RunDueRequest>) -> Result<Response<pb::RunDueResponse>, Status> {
        call::run(&self.0.core, self.clone(), request, run_due).await
    }

    async fn get_progress(
        &self,
        request: Request<pb::GetProgressRequest>,
    ) -> Result<Response<pb::GetProgressResponse>, Status> {
        call::run(&self.0.core, self.clone(), request, get_progress).await
    }
}
