//! The configuration: every setting with the place that its value comes from, a check of another one, and the reload of the
//! file, which says what would change before it changes anything.

use std::sync::Arc;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use verge_domain::configured::{ReloadOutcome, Setting, SettingOrigin};

use super::{Chrome, Page, html};
use crate::dashboard::access::{Role, Who};
use crate::dashboard::form::Form;
use crate::dashboard::problem::Problem;
use crate::dashboard::reload::{check, reload};
use crate::dashboard::routes::Allowed;
use crate::dashboard::shown::Shown;
use crate::dashboard::site::Site;

const ADMINISTERS: Allowed = Allowed::From(Role::Admin);

pub(super) const PAGE: Page = Page {
    path: "/configuration",
    name: "Configuration",
    routes: |routes| {
        routes
            .get("/configuration", ADMINISTERS, configuration)
            .post("/configuration/check", ADMINISTERS, checked)
            .post("/configuration/reload", ADMINISTERS, reloaded)
    },
};

/// Settings that are listed at most.
const MOST_SETTINGS: usize = 800;
/// Faults and changes that are listed at most.
const MOST_LINES: usize = 200;

struct Section {
    path: Shown,
    lines: Vec<Line>,
}

struct Line {
    key: Shown,
    value: Shown,
    origin: &'static str,
    /// Which line of the file, or which variable.
    place: Option<Shown>,
}

impl Line {
    fn of(setting: &Setting) -> Self {
        let place = setting.line.map(|line| format!("line {line}")).or_else(|| setting.variable.clone());
        Self {
            key: Shown::of(&setting.key),
            value: Shown::sentence(&setting.value),
            origin: setting.origin.as_str(),
            place: place.as_deref().map(Shown::of),
        }
    }
}

/// What a check or a reload said.
#[derive(Default)]
struct Said {
    ok: bool,
    head: String,
    lines: Vec<Shown>,
    more: usize,
    /// The file could be taken up: a button does it.
    ready: bool,
}

impl Said {
    fn of(ok: bool, head: String, lines: impl ExactSizeIterator<Item = String>) -> Self {
        let more = lines.len().saturating_sub(MOST_LINES);
        let lines = lines.take(MOST_LINES).map(|line| Shown::sentence(&line)).collect();
        Self { ok, head, lines, more, ready: false }
    }
}

#[derive(Template)]
#[template(path = "configuration.html")]
struct Configuration {
    chrome: Chrome,
    file: Shown,
    warnings: Vec<Shown>,
    sections: Vec<Section>,
    /// Defaults are listed, too.
    all: bool,
    /// Settings that are not listed.
    more: usize,
    said: Option<Said>,
    /// What was pasted.
    text: String,
}

impl Configuration {
    fn of(site: &Site, who: &Who, all: bool) -> Self {
        let found = site.live.configured().settings();
        let mut left = MOST_SETTINGS;
        let mut more = 0;
        let mut sections = Vec::new();
        for section in &found.sections {
            let wanted = |setting: &&Setting| all || setting.origin != SettingOrigin::Default;
            let wanted: Vec<&Setting> = section.settings.iter().filter(wanted).collect();
            let taken = wanted.len().min(left);
            left -= taken;
            more += wanted.len() - taken;
            if taken > 0 {
                let lines = wanted[..taken].iter().map(|setting| Line::of(setting)).collect();
                sections.push(Section { path: Shown::of(&section.path), lines });
            }
        }
        Self {
            chrome: Chrome::of(site, who, (PAGE.name, PAGE.path), false),
            file: Shown::of(&found.file),
            warnings: found.warnings.iter().map(|warning| Shown::sentence(warning)).collect(),
            sections,
            all,
            more,
            said: None,
            text: String::new(),
        }
    }
}

async fn configuration(State(site): State<Arc<Site>>, who: Who, RawQuery(query): RawQuery) -> Response {
    let all = query.as_deref().is_some_and(|query| query.split('&').any(|part| part == "all"));
    html(&Configuration::of(&site, &who, all))
}

async fn checked(State(site): State<Arc<Site>>, who: Who, form: Form) -> Result<Response, Problem> {
    let text = form.raw("text").to_owned();
    let checked = check(&site, text.clone().into()).await?;
    let head = match checked.faults.len() {
        0 if checked.ok => "No fault. Files that it names were not looked at.".to_owned(),
        1 => "1 fault".to_owned(),
        count => format!("{count} faults"),
    };
    let words: Vec<String> =
        checked.faults.into_iter().map(|fault| fault.words).chain(checked.warnings).collect();
    let said = Some(Said::of(checked.ok, head, words.into_iter()));
    Ok(html(&Configuration { said, text, ..Configuration::of(&site, &who, false) }))
}

async fn reloaded(State(site): State<Arc<Site>>, who: Who, form: Form) -> Result<Response, Problem> {
    let dry_run = form.text("now") != Some("yes");
    let reply = reload(&site, &who, dry_run).await?;
    let mut words = reply.words.into_iter();
    let ok = reply.outcome == ReloadOutcome::Done;
    let said = Said::of(ok, words.next().unwrap_or_default(), words);
    let ready = ok && dry_run && !said.lines.is_empty();
    let said = Some(Said { ready, ..said });
    Ok(html(&Configuration { said, ..Configuration::of(&site, &who, false) }))
}
