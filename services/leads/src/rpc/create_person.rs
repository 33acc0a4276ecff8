use otdel_api::leads as pb;
use otdel_runtime::{
    call::Call,
    idempotency,
    outbox::{self, Fact},
    violations::Violations,
};
use otdel_types::TeamId;

use super::present;
use crate::{
    Leads,
    domain::staff::Person,
    error::{Error, Resource},
    store,
};

/// Makes a person in a team, off shift.
pub(crate) async fn create_person(
    app: Leads,
    call: Call<pb::CreatePersonRequest>,
) -> Result<pb::CreatePersonResponse, Error> {
    let CreatePerson { display_name, team } = CreatePerson::try_from(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim(&mut tx, &call).await? {
        return Ok(answered);
    }
    if let Some(missing) = store::teams::missing(&mut tx, &[team]).await? {
        return Err(Error::NoSuch(Resource::Team(missing)));
    }

    let person = Person::join(display_name, team, call.now);

    store::people::insert(&mut tx, &person).await?;
    let fact = pb::PersonCreated { person: person.id.to_string(), team: person.team.to_string() };
    let fact = Fact::<pb::LeadEvent>::about(person.id, fact).touches(person.team);
    let change = outbox::append(&mut tx, &call.act(), fact).await?;
    let reply = pb::CreatePersonResponse { person: Some(present::person(&person)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.core.commit(tx).await?;
    Ok(reply)
}

struct CreatePerson {
    display_name: String,
    team: TeamId,
}

impl TryFrom<&pb::CreatePersonRequest> for CreatePerson {
    type Error = Violations;

    fn try_from(msg: &pb::CreatePersonRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let request = wrong.request_id(&msg.request_id);
        let person = wrong.message("person", msg.person.as_ref()).cloned().unwrap_or_default();
        let display_name = wrong.text("person.display_name", person.display_name.trim(), 200);
        let team = wrong.name("person.team", &person.team);
        match (request, display_name, team) {
            (Some(_), Some(display_name), Some(team)) => wrong.into_result().map(|()| Self { display_name, team }),
            _ => Err(wrong),
        }
    }
}
