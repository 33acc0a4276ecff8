use otdel_api::leads as pb;
use otdel_runtime::call::Call;

use super::{parse, present};
use crate::{
    Leads,
    error::{Error, Resource},
    store,
};

/// Returns a person.
pub(crate) async fn get_person(app: Leads, call: Call<pb::GetPersonRequest>) -> Result<pb::GetPersonResponse, Error> {
    let id = parse::named(&call.msg.name)?;

    let mut db = app.core.db.acquire().await?;
    let person = store::people::get(&mut db, call.scope(), id).await?.ok_or(Error::NotFound(Resource::Person(id)))?;
    Ok(pb::GetPersonResponse { person: Some(present::person(&person)) })
}
