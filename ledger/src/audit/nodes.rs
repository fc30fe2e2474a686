//! Stored tree nodes against those that the leaves give.
//!
//! Owns the comparison, level by level, in the order in which nodes complete.
//! Guarantees that every stored node is compared with a recomputed one, none is missing
//! and none is in excess, in memory that does not grow with the log. Leaves out the
//! recomputing ([`crate::log::tree`]).

use crate::{
    log::Hash,
    store::{Reader, StoreError},
};
use std::collections::VecDeque;

/// Nodes read at once.
const PAGE: usize = 1_024;

/// The highest level that a tree can have, and a store can keep.
const LEVELS: u8 = 64;

/// One log's stored nodes, read along with its leaves.
pub(super) struct StoredNodes<'r> {
    reader: &'r dyn Reader,
    ledger: Hash,
    levels: Vec<Level>,
}

#[derive(Default)]
struct Level {
    page: VecDeque<(u64, Hash)>,
    /// The next index that the leaves will give.
    next: u64,
}

impl<'r> StoredNodes<'r> {
    pub(super) fn new(reader: &'r dyn Reader, ledger: Hash) -> Self {
        let levels = (0..LEVELS).map(|_| Level::default()).collect();
        Self { reader, ledger, levels }
    }

    /// What is wrong with the stored node at the next place of `level`, which the leaves
    /// say is `index` with `hash`.
    pub(super) fn compare(
        &mut self,
        level: u32,
        index: u64,
        hash: &Hash,
    ) -> Result<Option<String>, StoreError> {
        let number = u8::try_from(level).expect("a tree has at most 64 levels");
        let here = &mut self.levels[usize::from(number)];
        debug_assert_eq!(here.next, index, "the nodes of a level complete in order");
        if here.page.is_empty() {
            here.page = self.reader.nodes(&self.ledger, number, index, PAGE)?.into();
        }
        here.next = index + 1;
        let stored = here.page.pop_front_if(|(found, _)| *found == index);
        Ok(match stored {
            Some((_, stored)) if stored == *hash => None,
            stored => {
                let found = stored.map_or("none".to_owned(), |(_, hash)| hex::encode(hash));
                let expected = hex::encode(hash);
                Some(format!("node {index} of level {level}: expected {expected}, found {found}"))
            }
        })
    }

    /// What is stored beyond the nodes that the leaves gave.
    pub(super) fn excess(&self) -> Result<Vec<String>, StoreError> {
        let mut all = Vec::new();
        for (number, level) in (0..LEVELS).zip(&self.levels) {
            let beyond = self.reader.nodes(&self.ledger, number, level.next, 1)?;
            all.extend(beyond.first().map(|(index, _)| {
                format!("node {index} of level {number}: the leaves give none there")
            }));
        }
        Ok(all)
    }
}
