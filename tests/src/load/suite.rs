//! What takes the whole suite, or its feed: numbering and one reader, the story, and a named report.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use futures_util::StreamExt as _;
use otdel::{cli::Role, secrets};
use otdel_api::{
    leads::{self as pb, lead_event_service_client::LeadEventServiceClient, subscribe_response::Item},
    reporting as rp,
};
use otdel_runtime::{
    auth::Principal,
    clock::{self, pause},
    convert,
};
use tokio::task::JoinSet;
use tonic::{Code, Streaming, service::interceptor::InterceptedService, transport::Channel};

use super::{
    args::Plan,
    caller::Pass,
    figures::{Bound, Figure},
    ground::Ground,
    operation::Operation,
    side::Side,
    turn::{latencies, micros, quantile_ms},
};
use crate::{door::Door, staff, story::Story};

/// Events that are written at once for the feed to catch up with, for each second of a turn.
const BACKLOG: u64 = 15_000;

/// How many tell the story at once.
const TELLERS: u64 = 8;

/// How fast the feed of leads numbers events that are there all at once, and one reader takes them in.
pub async fn feed(side: &mut Side, ground: &Ground, plan: &Plan) -> Result<Vec<Figure>> {
    side.start(Operation::Submit).await?;
    // Events as the suite writes them, to write many more of.
    side.turn(&side.direct, Operation::Submit, 4, Duration::from_millis(500)).await?;
    ground.checkpoint(&side.base).await?;
    let mut reader = Reader::new(side, ground)?;
    reader.skip_to_the_end().await?;

    let many = (BACKLOG * plan.seconds).max(1_000);
    let copies = i64::try_from(many.div_ceil(100))?;
    let began = Instant::now();
    sqlx::query(
        "insert into leads.outbox (id, type, subject, related, deal, occur_time, payload)
         select gen_random_uuid(), type, subject, related, deal, now(), payload
         from (select * from leads.outbox where type = 'otdel.leads.v1.LeadSubmitted' order by seq desc limit 100) event,
              generate_series(1, $1)",
    )
    .bind(copies)
    .execute(&side.base.db)
    .await?;
    let (written, mut read) = (Instant::now(), 0_u64);
    while read < many {
        read += u64::from(matches!(reader.next().await?, Item::Event(_)));
    }
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53 events")]
    let rate = many as f64 / written.elapsed().as_secs_f64();
    let what = format!("feed: {many} events numbered and read by one");
    let insert = Figure::new("feed: writing them took", (written - began).as_secs_f64(), "s");
    Ok(vec![Figure::new(what, rate, "/s").must(Bound::AtLeast(10_000.0)), insert])
}

/// Somebody who reads the feed of leads, and comes back where a stream ends.
struct Reader {
    client: LeadEventServiceClient<InterceptedService<Channel, Pass>>,
    events: Option<Streaming<pb::SubscribeResponse>>,
    cursor: String,
}

impl Reader {
    fn new(side: &Side, ground: &Ground) -> Result<Self> {
        let identity = secrets::read("gateway", &ground.secrets_of(Role::Gateway))?.identity;
        let auditor = Principal::new(ground.principal.clone(), None, vec![pb::Role::Auditor], &[], vec![]);
        let channel = side.roles.channels(Role::Leads, 1)?.remove(0);
        let passed = InterceptedService::new(channel, Pass::Token(Arc::new((identity, auditor))));
        Ok(Self { client: LeadEventServiceClient::new(passed), events: None, cursor: String::new() })
    }

    /// Finds out where the feed ends, by asking for what never happens.
    async fn skip_to_the_end(&mut self) -> Result<()> {
        let nothing = vec!["otdel.leads.v1.DealWon".to_owned()];
        self.open(nothing).await?;
        while !matches!(self.next().await?, Item::CaughtUp(_)) {}
        self.events = None;
        Ok(())
    }

    async fn open(&mut self, event_types: Vec<String>) -> Result<()> {
        let ask = pb::SubscribeRequest { start_after: self.cursor.clone(), event_types, ..Default::default() };
        self.events = Some(self.client.subscribe(ask).await?.into_inner());
        Ok(())
    }

    /// What comes next.
    async fn next(&mut self) -> Result<Item> {
        loop {
            let Some(events) = &mut self.events else {
                self.open(Vec::new()).await?;
                continue;
            };
            match events.next().await {
                Some(Ok(pb::SubscribeResponse { item: Some(item) })) => {
                    self.cursor = match &item {
                        Item::Event(event) => event.envelope.as_ref().map(|envelope| envelope.cursor.clone()),
                        Item::CaughtUp(place) => Some(place.cursor.clone()),
                        Item::Checkpoint(place) => Some(place.cursor.clone()),
                    }
                    .context("an item has a place")?;
                    return Ok(item);
                }
                Some(Ok(_)) => {}
                // After a minute it is authorized again.
                Some(Err(status)) if status.code() == Code::Unavailable => self.events = None,
                Some(Err(status)) => return Err(status.into()),
                None => self.events = None,
            }
        }
    }
}

/// The story, told by eight at once through the gateway; all roles are at work.
pub async fn story(side: &mut Side, ground: &Ground, plan: &Plan) -> Result<Vec<Figure>> {
    side.roles.only(&Role::ALL).await?;
    let department = staff::department(&door(side, ground)?).await;
    let today = convert::date(clock::system_now().date_naive());

    let began = Instant::now();
    let end = began + plan.time() * 2;
    let mut tellers = JoinSet::new();
    for _ in 0..TELLERS {
        let department = department.clone();
        tellers.spawn(async move {
            let mut latency = latencies();
            while Instant::now() < end || latency.is_empty() {
                let told = Instant::now();
                Story::new(&department, today).tell().await;
                latency.saturating_record(micros(told.elapsed()));
            }
            latency
        });
    }
    let mut latency = latencies();
    while let Some(told) = tellers.join_next().await {
        latency.add(told?)?;
    }
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53 stories")]
    let rate = latency.len() as f64 / began.elapsed().as_secs_f64();
    Ok(vec![
        Figure::new(format!("story: told by {TELLERS} at once, 18 steps each"), rate, "/s"),
        Figure::new("story: p50", quantile_ms(&latency, 0.5), "ms"),
        Figure::new("story: p99", quantile_ms(&latency, 0.99), "ms"),
    ])
}

/// How fast reporting takes in what happened, and how long its report of leads by month and channel takes then.
pub async fn report(side: &mut Side, ground: &Ground, plan: &Plan) -> Result<Vec<Figure>> {
    side.start(Operation::Submit).await?;
    side.turn(&side.direct, Operation::Submit, 32, plan.time()).await?;
    let end = side.base.number("select position from leads.feed_head").await?;
    let before =
        side.base.number("select coalesce(max(position), 0) from reporting.cursor where source = 'leads'").await?;
    let began = Instant::now();
    side.roles.only(&[Role::Leads, Role::Reporting, Role::Gateway]).await?;
    let door = door(side, ground)?;
    let ask = rp::GetLeadReportRequest {
        dimensions: vec![rp::Dimension::Month.into(), rp::Dimension::Channel.into()],
        ..Default::default()
    };
    loop {
        let answer = door.reports().get_lead_report(ask.clone()).await.map(tonic::Response::into_inner);
        let seen = answer.ok().and_then(|report| report.freshness.into_iter().find(|one| one.service == "leads"));
        if seen.is_some_and(|seen| seen.position >= end) {
            break;
        }
        if began.elapsed() > Duration::from_mins(5) {
            bail!("reporting has not read {end} events of leads");
        }
        pause(Duration::from_millis(10)).await;
    }
    let caught_up = began.elapsed();
    let latency = ask_for_reports(&door, &ask, plan.time()).await?;
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53 events and reports")]
    let (events, reports) = ((end - before) as f64, latency.len() as f64);
    let what = |what: &str| format!("report of leads over {end} facts of leads, 8 clients: {what}");
    Ok(vec![
        Figure::new("reporting: events of leads taken in, from its start", events / caught_up.as_secs_f64(), "/s"),
        Figure::new(what("rate"), reports / plan.time().as_secs_f64(), "/s"),
        Figure::new(what("p50"), quantile_ms(&latency, 0.5), "ms"),
        Figure::new(what("p99"), quantile_ms(&latency, 0.99), "ms").must(Bound::AtMost(50.0)),
    ])
}

async fn ask_for_reports(
    door: &Door,
    ask: &rp::GetLeadReportRequest,
    time: Duration,
) -> Result<hdrhistogram::Histogram<u64>> {
    let end = Instant::now() + time;
    let mut readers = JoinSet::new();
    for _ in 0..8 {
        let (mut reports, ask) = (door.reports(), ask.clone());
        readers.spawn(async move {
            let mut latency = latencies();
            while Instant::now() < end {
                let asked = Instant::now();
                reports.get_lead_report(ask.clone()).await?;
                latency.saturating_record(micros(asked.elapsed()));
            }
            Ok::<_, tonic::Status>(latency)
        });
    }
    let mut latency = latencies();
    while let Some(read) = readers.join_next().await {
        latency.add(read??)?;
    }
    Ok(latency)
}

fn door(side: &Side, ground: &Ground) -> Result<Door> {
    let channel = side.roles.channels(Role::Gateway, 1)?.remove(0);
    Ok(Door::anonymous(channel).with_key(&ground.key))
}
