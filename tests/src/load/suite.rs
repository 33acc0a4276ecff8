//! What takes the whole suite, or its feed: numbering and one reader, the story, and a named report.

use std::time::{Duration, Instant};

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
    ground::{self, Ground},
    operation::Operation,
    side::Side,
    turn::{latencies, micros, quantile_ms},
};
use crate::{door::Door, staff, story::Story};

/// Events that are written at once for the feed to catch up with, for each second of a turn.
const BACKLOG: u64 = 15_000;

/// How long a reader may take for the backlog.
const PATIENCE: Duration = Duration::from_mins(5);

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
    let inserted = sqlx::query(
        "insert into leads.outbox (id, type, subject, related, deal, occur_time, payload)
         select gen_random_uuid(), type, subject, related, deal, now(), payload
         from (select * from leads.outbox where type = 'otdel.leads.v1.LeadSubmitted' order by seq desc limit 100) event,
              generate_series(1, $1)",
    )
    .bind(copies)
    .execute(&side.base.db)
    .await?;
    // Where fewer than a hundred were submitted there are fewer copies.
    let (written, many) = (Instant::now(), inserted.rows_affected());
    let all = async {
        let mut read = 0;
        while read < many {
            read += u64::from(matches!(reader.next().await?, Item::Event(_)));
        }
        Ok::<_, anyhow::Error>(())
    };
    let in_time = tokio::time::timeout(PATIENCE, all).await;
    in_time.with_context(|| format!("{many} events are not numbered and read after {PATIENCE:?}"))??;
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53 events")]
    let rate = many as f64 / written.elapsed().as_secs_f64();
    let what = format!("feed: {many} events numbered and read by one");
    let insert = Figure::new("feed: writing them took", (written - began).as_secs_f64(), "s");
    Ok(vec![Figure::new(what, rate, "/s").must(Bound::AtLeast(10_000.0)), insert])
}

/// How late leads change hands: of 100,000 that are open, those 10,000 whose deadlines pass within a minute. In a moment's turn
/// they are fewer, and nothing is asked.
pub async fn lateness(side: &mut Side, plan: &Plan) -> Result<Vec<Figure>> {
    let is_moment = plan.seconds == 0;
    let (open, passing, seconds) = if is_moment { (1_000, 100, 1) } else { (100_000, 10_000, 60) };
    side.roles.end().await?;
    let numbers = [("{open}", open), ("{passing}", passing), ("{seconds}", seconds)];
    ground::run(&side.base.db, include_str!("sql/deadlines.sql"), &numbers).await?;
    side.roles.only(&[Role::Leads]).await?;

    let end = Instant::now() + Duration::from_secs(seconds) + PATIENCE;
    while side.base.number(HANDED_ON).await? < i64::try_from(passing)? {
        if Instant::now() > end {
            bail!("not every lead whose deadline has passed has changed hands after {PATIENCE:?}");
        }
        pause(Duration::from_millis(500)).await;
    }
    let (p99, max) = (side.base.number(P99_LATE).await?, side.base.number(MOST_LATE).await?);
    let what = |which: &str| format!("reassignment of {passing} of {open} leads in {seconds} s: lateness, {which}");
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53 ms")]
    let figure = |which, ms: i64, floor| {
        let figure = Figure::new(what(which), ms as f64, "ms");
        if is_moment { figure } else { figure.must(Bound::AtMost(floor)) }
    };
    Ok(vec![figure("p99", p99, 300.0), figure("max", max, 1_000.0)])
}

/// Leads whose deadline has had its effect.
const HANDED_ON: &str =
    "select count(*) from load.due join leads.lead on id = lead where respond_by_time is distinct from deadline";
/// By how many milliseconds too late: from the deadline to the moment at which it was decided who is next.
const P99_LATE: &str =
    "select (1000 * extract(epoch from percentile_cont(0.99) within group (order by late)))::bigint from load.late";
const MOST_LATE: &str = "select (1000 * extract(epoch from max(late)))::bigint from load.late";

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
        let passed = InterceptedService::new(channel, Pass::token(identity, auditor));
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
        Figure::new(what("p99"), quantile_ms(&latency, 0.99), "ms"),
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
