//! Models: what their cards say, who asks them, what runs them and how long it takes.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde_json::Value;
use verge_domain::configured::{ConfiguredModel, LoadedModel};

use super::{Chrome, Page, html, number};
use crate::dashboard::access::{Role, Who};
use crate::dashboard::routes::Allowed;
use crate::dashboard::shown::Shown;
use crate::dashboard::site::Site;

pub(super) const PAGE: Page = Page {
    path: "/models",
    name: "Models",
    routes: |routes| routes.get("/models", Allowed::From(Role::Viewer), models),
};

/// Classes that are listed of a model.
const LABELS: usize = 200;

struct Card {
    name: Shown,
    file: Shown,
    judges: Vec<Shown>,
    loaded: Option<Loaded>,
}

struct Loaded {
    identity: Shown,
    version: Shown,
    task: Shown,
    input: Shown,
    outputs: Vec<Shown>,
    decoder: Shown,
    provider: Shown,
    content: String,
    count: usize,
    labels: Vec<Shown>,
    more: usize,
}

impl Card {
    fn of(model: &ConfiguredModel) -> Self {
        Self {
            name: Shown::of(&model.name),
            file: Shown::of(&model.card),
            judges: model.judges.iter().map(|judge| Shown::of(judge)).collect(),
            loaded: model.loaded.as_ref().map(Loaded::of),
        }
    }
}

impl Loaded {
    fn of(model: &LoadedModel) -> Self {
        Self {
            identity: Shown::of(&model.identity),
            version: Shown::of(&model.version),
            task: Shown::of(&model.task),
            input: Shown::of(&model.input),
            outputs: model.outputs.iter().map(|output| Shown::of(output)).collect(),
            decoder: Shown::sentence(&model.decoder),
            provider: Shown::of(&model.provider),
            content: model.content.chars().take(12).collect(),
            count: model.labels.len(),
            labels: model.labels.iter().take(LABELS).map(|label| Shown::of(label)).collect(),
            more: model.labels.len().saturating_sub(LABELS),
        }
    }
}

#[derive(Template)]
#[template(path = "models.html")]
struct Models {
    chrome: Chrome,
    cards: Vec<Card>,
    /// What workers take for a frame: the median, and what one in a hundred exceeds.
    judging: Option<(String, String)>,
}

async fn models(State(site): State<Arc<Site>>, who: Who) -> Response {
    let cards = site.live.configured().models().iter().map(Card::of).collect();
    html(&Models {
        chrome: Chrome::of(&site, &who, (PAGE.name, PAGE.path), false),
        cards,
        judging: judging(&site.status()),
    })
}

fn judging(status: &Value) -> Option<(String, String)> {
    let took = &status["frames"]["judging_ms"];
    Some((number(took["p50"].as_f64()?), number(took["p99"].as_f64()?)))
}
