//! Elements of outputs as real numbers.

use verge_engine::TensorView;
use verge_engine::card::Quantisation;

/// The elements as single-precision numbers: borrowed where they are, else written to `scratch`.
pub(crate) fn reals<'a>(
    view: TensorView<'a>,
    quantisation: Option<Quantisation>,
    scratch: &'a mut Vec<f32>,
) -> &'a [f32] {
    #[expect(clippy::cast_precision_loss, reason = "zero points of bytes")]
    let (scale, zero) = quantisation.map_or((1.0, 0.0), |q| (q.scale, q.zero_point as f32));
    let real = |element: f32| (element - zero) * scale;
    scratch.clear();
    match view {
        TensorView::F32(data) if quantisation.is_none() => return data,
        TensorView::F32(data) => scratch.extend(data.iter().map(|element| real(*element))),
        TensorView::F16(data) => scratch.extend(data.iter().map(|element| real(element.to_f32()))),
        TensorView::U8(data) => scratch.extend(data.iter().map(|element| real(f32::from(*element)))),
        TensorView::I8(data) => scratch.extend(data.iter().map(|element| real(f32::from(*element)))),
    }
    scratch
}
