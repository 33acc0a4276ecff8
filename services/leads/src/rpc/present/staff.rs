use otdel_api::leads as pb;
use otdel_runtime::convert::timestamp;

use crate::domain::staff::{Person, Team};

pub(crate) fn person(person: &Person) -> pb::Person {
    pb::Person {
        name: person.id.to_string(),
        display_name: person.display_name.clone(),
        team: person.team.to_string(),
        on_shift: person.on_shift,
        capacity: person.capacity,
        open_leads: person.open_leads,
        create_time: Some(timestamp(person.create_time)),
        update_time: Some(timestamp(person.update_time)),
        etag: person.version.to_string(),
    }
}

pub(crate) fn team(team: &Team) -> pb::Team {
    pb::Team {
        name: team.id.to_string(),
        display_name: team.display_name.clone(),
        region_code: team.region_code.clone(),
        create_time: Some(timestamp(team.create_time)),
    }
}
