//! What is said of lines, zones and classes that cannot be counted.

use super::*;

const JUNCTION: &str = r#"
[model.vehicles]
file = "vehicles.onnx"
[source.cameras]
topic = "cameras/+/frame"
codec = "jpeg"
device = "topic:1"
[judge.junction]
inputs = ["cameras"]
detector = "track"
model = "vehicles"
"#;

const LINE: &str = "[judge.junction.line.north]\nfrom = [0.1, 0.5]\nto = [0.9, 0.5]\n";

/// The one fault of a file, without its place.
#[track_caller]
fn check(text: &str, expected: &str) {
    let faults = at_site(&format!("{JUNCTION}{text}")).unwrap_err();
    assert_eq!(faults.len(), 1, "{faults:#?}");
    let fault = faults[0].split_once(": ").map_or("", |(_, fault)| fault);
    assert!(faults[0].contains("gateway.toml line ") || expected.contains("missing"), "{}", faults[0]);
    assert_eq!(fault, expected);
}

#[test]
fn what_cannot_be_counted_is_refused_with_its_key_and_value() {
    check(
        "",
        "judge.junction.line: missing, expected at least one line or zone: there is nothing to count; add \
               [judge.junction.line.NAME] with from = [0.1, 0.5] and to = [0.9, 0.5]",
    );
    let line = |from: &str| LINE.replace("[0.1, 0.5]", from);
    check(
        &line("[412, 0.5]"),
        "judge.junction.line.north.from: [412, 0.5], expected a point within the picture, in shares of its sides from 0 to \
         1; divide pixels by the width and the height of the picture",
    );
    check(
        &line("[0.9, 0.5]"),
        "judge.junction.line.north: two points in one place, expected two different points; write two points that lie apart",
    );
    let zone = |polygon: &str| format!("{LINE}[judge.junction.zone.lane]\npolygon = {polygon}\n");
    check(
        &zone("[[0.1, 0.1], [0.9, 0.9], [0.9, 0.1], [0.1, 0.9]]"),
        "judge.junction.zone.lane.polygon: edges that cross, from corner 1 and from corner 3, expected corners in order \
         around the polygon; write them in order, neighbour after neighbour",
    );
    let ground = "[judge.junction.ground]\npicture = [[0.1, 0.1], [0.2, 0.2], [0.3, 0.3], [0.1, 0.9]]\n\
                  metres = [[0, 0], [1, 0], [1, 1], [0, 1]]\n";
    let faults = at_site(&format!("{JUNCTION}{LINE}{ground}")).unwrap_err();
    assert!(faults[0].contains("judge.junction.ground.picture: [[0.1, 0.1]"), "{faults:?}");
    assert!(faults[0].contains("lie on one line"), "{faults:?}");
    let queue = "polygon = [[0.1, 0.1], [0.2, 0.1], [0.2, 0.2]]\nstop_line = \"nort\"\n";
    check(
        &format!("{LINE}[judge.junction.zone.lane]\n{queue}"),
        "judge.junction.zone.lane.stop_line: \"nort\", expected two points, or the name of a line of this judge, here north; \
         write \"north\"",
    );
}

#[test]
fn a_camera_is_never_learnt_for_the_record() {
    let blind = "[judge.blind]\ninputs = [\"cameras\"]\ndetector = \"health\"\n";
    assert!(at_site(&format!("{JUNCTION}{LINE}{blind}while_learning = \"info\"\n")).is_ok());
    check(
        &format!("{LINE}{blind}while_learning = \"quiet\"\n"),
        "judge.blind.while_learning: \"quiet\", expected nothing: what is wrong with a camera is never for the record alone; \
         take the line out",
    );
}

#[test]
fn classes_are_named_with_the_nearest() {
    let classes = "classes = { car = [\"car\"], heavy = [\"truck\", \"bus\"] }\n";
    let zone = "[judge.junction.zone.lane]\npolygon = [[0.1, 0.1], [0.2, 0.1], [0.2, 0.2]]\nforbidden = [\"heavi\"]\n";
    check(
        &format!("{classes}{LINE}{zone}"),
        "judge.junction.zone.lane.forbidden: \"heavi\", expected a class of this judge, here \"car\", \"heavy\"; write \
         \"heavy\"",
    );
    check(
        &format!("labels = [\"car\"]\n{classes}{LINE}"),
        "judge.junction.labels: labels and classes, expected one of the two; take labels out: classes list the labels that \
         they hold",
    );
}

#[test]
fn a_line_at_the_border_is_warned_of() {
    let near = LINE.replace("0.5]", "0.98]");
    let warnings = at_site(&format!("{JUNCTION}{near}")).unwrap().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].key, "judge.junction.line.north");
    assert!(warnings[0].remark.contains("nearer than 5 % to the border"), "{}", warnings[0].remark);
    assert_eq!(at_site(&format!("{JUNCTION}{LINE}")).unwrap().warnings, []);
}

#[test]
fn too_little_ground_beside_a_line_is_warned_of() {
    let ground = "[judge.junction.ground]\npicture = [[0, 0], [1, 0], [1, 1], [0, 1]]\n\
                  metres = [[0, 40], [10, 40], [10, 0], [0, 0]]\n";
    let warnings =
        |y: &str| at_site(&format!("{JUNCTION}{}{ground}", LINE.replace("0.5]", y))).unwrap().warnings;
    assert_eq!(warnings("0.5]"), []);
    let found = warnings("0.87]");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].key, "judge.junction.line.north");
    let remark = &found[0].remark;
    assert!(
        remark.contains("5 m of the ground on the right") && remark.contains("from 7 frames a second"),
        "{remark}"
    );
    assert!(warnings("0.97]")[0].remark.contains("nearer than 5 %"), "said once");
}

#[test]
fn forecasts_are_multiples_of_the_interval() {
    let forecast = |list: &str| format!("forecast = {list}\n{LINE}");
    let good = at_site(&format!("{JUNCTION}{}", forecast("[\"5m\", \"15m\"]"))).unwrap();
    let JudgeRules::Frames(rules) = &good.judges[0].rules else { panic!("a judge over frames") };
    let JudgeSettings::Track(track) = &rules.rule else { panic!("a judge that counts") };
    let signals: Vec<&str> = track.signals().map(|signal| signal.as_str()).collect();
    assert!(signals.contains(&"junction.north.flow_in_15m"), "{signals:?}");
    check(
        &forecast("[\"90s\"]"),
        "judge.junction.forecast: \"1m 30s\", expected another value: forecast must hold multiples of the interval (60s), up \
         to 60 of them, not 90s; write multiples of the interval (1m) up to 1h",
    );
    check(
        &forecast("[\"soon\"]"),
        "judge.junction.forecast: \"soon\", expected durations such as \"5m\" and \"15m\"; write forecast = [\"5m\", \"15m\"]",
    );
    let jam = "[judge.jam]\ninputs = [\"cameras:junction.north.flow_in_5m\"]\ndetector = \"threshold\"\nabove = 900\n";
    assert!(at_site(&format!("{JUNCTION}{}{jam}", forecast("[\"5m\"]"))).is_ok());
    assert!(
        at_site(&format!("{JUNCTION}{LINE}{jam}")).is_err(),
        "without a forecast there is no such measure"
    );
}

#[test]
fn measures_are_inputs_of_other_judges() {
    let watch = |input: &str, detector: &str| {
        format!(
            "{JUNCTION}{LINE}[judge.busy]\ninputs = [\"{input}\"]\ndetector = \"{detector}\"\nabove = 300\n"
        )
    };
    let good = at_site(&watch("cameras:junction.north.flow", "threshold")).unwrap();
    assert_eq!(good.judges.len(), 2);
    assert!(at_site(&watch("cameras:junction.*", "threshold")).is_ok());
    let wrong = at_site(&watch("cameras:junction.north.flwo", "threshold")).unwrap_err();
    assert!(
        wrong[0].contains("a measure of a judge that counts there; write \":junction.north.flow\""),
        "{wrong:?}"
    );
    let whole = at_site(&watch("cameras", "threshold")).unwrap_err();
    assert!(whole[0].contains("a measure of a judge that counts there, such as"), "{whole:?}");
}

#[test]
fn a_file_of_its_own_has_the_same_keys_and_the_same_messages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("count.toml");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        read_track_file(&path).map_err(|error| error.to_string())
    };
    let of_judge = format!("{JUNCTION}{LINE}");
    let FrameRules { rule: JudgeSettings::Track(judge), .. } =
        frames_of(&at_site(&of_judge).unwrap().judges[0]).clone()
    else {
        panic!("it counts")
    };
    let line = LINE.replace("judge.junction", "track");
    let file = read(&format!("[track]\n{line}[data]\nsize = [1280, 720]\n")).unwrap();
    assert_eq!((&file.rules.scene, file.size), (judge.scene(), Some([1280, 720])));
    let wrong = read(&format!("[track]\n{}", line.replace("[0.1, 0.5]", "[412, 0.5]"))).unwrap_err();
    assert!(wrong.contains("count.toml line 3: track.line.north.from: [412, 0.5]"), "{wrong}");
    let unknown = read(&format!("[track]\nintervall = \"5m\"\n{line}")).unwrap_err();
    assert!(unknown.contains("line 2: track.intervall: unknown key, expected interval perhaps"), "{unknown}");
    assert!(read("[data]\nsize = [1280, 720]\n").unwrap_err().contains("track: missing"));
}

#[test]
fn the_worked_example_is_accepted_without_a_warning() {
    let example = include_str!("../../../../../configs/junction.toml");
    let settings = settings(example).unwrap();
    let judges: Vec<_> = settings.judges.iter().map(|judge| judge.detector().as_str()).collect();
    assert_eq!(judges, ["loop", "threshold", "silence", "track", "threshold", "auto"]);
    assert_eq!(settings.warnings, []);
    let JudgeSettings::Track(track) = &frames_of(&settings.judges[3]).rule else { panic!("it counts") };
    let scene = track.scene();
    assert_eq!((scene.lines().len(), scene.zones().len(), scene.arms().len()), (2, 5, 3));
    assert!(scene.has_ground());
}

#[test]
fn a_second_model_is_refused_with_its_key_and_value() {
    const COLOURS: &str = "[model.colours]\nfile = \"colours.onnx\"\n";
    let with = |classes: &str, then: &str| format!("{classes}{LINE}{COLOURS}[judge.junction.then]\n{then}\n");
    let cars = "classes = { car = [\"car\"], other = [\"*\"] }\n";
    let kinds = "classes = { red = [\"red\"], plain = [\"*\"] }\n";
    check(
        &with(cars, &format!("model = \"colour\"\n{kinds}")),
        "judge.junction.then.model: \"colour\", expected the name of a [model.NAME], here one of \"vehicles\", \
         \"colours\"; write model = \"colours\"",
    );
    check(
        &with(cars, &format!("model = \"colours\"\nlabels = [\"cars\"]\n{kinds}")),
        "judge.junction.then.labels: \"cars\", expected classes of this judge, here \"car\", \"other\"; write \"car\"",
    );
    let wide = with(cars, &format!("model = \"colours\"\nmargin = 1.5\n{kinds}"));
    let faults = at_site(&format!("{JUNCTION}{wide}")).unwrap_err();
    let expected = "judge.junction.then.margin: 1.5, expected a number from 0 to 1";
    assert!(faults.len() == 1 && faults[0].contains(expected), "{faults:?}");
    check(
        &with(cars, "model = \"colours\""),
        "judge.junction.then.classes: missing, expected the kinds that are counted, each with labels of the second model; \
         write classes = { red = [\"LABEL\"], other = [\"*\"] } in then",
    );
    let many: Vec<String> = (0..40).map(|number| format!("k{number} = [\"l{number}\"]")).collect();
    check(
        &with(cars, &format!("model = \"colours\"\nclasses = {{ {} }}", many.join(", "))),
        "judge.junction.then.classes: 2 classes of 40 kinds, 82 together, expected at most 64 classes and kinds of classes \
         together; list fewer kinds, or the classes that have some in judge.junction.then.labels",
    );
    let good =
        at_site(&format!("{JUNCTION}{}", with(cars, &format!("model = \"colours\"\n{kinds}")))).unwrap();
    let JudgeRules::Frames(rules) = &good.judges[0].rules else { panic!("a judge over frames") };
    let then = rules.look.then.as_ref().unwrap();
    assert_eq!((good.models[then.model].name.as_str(), then.at_most, then.keeps), ("colours", 4, false));
}
