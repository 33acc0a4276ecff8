//! How our side is driven: as fast as so many clients can, or at a fixed rate whatever comes of it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tonic::Status;

use super::{
    caller::Caller,
    operation::Operation,
    turn::{Turn, latencies, micros},
};

/// What some clients have done.
struct Tally {
    done: u64,
    refused: u64,
    refusal: Option<String>,
    latency: Histogram<u64>,
}

impl Tally {
    fn new() -> Self {
        Self { done: 0, refused: 0, refusal: None, latency: latencies() }
    }

    fn note(&mut self, outcome: Result<(), Status>, took: Duration) {
        match outcome {
            Ok(()) => {
                self.done += 1;
                self.latency.saturating_record(micros(took));
            }
            Err(status) => {
                self.refused += 1;
                self.refusal.get_or_insert_with(|| format!("{:?}: {}", status.code(), status.message()));
            }
        }
    }

    fn into_turn(self, seconds: f64) -> Turn {
        let Self { done, refused, refusal, latency } = self;
        Turn { refused, refusal, latency, ..Turn::of(done, seconds) }
    }
}

/// Closed loop, for the capacity: each client asks again as soon as it is answered.
pub async fn closed(caller: &Caller, operation: Operation, clients: usize, time: Duration) -> Result<Turn> {
    let began = Instant::now();
    let end = began + time;
    let mut tasks = JoinSet::new();
    for number in 0..clients {
        let mut client = caller.client(number as u64);
        tasks.spawn(async move {
            let mut tally = Tally::new();
            while Instant::now() < end {
                let asked = Instant::now();
                let outcome = client.call(operation).await;
                tally.note(outcome, asked.elapsed());
            }
            tally
        });
    }
    let mut whole = Tally::new();
    while let Some(tally) = tasks.join_next().await {
        let tally = tally?;
        whole.done += tally.done;
        whole.refused += tally.refused;
        whole.refusal = whole.refusal.or(tally.refusal);
        whole.latency.add(tally.latency)?;
    }
    Ok(whole.into_turn(began.elapsed().as_secs_f64()))
}

/// Open loop, for the latency: calls begin at their times however many are under way, and each is measured from the time
/// at which it was to begin. A client that waited for its answer before it asked again would leave out just those calls
/// that a slow moment would have made wait.
pub async fn open(caller: &Caller, operation: Operation, rate: f64, time: Duration) -> Result<Turn> {
    let whole = Arc::new(Mutex::new(Tally::new()));
    let gap = Duration::from_secs_f64(1.0 / rate.max(0.1));
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    let mut number = 0_u32;
    while gap * number < time {
        let due = began + gap * number;
        sleep_until(due).await;
        let (mut client, whole) = (caller.client(u64::from(number)), whole.clone());
        tasks.spawn(async move {
            let outcome = client.call(operation).await;
            whole.lock().unwrap_or_else(PoisonError::into_inner).note(outcome, due.elapsed());
        });
        while tasks.try_join_next().is_some() {}
        number += 1;
    }
    while tasks.join_next().await.is_some() {}
    let seconds = began.elapsed().as_secs_f64();
    let whole = Arc::into_inner(whole).context("every call has ended")?;
    Ok(whole.into_inner().unwrap_or_else(PoisonError::into_inner).into_turn(seconds))
}
