//! The suite's side of a comparison: its database, its roles and its calls.

use std::{path::Path, time::Duration};

use anyhow::{Result, bail};
use otdel::cli::Role;
use otdel_runtime::clock::pause;
use tokio::time::Instant;

use super::{
    caller::Caller,
    cpu::Watched,
    drive,
    ground::{Base, Ground},
    operation::Operation,
    roles::Roles,
    turn::Turn,
};

/// How long what follows from the calls may take when they have ended.
const PATIENCE: Duration = Duration::from_mins(2);

/// One build of the suite on a database of its own.
pub struct Side {
    /// Its database.
    pub base: Base,
    /// Its processes.
    pub roles: Roles,
    /// Who calls its services.
    pub direct: Caller,
    /// Who calls its gateway.
    pub outside: Caller,
    server: i32,
}

impl Side {
    /// A side whose roles are not started yet.
    pub async fn new(name: &'static str, node: &Path, ground: &Ground, connections: u32, seed: u64) -> Result<Self> {
        let base = ground.copy(name).await?;
        let roles = Roles::new(name, node, ground, &base, connections)?;
        let direct = Caller::direct(ground, &roles, seed)?;
        let mut outside = Caller::through_the_gateway(ground, &roles, seed)?;
        outside.share_stock(&direct);
        Ok(Self { base, roles, direct, outside, server: ground.server() })
    }

    /// Whose processor time is its own.
    pub fn watched(&self) -> Watched {
        Watched { services: self.roles.pids(), server: self.server }
    }

    /// Sees to it that the roles of an operation run and no others, and that they have all their connections: a login may
    /// take longer than a call waits for one.
    pub async fn start(&mut self, operation: Operation) -> Result<()> {
        self.roles.only(operation.roles()).await?;
        let end = Instant::now() + PATIENCE;
        loop {
            let turn = self.turn(&self.direct, operation, 8, Duration::from_millis(100)).await?;
            match turn.refusal {
                None => return Ok(()),
                Some(refusal) if Instant::now() > end => bail!("{} is refused: {refusal}", operation.name()),
                Some(_) => {}
            }
        }
    }

    /// One turn of so many clients. It ends when what follows from the calls is done too, and costs what that costs.
    pub async fn turn(&self, caller: &Caller, operation: Operation, clients: usize, time: Duration) -> Result<Turn> {
        let watched = self.watched();
        let (before, numbers) = (watched.look()?, self.numbers(operation).await?);
        let began = Instant::now();
        let mut turn = drive::closed(caller, operation, clients, time).await?;
        if operation == Operation::Invoice {
            self.invoiced(numbers + i64::try_from(turn.done)?).await?;
            turn.seconds = began.elapsed().as_secs_f64();
        }
        self.settle(operation).await?;
        turn.cpu = watched.look()?.since(before);
        Ok(turn)
    }

    /// One turn at a fixed rate.
    pub async fn open_turn(&self, operation: Operation, rate: f64, time: Duration) -> Result<Turn> {
        let watched = self.watched();
        let (before, numbers) = (watched.look()?, self.numbers(operation).await?);
        let mut turn = drive::open(&self.direct, operation, rate, time).await?;
        if operation == Operation::Invoice {
            self.invoiced(numbers + i64::try_from(turn.done)?).await?;
        }
        self.settle(operation).await?;
        turn.cpu = watched.look()?.since(before);
        Ok(turn)
    }

    /// How many invoices got a number; 0 where the operation makes none.
    async fn numbers(&self, operation: Operation) -> Result<i64> {
        if operation != Operation::Invoice {
            return Ok(0);
        }
        self.base.number("select coalesce(sum(last), 0)::bigint from billing.counter").await
    }

    /// Waits until so many invoices are committed: numbers have no gaps, so the last one tells.
    async fn invoiced(&self, numbers: i64) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while self.numbers(Operation::Invoice).await? < numbers {
            if Instant::now() > end {
                bail!("not every confirmed order has its invoice after {PATIENCE:?}");
            }
            pause(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Waits until every event is numbered, so that nobody else's turn pays for it.
    pub async fn settle(&self, operation: Operation) -> Result<()> {
        for role in operation.roles() {
            self.numbered(*role).await?;
        }
        Ok(())
    }

    /// Waits until every event of a role is numbered.
    pub async fn numbered(&self, role: Role) -> Result<()> {
        let sql = match role {
            Role::Leads => "select count(*) from leads.outbox where position is null",
            Role::Contracts => "select count(*) from contracts.outbox where position is null",
            Role::Billing => "select count(*) from billing.outbox where position is null",
            Role::Reporting | Role::Gateway => return Ok(()),
        };
        let end = Instant::now() + PATIENCE;
        while self.base.number(sql).await? > 0 {
            if Instant::now() > end {
                bail!("the events of {} are not numbered after {PATIENCE:?}", role.name());
            }
            pause(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}
