//! Pictures that say the same are one group: folds never divide it, since what is tested would have been seen in training.

use std::collections::BTreeMap;

/// Makes groups of what is joined, two by two.
#[derive(Debug)]
pub struct Groups {
    /// Of each member another of its group, or itself.
    parents: Vec<usize>,
}

impl Groups {
    /// Every member alone.
    #[must_use]
    pub fn alone(members: usize) -> Self {
        Self { parents: (0..members).collect() }
    }

    /// Two members say the same, and all that is joined with either.
    pub fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.parents[one.max(other)] = one.min(other);
    }

    /// Members of each group, in the order of the first of each.
    #[must_use]
    pub fn members(&mut self) -> Vec<Vec<usize>> {
        let mut found: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for member in 0..self.parents.len() {
            let root = self.root(member);
            found.entry(root).or_default().push(member);
        }
        found.into_values().collect()
    }

    fn root(&mut self, member: usize) -> usize {
        let mut at = member;
        while self.parents[at] != at {
            self.parents[at] = self.parents[self.parents[at]];
            at = self.parents[at];
        }
        at
    }
}

/// Divides groups among folds, so that each fold has its part of every class as far as groups allow; members of each fold.
#[must_use]
pub fn folds(groups: &[Vec<usize>], labels: &[usize], wanted: usize) -> Vec<Vec<usize>> {
    let classes = labels.iter().max().map_or(0, |most| most + 1);
    let wanted = wanted.clamp(1, groups.len().max(1));
    let mut folds = vec![Vec::new(); wanted];
    let mut counts = vec![vec![0_usize; classes]; wanted];
    let mut order: Vec<&Vec<usize>> = groups.iter().collect();
    // Large ones first: what is small evens out what they leave.
    order.sort_by_key(|group| std::cmp::Reverse(group.len()));
    for group in order {
        let crowd = |fold: &usize| {
            let own: usize = group.iter().map(|member| counts[*fold][labels[*member]]).sum();
            (own, folds[*fold].len())
        };
        let fold = (0..wanted).min_by_key(crowd).unwrap_or(0);
        group.iter().for_each(|member| counts[fold][labels[*member]] += 1);
        folds[fold].extend(group);
    }
    folds.retain(|fold: &Vec<usize>| !fold.is_empty());
    folds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_stays_in_one_fold_and_classes_are_spread() {
        let mut groups = Groups::alone(20);
        groups.join(3, 7);
        groups.join(7, 12);
        groups.join(0, 1);
        let groups = groups.members();
        assert!(groups.contains(&vec![3, 7, 12]) && groups.contains(&vec![0, 1]));
        assert_eq!(groups.len(), 17);
        let labels: Vec<usize> = (0..20).map(|member| member % 2).collect();
        let folds = folds(&groups, &labels, 5);
        assert_eq!(folds.len(), 5);
        assert_eq!(folds.iter().map(Vec::len).sum::<usize>(), 20);
        for group in &groups {
            assert!(folds.iter().any(|fold| group.iter().all(|member| fold.contains(member))), "{group:?}");
        }
        for fold in &folds {
            let odd = fold.iter().filter(|member| labels[**member] == 1).count();
            assert!((1..=3).contains(&odd), "{folds:?}");
        }
        assert_eq!(super::folds(&[vec![0, 1, 2]], &[0, 1, 0], 5), [vec![0, 1, 2]], "one group is one fold");
    }
}
