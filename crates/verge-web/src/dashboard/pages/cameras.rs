//! Cameras: all of them with a picture a second, and one as it is judged.

use std::cmp::Reverse;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use verge_domain::live::{CameraName, LiveCamera};
use verge_domain::verdict::Severity;

use super::figure::{Figure, FigureSize};
use super::{Chrome, Page, html};
use crate::dashboard::access::{Role, Who};
use crate::dashboard::cameras::named;
use crate::dashboard::events::{EventList, EventView};
use crate::dashboard::problem::Problem;
use crate::dashboard::routes::Allowed;
use crate::dashboard::site::Site;

const SEES: Allowed = Allowed::From(Role::Viewer);

pub(super) const PAGE: Page = Page {
    path: "/cameras",
    name: "Cameras",
    routes: |routes| {
        routes
            .get("/cameras", SEES, grid)
            .get("/cameras/scenes", SEES, scenes)
            .get("/cameras/{source}/{device}", SEES, one)
            .get("/cameras/{source}/{device}/scene", SEES, scene)
    },
};

/// Cameras on one page.
const MOST: usize = 48;

#[derive(Template)]
#[template(path = "cameras.html")]
struct Grid {
    chrome: Chrome,
    script: &'static str,
    figures: Vec<Figure>,
    /// Pictures are not for this login.
    off: bool,
    more: usize,
}

#[derive(Template)]
#[template(path = "scenes.html")]
struct Scenes {
    figures: Vec<Figure>,
}

#[derive(Template)]
#[template(path = "camera.html")]
struct OneCamera {
    chrome: Chrome,
    script: &'static str,
    draws: bool,
    figure: Figure,
}

/// The camera of the worst event that is open, if its picture may be seen here.
pub(super) fn worst(site: &Site, who: &Who, open: &EventList) -> Option<Figure> {
    site.shows_pictures(who).ok()?;
    let by_severity = |event: &&EventView| Severity::named(event.severity);
    let mut events: Vec<&EventView> = open.events.iter().collect();
    // Stable: of those that are equally bad the first that is listed.
    events.sort_by_key(|event| Reverse(by_severity(event)));
    let camera =
        events.into_iter().find_map(|event| site.camera(&named(&event.source, &event.device).ok()?).ok())?;
    Some(Figure::of(site, who, &camera, (&site.open_words(), FigureSize::Small)))
}

/// The camera that an open event is about, if it is about one and its picture may be seen here.
pub(super) fn of_event(site: &Site, who: &Who, event: &EventView) -> Option<Figure> {
    site.shows_pictures(who).ok()?;
    let camera = site.camera(&named(&event.source, &event.device).ok()?).ok()?;
    event.is_open().then(|| Figure::of(site, who, &camera, (&site.open_words(), FigureSize::Small)))
}

fn figures(site: &Site, who: &Who) -> (Vec<Figure>, usize) {
    let cameras = site.cameras();
    let more = cameras.len().saturating_sub(MOST);
    let open = site.open_words();
    let figure = |camera| Figure::of(site, who, camera, (&open, FigureSize::Small));
    (cameras.iter().take(MOST).map(figure).collect(), more)
}

async fn grid(State(site): State<Arc<Site>>, who: Who) -> Response {
    let (figures, more) = figures(&site, &who);
    let script = super::assets::cameras_script();
    html(&Grid {
        chrome: Chrome::of(&site, &who, (PAGE.name, PAGE.path), false),
        script,
        off: site.shows_pictures(&who).is_err(),
        figures,
        more,
    })
}

async fn scenes(State(site): State<Arc<Site>>, who: Who) -> Result<Response, Problem> {
    site.shows_pictures(&who)?;
    Ok(html(&Scenes { figures: figures(&site, &who).0 }))
}

fn known(site: &Site, (source, device): (String, String)) -> Result<(CameraName, LiveCamera), Problem> {
    let name = named(&source, &device)?;
    let camera = site.camera(&name)?;
    Ok((name, camera))
}

async fn one(
    State(site): State<Arc<Site>>,
    who: Who,
    Path(names): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (name, camera) = known(&site, names)?;
    // Without a script the page shows what it has: it waits for the first picture of a camera that sends often.
    let often = camera.course.usual_gap.is_some_and(|gap| gap.as_secs() < 2) && camera.age.as_secs() < 2;
    if often && site.shows_pictures(&who).is_ok() {
        site.first_picture(&name).await?;
    }
    let chrome = Chrome::of(&site, &who, ("Camera", PAGE.path), false);
    Ok(html(&OneCamera {
        chrome,
        script: super::assets::cameras_script(),
        draws: who.operates(),
        figure: Figure::of(&site, &who, &camera, (&site.open_words(), FigureSize::Large)),
    }))
}

async fn scene(
    State(site): State<Arc<Site>>,
    who: Who,
    Path(names): Path<(String, String)>,
) -> Result<Response, Problem> {
    site.shows_pictures(&who)?;
    let (_, camera) = known(&site, names)?;
    Ok(html(&Scenes {
        figures: vec![Figure::of(&site, &who, &camera, (&site.open_words(), FigureSize::Large))],
    }))
}
