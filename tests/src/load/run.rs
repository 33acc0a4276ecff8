//! One run, from the cluster to the table.

use std::{path::Path, process::Command};

use anyhow::{Result, bail};
use otdel::cli::Role;
use serde_json::{Value, json};

use super::{
    args::{Args, Plan, Profile, What},
    compare::{Cell, Sides},
    cpu, figures,
    figures::Figure,
    floors,
    ground::{Base, Ground, Stock},
    operation::Operation,
    pgbench::{self, Pgbench},
    roles::node_beside_us,
    say,
    side::Side,
    suite, table,
};

/// What a run has found.
#[derive(Default)]
struct Found {
    cells: Vec<Cell>,
    written: Vec<Value>,
    equal: bool,
    figures: Vec<Figure>,
    /// What was broken off, and why. The rest is measured all the same, and written down.
    broken: Vec<String>,
}

impl Found {
    fn take(&mut self, what: &str, outcome: Result<Vec<Figure>>) -> Result<()> {
        match outcome {
            Ok(figures) => self.figures.extend(figures),
            Err(error) => self.break_off(what, &error)?,
        }
        Ok(())
    }

    fn break_off(&mut self, what: &str, error: &anyhow::Error) -> Result<()> {
        self.broken.push(format!("{what}: {error:#}"));
        say(&format!("{what} was broken off: {error:#}"))
    }
}

/// Measures, prints and writes it down. The answer is whether every floor that was asked for was measured and holds, and both
/// sides did the same work.
pub async fn run(args: &Args) -> Result<bool> {
    let plan = args.plan()?;
    let node = args.node.clone().map_or_else(node_beside_us, Ok)?;
    if cfg!(debug_assertions) && args.profile != Profile::Smoke {
        say("this is a debug build: its figures mean nothing")?;
    }
    let machine = cpu::machine();
    let ground = Ground::start(stock(args, &plan)).await?;
    let bare = ground.copy("pgbench").await?;
    let settings = ground.settings(&bare).await?;
    let found = measure(args, &plan, &node, &ground, &bare).await?;

    let mut all = floors::ratios(args, &plan, &found.cells);
    all.extend(floors::refusals(&found.cells));
    all.extend(found.figures);
    all.extend(floors::unmeasured(args));
    let every = found.equal && found.broken.is_empty() && all.iter().all(|figure| figure.holds() != Some(false));
    say("")?;
    for figure in &all {
        say(&table::figure(figure))?;
    }
    let report = json!({
        "commit": commit(), "machine": machine, "postgresql": settings, "seed": args.seed,
        "command": std::env::args().skip(1).collect::<Vec<_>>(),
        "seconds": plan.seconds, "pairs": plan.pairs, "connections": args.connections,
        "debug build": cfg!(debug_assertions),
        "operations": found.cells.iter().map(table::cell).collect::<Vec<_>>(),
        "written": found.written,
        "figures": all.iter().map(table::figure_json).collect::<Vec<_>>(),
        "broken off": found.broken,
        "every floor that was asked for holds": every,
    });
    if let Some(folder) = args.json.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&args.json, serde_json::to_string_pretty(&report)?)?;
    say(&format!("\n{}", args.json.display()))?;
    ground.stop().await?;
    if !found.broken.is_empty() {
        bail!("not all was measured: {}", found.broken.join("; "));
    }
    Ok(every)
}

async fn measure(args: &Args, plan: &Plan, node: &Path, ground: &Ground, bare: &Base) -> Result<Found> {
    let mut found = Found { equal: true, ..Found::default() };
    let mut ours = Side::new("otdel", node, ground, args.connections, args.seed).await?;
    let mut before = match &args.before {
        Some(node) => Some(Side::new("before", node, ground, args.connections, args.seed).await?),
        None => None,
    };
    let mut pgbench = Pgbench::find(ground, args.seed);
    if pgbench.is_none() {
        if args.check {
            bail!("pgbench is not installed with the server: there is nothing to check against");
        }
        say("pgbench is not installed with the server: nothing to compare with")?;
    }
    if args.wants(What::Role) {
        found.take("role", figures::start(&mut ours, plan).await)?;
    }
    say(&table::head())?;
    for operation in Operation::ALL.into_iter().filter(|one| args.wants(one.what())) {
        let mut sides = Sides { ground, ours: &mut ours, before: before.as_mut(), bare, pgbench: pgbench.as_mut() };
        let written = match sides.measure(operation, plan, &mut found.cells).await {
            Ok(written) => written,
            Err(error) => {
                found.break_off(operation.name(), &error)?;
                continue;
            }
        };
        if !written.is_empty() {
            say(&table::written(operation, &written))?;
        }
        found.equal &= written.iter().all(super::compare::Written::is_equal);
        found.written.push(table::written_json(operation, &written));
        if args.wants(What::Role) && matches!(operation, Operation::List | Operation::Payment) {
            found.take("role", figures::memory_at_capacity(&ours, operation.roles()))?;
        }
    }
    if let Some(before) = &mut before {
        before.roles.end().await?;
    }
    if args.wants(What::Get) {
        found.take("a call that does nothing", figures::nothing(&mut ours, &found.cells, plan).await)?;
    }
    if args.wants(What::Open) {
        let figures = figures::open(&mut ours, ground, &found.cells, plan).await;
        found.take("open", figures)?;
    }
    if args.wants(What::Gateway) {
        found.take("gateway", figures::gateway(&mut ours, ground, plan).await)?;
        found.take("gateway", figures::memory_at_capacity(&ours, &[Role::Gateway]))?;
    }
    if args.wants(What::Feed) {
        found.take("feed", suite::feed(&mut ours, ground, plan).await)?;
    }
    if args.wants(What::Deadline) {
        found.take("deadline", suite::lateness(&mut ours, plan).await)?;
    }
    ours.roles.end().await?;
    if args.wants(What::Story) || args.wants(What::Report) {
        found.take("story and report", whole_suite(args, plan, node, ground).await)?;
    }
    Ok(found)
}

/// On a database of its own, whose feeds the followers can read to the end.
async fn whole_suite(args: &Args, plan: &Plan, node: &Path, ground: &Ground) -> Result<Vec<Figure>> {
    let mut side = Side::new("suite", node, ground, args.connections, args.seed).await?;
    let mut figures = Vec::new();
    if args.wants(What::Story) {
        figures.extend(suite::story(&mut side, ground, plan).await?);
    }
    if args.wants(What::Report) {
        figures.extend(suite::report(&mut side, ground, plan).await?);
    }
    side.roles.end().await?;
    Ok(figures)
}

/// Enough to read and write for every turn of what is measured, and for one at a fixed rate.
fn stock(args: &Args, plan: &Plan) -> Stock {
    let often = plan.clients.iter().filter(|many| **many <= 32).count() * plan.pairs + 1;
    let need = |operation: Operation| {
        let wanted = args.wants(operation.what());
        if wanted { operation.appetite() * (plan.seconds + pgbench::WARM_UP + 1) * often as u64 } else { 1 }
    };
    let many = if args.profile == Profile::Smoke { 2_000 } else { 20_000 };
    Stock { leads: many, contacted: need(Operation::Convert), orders: need(Operation::Invoice), invoices: many }
}

/// The commit that is measured, with a mark where something was changed since.
fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let changed = git(&["status", "--porcelain"]).is_some_and(|text| !text.is_empty());
    let commit = git(&["rev-parse", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    if changed { format!("{commit} and changes") } else { commit }
}
