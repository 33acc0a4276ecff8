use otdel_types::Currency;
use proptest::prelude::*;

use super::*;
use crate::domain::pipeline::Stage;

const GATES: [Gate; 5] = [Gate::Need, Gate::Amount, Gate::ContractSigned, Gate::InvoiceIssued, Gate::Paid];

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

/// A pipeline whose stages `s0`, `s1`, … have these gates.
fn pipeline(gates: &[&[Gate]]) -> Pipeline {
    let stage = |(at, gates): (usize, &&[Gate])| Stage {
        id: format!("s{at}"),
        display_name: format!("Stage {at}"),
        gates: gates.to_vec(),
    };
    Pipeline {
        id: PipelineId::new(),
        code: "default".into(),
        version: 1,
        display_name: "Sale".into(),
        stages: gates.iter().enumerate().map(stage).collect(),
        create_time: at(0),
    }
}

fn deal(pipeline: &Pipeline) -> Deal {
    let owner = Holder { person: PersonId::new(), team: TeamId::new() };
    Deal::open(LeadId::new(), ClientId::new(), owner, pipeline, at(0))
}

fn rubles(minor: i64) -> Money {
    Money { minor, currency: Currency::RUB }
}

fn lost() -> Loss {
    Loss::new(LossReason::Price, String::new()).unwrap()
}

/// Opens a gate in the way that it opens.
fn open(deal: Deal, gate: Gate) -> Deal {
    match gate {
        Gate::Need => Deal { need: "quiet rooms".into(), ..deal },
        Gate::Amount => Deal { amount: Some(rubles(1)), ..deal },
        _ => deal.clone().open_gate(gate, "billing/1".into(), at(1)).unwrap_or(deal),
    }
}

#[test]
fn every_shut_gate_is_named_at_once_and_each_alone_keeps_the_stage_shut() {
    let pipeline = pipeline(&[&[], &GATES]);
    let new = deal(&pipeline);
    assert_eq!(new.clone().advance("s1", &pipeline, at(2)), Err(Refusal::GatesShut(GATES.to_vec())));
    for shut in GATES {
        let almost = GATES.iter().filter(|gate| **gate != shut).fold(new.clone(), |deal, gate| open(deal, *gate));
        assert_eq!(almost.advance("s1", &pipeline, at(2)), Err(Refusal::GatesShut(vec![shut])));
    }
    let all = GATES.iter().fold(new, |deal, gate| open(deal, *gate));
    assert_eq!(all.advance("s1", &pipeline, at(2)).unwrap().stage, "s1");
}

#[test]
fn a_blank_need_says_nothing() {
    let pipeline = pipeline(&[&[], &[Gate::Need]]);
    let blank = Deal { need: " \n".into(), ..deal(&pipeline) };
    assert_eq!(blank.advance("s1", &pipeline, at(1)), Err(Refusal::GatesShut(vec![Gate::Need])));
}

#[test]
fn no_stage_is_skipped_repeated_or_gone_back_to() {
    let pipeline = pipeline(&[&[], &[], &[]]);
    let second = deal(&pipeline).advance("s1", &pipeline, at(1)).unwrap();
    for stage in ["s0", "s1", "s3", ""] {
        let refusal = Refusal::StageSkipped { next: Some("s2".into()) };
        assert_eq!(second.clone().advance(stage, &pipeline, at(2)), Err(refusal));
    }
    let last = second.advance("s2", &pipeline, at(2)).unwrap();
    assert_eq!(last.advance("s3", &pipeline, at(3)), Err(Refusal::StageSkipped { next: None }));
}

#[test]
fn a_deal_is_won_at_the_last_stage_with_every_gate_of_the_pipeline_open() {
    let pipeline = pipeline(&[&[], &[Gate::Paid]]);
    let new = deal(&pipeline);
    assert_eq!(new.clone().win(&pipeline, at(1)), Err(Refusal::StageSkipped { next: Some("s1".into()) }));
    let last = open(new, Gate::Paid).advance("s1", &pipeline, at(1)).unwrap();
    // A further invoice came after the stage was entered.
    let again = last.clone().shut_gate(Gate::Paid, at(2)).unwrap();
    assert_eq!(again.win(&pipeline, at(3)), Err(Refusal::GatesShut(vec![Gate::Paid])));
    let won = last.win(&pipeline, at(3)).unwrap();
    assert_eq!((won.state, won.win_time), (State::Won, Some(at(3))));
}

#[test]
fn an_import_wins_from_any_stage_where_nothing_is_gated() {
    let free = pipeline(&[&[], &[], &[]]);
    let won = deal(&free).import_won(at(-900), &free, at(1)).unwrap();
    assert_eq!((won.state, won.win_time, won.update_time), (State::Won, Some(at(-900)), at(1)));
    let gated = pipeline(&[&[], &[Gate::Need]]);
    let open = open(deal(&gated), Gate::Need);
    assert_eq!(open.import_won(at(-900), &gated, at(1)), Err(Refusal::PipelineHasGates));
}

#[test]
fn nothing_leaves_the_end() {
    let pipeline = pipeline(&[&[]]);
    let won = deal(&pipeline).win(&pipeline, at(1)).unwrap();
    let lost_deal = deal(&pipeline).lose(lost(), at(1)).unwrap();
    for ended in [won, lost_deal] {
        let wrong = |verb| Err(Refusal::WrongState { state: ended.state, verb });
        assert_eq!(ended.clone().advance("s0", &pipeline, at(2)), wrong("advanced"));
        assert_eq!(ended.clone().describe("x".into(), rubles(1), at(2)), wrong("described"));
        assert_eq!(ended.clone().win(&pipeline, at(2)), wrong("won"));
        assert_eq!(ended.clone().import_won(at(0), &pipeline, at(2)), wrong("won"));
        assert_eq!(ended.clone().lose(lost(), at(2)), wrong("lost"));
    }
}

#[test]
fn a_competitor_is_named_exactly_where_one_is_the_reason() {
    for reason in [LossReason::Price, LossReason::NoNeed, LossReason::NoAnswer, LossReason::Other] {
        assert!(Loss::new(reason, String::new()).is_ok());
        assert_eq!(Loss::new(reason, "Rival".into()), Err(CompetitorMismatch));
    }
    assert_eq!(Loss::new(LossReason::Competitor, " ".into()), Err(CompetitorMismatch));
    let loss = Loss::new(LossReason::Competitor, "Rival".into()).unwrap();
    assert_eq!((loss.reason(), loss.competitor()), (LossReason::Competitor, "Rival"));
}

#[test]
fn a_gate_opens_once_and_keeps_its_first_proof() {
    let pipeline = pipeline(&[&[]]);
    let once = deal(&pipeline).open_gate(Gate::ContractSigned, "contracts/1".into(), at(1)).unwrap();
    assert_eq!(once.clone().open_gate(Gate::ContractSigned, "contracts/2".into(), at(2)), None);
    assert_eq!(once.open_gates[0].proof, "contracts/1");
    assert_eq!(once.clone().shut_gate(Gate::Paid, at(2)), None);
    assert!(once.shut_gate(Gate::ContractSigned, at(2)).unwrap().open_gates.is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Describe,
    Advance(usize),
    Open(usize),
    Shut(usize),
    Win,
    Import,
    Lose,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => Just(Step::Describe),
        6 => (0_usize..6).prop_map(Step::Advance),
        6 => (2_usize..5).prop_map(Step::Open),
        1 => (2_usize..5).prop_map(Step::Shut),
        1 => Just(Step::Win),
        1 => Just(Step::Import),
        1 => Just(Step::Lose),
    ];
    proptest::collection::vec(step, 0..60)
}

fn take(deal: &Deal, step: &Step, pipeline: &Pipeline, now: DateTime<Utc>) -> Option<Deal> {
    let deal = deal.clone();
    match step {
        Step::Describe => deal.describe("quiet rooms".into(), rubles(5), now).ok(),
        Step::Advance(stage) => deal.advance(&format!("s{stage}"), pipeline, now).ok(),
        Step::Open(gate) => deal.open_gate(GATES[*gate], "billing/1".into(), now),
        Step::Shut(gate) => deal.shut_gate(GATES[*gate], now),
        Step::Win => deal.win(pipeline, now).ok(),
        Step::Import => deal.import_won(now, pipeline, now).ok(),
        Step::Lose => deal.lose(lost(), now).ok(),
    }
}

fn place(deal: &Deal) -> usize {
    deal.stage[1..].parse().unwrap()
}

proptest! {
    #[test]
    fn whatever_is_tried_no_stage_is_skipped_and_no_gate_is_passed_shut(
        steps in steps(),
        gates in proptest::collection::vec(proptest::sample::subsequence(GATES.to_vec(), 0..3), 1..6),
    ) {
        let gates: Vec<&[Gate]> = gates.iter().map(Vec::as_slice).collect();
        let pipeline = pipeline(&gates);
        let mut before = deal(&pipeline);
        for (second, step) in steps.iter().enumerate() {
            let now = at(i64::try_from(second).unwrap());
            let Some(after) = take(&before, step, &pipeline, now) else { continue };
            prop_assert_eq!((after.version, after.update_time), (before.version + 1, now));
            if after.stage != before.stage {
                prop_assert_eq!(place(&after), place(&before) + 1);
                prop_assert!(pipeline.stages[place(&after)].gates.iter().all(|gate| before.fulfils(*gate)));
            }
            if before.state != State::Open {
                prop_assert_eq!((after.state, &after.stage, &after.need), (before.state, &before.stage, &before.need));
            }
            if after.state == State::Won && before.state == State::Open {
                prop_assert!(pipeline.gates().iter().all(|gate| before.fulfils(*gate)));
                prop_assert!(pipeline.ends_with(&after.stage) || pipeline.gates().is_empty());
            }
            prop_assert_eq!(after.win_time.is_some(), after.state == State::Won);
            prop_assert_eq!(after.lose_time.is_some() && after.loss.is_some(), after.state == State::Lost);
            before = after;
        }
    }
}
