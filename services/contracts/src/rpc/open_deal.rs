//! Whether a deal is one to make documents for: leads is asked before a contract is drafted, the feed tells what came
//! later.

use otdel_api::{
    Mutation,
    leads::{Deal, GetDealRequest, deal::State, deal_service_client::DealServiceClient},
};
use otdel_runtime::{call::Call, fault::Fault};
use otdel_types::{BadName, DealId};
use sqlx::PgConnection;
use tonic::{Code, Status};

use crate::{
    Contracts,
    error::Error,
    store::access::{self, Access},
};

/// Asks leads, with the caller's token and within the caller's time, who answers for an open deal that the caller
/// reaches. Whether the deal is still open when the contract commits is not promised: a deal that is lost meanwhile has
/// a draft that nobody can hand in.
pub(super) async fn open_deal<T: Mutation>(app: &Contracts, call: &Call<T>, id: DealId) -> Result<Access, Error> {
    let ask = call.forward(GetDealRequest { name: id.to_string() });
    let answer = DealServiceClient::new(app.peers.leads.clone()).get_deal(ask).await;
    let deal = answer.map_err(|status| refused(id, &status))?.into_inner().deal.unwrap_or_default();
    let access = read(id, &deal).map_err(Fault::internal)?;
    // What the caller may read may be more than what the caller may draft for.
    if !call.scope().reaches(Some(access.owner), Some(access.team)) {
        return Err(Error::NoSuchDeal(id));
    }
    match deal.state() {
        State::Open => Ok(access),
        state => Err(Error::DealEnded { deal: id, state }),
    }
}

/// Refuses to go on with a deal that was lost, as far as the feed tells: a moment after leads has answered.
pub(super) async fn refuse_lost(db: &mut PgConnection, deal: DealId) -> Result<(), Error> {
    if access::is_lost(db, deal).await? {
        return Err(Error::DealEnded { deal, state: State::Lost });
    }
    Ok(())
}

fn read(id: DealId, deal: &Deal) -> Result<Access, BadName> {
    Ok(Access { deal: id, client: deal.client.parse()?, owner: deal.owner.parse()?, team: deal.team.parse()? })
}

/// What a refusal of leads means here. Nothing was written, so whatever passes may be tried again.
fn refused(id: DealId, status: &Status) -> Error {
    match status.code() {
        Code::NotFound => Error::NoSuchDeal(id),
        Code::PermissionDenied => {
            let text = "the caller may not read the deal";
            Fault::new(Code::PermissionDenied, "PERMISSION_DENIED", text).with("permission", "deals.read").into()
        }
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Cancelled => {
            Fault::unavailable("SERVICE_UNREACHABLE", "leads cannot be asked for the deal")
                .with("service", "leads")
                .into()
        }
        _ => Fault::internal(status.clone()).into(),
    }
}
