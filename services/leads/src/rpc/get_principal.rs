use otdel_api::leads as pb;
use otdel_runtime::call::Call;

use super::{parse, present};
use crate::{
    Leads,
    error::{Error, Resource},
    store,
};

/// Returns a principal.
pub(crate) async fn get_principal(
    app: Leads,
    call: Call<pb::GetPrincipalRequest>,
) -> Result<pb::GetPrincipalResponse, Error> {
    let id = parse::named(&call.msg.name)?;

    let mut db = app.core.db.acquire().await?;
    let principal = store::principals::get(&mut db, id).await?.ok_or(Error::NotFound(Resource::Principal(id)))?;
    Ok(pb::GetPrincipalResponse { principal: Some(present::principal(&principal)) })
}
