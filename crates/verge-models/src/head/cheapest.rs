//! Which of several heads is taken: the cheapest that is as good as the best, as far as the pictures show it.

use super::matrix::count;

/// What may be lost for a cheaper choice, however few pictures there are to see it by.
const MOST_LOST: f64 = 0.02;
/// Shares that differ by less are the same: sums of them are rounded.
const SAME: f64 = 1e-9;

/// How far a choice is behind the best, in shares of the pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Behind {
    /// Share that it has right less.
    pub share: f64,
    /// The standard error of that.
    pub error: f64,
}

impl Behind {
    /// Whether the choice is as good as the best.
    #[must_use]
    pub fn is_as_good(self) -> bool {
        self.share <= self.error.min(MOST_LOST) + SAME
    }
}

/// How far each choice is behind the best. `shares`: of each choice, how often each picture was right; `groups`: the group of each
/// picture.
///
/// The difference is taken picture by picture: most are right or wrong whatever the choice, and say nothing of which is better. The
/// standard error of a share by itself is several times as large, and would let a choice pass that loses the same few pictures again and
/// again. Pictures of a group count as one.
#[must_use]
pub fn behind_the_best(shares: &[Vec<f64>], groups: &[usize]) -> Vec<Behind> {
    let sum = |of: &Vec<f64>| of.iter().sum::<f64>();
    let best = shares.iter().reduce(|best, one| if sum(one) > sum(best) { one } else { best });
    let Some(best) = best else { return Vec::new() };
    let pictures = count(groups.len().max(1));
    let most = groups.iter().max().map_or(0, |most| most + 1);
    let mut is_one = vec![false; most];
    groups.iter().for_each(|group| is_one[*group] = true);
    let there_are = count(is_one.iter().filter(|is_one| **is_one).count());
    let behind = |one: &Vec<f64>| {
        let mut lost = vec![0.0; most];
        for (group, (best, own)) in groups.iter().zip(best.iter().zip(one)) {
            lost[*group] += best - own;
        }
        let all: f64 = lost.iter().sum();
        let mean = all / there_are.max(1.0);
        let away =
            lost.iter().zip(&is_one).filter(|(_, is_one)| **is_one).map(|(lost, _)| (lost - mean).powi(2));
        let variance = away.sum::<f64>() / (there_are - 1.0).max(1.0);
        Behind { share: all / pictures, error: (variance * there_are).sqrt() / pictures }
    };
    shares.iter().map(behind).collect()
}

/// The place of the cheapest that is as good as the best; of equally cheap ones the better.
///
/// **Source**: Breiman et al. (1984), the rule of one standard error, here of the difference.
#[must_use]
pub fn cheapest(costs: &[f64], behind: &[Behind]) -> Option<usize> {
    let by_cost = |one: &usize, other: &usize| {
        costs[*one].total_cmp(&costs[*other]).then(behind[*one].share.total_cmp(&behind[*other].share))
    };
    (0..costs.len().min(behind.len())).filter(|place| behind[*place].is_as_good()).min_by(by_cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wrong of 120 pictures.
    fn wrong(pictures: &[usize]) -> Vec<f64> {
        (0..120).map(|picture| f64::from(u8::from(!pictures.contains(&picture)))).collect()
    }

    fn check(costs: &[f64], shares: &[Vec<f64>], expected: Option<usize>) {
        let groups: Vec<usize> = (0..120).collect();
        let behind = behind_the_best(shares, &groups);
        assert_eq!(cheapest(costs, &behind), expected, "{behind:?}");
    }

    #[test]
    fn the_cheapest_of_those_that_are_as_good_is_taken() {
        // One picture less is chance, two of which none is won are more than a standard error, 1.4.
        check(&[1.0, 2.0], &[wrong(&[1, 2]), wrong(&[1])], Some(0));
        check(&[1.0, 2.0], &[wrong(&[1, 2, 3]), wrong(&[1])], Some(1));
        // Three lost and one won are as many less, of which two could be chance.
        check(&[1.0, 2.0], &[wrong(&[1, 2, 3]), wrong(&[4])], Some(0));
        check(&[2.0, 1.0], &[wrong(&[]), wrong(&[])], Some(1));
        check(&[1.0, 1.0], &[wrong(&[1]), wrong(&[])], Some(1));
        // More than two points are never lost: 6 lost and 3 won would be within 3 pictures.
        check(&[1.0, 2.0], &[wrong(&[1, 2, 3, 4, 5, 6]), wrong(&[7, 8, 9])], Some(1));
        check(&[], &[], None);
        assert_eq!(cheapest(&[], &[]), None);
    }

    #[test]
    fn pictures_that_say_the_same_are_one() {
        // Four pictures of one burst are lost: one accident, not four.
        let shares = [wrong(&[0, 1]), wrong(&[])];
        let alone: Vec<usize> = (0..120).collect();
        let bursts: Vec<usize> = (0..120).map(|picture| 7 * (picture / 4)).collect();
        assert_eq!(cheapest(&[1.0, 2.0], &behind_the_best(&shares, &alone)), Some(1));
        let behind = behind_the_best(&shares, &bursts);
        assert_eq!(cheapest(&[1.0, 2.0], &behind), Some(0), "{behind:?}");
        assert!((behind[0].share - 2.0 / 120.0).abs() < 1e-12 && behind[1].share == 0.0);
    }
}
