//! What the delivery has offered and is not sent yet, in its order.

use std::collections::VecDeque;

use verge_domain::stage::{Token, VerdictRow};

/// Rows at hand at most; the delivery keeps the rest.
const MAX_ROWS: usize = 2048;

/// One offered item, with what is left of it.
#[derive(Debug)]
struct OfferedRows {
    token: Token,
    left: VecDeque<VerdictRow>,
}

/// All that waits.
#[derive(Debug, Default)]
pub(crate) struct WaitingRows {
    items: VecDeque<OfferedRows>,
    rows: usize,
    /// An item found no room.
    refused: bool,
}

impl WaitingRows {
    /// Takes an item, if there is room for it.
    pub(crate) fn push(&mut self, rows: VecDeque<VerdictRow>, token: Token) -> bool {
        if self.rows >= MAX_ROWS {
            self.refused = true;
            return false;
        }
        self.rows += rows.len();
        self.items.push_back(OfferedRows { token, left: rows });
        true
    }

    /// The next row.
    pub(crate) fn first(&self) -> Option<&VerdictRow> {
        self.items.front()?.left.front()
    }

    /// The item in front, where nothing is left of it.
    pub(crate) fn take_done(&mut self) -> Option<Token> {
        let done = self.items.front()?.left.is_empty();
        done.then(|| self.items.pop_front().map(|item| item.token))?
    }

    /// The next row is sent.
    pub(crate) fn drop_first(&mut self) {
        if let Some(item) = self.items.front_mut()
            && item.left.pop_front().is_some()
        {
            self.rows -= 1;
        }
    }

    /// Whether an item found no room and would find it now. Says so once.
    pub(crate) fn has_room_again(&mut self) -> bool {
        self.refused && self.rows < MAX_ROWS / 2 && std::mem::take(&mut self.refused)
    }

    pub(crate) const fn len(&self) -> usize {
        self.rows
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
