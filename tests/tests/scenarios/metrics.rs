//! What operators look at is really there: every metric of the dashboard and the alerts, and a word about each.

use std::{collections::BTreeSet, net::SocketAddr, path::Path};

use otdel::cli::Role;
use otdel_api::leads as pb;
use otdel_gateway::Settings;
use otdel_tests::{
    cluster::Database,
    eventually::eventually,
    staff::department,
    story::Story,
    suite::{Suite, Topology},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::feed::submit;

/// What Otdel's metrics begin with. Those of its libraries' runtime have other names.
const OURS: [&str; 3] = ["otdel_", "rpc_", "process_"];

/// What a histogram adds to its name.
const PARTS: [&str; 3] = ["_bucket", "_count", "_sum"];

/// The metrics that a file of the deployment names.
fn named(file: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_' || letter == ':'));
    let ours = words.filter(|word| OURS.iter().any(|prefix| word.starts_with(prefix)) && !LABELS.contains(word));
    ours.map(|word| PARTS.iter().find_map(|part| word.strip_suffix(part)).unwrap_or(word).to_owned()).collect()
}

/// Labels whose names look like a metric's.
const LABELS: [&str; 2] = ["rpc_method", "rpc_status"];

/// What a process tells Prometheus.
pub(crate) async fn scrape(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: otdel\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}

/// The second word of each line that begins so.
fn words_after(text: &str, start: &str) -> BTreeSet<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(start));
    lines.filter_map(|line| line.split(' ').next()).map(ToOwned::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_that_operators_look_at_is_exported_and_described() {
    let wanted: BTreeSet<String> = ["alerts.yaml", "dashboards/otdel.json"].into_iter().flat_map(named).collect();
    assert!(wanted.len() > 20, "{wanted:?}");
    let flags = ["--metrics-listen", "127.0.0.1:0"];
    let mut suite = Suite::start_with(Topology::Split, Database::standing().await, &Settings::default(), &flags).await;
    let staff = department(&suite.admin).await;
    Story::new(&staff, suite.today().await).tell().await;
    // A refusal, and a lead whose deadline passes.
    suite.admin.leads().submit_lead(pb::SubmitLeadRequest::default()).await.unwrap_err();
    suite.admin.leads().submit_lead(submit("late".into())).await.unwrap();
    suite.advance(suite.now().await + chrono::TimeDelta::hours(2)).await;

    let addresses = Role::ALL.map(|role| suite.split().metrics(role).unwrap());
    let told = eventually("every metric is exported", || async {
        let mut told = String::new();
        for address in addresses {
            told += &scrape(address).await;
        }
        let exported = words_after(&told, "# TYPE ");
        let missing: Vec<_> = wanted.difference(&exported).cloned().collect();
        if missing.is_empty() { Ok(told) } else { Err(missing) }
    })
    .await;
    let (exported, described) = (words_after(&told, "# TYPE "), words_after(&told, "# HELP "));
    let silent: Vec<_> = exported.difference(&described).collect();
    assert!(silent.is_empty(), "nothing is said of {silent:?}");
    for person in ["Ёжик", "example.org", "Пётр"] {
        assert!(!told.contains(person), "a metric tells {person:?}");
    }
    suite.stop().await;
}
