//! Decisions that were made on an older version of a resource.

/// The resource changed since the caller read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the resource changed since it was read")]
pub struct Stale {
    /// The current version.
    pub current: i64,
}

/// Refuses a decision that was made on another version than the current one. Not seen: not checked.
pub fn expect(current: i64, seen: Option<i64>) -> Result<(), Stale> {
    match seen {
        Some(version) if version != current => Err(Stale { current }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_stale_and_none_is_not_checked() {
        assert_eq!(expect(2, Some(1)), Err(Stale { current: 2 }));
        assert_eq!(expect(2, Some(3)), Err(Stale { current: 2 }));
        assert_eq!(expect(2, Some(2)), Ok(()));
        assert_eq!(expect(2, None), Ok(()));
    }
}
