//! Requests that are not made by our pages, or not for us.

use axum::body::Body;
use hyper::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, RETRY_AFTER};
use hyper::{Method, Request, StatusCode};

use super::gateway::event_id;
use super::{Bench, PEER, filled, settings, table, text};
use crate::dashboard::access::Role;
use crate::dashboard::front::Peer;

#[tokio::test]
async fn another_name_is_refused_on_every_path() {
    let bench = Bench::new();
    let site = crate::dashboard::site::Site::new(
        settings(&bench.folder),
        std::sync::Arc::new(super::TestGateway::new()),
    );
    let (_, table) = table().finish(std::sync::Arc::new(site));
    let paths = table.iter().map(|route| (route.method.clone(), filled(route.path)));
    for (method, path) in paths.chain([(Method::GET, "/nothing".to_owned())]) {
        let mut request = bench.request(method, &path, Some(Role::Admin), "");
        request.headers_mut().insert(HOST, "rebound.example:8080".parse().unwrap());
        assert_eq!(bench.ask(request).await.status(), StatusCode::MISDIRECTED_REQUEST, "{path}");
    }
}

#[tokio::test]
async fn names_of_ours_are_the_address_localhost_and_what_is_configured() {
    let bench = Bench::new();
    let remote = Peer { address: [10, 1, 0, 9].into(), local: [10, 1, 0, 5].into(), ..PEER };
    let check = async |host: &str, peer: &Peer, expected: u16| {
        let request = Request::builder().uri("/healthz").header(HOST, host).body(Body::empty()).unwrap();
        assert_eq!(
            bench.front.serve(request, peer.clone()).await.status().as_u16(),
            expected,
            "{host} at {peer:?}"
        );
    };
    let here = PEER;
    check("127.0.0.1:8080", &here, 204).await;
    check("[::1]:8080", &here, 204).await;
    check("LOCALHOST", &here, 204).await;
    check("Cabinet-7.example.:443", &here, 204).await;
    check("10.1.0.5", &remote, 204).await;
    check("127.0.0.1", &remote, 421).await;
    check("10.1.0.6", &remote, 421).await;
    check("203.0.113.5:8443", &remote, 204).await;
    check("localhost.evil.example", &here, 421).await;
    check("", &here, 421).await;
    let none = Request::builder().uri("/healthz").body(Body::empty()).unwrap();
    assert_eq!(bench.front.serve(none, here).await.status(), StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn another_site_can_change_nothing() {
    let bench = Bench::new();
    for (header, value) in
        [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("origin", "http://evil.example")]
    {
        for path in
            [format!("/events/{}/acknowledge", event_id(1)), "/login".to_owned(), "/logout".to_owned()]
        {
            let mut request = bench.request(Method::POST, &path, Some(Role::Admin), "");
            request.headers_mut().insert(header, value.parse().unwrap());
            assert_eq!(bench.ask(request).await.status(), StatusCode::FORBIDDEN, "{path} {header}: {value}");
        }
    }
    assert!(bench.gateway.commands().is_empty());
    let mut own = bench.request(Method::POST, "/logout", Some(Role::Viewer), "");
    own.headers_mut().insert(ORIGIN, "http://localhost:8080".parse().unwrap());
    assert_eq!(bench.ask(own).await.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn bodies_are_bounded_and_of_the_right_kind() {
    let bench = Bench::new();
    let path = format!("/api/v1/events/{}/acknowledgement", event_id(1));
    let put = |body: &str| bench.request(Method::PUT, &path, Some(Role::Operator), body);
    let mut huge = put("{}");
    huge.headers_mut().insert(CONTENT_LENGTH, "1073741824".parse().unwrap());
    assert_eq!(bench.ask(huge).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    // Without a length, as in chunks.
    let long = format!("{{\"note\":\"{}\"}}", "x".repeat(70_000));
    assert_eq!(bench.ask(put(&long)).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    // Whoever has no login sends no more than one needs.
    let of_nobody = |body: &str| bench.request(Method::POST, "/login", None, body);
    let mut huge = of_nobody("");
    huge.headers_mut().insert(CONTENT_LENGTH, "9000".parse().unwrap());
    assert_eq!(bench.ask(huge).await.status(), StatusCode::UNAUTHORIZED);
    let long = of_nobody(&format!("user=x&password={}", "y".repeat(9_000)));
    assert_eq!(bench.ask(long).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let mut form = put("note=x");
    form.headers_mut().insert(CONTENT_TYPE, "application/x-www-form-urlencoded".parse().unwrap());
    assert_eq!(bench.ask(form).await.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    for odd in ["[]", "{", "\"x\"", r#"{"note":7}"#, r#"{"other":1}"#] {
        assert_eq!(bench.ask(put(odd)).await.status(), StatusCode::UNPROCESSABLE_ENTITY, "{odd}");
    }
    assert!(bench.gateway.commands().is_empty());
    let answer = bench.ask(bench.request(Method::DELETE, "/api/v1/status", Some(Role::Admin), "")).await;
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.headers()[ALLOW], "GET,HEAD");
}

#[tokio::test]
async fn guessing_passwords_ends_in_429() {
    let bench = Bench::new();
    let long = "x".repeat(2_000);
    let mut last = StatusCode::OK;
    for index in 0..11 {
        let body = format!("user=n{index}&password={long}");
        let answer = bench.ask(bench.request(Method::POST, "/login", None, &body)).await;
        last = answer.status();
        if last == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(answer.headers()[RETRY_AFTER], "60");
            assert!(text(answer).await.contains("try again in 60 s"));
        }
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
}
