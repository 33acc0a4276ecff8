//! Reading what a principal or a key may do.

use otdel_api::leads as pb;
use otdel_runtime::{auth::PERMISSIONS, violations::Violations};
use otdel_types::TeamId;

use crate::domain::{
    pipeline::repeated,
    principal::{Draft, MOST_CALLS, MOST_GRANTS, Role},
};

/// The longest subject, in characters: `OpenID Connect` gives an issuer's subjects 255, and the rest is the issuer's.
const LONGEST_SUBJECT: usize = 500;

/// Roles by their numbers.
pub(super) fn roles(wrong: &mut Violations, field: &str, values: &[i32]) -> Vec<Role> {
    each(wrong, field, values, |wrong, field, value| wrong.choice(field, *value).and_then(role))
}

/// Permissions by their names.
pub(super) fn permissions(wrong: &mut Violations, field: &str, values: &[String]) -> Vec<String> {
    each(wrong, field, values, |wrong, field, name| {
        let known = PERMISSIONS.contains(&name.as_str()).then(|| name.clone());
        wrong.take(field, known.ok_or("is not a permission"))
    })
}

/// The permissions of a key: each once, and not too many.
pub(super) fn permissions_of_key(wrong: &mut Violations, field: &str, values: &[String]) -> Vec<String> {
    let permissions = permissions(wrong, field, values);
    if repeated(&permissions).is_some() {
        wrong.add(field, "must name each permission once");
    }
    if values.len() > MOST_GRANTS {
        wrong.add(field, "must not be more than 50");
    }
    permissions
}

/// Teams by their names.
pub(super) fn teams(wrong: &mut Violations, field: &str, values: &[String]) -> Vec<TeamId> {
    each(wrong, field, values, |wrong, field, name| wrong.name(field, name))
}

/// Who a login's token is for, as `{issuer}|{subject}`, or nobody. An issuer is a URL and has no bar in it, a subject may.
pub(super) fn subject(wrong: &mut Violations, field: &str, text: &str) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let is_whole = text.split_once('|').is_some_and(|(issuer, subject)| !issuer.is_empty() && !subject.is_empty());
    if !is_whole || text.chars().any(char::is_control) {
        wrong.add(field, "must be an issuer and a subject, as {issuer}|{subject}");
        return None;
    }
    wrong.optional_text(field, text, LONGEST_SUBJECT)
}

/// How many calls a second are taken.
pub(super) fn calls(wrong: &mut Violations, field: &str, value: Option<i32>) -> Option<i32> {
    if value.is_some_and(|calls| !(0..=MOST_CALLS).contains(&calls)) {
        wrong.add(field, "must be from 0 to 1,000,000");
    }
    value
}

/// Notes what does not fit together in a principal.
pub(super) fn expect_sound(wrong: &mut Violations, field: &str, draft: &Draft) {
    for (part, text) in draft.faults() {
        wrong.add(format!("{field}.{part}"), text);
    }
}

/// Reads every value of a repeated field and notes those that are wrong, one more than may be at most.
fn each<T, V>(
    wrong: &mut Violations,
    field: &str,
    values: &[V],
    read: impl Fn(&mut Violations, &str, &V) -> Option<T>,
) -> Vec<T> {
    let values = values.iter().take(MOST_GRANTS + 1).enumerate();
    values.filter_map(|(at, value)| read(wrong, &format!("{field}[{at}]"), value)).collect()
}

fn role(role: pb::Role) -> Option<Role> {
    match role {
        pb::Role::Unspecified => None,
        pb::Role::Manager => Some(Role::Manager),
        pb::Role::LeadManager => Some(Role::LeadManager),
        pb::Role::HeadOfDepartment => Some(Role::HeadOfDepartment),
        pb::Role::CommercialDirector => Some(Role::CommercialDirector),
        pb::Role::Accountant => Some(Role::Accountant),
        pb::Role::Auditor => Some(Role::Auditor),
        pb::Role::Administrator => Some(Role::Administrator),
        pb::Role::ServiceAccount => Some(Role::ServiceAccount),
    }
}
