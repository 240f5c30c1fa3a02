//! Models that are changed and written again: the real ones of `VERGE_DATA` and the small ones of the fixtures, and what the
//! library makes of them.

#![expect(clippy::unwrap_used, reason = "a test may fail")]
#![expect(clippy::print_stderr, reason = "says what was measured or skipped")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use verge_engine::{
    Contract, EditError, EditableModel, Feed, FixedInput, Graph, ModelLimits, NewNode, Optimisation, Port,
    RecurrentState, RunError, Tensor, TensorView, basic, f16,
};

/// The models of the fixtures, and those of `VERGE_DATA` where it is set.
fn models() -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models")];
    match std::env::var_os("VERGE_DATA") {
        Some(data) => folders.push(PathBuf::from(data).join("models")),
        None => eprintln!("VERGE_DATA is not set: without the real models"),
    }
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "onnx") && !is_refused(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty());
    found
}

/// Made to be refused.
fn is_refused(path: &Path) -> bool {
    ["external.onnx", "foreign.onnx"].iter().any(|name| path.ends_with(name))
}

#[test]
fn every_model_is_written_as_it_was_read() {
    let models = models();
    for path in &models {
        let bytes = Bytes::from(std::fs::read(path).unwrap());
        let model = EditableModel::read(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(model.write() == bytes, "{}", path.display());
    }
    eprintln!("{} models", models.len());
}

/// What a model makes of numbers in a row, per output.
fn run(bytes: &Bytes, outputs: &[&str]) -> Vec<Vec<f64>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    std::fs::write(&path, bytes).unwrap();
    let limits = ModelLimits { optimisation: Optimisation::AsWritten, ..ModelLimits::default() };
    let graph = Graph::load(&support::runtime(), &path, None, limits).unwrap();
    let feed = |port: &Port| Feed {
        name: port.name.clone(),
        element: port.element.unwrap(),
        shape: port.sides().iter().map(|side| (*side).max(1)).collect(),
    };
    let feeds: Vec<Feed> = graph.inputs().iter().map(feed).collect();
    let numbers = |feed: &Feed| vec![1.0; usize::try_from(feed.shape.iter().product::<i64>()).unwrap()];
    let fixed = feeds[1..].iter().map(|one| FixedInput { input: one.clone(), numbers: numbers(one) });
    let contract = Contract {
        input: feeds[0].clone(),
        fixed: fixed.collect(),
        batch: 1,
        divided: false,
        outputs: outputs.iter().map(|output| (*output).to_owned()).collect(),
        states: Vec::new(),
    };
    let mut runner = graph.runner(Arc::new(contract)).unwrap();
    match runner.input() {
        Tensor::F32(input) => (0_u8..=255).cycle().zip(input).for_each(|(x, to)| *to = f32::from(x) / 255.0),
        Tensor::U8(input) => (0_u8..=255).cycle().zip(input).for_each(|(x, to)| *to = x),
        Tensor::I8(input) => (-128_i8..=127).cycle().zip(input).for_each(|(x, to)| *to = x),
        Tensor::F64(input) => (0_u8..=255).cycle().zip(input).for_each(|(x, to)| *to = f64::from(x) / 255.0),
        Tensor::F16(input) => {
            (0_u8..=255).cycle().zip(input).for_each(|(x, to)| *to = f16::from_f32(f32::from(x) / 255.0));
        }
        other => panic!("{other:?}"),
    }
    let read = |outputs: &verge_engine::Outputs<'_, '_>| -> Result<Vec<Vec<f64>>, RunError> {
        (0..outputs.count()).map(|index| Ok(reals(outputs.get(index)?.1))).collect()
    };
    runner.run(&mut RecurrentState::default(), None, read).unwrap()
}

fn reals(view: TensorView<'_>) -> Vec<f64> {
    match view {
        TensorView::F32(data) => data.iter().map(|x| f64::from(*x)).collect(),
        TensorView::U8(data) => data.iter().map(|x| f64::from(*x)).collect(),
        TensorView::I8(data) => data.iter().map(|x| f64::from(*x)).collect(),
        TensorView::I64(data) => data.iter().map(|x| *x as f64).collect(),
        TensorView::F16(data) => data.iter().map(|x| x.to_f64()).collect(),
        TensorView::F64(data) => data.to_vec(),
        TensorView::I32(data) => data.iter().map(|x| f64::from(*x)).collect(),
    }
}

/// A tensor in the middle of the graph, made by an operator whose result a run can read.
fn middle(model: &EditableModel) -> String {
    let nodes: Vec<(&str, &[String])> = model.nodes().collect();
    let readable =
        ["Conv", "Relu", "Add", "Gemm", "MatMul", "Clip", "LeakyRelu", "QuantizeLinear", "Reshape"];
    let behind = nodes[nodes.len() / 2..].iter().chain(&nodes);
    let found = behind.into_iter().find(|(operator, _)| readable.contains(operator));
    found.map_or_else(|| nodes[0].1[0].clone(), |(_, outputs)| outputs[0].clone())
}

#[test]
fn a_cut_gives_what_an_added_output_gives() {
    for path in models() {
        let bytes = Bytes::from(std::fs::read(&path).unwrap());
        let whole = EditableModel::read(&bytes).unwrap();
        let (mut added, mut cut) = (whole.clone(), whole.clone());
        let tensor = middle(&whole);
        let first = whole.outputs().next().unwrap().to_owned();
        added.add_outputs(&[&tensor]).unwrap();
        cut.cut_at(&[&tensor]).unwrap();
        assert!(cut.write().len() <= bytes.len(), "{}", path.display());
        assert!(cut.nodes().count() <= whole.nodes().count());
        // Not run: maps of labels are read by the tensor of their numbers, bool is not read, and one takes minutes by design.
        let is_run = !["zipmap.onnx", "mean_bool.onnx", "slow.onnx"].iter().any(|name| path.ends_with(name));
        if !is_run {
            continue;
        }
        let from_added = run(&added.write(), &[&first, &tensor]);
        assert_eq!(run(&cut.write(), &[&tensor])[0], from_added[1], "{}: {tensor}", path.display());
        assert_eq!(run(&bytes, &[&first])[0], from_added[0], "{}", path.display());
    }
}

#[test]
fn a_node_put_in_changes_what_comes_behind_it() {
    let doubled = |path: &Path| {
        let bytes = Bytes::from(std::fs::read(path).unwrap());
        let mut model = EditableModel::read(&bytes).unwrap();
        let output = model.outputs().next().unwrap().to_owned();
        let (two, made) = (model.fresh("two"), model.fresh(&output));
        assert_ne!(made, output, "a name that is taken");
        model.add_initializer(&two, &[1], &Tensor::F32(vec![2.0])).unwrap();
        let node =
            NewNode { operator: "Mul", inputs: &[&output, &two], outputs: &[&made], ..NewNode::default() };
        model.insert(&node).unwrap();
        model.cut_at(&[&made]).unwrap();
        let (once, twice) = (run(&bytes, &[&output]).remove(0), run(&model.write(), &[&made]).remove(0));
        assert!(once.iter().any(|x| *x != 0.0));
        assert!(once.iter().zip(&twice).all(|(one, two)| (one * 2.0 - two).abs() < 1e-6));
    };
    models()
        .iter()
        .filter(|path| path.ends_with("mnist.onnx") || path.ends_with("kws_float.onnx"))
        .for_each(|path| doubled(path));
}

#[test]
fn readers_of_a_tensor_read_another_and_constants_change() {
    let Some(path) = models().into_iter().find(|path| path.ends_with("misc/mnist.onnx")) else { return };
    let bytes = Bytes::from(std::fs::read(&path).unwrap());
    let mut model = EditableModel::read(&bytes).unwrap();
    let output = model.outputs().next().unwrap().to_owned();
    let tensor = middle(&model);
    // A tensor times nothing, in the place of the tensor, for all that reads it.
    let (nothing, made) = (model.fresh("nothing"), model.fresh("nothing_of_it"));
    model.add_initializer(&nothing, &[1], &Tensor::F32(vec![1.0])).unwrap();
    let node =
        NewNode { operator: "Mul", inputs: &[&tensor, &nothing], outputs: &[&made], ..NewNode::default() };
    model.insert(&node).unwrap();
    model.redirect(&tensor, &made).unwrap();
    assert_eq!(run(&model.write(), &[&output]), run(&bytes, &[&output]), "times one");
    model.replace_initializer(&nothing, &[1], &Tensor::F32(vec![0.0])).unwrap();
    assert_eq!(model.floats(&nothing), Some((vec![1], vec![0.0])));
    assert_ne!(run(&model.write(), &[&output]), run(&bytes, &[&output]), "times nothing");

    let before = model.clone();
    assert_eq!(model.cut_at(&["none"]), Err(EditError::NoTensor("none".to_owned())));
    assert_eq!(model.add_outputs(&[&output, ""]), Err(EditError::NoTensor(String::new())));
    assert!(matches!(
        model.replace_initializer(&nothing, &[2], &Tensor::F32(vec![0.0])),
        Err(EditError::Shape { .. })
    ));
    assert_eq!(model, before);
}

#[test]
fn the_library_simplifies_and_the_result_is_edited() {
    let runtime = support::runtime();
    for path in models() {
        let bytes = Bytes::from(std::fs::read(&path).unwrap());
        let whole = EditableModel::read(&bytes).unwrap();
        let simple = basic::simplified(&runtime, &bytes).unwrap();
        let simple =
            EditableModel::read(&simple).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(simple.opset(""), whole.opset(""), "{}", path.display());
        assert!(simple.outputs().eq(whole.outputs()), "{}", path.display());
    }
}

#[test]
fn what_would_be_lost_is_not_edited() {
    let path = models().remove(0);
    let mut bytes = std::fs::read(path).unwrap();
    // Field 200 of the model, a number.
    bytes.extend_from_slice(&[0xc0, 0x0c, 0x01]);
    assert_eq!(EditableModel::read(&Bytes::from(bytes)), Err(EditError::NotKept));
    assert!(matches!(EditableModel::read(&Bytes::from_static(b"PK\x03\x04")), Err(EditError::Refused(_))));
}

#[test]
fn damaged_models_never_panic() {
    let paths = models();
    for path in paths.iter().filter(|path| path.metadata().unwrap().len() < 400_000) {
        let bytes = std::fs::read(path).unwrap();
        let mut random = 1_u64;
        for _ in 0..40 {
            let mut damaged = bytes.clone();
            for _ in 0..4 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = usize::try_from(random >> 33).unwrap() % damaged.len();
                damaged[at] ^= 1 << (random % 8);
            }
            damaged.truncate(damaged.len() - usize::try_from(random % 3).unwrap());
            if let Ok(mut model) = EditableModel::read(&Bytes::from(damaged)) {
                let tensors: Vec<String> = model.nodes().flat_map(|(_, outputs)| outputs.to_vec()).collect();
                for tensor in tensors.iter().take(3) {
                    drop(model.cut_at(&[tensor]));
                }
                assert!(!model.fresh("x").is_empty());
                assert!(!model.write().is_empty());
            }
        }
    }
}

#[test]
fn an_old_model_is_the_same_in_a_newer_version() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models");
    let bytes = Bytes::from(std::fs::read(fixtures.join("net_7.onnx")).unwrap());
    let mut model = EditableModel::read(&bytes).unwrap();
    model.relabel().unwrap();
    model.tidy();
    assert_eq!(model.opset(""), Some(12));
    assert_eq!(model.inputs().collect::<Vec<_>>(), ["x"]);
    assert_eq!(run(&model.write(), &["y", "map"]), run(&bytes, &["y", "map"]));
    // Of what is not known to mean the same nothing is changed.
    let folded = Bytes::from(std::fs::read(fixtures.join("net.onnx")).unwrap());
    let mut newer = EditableModel::read(&folded).unwrap();
    newer.relabel().unwrap();
    assert_eq!(newer.write(), folded);
}

#[test]
fn single_nodes_are_changed() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models");
    let bytes = Bytes::from(std::fs::read(fixtures.join("net.onnx")).unwrap());
    let mut model = EditableModel::read(&bytes).unwrap();
    model.leave_out("r1").unwrap();
    assert!(model.views().all(|node| node.operator() != "Relu"));
    assert_eq!(model.views().find(|node| node.operator() == "Conv").unwrap().outputs(), ["r1"]);
    let raw = model.remake("r1", "r1").unwrap();
    assert_eq!(raw, "r1_1");
    let identity = NewNode { operator: "Abs", inputs: &[&raw], outputs: &["r1"], ..NewNode::default() };
    model.insert(&identity).unwrap();
    assert_ne!(run(&model.write(), &["map"]), run(&bytes, &["map"]), "the signs are lost");
    model.add_initializer("bias", &[2], &Tensor::F32(vec![100.0; 2])).unwrap();
    model.read_instead("c3", 2, "bias").unwrap();
    let map = &run(&model.write(), &["map"])[0];
    assert!(map.iter().all(|share| *share > 0.99), "a layer is given something to add");
    for error in
        [model.leave_out("x"), model.remake("none", "none").map(drop), model.read_instead("c3", 0, "none")]
    {
        assert!(matches!(error, Err(EditError::NoTensor(_))), "{error:?}");
    }
}

#[test]
fn a_quantised_model_is_one_of_ordinary_numbers_again() {
    let Some(data) = std::env::var_os("VERGE_DATA") else {
        eprintln!("VERGE_DATA is not set: without the real models");
        return;
    };
    let path = PathBuf::from(data).join("models/mlperf_tiny/vww_96_int8.onnx");
    let bytes = Bytes::from(std::fs::read(path).unwrap());
    let mut model = EditableModel::read(&bytes).unwrap();
    let outputs: Vec<String> = model.outputs().map(str::to_owned).collect();
    let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
    model.dequantise().unwrap();
    assert!(model.views().all(|node| !node.operator().contains("Linear")));
    let shares = &run(&model.write(), &outputs)[0];
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-4, "{shares:?}");
}
