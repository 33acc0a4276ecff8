//! Which fields of a resource an Update changes (AIP-134, AIP-161).

use std::collections::BTreeSet;

use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor};
use prost_types::FieldMask;

use crate::{auth::DESCRIPTORS, violations::Violations};

/// The most paths that a mask has.
const MOST_PATHS: usize = 100;

/// Every field that may be changed.
const WILDCARD: &str = "*";

/// `google.api.FieldBehavior`: what a field declares about who may set it.
const OUTPUT_ONLY: i32 = 3;
const IMMUTABLE: i32 = 5;
const IDENTIFIER: i32 = 8;

/// The fields that an Update changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(BTreeSet<String>);

impl Fields {
    /// Whether a field is one of them.
    pub fn has(&self, field: &str) -> bool {
        self.0.contains(field)
    }
}

/// What may be done to a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behavior {
    Mutable,
    Immutable,
    OutputOnly,
}

/// Reads the mask of an Update of `resource`. Absent or empty: every field that is filled in; `*`: all. A path that does
/// not exist, or is immutable, is a violation of `field`; one that is output only is ignored. Which fields there are and
/// what they are comes from the descriptor. Paths are those of whole fields: no resource has parts that change alone.
pub fn fields<M: prost::Message + prost::Name>(
    wrong: &mut Violations,
    field: &str,
    mask: Option<&FieldMask>,
    resource: &M,
) -> Fields {
    let Some(descriptor) = DESCRIPTORS.get_message_by_name(&M::full_name()) else { return Fields::default() };
    match mask.map(|mask| mask.paths.as_slice()) {
        None | Some([]) => filled_in(descriptor, resource),
        Some([all]) if all == WILDCARD => mutable(&descriptor).map(|field| field.name().to_owned()).collect(),
        Some(paths) if paths.len() > MOST_PATHS => {
            wrong.add(field, format_args!("must not name more than {MOST_PATHS} fields"));
            Fields::default()
        }
        Some(paths) => paths.iter().filter(|path| is_taken(wrong, field, &descriptor, path)).cloned().collect(),
    }
}

/// Whether a path of a mask names a field to change; what is wrong with it is noted.
fn is_taken(wrong: &mut Violations, field: &str, descriptor: &MessageDescriptor, path: &str) -> bool {
    match descriptor.get_field_by_name(path).as_ref().map(behavior) {
        Some(Behavior::Mutable) => return true,
        Some(Behavior::OutputOnly) => {}
        Some(Behavior::Immutable) => wrong.add(field, format_args!("names {path}, which never changes")),
        None if path == WILDCARD => wrong.add(field, "must not name other fields beside *"),
        None => wrong.add(field, format_args!("names a field that {} does not have", descriptor.name())),
    }
    false
}

fn filled_in<M: prost::Message>(descriptor: MessageDescriptor, resource: &M) -> Fields {
    // What was decoded once can be decoded again.
    let filled = DynamicMessage::decode(descriptor.clone(), resource.encode_to_vec().as_slice())
        .unwrap_or_else(|_| DynamicMessage::new(descriptor.clone()));
    mutable(&descriptor).filter(|field| filled.has_field(field)).map(|field| field.name().to_owned()).collect()
}

fn mutable(descriptor: &MessageDescriptor) -> impl Iterator<Item = FieldDescriptor> {
    descriptor.fields().filter(|field| behavior(field) == Behavior::Mutable)
}

/// What a field declares by `google.api.field_behavior`.
fn behavior(field: &FieldDescriptor) -> Behavior {
    let Some(extension) = DESCRIPTORS.get_extension_by_name("google.api.field_behavior") else {
        return Behavior::OutputOnly;
    };
    let options = field.options();
    let declared = options.get_extension(&extension);
    let declares =
        |one| declared.as_list().is_some_and(|list| list.iter().any(|value| value.as_enum_number() == Some(one)));
    if declares(OUTPUT_ONLY) || declares(IDENTIFIER) {
        Behavior::OutputOnly
    } else if declares(IMMUTABLE) {
        Behavior::Immutable
    } else {
        Behavior::Mutable
    }
}

impl FromIterator<String> for Fields {
    fn from_iter<I: IntoIterator<Item = String>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use otdel_api::leads::{Client, Lead};

    use super::*;

    fn client() -> Client {
        Client {
            name: "clients/x".into(),
            display_name: "Ёлкин".into(),
            email: "a@b.org".into(),
            owner: "people/x".into(),
            etag: "1".into(),
            ..Client::default()
        }
    }

    fn read<M: prost::Message + prost::Name>(paths: Option<&[&str]>, resource: &M) -> Result<Vec<String>, Violations> {
        let mut wrong = Violations::default();
        let mask = paths.map(|paths| FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() });
        let fields = fields(&mut wrong, "update_mask", mask.as_ref(), resource);
        wrong.into_result().map(|()| fields.0.into_iter().collect())
    }

    #[test]
    fn an_absent_mask_names_what_is_filled_in() {
        assert_eq!(read(None, &client()).unwrap(), ["display_name", "email"]);
        assert_eq!(read(Some(&[]), &client()).unwrap(), ["display_name", "email"]);
    }

    #[test]
    fn a_star_names_all_that_may_change() {
        assert_eq!(read(Some(&["*"]), &client()).unwrap(), ["display_name", "email", "phone"]);
    }

    #[test]
    fn paths_are_taken_though_empty_and_output_only_ones_are_ignored() {
        assert_eq!(read(Some(&["phone", "owner", "name", "etag"]), &client()).unwrap(), ["phone"]);
        assert_eq!(read(Some(&["owner"]), &client()).unwrap(), [""; 0]);
    }

    #[test]
    fn every_wrong_path_is_told_at_once() {
        let wrong = read(Some(&["colour", "phone", "*", "email.domain", "displayName"]), &client()).unwrap_err();
        assert_eq!(wrong.0.len(), 4);
        assert!(wrong.0.iter().all(|violation| violation.field == "update_mask"));
        assert_eq!(read(Some(&["channel"]), &Lead::default()).unwrap_err().0.len(), 1);
    }
}
