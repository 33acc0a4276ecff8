use unicode_width::UnicodeWidthStr as _;

use super::rows::{Cell, Columns, What};

/// The rows under their columns, as wide as a terminal shows their letters; numbers and money stand to the right.
pub(super) fn text(table: &Columns) -> String {
    let cells: Vec<Vec<String>> =
        table.rows.iter().map(|row| row.iter().map(|cell| one_line(&Cell::whole(cell))).collect()).collect();
    let widths: Vec<usize> = table
        .columns
        .iter()
        .enumerate()
        .map(|(at, column)| cells.iter().map(|row| row[at].width()).chain([column.name.width()]).max().unwrap_or(0))
        .collect();
    let line = |row: &[String]| {
        let placed = row.iter().enumerate().map(|(at, cell)| {
            let gap = " ".repeat(widths[at] - cell.width());
            if table.columns[at].kind == What::Text { format!("{cell}{gap}") } else { format!("{gap}{cell}") }
        });
        placed.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let names: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let mut lines = vec![line(&names), line(&rule)];
    lines.extend(cells.iter().map(|row| line(row)));
    if cells.is_empty() {
        lines.push("(no rows)".to_owned());
    }
    lines.join("\n")
}

/// What moves the cursor of a terminal would break the table, or do worse.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::report::rows::Column;

    fn cell(text: &str, currency: &str) -> Cell {
        Cell { text: text.into(), currency: currency.into() }
    }

    #[test]
    fn letters_count_as_wide_as_they_are_shown() {
        let columns = [("origin", What::Text), ("leads", What::Number), ("net", What::Money)];
        let table = Columns {
            columns: columns.map(|(name, kind)| Column { name: name.into(), kind }).to_vec(),
            rows: vec![
                vec![cell("весна\u{1b}[2J", ""), cell("7", ""), cell("1.00", "RUB")],
                vec![cell("日本", ""), cell("120", ""), cell("10000.00", "RUB")],
            ],
        };
        assert_eq!(
            text(&table),
            "origin     leads           net\n\
             ---------  -----  ------------\n\
             весна [2J      7      1.00 RUB\n\
             日本         120  10000.00 RUB"
        );
        let empty = Columns { rows: vec![], ..table };
        assert_eq!(text(&empty).lines().last(), Some("(no rows)"));
    }
}
