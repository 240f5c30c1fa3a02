use super::*;
use crate::onnx::graph::TypeProto;

fn node(operator: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
    NodeProto {
        input: owned(inputs),
        output: owned(outputs),
        op_type: Some(operator.to_owned()),
        ..Default::default()
    }
}

fn value(name: &str) -> ValueInfo {
    ValueInfo { name: Some(name.to_owned()), r#type: Some(TypeProto::default()), ..Default::default() }
}

fn model(graph: GraphProto) -> EditableModel {
    let mut names = BTreeSet::new();
    collect_names(&graph, &mut names);
    EditableModel { model: ModelProto { graph: Some(graph), ..Default::default() }, names }
}

#[test]
fn subgraphs_read_the_other_tensor_too_unless_they_have_one_of_the_name() {
    let reads_outside = GraphProto {
        node: vec![node("Relu", &["x"], &["inner"])],
        output: vec![value("inner"), value("x")],
        ..Default::default()
    };
    let has_its_own = GraphProto {
        node: vec![node("Abs", &["other"], &["x"]), node("Relu", &["x"], &["inner_2"])],
        output: vec![value("inner_2"), value("x")],
        ..Default::default()
    };
    let branch = |graph: GraphProto| AttributeProto { g: Some(Box::new(graph)), ..Default::default() };
    let choice = NodeProto {
        attribute: vec![branch(reads_outside), branch(has_its_own.clone())],
        ..node("If", &["condition"], &["y"])
    };
    let graph = GraphProto {
        node: vec![node("Neg", &["input"], &["x"]), node("Mul", &["x", "x"], &["twice"]), choice],
        input: vec![value("input"), value("condition"), value("other")],
        output: vec![value("y")],
        ..Default::default()
    };
    let mut model = model(graph);
    model.redirect("x", "twice").unwrap();
    let nodes = &model.graph().node;
    assert_eq!(nodes[1].input, ["x", "x"], "what makes the other tensor reads this one");
    let branches: Vec<&GraphProto> = subgraphs(&nodes[2]).collect();
    assert_eq!(branches[0].node[0].input, ["twice"]);
    assert_eq!(branches[0].output[1].name(), "twice");
    assert_eq!(*branches[1], has_its_own);
}

#[test]
fn what_is_said_of_a_constant_elsewhere_goes_with_its_old_shape() {
    let old = constant::constant("w", &[2], &Tensor::F32(vec![1.0, 2.0])).unwrap();
    let graph = GraphProto {
        node: vec![node("Add", &["input", "w"], &["y"])],
        initializer: vec![old],
        input: vec![value("input"), value("w")],
        value_info: vec![value("w")],
        output: vec![value("y")],
        ..Default::default()
    };
    let mut model = model(graph);
    model.replace_initializer("w", &[2], &Tensor::F32(vec![3.0, 4.0])).unwrap();
    assert_eq!((model.graph().input.len(), model.graph().value_info.len()), (2, 1), "the same shape");
    model.replace_initializer("w", &[1], &Tensor::I8(vec![3])).unwrap();
    assert_eq!((model.graph().input.len(), model.graph().value_info.len()), (1, 0));
}

#[test]
fn a_constant_that_is_a_node_stays_where_a_model_becomes_one_of_ordinary_numbers() {
    let graph = GraphProto {
        node: vec![
            node("Constant", &[], &["sides"]),
            node("QuantizeLinear", &["x", "scale"], &["whole"]),
            node("DequantizeLinear", &["whole", "scale"], &["back"]),
            node("Reshape", &["back", "sides"], &["y"]),
        ],
        initializer: vec![constant::constant("scale", &[], &Tensor::F32(vec![0.5])).unwrap()],
        input: vec![value("x")],
        output: vec![value("y")],
        ..Default::default()
    };
    let mut model = model(graph);
    model.dequantise().unwrap();
    let operators: Vec<&str> = model.views().map(|node| node.operator()).collect();
    assert_eq!(operators, ["Constant", "Reshape"]);
    assert_eq!(model.graph().node[1].input, ["x", "sides"]);
    assert!(model.graph().initializer.is_empty());
}
