//! A request that is sent twice is done once, for every mutating RPC there is.

use std::collections::HashMap;

use futures_util::future::join_all;
use otdel_api::{billing as bl, common::Decimal, contracts as ct, leads as pb};
use otdel_tests::{
    door::Door,
    raw,
    refusal::{is_passing, reason},
    staff::{self, Department, id},
    story::{STEPS, Step, Story, roubles},
    suite::{Suite, Topology},
};
use prost::Message;
use prost_reflect::{DynamicMessage, MethodDescriptor, ReflectMessage as _, Value};
use tonic::Code;

/// A suite with a department, of which everything is.
pub struct World {
    pub suite: Suite,
    pub staff: Department,
}

/// A request that the suite accepts, and who may send it.
pub struct Valid {
    pub door: Door,
    pub request: Vec<u8>,
}

/// Every RPC that changes something.
pub fn mutations() -> Vec<MethodDescriptor> {
    let changes = |method: &MethodDescriptor| method.input().get_field_by_name("request_id").is_some();
    raw::methods(&raw::pool()).into_iter().filter(|method| raw::is_public(method) && changes(method)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_duplicates_of_any_mutation_get_one_answer_and_have_one_effect() {
    let suite = Suite::start(Topology::AllInOne).await;
    let staff = staff::department(&suite.admin).await;
    let world = World { suite, staff };
    let mutations = mutations();
    assert!(mutations.len() >= 30, "only {} mutations were found", mutations.len());
    let mut sent = HashMap::new();
    for method in &mutations {
        let path = raw::path(method);
        let valid =
            world.valid(method.name()).await.unwrap_or_else(|| panic!("no valid request is registered for {path}"));
        let request_id = request_id(method, &valid.request);
        duplicates_are_one(&path, &valid).await;
        reuse_is_refused(method, &path, &valid).await;
        sent.insert(request_id, path);
    }
    one_effect_each(&world.suite, &sent).await;
    world.suite.stop().await;
}

async fn duplicates_are_one(path: &str, valid: &Valid) {
    let calls = (0..8).map(|_| {
        let (door, path, request) = (valid.door.clone(), path.to_owned(), valid.request.clone());
        tokio::spawn(async move {
            loop {
                // A duplicate that waited too long for the first is told to come again.
                match raw::call(&door, &path, request.clone()).await {
                    Err(status) if is_passing(&status) => {}
                    outcome => return outcome,
                }
            }
        })
    });
    let answers: Vec<_> = join_all(calls).await.into_iter().map(|answer| answer.unwrap()).collect();
    let first = answers[0].as_ref().unwrap_or_else(|status| panic!("{path}: {status:?}"));
    for answer in &answers {
        let answer = answer.as_ref().unwrap_or_else(|status| panic!("{path}: {status:?}"));
        assert_eq!(answer, first, "{path}: answers differ");
    }
}

async fn reuse_is_refused(method: &MethodDescriptor, path: &str, valid: &Valid) {
    let mut other = DynamicMessage::decode(method.input(), valid.request.as_slice()).unwrap();
    assert!(change(&mut other), "{path}: nothing to change");
    let refused = raw::outcome(&valid.door, path, other.encode_to_vec()).await.unwrap_err();
    assert_eq!(reason(&refused), (Code::InvalidArgument, "REQUEST_ID_REUSED".into()), "{path}: {refused:?}");
}

/// Changes one field of a request so that it stays valid and is another one: a resource's id, or a text.
fn change(message: &mut DynamicMessage) -> bool {
    let fields: Vec<_> = message.descriptor().fields().filter(|field| field.name() != "request_id").collect();
    for field in &fields {
        if field.is_list() || field.is_map() || !message.has_field(field) {
            continue;
        }
        let mut value = message.get_field(field).into_owned();
        let changed = match &mut value {
            Value::String(text) => {
                *text = match text.rsplit_once('/') {
                    Some((collection, _)) => format!("{collection}/{}", uuid::Uuid::now_v7()),
                    None if field.name() == "document_hash" => text.chars().rev().collect::<String>(),
                    None => format!("{text}x"),
                };
                true
            }
            Value::Message(inner) if inner.descriptor().full_name() == "google.type.Money" => {
                inner.set_field_by_name("units", Value::I64(12_345));
                true
            }
            Value::Message(inner) if inner.descriptor().full_name().starts_with("otdel.") => change(inner),
            _ => false,
        };
        if changed {
            message.set_field(field, value);
            return true;
        }
    }
    false
}

fn request_id(method: &MethodDescriptor, request: &[u8]) -> String {
    let message = DynamicMessage::decode(method.input(), request).unwrap();
    message.get_field_by_name("request_id").unwrap().as_str().unwrap().to_owned()
}

/// Every request wrote each of its events once.
async fn one_effect_each(suite: &Suite, sent: &HashMap<String, String>) {
    let mut seen: HashMap<(String, String, String), usize> = HashMap::new();
    let mut note = |envelope: Option<otdel_api::event::Envelope>| {
        let envelope = envelope.unwrap();
        if sent.contains_key(&envelope.request_id) {
            *seen.entry((envelope.request_id, envelope.r#type, envelope.subject)).or_default() += 1;
        }
    };
    super::feed::numbered(suite).await;
    for event in super::feed::lead_events(&suite.admin).await {
        note(event.envelope);
    }
    for event in super::feed::contract_events(&suite.admin).await {
        note(event.envelope);
    }
    for event in super::feed::billing_events(&suite.admin).await {
        note(event.envelope);
    }
    for ((request, kind, subject), times) in &seen {
        assert_eq!(*times, 1, "{}: {kind} about {subject}", sent[request]);
    }
    for (request, path) in sent {
        assert!(seen.keys().any(|(id, _, _)| id == request), "{path} wrote no event");
    }
}

impl World {
    /// A story told up to a step, that one left out.
    async fn told_until(&self, until: Step) -> Story {
        let mut story = Story::new(&self.staff, self.suite.today().await);
        for step in STEPS.into_iter().take_while(|step| *step != until) {
            story.step(step).await;
        }
        story
    }

    /// A request that will be accepted, with everything that it needs in place. None: nobody has registered one.
    pub async fn valid(&self, method: &str) -> Option<Valid> {
        if let Some(valid) = self.valid_of_staff(method).await {
            return Some(valid);
        }
        if let Some(valid) = self.valid_of_leads(method).await {
            return Some(valid);
        }
        self.valid_of_money(method).await
    }

    async fn valid_of_staff(&self, method: &str) -> Option<Valid> {
        let admin = &self.suite.admin;
        let request = match method {
            "CreateTeam" => {
                let team = pb::Team { display_name: "Отдел № 2".into(), ..Default::default() };
                pb::CreateTeamRequest { request_id: id(), team: Some(team) }.encode_to_vec()
            }
            "CreatePerson" => {
                let person =
                    pb::Person { display_name: "Ян".into(), team: self.staff.team.clone(), ..Default::default() };
                pb::CreatePersonRequest { request_id: id(), person: Some(person) }.encode_to_vec()
            }
            "SetShift" => {
                let person = staff::person(admin, "Ия", &self.staff.team, &[pb::Role::Manager]).await.person;
                pb::SetShiftRequest { request_id: id(), name: person, capacity: 3, ..Default::default() }
                    .encode_to_vec()
            }
            "CreatePrincipal" => {
                let principal = pb::Principal {
                    display_name: "сайт".into(),
                    roles: vec![pb::Role::ServiceAccount.into()],
                    permissions: vec!["leads.submit".into()],
                    ..Default::default()
                };
                pb::CreatePrincipalRequest { request_id: id(), principal: Some(principal) }.encode_to_vec()
            }
            "UpdatePrincipal" => {
                let name = staff::system(admin, "витрина", &["leads.submit"]).await.principal;
                let principal =
                    Some(pb::Principal { name, display_name: "Витрина".into(), ..Default::default() });
                pb::UpdatePrincipalRequest { request_id: id(), principal, update_mask: None }.encode_to_vec()
            }
            "SetPrincipalState" => {
                let name = staff::system(admin, "бот", &["leads.submit"]).await.principal;
                let state = pb::principal::State::Disabled.into();
                pb::SetPrincipalStateRequest { request_id: id(), name, state, ..Default::default() }.encode_to_vec()
            }
            "CreateApiKey" => {
                let principal = staff::system(admin, "касса", &["leads.submit"]).await.principal;
                let api_key = Some(pb::ApiKey { principal, display_name: "ключ".into(), ..Default::default() });
                let secret_digest = staff::secret().1;
                pb::CreateApiKeyRequest { request_id: id(), api_key, secret_digest }.encode_to_vec()
            }
            "UpdateApiKey" => {
                let name = staff::system(admin, "обмен", &["leads.submit"]).await.key_name();
                let api_key = Some(pb::ApiKey { name, display_name: "обмен с 1С".into(), ..Default::default() });
                pb::UpdateApiKeyRequest { request_id: id(), api_key, update_mask: None }.encode_to_vec()
            }
            "RevokeApiKey" => {
                let name = staff::system(admin, "форма", &["leads.submit"]).await.key_name();
                pb::RevokeApiKeyRequest { request_id: id(), name, reason: "утечка".into() }.encode_to_vec()
            }
            "CreatePipeline" => {
                let stage = pb::Stage { id: "only".into(), display_name: "Одна".into(), gates: vec![] };
                let pipeline = pb::Pipeline {
                    code: "import".into(),
                    display_name: "Импорт".into(),
                    stages: vec![stage],
                    ..Default::default()
                };
                pb::CreatePipelineRequest { request_id: id(), pipeline: Some(pipeline) }.encode_to_vec()
            }
            "SetApprovalLimit" => {
                let limit = ct::ApprovalLimit {
                    approver: ct::Approver::HeadOfDepartment.into(),
                    max_gross: Some(roubles(500_000, 0)),
                    set_time: None,
                };
                ct::SetApprovalLimitRequest { request_id: id(), approval_limit: Some(limit) }.encode_to_vec()
            }
            _ => return None,
        };
        Some(Valid { door: admin.clone(), request })
    }

    async fn valid_of_leads(&self, method: &str) -> Option<Valid> {
        let step = match method {
            "SubmitLead" => Step::Submit,
            "LogContact" | "AssignLead" | "CloseLead" => Step::Contact,
            "ConvertLead" => Step::Convert,
            "UpdateClient" | "DescribeDeal" | "CloseLost" => Step::Describe,
            "AdvanceStage" => Step::Propose,
            "MarkWon" => Step::Win,
            _ => return None,
        };
        let story = self.told_until(step).await;
        let (lead, deal) = (story.lead.clone(), story.deal.clone());
        let request = match method {
            "SubmitLead" => pb::SubmitLeadRequest {
                request_id: id(),
                channel: pb::Channel::Phone.into(),
                source_ref: id(),
                contact: Some(pb::LeadContact {
                    display_name: "Ольга".into(),
                    phone: "8 (495) 765-43-21".into(),
                    email: String::new(),
                }),
                ..Default::default()
            }
            .encode_to_vec(),
            "LogContact" => pb::LogContactRequest {
                request_id: id(),
                name: lead,
                kind: pb::ContactKind::Call.into(),
                outcome: pb::ContactOutcome::NoAnswer.into(),
                ..Default::default()
            }
            .encode_to_vec(),
            "AssignLead" => {
                let to =
                    if story.owner == self.staff.manager.person { &self.staff.colleague } else { &self.staff.manager };
                pb::AssignLeadRequest { request_id: id(), name: lead, owner: to.person.clone(), ..Default::default() }
                    .encode_to_vec()
            }
            "CloseLead" => {
                let reason = pb::CloseReason::NoInterest.into();
                pb::CloseLeadRequest { request_id: id(), name: lead, reason, ..Default::default() }.encode_to_vec()
            }
            "ConvertLead" => {
                pb::ConvertLeadRequest { request_id: id(), name: lead, ..Default::default() }.encode_to_vec()
            }
            "UpdateClient" => {
                let client =
                    pb::Client {
                        name: story.client.clone(), display_name: "ООО «Ёж»".into(), ..Default::default()
                    };
                pb::UpdateClientRequest { request_id: id(), client: Some(client), update_mask: None }.encode_to_vec()
            }
            "DescribeDeal" => pb::DescribeDealRequest {
                request_id: id(),
                name: deal,
                need: "Склад".into(),
                amount: Some(roubles(5, 0)),
                ..Default::default()
            }
            .encode_to_vec(),
            "CloseLost" => {
                let reason = pb::LossReason::Price.into();
                pb::CloseLostRequest { request_id: id(), name: deal, reason, ..Default::default() }.encode_to_vec()
            }
            "AdvanceStage" => {
                let stage = "proposal".into();
                pb::AdvanceStageRequest { request_id: id(), name: deal, stage, ..Default::default() }.encode_to_vec()
            }
            _ => pb::MarkWonRequest { request_id: id(), name: deal, ..Default::default() }.encode_to_vec(),
        };
        Some(Valid { door: self.suite.admin.clone(), request })
    }

    async fn valid_of_money(&self, method: &str) -> Option<Valid> {
        let step = match method {
            "DraftContract" => Step::Draft,
            "ReviseContract" | "RequestApproval" => Step::RequestApproval,
            "ApproveContract" | "RejectContract" => Step::Approve,
            "SignContract" => Step::Sign,
            "CreateOrder" => Step::Order,
            "ConfirmOrder" | "CancelOrder" => Step::Confirm,
            "RecordPayment" => Step::PayPart,
            "AllocatePayment" => Step::Allocate,
            _ => return None,
        };
        let story = self.told_until(step).await;
        let (name, request_id) = (story.contract.clone(), id());
        let line = ct::NewLine {
            display_name: "Стеллаж".into(),
            quantity: Some(Decimal { value: "1.5".into() }),
            unit_code: "pcs".into(),
            unit_price: Some(Decimal { value: "100".into() }),
            vat_rate: ct::VatRate::VatRate22.into(),
            vat_included: true,
        };
        let request = match method {
            "DraftContract" => {
                let (deal, currency_code) = (story.deal.clone(), "RUB".into());
                ct::DraftContractRequest { request_id, deal, currency_code, lines: vec![line] }.encode_to_vec()
            }
            "ReviseContract" => {
                ct::ReviseContractRequest { request_id, name, etag: String::new(), lines: vec![line] }.encode_to_vec()
            }
            "RequestApproval" => ct::RequestApprovalRequest { request_id, name, etag: String::new() }.encode_to_vec(),
            "ApproveContract" => {
                let ask = ct::GetContractRequest { name: name.clone() };
                let contract = self.suite.admin.contracts().get_contract(ask).await.ok()?.into_inner().contract?;
                let document_hash = contract.document_hash;
                let request = ct::ApproveContractRequest { request_id, name, etag: String::new(), document_hash };
                // Only somebody who stands for a person approves.
                return Some(Valid { door: self.staff.director.door.clone(), request: request.encode_to_vec() });
            }
            "RejectContract" => {
                let reason = "Цена".into();
                ct::RejectContractRequest { request_id, name, etag: String::new(), reason }.encode_to_vec()
            }
            "SignContract" => ct::SignContractRequest { request_id, name, etag: String::new() }.encode_to_vec(),
            "CreateOrder" => ct::CreateOrderRequest { request_id, contract: name, lines: vec![] }.encode_to_vec(),
            "ConfirmOrder" => {
                ct::ConfirmOrderRequest { request_id, name: story.order.clone(), etag: String::new() }.encode_to_vec()
            }
            "CancelOrder" => {
                ct::CancelOrderRequest { request_id, name: story.order.clone(), etag: String::new() }.encode_to_vec()
            }
            "RecordPayment" => bl::RecordPaymentRequest {
                request_id,
                client: story.client.clone(),
                amount: Some(roubles(7, 0)),
                bank_ref: id(),
                value_date: Some(story.today),
                allocations: vec![bl::Allocation { invoice: story.invoice.clone(), amount: Some(roubles(3, 0)) }],
            }
            .encode_to_vec(),
            _ => {
                let allocations = vec![bl::Allocation { invoice: story.invoice.clone(), amount: Some(roubles(1, 0)) }];
                let name = story.payment.clone();
                bl::AllocatePaymentRequest { request_id, name, etag: String::new(), allocations }.encode_to_vec()
            }
        };
        Some(Valid { door: self.suite.admin.clone(), request })
    }
}
