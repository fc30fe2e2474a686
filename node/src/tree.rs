//! The part of a Merkle tree that appending and proving new entries needs.
//!
//! Owns the right edge of the tree together with the nodes completed since the last
//! commit. Guarantees that every entry appended since then can be proven without a read
//! from a store: what lies to its left is a subtree of the old edge or was completed since.
//! Leaves out hashing (`subak_ledger::log::tree`) and all older nodes (`store`).

use std::collections::BTreeMap;
use subak_ledger::{
    log::{Frontier, Hash, tree},
    store,
};

/// A growing tree: its frontier, and nodes by `(level, index)`.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    frontier: Frontier,
    nodes: BTreeMap<(u32, u64), Hash>,
}

impl Tree {
    /// Appends a leaf's bytes; returns the nodes that this completes, for a store.
    pub fn push(&mut self, leaf: &[u8]) -> Vec<store::Node> {
        let hash = tree::leaf_hash(leaf);
        self.nodes.insert((0, self.frontier.size()), hash);
        let completed = self.frontier.push(hash);
        self.nodes.extend(completed.iter().map(|&(level, index, hash)| ((level, index), hash)));
        let level = |level: u32| u8::try_from(level).expect("a tree has 64 levels at most");
        completed.into_iter().map(|(l, index, hash)| (level(l), index, hash)).collect()
    }

    /// Forgets all nodes but the edge: the largest complete subtree for each bit of the size.
    pub fn prune(&mut self) {
        let size = self.size();
        self.nodes.retain(|(level, index), _| {
            let here = size >> level;
            here & 1 == 1 && *index == here - 1
        });
    }

    /// The inclusion proof, under the present size, of an entry pushed since the last
    /// [`Tree::prune`]; `None` for an older or a later one.
    pub fn prove(&self, entry: u64) -> Option<Vec<Hash>> {
        if entry >= self.size() {
            return None;
        }
        let read = |level, index| self.nodes.get(&(level, index)).copied().ok_or(());
        tree::prove_inclusion(entry, self.size(), read).ok()
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root over all of them.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For every old size, every batch after it: each new entry has a proof that holds.
    #[test]
    fn whatever_was_added_since_the_last_commit_can_be_proven() {
        for old in 0..40u64 {
            let mut tree = Tree::default();
            (0..old).for_each(|n| drop(tree.push(&n.to_be_bytes())));
            tree.prune();
            assert_eq!(tree.nodes.len(), old.count_ones() as usize, "only the edge is kept");
            for size in old..old + 20 {
                tree.push(&size.to_be_bytes());
                for entry in old..=size {
                    let proof = tree.prove(entry).expect("a new entry");
                    let leaf = tree::leaf_hash(&entry.to_be_bytes());
                    tree::verify_inclusion(entry, size + 1, &tree.root(), &leaf, &proof)
                        .expect("the proof holds");
                }
                assert_eq!(tree.prove(size + 1), None, "not there yet");
            }
        }
    }
}
