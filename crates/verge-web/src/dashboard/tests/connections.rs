//! Real connections: slow ones, half-open ones, many.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::gateway::TestGateway;
use super::settings;
use crate::dashboard::Dashboard;

fn start(folder: &tempfile::TempDir) -> Dashboard {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    Dashboard::start(settings(folder), listener, Arc::new(TestGateway::new())).unwrap()
}

async fn ask(dashboard: &Dashboard, request: &str) -> String {
    let mut stream = TcpStream::connect(dashboard.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
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
