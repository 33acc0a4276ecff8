//! What must hold of the ratios to pgbench.

use super::{
    compare::Cell,
    figures::{Bound, Figure},
    operation::Operation,
    turn::median,
};

/// The least ratio of an operation at a number of clients, and the one of a write whose calls share a commit.
fn of(operation: Operation, clients: usize) -> Option<(f64, Option<f64>)> {
    match (operation, clients) {
        (Operation::Submit, 1) => Some((0.6, None)),
        (Operation::Submit, 128) => Some((0.8, Some(1.5))),
        (Operation::Submit | Operation::Invoice, 32) => Some((0.5, Some(1.0))),
        (Operation::Payment, 32) => Some((0.5, Some(0.8))),
        (Operation::Get | Operation::List, 32) => Some((0.35, None)),
        _ => None,
    }
}

/// The ratios of which something is asked.
pub fn ratios(cells: &[Cell]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for cell in cells.iter().filter(|cell| !cell.pgbench.is_empty()) {
        let Some((floor, coalesced)) = of(cell.operation, cell.clients) else { continue };
        let ratio = median(&cell.ratios());
        let what = format!("{}, {} clients, against pgbench", cell.operation.name(), cell.clients);
        figures.push(Figure::new(what.clone(), ratio, "").must(Bound::AtLeast(floor)));
        if let Some(floor) = coalesced {
            figures.push(Figure::new(format!("{what}, coalesced"), ratio, "").must(Bound::AtLeast(floor)));
        }
    }
    figures
}
