//! All callers share the gateway's connection to a service: nothing that one of them sends takes it from the others.

use http::Method;
use otdel_api::contracts::{self as ct, contract_event::Fact, subscribe_response::Item};
use otdel_tests::{
    papers,
    refusal::{fields, reason},
    staff::{self, id},
    story::{Step, Story},
    suite::{Suite, Topology},
};
use tonic::{Code, Streaming};
use tonic_types::StatusExt as _;

/// A suite of five processes, and a stream of contracts' events that somebody reads.
async fn read() -> (Suite, Streaming<ct::SubscribeResponse>) {
    let suite = Suite::start(Topology::Split).await;
    let feed = suite.admin.contract_events().subscribe(ct::SubscribeRequest::default()).await.unwrap().into_inner();
    (suite, feed)
}

/// Waits until the stream tells what happens now.
async fn goes_on(suite: &Suite, mut feed: Streaming<ct::SubscribeResponse>) {
    let staff = staff::department(&suite.admin).await;
    let mut story = Story::new(&staff, suite.today().await);
    story.tell_until(Step::RequestApproval).await;
    while let Some(answer) = feed.message().await.expect("the stream goes on") {
        let Some(Item::Event(event)) = answer.item else { continue };
        if matches!(event.fact, Some(Fact::ContractDrafted(_))) {
            return;
        }
    }
    panic!("the stream has ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_of_any_length_leaves_the_streams_of_others_alone() {
    let (suite, feed) = read().await;
    let site = staff::system(&suite.admin, "сайт", &["contracts.read"]).await;
    let path = "/v1/contracts/00000000-0000-7000-8000-000000000000";
    // Over HTTP/1.1 nobody but the gateway bounds it.
    let call = async |name, length| {
        let (key, value) = (&site.key, "x".repeat(length));
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {key}\r\n{name}: {value}\r\n\r\n"
        );
        super::owasp::raw_http(suite.address, &head).await
    };
    for name in ["tracestate", "user-agent", "x-long"] {
        let answer = call(name, 100_000).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{name}: {answer}");
    }
    let answer = call("tracestate", 7 * 1024).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "what the gateway lets in, the service takes: {answer}");
    goes_on(&suite, feed).await;
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_any_length_leaves_the_streams_of_others_alone() {
    let (suite, feed) = read().await;
    // Every field of every line is wrong: told at once, that would be over 64 KiB.
    let refused = papers::draft(&suite.admin, "deals/x", vec![ct::NewLine::default(); 200]).await.unwrap_err();
    assert_eq!(reason(&refused), (Code::InvalidArgument, "INVALID_FIELDS".into()), "{refused:?}");
    let told = fields(&refused);
    assert!(told.len() > 50 && told[..2] == ["deal", "lines[0].display_name"], "{told:?}");
    let left_out = &refused.get_details_error_info().unwrap().metadata["left_out"];
    assert_eq!(told.len() + left_out.parse::<usize>().unwrap(), 1 + 200 * 5);
    assert!(refused.message().starts_with("1001 fields are wrong: deal, "), "{}", refused.message());

    let lines = vec![serde_json::json!({}); 200];
    let body = serde_json::json!({"requestId": id(), "deal": "deals/x", "currencyCode": "RUB", "lines": lines});
    let (status, problem) = suite.admin.json(Method::POST, "/v1/contracts", Some(&body)).await;
    assert_eq!((status.as_u16(), problem["violations"].as_array().unwrap().len()), (400, told.len()));
    assert_eq!(&problem["metadata"]["left_out"], left_out.as_str());
    goes_on(&suite, feed).await;
    suite.stop().await;
}
