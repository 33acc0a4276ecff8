//! What can be reached at the door, and what its answers give away.

use std::{net::SocketAddr, path::Path};

use http::Method;
use otdel_tests::{
    cluster::Database,
    door::Door,
    eventually::eventually,
    raw,
    refusal::reason,
    split::Split,
    staff,
    suite::{Suite, Topology},
};
use tonic::{
    Code,
    transport::{Certificate, ClientTlsConfig, Endpoint},
};

use super::{changes_without_id, json_path, raw_bytes, raw_http, verb};

/// **API8, security misconfiguration.** Answers name no software and no place in it, tell browsers to neither guess nor
/// keep, and TLS begins at version 1.2. `deploy` asserts the containers' hardening.
#[tokio::test(flavor = "multi_thread")]
async fn api8_answers_give_nothing_away_and_old_tls_is_refused() {
    let suite = Suite::start(Topology::AllInOne).await;
    let owners = staff::department(&suite.admin).await;
    let door = &owners.manager.door;
    let answers = [
        door.get("/v1/caller").await,
        suite.anonymous.get("/v1/caller").await,
        door.get("/v1/leads/%00").await,
        suite.anonymous.get("/../../etc/passwd").await,
        door.get("/v1/leads?page_token=%27%3Bdrop").await,
        door.ask(Method::POST, "/v1/leads:submit", "{\"channel\": ").await,
        door.ask(Method::POST, "/v1/leads:submit", "{}").await,
        door.ask(Method::POST, "/v1/caller", "{}").await,
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
        assert!(answer.starts_with("HTTP/1.1 4") && !answer.contains("secret"), "{method}: {answer}");
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
    let gateway = split.gateway();
    who_believes_the_authority_gets_in(gateway, &certificates.join("ca.pem")).await;

    // The same client is welcome with version 1.2, so it is for the version that others are turned away.
    let welcome = answer_to_hello(gateway, 0x0303).await;
    assert_eq!(welcome.get(..3), Some(&[22, 3, 3][..]), "{welcome:?}");
    assert_eq!(welcome.get(5), Some(&2), "a ServerHello: {welcome:?}");
    for version in [0x0300_u16, 0x0301, 0x0302] {
        let answer = answer_to_hello(gateway, version).await;
        // An alert (21) that is fatal (2), of the version of the protocol (70).
        assert_eq!((answer.first(), answer.get(5..7)), (Some(&21), Some(&[2, 70][..])), "{version:#x}: {answer:?}");
    }
    let clear = raw_bytes(gateway, b"GET /v1/caller HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    // What is no handshake is told so in the words of TLS.
    assert_eq!(clear.first(), Some(&21), "{clear:?}");
    split.stop().await;
    let _ = std::fs::remove_dir_all(folder);
}

/// As every client of a gateway that serves TLS itself.
async fn who_believes_the_authority_gets_in(gateway: SocketAddr, authority: &Path) {
    let call = async |tls: ClientTlsConfig| {
        let endpoint = Endpoint::from_shared(format!("https://{gateway}")).unwrap().tls_config(tls).unwrap();
        let door = Door::anonymous(endpoint.connect_lazy());
        let answer = door.gateway().get_caller(otdel_api::gateway::GetCallerRequest {}).await;
        answer.expect_err("nobody without a key gets farther").code()
    };
    let tls = ClientTlsConfig::new().domain_name("gateway");
    let believes = tls.clone().ca_certificate(Certificate::from_pem(std::fs::read(authority).unwrap()));
    // Until it has heard who may call, it is not there for anybody.
    eventually("the gateway answers", || async {
        let code = call(believes.clone()).await;
        if code == Code::Unauthenticated { Ok(()) } else { Err(code) }
    })
    .await;
    assert_ne!(call(tls).await, Code::Unauthenticated, "nobody says who the gateway is");
}

/// What the gateway says to the first message of a client that speaks this version and no other.
async fn answer_to_hello(gateway: SocketAddr, version: u16) -> Vec<u8> {
    raw_bytes(gateway, &hello(version)).await
}

/// The first message of a client that speaks no newer version than this, and has all else that the gateway asks for: suites
/// for a certificate with an elliptic key, its curve and its signatures.
fn hello(version: u16) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7; 32]);
    // No session; a suite of 1.2 and two of the time before, as any client has that speaks all of them; no compression.
    body.extend([0, 0, 6, 0xc0, 0x2b, 0xc0, 0x09, 0xc0, 0x0a, 1, 0]);
    let extensions: [&[u8]; 4] = [
        // supported_groups: secp256r1.
        &[0, 10, 0, 4, 0, 2, 0, 23],
        // ec_point_formats: uncompressed.
        &[0, 11, 0, 2, 1, 0],
        // signature_algorithms: ecdsa_secp256r1_sha256.
        &[0, 13, 0, 4, 0, 2, 4, 3],
        // extended_master_secret.
        &[0, 23, 0, 0],
    ];
    let extensions = extensions.concat();
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
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
            let answer = suite.anonymous.ask(verb(&method), &json_path(&method), "").await;
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
        assert_eq!(suite.anonymous.get(path).await.status, 404, "{path}");
    }
    suite.stop().await;
}
