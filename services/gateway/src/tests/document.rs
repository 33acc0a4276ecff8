//! The OpenAPI document as it is served.

use axum::{body::Body, response::Response};
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use otdel_runtime::{clock::Clock, server::Limits};
use tower::ServiceExt as _;

use super::world::{World, sure};
use crate::Face;

async fn ask(router: &axum::Router, verb: Method, known: Option<&str>) -> Response {
    let mut request = Request::builder().method(verb).uri("/openapi.json");
    if let Some(known) = known {
        request = request.header(header::IF_NONE_MATCH, known);
    }
    sure(router.clone().oneshot(request.body(Body::empty()).unwrap()).await)
}

#[tokio::test]
async fn anybody_may_read_it_and_whoever_has_it_is_not_sent_it_again() {
    let world = World::before_the_directory(Clock::system());
    let response = ask(&world.router, Method::GET, None).await;
    assert_eq!(
        (response.status(), &response.headers()[header::CONTENT_TYPE]),
        (StatusCode::OK, &"application/json".parse().unwrap())
    );
    let etag = response.headers()[header::ETAG].to_str().unwrap().to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(document["openapi"], "3.1.0");

    for known in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".into()] {
        let response = ask(&world.router, Method::GET, Some(&known)).await;
        assert_eq!(
            (response.status(), response.headers()[header::ETAG].to_str().unwrap()),
            (StatusCode::NOT_MODIFIED, etag.as_str())
        );
        assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
    assert_eq!(ask(&world.router, Method::GET, Some("\"x\"")).await.status(), StatusCode::OK);
    assert_eq!(ask(&world.router, Method::POST, None).await.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_gateway_that_does_not_describe_itself_has_none() {
    let world = World::before_the_directory(Clock::system());
    let router = world.gateway.router(&Limits::default(), &Face::default()).unwrap();
    assert_eq!(ask(&router, Method::GET, None).await.status(), StatusCode::NOT_FOUND);
}
