//! A camera as pages show it: its newest picture with what is seen drawn above it, and the same in words.

use std::sync::Arc;

use verge_domain::board::LastWord;
use verge_domain::live::LiveCamera;
use verge_domain::time::UtcMillis;

use super::grouped;
use crate::dashboard::access::Who;
use crate::dashboard::cameras::{CameraLine, SeenObject, Sight, path_of};
use crate::dashboard::shown::{Shown, span};
use crate::dashboard::site::Site;

/// A box or a path in the units of the drawing: pixels of the picture.
pub(super) struct Drawn {
    pub(super) class: &'static str,
    pub(super) points: String,
    pub(super) text: Shown,
    /// Where the text stands.
    pub(super) at: [String; 2],
}

/// A rectangle with its text.
pub(super) struct DrawnBox {
    pub(super) x: String,
    pub(super) y: String,
    pub(super) width: String,
    pub(super) height: String,
    pub(super) text: Shown,
    pub(super) text_y: String,
}

/// What is seen, in words.
pub(super) struct Seen {
    pub(super) label: Shown,
    pub(super) text: String,
}

/// A camera as a page shows it.
pub(super) struct Figure {
    /// `SOURCE/DEVICE`.
    pub(super) hook: String,
    pub(super) path: String,
    pub(super) name: Shown,
    pub(super) source: String,
    pub(super) line: CameraLine,
    pub(super) age_ms: u64,
    pub(super) stale: bool,
    pub(super) since: String,
    pub(super) number: Option<u64>,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) masked: bool,
    /// Size of letters, width of strokes.
    pub(super) letters: String,
    pub(super) boxes: Vec<DrawnBox>,
    pub(super) paths: Vec<Drawn>,
    pub(super) seen: Vec<Seen>,
    pub(super) remarks: Vec<Shown>,
    pub(super) counts: Vec<(Shown, u64, u64)>,
    pub(super) interval_since: Option<String>,
    pub(super) open: Vec<(String, &'static str, Shown)>,
    pub(super) came: String,
    /// Why there is no picture to be seen.
    pub(super) hidden: Option<String>,
}

impl Figure {
    /// For a page of this login: with a picture where it may see one, which is kept from now on.
    pub(super) fn of(
        site: &Site,
        who: &Who,
        camera: &LiveCamera,
        (open, size): (&[Arc<LastWord>], FigureSize),
    ) -> Self {
        let line = site.camera_line(camera, open);
        let (sight, hidden) = match site.shows_pictures(who).and_then(|()| site.watch(&camera.name)) {
            Ok(watched) => (site.sight(&watched), None),
            Err(why) => (Sight::default(), Some(why.to_string())),
        };
        let picture = sight.picture.as_ref();
        let (width, height) =
            picture.map_or((640, 360), |picture| (picture.width.max(1), picture.height.max(1)));
        let age_ms = picture.map_or(line.age_ms, |picture| picture.age_ms);
        let since = site.live.now().wall.0.saturating_sub_unsigned(age_ms);
        let came = format!(
            "{} frames, {} judged, {} passed over",
            grouped(line.received),
            grouped(line.judged),
            grouped(line.passed_over)
        );
        let letters = size.letters(f64::from(width));
        let size = (f64::from(width), f64::from(height));
        let objects: Vec<&SeenObject> = each_once(&sight.objects).collect();
        Self {
            hook: format!("{}/{}", line.source, line.device),
            path: path_of(&camera.name),
            name: Shown::of(&line.device),
            source: line.source.clone(),
            age_ms,
            stale: age_ms > line.stale_after_ms,
            since: site.live.time_words(UtcMillis(since)),
            number: picture.map(|picture| picture.number),
            width,
            height,
            masked: picture.is_some_and(|picture| picture.masked),
            letters: format!("{letters:.1}"),
            boxes: objects.iter().map(|object| DrawnBox::of(object, size, letters)).collect(),
            paths: paths(&sight, size),
            seen: objects.into_iter().map(Seen::of).collect(),
            remarks: sight.remarks.iter().map(|remark| Shown::of(remark)).collect(),
            counts: sight
                .lines
                .iter()
                .map(|line| (Shown::of(&line.name), line.forward, line.backward))
                .collect(),
            interval_since: sight.interval_since.map(|at| site.live.time_words(UtcMillis(at))),
            open: line
                .open
                .iter()
                .map(|one| (one.id.clone(), one.severity, Shown::sentence(&one.words)))
                .collect(),
            came,
            hidden,
            line,
        }
    }

    pub(super) fn age(&self) -> String {
        span(self.age_ms / 1_000)
    }

    pub(super) fn gap(&self) -> String {
        match self.line.usual_gap_ms {
            None => "not known yet".to_owned(),
            Some(gap) if gap < 10_000 => format!("{gap} ms"),
            Some(gap) => span(gap / 1_000),
        }
    }
}

/// How large a figure is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FigureSize {
    /// Several to a page.
    Small,
    /// As wide as the page.
    Large,
}

impl FigureSize {
    /// Size of letters, in pixels of a picture of this width.
    fn letters(self, width: f64) -> f64 {
        match self {
            Self::Small => (width / 36.0).max(9.0),
            Self::Large => (width / 72.0).max(5.0),
        }
    }
}

/// What is followed, and of what is only seen the rest: one judge may follow what another one's model sees as well.
fn each_once(objects: &[SeenObject]) -> impl Iterator<Item = &SeenObject> {
    /// In shares of the sides.
    const ALIKE: f64 = 0.03;
    let is_alike = |one: &SeenObject, other: &SeenObject| {
        one.label == other.label
            && one.area.iter().zip(other.area).all(|(one, other)| (one - other).abs() <= ALIKE)
    };
    let is_followed = move |object: &&SeenObject| {
        object.track.is_none() && objects.iter().any(|other| other.track.is_some() && is_alike(object, other))
    };
    objects.iter().filter(move |object| !is_followed(object))
}

fn object_words(object: &SeenObject) -> String {
    let score = object.score.map_or_else(String::new, |score| format!(" {score:.2}"));
    let track = object.track.map_or_else(String::new, |track| format!(" #{track}"));
    format!("{}{score}{track}", object.label)
}

impl DrawnBox {
    fn of(object: &SeenObject, (width, height): (f64, f64), letters: f64) -> Self {
        let [x, y, w, h] = object.area;
        let top = y * height;
        // Above the box, or within it where it reaches the top.
        let text_y = if top > letters * 1.3 { top - letters * 0.3 } else { top + letters };
        Self {
            x: format!("{:.1}", x * width),
            y: format!("{top:.1}"),
            width: format!("{:.1}", w * width),
            height: format!("{:.1}", h * height),
            text: Shown::of(&object_words(object)),
            text_y: format!("{text_y:.1}"),
        }
    }
}

impl Seen {
    fn of(object: &SeenObject) -> Self {
        let [x, y, w, h] = object.area;
        let place = |at: f64, names: [&'static str; 3]| names[((at * 3.0) as usize).min(2)];
        let row = place(y + h / 2.0, ["above", "in the middle", "below"]);
        let column = place(x + w / 2.0, ["left", "centre", "right"]);
        Self { label: Shown::of(&object.label), text: format!("{}, {row}, {column}", object_words(object)) }
    }
}

fn points(of: &[[f64; 2]], (width, height): (f64, f64)) -> String {
    let point = |[x, y]: &[f64; 2]| format!("{:.1},{:.1}", x * width, y * height);
    of.iter().map(point).collect::<Vec<_>>().join(" ")
}

fn paths(sight: &Sight, size: (f64, f64)) -> Vec<Drawn> {
    let (width, height) = size;
    let at = |[x, y]: [f64; 2]| [format!("{:.1}", x * width), format!("{:.1}", y * height)];
    let zones = sight.zones.iter().map(|zone| Drawn {
        class: "zone",
        points: points(&zone.corners, size),
        text: Shown::of(&zone.name),
        at: at(zone.corners.first().copied().unwrap_or_default()),
    });
    let trails = sight.objects.iter().filter(|object| object.trail.len() > 1).map(|object| Drawn {
        class: "trail",
        points: points(&object.trail, size),
        text: Shown::of(""),
        at: at([0.0; 2]),
    });
    let lines = sight.lines.iter().flat_map(|line| {
        let text = Shown::of(&format!("{} {}/{}", line.name, line.forward, line.backward));
        let drawn =
            Drawn { class: "line", points: points(&[line.from, line.to], size), text, at: at(line.from) };
        [drawn, arrow(line.from, line.to, size)]
    });
    zones.chain(trails).chain(lines).collect()
}

/// Which way is forward: from the line's left to its right, looking along it.
fn arrow(from: [f64; 2], to: [f64; 2], (width, height): (f64, f64)) -> Drawn {
    let (ax, ay) = (from[0] * width, from[1] * height);
    let (bx, by) = (to[0] * width, to[1] * height);
    let length = (bx - ax).hypot(by - ay).max(1e-6);
    let (x, y) = (f64::midpoint(ax, bx), f64::midpoint(ay, by));
    // On the screen y grows downwards: the right of (dx, dy) is (-dy, dx).
    let (nx, ny) = (-(by - ay) / length, (bx - ax) / length);
    let (reach, side) = (width / 24.0, width / 80.0);
    let (tx, ty) = (x + nx * reach, y + ny * reach);
    let (sx, sy) = (ny * side, -nx * side);
    let (hx, hy) = (tx - nx * side, ty - ny * side);
    let points = [(x, y), (tx, ty), (hx + sx, hy + sy), (tx, ty), (hx - sx, hy - sy)];
    let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    Drawn { class: "arrow", points: points.join(" "), text: Shown::of(""), at: Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_followed_is_not_shown_twice() {
        let object = |label: &str, track, x: f64| SeenObject {
            judge: "j".to_owned(),
            label: label.to_owned(),
            score: None,
            track,
            area: [x, 0.2, 0.1, 0.1],
            trail: Vec::new(),
        };
        let all = [
            object("car", Some(7), 0.30),
            object("car", None, 0.32),
            object("truck", None, 0.30),
            object("car", None, 0.40),
            object("car", Some(8), 0.41),
        ];
        let shown: Vec<String> = each_once(&all).map(object_words).collect();
        assert_eq!(shown, ["car #7", "truck", "car #8"]);
    }
}
