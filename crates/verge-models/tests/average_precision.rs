//! Average precision beside the reference: `make.py` beside the sample had pycocotools compute it.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;
use std::path::Path;

use serde_json::Value;
use verge_models::gate::average_precision::{AveragePrecision, FoundObject, LabelledObject};

fn number(one: &Value, key: &str) -> usize {
    usize::try_from(one[key].as_u64().unwrap()).unwrap()
}

fn area(one: &Value) -> [f64; 4] {
    let sides: Vec<f64> = one["area"].as_array().unwrap().iter().map(|side| side.as_f64().unwrap()).collect();
    sides.try_into().unwrap()
}

#[test]
fn average_precision_is_that_of_pycocotools() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/average_precision");
    let text = fs::read_to_string(fixtures.join("sample.json")).unwrap();
    let sample: Value = serde_json::from_str(&text).unwrap();
    let of = |key: &str, picture: usize| {
        let all = sample[key].as_array().unwrap().iter();
        all.filter(move |one| number(one, "picture") == picture)
    };
    let mut measure = AveragePrecision::new();
    for picture in 0..12 {
        let truth = |one| LabelledObject { class: number(one, "class"), area: area(one) };
        let truths: Vec<LabelledObject> = of("truths", picture).map(truth).collect();
        let found = |one: &Value| FoundObject {
            class: number(one, "class"),
            area: area(one),
            score: one["score"].as_f64().unwrap(),
        };
        let found: Vec<FoundObject> = of("found", picture).map(found).collect();
        measure.add(&truths, &found);
    }
    let scores = measure.scores().unwrap();
    let is_near = |ours: f64, key: &str| (ours - sample[key].as_f64().unwrap()).abs() < 1e-12;
    assert!(is_near(scores.map, "map") && is_near(scores.ap50, "ap50"), "{scores:?}");
    // Each picture once is the whole.
    let once = measure.ranked().ap50(&[1; 12]).unwrap();
    assert!((once - scores.ap50).abs() < 1e-12, "{once}");
    let without = measure.ranked().ap50(&[1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]).unwrap();
    assert!((without - scores.ap50).abs() > 1e-6, "{without}");
    assert_eq!(measure.ranked().ap50(&[0; 12]), None);
}
