use std::path::Path;

use bytes::Bytes;
use verge_engine::ProcessorClass;

use super::*;

fn net() -> (EditableModel, Vec<Core>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models/net.onnx");
    let model = EditableModel::read(&Bytes::from(std::fs::read(path).unwrap())).unwrap();
    let cores = cores(&model, "x");
    (model, cores)
}

fn count(model: &EditableModel, operator: &str) -> usize {
    model.views().filter(|node| node.operator() == operator).count()
}

/// Old nodes give way to new ones, and the file is read again as it was written.
fn changed(change: impl FnOnce(&mut EditableModel, &[Core])) -> (EditableModel, usize, usize) {
    let (mut model, cores) = net();
    change(&mut model, &cores);
    model.tidy();
    let written = EditableModel::read(&model.write()).unwrap();
    assert_eq!(written.write(), model.write());
    let spatial = cores.iter().filter(|core| core.is_spatial).count();
    assert_eq!(count(&written, "Conv"), spatial);
    assert!(spatial > 0 && cores.len() > spatial, "{cores:?}");
    (written, spatial, cores.len() - spatial)
}

#[test]
fn layers_of_4_bits_are_those_that_the_library_reads() {
    let (model, spatial, flat) = changed(|model, cores| four_bits::four_bits(model, cores).unwrap());
    assert_eq!((count(&model, "DequantizeLinear"), count(&model, "MatMulNBits")), (spatial, flat));
    assert_eq!((count(&model, "MatMul"), count(&model, "Gemm")), (0, 0));
    assert_eq!(model.opset("com.microsoft"), Some(1));
    assert!(super::super::whole_operator(&model).is_some(), "it is not quantised again");
}

#[test]
fn convolutions_of_8_bits_keep_their_shape() {
    let (model, spatial, _) = changed(|model, cores| {
        let spatial: Vec<Core> = cores.iter().filter(|core| core.is_spatial).cloned().collect();
        four_bits::eight_bits(model, &spatial).unwrap();
    });
    assert_eq!(
        (count(&model, "DequantizeLinear"), count(&model, "Reshape")),
        (spatial, count(&net().0, "Reshape"))
    );
    assert_eq!(model.largest_weight(), Some(127));
}

#[test]
fn matrix_products_are_counted_while_they_run_and_convolutions_stay() {
    let target = Target { processor: ProcessorClass::X86 };
    let (model, _, flat) = changed(|model, cores| {
        let flat: Vec<Core> = cores.iter().filter(|core| !core.is_spatial).cloned().collect();
        dynamic::dynamic(model, &flat, target).unwrap();
    });
    assert_eq!(
        (count(&model, "MatMulInteger"), count(&model, "MatMul"), count(&model, "Gemm")),
        (flat, 0, 0)
    );
    assert!(model.largest_weight().is_some_and(|largest| largest <= 63), "7 bits");
}

#[test]
fn a_share_of_each_layer_becomes_zero() {
    let (model, ..) = changed(|model, cores| prune::prune(model, cores, 0.5).unwrap());
    for core in cores(&model, "x") {
        let (_, numbers) = model.floats(&core.weights).unwrap();
        let zeros = numbers.iter().filter(|number| **number == 0.0).count();
        assert!(zeros >= numbers.len() / 2, "{zeros} of {}", numbers.len());
    }
}

#[test]
fn a_matrix_is_turned() {
    assert_eq!(turned(2, 3, &[1, 2, 3, 4, 5, 6]), [1, 4, 2, 5, 3, 6]);
}
