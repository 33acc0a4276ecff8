//! What an edit changes.

/// Puts a value in its place and notes the field where it is another than before. None: it stays.
pub(super) fn put<T: PartialEq>(changed: &mut Vec<&'static str>, field: &'static str, place: &mut T, value: Option<T>) {
    if let Some(value) = value.filter(|value| value != place) {
        *place = value;
        changed.push(field);
    }
}
