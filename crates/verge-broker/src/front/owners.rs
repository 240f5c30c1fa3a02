//! Which connection has a client identifier: the last that came under it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Of all connections that stand.
#[derive(Debug, Default)]
pub(super) struct Owners(Mutex<Owned>);

#[derive(Debug, Default)]
struct Owned {
    last: u64,
    by_client: HashMap<String, u64>,
}

/// The claim of one connection; given up when it is dropped.
#[derive(Debug)]
pub(super) struct Ownership {
    client_id: String,
    number: u64,
    owners: Arc<Owners>,
}

impl Owners {
    /// A connection takes an identifier over.
    pub(super) fn take_over(self: &Arc<Self>, client_id: &str) -> Ownership {
        let mut owned = self.lock();
        owned.last += 1;
        let number = owned.last;
        owned.by_client.insert(client_id.to_owned(), number);
        drop(owned);
        Ownership { client_id: client_id.to_owned(), number, owners: Arc::clone(self) }
    }

    fn lock(&self) -> MutexGuard<'_, Owned> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ownership {
    /// No later connection has the identifier.
    pub(super) fn stands(&self) -> bool {
        self.owners.lock().by_client.get(&self.client_id) == Some(&self.number)
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        let mut owned = self.owners.lock();
        if owned.by_client.get(&self.client_id) == Some(&self.number) {
            owned.by_client.remove(&self.client_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_connection_of_a_name_has_it() {
        let owners = Arc::new(Owners::default());
        let (first, other) = (owners.take_over("a"), owners.take_over("b"));
        assert!(first.stands() && other.stands());
        let second = owners.take_over("a");
        assert!(!first.stands() && second.stands());
        drop(first);
        assert!(second.stands());
        drop((second, other));
        assert!(owners.lock().by_client.is_empty());
    }
}
