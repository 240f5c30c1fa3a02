//! The whole dashboard over a gateway of three events: who may do what, and what is refused.

mod cameras;
mod configured;
mod connections;
mod drawings;
mod gateway;
mod pages;
mod past;
mod refusals;
mod signals;
mod stream;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, LOCATION, SET_COOKIE};
use hyper::{Method, Request, StatusCode};
use tempfile::TempDir;

use super::access::{AccessFile, PictureAccess, Role};
use super::front::{Front, Peer};
use super::routes::Allowed;
use super::{DashboardSettings, front, table};
use gateway::TestGateway;

const PASSWORD: &str = "a long password";
const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const PEER: Peer = Peer { address: HERE, local: HERE, tls: false, certificate: None };

/// A dashboard with a login of each role, and a token of each.
struct Bench {
    folder: TempDir,
    gateway: Arc<TestGateway>,
    front: Front,
    tokens: Vec<(Role, String)>,
}

fn settings(folder: &TempDir) -> DashboardSettings {
    DashboardSettings {
        hosts: vec!["cabinet-7.example".to_owned(), "203.0.113.5".to_owned()],
        tls: None,
        certificates: BTreeMap::from([("plc-7".to_owned(), Role::Operator)]),
        state_dir: folder.path().to_owned(),
        site: Some("pump <b>room".to_owned()),
        pictures: PictureAccess::Viewer,
        version: "1",
    }
}

impl Bench {
    fn new() -> Self {
        Self::of(settings)
    }

    fn of(settings: impl Fn(&TempDir) -> DashboardSettings) -> Self {
        Self::before(TestGateway::new(), settings)
    }

    fn with(gateway: TestGateway) -> Self {
        Self::before(gateway, settings)
    }

    fn before(gateway: TestGateway, settings: impl Fn(&TempDir) -> DashboardSettings) -> Self {
        let (folder, gateway) = (tempfile::tempdir().unwrap(), Arc::new(gateway));
        let mut file = AccessFile::default();
        let mut tokens = Vec::new();
        for role in Role::ALL {
            // One hash takes long without optimisation.
            let password = (role == Role::Operator).then_some(PASSWORD);
            file.add(role.as_str(), role, password).unwrap();
            tokens.push((role, file.make_token(role.as_str(), "test").unwrap()));
        }
        file.save(folder.path()).unwrap();
        let (_, front) = front(settings(&folder), Arc::<TestGateway>::clone(&gateway) as Arc<_>);
        Self { folder, gateway, front, tokens }
    }

    fn token(&self, role: Role) -> &str {
        let found = self.tokens.iter().find(|(known, _)| *known == role);
        &found.unwrap().1
    }

    async fn ask(&self, request: Request<Body>) -> Response {
        self.front.serve(request, PEER.clone()).await
    }

    async fn get(&self, path: &str, role: Option<Role>) -> Response {
        self.ask(self.request(Method::GET, path, role, "")).await
    }

    fn request(&self, method: Method, path: &str, role: Option<Role>, body: &str) -> Request<Body> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, "localhost:8080");
        if let Some(role) = role {
            request = request.header(AUTHORIZATION, format!("Bearer {}", self.token(role)));
        }
        let form = "application/x-www-form-urlencoded";
        let content_type = if path.starts_with("/api/") { "application/json" } else { form };
        request.header(CONTENT_TYPE, content_type).body(Body::from(body.to_owned())).unwrap()
    }
}

async fn text(answer: Response) -> String {
    let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A path of the table with its parameters filled in.
fn filled(path: &str) -> String {
    let asset = super::assets::style().trim_start_matches("/assets/");
    let camera = super::cameras::path_of(&gateway::camera());
    let path = path
        .replace("{source}/{device}/{signal}", &gateway::signal_path())
        .replace("{source}/{device}", &camera);
    path.replace("{id}", &gateway::event_id(1)).replace("{name}", asset)
}

#[tokio::test]
async fn each_path_is_for_the_roles_of_its_table_and_for_nobody_else() {
    let bench = Bench::new();
    let (_, table) = table().finish(Arc::new(super::site::Site::new(
        settings(&bench.folder),
        Arc::<TestGateway>::clone(&bench.gateway) as Arc<_>,
    )));
    assert!(table.len() >= 20, "{table:?}");
    for route in table {
        let path = filled(route.path);
        for role in [None, Some(Role::Viewer), Some(Role::Operator), Some(Role::Admin)] {
            let body =
                if path.starts_with("/api/") { "{}" } else { "user=x&password=y&minutes=1&remark=real" };
            let answer = bench.ask(bench.request(route.method.clone(), &path, role, body)).await;
            let status = answer.status();
            let context = format!("{} {path} as {role:?}: {status}", route.method);
            match (route.allowed, role) {
                (Allowed::Anyone, _) => assert_ne!(status, StatusCode::FORBIDDEN, "{context}"),
                (Allowed::From(needed), Some(role)) if role >= needed => {
                    assert!(![401, 403].contains(&status.as_u16()), "{context}");
                }
                (Allowed::From(_), Some(_)) => assert_eq!(status, StatusCode::FORBIDDEN, "{context}"),
                (Allowed::From(_), None) => {
                    let is_page =
                        route.method == Method::GET && !path.starts_with("/api/") && path != "/metrics";
                    let expected = if is_page { StatusCode::SEE_OTHER } else { StatusCode::UNAUTHORIZED };
                    assert_eq!(status, expected, "{context}");
                }
            }
            assert!(answer.headers().contains_key("content-security-policy"), "{context}");
            assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{context}");
        }
    }
}

#[tokio::test]
async fn a_login_is_a_cookie_that_scripts_and_other_sites_do_not_get() {
    let bench = Bench::new();
    let answer = bench.get("/", None).await;
    assert_eq!(
        (answer.status(), &answer.headers()[LOCATION]),
        (StatusCode::SEE_OTHER, &"/login".parse().unwrap())
    );
    let answer = bench.get("/events?state=open", None).await;
    assert_eq!(answer.headers()[LOCATION], "/login?next=%2Fevents%3Fstate%3Dopen");
    assert_eq!(bench.get("/?wall", None).await.headers()[LOCATION], "/login?next=%2F%3Fwall");

    let wrong = bench.request(Method::POST, "/login", None, "user=operator&password=wrong");
    let answer = bench.ask(wrong).await;
    assert_eq!((answer.status(), answer.headers().get(SET_COOKIE)), (StatusCode::UNAUTHORIZED, None));
    assert!(text(answer).await.contains("name or password is wrong"));

    let body = format!("user=operator&password={}&next=%2Fevents%3Fstate%3Dopen", PASSWORD.replace(' ', "+"));
    let answer = bench.ask(bench.request(Method::POST, "/login", None, &body)).await;
    assert_eq!(
        (answer.status(), &answer.headers()[LOCATION]),
        (StatusCode::SEE_OTHER, &"/events?state=open".parse().unwrap())
    );
    let cookie = answer.headers()[SET_COOKIE].to_str().unwrap().to_owned();
    for part in ["verge=", "HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=34560000"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let pair = cookie.split(';').next().unwrap().to_owned();
    let with_cookie = |method: Method, path: &str| {
        let mut request = bench.request(method, path, None, "");
        request.headers_mut().insert(COOKIE, format!("a=b; {pair}").parse().unwrap());
        request
    };
    assert_eq!(bench.ask(with_cookie(Method::GET, "/events")).await.status(), StatusCode::OK);
    // Over TLS the cookie has a name that nothing else can set.
    let tls = Peer { tls: true, ..PEER.clone() };
    assert_eq!(
        bench.front.serve(with_cookie(Method::GET, "/events"), tls).await.status(),
        StatusCode::SEE_OTHER
    );
    let out = bench.ask(with_cookie(Method::POST, "/logout")).await;
    assert!(out.headers()[SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(bench.ask(with_cookie(Method::GET, "/events")).await.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_certificate_has_the_role_of_its_name() {
    let bench = Bench::new();
    let check = async |name: &str, method: Method, path: &str, expected: u16| {
        let peer = Peer { tls: true, certificate: Some(name.to_owned()), ..PEER };
        let answer = bench.front.serve(bench.request(method, path, None, "{}"), peer).await;
        assert_eq!(answer.status().as_u16(), expected, "{name} {path}");
    };
    let path = format!("/api/v1/events/{}/acknowledgement", gateway::event_id(1));
    check("plc-7", Method::PUT, &path, 200).await;
    assert_eq!(bench.gateway.commands()[0].0, "dashboard: plc-7");
    check("plc-8", Method::PUT, &path, 401).await;
    check("plc-8", Method::GET, "/api/v1/status", 401).await;
    // The cookie of a session that has ended takes nothing from it.
    let mut request = bench.request(Method::GET, "/api/v1/status", None, "");
    request.headers_mut().insert(COOKIE, "__Host-verge=old".parse().unwrap());
    let peer = Peer { tls: true, certificate: Some("plc-7".to_owned()), ..PEER };
    assert_eq!(bench.front.serve(request, peer).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_event_is_acknowledged_through_the_one_entrance_under_the_name_of_the_login() {
    let bench = Bench::new();
    let id = gateway::event_id(1);
    let path = format!("/events/{id}/acknowledge");
    let back = format!("note=bearing+ordered&back=/events/{id}");
    let answer = bench.ask(bench.request(Method::POST, &path, Some(Role::Operator), &back)).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()[LOCATION], format!("/events/{id}"));
    let command = serde_json::json!({ "id": "dashboard", "command": "acknowledge", "event": 1, "note": "bearing ordered" });
    assert_eq!(bench.gateway.commands(), [("dashboard: operator".to_owned(), command)]);

    let put = |path: &str, body: &str| bench.request(Method::PUT, path, Some(Role::Operator), body);
    let api = format!("/api/v1/events/{id}");
    assert_eq!(
        bench.ask(put(&format!("{api}/shelving"), r#"{"minutes":30}"#)).await.status(),
        StatusCode::OK
    );
    let command = serde_json::json!({ "id": "dashboard", "command": "shelve", "event": 1, "minutes": 30 });
    assert_eq!(bench.gateway.commands().last().unwrap().1, command);
    // An event without a number is meant by its names.
    let other = format!("/api/v1/events/{}/acknowledgement", gateway::event_id(3));
    assert_eq!(bench.ask(put(&other, "")).await.status(), StatusCode::OK);
    let command = bench.gateway.commands().pop().unwrap().1;
    assert_eq!(
        (&command["judge"], &command["source"], &command["event"]),
        (&"j".into(), &"s".into(), &serde_json::Value::Null)
    );
}

#[tokio::test]
async fn what_becomes_of_a_command_is_said_by_the_status_of_its_answer() {
    use verge_domain::live::CommandOutcome as Outcome;
    let bench = Bench::new();
    let path = format!("/api/v1/events/{}/label", gateway::event_id(1));
    let cases = [
        (Outcome::Invalid, 422),
        (Outcome::Unknown, 404),
        (Outcome::Conflict, 409),
        (Outcome::Busy, 503),
        (Outcome::TooOften, 429),
    ];
    for (outcome, expected) in cases {
        bench.gateway.answer_with(outcome);
        let answer =
            bench.ask(bench.request(Method::PUT, &path, Some(Role::Operator), r#"{"remark":"real"}"#)).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()[CONTENT_TYPE]),
            (expected, &"application/problem+json".parse().unwrap())
        );
        let problem: serde_json::Value = serde_json::from_str(&text(answer).await).unwrap();
        assert_eq!((&problem["status"], &problem["detail"]), (&expected.into(), &"<b>because</b>".into()));
    }
    // An open event whose number is not known any more is tried by its names.
    let commands = bench.gateway.commands();
    let about = |index: usize| ["event", "judge"].map(|key| commands[index].1[key].clone());
    let none = serde_json::Value::Null;
    assert_eq!((about(1), about(2)), ([1.into(), none.clone()], [none, "j".into()]));
    assert_eq!(commands.len(), cases.len() + 1);
}

#[tokio::test]
async fn a_command_is_recorded_though_its_client_does_not_wait_for_the_answer() {
    let bench = Bench::new();
    bench.gateway.hold_back();
    let path = format!("/api/v1/events/{}/label", gateway::event_id(1));
    let asked = bench.ask(bench.request(Method::PUT, &path, Some(Role::Operator), r#"{"remark":"real"}"#));
    // As a stream that is reset.
    assert!(tokio::time::timeout(Duration::from_millis(200), asked).await.is_err());
    assert_eq!(bench.gateway.commands().len(), 1);
    bench.gateway.answer();
    let recorded = recorded(&bench.front, &bench).await;
    assert!(recorded.contains(r#""what":"label""#) && recorded.contains(r#""who":"operator""#), "{recorded}");
}

#[tokio::test]
async fn a_link_that_logs_in_once_is_recorded() {
    let bench = Bench::new();
    let (site, front) = front(settings(&bench.folder), Arc::<TestGateway>::clone(&bench.gateway) as Arc<_>);
    let invite = ("demo", Role::Admin);
    let ticket = site.access.invite(invite, Duration::from_secs(60), site.live.now().mono).unwrap();
    let path = format!("{}?ticket={ticket}", super::pages::login::ONCE);
    let entered = front.serve(bench.request(Method::GET, &path, None, ""), PEER.clone()).await;
    assert_eq!(entered.status(), StatusCode::OK);
    let recorded = recorded(&front, &bench).await;
    for part in [r#""who":"demo""#, r#""what":"login""#, r#""about":{"by":"link"}"#] {
        assert!(recorded.contains(part), "{part} in {recorded}");
    }
}

/// The record of actions, once there is one in it.
async fn recorded(front: &Front, bench: &Bench) -> String {
    for _ in 0..200 {
        let asked = bench.request(Method::GET, "/api/v1/actions", Some(Role::Viewer), "");
        let listed = text(front.serve(asked, PEER.clone()).await).await;
        if listed.contains("\"number\":") {
            return listed;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("nothing was recorded");
}
