use otdel_api::leads as pb;
use otdel_runtime::call::Call;

use super::{parse, present};
use crate::{
    Leads,
    error::{Error, Resource},
    store,
};

/// Returns an API key, never its digest.
pub(crate) async fn get_api_key(app: Leads, call: Call<pb::GetApiKeyRequest>) -> Result<pb::GetApiKeyResponse, Error> {
    let id = parse::named(&call.msg.name)?;

    let mut db = app.core.db.acquire().await?;
    let key = store::api_keys::get(&mut db, id).await?.ok_or(Error::NotFound(Resource::ApiKey(id)))?;
    Ok(pb::GetApiKeyResponse { api_key: Some(present::api_key(&key)) })
}
