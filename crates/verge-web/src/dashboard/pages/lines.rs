//! The editor of lines, zones and masks: a form whose fields are the places, with the newest picture above them. A script lets
//! them be moved on the picture; without one the fields do.

mod drawn;

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use verge_domain::live::{CameraName, Drawing, LiveDrawings, TaggedDrawing};
use verge_domain::time::UtcMillis;

use super::{Chrome, html};
use crate::dashboard::access::{Role, Who};
use crate::dashboard::actions::ActionWord;
use crate::dashboard::cameras::{named, path_of};
use crate::dashboard::drawing::{DrawingDocument, JudgeDocument, TrialDocument};
use crate::dashboard::form::Form;
use crate::dashboard::problem::Problem;
use crate::dashboard::routes::{Allowed, Routes, see_other};
use crate::dashboard::shown::Shown;
use crate::dashboard::site::Site;

const DRAWS: Allowed = Allowed::From(Role::Operator);
const CHANGED: &str =
    "the drawings or the configuration have changed since this page was loaded: load it again, then draw";

pub(super) fn routes(routes: Routes) -> Routes {
    routes.get("/lines/{source}/{device}", DRAWS, editor).post("/lines/{source}/{device}", DRAWS, submit)
}

/// One of the places of a shape, as a field of the form.
struct PlaceField {
    name: String,
    label: String,
    value: String,
}

/// A shape as fields of the form.
struct ShapeFields {
    /// What the names of its fields begin with.
    key: String,
    kind: &'static str,
    judge: String,
    name: String,
    places: Vec<PlaceField>,
    /// Corners for the drawing without a script, in pixels.
    points: String,
    fixed: bool,
    tried: Option<String>,
}

impl ShapeFields {
    fn of(
        (key, kind, judge): (String, &'static str, &str),
        name: &str,
        corners: &[[f64; 2]],
        size: (f64, f64),
    ) -> Self {
        let label = |at: usize| match (kind, at) {
            ("line", 0) => "begin".to_owned(),
            ("line", _) => "end".to_owned(),
            (_, at) => format!("corner {}", at + 1),
        };
        let field = |(at, corner): (usize, &[f64; 2])| {
            ["x", "y"]
                .into_iter()
                .zip(*corner)
                .map(move |(axis, share)| PlaceField {
                    name: format!("{axis}{at}"),
                    label: format!("{} {axis}", label(at)),
                    // What was no number is typed again.
                    value: if share.is_nan() {
                        String::new()
                    } else {
                        format!("{}", (share * 1e4).round() / 1e4)
                    },
                })
                .collect::<Vec<_>>()
        };
        let places = corners.iter().filter(|corner| !corner.iter().any(|share| share.is_nan()));
        let points: Vec<String> =
            places.map(|[x, y]| format!("{:.1},{:.1}", x * size.0, y * size.1)).collect();
        Self {
            key,
            kind,
            judge: judge.to_owned(),
            name: name.to_owned(),
            places: corners.iter().enumerate().flat_map(field).collect(),
            points: points.join(" "),
            fixed: false,
            tried: None,
        }
    }

    fn legend(&self) -> Shown {
        let name = if self.name.is_empty() { "without a name" } else { &self.name };
        Shown::of(&format!("{} {name}", self.kind))
    }
}

#[derive(Template)]
#[template(path = "lines.html")]
struct Editor {
    chrome: Chrome,
    script: &'static str,
    name: Shown,
    path: String,
    tag: String,
    judges: Vec<JudgeHead>,
    shapes: Vec<ShapeFields>,
    size: (u32, u32),
    picture: Option<u64>,
    faults: Vec<String>,
    trial: Option<String>,
    said: Option<&'static str>,
    can_undo: bool,
    hidden: Option<String>,
}

struct JudgeHead {
    name: String,
    also: Vec<Shown>,
    drawn: Option<String>,
}

/// What is said above the form.
#[derive(Default)]
struct Said {
    faults: Vec<String>,
    trial: Option<TrialDocument>,
    said: Option<&'static str>,
}

fn editor_page(
    site: &Site,
    who: &Who,
    (name, tagged): (&CameraName, TaggedDrawing),
    document: &DrawingDocument,
    said: Said,
) -> Response {
    let (picture, hidden) = match site.shows_pictures(who).and_then(|()| site.watch(name)) {
        Ok(watched) => (watched.picture, None),
        Err(why) => (None, Some(why.to_string())),
    };
    let size = picture.as_ref().map_or((1280, 720), |picture| (picture.frame.width, picture.frame.height));
    let shares = (f64::from(size.0), f64::from(size.1));
    let mut shapes = Vec::new();
    let tried = said.trial.as_ref();
    for judge in &document.judges {
        for line in &judge.lines {
            let key = format!("l{}", shapes.len());
            let mut fields =
                ShapeFields::of((key, "line", &judge.judge), &line.name, &[line.from, line.to], shares);
            let mut counted = tried.iter().flat_map(|trial| &trial.lines);
            let counted = counted.find(|one| (&one.judge, &one.name) == (&judge.judge, &line.name));
            fields.tried = counted.map(|one| format!("{} forward, {} backward", one.forward, one.backward));
            shapes.push(fields);
        }
        for zone in &judge.zones {
            let key = format!("z{}", shapes.len());
            let mut fields = ShapeFields::of((key, "zone", &judge.judge), &zone.name, &zone.polygon, shares);
            let mut counted = tried.iter().flat_map(|trial| &trial.zones);
            let counted = counted.find(|one| (&one.judge, &one.name) == (&judge.judge, &zone.name));
            fields.tried = counted.map(|one| format!("{} objects were in it", one.objects));
            shapes.push(fields);
        }
    }
    for mask in &document.masks {
        let key = format!("m{}", shapes.len());
        let mut fields = ShapeFields::of((key, "mask", ""), &mask.name, &mask.polygon, shares);
        fields.fixed = mask.fixed;
        shapes.push(fields);
    }
    let head = |judge: &JudgeDocument| JudgeHead {
        name: judge.judge.clone(),
        also: judge.also.iter().map(|other| Shown::of(other)).collect(),
        drawn: judge.drawn.as_ref().map(|drawn| format!("drawn by {} at {}", drawn.by, drawn.at)),
    };
    let present = DrawingDocument::from(tagged.drawing);
    html(&Editor {
        chrome: Chrome::of(site, who, ("Lines and zones", "/cameras"), false),
        script: super::assets::lines_script(),
        name: Shown::of(name.device.as_str()),
        path: path_of(name),
        tag: tagged.tag,
        judges: present.judges.iter().map(head).collect(),
        shapes,
        size,
        picture: picture.map(|picture| picture.number),
        faults: said.faults.iter().map(|fault| Shown::sentence(fault).text).collect(),
        trial: tried.map(|trial| trial_words(site, trial)),
        said: said.said,
        can_undo: tagged.can_undo,
        hidden,
    })
}

fn trial_words(site: &Site, trial: &TrialDocument) -> String {
    match trial.since {
        Some(since) => format!(
            "Tried on {} objects that were followed since {}. Nothing is saved yet.",
            trial.tracks,
            site.live.time_words(UtcMillis(since))
        ),
        None => "Nothing was followed yet: objects are kept from now on, try again in a minute.".to_owned(),
    }
}

async fn editor(
    State(site): State<Arc<Site>>,
    who: Who,
    Path((source, device)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let name = named(&source, &device)?;
    let tagged = site
        .drawings(&name, |drawings, name| {
            // From now on tracks are kept, so that there is something to try.
            drawings.try_out(name, &Drawing::default())?;
            drawings.drawing(name)
        })
        .await?;
    if site.shows_pictures(&who).is_ok() && site.camera(&name)?.age.as_secs() < 5 {
        site.first_picture(&name).await?;
    }
    let document = DrawingDocument::from(tagged.drawing.clone());
    Ok(editor_page(&site, &who, (&name, tagged), &document, Said::default()))
}

async fn submit(
    State(site): State<Arc<Site>>,
    who: Who,
    Path((source, device)): Path<(String, String)>,
    form: Form,
) -> Result<Response, Problem> {
    let name = named(&source, &device)?;
    let (mut document, action) = (drawn::drawn_in(&form)?, form.text("action").unwrap_or("try").to_owned());
    let drawing = Drawing::from(&document);
    let (tag, by) = (form.raw("tag").to_owned(), who.user.clone());
    let mut said = Said::default();
    let done = match action.as_str() {
        "save" => {
            let draw = move |drawings: &dyn LiveDrawings, name: &CameraName| {
                drawings.draw(name, &drawing, &tag, &by)
            };
            site.draws(&who, ActionWord::Draw, &name, draw).await.map(|()| true)
        }
        "undo" => {
            let undo = move |drawings: &dyn LiveDrawings, name: &CameraName| drawings.undo(name, &tag, &by);
            site.draws(&who, ActionWord::Undo, &name, undo).await.map(|()| true)
        }
        "try" => {
            let tried = site.drawings(&name, move |drawings, name| drawings.try_out(name, &drawing)).await;
            tried.map(|trial| {
                said.trial = Some(trial.into());
                false
            })
        }
        _ => {
            drawn::add(&mut document, &action);
            Ok(false)
        }
    };
    match done {
        Ok(true) => return Ok(see_other(&format!("/lines/{}", path_of(&name)))),
        Ok(false) => {}
        Err(Problem::Faults(faults)) => {
            said.faults = faults.into_iter().map(|fault| fault.expected).collect()
        }
        Err(Problem::Changed(_)) => said.faults = vec![CHANGED.to_owned()],
        Err(problem @ (Problem::CommandConflict(_) | Problem::NotTakenUp(_))) => {
            said.faults = vec![problem.to_string()]
        }
        Err(problem) => return Err(problem),
    }
    if said.faults.is_empty() && action != "try" {
        said.said = Some("Added in the middle: move it, then save.");
    }
    let mut tagged = site.drawings(&name, |drawings, name| drawings.drawing(name)).await?;
    // What somebody else has changed since is not overwritten by the next attempt either.
    tagged.tag = form.raw("tag").to_owned();
    Ok(editor_page(&site, &who, (&name, tagged), &document, said))
}
