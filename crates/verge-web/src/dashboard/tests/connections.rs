//! Real connections: slow ones, half-open ones, many.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::gateway::TestGateway;
use super::settings;
use crate::dashboard::{Dashboard, Opening};

fn start(folder: &tempfile::TempDir) -> Dashboard {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    Dashboard::start(settings(folder), listener, Arc::new(TestGateway::new())).unwrap()
}

async fn ask(dashboard: &Dashboard, request: &str) -> String {
    ask_at(dashboard.address(), request).await
}

async fn ask_at(address: SocketAddr, request: impl Into<String>) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.into().as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_request_is_answered_and_odd_ones_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let dashboard = start(&folder);
    assert!(ask(&dashboard, HEALTH).await.starts_with("HTTP/1.1 204"));
    assert!(
        ask(&dashboard, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n").await.starts_with("HTTP/1.1 421"),
        "no Host"
    );
    let two = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert!(ask(&dashboard, two).await.starts_with("HTTP/1.1 421"));
    let absolute = "GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!(ask(&dashboard, absolute).await.starts_with("HTTP/1.1 421"));
    let long =
        format!("GET /{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "x".repeat(100_000));
    assert!(ask(&dashboard, &long).await.starts_with("HTTP/1.1 4"));
    assert!(ask(&dashboard, "\u{16}\u{3}\u{1} no HTTP\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    assert!(ask(&dashboard, HEALTH).await.starts_with("HTTP/1.1 204"));
}

#[tokio::test]
async fn half_open_connections_take_no_place_for_long_and_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let dashboard = start(&folder);
    let mut open = Vec::new();
    for _ in 0..100 {
        open.push(TcpStream::connect(dashboard.address()).await.unwrap());
    }
    // 32 of one address; the others were closed at once.
    let mut refused = 0;
    for stream in &mut open {
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::from_millis(50), stream.read(&mut byte)).await;
        refused += usize::from(matches!(read, Ok(Ok(0) | Err(_))));
    }
    assert_eq!(refused, 68);
    open.clear();
    let answered = async {
        loop {
            let Ok(mut stream) = TcpStream::connect(dashboard.address()).await else { continue };
            let mut answer = Vec::new();
            let asked = stream.write_all(HEALTH.as_bytes()).await.is_ok();
            if asked && stream.read_to_end(&mut answer).await.is_ok() && answer.starts_with(b"HTTP/1.1 204") {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), answered).await.unwrap();
}

#[tokio::test]
async fn a_gateway_that_still_opens_is_alive_and_not_ready() {
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = free();
    let opening = |after| {
        Opening::start(address, vec!["cabinet-7.example".to_owned()], None, Duration::from_secs(after))
    };
    let soon_over = opening(3_600);
    assert!(TcpStream::connect(address).await.is_err(), "most gateways have opened before");
    drop(soon_over);
    let opening = opening(0);
    while TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let get = |path: &str, host: &str| {
        ask_at(address, format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
    };
    assert!(get("/healthz", "localhost").await.starts_with("HTTP/1.1 204"));
    assert!(get("/healthz", "cabinet-7.example").await.starts_with("HTTP/1.1 204"));
    assert!(get("/readyz", "localhost").await.starts_with("HTTP/1.1 503"));
    assert!(get("/healthz", "evil.example").await.starts_with("HTTP/1.1 421"));
    let page = get("/events", "localhost").await;
    assert!(page.starts_with("HTTP/1.1 503") && page.contains("still opens its store"), "{page}");
    for header in
        ["\r\nrefresh: 5\r\n", "\r\nretry-after: 2\r\n", "\r\ncontent-security-policy: default-src 'none'"]
    {
        assert!(page.contains(header), "{header} in {page}");
    }
    let program = get("/api/v1/status", "localhost").await;
    assert!(program.contains("application/problem+json") && program.contains("\"unavailable\""), "{program}");
    drop(opening);
    // Its place is free at once, as soon as its task has ended.
    while std::net::TcpListener::bind(address).is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
