use otdel_types::{ClientId, Currency, DealId, PersonId, VatRate};
use proptest::prelude::*;

use super::*;
use crate::domain::{
    authority::Approver,
    line::{Offer, tests::offer},
};

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn actor(name: &str) -> Actor {
    Actor { principal: format!("principals/{name}"), person: Some(PersonId::new()) }
}

fn priced(offers: Vec<Offer>) -> Lines {
    Lines::price(offers, Currency::RUB).unwrap()
}

/// Lines worth this many rubles, VAT included.
fn worth(rubles: u32) -> Lines {
    priced(vec![offer("1", &rubles.to_string(), VatRate::Twenty, true)])
}

fn limit(rubles: i64) -> Limit {
    let max_gross = Money { minor: rubles * 100, currency: Currency::RUB };
    Limit { approver: Approver::HeadOfDepartment, max_gross, version: 1, set_time: at(0) }
}

/// A draft worth 100.00.
fn draft(author: &Actor) -> Contract {
    let content = Content { deal: DealId::new(), client: ClientId::new(), lines: worth(100) };
    NewContract::draft(content, author.clone(), at(0)).numbered(Number { year: 2026, place: 17 })
}

fn in_review(author: &Actor) -> Contract {
    draft(author).request_approval(at(1)).unwrap()
}

fn approved(author: &Actor) -> Contract {
    let contract = in_review(author);
    let hash = contract.document_hash;
    contract.approve(actor("head"), hash, Some(limit(100)), at(2)).unwrap()
}

pub(crate) fn signed() -> Contract {
    approved(&actor("author")).sign(at(3)).unwrap()
}

#[test]
fn a_number_shows_its_year() {
    assert_eq!(Number { year: 2026, place: 17 }.to_string(), "2026-000017");
    assert_eq!(Number { year: 2026, place: 12_345_678 }.to_string(), "2026-12345678");
}

#[test]
fn a_contract_goes_from_draft_to_signature() {
    let contract = signed();
    assert_eq!((contract.state, contract.version), (State::Signed, 4));
    assert_eq!((contract.sign_time, contract.update_time), (Some(at(3)), at(3)));
    let approval = contract.approval.unwrap();
    assert_eq!((approval.document_hash, approval.approve_time), (contract.document_hash, at(2)));
}

#[test]
fn each_verb_starts_from_its_states_alone() {
    let author = actor("author");
    let all = [draft(&author), in_review(&author), approved(&author), signed()];
    for contract in all {
        let hash = contract.document_hash;
        let state = contract.state;
        let allowed = [
            ("revised", state != State::Signed, contract.clone().revise(worth(1), author.clone(), at(9))),
            ("handed in", state == State::Draft, contract.clone().request_approval(at(9))),
            (
                "approved",
                state == State::Review,
                contract.clone().approve(actor("head"), hash, Some(limit(100)), at(9)),
            ),
            ("sent back", state == State::Review, contract.clone().reject(at(9))),
            ("signed", state == State::Approved, contract.clone().sign(at(9))),
        ];
        for (verb, may, outcome) in allowed {
            match outcome {
                Ok(_) => assert!(may, "{state:?} was {verb}"),
                Err(refusal) => {
                    assert!(!may, "{state:?} was not {verb}");
                    assert_eq!(refusal, Refusal::WrongState { state, verb });
                }
            }
        }
    }
}

#[test]
fn an_older_version_is_refused() {
    let contract = draft(&actor("author"));
    assert_eq!(contract.expect(Some(2)), Err(Refusal::Stale { current: 1 }));
    assert_eq!((contract.expect(Some(1)), contract.expect(None)), (Ok(()), Ok(())));
}

#[test]
fn the_author_does_not_approve_under_any_principal() {
    let author = actor("author");
    let other_key = Actor { principal: "principals/key".into(), ..author.clone() };
    for eyes in [author.clone(), other_key] {
        let contract = in_review(&author);
        let hash = contract.document_hash;
        assert_eq!(contract.approve(eyes, hash, Some(limit(100)), at(2)), Err(Refusal::AuthorMayNotApprove));
    }
}

#[test]
fn a_system_does_not_approve() {
    let contract = in_review(&actor("author"));
    let hash = contract.document_hash;
    let system = Actor { principal: "principals/robot".into(), person: None };
    assert_eq!(contract.approve(system, hash, Some(limit(100)), at(2)), Err(Refusal::NoPerson));
}

#[test]
fn who_revises_becomes_the_author() {
    let (author, head) = (actor("author"), actor("head"));
    let contract = in_review(&author).revise(worth(90), head.clone(), at(2)).unwrap().request_approval(at(3)).unwrap();
    let hash = contract.document_hash;
    assert_eq!(contract.clone().approve(head, hash, Some(limit(100)), at(4)), Err(Refusal::AuthorMayNotApprove));
    assert!(contract.approve(author, hash, Some(limit(100)), at(4)).is_ok());
}

#[test]
fn an_approval_is_of_the_content_that_was_read() {
    let contract = in_review(&actor("author"));
    let read = contract.document_hash;
    let contract = contract.revise(worth(99), actor("author"), at(2)).unwrap().request_approval(at(3)).unwrap();
    let refusal = Refusal::DocumentChanged { current: contract.document_hash };
    assert_eq!(contract.approve(actor("head"), read, Some(limit(100)), at(4)), Err(refusal));
}

#[test]
fn a_total_up_to_the_limit_is_approved_and_not_a_kopeck_more() {
    let gross = Money { minor: 10_000, currency: Currency::RUB };
    let try_with = |limit: Option<Limit>| {
        let contract = in_review(&actor("author"));
        let hash = contract.document_hash;
        contract.approve(actor("head"), hash, limit, at(2)).map(|contract| contract.state)
    };
    assert_eq!(try_with(Some(limit(100))), Ok(State::Approved));
    let short = Some(Limit { max_gross: Money { minor: 9_999, ..gross }, ..limit(100) });
    let above = |limit: Option<Limit>| Err(Refusal::AboveLimit { limit: limit.map(|limit| limit.max_gross), gross });
    assert_eq!(try_with(short), above(short));
    assert_eq!(try_with(None), above(None));
    let euros = Money { minor: 100_000, currency: Currency::from_code("EUR").unwrap() };
    let elsewhere = Some(Limit { max_gross: euros, ..limit(0) });
    assert_eq!(try_with(elsewhere), above(elsewhere));
}

#[test]
fn a_revision_voids_the_approval() {
    let before = approved(&actor("author"));
    let same_lines = before.content.lines.copied();
    let contract = before.clone().revise(same_lines, actor("author"), at(3)).unwrap();
    assert_eq!((contract.state, contract.approval), (State::Draft, None));
    assert_eq!(contract.document_hash, before.document_hash, "the same content has the same hash");
}

/// What somebody tries to do to a contract.
#[derive(Clone, Debug)]
enum Try {
    Revise { by: usize, rubles: u32 },
    RequestApproval,
    Approve { by: usize, read_current: bool, limit: i64 },
    Reject,
    Sign,
}

fn tries() -> impl Strategy<Value = Vec<Try>> {
    let one = prop_oneof![
        (0..3_usize, 1..200_u32).prop_map(|(by, rubles)| Try::Revise { by, rubles }),
        Just(Try::RequestApproval),
        Just(Try::RequestApproval),
        (0..3_usize, prop::bool::weighted(0.8), 0..300_i64).prop_map(|(by, read_current, limit)| Try::Approve {
            by,
            read_current,
            limit
        }),
        Just(Try::Reject),
        Just(Try::Sign),
    ];
    prop::collection::vec(one, 1..40)
}

fn attempt(contract: Contract, what: &Try, people: &[Actor], now: DateTime<Utc>) -> Result<Contract, Refusal> {
    match *what {
        Try::Revise { by, rubles } => contract.revise(worth(rubles), people[by].clone(), now),
        Try::RequestApproval => contract.request_approval(now),
        Try::Approve { by, read_current, limit: most } => {
            let read = if read_current { contract.document_hash } else { DocumentHash([0; 32]) };
            contract.approve(people[by].clone(), read, Some(limit(most)), now)
        }
        Try::Reject => contract.reject(now),
        Try::Sign => contract.sign(now),
    }
}

proptest! {
    #[test]
    fn whatever_is_tried_four_eyes_saw_what_is_signed(tries in tries()) {
        let people = [actor("one"), actor("two"), actor("three")];
        let mut contract = draft(&people[0]);
        for (second, what) in tries.iter().enumerate() {
            let before = contract.clone();
            let now = at(10 + i64::try_from(second).unwrap());
            match attempt(before.clone(), what, &people, now) {
                Ok(after) => {
                    prop_assert_ne!(before.state, State::Signed, "something left SIGNED");
                    prop_assert_eq!((after.version, after.update_time), (before.version + 1, now));
                    if let Try::Approve { limit, .. } = what {
                        prop_assert!(after.gross().minor <= limit * 100);
                    }
                    contract = after;
                }
                Err(refusal) => prop_assert_ne!(refusal, Refusal::Stale { current: before.version }),
            }
            prop_assert_eq!(contract.document_hash, contract.content.hash());
            let holds = matches!(contract.state, State::Approved | State::Signed);
            prop_assert_eq!(contract.approval.is_some(), holds);
            prop_assert_eq!(contract.sign_time.is_some(), contract.state == State::Signed);
            if let Some(approval) = &contract.approval {
                prop_assert!(approval.approver.person.is_some() && !approval.approver.is(&contract.author));
                prop_assert_eq!(approval.document_hash, contract.document_hash);
            }
        }
    }
}
