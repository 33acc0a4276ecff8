use otdel_api::leads as pb;
use otdel_runtime::{
    call::Call,
    idempotency,
    outbox::{self, Fact},
    scope::Scope,
    violations::Violations,
};
use otdel_types::{PersonId, TeamId};
use sqlx::PgConnection;

use super::{grants, present};
use crate::{
    Leads,
    domain::principal::{Draft, Principal},
    error::{Error, Resource},
    store,
};

/// Makes a principal for a person or a system.
pub(crate) async fn create_principal(
    app: Leads,
    call: Call<pb::CreatePrincipalRequest>,
) -> Result<pb::CreatePrincipalResponse, Error> {
    let draft = parse(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim(&mut tx, &call).await? {
        return Ok(answered);
    }
    store::directory::bump(&mut tx).await?;
    expect_known(&mut tx, draft.person, &draft.teams).await?;

    let principal = Principal::admit(draft, call.now);

    store::principals::insert(&mut tx, &principal).await.map_err(taken)?;
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

/// A subject is one principal's.
pub(super) fn taken(error: sqlx::Error) -> Error {
    if store::violates(&error, "principal_subject") { Error::SubjectTaken } else { error.into() }
}

/// Refuses a principal of a person or of teams that do not exist.
pub(super) async fn expect_known(
    db: &mut PgConnection,
    person: Option<PersonId>,
    teams: &[TeamId],
) -> Result<(), Error> {
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
    let draft = Draft {
        display_name: wrong.text("principal.display_name", asked.display_name.trim(), 200).unwrap_or_default(),
        person: wrong.optional_name("principal.person", &asked.person).flatten(),
        roles: grants::roles(&mut wrong, "principal.roles", &asked.roles),
        permissions: grants::permissions(&mut wrong, "principal.permissions", &asked.permissions),
        teams: grants::teams(&mut wrong, "principal.teams", &asked.teams),
        subject: grants::subject(&mut wrong, "principal.subject", &asked.subject),
        calls_per_second: grants::calls(&mut wrong, "principal.calls_per_second", asked.calls_per_second),
    };
    grants::expect_sound(&mut wrong, "principal", &draft);
    wrong.into_result().map(|()| draft)
}
