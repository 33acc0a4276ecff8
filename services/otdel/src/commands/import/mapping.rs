use anyhow::{Result, bail};

/// The fields of a lead that a file can fill.
pub(super) const FIELDS: [&str; 8] =
    ["channel", "source_ref", "display_name", "phone", "email", "origin", "text", "receive_time"];

/// Those without which no line is a lead.
const NEEDED: [&str; 3] = ["channel", "source_ref", "display_name"];

/// What every column is called that a rejects file adds.
pub(super) const OWN: &str = "otdel_";

/// What each field is made of.
#[derive(Debug)]
pub(super) struct Mapping {
    fields: Vec<(&'static str, Vec<Part>)>,
    /// The columns that no field is made of.
    pub(super) unread: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Column(usize),
}

impl Mapping {
    /// Reads `--set`; a field without one is made of the column of its name. Everything that is wrong is told at once.
    pub(super) fn new(columns: &[String], set: &[(String, String)]) -> Result<Self> {
        let mut wrong = Vec::new();
        for (field, _) in set.iter().filter(|(field, _)| !FIELDS.contains(&field.as_str())) {
            wrong.push(format!("--set {field}: a lead has no such field; it has {}", FIELDS.join(", ")));
        }
        let mut fields = Vec::new();
        for field in FIELDS {
            if let Some((_, template)) = set.iter().rev().find(|(named, _)| named == field) {
                match parts(template, columns) {
                    Ok(parts) => fields.push((field, parts)),
                    Err(text) => wrong.push(format!("--set {field}: {text}")),
                }
            } else if let Some(at) = columns.iter().position(|column| column.eq_ignore_ascii_case(field)) {
                fields.push((field, vec![Part::Column(at)]));
            } else if NEEDED.contains(&field) {
                wrong.push(format!("no column is named {field}: say with --set {field}=… what it is made of"));
            }
        }
        if !wrong.is_empty() {
            bail!("{}\nthe file's columns are {}", wrong.join("\n"), columns.join(", "));
        }
        let is_read = |at: usize| fields.iter().any(|(_, parts)| parts.contains(&Part::Column(at)));
        let unread = columns.iter().enumerate().filter(|(at, column)| !is_read(*at) && !column.starts_with(OWN));
        let unread = unread.map(|(_, column)| column.clone()).collect();
        Ok(Self { fields, unread })
    }

    /// A field of a line. Empty where nothing fills it.
    pub(super) fn value(&self, field: &str, cells: &[String]) -> String {
        let Some((_, parts)) = self.fields.iter().find(|(named, _)| *named == field) else { return String::new() };
        let texts = parts.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Column(at) => cells.get(*at).map_or("", String::as_str),
        });
        texts.collect::<String>().trim().to_owned()
    }
}

fn parts(template: &str, columns: &[String]) -> Result<Vec<Part>, String> {
    let (mut parts, mut rest) = (Vec::new(), template);
    while let Some((text, from)) = rest.split_once('{') {
        let (column, after) = from.split_once('}').ok_or("{ without }")?;
        let at = columns.iter().position(|one| one == column).ok_or_else(|| format!("no column is named {column}"))?;
        parts.extend([Part::Text(text.to_owned()), Part::Column(at)]);
        rest = after;
    }
    parts.push(Part::Text(rest.to_owned()));
    parts.retain(|part| *part != Part::Text(String::new()));
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(of: &[&str]) -> Vec<String> {
        of.iter().map(|text| (*text).to_owned()).collect()
    }

    fn set(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter().map(|(field, text)| ((*field).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_field_is_made_of_its_column_or_of_what_is_said() {
        let columns = texts(&["id", "Phone", "имя", "note", "otdel_line"]);
        let said = set(&[("channel", "site"), ("source_ref", "{id}"), ("display_name", "{имя} ({id})"), ("email", "")]);
        let mapping = Mapping::new(&columns, &said).unwrap();
        let cells = texts(&["7", " 123 ", "Анна", "x", "9"]);
        let values = FIELDS.map(|field| mapping.value(field, &cells));
        assert_eq!(values, ["site", "7", "Анна (7)", "123", "", "", "", ""]);
        assert_eq!(mapping.unread, ["note"]);
        assert_eq!(mapping.value("display_name", &cells[..1]), "(7)", "a line that is too short has no more to give");
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let wrong = Mapping::new(&texts(&["id"]), &set(&[("name", "x"), ("phone", "{tel}"), ("email", "{id")]));
        let wrong = wrong.unwrap_err().to_string();
        for says in [
            "--set name: a lead has no such field",
            "--set phone: no column is named tel",
            "--set email: { without }",
            "no column is named channel",
            "no column is named source_ref",
            "no column is named display_name",
            "the file's columns are id",
        ] {
            assert!(wrong.contains(says), "{says}: {wrong}");
        }
    }
}
