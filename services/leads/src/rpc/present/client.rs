use otdel_api::leads as pb;
use otdel_runtime::convert::timestamp;

use super::Sight;
use crate::domain::client::Client;

pub(crate) fn client(client: &Client, sight: Sight) -> pb::Client {
    pb::Client {
        name: client.id.to_string(),
        display_name: sight.text(&client.display_name),
        phone: sight.text(&client.phone),
        email: sight.text(&client.email),
        owner: client.owner.to_string(),
        team: client.team.to_string(),
        create_time: Some(timestamp(client.create_time)),
        update_time: Some(timestamp(client.update_time)),
        etag: client.version.to_string(),
    }
}
