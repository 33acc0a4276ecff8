//! Contracts and orders as people write, approve, sign and confirm them: one call each, under a request id of its own.

use otdel_api::{
    common::{Decimal, Money},
    contracts as ct,
};
use tonic::Status;

use crate::{door::Door, eventually::known, staff::id};

/// Something to sell, in pieces.
pub fn line(quantity: &str, unit_price: &str, vat_rate: ct::VatRate) -> ct::NewLine {
    let decimal = |value: &str| Some(Decimal { value: value.to_owned() });
    ct::NewLine {
        display_name: "Стеллаж".into(),
        quantity: decimal(quantity),
        unit_code: "pcs".into(),
        unit_price: decimal(unit_price),
        vat_rate: vat_rate.into(),
        vat_included: false,
    }
}

/// One thing that costs so much, outside VAT, so that the price is the total.
pub fn price(total: &str) -> Vec<ct::NewLine> {
    vec![line("1", total, ct::VatRate::None)]
}

/// A sum in whole minor units of its currency, which is compared and added more easily.
pub fn minor(money: Option<&Money>) -> i64 {
    let money = money.expect("a sum");
    otdel_types::Money::from_units_nanos(&money.currency_code, money.units, money.nanos).expect("a sum").minor
}

/// Drafts a contract in roubles.
pub async fn draft(by: &Door, deal: &str, lines: Vec<ct::NewLine>) -> Result<ct::Contract, Status> {
    draft_in(by, deal, "RUB", lines).await
}

/// Drafts a contract in a currency.
pub async fn draft_in(by: &Door, deal: &str, currency: &str, lines: Vec<ct::NewLine>) -> Result<ct::Contract, Status> {
    let request =
        ct::DraftContractRequest { request_id: id(), deal: deal.into(), currency_code: currency.into(), lines };
    known(|| async { by.contracts().draft_contract(request.clone()).await }).await.map(|answer| some(answer.contract))
}

/// Replaces a contract's lines.
pub async fn revise(by: &Door, contract: &str, lines: Vec<ct::NewLine>) -> Result<ct::Contract, Status> {
    let request = ct::ReviseContractRequest { request_id: id(), name: contract.into(), etag: String::new(), lines };
    known(|| async { by.contracts().revise_contract(request.clone()).await }).await.map(|answer| some(answer.contract))
}

/// Hands a contract in for approval.
pub async fn hand_in(by: &Door, contract: &str) -> Result<ct::Contract, Status> {
    let request = ct::RequestApprovalRequest { request_id: id(), name: contract.into(), etag: String::new() };
    known(|| async { by.contracts().request_approval(request.clone()).await }).await.map(|answer| some(answer.contract))
}

/// Approves a contract as it was read.
pub async fn approve(by: &Door, read: &ct::Contract) -> Result<ct::Contract, Status> {
    let request = ct::ApproveContractRequest {
        request_id: id(),
        name: read.name.clone(),
        etag: String::new(),
        document_hash: read.document_hash.clone(),
    };
    known(|| async { by.contracts().approve_contract(request.clone()).await }).await.map(|answer| some(answer.contract))
}

/// Sends a contract back.
pub async fn reject(by: &Door, contract: &str) -> Result<ct::Contract, Status> {
    let reason = "Дорого".into();
    let request = ct::RejectContractRequest { request_id: id(), name: contract.into(), etag: String::new(), reason };
    known(|| async { by.contracts().reject_contract(request.clone()).await }).await.map(|answer| some(answer.contract))
}

/// Signs a contract.
pub async fn sign(by: &Door, contract: &str) -> Result<ct::Contract, Status> {
    let request = ct::SignContractRequest { request_id: id(), name: contract.into(), etag: String::new() };
    known(|| async { by.contracts().sign_contract(request.clone()).await }).await.map(|answer| some(answer.contract))
}

/// Drafts a contract and takes it all the way to its signature.
pub async fn signed(author: &Door, approver: &Door, deal: &str, lines: Vec<ct::NewLine>) -> ct::Contract {
    let contract = draft(author, deal, lines).await.expect("a draft");
    let contract = hand_in(author, &contract.name).await.expect("a contract in review");
    approve(approver, &contract).await.expect("an approval");
    sign(author, &contract.name).await.expect("a signature")
}

/// Makes an order under a contract; without lines, of the contract's.
pub async fn order(by: &Door, contract: &str, lines: Vec<ct::NewLine>) -> Result<ct::Order, Status> {
    let request = ct::CreateOrderRequest { request_id: id(), contract: contract.into(), lines };
    known(|| async { by.orders().create_order(request.clone()).await }).await.map(|answer| some(answer.order))
}

/// Confirms an order.
pub async fn confirm(by: &Door, order: &str) -> Result<ct::Order, Status> {
    let request = ct::ConfirmOrderRequest { request_id: id(), name: order.into(), etag: String::new() };
    known(|| async { by.orders().confirm_order(request.clone()).await }).await.map(|answer| some(answer.order))
}

/// Cancels an order.
pub async fn cancel(by: &Door, order: &str) -> Result<ct::Order, Status> {
    let request = ct::CancelOrderRequest { request_id: id(), name: order.into(), etag: String::new() };
    known(|| async { by.orders().cancel_order(request.clone()).await }).await.map(|answer| some(answer.order))
}

/// A contract as it is now.
pub async fn contract(by: &Door, name: &str) -> ct::Contract {
    let request = ct::GetContractRequest { name: name.into() };
    let answer = known(|| async { by.contracts().get_contract(request.clone()).await }).await;
    some(answer.expect("a contract").contract)
}

fn some<T>(resource: Option<T>) -> T {
    resource.expect("an answer names its resource")
}
