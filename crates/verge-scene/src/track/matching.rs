//! Which box continues which track: the pairs of least total cost, found in each connected part of the graph of possible
//! pairs by itself.

use pathfinding::kuhn_munkres::kuhn_munkres;
use pathfinding::matrix::Matrix;

/// A possible pair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pairing {
    pub(super) track: usize,
    pub(super) seen: usize,
    /// Of joining them, `0..=1`; leaving both alone is worth nothing.
    pub(super) worth: f64,
}

/// More possible pairs than this in one part are not solved together: the best come first. No crowd is this dense.
const MOST_IN_PART: usize = 64;

/// Finds pairs. Keeps its buffers from frame to frame.
#[derive(Debug, Clone, Default)]
pub(super) struct Matching {
    pub(super) candidates: Vec<Pairing>,
    /// The chosen ones.
    pub(super) pairs: Vec<(usize, usize)>,
    /// Of each candidate, another one of its part; the first of a part refers to itself.
    part: Vec<usize>,
    by_track: Vec<Option<usize>>,
    by_seen: Vec<Option<usize>>,
    order: Vec<usize>,
}

impl Matching {
    /// Chooses among the candidates the pairs that are worth most together, into `pairs`.
    pub(super) fn solve(&mut self, tracks: usize, boxes: usize) {
        self.pairs.clear();
        self.part.clear();
        self.part.extend(0..self.candidates.len());
        for known in [&mut self.by_track, &mut self.by_seen] {
            known.clear();
        }
        self.by_track.resize(tracks, None);
        self.by_seen.resize(boxes, None);
        for at in 0..self.candidates.len() {
            let Pairing { track, seen, .. } = self.candidates[at];
            for place in [&mut self.by_track[track], &mut self.by_seen[seen]] {
                match *place {
                    Some(other) => join(&mut self.part, at, other),
                    None => *place = Some(at),
                }
            }
        }
        for at in 0..self.part.len() {
            self.part[at] = root(&self.part, at);
        }
        self.order.clear();
        self.order.extend(0..self.candidates.len());
        let part = &self.part;
        self.order.sort_by_key(|&at| (part[at], at));
        let order = std::mem::take(&mut self.order);
        let part = std::mem::take(&mut self.part);
        for members in order.chunk_by(|&a, &b| part[a] == part[b]) {
            self.solve_part(members);
        }
        (self.order, self.part) = (order, part);
    }

    fn solve_part(&mut self, members: &[usize]) {
        if let [only] = *members {
            let Pairing { track, seen, .. } = self.candidates[only];
            self.pairs.push((track, seen));
            return;
        }
        let mut tracks: Vec<usize> = members.iter().map(|&at| self.candidates[at].track).collect();
        let mut boxes: Vec<usize> = members.iter().map(|&at| self.candidates[at].seen).collect();
        for list in [&mut tracks, &mut boxes] {
            list.sort_unstable();
            list.dedup();
        }
        if tracks.len().min(boxes.len()) == 1 || tracks.len().max(boxes.len()) > MOST_IN_PART {
            self.take_best_first(members);
            return;
        }
        // The library wants no more rows than columns.
        let turned = tracks.len() > boxes.len();
        let (rows, columns) = if turned { (&boxes, &tracks) } else { (&tracks, &boxes) };
        let mut worth = Matrix::new(rows.len(), columns.len(), 0_i64);
        for candidate in members.iter().map(|&at| self.candidates[at]) {
            let (row, column) =
                if turned { (candidate.seen, candidate.track) } else { (candidate.track, candidate.seen) };
            let place = (rows.binary_search(&row), columns.binary_search(&column));
            if let (Ok(row), Ok(column)) = place {
                worth[(row, column)] = scaled(candidate.worth);
            }
        }
        let (_, chosen) = kuhn_munkres(&worth);
        for (row, column) in chosen.into_iter().enumerate() {
            // Zero: the two are no possible pair, and stay alone.
            if worth[(row, column)] > 0 {
                let (row, column) = (rows[row], columns[column]);
                self.pairs.push(if turned { (column, row) } else { (row, column) });
            }
        }
    }

    fn take_best_first(&mut self, members: &[usize]) {
        let mut sorted: Vec<Pairing> = members.iter().map(|&at| self.candidates[at]).collect();
        sorted.sort_by(|a, b| b.worth.total_cmp(&a.worth));
        let begin = self.pairs.len();
        for Pairing { track, seen, .. } in sorted {
            let taken = |&(a, b): &(usize, usize)| a == track || b == seen;
            if !self.pairs[begin..].iter().any(taken) {
                self.pairs.push((track, seen));
            }
        }
    }
}

/// The library compares whole numbers only.
#[expect(clippy::cast_possible_truncation, reason = "0 to a million fits")]
fn scaled(worth: f64) -> i64 {
    1 + (worth.clamp(0.0, 1.0) * 1e6) as i64
}

fn root(part: &[usize], mut at: usize) -> usize {
    while part[at] != at {
        at = part[at];
    }
    at
}

fn join(part: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(part, a), root(part, b));
    part[a.max(b)] = a.min(b);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(candidates: &[(usize, usize, f64)], expected: &[(usize, usize)]) {
        let made = candidates.iter().map(|&(track, seen, worth)| Pairing { track, seen, worth });
        let mut matching = Matching { candidates: made.collect(), ..Matching::default() };
        matching.solve(10, 10);
        matching.pairs.sort_unstable();
        assert_eq!(matching.pairs, expected);
    }

    #[test]
    fn the_whole_is_worth_most_not_the_first_pair() {
        check(&[], &[]);
        check(&[(3, 4, 0.2)], &[(3, 4)]);
        // The best pair alone would leave 0.1.
        check(&[(0, 0, 0.9), (0, 1, 0.8), (1, 0, 0.8), (1, 1, 0.1)], &[(0, 1), (1, 0)]);
        // More tracks than boxes, and the other way round.
        check(&[(0, 0, 0.5), (1, 0, 0.6), (2, 1, 0.3), (1, 1, 0.1)], &[(1, 0), (2, 1)]);
        check(&[(0, 0, 0.5), (0, 1, 0.6), (1, 2, 0.3), (1, 1, 0.5)], &[(0, 0), (1, 1)]);
        // Two parts.
        check(&[(0, 0, 0.5), (5, 5, 0.1), (5, 6, 0.2)], &[(0, 0), (5, 6)]);
    }

    #[test]
    fn a_dense_crowd_is_bounded() {
        let all = (0..100).flat_map(|track| {
            (0..100).map(move |seen| Pairing { track, seen, worth: if track == seen { 0.9 } else { 0.2 } })
        });
        let mut matching = Matching { candidates: all.collect(), ..Matching::default() };
        matching.solve(100, 100);
        assert!(matching.pairs.iter().all(|(track, seen)| track == seen));
        assert_eq!(matching.pairs.len(), 100);
    }
}
