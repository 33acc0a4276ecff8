//! Reports say what happened, all of it and nothing else, whenever they are built.

mod count;
mod history;
mod rebuilds;

use std::{collections::BTreeMap, time::Duration};

use chrono::NaiveDate;
use otdel_api::{billing as bl, contracts as ct, leads as pb, reporting as rp};
use otdel_tests::{
    cluster::Database,
    dice::Dice,
    door::Door,
    eventually::{eventually, known},
    papers,
    refusal::{fields, reason},
    staff::{self, Department, id},
    story::{Step, Story, roubles},
    suite::{Suite, Topology},
};
use sqlx::{AssertSqlSafe, Executor as _};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use count::{Question, Reach};
use history::{History, Teller};

/// The history is the same each time; `OTDEL_TEST_SEED` makes another one.
fn seed() -> u64 {
    std::env::var("OTDEL_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(7)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_report_of_a_random_history_is_what_was_acknowledged() {
    let suite = Suite::start(Topology::AllInOne).await;
    let departments = [staff::department(&suite.admin).await, staff::department(&suite.admin).await];
    let readers = readers(&suite, &departments);
    let (mut teller, mut dice) = (Teller::new(&suite, &departments, seed()).await, Dice::new(seed()));
    for last in [false, true] {
        // At the end nobody is there to take over, so that some wait for an owner.
        teller.month(!last).await;
        suite.settle().await;
        for (door, reach) in &readers {
            reports_are_equal(door, reach, &teller.history, &mut dice).await;
        }
        if !last {
            teller.next_month().await;
        }
    }
    has_everything(&teller.history);
    super::story::a_rebuild_is_equal(&suite).await;
    reports_are_equal(&suite.admin, &readers[0].1, &teller.history, &mut dice).await;
    suite.stop().await;
}

fn readers(suite: &Suite, departments: &[Department; 2]) -> Vec<(Door, Reach)> {
    let mut readers = vec![(suite.admin.clone(), Reach { all: true, ..Default::default() })];
    for department in departments {
        let (head, team) = (&department.head, department.team.clone());
        readers.push((head.door.clone(), Reach { all: false, person: head.person.clone(), teams: vec![team] }));
        for manager in [&department.manager, &department.colleague] {
            readers.push((manager.door.clone(), Reach { person: manager.person.clone(), ..Default::default() }));
        }
    }
    readers
}

/// Every order of every choice of dimensions.
const DIMENSIONS: [&[rp::Dimension]; 16] = {
    use rp::Dimension::{Channel as C, Month as M, Origin as O};
    [
        &[],
        &[M],
        &[O],
        &[C],
        &[M, O],
        &[O, M],
        &[M, C],
        &[C, M],
        &[O, C],
        &[C, O],
        &[M, O, C],
        &[M, C, O],
        &[O, M, C],
        &[O, C, M],
        &[C, M, O],
        &[C, O, M],
    ]
};

async fn reports_are_equal(door: &Door, reach: &Reach, history: &History, dice: &mut Dice) {
    for dimensions in DIMENSIONS {
        let question = Question { history, reach, filter: filter(history, dice), dimensions: dimensions.to_vec() };
        by_dimensions_are_equal(door, &question).await;
    }
    for at in 0..4 {
        let filter = if at == 0 { rp::Filter::default() } else { filter(history, dice) };
        let question = Question { history, reach, filter, dimensions: vec![] };
        others_are_equal(door, &question, dice).await;
    }
}

/// Months, an owner and a team, each asked for now and then.
fn filter(history: &History, dice: &mut Dice) -> rp::Filter {
    let lead = dice.of(&history.leads).clone();
    let mut months = [dice.of(&history.leads).received, dice.of(&history.leads).received];
    months.sort_unstable();
    let mut sometimes = |text: String| if dice.below(3) == 0 { text } else { String::new() };
    let month = |date: NaiveDate| date.format("%Y-%m").to_string();
    rp::Filter {
        from_month: sometimes(month(months[0])),
        to_month: sometimes(month(months[1])),
        owner: sometimes(lead.owner),
        team: sometimes(lead.team),
    }
}

async fn by_dimensions_are_equal(door: &Door, question: &Question<'_>) {
    let (filter, at_least) = (Some(question.filter.clone()), vec![question.history.change.clone()]);
    let dimensions: Vec<i32> = question.dimensions.iter().map(|one| (*one).into()).collect();
    let what = || format!("{:?} by {:?} for {:?}", question.filter, question.dimensions, question.reach);
    let ask =
        rp::GetLeadReportRequest { filter: filter.clone(), dimensions: dimensions.clone(), at_least: at_least.clone() };
    let rows = known(|| async { door.reports().get_lead_report(ask.clone()).await }).await.unwrap().rows;
    assert_eq!(rows, question.leads(), "leads {}", what());
    let ask = rp::GetConversionReportRequest {
        filter: filter.clone(),
        dimensions: dimensions.clone(),
        at_least: at_least.clone(),
    };
    let rows = known(|| async { door.reports().get_conversion_report(ask.clone()).await }).await.unwrap().rows;
    assert_eq!(rows, question.conversion(), "conversion {}", what());
    let ask = rp::GetWonReportRequest { filter, dimensions, at_least };
    let rows = known(|| async { door.reports().get_won_report(ask.clone()).await }).await.unwrap().rows;
    assert_eq!(rows, question.won(), "won {}", what());
}

async fn others_are_equal(door: &Door, question: &Question<'_>, dice: &mut Dice) {
    let what = || format!("{:?} for {:?}", question.filter, question.reach);
    let deal = question.history.deals.get(dice.below(2 * question.history.deals.len()));
    let (pipeline, client) = deal.map(|deal| (deal.pipeline.clone(), deal.client.clone())).unwrap_or_default();
    let filter = Some(question.filter.clone());
    let ask = rp::GetFunnelReportRequest { filter: filter.clone(), pipeline: pipeline.clone(), at_least: vec![] };
    let rows = known(|| async { door.reports().get_funnel_report(ask.clone()).await }).await.unwrap().rows;
    assert_eq!(rows, question.funnel(&pipeline), "funnel {} {pipeline}", what());
    let ask = rp::GetRevenueReportRequest { filter, at_least: vec![] };
    let rows = known(|| async { door.reports().get_revenue_report(ask.clone()).await }).await.unwrap().rows;
    assert_eq!(rows, question.revenue(), "revenue {}", what());
    let page_size = 1 + i32::try_from(dice.below(5)).unwrap();
    let mut ask = rp::GetReceivablesReportRequest { client: client.clone(), page_size, ..Default::default() };
    let mut rows = Vec::new();
    loop {
        let page = known(|| async { door.reports().get_receivables_report(ask.clone()).await }).await.unwrap();
        rows.extend(page.rows);
        ask.page_token = page.next_page_token;
        if ask.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(rows, question.receivables(&client), "receivables {} {client}", what());
}

/// A history without one of these would prove less than it seems to.
fn has_everything(history: &History) {
    let leads = |state| history.leads.iter().filter(|lead| lead.state == state).count();
    let deals = |state| history.deals.iter().filter(|deal| deal.state == state).count();
    let pooled_after_an_owner =
        history.leads.iter().filter(|lead| lead.owner.is_empty() && !lead.team.is_empty()).count();
    let negative = history
        .deals
        .iter()
        .filter(|deal| deal.win.as_ref().is_some_and(|(date, _)| *date < history.leads[deal.lead].received));
    let counts = [
        ("leads that nobody ever had", leads(pb::lead::State::Pooled) - pooled_after_an_owner),
        ("leads that went to the pool", pooled_after_an_owner),
        ("open deals", deals(pb::deal::State::Open)),
        ("won deals", deals(pb::deal::State::Won)),
        ("lost deals", deals(pb::deal::State::Lost)),
        ("deals won before their lead", negative.count()),
        ("deals won with a worth", history.deals.iter().filter(|deal| matches!(deal.win, Some((_, Some(_))))).count()),
        ("deals past their second stage", history.deals.iter().filter(|deal| deal.stages.len() > 2).count()),
        ("invoices", history.invoices.len()),
        ("parts of payments", history.parts.len()),
    ];
    for (what, count) in counts {
        assert!(count > 0, "the history has no {what}: {counts:?}");
    }
}

/// The live read model.
async fn projection(door: &Door) -> rp::Projection {
    let ask = rp::GetProjectionRequest::default();
    known(|| async { door.projections().get_projection(ask.clone()).await }).await.unwrap().projection.unwrap()
}

/// Builds the read model again, beside the live one.
async fn rebuild(door: &Door) -> Result<rp::Projection, Status> {
    let ask = rp::RebuildProjectionRequest { generation: projection(door).await.generation };
    let built = known(|| async { door.projections().rebuild_projection(ask).await }).await?;
    Ok(built.projection.unwrap())
}

/// How many leads a report counts, all of them together.
async fn leads(door: &Door, at_least: Vec<String>) -> i64 {
    let ask = rp::GetLeadReportRequest { at_least, ..Default::default() };
    known(|| async { door.reports().get_lead_report(ask.clone()).await }).await.unwrap().rows[0].leads
}

async fn submit(door: &Door) -> pb::SubmitLeadResponse {
    let request = super::feed::submit(id());
    known(|| async { door.leads().submit_lead(request.clone()).await }).await.unwrap()
}

/// Pays a kopeck of the story's invoice.
async fn pay_a_kopeck(door: &Door, story: &Story) -> bl::RecordPaymentResponse {
    let request = bl::RecordPaymentRequest {
        request_id: id(),
        client: story.client.clone(),
        amount: Some(roubles(0, 10_000_000)),
        bank_ref: id(),
        value_date: Some(story.today),
        allocations: vec![bl::Allocation { invoice: story.invoice.clone(), amount: Some(roubles(0, 10_000_000)) }],
    };
    known(|| async { door.payments().record_payment(request.clone()).await }).await.unwrap()
}

async fn draft(door: &Door, story: &Story) -> ct::DraftContractResponse {
    let (deal, lines) = (story.deal.clone(), papers::price("1"));
    let request = ct::DraftContractRequest { request_id: id(), deal, currency_code: "RUB".into(), lines };
    known(|| async { door.contracts().draft_contract(request.clone()).await }).await.unwrap()
}

/// A suite with a story whose invoice is there and not paid.
async fn with_an_invoice() -> (Suite, Department, Story) {
    let suite = Suite::start(Topology::AllInOne).await;
    let staff = staff::department(&suite.admin).await;
    let mut story = Story::new(&staff, suite.today().await);
    story.tell_until(Step::PayPart).await;
    (suite, staff, story)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_row_is_found_by_a_rebuild_which_then_changes_nothing() {
    let suite = Suite::start(Topology::AllInOne).await;
    let staff = staff::department(&suite.admin).await;
    Story::new(&staff, suite.today().await).tell().await;
    suite.settle().await;
    let honest = projection(&suite.admin).await;
    let pool = suite.database.pool("reporting").await;
    for (change, back) in [
        ("update lead set won = not won", "update lead set won = not won"),
        ("update lead set owner_id = null", "update lead set owner_id = (select owner_id from deal)"),
        ("update deal set amount = amount + 1", "update deal set amount = amount - 1"),
        ("update stage_entry set position = position + 9", "update stage_entry set position = position - 9"),
        ("update invoice set net = net + 1, vat = vat - 1", "update invoice set net = net - 1, vat = vat + 1"),
        ("update allocation set amount = amount + 1", "update allocation set amount = amount - 1"),
    ] {
        sqlx::query(change).execute(&pool).await.unwrap();
        let changed = projection(&suite.admin).await;
        assert_ne!(changed.digest, honest.digest, "{change}");
        let refused = rebuild(&suite.admin).await.expect_err(change);
        assert_eq!(reason(&refused), (Code::DataLoss, "DIGESTS_DIFFER".into()), "{change}: {refused:?}");
        let told = refused.get_details_error_info().unwrap().metadata;
        assert_eq!((&told["live"], &told["rebuilt"]), (&changed.digest, &honest.digest), "{change}");
        assert_eq!(projection(&suite.admin).await, changed, "{change}");
        sqlx::query(back).execute(&pool).await.unwrap();
        assert_eq!(projection(&suite.admin).await, honest, "{back}");
    }
    // A sum is no fact: the content stays, and still no build takes the place of one whose reports are wrong.
    for (sum, change, back) in [
        ("lead_sum", "set won = won + 1", "set won = won - 1"),
        ("won_sum", "set days = days + 1", "set days = days - 1"),
        ("worth_sum", "set amount = amount + 1", "set amount = amount - 1"),
        ("stage_sum", "set standing = standing + 1", "set standing = standing - 1"),
        ("money_sum", "set paid = paid + 1", "set paid = paid - 1"),
        ("debt_sum", "set paid = paid + 1", "set paid = paid - 1"),
    ] {
        sqlx::query(AssertSqlSafe(format!("update {sum} {change}"))).execute(&pool).await.unwrap();
        assert_eq!(projection(&suite.admin).await, honest, "{sum}");
        let refused = rebuild(&suite.admin).await.expect_err(sum);
        assert_eq!(reason(&refused), (Code::DataLoss, "DIGESTS_DIFFER".into()), "{sum}: {refused:?}");
        let told = refused.get_details_error_info().unwrap().metadata;
        assert_eq!(told["live"], format!("{} with wrong {sum}", honest.digest));
        assert_eq!(told["rebuilt"], honest.digest);
        sqlx::query(AssertSqlSafe(format!("update {sum} {back}"))).execute(&pool).await.unwrap();
    }
    sqlx::query("update content set facts = facts + 1 where fact_table = 'lead'").execute(&pool).await.unwrap();
    let refused = rebuild(&suite.admin).await.expect_err("content");
    let told = refused.get_details_error_info().unwrap().metadata;
    assert_eq!(told["live"], format!("{} with wrong content", honest.digest));
    sqlx::query("update content set facts = facts - 1 where fact_table = 'lead'").execute(&pool).await.unwrap();
    let left: i64 = sqlx::query_scalar(
        "select (select count(*) from lead where generation <> 1) + (select count(*) from deal where generation <> 1)
              + (select count(*) from allocation where generation <> 1)
              + (select count(*) from lead_sum where generation <> 1)
              + (select count(*) from won_sum where generation <> 1)
              + (select count(*) from worth_sum where generation <> 1)
              + (select count(*) from stage_sum where generation <> 1)
              + (select count(*) from money_sum where generation <> 1)
              + (select count(*) from debt_sum where generation <> 1)
              + (select count(*) from content where generation <> 1)
              + (select count(*) from cursor where generation <> 1)",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(left, 0, "a build that was refused left something behind");
    let built = rebuild(&suite.admin).await.expect("equal digests");
    assert_eq!(built, rp::Projection { generation: 2, ..honest });
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_includes_the_changes_that_it_is_asked_for() {
    let (suite, _staff, story) = with_an_invoice().await;
    let door = &suite.admin;
    suite.settle().await;
    let (counted, mut paid) = (leads(door, vec![]).await, 0);
    let mut changes = Vec::new();
    for round in 1..=8 {
        let change = submit(door).await.change;
        assert_eq!(leads(door, vec![change.clone()]).await, counted + round);
        changes.push((change.clone(), freshness(door, &change).await));

        let change = pay_a_kopeck(door, &story).await.change;
        paid += 1;
        let ask = rp::GetRevenueReportRequest { at_least: vec![change.clone()], ..Default::default() };
        let rows = known(|| async { door.reports().get_revenue_report(ask.clone()).await }).await.unwrap().rows;
        assert_eq!(rows.iter().map(|row| papers::minor(row.paid.as_ref())).sum::<i64>(), paid);
        changes.push((change.clone(), freshness(door, &change).await));

        // No report counts contracts yet, but each tells how far it has read them.
        let change = draft(door, &story).await.change;
        changes.push((change.clone(), freshness(door, &change).await));
    }
    let positions = positions(door).await;
    for (change, read) in changes {
        assert!(read >= positions[&change], "{change} is at {}, and {read} was read", positions[&change]);
    }

    let ask =
        rp::GetLeadReportRequest { at_least: vec![format!("leads/{}", uuid::Uuid::now_v7())], ..Default::default() };
    let refused = door.reports().get_lead_report(ask).await.unwrap_err();
    assert_eq!((refused.code(), fields(&refused)), (Code::InvalidArgument, vec!["at_least[0]".to_owned()]));
    suite.stop().await;
}

/// How far a report that is to include a change has read the change's source.
async fn freshness(door: &Door, change: &str) -> i64 {
    let ask = rp::GetLeadReportRequest { at_least: vec![change.to_owned()], ..Default::default() };
    let report = known(|| async { door.reports().get_lead_report(ask.clone()).await }).await.unwrap();
    let (service, _) = change.split_once('/').unwrap();
    report.freshness.iter().find(|one| one.service == service).unwrap().position
}

/// Where every change stands in its feed.
async fn positions(door: &Door) -> BTreeMap<String, i64> {
    let leads = super::feed::lead_events(door).await.into_iter().map(|event| event.envelope);
    let contracts = super::feed::contract_events(door).await.into_iter().map(|event| event.envelope);
    let billing = super::feed::billing_events(door).await.into_iter().map(|event| event.envelope);
    let all = leads.chain(contracts).chain(billing).map(|envelope| envelope.unwrap());
    all.map(|envelope| (format!("{}/{}", envelope.service, envelope.event_id), envelope.position)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_was_restored_is_read_again_and_every_follower_converges() {
    let (suite, _staff, _story) = with_an_invoice().await;
    suite.settle().await;
    let before = leads(&suite.admin, vec![]).await;
    let database = suite.stop().await;
    database.pool("public").await.execute("create schema kept").await.unwrap();
    every_table_of_leads(&database, "create table kept.%1$I as table leads.%1$I").await;

    // What happens now is lost, though all who follow leads have read it.
    let suite = Suite::start_on(Topology::AllInOne, database).await;
    for _ in 0..3 {
        submit(&suite.admin).await;
    }
    suite.settle().await;
    assert_eq!(leads(&suite.admin, vec![]).await, before + 3);
    let lost = generations(&suite.database).await;
    let database = suite.stop().await;
    every_table_of_leads(&database, "delete from leads.%1$I").await;
    every_table_of_leads(&database, "insert into leads.%1$I (%2$s) overriding system value select %2$s from kept.%1$I")
        .await;

    // And something else happens instead. While the follower cannot put what it reads again in the place of what it had
    // read, no report takes one of the lost events for the one that it is to include.
    let pool = database.pool("reporting").await;
    let mut held = pool.begin().await.unwrap();
    sqlx::query("select from projection for update").execute(&mut *held).await.unwrap();
    let suite = Suite::start_on(Topology::AllInOne, database).await;
    let change = submit(&suite.admin).await.change;
    is_behind(&suite.admin, &change).await;
    held.rollback().await.unwrap();
    assert_eq!(leads(&suite.admin, vec![change]).await, before + 1);
    let after = eventually("the reports tell of what is", || async {
        let now = leads(&suite.admin, vec![]).await;
        if now == before + 1 { Ok(now) } else { Err(now) }
    })
    .await;
    suite.settle().await;
    assert_eq!(leads(&suite.admin, vec![]).await, after);
    for (follower, generation) in generations(&suite.database).await {
        assert!(generation > lost[&follower], "{follower} was not built again");
    }
    super::story::a_rebuild_is_equal(&suite).await;
    suite.stop().await;
}

/// Asks for a report that includes a change, which is refused for now.
async fn is_behind(door: &Door, change: &str) {
    eventually("the report says that it is behind", || async {
        let ask = rp::GetLeadReportRequest { at_least: vec![change.to_owned()], ..Default::default() };
        let mut ask = tonic::Request::new(ask);
        ask.set_timeout(Duration::from_secs(2));
        match door.reports().get_lead_report(ask).await {
            Ok(answer) => panic!("a lost event was taken for {change}: {answer:?}"),
            Err(status) if reason(&status).1 == "BEHIND" => Ok(()),
            Err(status) => Err(status),
        }
    })
    .await;
}

/// Runs a statement for each table of leads, whose name is its first argument and whose columns are its second, without
/// the triggers and references that hold while the service runs.
async fn every_table_of_leads(database: &Database, statement: &str) {
    let sql = format!(
        "do $do$ declare one record; begin
           set local session_replication_role = replica;
           for one in select c.relname, string_agg(quote_ident(a.attname), ', ') as columns
                      from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
                           and not a.attisdropped and a.attgenerated = ''
                      where c.relnamespace = 'leads'::regnamespace and c.relkind = 'r' group by c.relname loop
             execute format('{statement}', one.relname, one.columns);
           end loop;
         end $do$"
    );
    database.pool("leads").await.execute(AssertSqlSafe(sql)).await.unwrap();
}

/// Which builds are live of the read models that are made of leads.
async fn generations(database: &Database) -> BTreeMap<String, i64> {
    let sql = "select name, live from contracts.projection union all select name, live from billing.projection
               where name = 'billing.access' union all select name, live from reporting.projection";
    let rows: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(&database.pool("public").await).await.unwrap();
    assert_eq!(rows.len(), 3, "{rows:?}");
    rows.into_iter().collect()
}
