//! What a track is taken for: every box votes.

use super::{SeenBox, Track};

/// Another kind is elected when its votes are more by this factor.
const LEAD: f32 = 1.25;

impl<T> Track<T> {
    /// The mean score of the boxes that voted for its class.
    #[expect(clippy::cast_precision_loss, reason = "frames of one object")]
    pub(crate) fn mean_score(&self, kind_of: &[Option<usize>]) -> f32 {
        let class = kind_of.get(self.class).copied().flatten().unwrap_or(self.class);
        let sum = self.sums.get(class).copied().unwrap_or_default();
        (sum / self.sightings.max(1) as f32).clamp(0.0, 1.0)
    }

    /// Votes for a class by the score, and for a kind of it by the area of its crop: the larger one tells more.
    #[expect(clippy::cast_possible_truncation, reason = "a score, and pixels of a frame")]
    pub(super) fn add_class(&mut self, seen: &SeenBox, kind_of: &[Option<usize>]) {
        let whole = |class: usize| kind_of.get(class).copied().flatten();
        let class = whole(seen.class).unwrap_or(seen.class);
        if let Some(sum) = self.sums.get_mut(class) {
            *sum += seen.score as f32;
        }
        if class != seen.class
            && let Some(sum) = self.sums.get_mut(seen.class)
        {
            *sum += (seen.width() * seen.height()) as f32;
        }
        let sums = &self.sums;
        let elected = |of: Option<usize>| {
            let candidates = sums.iter().enumerate().filter(|(class, _)| whole(*class) == of);
            candidates.max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0))).map(|(class, sum)| (class, *sum))
        };
        let class = elected(None).map_or(seen.class, |(class, _)| class);
        self.class = match elected(Some(class)).filter(|(_, sum)| *sum > 0.0) {
            None => class,
            // One that was elected stays until another one leads clearly.
            Some((_, sum)) if whole(self.class) == Some(class) && sum < LEAD * sums[self.class] => self.class,
            Some((kind, _)) => kind,
        };
    }
}
