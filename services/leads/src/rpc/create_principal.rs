use otdel_api::leads as pb;
use otdel_runtime::{
    auth::PERMISSIONS,
    call::Call,
    idempotency,
    outbox::{self, Fact},
    scope::Scope,
    violations::Violations,
};
use otdel_types::{PersonId, TeamId};
use sqlx::PgConnection;

use super::present;
use crate::{
    Leads,
    domain::principal::{Draft, MOST_GRANTS, Principal, Role},
    error::{Error, Resource},
    store,
};

/// Makes a principal for a person or a system.
pub(crate) async fn create_principal(
    app: Leads,
    call: Call<pb::CreatePrincipalRequest>,
) -> Result<pb::CreatePrincipalResponse, Error> {
    let draft = parse(&call.msg)?;

    let mut tx = app.core.db.begin().await?;
    if let Some(answered) = idempotency::claim(&mut tx, &call).await? {
        return Ok(answered);
    }
    store::directory::bump(&mut tx).await?;
    expect_known(&mut tx, draft.person, &draft.teams).await?;

    let principal = Principal::admit(draft, call.now);

    store::principals::insert(&mut tx, &principal, None).await?;
    let person = present::name(principal.draft.person);
    let fact = pb::PrincipalCreated { principal: principal.id.to_string(), person: person.clone() };
    let fact = Fact::<pb::LeadEvent>::about(principal.id, fact).touches(person);
    let change = outbox::append(&mut tx, &call.act(), fact).await?;
    let reply =
        pb::CreatePrincipalResponse { principal: Some(present::principal(&principal)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.commit_directory(tx).await?;
    Ok(reply)
}

/// Refuses a principal of a person or of teams that do not exist.
async fn expect_known(db: &mut PgConnection, person: Option<PersonId>, teams: &[TeamId]) -> Result<(), Error> {
    if let Some(person) = person
        && store::people::get(db, &Scope::all(), person).await?.is_none()
    {
        return Err(Error::NoSuch(Resource::Person(person)));
    }
    match store::teams::missing(db, teams).await? {
        Some(missing) => Err(Error::NoSuch(Resource::Team(missing))),
        None => Ok(()),
    }
}

fn parse(msg: &pb::CreatePrincipalRequest) -> Result<Draft, Violations> {
    let mut wrong = Violations::default();
    wrong.request_id(&msg.request_id);
    let asked = wrong.message("principal", msg.principal.as_ref()).cloned().unwrap_or_default();
    let display_name = wrong.text("principal.display_name", asked.display_name.trim(), 200);
    let person = wrong.optional_name("principal.person", &asked.person);
    let roles = each(&mut wrong, "principal.roles", &asked.roles, |wrong, field, value| {
        wrong.choice(field, *value).and_then(role)
    });
    let permissions = each(&mut wrong, "principal.permissions", &asked.permissions, |wrong, field, name| {
        let known = PERMISSIONS.contains(&name.as_str()).then(|| name.clone());
        wrong.take(field, known.ok_or("is not a permission"))
    });
    let teams = each(&mut wrong, "principal.teams", &asked.teams, |wrong, field, name| wrong.name(field, name));
    let draft =
        Draft { display_name: display_name.unwrap_or_default(), person: person.flatten(), roles, permissions, teams };
    for (field, text) in draft.faults() {
        wrong.add(format!("principal.{field}"), text);
    }
    wrong.into_result().map(|()| draft)
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
