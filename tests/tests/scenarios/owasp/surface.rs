//! What can be reached at the door, and what its answers give away.

use http::Method;
use otdel_tests::{
    cluster::Database,
    json, raw,
    refusal::reason,
    split::Split,
    staff,
    suite::{Suite, Topology},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::Code;

use super::{anna_key, changes_without_id, json_path, raw_http, verb};

/// **API8, security misconfiguration.** Answers name no software and no place in it, tell browsers to neither guess nor
/// keep, and TLS begins at version 1.2. `deploy` asserts the containers' hardening.
#[tokio::test(flavor = "multi_thread")]
async fn api8_answers_give_nothing_away_and_old_tls_is_refused() {
    let suite = Suite::start(Topology::AllInOne).await;
    let owners = staff::department(&suite.admin).await;
    let key = anna_key(&suite, &owners).await;
    let post =
        |path: &'static str, body: &'static str| json::call(suite.address, Method::POST, path, Some(&key), &[], body);
    let answers = [
        json::get(suite.address, "/v1/caller", Some(&key)).await,
        json::get(suite.address, "/v1/caller", None).await,
        json::get(suite.address, "/v1/leads/%00", Some(&key)).await,
        json::get(suite.address, "/../../etc/passwd", None).await,
        json::get(suite.address, "/v1/leads?page_token=%27%3Bdrop", Some(&key)).await,
        post("/v1/leads:submit", "{\"channel\": ").await,
        post("/v1/leads:submit", "{}").await,
        post("/v1/caller", "{}").await,
    ];
    for answer in &answers {
        for name in ["server", "x-powered-by", "via"] {
            assert_eq!(answer.header(name), None, "{}", answer.text());
        }
        assert_eq!(answer.header("x-content-type-options").as_deref(), Some("nosniff"), "{}", answer.text());
        assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"), "{}", answer.text());
        let text = answer.text().to_lowercase();
        for word in ["panick", ".rs:", "/src/", "backtrace", "sqlx", "postgres", "tonic", "axum", "hyper"] {
            assert!(!text.contains(word), "{word}: {text}");
        }
    }
    for method in ["TRACE", "CONNECT", "OPTIONS"] {
        let answer = raw_http(
            suite.address,
            &format!("{method} /v1/caller HTTP/1.1\r\nhost: x\r\ncookie: secret\r\nconnection: close\r\n\r\n"),
        )
        .await;
        assert!(!answer.starts_with("HTTP/1.1 200") && !answer.contains("secret"), "{method}: {answer}");
    }
    suite.stop().await;
    old_tls_is_refused().await;
}

async fn old_tls_is_refused() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let database = Database::standing().await;
    let folder = std::env::temp_dir().join(format!("otdel-suite-{}", uuid::Uuid::now_v7()));
    otdel::private::make_folder(&folder).unwrap();
    let certificates = folder.join("secrets/gateway");
    let split = Split::start(&database, &folder, &["--tls", certificates.to_str().unwrap()], &[]).await;
    for version in [0x0300_u16, 0x0301, 0x0302] {
        let mut stream = TcpStream::connect(split.gateway()).await.unwrap();
        stream.write_all(&hello(version)).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        // An alert (21) that is fatal (2), or nothing: never a handshake (22).
        assert!(answer.is_empty() || (answer[0] == 21 && answer[5] == 2), "{version:#x}: {answer:?}");
    }
    let clear = raw_http(split.gateway(), "GET /v1/caller HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(!clear.contains("HTTP/1.1"), "{clear}");
    split.stop().await;
    let _ = std::fs::remove_dir_all(folder);
}

/// The first message of a client that speaks no newer version than this.
fn hello(version: u16) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7; 32]);
    // No session; a suite of that time; no compression.
    body.extend([0, 0, 4, 0x00, 0x2f, 0xc0, 0x13, 1, 0]);
    let mut message = vec![1, 0];
    message.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    message.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
    record.extend(message);
    record
}

/// **API9, improper inventory management.** The descriptors are the inventory: every RPC in them that is for people is
/// served, over gRPC and under its JSON path; nothing internal is, and no path beside them.
#[tokio::test(flavor = "multi_thread")]
async fn api9_what_is_served_is_what_the_descriptors_say() {
    let suite = Suite::start(Topology::AllInOne).await;
    let (mut served, mut internal) = (0, 0);
    for method in raw::methods(&raw::pool()) {
        let path = raw::path(&method);
        if raw::is_public(&method) {
            let answer = json::call(suite.address, verb(&method), &json_path(&method), None, &[], "").await;
            assert_eq!(answer.status, 401, "{path} under {}", json_path(&method));
            if method.is_server_streaming() || changes_without_id(&method) {
                continue;
            }
            let code = raw::outcome(&suite.admin, &path, Vec::new()).await.err().map(|status| status.code());
            assert_ne!(code, Some(Code::Unimplemented), "{path}");
            served += 1;
        } else {
            let refused = raw::outcome(&suite.admin, &path, Vec::new()).await.expect_err(&path);
            assert_eq!(reason(&refused), (Code::Unimplemented, "NO_SUCH_RPC".into()), "{path}");
            internal += 1;
        }
    }
    assert!(served > 50 && internal > 5, "{served} served, {internal} internal");
    for path in ["/otdel.leads.v1.LeadService/DeleteLead", "/otdel.leads.v2.LeadService/GetLead", "/x.Y/Z"] {
        let refused = raw::outcome(&suite.admin, path, Vec::new()).await.expect_err(path);
        assert_eq!(reason(&refused), (Code::Unimplemented, "NO_SUCH_RPC".into()), "{path}");
        let stranger = raw::outcome(&suite.anonymous, path, Vec::new()).await.expect_err(path);
        assert_eq!(stranger.code(), Code::Unauthenticated, "a stranger learns nothing about which there are");
    }
    for path in ["/metrics", "/debug", "/v2/leads", "/.env", "/admin", "/healthz"] {
        assert_eq!(json::get(suite.address, path, None).await.status, 404, "{path}");
    }
    suite.stop().await;
}
