//! The numbers of births (`bdSeq`): one for each CONNECT packet, whatever happens in between.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

/// Saves a number before it is used. Says whether it is durable.
pub type SavedNumber = Pin<Box<dyn Future<Output = bool> + Send>>;

/// Gives the numbers.
#[derive(Clone)]
pub struct BirthNumbers {
    last: Option<u8>,
    /// Reserved, and sent in no CONNECT packet yet.
    reserved: Option<u8>,
    save: Arc<dyn Fn(u8) -> SavedNumber + Send + Sync>,
}

impl BirthNumbers {
    /// Goes on behind the last number that was saved; from 0 where there is none.
    pub fn new(last: Option<u8>, save: impl Fn(u8) -> SavedNumber + Send + Sync + 'static) -> Self {
        Self { last, reserved: None, save: Arc::new(save) }
    }

    /// The number of the next attempt is durable from here on: after a crash it is not used again.
    pub(super) async fn reserve(&mut self) {
        if self.reserved.is_some() {
            return;
        }
        let next = self.last.map_or(0, |last| last.wrapping_add(1));
        if !(self.save)(next).await {
            tracing::warn!(
                number = next,
                "the number of the next birth could not be saved: after a crash it may be used twice"
            );
        }
        self.reserved = Some(next);
    }

    /// The number of the attempt that begins.
    pub(super) fn current(&self) -> u8 {
        self.reserved.or(self.last).unwrap_or(0)
    }

    /// The attempt has ended. Without a CONNECT packet its number stays for the next one.
    pub(super) fn ended(&mut self, sent_connect: bool) {
        if sent_connect {
            self.last = self.reserved.take().or(self.last);
        }
    }
}

impl fmt::Debug for BirthNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BirthNumbers").field("last", &self.last).field("reserved", &self.reserved).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn a_number_is_saved_before_it_is_used_and_used_once() {
        let saved = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&saved);
        let mut numbers = BirthNumbers::new(Some(254), move |number| {
            keep.lock().unwrap().push(number);
            Box::pin(std::future::ready(true))
        });
        let mut used = Vec::new();
        for sent_connect in [false, false, true, true, false] {
            numbers.reserve().await;
            used.push(numbers.current());
            assert_eq!(saved.lock().unwrap().last(), used.last(), "durable before the attempt");
            numbers.ended(sent_connect);
        }
        assert_eq!(used, [255, 255, 255, 0, 1], "it advances with each CONNECT packet alone");
        assert_eq!(*saved.lock().unwrap(), [255, 0, 1]);
    }

    #[tokio::test]
    async fn the_first_is_0() {
        let mut numbers = BirthNumbers::new(None, |_| Box::pin(std::future::ready(true)));
        numbers.reserve().await;
        assert_eq!(numbers.current(), 0);
    }
}
