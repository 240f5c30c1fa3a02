//! What is read of taps: nodes that make features of their planes.

use verge_engine::{EditError, EditableModel, ElementType, NewNode, Tensor};

use super::Tap;

/// The version of ONNX's operators from which the sides to reduce are an input.
const AXES_ARE_INPUT: i64 = 18;
/// Means are this far from zero at least when their root is taken: a division by nothing would make NaN.
const ROOT_LEAST: f32 = 1e-6;
/// What is added to a variance for the same reason.
const VARIANCE_LEAST: f32 = 1e-8;

/// Adds the features of each tap as an output, behind those that there are; names of these outputs.
///
/// # Errors
/// See [`EditError`].
pub fn add_features(model: &mut EditableModel, taps: &[Tap]) -> Result<Vec<String>, EditError> {
    let outputs = taps.iter().map(|tap| features(model, tap)).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<&str> = outputs.iter().map(String::as_str).collect();
    // What no head reads is not computed.
    model.cut_at(&names)?;
    Ok(outputs)
}

/// A tensor with the features of a tap, as f32: of each plane the mean and, behind all means, the deviation, where planes have more than
/// one point. How much a channel differs within a picture says of textures and of parts what its mean hides, and costs nothing beside
/// a layer. Of both the root is taken: what few planes show strongly would drown what the others say. Below zero roots are those of
/// the opposite, below zero.
///
/// **Source**: Perronnin et al. (2010), power normalisation; Huang and Belongie (2017), means and deviations of channels as style.
pub(crate) fn features(model: &mut EditableModel, tap: &Tap) -> Result<String, EditError> {
    const FLOAT: i64 = 1;
    let mut tensor = tap.tensor.clone();
    if tap.element != ElementType::F32 {
        tensor = node(model, "Cast", &[&tensor], "head_cast", &[("to", FLOAT)])?;
    }
    let sides: &[i64] = match tap.shape.len() {
        4 => &[2, 3],
        3 => &[1],
        _ => return signed_root(model, &tensor),
    };
    let means = reduced(model, "ReduceMean", &tensor, sides, false, "head_means")?;
    let means = signed_root(model, &means)?;
    if !tap.has_deviations() {
        return Ok(means);
    }
    // Not the mean of squares less the square of the mean: of planes far from zero that difference is noise.
    let middle = reduced(model, "ReduceMean", &tensor, sides, true, "head_middles")?;
    let away = node(model, "Sub", &[&tensor, &middle], "head_away", &[])?;
    let squares = node(model, "Mul", &[&away, &away], "head_away_squares", &[])?;
    let variance = reduced(model, "ReduceMean", &squares, sides, false, "head_variances")?;
    let least = constant(model, "head_least_variance", VARIANCE_LEAST)?;
    let variance = node(model, "Add", &[&variance, &least], "head_variances_above_zero", &[])?;
    let deviation = node(model, "Sqrt", &[&variance], "head_deviations", &[])?;
    let deviation = node(model, "Sqrt", &[&deviation], "head_deviation_roots", &[])?;
    node(model, "Concat", &[&means, &deviation], "head_features", &[("axis", 1)])
}

/// The root of the size of each number, with its sign.
fn signed_root(model: &mut EditableModel, numbers: &str) -> Result<String, EditError> {
    let least = constant(model, "head_least_root", ROOT_LEAST)?;
    let size = node(model, "Abs", &[numbers], "head_sizes", &[])?;
    let size = node(model, "Add", &[&size, &least], "head_sizes_above_zero", &[])?;
    let root = node(model, "Sqrt", &[&size], "head_roots", &[])?;
    node(model, "Div", &[numbers, &root], "head_signed_roots", &[])
}

fn constant(model: &mut EditableModel, stem: &str, number: f32) -> Result<String, EditError> {
    let name = model.fresh(stem);
    model.add_initializer(&name, &[1], &Tensor::F32(vec![number]))?;
    Ok(name)
}

pub(crate) fn node(
    model: &mut EditableModel,
    operator: &str,
    inputs: &[&str],
    stem: &str,
    integers: &[(&str, i64)],
) -> Result<String, EditError> {
    let output = model.fresh(stem);
    model.insert(&NewNode { operator, inputs, outputs: &[&output], integers, ..NewNode::default() })?;
    Ok(output)
}

/// A tensor with some sides reduced, written as the model's version of the operators has it.
pub(crate) fn reduced(
    model: &mut EditableModel,
    operator: &str,
    tensor: &str,
    axes: &[i64],
    keeps: bool,
    stem: &str,
) -> Result<String, EditError> {
    let output = model.fresh(stem);
    let keepdims = [("keepdims", i64::from(keeps))];
    let node = NewNode { operator, outputs: &[&output], integers: &keepdims, ..NewNode::default() };
    if model.opset("").is_some_and(|version| version >= AXES_ARE_INPUT) {
        let sides = model.fresh("head_axes");
        model.add_initializer(
            &sides,
            &[i64::try_from(axes.len()).unwrap_or(0)],
            &Tensor::I64(axes.to_vec()),
        )?;
        model.insert(&NewNode { inputs: &[tensor, &sides], ..node })?;
    } else {
        model.insert(&NewNode { inputs: &[tensor], lists: &[("axes", axes)], ..node })?;
    }
    Ok(output)
}
