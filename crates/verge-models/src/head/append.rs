//! A head as nodes behind a graph: features of its planes, weights, softmax, and what is unknown. Its numbers are f32 whatever the
//! graph before it runs on.

use verge_engine::{EditError, EditableModel, ElementType, Tensor};

use super::Head;
use super::matrix::Matrix;
use crate::taps::Tap;
use crate::taps::features::{features, node, reduced};

/// How soon a picture beyond the limit counts as unknown: at a tenth of the limit beyond it, this is what goes into a logistic
/// function.
const STEEP: f64 = 5.0;
/// Squares of a length are at least this: a division by nothing would make NaN.
const LEAST: f32 = 1e-12;

/// Cuts a graph behind taps and puts the head there: it reads the features of the first, then those of the next. The output has one probability per class, and that of none of them where the
/// head knows what is unknown.
///
/// # Errors
/// See [`EditError`].
pub fn append(model: &mut EditableModel, taps: &[Tap], head: &Head) -> Result<String, EditError> {
    let width = whole(head.weights.rows());
    let classes = head.constant.len();
    let parts = taps.iter().map(|tap| features(model, tap)).collect::<Result<Vec<_>, _>>()?;
    let features = match &parts[..] {
        [only] => only.clone(),
        several => {
            let several: Vec<&str> = several.iter().map(String::as_str).collect();
            node(model, "Concat", &several, "head_joined", &[("axis", 1)])?
        }
    };
    let (weights, constant) = folded(head);
    let weights = constant_of(model, "head_weights", &[width, whole(classes)], &weights)?;
    let constant = constant_of(model, "head_constant", &[whole(classes)], &constant)?;
    let scores = node(model, "Gemm", &[&features, &weights, &constant], "head_scores", &[])?;
    let likely = node(model, "Softmax", &[&scores], "head_softmax", &[("axis", 1)])?;
    let (output, sides) = match &head.unknown {
        None => (likely, classes),
        Some(unknown) => {
            let kept = unknown.kept.transposed();
            let kept = constant_of(model, "head_known", &[width, whole(unknown.kept.rows())], kept.values())?;
            let ones = constant_of(model, "head_ones", &[width, 1], &vec![1.0; head.weights.rows()])?;
            let least = constant_of(model, "head_least", &[1], &[f64::from(LEAST)])?;
            let steep = STEEP / (0.1 * unknown.limit.max(1e-3));
            let down = constant_of(model, "head_steepness", &[1], &[-steep])?;
            let limit = constant_of(model, "head_limit", &[1], &[steep * (1.0 - unknown.limit)])?;
            let one = constant_of(model, "head_one", &[1], &[1.0])?;

            let products = node(model, "MatMul", &[&features, &kept], "head_products", &[])?;
            let nearest = reduced(model, "ReduceMax", &products, &[1], true, "head_nearest")?;
            let squares = node(model, "Mul", &[&features, &features], "head_squares", &[])?;
            let sum = node(model, "MatMul", &[&squares, &ones], "head_sum", &[])?;
            let sum = node(model, "Add", &[&sum, &least], "head_sum_above_zero", &[])?;
            let length = node(model, "Sqrt", &[&sum], "head_length", &[])?;
            let cosine = node(model, "Div", &[&nearest, &length], "head_cosine", &[])?;
            let falling = node(model, "Mul", &[&cosine, &down], "head_falling", &[])?;
            let beyond = node(model, "Add", &[&falling, &limit], "head_beyond", &[])?;
            let strange = node(model, "Sigmoid", &[&beyond], "head_unknown", &[])?;
            let known = node(model, "Sub", &[&one, &strange], "head_is_known", &[])?;
            let likely = node(model, "Mul", &[&likely, &known], "head_of_known", &[])?;
            (node(model, "Concat", &[&likely, &strange], "head_all", &[("axis", 1)])?, classes + 1)
        }
    };
    model.cut_at(&[&output])?;
    model.describe_output(&output, ElementType::F32, &[taps.first().map_or(-1, Tap::batch), whole(sides)])?;
    Ok(output)
}

/// Weights and constants with scale and temperature in them: (x - μ)/σ · W/T + c/T.
fn folded(head: &Head) -> (Vec<f64>, Vec<f64>) {
    let Head { standard, weights, constant, temperature, .. } = head;
    let mut folded = Matrix::zeros(weights.rows(), weights.columns());
    let mut rest: Vec<f64> = constant.iter().map(|own| own / temperature).collect();
    for row in 0..weights.rows() {
        let divisor = standard.deviations[row] * temperature;
        for (class, weight) in weights.row(row).iter().enumerate() {
            folded.row_mut(row)[class] = weight / divisor;
            rest[class] -= standard.means[row] * weight / divisor;
        }
    }
    (folded.values().to_vec(), rest)
}

#[expect(clippy::cast_possible_truncation, reason = "weights are f32 in the file")]
fn constant_of(
    model: &mut EditableModel,
    stem: &str,
    dims: &[i64],
    numbers: &[f64],
) -> Result<String, EditError> {
    let name = model.fresh(stem);
    let numbers = numbers.iter().map(|number| *number as f32).collect();
    model.add_initializer(&name, dims, &Tensor::F32(numbers))?;
    Ok(name)
}

fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
