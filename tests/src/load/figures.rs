//! What has no counterpart in pgbench: a call that does nothing, the gateway, latency at half of the capacity, the feed,
//! reports, the story, a role's start and memory.

use std::time::Duration;

use anyhow::{Context as _, Result};
use otdel::cli::Role;
use otdel_runtime::clock::pause;
use tokio::{task::JoinSet, time::Instant};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::{
    args::Plan,
    caller::CONNECTIONS,
    compare::Cell,
    cpu::memory_mib,
    ground::Ground,
    operation::Operation,
    side::Side,
    turn::{Turn, median},
};

/// One number, and what it must be.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What was measured, or was to be.
    pub what: String,
    /// How much it is, or why nobody knows.
    pub value: Result<f64, Missing>,
    /// In what.
    pub unit: &'static str,
    /// What must hold.
    pub floor: Option<Bound>,
}

/// Why a number is not there.
#[derive(Clone, Debug)]
pub struct Missing {
    /// In words.
    pub why: String,
    /// Whether the run was to measure it.
    pub was_asked_for: bool,
}

/// What a number must be.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// No more.
    AtMost(f64),
    /// No less.
    AtLeast(f64),
}

impl Bound {
    /// Whether it holds.
    pub fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }

    /// As people write it.
    pub fn text(self) -> String {
        match self {
            Self::AtMost(most) => format!("≤ {most}"),
            Self::AtLeast(least) => format!("≥ {least}"),
        }
    }
}

impl Figure {
    /// A number that nothing is asked of.
    pub fn new(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { what: what.into(), value: Ok(value), unit, floor: None }
    }

    /// A number that is not measured. `Ok` says why nobody asked for it, `Err` why it is not there all the same.
    pub fn missing(what: impl Into<String>, why: Result<String, String>) -> Self {
        let was_asked_for = why.is_err();
        let (Ok(why) | Err(why)) = why;
        Self { what: what.into(), value: Err(Missing { why, was_asked_for }), unit: "", floor: None }
    }

    /// The same with what must hold.
    #[must_use]
    pub fn must(self, floor: Bound) -> Self {
        Self { floor: Some(floor), ..self }
    }

    /// Whether what must hold does; what was asked for and not measured does not. None: nothing is asked, or nothing known.
    pub fn holds(&self) -> Option<bool> {
        let floor = self.floor?;
        match &self.value {
            Ok(value) => Some(floor.holds(*value)),
            Err(missing) => missing.was_asked_for.then_some(false),
        }
    }
}

/// What the gateway adds to one client's calls and what it keeps of many clients' throughput: the same leads process is
/// called with it in front and without, in turn.
pub async fn gateway(side: &mut Side, ground: &Ground, plan: &Plan) -> Result<Vec<Figure>> {
    side.start(Operation::Get).await?;
    side.roles.only(&[Role::Leads, Role::Gateway]).await?;
    let mut figures = Vec::new();
    for operation in [Operation::Get, Operation::Submit] {
        let added = pairs(side, ground, operation, 1, plan, |direct, outside| outside.ms(0.5) - direct.ms(0.5)).await?;
        let what = format!("gateway: p50 added to {}, 1 client", operation.name());
        figures.push(Figure::new(what, added, "ms").must(Bound::AtMost(1.0)));
        let many = plan.clients.iter().copied().filter(|many| *many <= 32).max().unwrap_or(1);
        let kept = pairs(side, ground, operation, many, plan, |direct, outside| outside.rate() / direct.rate()).await?;
        let what = format!("gateway: throughput kept of {}, {many} clients", operation.name());
        figures.push(Figure::new(what, kept, "").must(Bound::AtLeast(0.6)));
    }
    Ok(figures)
}

/// The median over pairs of turns, direct and through the gateway.
async fn pairs(
    side: &Side,
    ground: &Ground,
    operation: Operation,
    clients: usize,
    plan: &Plan,
    compare: impl Fn(&Turn, &Turn) -> f64,
) -> Result<f64> {
    let (time, mut found) = (plan.time(), Vec::new());
    for _ in 0..plan.pairs {
        ground.checkpoint(&side.base).await?;
        let direct = side.turn(&side.direct, operation, clients, time).await?;
        ground.checkpoint(&side.base).await?;
        let outside = side.turn(&side.outside, operation, clients, time).await?;
        found.push(compare(&direct, &outside));
    }
    Ok(median(&found))
}

/// How many calls of 32 clients a role answers that does nothing for them: health, over connections like those of the other
/// calls, past every layer of the suite's own. What is left of pgbench's reads then is what any gRPC service could keep of
/// them on this machine.
pub async fn nothing(side: &mut Side, cells: &[Cell], plan: &Plan) -> Result<Vec<Figure>> {
    const MANY: usize = 32;
    side.roles.only(&[Role::Leads]).await?;
    let channels = side.roles.channels(Role::Leads, CONNECTIONS)?;
    let began = Instant::now();
    let end = began + plan.time();
    let mut clients = JoinSet::new();
    for channel in channels.iter().cycle().take(MANY) {
        let mut health = HealthClient::new(channel.clone());
        clients.spawn(async move {
            let mut answers = 0_u32;
            while Instant::now() < end {
                health.check(HealthCheckRequest::default()).await?;
                answers += 1;
            }
            anyhow::Ok(answers)
        });
    }
    let mut answers = 0.0;
    while let Some(done) = clients.join_next().await {
        answers += f64::from(done??);
    }
    let rate = answers / began.elapsed().as_secs_f64();
    let mut figures = vec![Figure::new(format!("a call that does nothing, {MANY} clients"), rate, "/s")];
    let read = cells.iter().find(|cell| (cell.operation, cell.clients) == (Operation::Get, MANY));
    if let Some(theirs) = read.map(|cell| median(&cell.pgbench.iter().map(Turn::rate).collect::<Vec<_>>()))
        && theirs > 0.0
    {
        figures.push(Figure::new("the same against pgbench's get", rate / theirs, ""));
    }
    Ok(figures)
}

/// Latency at half of the capacity, which is the highest rate that was found, whatever the clients.
pub async fn open(side: &mut Side, ground: &Ground, cells: &[Cell], plan: &Plan) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for operation in Operation::ALL {
        let rates = cells.iter().filter(|cell| cell.operation == operation).map(Cell::rate);
        let Some(capacity) = rates.max_by(f64::total_cmp) else { continue };
        side.start(operation).await?;
        ground.checkpoint(&side.base).await?;
        let rate = capacity / 2.0;
        let turn = side.open_turn(operation, rate, plan.time()).await?;
        // What follows from a confirmation is not part of its answer.
        let name = if operation == Operation::Invoice { "an order's confirmation" } else { operation.name() };
        let what = |which: &str| format!("open loop: {which} of {name} at {rate:.0}/s");
        figures.push(Figure::new(what("p50"), turn.ms(0.5), "ms"));
        figures.push(Figure::new(what("p99"), turn.ms(0.99), "ms").must(Bound::AtMost(25.0)));
        #[expect(clippy::cast_precision_loss, reason = "a turn has far fewer than 2^53 calls")]
        figures.push(Figure::new(what("refusals"), turn.refused as f64, "").must(Bound::AtMost(0.0)));
    }
    Ok(figures)
}

/// How long a role takes to serve with its schema there, and its memory when it has done nothing yet.
pub async fn start(side: &mut Side, plan: &Plan) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for role in Role::ALL {
        // A gateway serves when it knows who may call, which leads tells.
        let alone: &[Role] = if role == Role::Gateway { &[Role::Leads] } else { &[] };
        let (mut times, mut idle) = (Vec::new(), Vec::new());
        for _ in 0..plan.pairs {
            side.roles.only(alone).await?;
            side.roles.only(&[alone, &[role]].concat()).await?;
            times.push(side.roles.started_in(role).context("it runs")?.as_secs_f64() * 1_000.0);
            // Its pool is filled by then.
            pause(Duration::from_millis(500)).await;
            idle.push(memory_mib(side.roles.pid(role).context("it runs")?)?.0);
        }
        let name = role.name();
        figures
            .push(Figure::new(format!("start of {name} to serving"), median(&times), "ms").must(Bound::AtMost(500.0)));
        figures.push(Figure::new(format!("memory of {name}, idle"), median(&idle), "MiB").must(Bound::AtMost(40.0)));
    }
    side.roles.end().await?;
    Ok(figures)
}

/// The most memory that the roles at work have had.
pub fn memory_at_capacity(side: &Side, of: &[Role]) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for role in of {
        let Some(pid) = side.roles.pid(*role) else { continue };
        let what = format!("memory of {}, the most at capacity", role.name());
        figures.push(Figure::new(what, memory_mib(pid)?.1, "MiB").must(Bound::AtMost(120.0)));
    }
    Ok(figures)
}
