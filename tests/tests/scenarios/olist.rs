//! A replay of a real marketing funnel through the public RPCs: its reports come out exactly as counted elsewhere.
//!
//! The data set is found through `OTDEL_DATASETS`; where that is not set, the real replay is skipped with a message and
//! the made sample alone keeps the path tested.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use futures_util::{StreamExt as _, stream};
use otdel_api::{leads as pb, reporting as rp};
use otdel_runtime::convert::timestamp;
use otdel_tests::{
    eventually::eventually,
    refusal::is_passing,
    staff::{self, Department, id},
    suite::{Suite, Topology},
};
use serde_json::{Value, json};
use uuid::Uuid;

/// A lead of the funnel, with the instant at which its deal was won.
#[derive(Clone, Debug)]
struct Record {
    id: String,
    received: NaiveDate,
    origin: String,
    won: Option<DateTime<Utc>>,
}

/// How many leads are on their way at once.
const AT_ONCE: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn the_olist_funnel_is_reported_as_counted() {
    let Some(folder) = std::env::var_os("OTDEL_DATASETS").map(|root| PathBuf::from(root).join("olist-funnel")) else {
        println!("skipped: OTDEL_DATASETS is not set, so the real funnel is not replayed");
        return;
    };
    let records = read(&folder);
    assert_eq!((records.len(), records.iter().filter(|one| one.won.is_some()).count()), (8_000, 842));
    let truth: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("truth.json")).unwrap()).unwrap();
    replayed_twice_equals(&records, &truth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_made_funnel_is_reported_as_counted() {
    let records = sample();
    let truth = count(&records);
    replayed_twice_equals(&records, &truth).await;
}

async fn replayed_twice_equals(records: &[Record], truth: &Value) {
    let suite = Suite::start(Topology::AllInOne).await;
    let staff = staff::department(&suite.admin).await;
    let pipeline = pipeline_without_gates(&suite).await;
    let first = replay(&suite, &staff, &pipeline, records).await;
    let figures = figures(&suite, &first).await;
    for key in [
        "leads_by_channel",
        "leads_by_month",
        "leads_by_channel_month",
        "conversion_by_channel",
        "won_by_month",
        "cycle_days_mean_by_channel",
    ] {
        assert_eq!(figures[key], truth[key], "{key}");
    }
    for key in ["conversion_by_lead_month", "cycle_days", "conversion_overall_pct", "leads", "deals"] {
        assert_eq!(figures[key], truth[key], "{key}");
    }
    let events = super::feed::lead_events(&suite.admin).await.len();
    let second = replay(&suite, &staff, &pipeline, records).await;
    assert_eq!(first, second, "the same changes are answered");
    assert_eq!(super::feed::lead_events(&suite.admin).await.len(), events, "nothing was written");
    super::story::a_rebuild_is_equal(&suite).await;
    suite.stop().await;
}

async fn pipeline_without_gates(suite: &Suite) -> String {
    let stage = pb::Stage { id: "imported".into(), display_name: "Импорт".into(), gates: vec![] };
    let pipeline =
        pb::Pipeline { code: "olist".into(), display_name: "Olist".into(), stages: vec![stage], ..Default::default() };
    let request = pb::CreatePipelineRequest { request_id: id(), pipeline: Some(pipeline) };
    suite.admin.pipelines().create_pipeline(request).await.unwrap().into_inner().pipeline.unwrap().name
}

/// Plays every record and returns each one's last change.
async fn replay(suite: &Suite, staff: &Department, pipeline: &str, records: &[Record]) -> Vec<String> {
    let _ = staff;
    stream::iter(records.iter().cloned().map(|record| {
        let (door, pipeline) = (suite.admin.clone(), pipeline.to_owned());
        async move { play(&door, &pipeline, &record).await }
    }))
    .buffered(AT_ONCE)
    .collect()
    .await
}

async fn play(door: &otdel_tests::door::Door, pipeline: &str, record: &Record) -> String {
    let request_id = |step: u8| {
        let digest = ring::digest::digest(&ring::digest::SHA256, format!("{step}:{}", record.id).as_bytes());
        Uuid::from_slice(&digest.as_ref()[..16]).unwrap().to_string()
    };
    let received = record.received.and_hms_opt(0, 0, 0).unwrap().and_utc();
    let submit = pb::SubmitLeadRequest {
        request_id: request_id(1),
        channel: pb::Channel::Site.into(),
        origin: record.origin.clone(),
        source_ref: record.id.clone(),
        contact: Some(pb::LeadContact {
            display_name: record.id.clone(),
            email: format!("{}@example.org", record.id),
            ..Default::default()
        }),
        text: String::new(),
        receive_time: Some(timestamp(received)),
    };
    let answer = sure(|| async { door.leads().submit_lead(submit.clone()).await }).await;
    let Some(won) = record.won else { return answer.change };
    let lead = answer.lead.unwrap().name;
    let contact = pb::LogContactRequest {
        request_id: request_id(2),
        name: lead.clone(),
        kind: pb::ContactKind::Call.into(),
        outcome: pb::ContactOutcome::Reached.into(),
        ..Default::default()
    };
    sure(|| async { door.leads().log_contact(contact.clone()).await }).await;
    let convert = pb::ConvertLeadRequest {
        request_id: request_id(3),
        name: lead,
        etag: String::new(),
        pipeline: pipeline.to_owned(),
    };
    let deal = sure(|| async { door.leads().convert_lead(convert.clone()).await }).await.deal.unwrap().name;
    let win = pb::MarkWonRequest {
        request_id: request_id(4),
        name: deal,
        etag: String::new(),
        win_time: Some(timestamp(won)),
    };
    sure(|| async { door.deals().mark_won(win.clone()).await }).await.change
}

/// Sends a request until it is answered.
async fn sure<T, F: Future<Output = Result<tonic::Response<T>, tonic::Status>>>(send: impl Fn() -> F) -> T {
    let answer = eventually("the request is answered", || async {
        match send().await {
            Err(status) if is_passing(&status) => Err(status),
            outcome => Ok(outcome),
        }
    });
    answer.await.unwrap_or_else(|status| panic!("{status:?}")).into_inner()
}

/// The suite's figures in the shape of the truth.
async fn figures(suite: &Suite, changes: &[String]) -> Value {
    // Those that were under way together may be in any order.
    let at_least = changes[changes.len().saturating_sub(AT_ONCE)..].to_vec();
    let reports = suite.admin.reports();
    let (month, origin) = (i32::from(rp::Dimension::Month), i32::from(rp::Dimension::Origin));
    let leads = async |dimensions: Vec<i32>| {
        let ask = rp::GetLeadReportRequest { filter: None, dimensions, at_least: at_least.clone() };
        sure(|| async { reports.clone().get_lead_report(ask.clone()).await }).await.rows
    };
    let conversion = async |dimensions: Vec<i32>| {
        let ask = rp::GetConversionReportRequest { filter: None, dimensions, at_least: at_least.clone() };
        sure(|| async { reports.clone().get_conversion_report(ask.clone()).await }).await.rows
    };
    let won = async |dimensions: Vec<i32>| {
        let ask = rp::GetWonReportRequest { filter: None, dimensions, at_least: at_least.clone() };
        sure(|| async { reports.clone().get_won_report(ask.clone()).await }).await.rows
    };
    let mut by_both = serde_json::Map::new();
    for row in leads(vec![month, origin]).await {
        let of_month = by_both.entry(row.month).or_insert_with(|| json!({}));
        of_month.as_object_mut().unwrap().insert(row.origin, json!(row.leads));
    }
    let overall = conversion(vec![]).await.remove(0);
    let cycle = won(vec![]).await.remove(0);
    let days = cycle.cycle_days.unwrap();
    let number =
        |value: Option<otdel_api::common::Decimal>| -> Value { json!(value.unwrap().value.parse::<f64>().unwrap()) };
    json!({
        "leads": overall.leads,
        "deals": cycle.won,
        "leads_by_channel": object(leads(vec![origin]).await, |row| (row.origin, json!(row.leads))),
        "leads_by_month": object(leads(vec![month]).await, |row| (row.month, json!(row.leads))),
        "leads_by_channel_month": by_both,
        "conversion_by_channel": object(conversion(vec![origin]).await, |row| {
            (row.origin, json!({"leads": row.leads, "won": row.won, "rate_pct": number(row.rate_percent)}))
        }),
        "conversion_by_lead_month": object(conversion(vec![month]).await, |row| {
            (row.month, json!({"leads": row.leads, "won": row.won}))
        }),
        "conversion_overall_pct": number(overall.rate_percent),
        "won_by_month": object(won(vec![month]).await, |row| (row.month, json!(row.won))),
        "cycle_days": json!({
            "mean": number(days.mean), "median": number(days.median), "min": days.min, "max": days.max,
            "negative": days.negative,
        }),
        "cycle_days_mean_by_channel": object(won(vec![origin]).await, |row| (row.origin, number(row.cycle_days.unwrap().mean))),
    })
}

fn object<T>(rows: Vec<T>, entry: impl Fn(T) -> (String, Value)) -> Value {
    Value::Object(rows.into_iter().map(entry).collect())
}

fn read(folder: &Path) -> Vec<Record> {
    let rows = |name: &str| -> Vec<csv::StringRecord> {
        let mut reader = csv::Reader::from_path(folder.join(name)).unwrap();
        reader.records().map(|row| row.unwrap()).collect()
    };
    let won: BTreeMap<String, DateTime<Utc>> = rows("olist_closed_deals_dataset.csv")
        .iter()
        .map(|row| (row[0].to_owned(), NaiveDateTime::parse_from_str(&row[4], "%Y-%m-%d %H:%M:%S").unwrap().and_utc()))
        .collect();
    rows("olist_marketing_qualified_leads_dataset.csv")
        .iter()
        .map(|row| Record {
            id: row[0].to_owned(),
            received: row[1].parse().unwrap(),
            origin: row[3].to_owned(),
            won: won.get(&row[0]).copied(),
        })
        .collect()
}

/// A small funnel with every oddity of the real one: an empty origin, a deal won before its lead, a month without wins.
fn sample() -> Vec<Record> {
    let origins = ["organic_search", "paid_search", "unknown", "", "e-mail «весна»"];
    (0..60_i64)
        .map(|at| {
            let received = NaiveDate::from_ymd_opt(2025, 3, 30).unwrap() + chrono::TimeDelta::days(at % 40);
            let days = (at % 3 == 0).then_some(if at == 30 { -2 } else { at * 7 % 45 });
            let won =
                days.map(|days| (received + chrono::TimeDelta::days(days)).and_hms_opt(23, 59, 59).unwrap().and_utc());
            let origin = origins[usize::try_from(at * at % 5).unwrap()].to_owned();
            Record { id: format!("made-{at}"), received, origin, won }
        })
        .collect()
}

/// The same figures counted straight from the records.
fn count(records: &[Record]) -> Value {
    let origin = |one: &Record| if one.origin.is_empty() { "(missing)".to_owned() } else { one.origin.clone() };
    let month = |one: &Record| one.received.format("%Y-%m").to_string();
    let days = |one: &Record| one.won.map(|won| (won.date_naive() - one.received).num_days());
    let group = |key: &dyn Fn(&Record) -> String| {
        let mut groups: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
        for one in records {
            groups.entry(key(one)).or_default().push(one);
        }
        groups
    };
    let won = |group: &[&Record]| group.iter().filter(|one| one.won.is_some()).count();
    let mut by_both = BTreeMap::<String, BTreeMap<String, usize>>::new();
    for one in records {
        *by_both.entry(month(one)).or_default().entry(origin(one)).or_default() += 1;
    }
    let mut cycle: Vec<i64> = records.iter().filter_map(days).collect();
    cycle.sort_unstable();
    let mut won_months = BTreeMap::<String, usize>::new();
    for won in records.iter().filter_map(|one| one.won) {
        *won_months.entry(won.format("%Y-%m").to_string()).or_default() += 1;
    }
    let middle = cycle.len() / 2;
    let median = if cycle.len() % 2 == 1 {
        rounded(2 * cycle[middle], 2)
    } else {
        rounded(cycle[middle - 1] + cycle[middle], 2)
    };
    json!({
        "leads": records.len(),
        "deals": cycle.len(),
        "leads_by_channel": group(&origin).into_iter().map(|(key, of)| (key, of.len())).collect::<BTreeMap<_, _>>(),
        "leads_by_month": group(&month).into_iter().map(|(key, of)| (key, of.len())).collect::<BTreeMap<_, _>>(),
        "leads_by_channel_month": by_both,
        "conversion_by_channel": group(&origin).into_iter().map(|(key, of)| {
            let won = won(&of);
            (key, json!({"leads": of.len(), "won": won, "rate_pct": rounded(100 * i64::try_from(won).unwrap(), i64::try_from(of.len()).unwrap())}))
        }).collect::<BTreeMap<_, _>>(),
        "conversion_by_lead_month": group(&month).into_iter().map(|(key, of)| {
            let won = won(&of);
            (key, json!({"leads": of.len(), "won": won}))
        }).collect::<BTreeMap<_, _>>(),
        "conversion_overall_pct": rounded(100 * i64::try_from(cycle.len()).unwrap(), i64::try_from(records.len()).unwrap()),
        "won_by_month": won_months,
        "cycle_days": json!({
            "mean": rounded(cycle.iter().sum(), i64::try_from(cycle.len()).unwrap()), "median": median,
            "min": cycle.first(), "max": cycle.last(), "negative": cycle.iter().filter(|days| **days < 0).count(),
        }),
        "cycle_days_mean_by_channel": group(&origin).into_iter().filter_map(|(key, of)| {
            let days: Vec<i64> = of.iter().filter_map(|one| days(one)).collect();
            (!days.is_empty()).then(|| (key, rounded(days.iter().sum(), i64::try_from(days.len()).unwrap())))
        }).collect::<BTreeMap<_, _>>(),
    })
}

/// A quotient with four digits, half away from zero, in whole numbers.
fn rounded(numerator: i64, denominator: i64) -> f64 {
    let scaled = i128::from(numerator) * 20_000 / i128::from(denominator);
    let digits = i128::midpoint(scaled, scaled.signum());
    format!("{digits}e-4").parse().unwrap()
}
