use std::path::Path;

use bytes::Bytes;

use super::*;

fn net() -> EditableModel {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models/net.onnx");
    EditableModel::read(&Bytes::from(std::fs::read(path).unwrap())).unwrap()
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.tensors.iter().map(|tensor| tensor.name.as_str()).collect()
}

#[test]
fn what_lies_between_nodes_with_weights_is_quantised() {
    let model = net();
    let plan = plan(&model, "x", &BTreeSet::new());
    let cores: Vec<(&str, &str)> =
        plan.cores.iter().map(|core| (core.made.as_str(), core.output.as_str())).collect();
    assert_eq!(cores, [("c1", "r1"), ("c2", "c2"), ("c3", "c3"), ("logits", "logits")]);
    // From the picture on; what makes probabilities and the map stays as it is, and so do the logits.
    assert_eq!(names(&plan), ["x", "turned", "r1", "c2", "r2", "c3", "pooled", "flat"]);
    assert_eq!(plan.folded, ["r1", "r2"]);
    let of = |name: &str| plan.tensors.iter().find(|tensor| tensor.name == name).unwrap();
    assert_eq!((of("turned").seen.as_str(), of("flat").seen.as_str()), ("x", "pooled"), "only moved");
    assert!(of("r1").is_clamped && of("r2").is_clamped && !of("c2").is_clamped);
    assert_eq!(plan.cores.iter().map(|core| core.axis).collect::<Vec<_>>(), [0, 0, 0, 1]);
}

#[test]
fn a_layer_that_stays_float_reads_and_makes_ordinary_numbers() {
    let model = net();
    let float = BTreeSet::from(["c2".to_owned(), "c3".to_owned(), "logits".to_owned()]);
    let plan = plan(&model, "x", &float);
    assert_eq!(names(&plan), ["x", "turned", "r1"]);
    assert_eq!(plan.folded, ["r1"], "the sum is not quantised, so its activation stays");
    let all: BTreeSet<String> = cores(&model, "x").into_iter().map(|core| core.made).collect();
    assert_eq!(super::plan(&model, "x", &all), Plan::default());
}
