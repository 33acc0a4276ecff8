use otdel_api::contracts as pb;
use otdel_runtime::{call::Call, violations::Violations};
use otdel_types::OrderId;

use super::present;
use crate::{Contracts, error::Error, store};

/// Returns an order that the caller reaches.
pub(super) async fn get_order(app: Contracts, call: Call<pb::GetOrderRequest>) -> Result<pb::GetOrderResponse, Error> {
    let mut wrong = Violations::default();
    let id: Option<OrderId> = wrong.name("name", &call.msg.name);
    let Some(id) = id else { return Err(wrong.into()) };

    let mut db = app.core.db.acquire().await?;
    let order = store::orders::get(&mut db, call.scope(), id).await?.ok_or(Error::NoSuchOrder(id))?;
    Ok(pb::GetOrderResponse { order: Some(present::order(&order)) })
}
