//! How many bits a reading's place in its context costs: a small predictor of symbols.
//!
//! Values are cut into eight symbols over their running range. For contexts of growing length a symbol's
//! probability is blended from counts (prediction by partial matching, Cleary & Witten 1984, with the
//! estimator of Krichevsky & Trofimov's kind: two pseudo-counts spread by the shorter context). Counts stand in
//! tables of fixed size that are reached by hashing; collisions only make it less precise.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use verge_domain::finding::Expected;

pub(super) const SYMBOLS: f64 = 8.0;
const TABLE: usize = 256;
/// An hour that was met more rarely says nothing about what is usual then.
const LEAST_MET: u16 = 20;
/// Readings after which all counts are halved.
const HALVE_EVERY: u32 = 3_500;
/// The range shrinks by this part of itself with each reading that does not widen it.
const RANGE_DECAY: f64 = 5e-5;

/// Turns values into symbols over a running range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Quantiser {
    low: f64,
    high: f64,
}

impl Quantiser {
    pub(super) fn new(first: f64) -> Self {
        Self { low: first, high: first }
    }

    /// Symbol of a value by the range as it is.
    pub(super) fn place(&self, value: f64) -> u8 {
        let range = self.high - self.low;
        if range > 0.0 {
            (SYMBOLS * (value - self.low) / range).floor().clamp(0.0, SYMBOLS - 1.0) as u8
        } else {
            0
        }
    }

    /// The values that these symbols stand for.
    pub(super) fn values(&self, symbols: &RangeInclusive<u8>) -> Expected {
        let end = |symbol: u8| self.low + (self.high - self.low) * (f64::from(symbol) / SYMBOLS);
        Expected { low: Some(end(*symbols.start())), high: Some(end(*symbols.end() + 1)) }
    }

    /// All values that were met lately.
    pub(super) fn range(&self) -> Expected {
        Expected { low: Some(self.low), high: Some(self.high) }
    }

    /// Symbol of a value by the range before it, `0..8`; then takes it into the range.
    pub(super) fn symbol(&mut self, value: f64) -> u8 {
        let range = self.high - self.low;
        let symbol = self.place(value);
        self.low = (self.low + RANGE_DECAY * range).min(value);
        self.high = (self.high - RANGE_DECAY * range).max(value);
        symbol
    }
}

/// Predicts symbols from the `orders - 1` symbols before and a fixed context beside them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Predictor {
    /// For each order a table of counts of contexts and one of symbols within them.
    counts: Box<[u16]>,
    /// The symbols before, the newest in the lowest three bits.
    past: u32,
    halve_in: u32,
}

impl Predictor {
    pub(super) fn new(orders: usize) -> Self {
        Self { counts: vec![0; orders * 2 * TABLE].into(), past: 0, halve_in: HALVE_EVERY }
    }

    /// Whether this can be what was saved of a predictor of this number of orders.
    pub(super) fn fits(&self, orders: usize) -> bool {
        self.counts.len() == orders * 2 * TABLE && self.halve_in > 0
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.counts)
    }

    /// The symbols around one that make up nearly all that was met beside this context, whatever came before: each at
    /// least one in twenty, together nine in ten. `None` where there are others, or it was met too rarely.
    pub(super) fn usual(&self, beside: u32, around: u8) -> Option<RangeInclusive<u8>> {
        let (contexts, symbols) = self.counts.get(..2 * TABLE)?.split_at(TABLE);
        let context = hash(beside, 0, 0);
        let seen = contexts[slot(context)];
        // Others that share a place add to it: what lies apart is not to be trusted.
        let met = |symbol: u8| symbols[slot(hash(context, u32::from(symbol) + 1, 0))].min(seen);
        let is_usual = |symbol: &u8| u32::from(met(*symbol)) * 20 >= u32::from(seen);
        let low = (0..=around).rev().take_while(is_usual).last()?;
        let high = (around..SYMBOLS as u8).take_while(is_usual).last()?;
        let together: u32 = (low..=high).map(|symbol| u32::from(met(symbol))).sum();
        (seen >= LEAST_MET && together * 10 >= u32::from(seen) * 9).then_some(low..=high)
    }

    /// Bits that the symbol costs beside what was seen so far, at least zero; then learns it.
    pub(super) fn bits(&mut self, beside: u32, symbol: u8) -> f64 {
        let mut probability = 1.0 / SYMBOLS;
        for (order, tables) in self.counts.chunks_exact_mut(2 * TABLE).enumerate() {
            let (contexts, symbols) = tables.split_at_mut(TABLE);
            let past = self.past & ((1 << (3 * order)) - 1);
            let context = hash(beside, past, order as u32);
            let within = hash(context, u32::from(symbol) + 1, order as u32);
            let seen = &mut contexts[slot(context)];
            let met = &mut symbols[slot(within)];
            probability = (f64::from((*met).min(*seen)) + 2.0 * probability) / (f64::from(*seen) + 2.0);
            *seen = seen.saturating_add(1);
            *met = met.saturating_add(1);
        }
        self.past = (self.past << 3) | u32::from(symbol);
        self.halve_in -= 1;
        if self.halve_in == 0 {
            self.halve_in = HALVE_EVERY;
            for count in &mut *self.counts {
                *count /= 2;
            }
        }
        -probability.min(1.0).log2()
    }
}

/// A multiplicative hash (Knuth); only its highest bits are used.
fn hash(one: u32, other: u32, order: u32) -> u32 {
    let mixed = one ^ other.wrapping_mul(0x85eb_ca6b) ^ order.wrapping_mul(0xc2b2_ae35);
    (mixed ^ (mixed >> 15)).wrapping_mul(0x9e37_79b1)
}

fn slot(hash: u32) -> usize {
    (hash >> 24) as usize
}
