//! Documents are numbered without a gap, and an order has one invoice.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use otdel::cli::Role;
use otdel_api::{billing as bl, contracts as ct};
use otdel_runtime::faults::{CommitFault, Faults};
use otdel_tests::{
    door::Door,
    eventually::{eventually, known},
    papers::{self, minor},
    refusal::reason,
    staff::{self, id},
    story::{Step, Story},
    suite::{Suite, Topology},
};
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn orders_confirmed_at_once_get_one_invoice_each_and_numbers_without_a_gap() {
    let suite = Suite::start(Topology::AllInOne).await;
    let staff = staff::department(&suite.admin).await;
    let mut story = Story::new(&staff, suite.today().await);
    story.tell_until(Step::Order).await;

    let door = &story.manager().door;
    let lines = (1..=64).map(|at| line("7", at)).collect();
    let contract = papers::signed(door, &staff.head.door, &story.deal, lines).await;
    let orders = join_all((1..=64).map(|at| make(door, &contract.name, at))).await;
    let faults = faults_of(&suite, Role::Billing);
    suite.settle().await;
    // Billing's next commit is that of the first invoices: it is rolled back and gives their numbers back.
    faults.plan(0, CommitFault::Before);
    let confirmed = orders.iter().map(|order| {
        let (door, order) = (door.clone(), order.name.clone());
        tokio::spawn(async move { papers::confirm(&door, &order).await })
    });
    let confirmed: Vec<_> = confirmed.collect();
    let invoices = eventually("every order has its invoice", || async {
        // And every second one after it fails too.
        fail_the_next_but_one(faults);
        let invoices = invoices(&suite.admin, &story.deal).await;
        if invoices.len() < orders.len() { Err(invoices.len()) } else { Ok(invoices) }
    })
    .await;
    let confirmed: BTreeMap<_, _> = join_all(confirmed)
        .await
        .into_iter()
        .map(|confirmed| confirmed.unwrap().expect("a confirmed order"))
        .map(|order| (order.name.clone(), order))
        .collect();
    one_invoice_each(&invoices, &confirmed);

    // The same orders are told again, as at least once may.
    let pool = suite.database.pool("billing").await;
    sqlx::query("update cursor set position = 0, token = '' where projection = 'billing.orders'")
        .execute(&pool)
        .await
        .unwrap();
    papers::order(door, &story.contract, vec![]).await.unwrap();
    suite.settle().await;
    assert_eq!(self::invoices(&suite.admin, &story.deal).await, invoices);
    suite.stop().await;
}

/// An order whose VAT is to be rounded on each line.
async fn make(door: &Door, contract: &str, at: usize) -> ct::Order {
    papers::order(door, contract, vec![line("3", at), line("3", at)]).await.expect("an order")
}

fn line(quantity: &str, at: usize) -> ct::NewLine {
    papers::line(quantity, &format!("{at}.003"), ct::VatRate::VatRate22)
}

async fn invoices(door: &Door, deal: &str) -> Vec<bl::Invoice> {
    let ask = bl::ListInvoicesRequest { deal: deal.into(), page_size: 200, ..Default::default() };
    known(|| async { door.invoices().list_invoices(ask.clone()).await }).await.unwrap().invoices
}

fn one_invoice_each(invoices: &[bl::Invoice], orders: &BTreeMap<String, ct::Order>) {
    assert_eq!(invoices.len(), orders.len());
    let mut numbers: Vec<i64> = invoices.iter().map(|invoice| place(&invoice.number)).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=64).collect::<Vec<_>>(), "no gap and no repetition");
    let by_order: BTreeMap<_, _> = invoices.iter().map(|invoice| (&invoice.order, invoice)).collect();
    assert_eq!(by_order.len(), orders.len(), "one invoice an order");
    for (name, order) in orders {
        let invoice = by_order[name];
        assert_eq!((&invoice.net, &invoice.vat, &invoice.gross), (&order.net, &order.vat, &order.gross));
        assert_eq!(invoice.lines.len(), order.lines.len());
        for (invoiced, ordered) in invoice.lines.iter().zip(&order.lines) {
            assert_eq!(invoiced.order_line, format!("{name}/lines/{}", ordered.id));
            assert_eq!((&invoiced.net, &invoiced.vat), (&ordered.net, &ordered.vat));
        }
        let of_lines: i64 = invoice.lines.iter().map(|line| minor(line.gross.as_ref())).sum();
        assert_eq!(of_lines, minor(invoice.gross.as_ref()), "the lines are the whole");
    }
}

/// What a number ends with.
fn place(number: &str) -> i64 {
    number.rsplit('-').next().and_then(|place| place.parse().ok()).unwrap_or_else(|| panic!("{number} is no number"))
}

fn faults_of(suite: &Suite, role: Role) -> &Faults {
    let (_, faults) = suite.faults.iter().find(|(of, _)| *of == role).unwrap();
    faults
}

fn fail_the_next_but_one(faults: &Faults) {
    if !faults.is_planned() {
        // In turn nothing of the commit happens, or all of it and nobody is told.
        let fault = if faults.commits() % 4 < 2 { CommitFault::Before } else { CommitFault::After };
        faults.plan(1, fault);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn contracts_drafted_at_once_are_numbered_without_a_gap() {
    let suite = Suite::start(Topology::AllInOne).await;
    let staff = staff::department(&suite.admin).await;
    let mut story = Story::new(&staff, suite.today().await);
    story.tell_until(Step::Draft).await;

    let faults = faults_of(&suite, Role::Contracts);
    // Every third is for a deal that does not exist, and each is sent twice.
    let intents = (0..48).map(|at| {
        let deal = if at % 3 == 0 { format!("deals/{}", uuid::Uuid::now_v7()) } else { story.deal.clone() };
        let lines = papers::price("5");
        ct::DraftContractRequest { request_id: id(), deal, currency_code: "RUB".into(), lines }
    });
    let sent = intents.flat_map(|intent| [intent.clone(), intent]).map(|intent| {
        let (door, faults) = (story.manager().door.clone(), faults.clone());
        tokio::spawn(async move {
            fail_the_next_but_one(&faults);
            known(|| async { door.contracts().draft_contract(intent.clone()).await }).await
        })
    });
    let sent: Vec<_> = sent.collect();
    let mut drafted = BTreeMap::new();
    for (at, answer) in join_all(sent).await.into_iter().enumerate() {
        match answer.unwrap() {
            Ok(answer) => {
                let answers: &mut Vec<_> = drafted.entry(at / 2).or_default();
                answers.push(answer);
            }
            Err(status) => assert_eq!(reason(&status), (Code::FailedPrecondition, "DEAL_NOT_FOUND".into())),
        }
    }
    assert_eq!(drafted.len(), 32);
    assert!(drafted.values().all(|answers| answers.len() == 2 && answers[0] == answers[1]), "one answer an intent");
    let mut numbers: Vec<i64> =
        drafted.values().map(|answers| place(&answers[0].contract.as_ref().unwrap().number)).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=32).collect::<Vec<_>>(), "no gap and no repetition");
    let ask = ct::ListContractsRequest { page_size: 200, ..Default::default() };
    let all = suite.admin.contracts().list_contracts(ask).await.unwrap().into_inner().contracts;
    assert_eq!(all.len(), 32);
    suite.stop().await;
}
