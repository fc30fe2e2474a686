//! Stored tree nodes against those that the leaves give.
//!
//! Owns the comparison, level by level, in the order in which nodes complete.
//! Guarantees that every stored node is compared with a recomputed one, none is missing
//! and none is in excess, in memory that does not grow with the log. At level 0 each is in
//! excess: a leaf's hash follows from its entry and is not stored. Leaves out the
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
                let why =
                    if number == 0 { "level 0 is not stored" } else { "the leaves give none" };
                format!("node {index} of level {number}: {why} there")
            }));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        log::Frontier,
        store::{Batch, Head, MemoryStore, Node, Store as _},
    };

    const TEA: Hash = [0xa1; 32];
    const LEAVES: u8 = 21;

    /// What completes with each leaf.
    fn tree() -> Vec<(u32, u64, Hash)> {
        let mut frontier = Frontier::default();
        (0..LEAVES).flat_map(|n| frontier.push([n; 32])).collect()
    }

    fn store(nodes: &[(u32, u64, Hash)]) -> MemoryStore {
        let narrow = |&(level, index, hash): &(u32, u64, Hash)| -> Node {
            (u8::try_from(level).expect("a small tree"), index, hash)
        };
        let nodes: Vec<Node> = nodes.iter().map(narrow).collect();
        let mut store = MemoryStore::new();
        let batch = Batch {
            ledger: TEA,
            name: "tea",
            expected: Head::EMPTY,
            entries: &[],
            nodes: &nodes,
            checkpoint: None,
            disclosures: &[],
            erasures: &[],
        };
        store.append(&[batch]).expect("memory");
        store
    }

    fn findings(stored: &[(u32, u64, Hash)]) -> Vec<String> {
        let store = store(stored);
        let mut nodes = StoredNodes::new(&store, TEA);
        let mut all = Vec::new();
        for (level, index, hash) in tree() {
            all.extend(nodes.compare(level, index, &hash).expect("memory"));
        }
        all.extend(nodes.excess().expect("memory"));
        all
    }

    #[test]
    fn every_bit_of_every_node_is_compared() {
        assert_eq!(findings(&tree()), Vec::<String>::new(), "the control");
        for (n, (level, index, _)) in tree().into_iter().enumerate() {
            for bit in 0..256 {
                let mut altered = tree();
                altered[n].2[bit / 8] ^= 1 << (bit % 8);
                let found = findings(&altered);
                let place = format!("node {index} of level {level}: expected ");
                assert!(found.len() == 1 && found[0].starts_with(&place), "{found:?}");
            }
        }
    }

    #[test]
    fn a_node_missing_or_in_excess_is_found_and_no_other() {
        for n in 0..tree().len() {
            let mut fewer = tree();
            let (level, index, _) = fewer.remove(n);
            let found = findings(&fewer);
            let place = format!("node {index} of level {level}: ");
            assert!(found.len() == 1 && found[0].starts_with(&place), "{found:?}");
            assert!(found[0].ends_with("found none"), "{found:?}");
        }
        for place in [(0, 0), (0, 500), (2, 5), (4, 1), (5, 0), (63, 0)] {
            let more = [tree(), vec![(place.0, place.1, [9; 32])]].concat();
            assert_eq!(findings(&more).len(), 1, "{place:?}");
        }
    }
}
