//! One turn of a side: how much was done, how long each took, and what it cost.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::cpu::Cpu;

/// Latencies in microseconds, up to ten minutes, to a thousandth.
pub fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds are sound")
}

/// A duration in the unit of the histograms.
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).clamp(1, 600_000_000)
}

/// What a side did in one turn.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Operations that were acknowledged while it was warming up: they are in what was written and used, and in nothing
    /// else.
    pub warm: u64,
    /// Operations that were acknowledged.
    pub done: u64,
    /// Calls that were refused, and why the first one was.
    pub refused: u64,
    /// Why the first of the refused calls was.
    pub refusal: Option<String>,
    /// From the first call to the last answer, or to the last commit that follows from them.
    pub seconds: f64,
    /// How long the acknowledged ones took.
    pub latency: Histogram<u64>,
    /// Processor time.
    pub cpu: Cpu,
}

impl Turn {
    /// So many operations in so many seconds, of which nothing else is known yet.
    pub fn of(done: u64, seconds: f64) -> Self {
        let (latency, cpu) = (latencies(), Cpu::default());
        Self { warm: 0, done, refused: 0, refusal: None, seconds, latency, cpu }
    }

    /// Operations a second.
    pub fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a turn has far fewer than 2^53 operations")]
        let done = self.done as f64;
        if self.seconds > 0.0 { done / self.seconds } else { 0.0 }
    }

    /// A quantile of the latencies, in milliseconds.
    pub fn ms(&self, quantile: f64) -> f64 {
        quantile_ms(&self.latency, quantile)
    }
}

/// A quantile in milliseconds.
pub fn quantile_ms(latency: &Histogram<u64>, quantile: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "ten minutes are far fewer than 2^53 microseconds")]
    let micros = latency.value_at_quantile(quantile) as f64;
    micros / 1_000.0
}

/// The middle one; of an even number the mean of the two in the middle. 0 of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).abs() < 1e-9);
    }
}
