//! Distinguishes a stream of messages from single ones, and says how long to let it gather.

use std::time::{Duration, Instant};

/// Messages that come closer together than this are a stream. To be woken for each of them costs more than to handle it.
const STREAM_GAP: Duration = Duration::from_micros(500);
/// Messages after which the rate is computed, and that are let gather. Fewer than the 20 that a broker usually keeps in
/// flight, or resting would itself slow down a stream that waits at the broker.
const SAMPLE: u32 = 16;
/// The shortest rest: a timer's shortest pause.
const MIN_REST: Duration = Duration::from_millis(1);
/// The longest rest: what it adds to the age of a message.
const MAX_REST: Duration = Duration::from_millis(3);

/// How fast messages come.
#[derive(Debug)]
pub(super) struct MessageRate {
    taken: u32,
    since: Instant,
    rest: Option<Duration>,
}

impl MessageRate {
    pub(super) fn new() -> Self {
        Self { taken: 0, since: Instant::now(), rest: None }
    }

    pub(super) fn took(&mut self) {
        self.taken += 1;
    }

    /// How long to let messages gather; `None` where they do not come fast.
    pub(super) fn rest(&mut self) -> Option<Duration> {
        let elapsed = self.since.elapsed();
        if self.taken >= SAMPLE {
            let gap = elapsed / self.taken;
            let rest = (gap * SAMPLE).clamp(MIN_REST, MAX_REST);
            *self = Self { rest: (gap < STREAM_GAP).then_some(rest), ..Self::new() };
        } else if elapsed >= STREAM_GAP * SAMPLE {
            *self = Self::new();
        }
        self.rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages that come this far apart, one after the other.
    fn after(messages: u32, gap: Duration) -> MessageRate {
        let since = Instant::now().checked_sub(gap * messages).expect("the clock is older than a test");
        MessageRate { taken: messages, since, rest: None }
    }

    #[test]
    fn a_stream_gathers_and_single_messages_do_not_wait() {
        let rest = |messages, gap| after(messages, Duration::from_micros(gap)).rest();
        assert_eq!(rest(SAMPLE, 20), Some(MIN_REST));
        assert_eq!(rest(SAMPLE, 400), Some(MAX_REST));
        assert_eq!(rest(SAMPLE, 1_000), None);
        assert_eq!(rest(SAMPLE - 1, 20), None, "too few to tell");
    }

    #[test]
    fn a_stream_goes_on_until_it_ends() {
        let mut rate = after(SAMPLE, Duration::from_micros(20));
        assert!(rate.rest().is_some());
        rate.took();
        assert!(rate.rest().is_some(), "the sample has only begun");
        rate.since -= STREAM_GAP * SAMPLE;
        assert_eq!(rate.rest(), None);
    }
}
