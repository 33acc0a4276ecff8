use otdel_api::leads as pb;
use otdel_runtime::convert::timestamp;

use super::name;
use crate::domain::{
    api_key::ApiKey,
    principal::{Principal, Role},
};

pub(crate) fn principal(principal: &Principal) -> pb::Principal {
    let draft = &principal.draft;
    let state = if principal.active { pb::principal::State::Active } else { pb::principal::State::Disabled };
    pb::Principal {
        name: principal.id.to_string(),
        display_name: draft.display_name.clone(),
        person: name(draft.person),
        roles: draft.roles.iter().map(|one| role(*one).into()).collect(),
        permissions: draft.permissions.clone(),
        teams: draft.teams.iter().map(ToString::to_string).collect(),
        state: state.into(),
        create_time: Some(timestamp(principal.create_time)),
        update_time: Some(timestamp(principal.update_time)),
        etag: principal.version.to_string(),
        subject: draft.subject.clone().unwrap_or_default(),
        calls_per_second: draft.calls_per_second,
    }
}

pub(crate) fn api_key(key: &ApiKey) -> pb::ApiKey {
    let terms = &key.terms;
    pb::ApiKey {
        name: key.id.to_string(),
        principal: key.principal.to_string(),
        display_name: terms.display_name.clone(),
        expire_time: terms.expire_time.map(timestamp),
        permissions: terms.permissions.clone(),
        read_only: terms.read_only,
        revoke_time: key.revoke_time.map(timestamp),
        revoke_reason: key.revoke_reason.clone(),
        create_time: Some(timestamp(key.create_time)),
        etag: key.version.to_string(),
    }
}

pub(crate) fn directory_principal(principal: &Principal) -> pb::DirectoryPrincipal {
    let draft = &principal.draft;
    pb::DirectoryPrincipal {
        name: principal.id.to_string(),
        person: name(draft.person),
        roles: draft.roles.iter().map(|one| role(*one).into()).collect(),
        permissions: draft.permissions.clone(),
        teams: draft.teams.iter().map(ToString::to_string).collect(),
        active: principal.active,
        subject: draft.subject.clone().unwrap_or_default(),
        calls_per_second: draft.calls_per_second,
    }
}

pub(crate) fn directory_key(key: &ApiKey) -> pb::DirectoryKey {
    pb::DirectoryKey {
        id: key.id.0.to_string(),
        principal: key.principal.to_string(),
        secret_digest: key.secret_digest.clone(),
        expire_time: key.terms.expire_time.map(timestamp),
        permissions: key.terms.permissions.clone(),
        read_only: key.terms.read_only,
    }
}

pub(crate) fn role(role: Role) -> pb::Role {
    match role {
        Role::Manager => pb::Role::Manager,
        Role::LeadManager => pb::Role::LeadManager,
        Role::HeadOfDepartment => pb::Role::HeadOfDepartment,
        Role::CommercialDirector => pb::Role::CommercialDirector,
        Role::Accountant => pb::Role::Accountant,
        Role::Auditor => pb::Role::Auditor,
        Role::Administrator => pb::Role::Administrator,
        Role::ServiceAccount => pb::Role::ServiceAccount,
    }
}
