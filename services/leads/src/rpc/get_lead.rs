use otdel_api::leads as pb;
use otdel_runtime::call::Call;

use super::{parse, present};
use crate::{
    Leads,
    error::{Error, Resource},
    store,
};

/// Returns a lead that the caller reaches.
pub(crate) async fn get_lead(app: Leads, call: Call<pb::GetLeadRequest>) -> Result<pb::GetLeadResponse, Error> {
    let id = parse::named(&call.msg.name)?;

    let mut db = app.core.db.acquire().await?;
    let lead = store::leads::get(&mut db, call.scope(), id).await?.ok_or(Error::NotFound(Resource::Lead(id)))?;
    Ok(pb::GetLeadResponse { lead: Some(present::lead(&lead, present::Sight::of(&call.principal))) })
}
