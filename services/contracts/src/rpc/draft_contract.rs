use otdel_api::contracts as pb;
use otdel_runtime::{
    call::Call,
    convert::money,
    idempotency::{self, Keep},
    outbox,
    violations::Violations,
};
use otdel_types::{Currency, DealId};

use super::{open_deal::open_deal, present, read};
use crate::{
    Contracts,
    domain::{
        contract::NewContract,
        document::Content,
        line::{Lines, Offer},
    },
    error::Error,
    store,
};

/// Drafts a contract for an open deal.
///
/// Leads is asked for the deal, with the caller's token, before the transaction begins. The first answer is looked for
/// before that, so that a replay does not need leads; the claim in the transaction still decides.
pub(super) async fn draft_contract(
    app: Contracts,
    call: Call<pb::DraftContractRequest>,
) -> Result<pb::DraftContractResponse, Error> {
    let ask = DraftContract::try_from(&call.msg)?;
    let lines = Lines::price(ask.offers, ask.currency)?;
    if let Some(answered) = first_answer(&app, &call).await? {
        return Ok(answered);
    }
    let deal = open_deal(&app, &call, ask.deal).await?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim_for(&mut tx, &call, Keep::Forever).await? {
        return Ok(answered);
    }
    let content = Content { deal: deal.deal, client: deal.client, lines };
    let new = NewContract::draft(content, read::actor(&call.principal), call.now);

    store::access::note_answer(&mut tx, &deal).await?;
    let number = store::contracts::insert(&mut tx, &new, app.business_year(call.now)).await?;
    let contract = new.numbered(number);
    let fact = pb::ContractDrafted {
        contract: contract.id.to_string(),
        deal: deal.deal.to_string(),
        client: deal.client.to_string(),
        gross: Some(money(contract.gross())),
        document_hash: contract.document_hash.to_string(),
    };
    let change = outbox::append(&mut tx, &call.act(), present::about_contract(&contract, fact)).await?;
    let reply = pb::DraftContractResponse { contract: Some(present::contract(&contract)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.core.commit(tx).await?;
    Ok(reply)
}

/// The answer to an earlier call with this id. Its connection is given back before leads is asked.
async fn first_answer(
    app: &Contracts,
    call: &Call<pb::DraftContractRequest>,
) -> Result<Option<pb::DraftContractResponse>, Error> {
    let mut db = app.core.db.acquire().await?;
    Ok(idempotency::answered(&mut db, call).await?)
}

struct DraftContract {
    deal: DealId,
    currency: Currency,
    offers: Vec<Offer>,
}

impl TryFrom<&pb::DraftContractRequest> for DraftContract {
    type Error = Violations;

    fn try_from(msg: &pb::DraftContractRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let request = wrong.request_id(&msg.request_id);
        let deal = wrong.name("deal", &msg.deal);
        let currency = wrong.currency("currency_code", &msg.currency_code);
        let offers = read::lines(&mut wrong, &msg.lines, 1);
        match (request, deal, currency, offers) {
            (Some(_), Some(deal), Some(currency), Some(offers)) => Ok(Self { deal, currency, offers }),
            _ => Err(wrong),
        }
    }
}
