//! Who the caller is, as the directory has it.

use otdel_api::gateway as pb;
use otdel_runtime::call::Call;

use crate::{Gateway, error::Error};

/// Tells who the caller is and what it may do. Needs no other service.
pub(crate) async fn get_caller(
    _app: Gateway,
    call: Call<pb::GetCallerRequest>,
) -> Result<pb::GetCallerResponse, Error> {
    let caller = &call.principal;
    Ok(pb::GetCallerResponse {
        principal: caller.name.clone(),
        person: caller.person.map(|person| person.to_string()).unwrap_or_default(),
        permissions: caller.permissions().map(str::to_owned).collect(),
    })
}
