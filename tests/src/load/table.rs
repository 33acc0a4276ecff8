//! What people and programs read of it.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    compare::{Cell, Written},
    cpu::Cpu,
    figures::Figure,
    operation::Operation,
    turn::{Turn, latencies, median, quantile_ms},
};

/// The head of the table.
pub fn head() -> String {
    format!(
        "{:<9} {:>4} {:<8} {:>8} {:>8} {:>8} {:>8} {:>7} {:>7} {:>7} {:>7} {:>7}  {}",
        "",
        "at",
        "side",
        "ops/s",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "refused",
        "svc ms",
        "pg ms",
        "cli ms",
        "else %",
        "ratios"
    )
}

/// The lines of a cell: one for each side.
pub fn line(cell: &Cell) -> String {
    let (name, clients) = (cell.operation.name(), cell.clients);
    // The suite answers a confirmation before the invoice is there that pgbench's transaction has in it.
    let comparable = !cell.operation.goes_on_after_its_answer();
    let mut text = side(name, clients, "otdel", &cell.ours, comparable);
    if !cell.before.is_empty() {
        let gains = cell.gains();
        let _ = write!(text, "  ×{:.2} of before ({})", median(&gains), list(&gains));
        let _ = write!(text, "\n{}", side(name, clients, "before", &cell.before, comparable));
    }
    if !cell.pgbench.is_empty() {
        let ratios = cell.ratios();
        let _ = write!(text, "\n{}", side(name, clients, "pgbench", &cell.pgbench, comparable));
        let _ = write!(text, "  {:.2} ({})", median(&ratios), list(&ratios));
    }
    if let Some(refusal) = cell.ours.iter().find_map(|turn| turn.refusal.as_ref()) {
        let _ = write!(text, "\n          refused: {refusal}");
    }
    text
}

fn list(numbers: &[f64]) -> String {
    numbers.iter().map(|one| format!("{one:.2}")).collect::<Vec<_>>().join(" ")
}

fn side(name: &str, clients: usize, side: &str, turns: &[Turn], has_latency: bool) -> String {
    let whole = Whole::of(turns);
    let [p50, p95, p99] = whole.quantiles.map(|ms| if has_latency { format!("{ms:.2}") } else { "–".to_owned() });
    format!(
        "{name:<9} {clients:>4} {side:<8} {:>8.0} {p50:>8} {p95:>8} {p99:>8} {:>7} {:>7.3} {:>7.3} {:>7.3} {:>7.0}",
        whole.rate, whole.refused, whole.each.service, whole.each.postgres, whole.each.client, whole.other_percent
    )
}

/// All turns of a side in a cell.
struct Whole {
    rate: f64,
    quantiles: [f64; 3],
    refused: u64,
    /// For one operation.
    each: Cpu,
    /// Of one processor.
    other_percent: f64,
}

impl Whole {
    fn of(turns: &[Turn]) -> Self {
        let mut latency = latencies();
        let (mut cpu, mut done, mut seconds, mut refused) = (Cpu::default(), 0, 0.0, 0);
        for turn in turns {
            // The bounds of all are the same.
            let _ = latency.add(&turn.latency);
            cpu = cpu.and(turn.cpu);
            (done, seconds, refused) = (done + turn.warm + turn.done, seconds + turn.seconds, refused + turn.refused);
        }
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53 operations")]
        let done = (done as f64).max(1.0);
        Self {
            rate: median(&turns.iter().map(Turn::rate).collect::<Vec<_>>()),
            quantiles: [0.5, 0.95, 0.99].map(|quantile| quantile_ms(&latency, quantile)),
            refused,
            each: Cpu {
                service: cpu.service / done,
                postgres: cpu.postgres / done,
                client: cpu.client / done,
                other: cpu.other / done,
            },
            other_percent: cpu.other / 10.0 / f64::max(seconds, 1e-9),
        }
    }

    fn json(&self, turns: &[Turn], has_latency: bool) -> Value {
        let [p50, p95, p99] = self.quantiles.map(|ms| has_latency.then_some(ms));
        json!({
            "per second": self.rate,
            "turns, per second": turns.iter().map(Turn::rate).collect::<Vec<_>>(),
            "p50 ms": p50, "p95 ms": p95, "p99 ms": p99,
            "refused": self.refused,
            "cpu ms each": { "service": self.each.service, "postgresql": self.each.postgres, "client": self.each.client },
            "else, percent of a processor": self.other_percent,
        })
    }
}

/// A cell for programs.
pub fn cell(cell: &Cell) -> Value {
    let comparable = !cell.operation.goes_on_after_its_answer();
    let side = |turns: &[Turn]| if turns.is_empty() { Value::Null } else { Whole::of(turns).json(turns, comparable) };
    json!({
        "operation": cell.operation.name(), "clients": cell.clients,
        "otdel": side(&cell.ours), "before": side(&cell.before), "pgbench": side(&cell.pgbench),
        "ratios to pgbench": cell.ratios(), "ratio to pgbench": median(&cell.ratios()),
        "ratios to before": cell.gains(), "ratio to before": median(&cell.gains()),
    })
}

/// What both sides wrote for one operation.
pub fn written(operation: Operation, all: &[Written]) -> String {
    let each = all.iter().map(|one| {
        if one.is_equal() {
            format!("{} {:.0}", one.what, one.ours)
        } else {
            format!("{} {:.4} and {:.4}: NOT EQUAL", one.what, one.ours, one.pgbench)
        }
    });
    format!("{:<9} both wrote: {}", operation.name(), each.collect::<Vec<_>>().join(", "))
}

/// What both sides wrote, for programs.
pub fn written_json(operation: Operation, all: &[Written]) -> Value {
    let each = all.iter().map(|one| json!({ "what": one.what, "otdel": one.ours, "pgbench": one.pgbench }));
    json!({ "operation": operation.name(), "each": each.collect::<Vec<_>>(), "equal": all.iter().all(Written::is_equal) })
}

/// A figure and whether what must hold does.
pub fn figure(figure: &Figure) -> String {
    let value = match &figure.value {
        Ok(value) if *value >= 1_000.0 => format!("{value:.0}"),
        Ok(value) => format!("{value:.2}"),
        Err(_) => "–".to_owned(),
    };
    let floor = figure.floor.map(super::figures::Bound::text).unwrap_or_default();
    let verdict = match (&figure.value, figure.holds()) {
        (Err(missing), _) => format!("NOT MEASURED: {}", missing.why),
        (Ok(_), Some(true)) => "holds".to_owned(),
        (Ok(_), Some(false)) => "DOES NOT HOLD".to_owned(),
        (Ok(_), None) => String::new(),
    };
    format!("{:<84} {value:>9} {:<4} {floor:<9} {verdict}", figure.what, figure.unit).trim_end().to_owned()
}

/// A figure for programs.
pub fn figure_json(figure: &Figure) -> Value {
    json!({
        "what": figure.what, "value": figure.value.as_ref().ok(), "unit": figure.unit,
        "floor": figure.floor.map(super::figures::Bound::text),
        "holds": figure.holds(),
        "not measured": figure.value.as_ref().err().map(|missing| &missing.why),
    })
}
