//! The chain hash of each entry.
//!
//! Owns [`Chain`]. All of them are kept, since a statement may say that its author has seen the
//! log at any size. Guarantees clones that cost nothing and share what they can, and no room
//! but that of the hashes: `imbl::Vector` alone lays 64 in a node, two counters more than fill a
//! piece that an allocator has, which leaves a fifth of it empty. Leaves out what a hash is of (`log`).

use crate::log::Hash;
use imbl::Vector;
use std::sync::Arc;

/// Hashes that lie together: with the two counters before them 4,096 bytes.
const PAGE: usize = 127;

/// Chain hashes by entry. A clone is cheap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    /// Of [`PAGE`] each.
    pages: Vector<Arc<[Hash]>>,
    /// Those after them, fewer.
    rest: Vector<Hash>,
}

impl Chain {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.pages.len() * PAGE + self.rest.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The chain hash of an entry.
    pub fn get(&self, entry: usize) -> Option<&Hash> {
        match self.pages.get(entry / PAGE) {
            Some(page) => page.get(entry % PAGE),
            None => self.rest.get(entry - self.pages.len() * PAGE),
        }
    }

    /// That of the last one.
    pub fn last(&self) -> Option<&Hash> {
        self.rest.last().or_else(|| self.pages.last()?.last())
    }

    /// One more.
    pub(super) fn push(&mut self, hash: Hash) {
        self.rest.push_back(hash);
        if self.rest.len() == PAGE {
            self.pages.push_back(std::mem::take(&mut self.rest).into_iter().collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_has_its_own_hash_and_a_clone_keeps_to_its_size() {
        let hash = |n: usize| *blake3::hash(&n.to_be_bytes()).as_bytes();
        let mut chain = Chain::default();
        assert_eq!((chain.is_empty(), chain.get(0), chain.last()), (true, None, None));
        let mut kept = Vec::new();
        for n in 0..4 * PAGE {
            kept.push(chain.clone());
            chain.push(hash(n));
            assert_eq!((chain.len(), chain.last()), (n + 1, Some(&hash(n))));
        }
        for (size, chain) in kept.iter().chain([&chain]).enumerate() {
            for n in 0..4 * PAGE + 2 {
                assert_eq!(chain.get(n), (n < size).then(|| hash(n)).as_ref(), "{n} of {size}");
            }
        }
    }
}
