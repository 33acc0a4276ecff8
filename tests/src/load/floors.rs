//! What must hold of the ratios to pgbench, and what must hold that is not measured here.

use super::{
    args::{Args, Plan, What},
    compare::Cell,
    figures::{Bound, Figure},
    operation::Operation,
    turn::median,
};

/// The least ratio of an operation at a number of clients. For a write whose calls share a commit it is a higher one.
const RATIOS: [(Operation, usize, f64); 7] = [
    (Operation::Submit, 1, 0.6),
    (Operation::Submit, 32, 1.0),
    (Operation::Submit, 128, 1.5),
    (Operation::Invoice, 32, 0.5),
    (Operation::Payment, 32, 0.5),
    (Operation::Get, 32, 0.35),
    (Operation::List, 32, 0.35),
];

/// What must hold too, and why this generator cannot tell.
const ELSEWHERE: [(&str, Bound, &str); 3] = [
    ("against Tryton, same story, 8 clients", Bound::AtLeast(50.0), "Tryton is not run here"),
    ("import of leads, streamed, rows a second", Bound::AtLeast(10_000.0), "no RPC takes a stream of leads"),
    (
        "named report over 1,000,000 invoices and 10,000,000 facts: p99, ms",
        Bound::AtMost(50.0),
        "its report is over what one run submits",
    ),
];

/// The ratios of which something is asked, in this run or in a whole one.
pub fn ratios(args: &Args, plan: &Plan, cells: &[Cell]) -> Vec<Figure> {
    let of = |(operation, clients, floor): (Operation, usize, f64)| {
        let what = format!("{}, {clients} clients, against pgbench", operation.name());
        let measured = cells.iter().find(|cell| (cell.operation, cell.clients) == (operation, clients));
        let ratios = measured.map(Cell::ratios).unwrap_or_default();
        let figure = if ratios.is_empty() {
            Figure::missing(what, asked_why(args, plan, operation, clients, measured))
        } else {
            Figure::new(what, median(&ratios), "")
        };
        figure.must(Bound::AtLeast(floor))
    };
    RATIOS.into_iter().map(of).collect()
}

/// Why a ratio is not there, and whether it should be.
fn asked_why(
    args: &Args,
    plan: &Plan,
    operation: Operation,
    clients: usize,
    measured: Option<&Cell>,
) -> Result<String, String> {
    if !args.wants(operation.what()) {
        Ok("--only leaves it out".to_owned())
    } else if !plan.clients.contains(&clients) {
        Ok(format!("{clients} clients are left out"))
    } else if measured.is_some() {
        Err("pgbench did not do it".to_owned())
    } else {
        Err("it was broken off".to_owned())
    }
}

/// Who has been refused does not count as slow, so nobody may be.
pub fn refusals(cells: &[Cell]) -> Vec<Figure> {
    let of = |cell: &Cell| {
        let refused: u64 = cell.ours.iter().map(|turn| turn.refused).sum();
        let what = format!("{}, {} clients, refused", cell.operation.name(), cell.clients);
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53 calls")]
        Figure::new(what, refused as f64, "").must(Bound::AtMost(0.0))
    };
    cells.iter().map(of).collect()
}

/// What must hold and is not measured: by no run, or not by this one.
pub fn unmeasured(args: &Args) -> Vec<Figure> {
    let left_out = [
        (What::Gateway, "gateway: p50 added, ms", Bound::AtMost(1.0)),
        (What::Gateway, "gateway: throughput kept", Bound::AtLeast(0.6)),
        (What::Open, "open loop: p99, ms", Bound::AtMost(25.0)),
        (What::Feed, "feed: events numbered and read by one, a second", Bound::AtLeast(10_000.0)),
        (
            What::Deadline,
            "reassignment of 10,000 of 100,000 leads in a minute: lateness, p99, ms",
            Bound::AtMost(300.0),
        ),
        (What::Role, "start of a role to serving, ms", Bound::AtMost(500.0)),
        (What::Role, "memory of a role, idle, MiB", Bound::AtMost(40.0)),
        (What::Role, "memory of a role, the most at capacity, MiB", Bound::AtMost(120.0)),
    ];
    let left_out = left_out.into_iter().filter(|(of, ..)| !args.wants(*of));
    let left_out = left_out.map(|(_, what, floor)| (what, floor, "--only leaves it out"));
    let all = left_out.chain(ELSEWHERE);
    all.map(|(what, floor, why)| Figure::missing(what, Ok(why.to_owned())).must(floor)).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::load::turn::Turn;

    fn cell(operation: Operation, clients: usize, ours: u64, theirs: &[u64], refused: u64) -> Cell {
        let turn = |done: u64, refused| Turn { refused, ..Turn::of(done, 1.0) };
        let pgbench = theirs.iter().map(|done| turn(*done, 0)).collect();
        Cell { operation, clients, ours: vec![turn(ours, refused)], before: vec![], pgbench }
    }

    fn holds(arguments: &str, cells: &[Cell]) -> Vec<(String, Option<bool>)> {
        let args = Args::parse_from(std::iter::once("otdel-load").chain(arguments.split_whitespace()));
        let mut figures = ratios(&args, &args.plan().unwrap(), cells);
        figures.extend(refusals(cells));
        let known = |figure: &Figure| figure.holds().map(|holds| (figure.what.clone(), Some(holds)));
        figures.iter().filter_map(known).collect()
    }

    #[test]
    fn writes_that_share_a_commit_are_held_to_what_those_can_do() {
        let cells = [cell(Operation::Submit, 32, 60, &[100], 0), cell(Operation::Submit, 128, 160, &[100], 0)];
        let held = holds("--only submit --clients 32,128", &cells);
        let ratio = |clients| (format!("submit, {clients} clients, against pgbench"), Some(clients == 128));
        assert_eq!(held[..2], [ratio(32), ratio(128)]);
    }

    #[test]
    fn what_was_asked_for_and_not_measured_does_not_hold() {
        // Without pgbench, where it did nothing, and where the operation was broken off.
        for cells in [&[cell(Operation::Get, 32, 60, &[], 0)][..], &[cell(Operation::Get, 32, 60, &[0], 0)], &[]] {
            let held = holds("--only get --clients 32", cells);
            assert_eq!(held[0], ("get, 32 clients, against pgbench".to_owned(), Some(false)), "{cells:?}");
        }
        assert!(holds("--only get --clients 16", &[]).is_empty(), "nothing was asked for of which anything is known");
    }

    #[test]
    fn a_refused_call_of_a_closed_loop_does_not_hold() {
        let held = holds("--only contact --clients 8", &[cell(Operation::Contact, 8, 60, &[50], 1)]);
        assert_eq!(held, [("contact, 8 clients, refused".to_owned(), Some(false))]);
    }
}
