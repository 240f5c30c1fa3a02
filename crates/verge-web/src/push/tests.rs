//! Against a service that reads requests and answers as a test scripts it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use verge_tls::Secret;

use super::exchange::PushCredentials;
use super::*;

/// What the service does with a request.
#[derive(Debug, Clone)]
enum Step {
    /// Answers with this status line and these headers, and keeps the connection.
    Answer(&'static str),
    /// Answers, and closes.
    AnswerAndClose(&'static str),
    /// Closes without an answer.
    Close,
    /// Never answers.
    Silence,
    /// Answers with a body that never ends.
    Endless,
    /// Answers with a body of which little comes.
    Trickle,
}

struct ScriptedService {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl ScriptedService {
    /// One step for each request; after the last one everything is taken.
    async fn open(steps: &[Step]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let steps = Arc::new(Mutex::new(VecDeque::from(steps.to_vec())));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (seen, steps) = (Arc::clone(&seen), Arc::clone(&steps));
                tokio::spawn(async move {
                    while let Some(request) = read_request(&mut stream).await {
                        seen.lock().unwrap().push(request);
                        let step = steps.lock().unwrap().pop_front();
                        match step.unwrap_or(Step::Answer("204 No Content")) {
                            Step::Answer(head) => answer(&mut stream, head, "content-length: 0").await,
                            Step::AnswerAndClose(head) => {
                                answer(&mut stream, head, "content-length: 0\r\nconnection: close").await;
                                return;
                            }
                            Step::Close => return,
                            Step::Silence => std::future::pending().await,
                            Step::Trickle => {
                                answer(&mut stream, "200 OK", "content-length: 10").await;
                                stream.write_all(b"x").await.ok();
                                std::future::pending().await
                            }
                            Step::Endless => {
                                answer(&mut stream, "200 OK", "content-length: 1000000000").await;
                                while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
                                return;
                            }
                        }
                    }
                });
            }
        });
        Self { address, requests }
    }

    fn settings(&self) -> PushSettings {
        PushSettings {
            target: PushTarget::parse(&format!("http://{}/hook?site=7", self.address)).unwrap(),
            content_type: "application/json",
            preface: None,
            access: PushAccess::new(|| {
                let token = Some(Secret::new("canary".to_owned()));
                Ok(PushCredentials { token, ..PushCredentials::default() })
            }),
            timeout: Duration::from_millis(300),
            max_body_bytes: 1000,
            window: 4,
            backoff: Backoff { min: Duration::from_millis(5), max: Duration::from_millis(10) },
        }
    }

    fn bodies(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        let bodies = requests.iter().map(|request| request.split_once("\r\n\r\n").unwrap().1.to_owned());
        bodies.collect()
    }
}

async fn read_request(stream: &mut tokio::net::TcpStream) -> Option<String> {
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(text);
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => request.extend_from_slice(&buffer[..count]),
        }
    }
}

async fn answer(stream: &mut tokio::net::TcpStream, status: &str, headers: &str) {
    stream.write_all(format!("HTTP/1.1 {status}\r\n{headers}\r\n\r\n").as_bytes()).await.ok();
}

async fn event(sink: &mut HttpSink) -> SinkEvent {
    let event = tokio::time::timeout(Duration::from_secs(20), sink.event()).await;
    event.expect("an event comes").expect("the sink has not ended")
}

async fn offer(sink: &mut HttpSink, body: &'static str, token: u64) {
    sink.offer(Lane::Alarm, vec![Bytes::from_static(body.as_bytes())], Token(token)).unwrap();
}

async fn lost(sink: &mut HttpSink) -> String {
    match event(sink).await {
        SinkEvent::Disconnected { reason } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_taken_is_delivered_in_order_over_one_connection() {
    let service = ScriptedService::open(&[]).await;
    let mut sink = HttpSink::spawn(service.settings());
    let early = sink.offer(Lane::Alarm, vec![Bytes::from_static(b"x")], Token(0));
    assert_eq!(early, Err(OfferError::NotConnected));
    assert_eq!(event(&mut sink).await, SinkEvent::Connected);
    let large = sink.offer(Lane::Alarm, vec![Bytes::new(), vec![b'x'; 1001].into()], Token(0));
    assert_eq!(large, Err(OfferError::TooLarge { actual: 1001, limit: 1000 }));
    for (token, body) in (1..).zip(["one", "two", "three", "four"]) {
        offer(&mut sink, body, token).await;
    }
    assert_eq!(sink.offer(Lane::Alarm, Vec::new(), Token(5)), Err(OfferError::WindowFull));
    for token in 1..=4 {
        assert_eq!(event(&mut sink).await, SinkEvent::Delivered(Token(token)));
    }
    assert_eq!(service.bodies(), ["one", "two", "three", "four"]);
    let request = service.requests.lock().unwrap()[0].clone();
    assert!(request.starts_with("POST /hook?site=7 HTTP/1.1\r\n"), "{request}");
    for header in ["content-type: application/json", "authorization: Bearer canary", "user-agent: verge/"] {
        assert!(request.contains(header), "{header} in {request}");
    }
    sink.close(Duration::from_secs(1)).await;
    assert_eq!(sink.event().await, None);
}

#[tokio::test]
async fn a_service_that_is_busy_or_silent_costs_nothing() {
    let steps = [
        Step::Answer("503 Service Unavailable\r\nretry-after: 0"),
        Step::Answer("500 Internal Server Error"),
        Step::Answer("401 Unauthorized"),
        Step::Answer("404 Not Found"),
        Step::Silence,
        Step::Close,
    ];
    let service = ScriptedService::open(&steps).await;
    let mut sink = HttpSink::spawn(service.settings());
    let mut reasons = Vec::new();
    for token in 1..=6 {
        assert_eq!(event(&mut sink).await, SinkEvent::Connected);
        offer(&mut sink, "alarm", token).await;
        reasons.push(lost(&mut sink).await);
        assert!(matches!(&sink.report().topics[0].arrival, Arrival::Dead { .. }));
    }
    let expected =
        ["503", "500", "check token_file", "check the path", "did not answer", "closed before the answer"];
    for (reason, expected) in reasons.iter().zip(expected) {
        assert!(reason.contains(expected), "{reason:?}: {expected}");
    }
    assert_eq!(event(&mut sink).await, SinkEvent::Connected);
    offer(&mut sink, "alarm", 7).await;
    assert_eq!(event(&mut sink).await, SinkEvent::Changed, "the status says at once that it works again");
    assert_eq!(event(&mut sink).await, SinkEvent::Delivered(Token(7)));
    assert!(!matches!(&sink.report().topics[0].arrival, Arrival::Dead { .. }));
}

#[tokio::test]
async fn a_body_is_refused_after_three_tries_and_what_follows_goes_on() {
    let poison = Step::Answer("422 Unprocessable Entity");
    let service = ScriptedService::open(&[poison.clone(), poison.clone(), poison]).await;
    let mut sink = HttpSink::spawn(service.settings());
    assert_eq!(event(&mut sink).await, SinkEvent::Connected);
    offer(&mut sink, "poison", 1).await;
    offer(&mut sink, "good", 2).await;
    let refused = event(&mut sink).await;
    assert!(
        matches!(&refused, SinkEvent::Refused { token: Token(1), reason } if reason.contains("422")),
        "{refused:?}"
    );
    assert_eq!(event(&mut sink).await, SinkEvent::Delivered(Token(2)));
    assert_eq!(service.bodies(), ["poison", "poison", "poison", "good"]);
}

#[tokio::test]
async fn several_bodies_of_one_item_are_one_receipt_and_none_is_one_at_once() {
    let service = ScriptedService::open(&[]).await;
    let mut sink = HttpSink::spawn(service.settings());
    assert_eq!(event(&mut sink).await, SinkEvent::Connected);
    let two = vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")];
    sink.offer(Lane::Alarm, two, Token(1)).unwrap();
    sink.offer(Lane::Alarm, Vec::new(), Token(2)).unwrap();
    offer(&mut sink, "three", 3).await;
    for token in 1..=3 {
        assert_eq!(event(&mut sink).await, SinkEvent::Delivered(Token(token)));
    }
    assert_eq!(service.bodies(), ["one", "two", "three"]);
}

#[tokio::test]
async fn a_preface_goes_first_and_nothing_goes_where_it_is_refused() {
    let refused = Step::Answer("400 Bad Request");
    let steps = [refused.clone(), refused.clone(), refused, Step::Answer("503 Service Unavailable")];
    let service = ScriptedService::open(&steps).await;
    let body: Arc<dyn Fn() -> Bytes + Send + Sync> = Arc::new(|| Bytes::from_static(b"table"));
    let preface = Some(PushPreface { what: "the table", body });
    let mut sink = HttpSink::spawn(PushSettings { preface, ..service.settings() });
    let reason = lost(&mut sink).await;
    assert_eq!(reason, "the web service answers 400 Bad Request, to the table");
    assert!(lost(&mut sink).await.contains("503"));
    assert_eq!(event(&mut sink).await, SinkEvent::Changed);
    assert_eq!(event(&mut sink).await, SinkEvent::Connected);
    offer(&mut sink, "alarm", 1).await;
    assert_eq!(event(&mut sink).await, SinkEvent::Delivered(Token(1)));
    assert_eq!(service.bodies(), ["table", "table", "table", "table", "table", "alarm"]);
}

#[tokio::test]
async fn a_connection_that_the_service_closes_between_two_requests_is_opened_again_unnoticed() {
    let steps = [Step::AnswerAndClose("200 OK"), Step::Answer("200 OK"), Step::Endless, Step::Trickle];
    let service = ScriptedService::open(&steps).await;
    let mut sink = HttpSink::spawn(service.settings());
    assert_eq!(event(&mut sink).await, SinkEvent::Connected);
    for token in 1..=2 {
        offer(&mut sink, "alarm", token).await;
        assert_eq!(event(&mut sink).await, SinkEvent::Delivered(Token(token)));
    }
    // The answer is there; that its body has no end must hold up nothing, and send nothing twice.
    for token in 3..=5 {
        offer(&mut sink, "alarm", token).await;
        assert_eq!(event(&mut sink).await, SinkEvent::Delivered(Token(token)));
    }
    assert_eq!(service.bodies().len(), 5);
}

#[tokio::test]
async fn what_was_offered_on_a_lost_connection_is_not_sent_on_the_next() {
    let service = ScriptedService::open(&[Step::Answer("500 Internal Server Error")]).await;
    let mut sink = HttpSink::spawn(service.settings());
    assert_eq!(event(&mut sink).await, SinkEvent::Connected);
    for (token, body) in (1..).zip(["one", "two", "three"]) {
        offer(&mut sink, body, token).await;
    }
    lost(&mut sink).await;
    assert_eq!(event(&mut sink).await, SinkEvent::Connected);
    offer(&mut sink, "four", 4).await;
    assert_eq!(event(&mut sink).await, SinkEvent::Changed);
    assert_eq!(event(&mut sink).await, SinkEvent::Delivered(Token(4)));
    assert_eq!(service.bodies(), ["one", "four"]);
}

#[tokio::test]
async fn a_trial_says_what_the_address_answers_and_sends_no_verdict() {
    let service = ScriptedService::open(&[Step::Answer("405 Method Not Allowed")]).await;
    assert_eq!(PushTrial::of(&service.settings()).await, PushTrial::Answered(405));
    assert!(service.requests.lock().unwrap()[0].starts_with("HEAD /hook"));
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let target = PushTarget::parse(&format!("http://{free}/")).unwrap();
    let trial = PushTrial::of(&PushSettings { target, ..service.settings() }).await;
    assert!(matches!(&trial, PushTrial::Unreachable(reason) if reason.contains("refused")), "{trial:?}");
}

#[test]
fn addresses_are_read_and_shown_without_what_may_be_secret() {
    let shown = |text: &str| PushTarget::parse(text).map(|target| target.to_string());
    assert_eq!(shown("https://hooks.example/verge?key=canary").unwrap(), "https://hooks.example/verge");
    assert_eq!(shown("https://hooks.example").unwrap(), "https://hooks.example/");
    assert_eq!(shown("http://[::1]:8080/x").unwrap(), "http://[::1]:8080/x");
    assert_eq!(shown("https://a:b@hooks.example/"), Err(PushTargetError::User));
    assert_eq!(shown("mqtts://hooks.example/"), Err(PushTargetError::Scheme("mqtts".to_owned())));
    assert_eq!(shown("hooks.example"), Err(PushTargetError::Scheme(String::new())));
}
