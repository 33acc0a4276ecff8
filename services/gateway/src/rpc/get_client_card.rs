//! All that is known of a client, from three services.

use otdel_api::gateway as pb;
use otdel_runtime::{call::Call, violations::Violations};
use otdel_types::ClientId;

use super::{card::Asked, section::Section};
use crate::{Gateway, error::Error};

/// Asks leads, contracts and billing at once. What one of them does not give is left out and named; only where leads
/// says that there is no such client, there is no card.
pub(crate) async fn get_client_card(
    app: Gateway,
    call: Call<pb::GetClientCardRequest>,
) -> Result<pb::GetClientCardResponse, Error> {
    let client = read(&call.msg)?;
    let ask = Asked { app: &app, call: &call, client };
    let (who, deals, contracts, orders, invoices, owed) =
        tokio::join!(ask.client(), ask.deals(), ask.contracts(), ask.orders(), ask.invoices(), ask.receivables(),);
    if matches!(who, Section::NotFound) {
        return Err(Error::NoSuchClient(client));
    }
    let mut missing = Vec::new();
    let who = who.or_note(&mut missing);
    let (deals, contracts) = (deals.or_note(&mut missing), contracts.or_note(&mut missing));
    let (orders, invoices) = (orders.or_note(&mut missing), invoices.or_note(&mut missing));
    let owed = owed.or_note(&mut missing);
    Ok(pb::GetClientCardResponse {
        client: client.to_string(),
        display_name: who.display_name,
        phone: who.phone,
        email: who.email,
        owner: who.owner,
        deals,
        contracts,
        orders,
        invoices,
        outstanding: owed.iter().filter_map(|owed| owed.outstanding.clone()).collect(),
        advance: owed.iter().filter_map(|owed| owed.advance.clone()).collect(),
        missing,
    })
}

fn read(msg: &pb::GetClientCardRequest) -> Result<ClientId, Violations> {
    let mut wrong = Violations::default();
    wrong.name("client", &msg.client).ok_or(wrong)
}
