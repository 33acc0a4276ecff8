//! A contract moves as it may and no other way, whoever is first, and is approved by whoever may.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use otdel_api::contracts::{self as ct, contract::State, contract_event::Fact};
use otdel_tests::{
    door::Door,
    eventually::known,
    papers::{self, minor, price},
    refusal::reason,
    staff::{self, Department, id},
    story::{Step, Story, roubles},
    suite::{Suite, Topology},
};
use tokio::sync::watch;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A suite with an open deal, which the department's head reaches in contracts too.
async fn open_deal() -> (Suite, Department, Story) {
    let suite = Suite::start(Topology::AllInOne).await;
    let staff = staff::department(&suite.admin).await;
    let mut story = Story::new(&staff, suite.today().await);
    story.tell_until(Step::Draft).await;
    suite.settle().await;
    (suite, staff, story)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    Revise,
    HandIn,
    Approve,
    Reject,
    Sign,
}

const MOVES: [Move; 5] = [Move::Revise, Move::HandIn, Move::Approve, Move::Reject, Move::Sign];

impl Move {
    /// Where it leads from a state. None: it is not allowed there.
    fn leads(self, from: State) -> Option<State> {
        match (self, from) {
            (Self::Revise, State::Draft | State::Review | State::Approved) | (Self::Reject, State::Review) => {
                Some(State::Draft)
            }
            (Self::HandIn, State::Draft) => Some(State::Review),
            (Self::Approve, State::Review) => Some(State::Approved),
            (Self::Sign, State::Approved) => Some(State::Signed),
            _ => None,
        }
    }

    async fn make(self, author: &Door, approver: &Door, read: &ct::Contract) -> Result<ct::Contract, Status> {
        match self {
            Self::Revise => papers::revise(author, &read.name, price("200")).await,
            Self::HandIn => papers::hand_in(author, &read.name).await,
            Self::Approve => papers::approve(approver, read).await,
            Self::Reject => papers::reject(approver, &read.name).await,
            Self::Sign => papers::sign(author, &read.name).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_move_that_a_state_does_not_allow_is_refused_and_changes_nothing() {
    let (suite, staff, story) = open_deal().await;
    let (author, approver) = (&story.manager().door, &staff.head.door);
    let mut refusals = 0;
    for way in
        [vec![], vec![Move::HandIn], vec![Move::HandIn, Move::Approve], vec![Move::HandIn, Move::Approve, Move::Sign]]
    {
        let mut contract = papers::draft(author, &story.deal, price("100")).await.unwrap();
        for step in way {
            contract = step.make(author, approver, &contract).await.unwrap();
        }
        let state = contract.state();
        for step in MOVES.into_iter().filter(|step| step.leads(state).is_none()) {
            is_wrong_state(step.make(author, approver, &contract).await.unwrap_err(), state.as_str_name());
            refusals += 1;
        }
        if state != State::Signed {
            is_wrong_state(papers::order(author, &contract.name, vec![]).await.unwrap_err(), state.as_str_name());
        }
        assert_eq!(papers::contract(author, &contract.name).await, contract);
    }
    assert_eq!(refusals, 13);

    let contract = papers::signed(author, approver, &story.deal, price("100")).await;
    let cancelled = papers::order(author, &contract.name, vec![]).await.unwrap();
    let cancelled = papers::cancel(author, &cancelled.name).await.unwrap();
    let confirmed = papers::order(author, &contract.name, vec![]).await.unwrap();
    let confirmed = papers::confirm(author, &confirmed.name).await.unwrap();
    for order in [confirmed, cancelled] {
        let state = order.state().as_str_name();
        is_wrong_state(papers::confirm(author, &order.name).await.unwrap_err(), state);
        is_wrong_state(papers::cancel(author, &order.name).await.unwrap_err(), state);
        let ask = ct::GetOrderRequest { name: order.name.clone() };
        assert_eq!(author.orders().get_order(ask).await.unwrap().into_inner().order.unwrap(), order);
    }
    suite.stop().await;
}

/// The refusal names the state that the resource is in.
fn is_wrong_state(status: Status, state: &str) {
    assert_eq!(reason(&status), (Code::FailedPrecondition, "WRONG_STATE".into()), "{state}: {status:?}");
    assert_eq!(status.get_details_error_info().unwrap().metadata["state"], state);
}

const ROUNDS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn moves_raced_on_one_contract_are_one_after_the_other() {
    let (suite, staff, story) = open_deal().await;
    let (author, approver) = (&story.manager().door, &staff.head.door);
    let mut contracts = BTreeMap::new();
    for _ in 0..ROUNDS {
        let contract = papers::draft(author, &story.deal, price("100")).await.unwrap();
        let contract = papers::hand_in(author, &contract.name).await.unwrap();
        let race = [Move::Approve, Move::Revise, Move::Reject, Move::Sign, Move::HandIn, Move::Approve].map(|step| {
            let (author, approver, contract) = (author.clone(), approver.clone(), contract.clone());
            tokio::spawn(async move { step.make(&author, &approver, &contract).await })
        });
        let mut done = 0;
        for outcome in join_all(race).await {
            match outcome.unwrap().map_err(|status| reason(&status)) {
                Ok(_) => done += 1,
                Err((Code::FailedPrecondition, why)) if why == "WRONG_STATE" => {}
                Err((Code::Aborted, why)) if why == "DOCUMENT_CHANGED" => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        contracts.insert(contract.name, done);
    }
    suite.settle().await;
    let events = super::feed::contract_events(&suite.admin).await;
    let mut ends = BTreeMap::new();
    for (name, done) in contracts {
        let moves: Vec<_> = events.iter().filter(|event| event.envelope.as_ref().unwrap().subject == name).collect();
        // Drafted, handed in, and each move that was acknowledged.
        assert_eq!(moves.len(), 2 + done, "{name}");
        let told = Told::of(&moves);
        let contract = papers::contract(&suite.admin, &name).await;
        assert_eq!(told, Told::by(&contract), "{name} is not what its events made of it");
        *ends.entry(told.state.as_str_name()).or_insert(0) += 1;
    }
    assert!(ends.len() > 1, "always the same move came first: the race was none ({ends:?})");
    suite.stop().await;
}

/// What a contract is.
#[derive(Debug, PartialEq)]
struct Told {
    state: State,
    gross: i64,
    hash: String,
    approver: String,
    version: usize,
}

impl Told {
    fn by(contract: &ct::Contract) -> Self {
        Self {
            state: contract.state(),
            gross: minor(contract.gross.as_ref()),
            hash: contract.document_hash.clone(),
            approver: contract.approver.clone(),
            version: contract.etag.parse().unwrap(),
        }
    }

    /// What its events make of it, each of which must be allowed where it stands.
    fn of(events: &[&ct::ContractEvent]) -> Self {
        let mut told = Self { state: State::Draft, gross: 0, hash: String::new(), approver: String::new(), version: 0 };
        for event in events {
            told.version += 1;
            let step = match event.fact.as_ref().unwrap() {
                Fact::ContractDrafted(fact) => {
                    (told.gross, told.hash) = (minor(fact.gross.as_ref()), fact.document_hash.clone());
                    continue;
                }
                Fact::ContractRevised(fact) => {
                    (told.gross, told.hash) = (minor(fact.gross.as_ref()), fact.document_hash.clone());
                    told.approver.clear();
                    Move::Revise
                }
                Fact::ContractApproved(fact) => {
                    assert_eq!(fact.document_hash, told.hash, "what was approved is what stood there");
                    told.approver.clone_from(&fact.approver);
                    Move::Approve
                }
                Fact::ApprovalRequested(_) => Move::HandIn,
                Fact::ContractRejected(_) => Move::Reject,
                Fact::ContractSigned(_) => Move::Sign,
                other => panic!("{other:?}"),
            };
            told.state = step.leads(told.state).unwrap_or_else(|| panic!("{step:?} from {:?}", told.state));
        }
        told
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kopeck_above_a_limit_needs_a_higher_role() {
    let (suite, staff, story) = open_deal().await;
    let author = &story.manager().door;
    let review = async |total: &str| {
        let contract = papers::draft(author, &story.deal, price(total)).await.unwrap();
        papers::hand_in(author, &contract.name).await.unwrap()
    };
    let (head, director) = (&staff.head.door, &staff.director.door);
    for (who, total, limit) in [(head, "1000000", "1000000.00 RUB"), (director, "100000000", "100000000.00 RUB")] {
        let within = review(total).await;
        assert_eq!(papers::approve(who, &within).await.unwrap().state(), State::Approved);
        let above = review(&format!("{total}.01")).await;
        let refused = papers::approve(who, &above).await.unwrap_err();
        assert_eq!(reason(&refused), (Code::PermissionDenied, "ABOVE_LIMIT".into()));
        assert_eq!(refused.get_details_error_info().unwrap().metadata["limit"], limit);
        assert_eq!(papers::contract(who, &above.name).await, above, "nothing changed");
    }
    // What is above the head's is the director's to approve, and above the director's nobody's.
    let above = review("1000000.01").await;
    assert_eq!(papers::approve(director, &above).await.unwrap().approver, staff.director.principal);
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_counts_in_the_very_transaction_that_approves() {
    let (suite, staff, story) = open_deal().await;
    let (author, head, director) = (&story.manager().door, &staff.head.door, &staff.director.door);
    set_limit(director, 10).await;
    let (open, closed) = watch::channel(());
    let setter = tokio::spawn(change_limits(director.clone(), closed));
    let approvers = (0..4).map(|_| {
        let (author, head, deal) = (author.clone(), head.clone(), story.deal.clone());
        tokio::spawn(async move { approve_some(&author, &head, &deal).await })
    });
    let approvers: Vec<_> = approvers.collect();
    let approved: usize = join_all(approvers).await.into_iter().map(|approved| approved.unwrap()).sum();
    drop(open);
    setter.await.unwrap();
    suite.settle().await;

    // In the order of the feed each approval stands on the limit before it, which allows it.
    let (mut newest, mut most, mut used) = (String::new(), 0, Vec::new());
    for event in super::feed::contract_events(&suite.admin).await {
        let envelope = event.envelope.unwrap();
        match event.fact.unwrap() {
            Fact::ApprovalLimitSet(fact) => {
                (newest, most) = (version(&envelope.subject), fact.max_gross.unwrap().units);
            }
            Fact::ContractApproved(_) => {
                assert!(most >= 100, "approved above the limit");
                assert_eq!(version(&envelope.policy_version), newest);
                used.push(newest.clone());
            }
            _ => {}
        }
    }
    assert_eq!(used.len(), approved);
    used.dedup();
    assert!(used.len() > 1, "the limits never changed between two approvals: the race was none");

    // And one after the other, without a race.
    let contract = papers::draft(author, &story.deal, price("101")).await.unwrap();
    let contract = papers::hand_in(author, &contract.name).await.unwrap();
    for (limit, allowed) in [(100, false), (101, true)] {
        set_limit(director, limit).await;
        assert_eq!(papers::approve(head, &contract).await.is_ok(), allowed, "{limit}");
    }
    suite.stop().await;
}

/// The number that a version ends with.
fn version(name: &str) -> String {
    name.rsplit('/').next().unwrap_or_default().to_owned()
}

/// Sets limits above and below what waits for approval, in turn, until nobody waits any more.
async fn change_limits(director: Door, closed: watch::Receiver<()>) {
    while closed.has_changed().is_ok() {
        for units in [1_000, 10] {
            set_limit(&director, units).await;
        }
    }
}

/// Approves contracts one after another, each as soon as the limit allows it, and tells how many.
async fn approve_some(author: &Door, head: &Door, deal: &str) -> usize {
    const EACH: usize = 4;
    for _ in 0..EACH {
        let contract = papers::draft(author, deal, price("100")).await.unwrap();
        let contract = papers::hand_in(author, &contract.name).await.unwrap();
        while let Err(status) = papers::approve(head, &contract).await {
            assert_eq!(reason(&status), (Code::PermissionDenied, "ABOVE_LIMIT".into()));
        }
    }
    EACH
}

async fn set_limit(director: &Door, units: i64) {
    let limit = ct::ApprovalLimit {
        approver: ct::Approver::HeadOfDepartment.into(),
        max_gross: Some(roubles(units, 0)),
        set_time: None,
    };
    let request = ct::SetApprovalLimitRequest { request_id: id(), approval_limit: Some(limit) };
    known(|| async { director.authority().set_approval_limit(request.clone()).await }).await.expect("a limit");
}
