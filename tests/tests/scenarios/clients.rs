//! The clients that people copy, each against a suite whose connections break while it works.

use std::{path::Path, process::Stdio};

use otdel_api::leads as pb;
use otdel_tests::{
    door::Door,
    proxy::Proxy,
    split,
    staff::system,
    suite::{Suite, Topology},
};
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, Command},
};

/// What the clients do, and nothing beyond it.
const PERMISSIONS: [&str; 5] = ["deals.work", "events.read", "leads.read", "leads.submit", "leads.work"];

/// Whether a tool is installed, and a word about it where it is not.
async fn has(tool: &str, args: &[&str]) -> bool {
    let output = Command::new(tool).args(args).output().await;
    let there = output.is_ok_and(|output| output.status.success());
    if !there {
        println!("skipped: {tool} {} does not work here", args.join(" "));
    }
    there
}

fn path(client: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(client);
    path.to_str().unwrap().to_owned()
}

/// Puts somebody on shift as the README says.
async fn put_somebody_on_shift(suite: &Suite) {
    let admin = system(&suite.admin, "administration", &["staff.schedule", "staff.write"]).await;
    let mut command = Command::new("bash");
    command.arg(path("somebody_on_shift.sh")).arg(suite.address.to_string()).arg(&admin.key);
    // The second run changes nothing.
    for _ in 0..2 {
        let output = command.output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("on shift: people/"));
    }
    let people = suite.admin.staff().list_people(pb::ListPeopleRequest::default()).await.unwrap().into_inner().people;
    assert_eq!(people.len(), 1);
    assert!(people[0].on_shift);
}

/// The second event of a sale, as a stream says it: in protobuf with its length before it, in JSON in quotes. Descriptors have
/// the same name with a full stop before it.
const SECOND_EVENT: [&[u8]; 2] = [b"\x1cotdel.leads.v1.LeadContacted", b"\"otdel.leads.v1.LeadContacted\""];

/// Runs a client, cuts its connection before its second event, and judges what it showed and what it left.
async fn play(program: &str, client: Option<&str>) {
    if !has("curl", &["--version"]).await || !has("jq", &["--version"]).await {
        return;
    }
    let suite = Suite::start(Topology::AllInOne).await;
    put_somebody_on_shift(&suite).await;
    let site = system(&suite.admin, "site", &PERMISSIONS).await;
    let proxy = Proxy::start().await.unwrap();
    proxy.point_to(Some(suite.address));
    proxy.cut_at(&SECOND_EVENT);

    let mut command = Command::new(program);
    command.args(client.map(path)).arg(proxy.address().to_string()).arg(&site.key);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let said = listen(&mut child).await;
    let mut complaint = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaint).await.unwrap();
    assert!(child.wait().await.unwrap().success(), "{said}\n{complaint}");
    assert!(proxy.has_cut(), "no connection broke: {said}");
    judge(&said, &suite.admin).await;
    suite.stop().await;
}

/// Everything that a client shows.
async fn listen(child: &mut Child) -> String {
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).await.unwrap();
    said
}

/// A client must have shown why it was refused and each event of its sale once, and have brought the deal on its way.
async fn judge(said: &str, admin: &Door) {
    for shown in ["INVALID_FIELDS", "  contact.phone: must be a phone number", "STAGE_SKIPPED", "the same answer"] {
        assert!(said.contains(shown), "{shown:?} is not shown: {said}");
    }
    let word_after = |what: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(what)).unwrap_or_else(|| panic!("{what}{said}"));
        line.split(' ').next().unwrap().to_owned()
    };
    let (lead, deal) = (word_after("submitted: "), word_after("deal: "));
    let request = pb::GetDealRequest { name: deal.clone() };
    let found = admin.deals().get_deal(request).await.unwrap().into_inner().deal.unwrap();
    assert_eq!((found.stage.as_str(), found.lead.as_str()), ("proposal", lead.as_str()));
    let request = pb::ListLeadsRequest::default();
    let leads = admin.leads().list_leads(request).await.unwrap().into_inner().leads;
    assert_eq!(leads.len(), 1, "what was sent twice is there once");

    let request = pb::SubscribeRequest { subjects: vec![lead, deal], ..Default::default() };
    let mut feed = admin.lead_events().subscribe(request).await.unwrap().into_inner();
    let mut happened = Vec::new();
    while let Some(pb::subscribe_response::Item::Event(event)) = feed.message().await.unwrap().unwrap().item {
        let envelope = event.envelope.unwrap();
        happened.push(format!("event {} {}", envelope.position, envelope.r#type));
    }
    let shown: Vec<_> = said.lines().filter(|line| line.starts_with("event ")).collect();
    assert_eq!(shown, happened, "no loss and no repetition: {said}");
    assert_eq!(shown.len(), 7, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn python_without_generated_code_sells() {
    if has("python3", &["-c", "import grpc, grpc_reflection"]).await {
        play("python3", Some("reflection.py")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn python_with_generated_code_sells() {
    if has("python3", &["-c", "import grpc_health, grpc_status, grpc_tools"]).await {
        play("python3", Some("generated.py")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_sells() {
    play("bash", Some("curl.sh")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn buf_curl_sells() {
    if has("buf", &["--version"]).await {
        play("bash", Some("buf_curl.sh")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_sells() {
    let client = split::built("otdel-client");
    play(client.to_str().unwrap(), None).await;
}
