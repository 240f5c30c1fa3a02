//! Weights and activations as whole numbers.

use verge_engine::{ProcessorClass, Tensor};

use super::range::Range;

/// The kind of processor that a file is made for, as far as its numbers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The kind.
    pub processor: ProcessorClass,
}

impl Target {
    /// The largest weight: 127, or 63 where the processor adds two products in 16 bits. There 255 · 127 twice is beyond
    /// 32,767, and 255 · 63 twice is 32,130.
    #[must_use]
    pub const fn largest_weight(self) -> i8 {
        match self.processor {
            ProcessorClass::X86Vnni | ProcessorClass::Arm => 127,
            ProcessorClass::X86 | ProcessorClass::Other => 63,
        }
    }

    /// Bits of a weight with its sign.
    #[must_use]
    pub const fn weight_bits(self) -> u32 {
        8 - (self.largest_weight() as u8).leading_zeros() + 1
    }

    /// Activations have a sign.
    #[must_use]
    pub const fn is_signed(self) -> bool {
        matches!(self.processor, ProcessorClass::Arm)
    }

    /// The step and the zero of a range. `is_clamped`: nothing below zero may come through, since the operator that kept it out
    /// is left out.
    #[must_use]
    pub fn steps(self, range: Range, is_clamped: bool) -> Steps {
        if self.is_signed() && !is_clamped {
            return Steps { scale: step(range.reach(), 127.0), zero: 0, is_signed: true };
        }
        let scale = step(range.high - range.low, 255.0);
        #[expect(clippy::cast_possible_truncation, reason = "from 0 to 255")]
        let zero = (-range.low / scale).round().clamp(0.0, 255.0) as i32;
        let zero = if self.is_signed() { zero - 128 } else { zero };
        Steps { scale, zero, is_signed: self.is_signed() }
    }
}

/// `real = (element - zero) · scale`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Steps {
    /// The step.
    pub scale: f32,
    /// What stands for zero.
    pub zero: i32,
    /// Elements are `i8`, else `u8`.
    pub is_signed: bool,
}

impl Steps {
    /// What stands for zero, as the type of the elements.
    #[must_use]
    pub fn zero_point(self) -> Tensor {
        self.elements(&[0.0])
    }

    /// Numbers as elements.
    #[must_use]
    pub fn elements(self, numbers: &[f32]) -> Tensor {
        #[expect(clippy::cast_precision_loss, reason = "a byte")]
        let zero = self.zero as f32;
        let nearest = |number: &f32| (number / self.scale).round_ties_even() + zero;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "what is outside saturates"
        )]
        if self.is_signed {
            Tensor::I8(numbers.iter().map(|number| nearest(number) as i8).collect())
        } else {
            Tensor::U8(numbers.iter().map(|number| nearest(number) as u8).collect())
        }
    }
}

/// A step, which must not be zero: a tensor of nothing but zeros has any.
fn step(width: f32, steps: f32) -> f32 {
    let step = width / steps;
    if step > f32::MIN_POSITIVE && step.is_finite() { step } else { 1.0 }
}

/// Weights by channel.
#[derive(Debug, Clone, PartialEq)]
pub struct WholeWeights {
    /// The elements.
    pub elements: Vec<i8>,
    /// The step of each channel.
    pub scales: Vec<f32>,
}

/// The channel of each number of a tensor.
pub fn channels(dims: &[i64], axis: usize) -> impl Iterator<Item = usize> + use<> {
    let side = |dim: &i64| usize::try_from(*dim).unwrap_or(0);
    let inner: usize = dims.iter().skip(axis + 1).map(side).product();
    let count: usize = dims.iter().map(side).product();
    let of = dims.get(axis).map_or(1, side);
    (0..count).map(move |place| place / inner.max(1) % of.max(1))
}

/// Weights in steps of each channel's own, symmetric. `bias` and `input`: what is added to the channel, and the step of what
/// comes in, since a bias is counted in products of both steps and must not overflow.
#[must_use]
pub fn whole(
    (dims, numbers): (&[i64], &[f32]),
    axis: usize,
    target: Target,
    bias: Option<&[f32]>,
    input: f32,
) -> WholeWeights {
    /// A quarter of what fits, since products are added to it.
    const MOST: f32 = (1_u32 << 29) as f32;
    let largest = f32::from(target.largest_weight());
    let count = dims.get(axis).and_then(|dim| usize::try_from(*dim).ok()).unwrap_or(1);
    let mut reach = vec![0.0_f32; count];
    for (channel, number) in channels(dims, axis).zip(numbers) {
        reach[channel] = reach[channel].max(number.abs());
    }
    let scale = |(channel, reach): (usize, &f32)| {
        let needed = bias.and_then(|bias| bias.get(channel)).map_or(0.0, |bias| bias.abs() / MOST / input);
        let scale = (reach / largest).max(needed);
        if scale > f32::MIN_POSITIVE && scale.is_finite() { scale } else { 1.0 }
    };
    let scales: Vec<f32> = reach.iter().enumerate().map(scale).collect();
    let element = |(channel, number): (usize, &f32)| {
        let nearest = (number / scales[channel]).round_ties_even().clamp(-largest, largest);
        #[expect(clippy::cast_possible_truncation, reason = "within a byte")]
        let element = nearest as i8;
        element
    };
    let elements = channels(dims, axis).zip(numbers).map(element).collect();
    WholeWeights { elements, scales }
}

/// A bias counted in products of the steps of what comes in and of the weights.
#[must_use]
pub fn whole_bias(bias: &[f32], input: f32, scales: &[f32]) -> (Vec<i32>, Vec<f32>) {
    let products: Vec<f32> = scales.iter().map(|scale| scale * input).collect();
    #[expect(clippy::cast_possible_truncation, reason = "what is outside saturates")]
    let nearest = |(bias, step): (&f32, &f32)| (f64::from(*bias) / f64::from(*step)).round_ties_even() as i32;
    (bias.iter().zip(&products).map(nearest).collect(), products)
}

#[cfg(test)]
mod tests {
    use super::*;

    const X86: Target = Target { processor: ProcessorClass::X86 };
    const VNNI: Target = Target { processor: ProcessorClass::X86Vnni };
    const ARM: Target = Target { processor: ProcessorClass::Arm };

    /// What `vpmaddubsw` and `vpaddd` of AVX2 make of a row: two products are added in 16 bits, which saturate, then all in 32.
    fn in_16_bits(activations: &[u8], weights: &[i8]) -> i32 {
        let product = |(activation, weight): (&u8, &i8)| i32::from(*activation) * i32::from(*weight);
        let products: Vec<i32> = activations.iter().zip(weights).map(product).collect();
        products.chunks(2).map(|pair| pair.iter().sum::<i32>().clamp(i16::MIN.into(), i16::MAX.into())).sum()
    }

    fn in_32_bits(activations: &[u8], weights: &[i8]) -> i32 {
        activations.iter().zip(weights).map(|(one, other)| i32::from(*one) * i32::from(*other)).sum()
    }

    #[test]
    fn seven_bits_do_not_saturate_where_eight_do() {
        // A channel of large weights of one sign, bright activations: what a face in front of a window makes of a first layer.
        let numbers: Vec<f32> = (0..64_u8).map(|number| 0.8 + 0.2 * f32::from(number % 7) / 6.0).collect();
        let activations: Vec<u8> = (0..64_u8).map(|number| 200 + number % 56).collect();
        let made = |target| whole((&[1, 64], &numbers), 0, target, None, 1.0);
        let (full, seven) = (made(VNNI), made(X86));
        assert_eq!(full.elements.iter().max(), Some(&127));
        assert_eq!(seven.elements.iter().max(), Some(&63));
        assert_ne!(in_16_bits(&activations, &full.elements), in_32_bits(&activations, &full.elements));
        assert_eq!(in_16_bits(&activations, &seven.elements), in_32_bits(&activations, &seven.elements));
        // The worst there can be.
        let (bright, most) = ([255_u8; 2], [63_i8; 2]);
        assert_eq!(in_16_bits(&bright, &most), in_32_bits(&bright, &most));
        assert_eq!((X86.weight_bits(), VNNI.weight_bits(), ARM.weight_bits()), (7, 8, 8));
    }

    #[test]
    fn each_channel_has_its_own_steps() {
        let numbers = [1.0, -0.5, 0.1, 0.0, 0.0, 0.0];
        let by_row = whole((&[2, 3], &numbers), 0, VNNI, None, 1.0);
        assert_eq!(by_row.elements, [127, -64, 13, 0, 0, 0]);
        assert_eq!(by_row.scales, [1.0 / 127.0, 1.0], "a channel of zeros has any step");
        let by_column = whole((&[2, 3], &numbers), 1, VNNI, None, 1.0);
        assert_eq!(by_column.elements, [127, -127, 127, 0, 0, 0]);
        // A channel of nearly nothing with a large bias: the bias fits.
        let tiny = whole((&[1, 1], &[1e-20]), 0, VNNI, Some(&[100.0]), 0.01);
        let (bias, steps) = whole_bias(&[100.0], 0.01, &tiny.scales);
        #[expect(clippy::cast_precision_loss, reason = "a test")]
        let back = bias[0] as f32 * steps[0];
        assert!((back - 100.0).abs() < 1e-3, "{back}");
    }

    #[test]
    fn steps_hold_zero_exactly_and_clamp_where_nothing_else_does() {
        let steps = X86.steps(Range { low: -1.0, high: 3.0 }, false);
        assert_eq!((steps.zero, steps.is_signed), (64, false));
        assert_eq!(steps.elements(&[0.0, 3.0, -1.0, -9.0]), Tensor::U8(vec![64, 255, 0, 0]));
        assert_eq!(X86.steps(Range { low: 0.0, high: 6.0 }, true).zero_point(), Tensor::U8(vec![0]));
        let signed = ARM.steps(Range { low: -1.0, high: 3.0 }, false);
        assert_eq!((signed.zero, signed.scale), (0, 3.0 / 127.0));
        let clamped = ARM.steps(Range { low: 0.0, high: 6.0 }, true);
        assert_eq!(clamped.elements(&[-2.0, 0.0, 6.0]), Tensor::I8(vec![-128, -128, 127]));
        assert_eq!(X86.steps(Range { low: 0.0, high: 0.0 }, false).scale, 1.0);
    }
}
