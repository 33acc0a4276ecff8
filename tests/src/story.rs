//! The story that every suite must run: from a request to the money, step by step, as a client tells it.
//!
//! Each step has one request id for ever, so that a step whose answer was lost can be sent again.

use otdel_api::{
    billing as bl,
    common::{Date, Decimal, Money},
    contracts as ct, leads as pb,
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    eventually::eventually,
    oracle::Oracle,
    refusal::reason,
    staff::{Department, Somebody},
};

/// What is sold in the story: 3 × 10.03 and 22 % on top, three such lines; with VAT rounded on each line.
pub const LINES: usize = 3;
/// What is to be paid for it, in units and nanos.
pub const GROSS: (i64, i32) = (110, 130_000_000);

/// The steps, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A request arrives.
    Submit,
    /// Its owner reaches the requester.
    Contact,
    /// It becomes a client and a deal.
    Convert,
    /// The deal says what is needed and what it is worth.
    Describe,
    /// The deal enters the stage `proposal`.
    Propose,
    /// A contract is drafted.
    Draft,
    /// It is handed in.
    RequestApproval,
    /// Somebody else approves it.
    Approve,
    /// It is signed.
    Sign,
    /// The deal enters the stage `contract`.
    EnterContract,
    /// An order is made.
    Order,
    /// It is confirmed, and its invoice is issued.
    Confirm,
    /// The deal enters the stage `payment`.
    EnterPayment,
    /// A payment is recorded that pays a part at once.
    PayPart,
    /// A second payment is recorded.
    Pay,
    /// It pays the rest.
    Allocate,
    /// The deal enters the stage `paid`.
    EnterPaid,
    /// The deal is won.
    Win,
}

/// All steps, in their order.
pub const STEPS: [Step; 18] = [
    Step::Submit,
    Step::Contact,
    Step::Convert,
    Step::Describe,
    Step::Propose,
    Step::Draft,
    Step::RequestApproval,
    Step::Approve,
    Step::Sign,
    Step::EnterContract,
    Step::Order,
    Step::Confirm,
    Step::EnterPayment,
    Step::PayPart,
    Step::Pay,
    Step::Allocate,
    Step::EnterPaid,
    Step::Win,
];

/// One telling of the story.
#[derive(Clone)]
pub struct Story {
    /// Tells this telling from others.
    seed: Uuid,
    staff: Department,
    /// What was acknowledged.
    pub oracle: Oracle,
    /// The lead, once it is there.
    pub lead: String,
    /// The lead's owner.
    pub owner: String,
    /// The client.
    pub client: String,
    /// The deal.
    pub deal: String,
    /// The contract.
    pub contract: String,
    hash: String,
    /// The order.
    pub order: String,
    /// The invoice.
    pub invoice: String,
    /// The second payment.
    pub payment: String,
    /// The last change.
    pub change: String,
    /// The suite's date, for payments.
    pub today: Date,
}

/// A sum in roubles.
pub fn roubles(units: i64, nanos: i32) -> Money {
    Money { currency_code: "RUB".into(), units, nanos }
}

impl Story {
    /// A new telling by these people, on this date of the business zone.
    pub fn new(staff: &Department, today: Date) -> Self {
        Self {
            seed: Uuid::now_v7(),
            staff: staff.clone(),
            oracle: Oracle::default(),
            lead: String::new(),
            owner: String::new(),
            client: String::new(),
            deal: String::new(),
            contract: String::new(),
            hash: String::new(),
            order: String::new(),
            invoice: String::new(),
            payment: String::new(),
            change: String::new(),
            today,
        }
    }

    /// Tells the whole story.
    pub async fn tell(&mut self) {
        for step in STEPS {
            self.step(step).await;
        }
    }

    /// Tells the story up to a step, that one left out.
    pub async fn tell_until(&mut self, until: Step) {
        for step in STEPS.into_iter().take_while(|step| *step != until) {
            self.step(step).await;
        }
    }

    /// The manager who owns the lead.
    pub fn manager(&self) -> &Somebody {
        if self.owner == self.staff.colleague.person { &self.staff.colleague } else { &self.staff.manager }
    }

    /// The request id of a step.
    pub fn request_id(&self, step: Step) -> String {
        Uuid::from_u128(self.seed.as_u128() ^ ((step as u128 + 1) << 8)).to_string()
    }

    /// Tells one step, until it is acknowledged.
    pub async fn step(&mut self, step: Step) {
        match step {
            Step::Submit => self.submit().await,
            Step::Contact => self.contact().await,
            Step::Convert => self.convert().await,
            Step::Describe => self.describe().await,
            Step::Propose => self.enter(step, "proposal").await,
            Step::Draft => self.draft().await,
            Step::RequestApproval => self.request_approval().await,
            Step::Approve => self.approve().await,
            Step::Sign => self.sign().await,
            Step::EnterContract => self.enter(step, "contract").await,
            Step::Order => self.make_order().await,
            Step::Confirm => self.confirm().await,
            Step::EnterPayment => self.enter(step, "payment").await,
            Step::PayPart => self.pay_part().await,
            Step::Pay => self.pay().await,
            Step::Allocate => self.allocate().await,
            Step::EnterPaid => self.enter(step, "paid").await,
            Step::Win => self.win().await,
        }
    }

    async fn submit(&mut self) {
        let request = pb::SubmitLeadRequest {
            request_id: self.request_id(Step::Submit),
            channel: pb::Channel::Site.into(),
            origin: "yandex_direct".into(),
            source_ref: format!("form-{}", self.seed),
            contact: Some(pb::LeadContact {
                display_name: "ООО «Ёжик и партнёры»".into(),
                email: format!("{}@example.org", self.seed),
                ..Default::default()
            }),
            text: "Сколько стоит ваша продукция?".into(),
            receive_time: None,
        };
        let door = self.staff.director.door.clone();
        let send = move || {
            let (door, request) = (door.clone(), request.clone());
            async move { door.leads().submit_lead(request).await }
        };
        let answer = self.oracle.acknowledge("submit", send, never).await;
        let lead = answer.lead.expect("a lead");
        (self.lead, self.owner, self.change) = (lead.name, lead.owner, answer.change);
        assert!(!self.owner.is_empty(), "the lead has an owner at once");
    }

    async fn contact(&mut self) {
        let request = pb::LogContactRequest {
            request_id: self.request_id(Step::Contact),
            name: self.lead.clone(),
            etag: String::new(),
            kind: pb::ContactKind::Call.into(),
            outcome: pb::ContactOutcome::Reached.into(),
            note: "перезвонить завтра".into(),
        };
        let door = self.manager().door.clone();
        let send = move || {
            let (door, request) = (door.clone(), request.clone());
            async move { door.leads().log_contact(request).await }
        };
        self.change = self.oracle.acknowledge("contact", send, never).await.change;
    }

    async fn convert(&mut self) {
        let request = pb::ConvertLeadRequest {
            request_id: self.request_id(Step::Convert),
            name: self.lead.clone(),
            ..Default::default()
        };
        let door = self.manager().door.clone();
        let send = move || {
            let (door, request) = (door.clone(), request.clone());
            async move { door.leads().convert_lead(request).await }
        };
        let answer = self.oracle.acknowledge("convert", send, never).await;
        self.client = answer.client.expect("a client").name;
        self.deal = answer.deal.expect("a deal").name;
        self.change = answer.change;
    }

    async fn describe(&mut self) {
        let request = pb::DescribeDealRequest {
            request_id: self.request_id(Step::Describe),
            name: self.deal.clone(),
            etag: String::new(),
            need: "Оснастить склад до конца квартала".into(),
            amount: Some(roubles(GROSS.0, GROSS.1)),
        };
        let door = self.manager().door.clone();
        let send = move || {
            let (door, request) = (door.clone(), request.clone());
            async move { door.deals().describe_deal(request).await }
        };
        self.change = self.oracle.acknowledge("describe", send, never).await.change;
    }

    /// Enters a stage, waiting for the fact that opens its gate.
    async fn enter(&mut self, step: Step, stage: &str) {
        let request = pb::AdvanceStageRequest {
            request_id: self.request_id(step),
            name: self.deal.clone(),
            etag: String::new(),
            stage: stage.into(),
        };
        let door = self.manager().door.clone();
        let send = move || {
            let (door, request) = (door.clone(), request.clone());
            async move { door.deals().advance_stage(request).await }
        };
        let answer = self.oracle.acknowledge(&format!("enter {stage}"), send, gate_is_shut).await;
        assert_eq!(answer.deal.expect("a deal").stage, stage);
        self.change = answer.change;
    }

    async fn draft(&mut self) {
        let line = |number: usize| ct::NewLine {
            display_name: format!("Стеллаж № {number}"),
            quantity: Some(Decimal { value: "3".into() }),
            unit_code: "pcs".into(),
            unit_price: Some(Decimal { value: "10.03".into() }),
            vat_rate: ct::VatRate::VatRate22.into(),
            vat_included: false,
        };
        let request = ct::DraftContractRequest {
            request_id: self.request_id(Step::Draft),
            deal: self.deal.clone(),
            currency_code: "RUB".into(),
            lines: (1..=LINES).map(line).collect(),
        };
        let door = self.manager().door.clone();
        let send = move || {
            let (door, request) = (door.clone(), request.clone());
            async move { door.contracts().draft_contract(request).await }
        };
        let answer = self.oracle.acknowledge("draft", send, never).await;
        let contract = answer.contract.expect("a contract");
        assert_eq!(contract.gross, Some(roubles(GROSS.0, GROSS.1)), "VAT is rounded on each line");
        (self.contract, self.hash, self.change) = (contract.name, contract.document_hash, answer.change);
    }

    async fn request_approval(&mut self) {
        let request = ct::RequestApprovalRequest {
            request_id: self.request_id(Step::RequestApproval),
            name: self.contract.clone(),
            etag: String::new(),
        };
        let door = self.manager().door.clone();
        let send = move || {
            let (door, request) = (door.clone(), request.clone());
            async move { door.contracts().request_approval(request).await }
        };
        self.change = self.oracle.acknowledge("request approval", send, never).await.change;
    }

    async fn approve(&mut self) {
        let request = ct::ApproveContractRequest {
            request_id: self.request_id(Step::Approve),
            name: self.contract.clone(),
            etag: String::new(),
            document_hash: self.hash.clone(),
        };
        let door = self.staff.head.door.clone();
        let send = move || {
            let (door, request) = (door.clone(), request.clone());
            async move { door.contracts().approve_contract(request).await }
        };
        // The head reaches the contract once contracts has read whose deal it is.
        self.change = self.oracle.acknowledge("approve", send, is_absent).await.change;
    }

    async fn sign(&mut self) {
        let request = ct::SignContractRequest {
            request_id: self.request_id(Step::Sign),
            name: self.contract.clone(),
            etag: String::new(),
        };
        let door = self.manager().door.clone();
        let send = move || {
            let (door, request) = (door.clone(), request.clone());
            async move { door.contracts().sign_contract(request).await }
        };
        self.change = self.oracle.acknowledge("sign", send, never).await.change;
    }

    async fn make_order(&mut self) {
        let request = ct::CreateOrderRequest {
            request_id: self.request_id(Step::Order),
            contract: self.contract.clone(),
            lines: vec![],
        };
        let door = self.manager().door.clone();
        let send = move || {
            let (door, request) = (door.clone(), request.clone());
            async move { door.orders().create_order(request).await }
        };
        let answer = self.oracle.acknowledge("order", send, never).await;
        (self.order, self.change) = (answer.order.expect("an order").name, answer.change);
    }

    async fn confirm(&mut self) {
        let request = ct::ConfirmOrderRequest {
            request_id: self.request_id(Step::Confirm),
            name: self.order.clone(),
            etag: String::new(),
        };
        let door = self.manager().door.clone();
        let send = move || {
            let (door, request) = (door.clone(), request.clone());
            async move { door.orders().confirm_order(request).await }
        };
        self.change = self.oracle.acknowledge("confirm", send, never).await.change;
        let door = self.staff.accountant.door.clone();
        let order = self.order.clone();
        let invoice = eventually("the invoice is issued", || async {
            let request = bl::ListInvoicesRequest { order: order.clone(), ..Default::default() };
            let list = door.invoices().list_invoices(request).await.map_err(|status| status.to_string())?.into_inner();
            list.invoices.into_iter().next().ok_or_else(|| "no invoice yet".to_owned())
        })
        .await;
        assert_eq!(invoice.gross, Some(roubles(GROSS.0, GROSS.1)));
        self.invoice = invoice.name;
    }

    async fn pay_part(&mut self) {
        let allocation = bl::Allocation { invoice: self.invoice.clone(), amount: Some(roubles(10, 130_000_000)) };
        let answer = self.record(Step::PayPart, roubles(10, 130_000_000), vec![allocation]).await;
        self.change = answer.change;
    }

    async fn pay(&mut self) {
        let answer = self.record(Step::Pay, roubles(120, 0), vec![]).await;
        (self.payment, self.change) = (answer.payment.expect("a payment").name, answer.change);
    }

    async fn record(&self, step: Step, amount: Money, allocations: Vec<bl::Allocation>) -> bl::RecordPaymentResponse {
        let request = bl::RecordPaymentRequest {
            request_id: self.request_id(step),
            client: self.client.clone(),
            amount: Some(amount),
            bank_ref: format!("bank-{}-{step:?}", self.seed),
            value_date: Some(self.today),
            allocations,
        };
        let door = self.staff.accountant.door.clone();
        let send = move || {
            let (door, request) = (door.clone(), request.clone());
            async move { door.payments().record_payment(request).await }
        };
        self.oracle.acknowledge(&format!("{step:?}"), send, is_absent).await
    }

    async fn allocate(&mut self) {
        let request = bl::AllocatePaymentRequest {
            request_id: self.request_id(Step::Allocate),
            name: self.payment.clone(),
            etag: String::new(),
            allocations: vec![bl::Allocation { invoice: self.invoice.clone(), amount: Some(roubles(100, 0)) }],
        };
        let door = self.staff.accountant.door.clone();
        let send = move || {
            let (door, request) = (door.clone(), request.clone());
            async move { door.payments().allocate_payment(request).await }
        };
        self.change = self.oracle.acknowledge("allocate", send, never).await.change;
    }

    async fn win(&mut self) {
        let request = pb::MarkWonRequest {
            request_id: self.request_id(Step::Win),
            name: self.deal.clone(),
            etag: String::new(),
            win_time: None,
        };
        let door = self.manager().door.clone();
        let send = move || {
            let (door, request) = (door.clone(), request.clone());
            async move { door.deals().mark_won(request).await }
        };
        self.change = self.oracle.acknowledge("win", send, never).await.change;
    }
}

fn never(_: &Status) -> bool {
    false
}

fn gate_is_shut(status: &Status) -> bool {
    reason(status) == (Code::FailedPrecondition, "GATE_SHUT".into())
}

/// A follower has not yet brought what makes the resource reachable.
fn is_absent(status: &Status) -> bool {
    status.code() == Code::NotFound || reason(status) == (Code::FailedPrecondition, "CLIENT_NOT_FOUND".into())
}
