//! Both sides in turn, A B A B …, and whether they did the same work.

use std::time::Duration;

use anyhow::{Result, bail};

use super::{
    args::Plan,
    ground::{Base, Ground},
    operation::{Operation, Trace},
    pgbench::{Pgbench, WARM_UP},
    say,
    side::Side,
    turn::{Turn, median},
};

/// An operation at a number of clients.
#[derive(Clone, Debug)]
pub struct Cell {
    /// What was done.
    pub operation: Operation,
    /// How many clients did it at once.
    pub clients: usize,
    /// The suite's turns.
    pub ours: Vec<Turn>,
    /// Those of another build of it, if there is one.
    pub before: Vec<Turn>,
    /// pgbench's turns.
    pub pgbench: Vec<Turn>,
}

impl Cell {
    /// The suite's rate by that of pgbench, pair by pair.
    pub fn ratios(&self) -> Vec<f64> {
        ratios(&self.ours, &self.pgbench)
    }

    /// The rate by that of the other build, pair by pair.
    pub fn gains(&self) -> Vec<f64> {
        ratios(&self.ours, &self.before)
    }

    /// The suite's usual rate.
    pub fn rate(&self) -> f64 {
        median(&self.ours.iter().map(Turn::rate).collect::<Vec<_>>())
    }
}

/// Where the other side did nothing there is no ratio.
fn ratios(ours: &[Turn], theirs: &[Turn]) -> Vec<f64> {
    let pairs = ours.iter().zip(theirs).filter(|(_, theirs)| theirs.rate() > 0.0);
    pairs.map(|(ours, theirs)| ours.rate() / theirs.rate()).collect()
}

/// What each side wrote in an operation.
#[derive(Clone, Debug)]
pub struct Written {
    /// What was written.
    pub what: &'static str,
    /// How much of it the suite wrote for one operation.
    pub ours: f64,
    /// How much pgbench wrote.
    pub pgbench: f64,
}

impl Written {
    /// Whether both wrote as much.
    pub fn is_equal(&self) -> bool {
        (self.ours - self.pgbench).abs() < 1e-6
    }
}

/// The sides of a comparison.
pub struct Sides<'a> {
    /// Where it takes place.
    pub ground: &'a Ground,
    /// The suite.
    pub ours: &'a mut Side,
    /// Another build of it.
    pub before: Option<&'a mut Side>,
    /// pgbench's database.
    pub bare: &'a Base,
    /// pgbench, where there is one.
    pub pgbench: Option<&'a mut Pgbench>,
}

impl Sides<'_> {
    /// Measures an operation at every number of clients, and compares what was written. What was measured before something
    /// goes wrong is in `cells` all the same.
    pub async fn measure(&mut self, operation: Operation, plan: &Plan, cells: &mut Vec<Cell>) -> Result<Vec<Written>> {
        self.start(operation).await?;
        self.warm_up(operation, plan).await?;
        let before = (read(&self.ours.base, operation.traces()).await?, read(self.bare, operation.traces()).await?);
        let first = cells.len();
        for clients in plan.clients.iter().copied().filter(|many| *many <= operation.most_clients()) {
            let cell = self.cell(operation, clients, plan).await?;
            self.check_stock(operation)?;
            say(&super::table::line(&cell))?;
            cells.push(cell);
        }
        let cells = &cells[first..];
        let after = (read(&self.ours.base, operation.traces()).await?, read(self.bare, operation.traces()).await?);
        let ours = each(&before.0, &after.0, cells.iter().flat_map(|cell| &cell.ours));
        let pgbench = each(&before.1, &after.1, cells.iter().flat_map(|cell| &cell.pgbench));
        let names = operation.traces().iter().map(|(name, _)| *name);
        let written = names.zip(ours.into_iter().zip(pgbench));
        let written = written.map(|(what, (ours, pgbench))| Written { what, ours, pgbench });
        Ok(if self.pgbench.is_some() { written.collect() } else { Vec::new() })
    }

    async fn start(&mut self, operation: Operation) -> Result<()> {
        self.ours.start(operation).await?;
        if let Some(before) = &mut self.before {
            before.start(operation).await?;
        }
        Ok(())
    }

    /// Works before any clock starts, as pgbench does in each turn, so that the first turn does not measure what a service
    /// and its connections do once.
    async fn warm_up(&self, operation: Operation, plan: &Plan) -> Result<()> {
        let clients = plan.clients.iter().copied().filter(|many| *many <= operation.most_clients()).max().unwrap_or(1);
        let time = plan.time().min(Duration::from_secs(WARM_UP));
        self.ours.turn(&self.ours.direct, operation, clients, time).await?;
        if let Some(before) = &self.before {
            before.turn(&before.direct, operation, clients, time).await?;
        }
        Ok(())
    }

    async fn cell(&mut self, operation: Operation, clients: usize, plan: &Plan) -> Result<Cell> {
        let mut cell = Cell { operation, clients, ours: Vec::new(), before: Vec::new(), pgbench: Vec::new() };
        let time = plan.time();
        for _ in 0..plan.pairs {
            self.ground.checkpoint(self.bare).await?;
            cell.ours.push(self.ours.turn(&self.ours.direct, operation, clients, time).await?);
            if let Some(before) = &self.before {
                self.ground.checkpoint(self.bare).await?;
                cell.before.push(before.turn(&before.direct, operation, clients, time).await?);
            }
            if let Some(pgbench) = &mut self.pgbench {
                self.ground.checkpoint(self.bare).await?;
                cell.pgbench.push(pgbench.turn(self.ground, self.bare, operation, clients, plan.seconds).await?);
            }
        }
        Ok(cell)
    }

    /// Whoever runs out of rows measures refusals: such a cell is of no use.
    fn check_stock(&self, operation: Operation) -> Result<()> {
        let there = match operation {
            Operation::Convert => self.ground.stock.contacted,
            Operation::Invoice => self.ground.stock.orders,
            _ => return Ok(()),
        };
        let pgbench = self.pgbench.as_ref().map_or(0, |pgbench| pgbench.taken(operation));
        let taken = self.ours.direct.taken(operation).max(pgbench);
        if taken > there {
            bail!("{} took {taken} rows of a stock of {there}: measure for a shorter time", operation.name());
        }
        Ok(())
    }
}

async fn read(base: &Base, traces: &[Trace]) -> Result<Vec<i64>> {
    let mut numbers = Vec::with_capacity(traces.len());
    for (_, sql) in traces {
        numbers.push(base.number(sql).await?);
    }
    Ok(numbers)
}

/// By how much each number moved for one operation.
fn each<'a>(before: &[i64], after: &[i64], turns: impl Iterator<Item = &'a Turn>) -> Vec<f64> {
    let done: u64 = turns.map(|turn| turn.warm + turn.done).sum();
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53 rows")]
    before.iter().zip(after).map(|(before, after)| (after - before) as f64 / (done as f64).max(1.0)).collect()
}
