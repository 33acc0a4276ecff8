use otdel_api::leads as pb;
use otdel_runtime::call::Call;

use super::{parse, present};
use crate::{
    Leads,
    error::{Error, Resource},
    store,
};

/// Returns a deal that the caller reaches.
pub(crate) async fn get_deal(app: Leads, call: Call<pb::GetDealRequest>) -> Result<pb::GetDealResponse, Error> {
    let id = parse::named(&call.msg.name)?;

    let mut db = app.core.db.acquire().await?;
    let deal = store::deals::get(&mut db, call.scope(), id).await?.ok_or(Error::NotFound(Resource::Deal(id)))?;
    Ok(pb::GetDealResponse { deal: Some(present::deal(&deal, present::Sight::of(&call.principal))) })
}
