//! Is anything wrong, and is it blind? One tile for each part: grey while it is well, the abnormal first.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde_json::Value;
use verge_domain::judge_account::JudgeAccount;
use verge_domain::live::LiveCamera;
use verge_domain::time::UtcMillis;
use verge_domain::verdict::Severity;

use super::cameras;
use super::figure::Figure;
use super::{Chrome, Page, grouped, html, whole};
use crate::dashboard::access::{Role, Who};
use crate::dashboard::cameras::path_of;
use crate::dashboard::events::{EventFilter, EventList, ListedState};
use crate::dashboard::form::Form;
use crate::dashboard::routes::Allowed;
use crate::dashboard::shown::{Shown, span};
use crate::dashboard::signals::accounts;
use crate::dashboard::site::Site;

pub(super) const PAGE: Page = Page {
    path: "/",
    name: "Overview",
    routes: |routes| routes.get("/", Allowed::From(Role::Viewer), overview),
};

/// Alarms that are listed.
const LISTED: usize = 8;
/// Open events that are looked at to tell how machines are.
const MOST_EVENTS: usize = 500;
/// Machines with a tile.
const MACHINES: usize = 60;
/// Cameras with a tile.
const CAMERAS: usize = 60;
/// A camera is not called blind before this time, however often it sends otherwise.
const CAMERA_BLIND_AFTER: Duration = Duration::from_secs(15);
/// Judges that are shown while they learn.
const JUDGES: usize = 8;
/// A source from which nothing came for this long may be blind.
const BLIND_AFTER_MS: u64 = 5 * 60 * 1_000;
/// What an operator can bear, by EEMUA 191: one alarm in ten minutes.
const BEARABLE_PER_HOUR: u64 = 6;

/// One part of the site or of the gateway.
struct Tile {
    kind: &'static str,
    name: Shown,
    /// `ok`, `info`, `warning`, `critical` or `blind`.
    level: &'static str,
    text: String,
    link: Option<String>,
}

impl Tile {
    /// The abnormal first.
    fn rank(&self) -> usize {
        ["critical", "blind", "warning", "info", "ok"]
            .iter()
            .position(|level| *level == self.level)
            .unwrap_or(5)
    }
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    chrome: Chrome,
    alarms: Vec<Alarm>,
    more: usize,
    waiting: u64,
    per_hour: u64,
    too_many: bool,
    tiles: Vec<Tile>,
    /// On a wall: the camera of the worst event, with where its picture is fetched.
    watched: Option<Figure>,
    script: &'static str,
}

struct Alarm {
    id: String,
    severity: &'static str,
    words: Shown,
    age: String,
    waits: bool,
}

async fn overview(State(site): State<Arc<Site>>, who: Who, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let wall = query.split('&').any(|field| field == "wall" || field.starts_with("wall="));
    let status = site.status();
    let filter = EventFilter { state: Some(ListedState::Open), ..EventFilter::of(&Form::default()) };
    let open = EventList::of(&site, &filter, (None, MOST_EVENTS));
    let mut tiles = machine_tiles(&open);
    tiles.extend(camera_tiles(&site.cameras()));
    tiles.extend(source_tiles(&status));
    tiles.extend(route_tiles(&status));
    tiles.extend(judge_tiles(&status, |at| site.live.time_words(at)));
    tiles.push(store_tile(&status));
    tiles.push(broker_tile(&status));
    tiles.sort_by_key(Tile::rank);
    let shown = |event: &super::super::events::EventView| Alarm {
        id: event.id.clone(),
        severity: event.severity,
        words: Shown::sentence(&event.words),
        age: span(event.lasted_ms / 1_000),
        waits: event.waits(),
    };
    let last_ten_minutes = whole(&status["alarms"]["last_ten_minutes"]);
    html(&Overview {
        chrome: Chrome::of(&site, &who, (PAGE.name, PAGE.path), wall),
        alarms: open.events.iter().take(LISTED).map(shown).collect(),
        more: open.more + open.events.len().saturating_sub(LISTED),
        waiting: whole(&status["alarms"]["unacknowledged"]),
        per_hour: last_ten_minutes * 6,
        too_many: last_ten_minutes * 6 > BEARABLE_PER_HOUR,
        tiles,
        watched: if wall { cameras::worst(&site, &who, &open) } else { None },
        script: super::assets::cameras_script(),
    })
}

/// Devices with an open event, by the worst of them.
fn machine_tiles(open: &EventList) -> Vec<Tile> {
    let mut machines: BTreeMap<&str, (Severity, usize)> = BTreeMap::new();
    for event in &open.events {
        let severity = Severity::named(event.severity).unwrap_or(Severity::Info);
        let machine = machines.entry(&event.device).or_insert((severity, 0));
        *machine = (machine.0.max(severity), machine.1 + 1);
    }
    let tile = |(device, (severity, count)): (&str, (Severity, usize))| Tile {
        kind: "machine",
        name: Shown::of(device),
        level: severity.as_str(),
        text: if count == 1 { "1 open event".to_owned() } else { format!("{count} open events") },
        link: Some(format!(
            "/events?device={}",
            form_urlencoded::byte_serialize(device.as_bytes()).collect::<String>()
        )),
    };
    let mut machines: Vec<_> = machines.into_iter().collect();
    // The worst first, so that none of them is left out for want of room.
    machines.sort_by_key(|(_, (severity, _))| Reverse(*severity));
    machines.into_iter().take(MACHINES).map(tile).collect()
}

/// Cameras, those first from which nothing comes.
fn camera_tiles(cameras: &[LiveCamera]) -> Vec<Tile> {
    let is_blind = |camera: &LiveCamera| camera.age > camera.course.stale_after().max(CAMERA_BLIND_AFTER);
    let tile = |camera: &&LiveCamera| {
        let age = span(camera.age.as_secs());
        let (level, text) = match is_blind(camera) {
            true => ("blind", format!("no picture since {age}")),
            false => ("ok", format!("{} frames, the newest {age} ago", grouped(camera.course.came))),
        };
        let (name, link) =
            (Shown::of(camera.name.device.as_str()), format!("/cameras/{}", path_of(&camera.name)));
        Tile { kind: "camera", name, level, text, link: Some(link) }
    };
    let mut cameras: Vec<&LiveCamera> = cameras.iter().collect();
    cameras.sort_by_key(|camera| !is_blind(camera));
    cameras.iter().take(CAMERAS).map(tile).collect()
}

fn name_of(entry: &Value) -> Shown {
    Shown::of(entry["name"].as_str().unwrap_or("?"))
}

fn source_tiles(status: &Value) -> Vec<Tile> {
    let tile = |source: &Value| {
        let received = grouped(whole(&source["received"]));
        let (level, text) = match source["age_ms"].as_u64() {
            None => ("blind", "nothing received since the start".to_owned()),
            Some(age) if age > BLIND_AFTER_MS => {
                ("blind", format!("receives nothing since {}", span(age / 1_000)))
            }
            Some(age) => ("ok", format!("{received} received, the newest {} ago", span(age / 1_000))),
        };
        Tile { kind: "source", name: name_of(source), level, text, link: Some("/accounts".to_owned()) }
    };
    status["sources"].as_array().into_iter().flatten().map(tile).collect()
}

fn route_tiles(status: &Value) -> Vec<Tile> {
    let tile = |route: &Value| {
        let backlog = whole(&route["backlog"]);
        let (level, text) = match (route["connected"].as_bool().unwrap_or(false), backlog) {
            (true, 0) => ("ok", "connected, nothing waits".to_owned()),
            (true, _) => ("ok", format!("connected, {} verdicts wait", grouped(backlog))),
            (false, _) => ("warning", format!("not connected, {} verdicts wait", grouped(backlog))),
        };
        Tile { kind: "route", name: name_of(route), level, text, link: Some("/accounts".to_owned()) }
    };
    status["routes"].as_array().into_iter().flatten().map(tile).collect()
}

/// Judges that learn, or cannot keep their budget.
fn judge_tiles(status: &Value, time: impl Fn(UtcMillis) -> String) -> Vec<Tile> {
    let tile = |account: JudgeAccount| {
        let text = account.learning_words(&time)?;
        let level = if account.rarest_budget.is_some() { "warning" } else { "ok" };
        Some(Tile {
            kind: "judge",
            name: Shown::of(&account.name),
            level,
            text,
            link: Some("/signals".to_owned()),
        })
    };
    accounts(status).into_iter().filter_map(tile).take(JUDGES).collect()
}

fn store_tile(status: &Value) -> Tile {
    let store = &status["store"];
    let mb = |key: &str| whole(&store[key]) / 1_000_000;
    let (level, text) = match store["state"].as_str() {
        Some("ok") => ("ok", format!("{} of {} MB used", mb("used_bytes"), mb("cap_bytes"))),
        Some("full") => ("critical", "full: judging is paused until a route delivers".to_owned()),
        _ => ("critical", "does not take verdicts: look at its disk".to_owned()),
    };
    Tile { kind: "store", name: Shown::of("verdicts"), level, text, link: Some("/accounts".to_owned()) }
}

fn broker_tile(status: &Value) -> Tile {
    let local = &status["local"];
    let connected = local["connected"].as_bool().unwrap_or(false);
    let why = local["last_error"]
        .as_str()
        .map_or_else(String::new, |error| format!(": {}", Shown::sentence(error)));
    let (level, text) = match connected {
        true => ("ok", "connected".to_owned()),
        false => ("blind", format!("not connected{why}")),
    };
    Tile { kind: "broker", name: Shown::of("site's broker"), level, text, link: None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn judges_that_learn_say_until_when() {
        let status = json!({ "judges": [
            { "name": "unusual", "instances": 40, "unsupported": 40, "supported_at": 7_200_000 },
            { "name": "known", "instances": 40, "unsupported": 0, "expected_per_week": 1.0 },
            { "name": "fast", "instances": 1, "unsupported": 1, "rarest_budget": "1/2d" },
        ]});
        let tiles = judge_tiles(&status, |at| format!("{} h", at.0 / 3_600_000));
        let said: Vec<_> =
            tiles.iter().map(|tile| (tile.name.to_string(), tile.level, &tile.text[..])).collect();
        let never = "1 of them can never support the alarm budget at this rate of readings: the rarest that works is \"1/2d\"";
        let expected = [("unusual", "ok", "learning until 2 h"), ("fast", "warning", never)];
        assert_eq!(said, expected.map(|(name, level, text)| (name.to_owned(), level, text)));
    }

    #[test]
    fn what_is_blind_says_so() {
        let status = json!({ "sources": [
            { "name": "a", "received": 0 },
            { "name": "b", "received": 1, "age_ms": 600_000 },
            { "name": "c", "received": 1_200, "age_ms": 2_000 },
        ]});
        let tiles = source_tiles(&status);
        let levels: Vec<_> = tiles.iter().map(|tile| tile.level).collect();
        assert_eq!(levels, ["blind", "blind", "ok"]);
        assert_eq!(tiles[1].text, "receives nothing since 10 min");
        assert_eq!(tiles[2].text, "1\u{202f}200 received, the newest 2 s ago");
        assert_eq!(broker_tile(&Value::Null).level, "blind");
        assert_eq!(store_tile(&json!({ "store": { "state": "full" } })).level, "critical");
    }
}
