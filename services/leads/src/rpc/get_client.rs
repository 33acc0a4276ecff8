use otdel_api::leads as pb;
use otdel_runtime::call::Call;

use super::{parse, present};
use crate::{
    Leads,
    error::{Error, Resource},
    store,
};

/// Returns a client that the caller reaches.
pub(crate) async fn get_client(app: Leads, call: Call<pb::GetClientRequest>) -> Result<pb::GetClientResponse, Error> {
    let id = parse::named(&call.msg.name)?;

    let mut db = app.core.db.acquire().await?;
    let client = store::clients::get(&mut db, call.scope(), id).await?;
    let client = client.ok_or(Error::NotFound(Resource::Client(id)))?;
    Ok(pb::GetClientResponse { client: Some(present::client(&client, present::Sight::of(&call.principal))) })
}
