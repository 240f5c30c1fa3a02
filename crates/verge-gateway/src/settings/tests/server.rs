//! Points of judges whose events are of several strands, or which count, or report what cameras show.

use verge_domain::finding::Member;
use verge_domain::id::SignalId;
use verge_domain::image::{PointContent, PointSelector};

use super::*;

const CAMERAS: &str = r#"
[model.vehicles]
file = "vehicles.onnx"
[model.usual]
file = "usual.onnx"
[source.cameras]
topic = "cameras/+/frame"
codec = "jpeg"
device = "topic:1"
[judge.junction]
inputs = ["cameras"]
detector = "track"
model = "vehicles"
[judge.junction.line.stop]
from = [0.1, 0.5]
to = [0.9, 0.5]
[judge.junction.zone.crossing]
polygon = [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]
queue_from = 3
stopped_after = "60s"
[judge.junction.zone.field]
polygon = [[0.1, 0.1], [0.4, 0.1], [0.4, 0.4]]
[judge.seen]
inputs = ["cameras"]
detector = "detect"
model = "vehicles"
[judge.odd]
inputs = ["cameras"]
detector = "anomaly"
model = "usual"
[server.plc]
kind = "modbus"
listen = "127.0.0.1:1502"
[server.plc.point.p]
block = 0
device = "north"
"#;

fn point(lines: &str) -> Result<PointSelector, String> {
    let settings = at_site(&format!("{CAMERAS}{lines}")).map_err(|faults| faults.join("\n"))?;
    Ok(settings.servers[0].modbus.points[0].selector.clone())
}

#[track_caller]
fn refused(lines: &str, expected: &str) {
    let fault = point(lines).unwrap_err();
    assert!(fault.ends_with(expected), "{fault}");
}

#[test]
fn more_points_than_there_is_room_for_are_refused() {
    let mut check = Check { folder: Path::new("/"), faults: Vec::new(), warnings: Vec::new() };
    super::super::server::check_count(&mut check, 65_536);
    assert_eq!(check.faults.len(), 0);
    super::super::server::check_count(&mut check, 65_537);
    let fault = check.faults[0].to_string();
    assert!(fault.contains("65537, expected at most 65536 points of all servers together"), "{fault}");
}

#[test]
fn a_point_of_a_camera_shows_one_strand_of_a_zone_or_what_is_counted() {
    let of = |lines: &str| point(lines).map(|point| (point.content, point.strand)).unwrap();
    let queue = of("judge = \"junction\"\nsignal = \"crossing\"\nstrand = \"queue\"\n");
    assert_eq!(queue, (PointContent::Events, Some(Member::Queue)));
    assert_eq!(of("judge = \"junction\"\n"), (PointContent::Counts, None));
    assert_eq!(of("judge = \"junction\"\nsignal = \"field\"\n"), (PointContent::Counts, None));
    assert_eq!(of("judge = \"junction\"\nsignal = \"stop\"\n"), (PointContent::Counts, None));
    refused(
        "judge = \"junction\"\nsignal = \"stopp\"\n",
        "\"stopp\", expected a zone or line of junction; write one of crossing, field, stop",
    );
    refused(
        "judge = \"junction\"\nsignal = \"crossing\"\nstrand = \"person\"\n",
        "\"person\", expected one of \"stopped\", \"queue\"; write one of them",
    );
    refused(
        "judge = \"junction\"\nstrand = \"queue\"\n",
        "\"queue\", expected one of \"unexplained_motion\"; add signal = and the zone of the events, or write \
         \"unexplained_motion\"",
    );
    let unknown = of("judge = \"junction\"\nstrand = \"unexplained_motion\"\n");
    assert_eq!(unknown, (PointContent::Events, Some(Member::UnexplainedMotion)));
    refused(
        "judge = \"junction\"\nsignal = \"field\"\nstrand = \"queue\"\n",
        "\"field\", expected a zone of junction in which something is an event; write one of crossing",
    );
}

#[test]
fn a_point_of_a_camera_waits_for_views_or_for_the_events_of_its_score() {
    let views = point("judge = \"seen\"\n").unwrap();
    assert_eq!((views.content, views.signal), (PointContent::Views, None));
    // Its signal is called as the judge is, whoever writes the point.
    let odd = point("judge = \"odd\"\n").unwrap();
    assert_eq!((odd.content, odd.signal.as_ref().map(SignalId::as_str)), (PointContent::Events, Some("odd")));
}

#[test]
fn points_that_differ_by_case_only_are_named() {
    let lines = "judge = \"seen\"\n[server.plc.point.P]\nblock = 1\ndevice = \"north\"\njudge = \"seen\"\n";
    let settings = at_site(&format!("{CAMERAS}{lines}")).unwrap();
    let warnings: Vec<_> = settings.warnings.iter().map(ToString::to_string).collect();
    assert!(
        warnings.iter().any(|one| one.contains("server.plc.point") && one.contains("by case only")),
        "{warnings:?}"
    );
}

const LIMITS: &str = r#"
[source.pump]
topic = "pump/+"
codec = "number"
signal = "pressure"
device = "topic:1"
[judge.hot]
inputs = ["pump"]
detector = "threshold"
above = 7.0
clear_below = 6.5
"#;

#[test]
fn what_cannot_be_set_is_refused_and_what_can_is_named() {
    let refused = |lines: &str, expected: &str| {
        let faults = at_site(&format!("{LIMITS}{lines}\n")).unwrap_err().join("\n");
        assert!(faults.contains(expected), "{faults}");
    };
    refused(
        "settable = { below = [1.0, 2.0] }",
        "judge.hot.settable.below: \"below\", expected a limit of this judge that may be set; there are above; take the rest out",
    );
    refused("settable = { raise_after = [1.0, 2.0] }", "judge.hot.settable.raise_after");
    refused(
        "settable = { above = [7.5, 10.0] }",
        "judge.hot.settable.above: [7.5, 10], expected the least and the most, with above = 7 between them",
    );
    refused("settable = { above = [10.0, 6.0] }", "judge.hot.settable.above");
    refused("below = 1.0\nsettable = { above = [2.0, 9.0], below = [0.0, 5.0] }", "judge.hot.settable");
    let good =
        at_site(&format!("{LIMITS}below = 1.0\nsettable = {{ above = [6.0, 9.0], below = [0.0, 5.0] }}\n"))
            .unwrap();
    assert_eq!(good.judges[0].readings().unwrap().settable.len(), 2);
}
