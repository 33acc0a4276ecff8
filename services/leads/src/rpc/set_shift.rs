use otdel_api::leads as pb;
use otdel_runtime::{
    call::Call,
    idempotency,
    outbox::{self, Fact},
    violations::Violations,
};
use otdel_types::PersonId;

use super::present;
use crate::{
    Leads,
    domain::{staff::MOST_CAPACITY, version},
    error::{Error, Resource},
    store,
};

/// Puts a person whom the caller schedules on or off shift. What waits in the pool is given out by the worker.
pub(crate) async fn set_shift(app: Leads, call: Call<pb::SetShiftRequest>) -> Result<pb::SetShiftResponse, Error> {
    let ask = SetShift::try_from(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim(&mut tx, &call).await? {
        return Ok(answered);
    }
    let person = store::people::lock(&mut tx, call.scope(), ask.person).await?;
    let person = person.ok_or(Error::NotFound(Resource::Person(ask.person)))?;

    version::expect(person.version, ask.seen)?;
    let person = person.set_shift(ask.on_shift, ask.capacity, call.now);

    store::people::save_shift(&mut tx, &person).await?;
    let fact = pb::ShiftSet { person: person.id.to_string(), on_shift: person.on_shift, capacity: person.capacity };
    let fact = Fact::<pb::LeadEvent>::about(person.id, fact).touches(person.team).changed(["on_shift", "capacity"]);
    let change = outbox::append(&mut tx, &call.act(), fact).await?;
    let reply = pb::SetShiftResponse { person: Some(present::person(&person)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.core.commit(tx).await?;
    Ok(reply)
}

struct SetShift {
    person: PersonId,
    seen: Option<i64>,
    on_shift: bool,
    capacity: i32,
}

impl TryFrom<&pb::SetShiftRequest> for SetShift {
    type Error = Violations;

    fn try_from(msg: &pb::SetShiftRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let request = wrong.request_id(&msg.request_id);
        let person = wrong.name("name", &msg.name);
        let seen = wrong.etag("etag", &msg.etag);
        if !(0..=MOST_CAPACITY).contains(&msg.capacity) {
            wrong.add("capacity", format_args!("must be 0 to {MOST_CAPACITY}"));
        }
        match (request, person, seen) {
            (Some(_), Some(person), Some(seen)) => {
                wrong.into_result().map(|()| Self { person, seen, on_shift: msg.on_shift, capacity: msg.capacity })
            }
            _ => Err(wrong),
        }
    }
}
