use std::path::Path;

use bytes::Bytes;

use super::*;

fn read(name: &str) -> EditableModel {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models").join(name);
    EditableModel::read(&Bytes::from(std::fs::read(path).unwrap())).unwrap()
}

#[test]
fn what_is_quantised_already_is_refused() {
    assert!(look_through(&read("net.onnx")).is_ok());
    let refused = look_through(&read("mean_u8.onnx")).unwrap_err();
    assert!(
        matches!(&refused, QuantiseError::Quantised { operator } if operator == "DequantizeLinear"),
        "{refused}"
    );
}

#[test]
fn a_plan_that_is_carried_out_has_a_pair_for_each_tensor() {
    let model = read("net.onnx");
    let planned = plan::plan(&model, "x", &BTreeSet::new());
    let ranges = planned.tensors.iter().map(|tensor| (tensor.seen.clone(), Range::new(-1.0, 1.0))).collect();
    let target = Target { processor: verge_engine::ProcessorClass::X86 };
    let applied = apply::apply(&model, &planned, &ranges, target).unwrap();
    let count = |operator: &str| applied.model.views().filter(|node| node.operator() == operator).count();
    // Eight tensors; four weights and two of three biases on top.
    assert_eq!((count("QuantizeLinear"), count("DequantizeLinear")), (8, 14));
    assert_eq!((count("Relu"), count("Clip")), (0, 0));
    assert!(applied.model.views().all(|node| node.domain().is_empty()));
    assert_eq!(applied.model.outputs().collect::<Vec<_>>(), ["y", "map"]);
    assert!(!applied.model.is_constant("w1"), "the old weights are left out");
    let written = EditableModel::read(&applied.model.write()).unwrap();
    assert!(written.write() == applied.model.write());
    // Before version 13 the operators of another domain take a step for each channel.
    let old = apply::apply(&read("net_11.onnx"), &planned, &ranges, target).unwrap();
    let is_pair = |operator: &str| operator == "QuantizeLinear" || operator == "DequantizeLinear";
    let pairs: Vec<&str> =
        old.model.views().filter(|node| is_pair(node.operator())).map(|node| node.domain()).collect();
    assert_eq!((pairs.len(), pairs.iter().all(|domain| *domain == "com.microsoft")), (22, true));
    assert_eq!(old.model.opset("com.microsoft"), Some(1));
}
