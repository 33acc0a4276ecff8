//! The way that deals go: stages in their order and what must be fulfilled to enter each (P2).

use chrono::{DateTime, Utc};
use otdel_types::PipelineId;

/// A condition on entering a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Gate {
    /// The deal says what the client needs.
    Need,
    /// The deal says what it is worth.
    Amount,
    /// A contract of the deal is signed.
    ContractSigned,
    /// An invoice of the deal is issued.
    InvoiceIssued,
    /// Every issued invoice of the deal is paid.
    Paid,
}

/// A stage of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Its id within the pipeline, such as `proposal`.
    pub id: String,
    /// What people call it.
    pub display_name: String,
    /// What must be fulfilled to enter it.
    pub gates: Vec<Gate>,
}

/// One version of a pipeline. It never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// Its id.
    pub id: PipelineId,
    /// Its code, such as `default`.
    pub code: String,
    /// The version of the code, from 1.
    pub version: i32,
    /// What people call it.
    pub display_name: String,
    /// The stages in their order; at least one.
    pub stages: Vec<Stage>,
    /// When it was published.
    pub create_time: DateTime<Utc>,
}

impl Pipeline {
    /// The stage after the one with this id. None at the last one.
    pub fn after(&self, id: &str) -> Option<&Stage> {
        let place = self.stages.iter().position(|stage| stage.id == id)?;
        self.stages.get(place + 1)
    }

    /// Whether this is the id of the last stage.
    pub fn ends_with(&self, id: &str) -> bool {
        self.stages.last().is_some_and(|stage| stage.id == id)
    }

    /// Every gate of every stage, each once, in the order in which a deal meets them.
    pub fn gates(&self) -> Vec<Gate> {
        let mut gates = Vec::new();
        for gate in self.stages.iter().flat_map(|stage| &stage.gates) {
            if !gates.contains(gate) {
                gates.push(*gate);
            }
        }
        gates
    }
}

/// Whether a text can be a pipeline's code or a stage's id: a lower-case letter, then lower-case letters, digits or `_`,
/// at most 40.
pub fn is_code(text: &str) -> bool {
    text.len() <= 40
        && text.starts_with(|letter: char| letter.is_ascii_lowercase())
        && text.bytes().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_')
}

/// The first value that comes again, if one does.
pub fn repeated<T: PartialEq>(values: &[T]) -> Option<&T> {
    values.iter().enumerate().find(|(at, value)| values[..*at].contains(value)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline() -> Pipeline {
        let stage = |id: &str, gates: &[Gate]| Stage { id: id.into(), display_name: id.into(), gates: gates.to_vec() };
        Pipeline {
            id: PipelineId::new(),
            code: "default".into(),
            version: 1,
            display_name: "Sale".into(),
            stages: vec![stage("new", &[]), stage("offer", &[Gate::Need]), stage("paid", &[Gate::Paid, Gate::Need])],
            create_time: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn stages_follow_one_another_to_the_last() {
        let pipeline = pipeline();
        assert_eq!(pipeline.after("new").unwrap().id, "offer");
        assert_eq!(pipeline.after("paid"), None);
        assert_eq!(pipeline.after("elsewhere"), None);
        assert!(pipeline.ends_with("paid") && !pipeline.ends_with("offer"));
        assert_eq!(pipeline.gates(), [Gate::Need, Gate::Paid]);
    }

    #[test]
    fn codes_are_short_lower_case_words() {
        for code in ["a", "default", "b2b_2026", &"x".repeat(40)] {
            assert!(is_code(code), "{code}");
        }
        for code in ["", "1a", "_a", "A", "a-b", "ё", "a b", &"x".repeat(41)] {
            assert!(!is_code(code), "{code}");
        }
    }

    #[test]
    fn a_value_that_comes_again_is_found() {
        assert_eq!(repeated(&[1, 2, 3]), None);
        assert_eq!(repeated(&[1, 2, 1, 2]), Some(&1));
        assert_eq!(repeated::<i32>(&[]), None);
    }
}
