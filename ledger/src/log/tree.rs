//! The Merkle tree of RFC 6962 and RFC 9162 over SHA-256: grow, prove, check.
//!
//! Owns hashes, node indices, proofs and their verification. Guarantees that growing
//! costs O(1) amortised, that a proof reads O(log n) stored nodes, and that no number
//! or proof, however hostile, makes a check panic or loop. Leaves out where nodes are
//! kept (`store`) and who signed a root ([`super::checkpoint`]).
//!
//! NODES. Stored is every *complete* subtree, once, when it completes: the node
//! `(level, index)` covers the leaves `index * 2^level .. (index + 1) * 2^level`. What a
//! proof needs of incomplete subtrees, on the tree's right edge, is computed from them.
//!
//! ```text
//! level 2          (2,0)
//!             ┌──────┴──────┐
//! level 1   (1,0)         (1,1)         (1,2)
//!          ┌──┴──┐       ┌──┴──┐       ┌──┴──┐
//! level 0 (0,0) (0,1)   (0,2) (0,3)   (0,4) (0,5)   (0,6)      size 7 = 4 + 2 + 1
//! ```

use super::Hash;
use crate::reject::{Code, Outcome, Reject, require};
use sha2::{Digest, Sha256};

// ---- hashes (RFC 9162, 2.1.1) ----

/// The root of the tree without leaves: SHA-256 of nothing.
pub const EMPTY_ROOT: Hash = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// The hash of a leaf: `SHA-256(0x00 || leaf)`.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

/// The hash of an inner node: `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root over complete subtrees given from left to right, that is, largest first.
fn join(subtrees: &[Hash]) -> Option<Hash> {
    subtrees.iter().rev().copied().reduce(|right, left| node_hash(&left, &right))
}

// ---- indices ----

/// The leaves `lo..hi`, where they are one subtree of RFC 9162's recursive tree: not
/// empty, `lo` a multiple of the smallest power of two that is at least `hi - lo`.
#[derive(Clone, Copy)]
struct Range {
    lo: u64,
    hi: u64,
}

impl Range {
    /// The first leaf of the right half: the left one holds the largest power of two
    /// that is smaller than the whole. Only for ranges of two leaves or more.
    fn middle(self) -> u64 {
        self.lo + (1 << (self.hi - self.lo - 1).ilog2())
    }

    /// The complete subtrees that make it up, left to right, as `(level, index)`.
    fn nodes(self) -> impl Iterator<Item = (u32, u64)> {
        let mut lo = self.lo;
        std::iter::from_fn(move || {
            let level = (self.hi - lo).checked_ilog2()?;
            let node = (level, lo >> level);
            lo += 1 << level;
            Some(node)
        })
    }
}

/// What an inclusion proof consists of, from the leaf up (RFC 9162, 2.1.3.1): one
/// range a hash. Only the first right sibling on the tree's edge can be incomplete, so
/// all of them together have O(log size) nodes.
fn inclusion_ranges(index: u64, size: u64) -> Option<Vec<Range>> {
    if index >= size {
        return None;
    }
    let mut here = Range { lo: 0, hi: size };
    let mut siblings = Vec::new();
    while here.hi - here.lo > 1 {
        let middle = here.middle();
        let (left, right) = (Range { hi: middle, ..here }, Range { lo: middle, ..here });
        let sibling;
        (here, sibling) = if index < middle { (left, right) } else { (right, left) };
        siblings.push(sibling);
    }
    siblings.reverse();
    Some(siblings)
}

/// What a consistency proof consists of, from the old edge up (RFC 9162, 2.1.4.1).
fn consistency_ranges(old: u64, new: u64) -> Option<Vec<Range>> {
    if old == 0 || old > new {
        return None;
    }
    let mut here = Range { lo: 0, hi: new };
    let mut parts = Vec::new();
    while old < here.hi {
        let middle = here.middle();
        let (left, right) = (Range { hi: middle, ..here }, Range { lo: middle, ..here });
        let sibling;
        (here, sibling) = if old <= middle { (left, right) } else { (right, left) };
        parts.push(sibling);
    }
    // Where the old tree is itself the subtree reached, the verifier has its root.
    if here.lo > 0 {
        parts.push(here);
    }
    parts.reverse();
    Some(parts)
}

/// The stored nodes that [`prove_inclusion`] reads, in its order, for stores that fetch
/// them at once; `None` where `index` is not in a tree of `size`.
pub fn inclusion_indices(index: u64, size: u64) -> Option<Vec<(u32, u64)>> {
    Some(inclusion_ranges(index, size)?.into_iter().flat_map(Range::nodes).collect())
}

/// The stored nodes that [`prove_consistency`] reads, in its order; `None` unless
/// `1 <= old <= new`.
pub fn consistency_indices(old: u64, new: u64) -> Option<Vec<(u32, u64)>> {
    Some(consistency_ranges(old, new)?.into_iter().flat_map(Range::nodes).collect())
}

// ---- grow ----

/// An append-only tree reduced to its right edge: the complete subtrees that make it
/// up, at most 64 hashes. Enough to append and to know the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// Left to right, largest first: one for each bit of `size`.
    subtrees: Vec<Hash>,
}

impl Frontier {
    /// The frontier of the tree of the first `size` leaves, from stored nodes:
    /// `read(level, index)`. It is as good as they are; compare the root with a signed one.
    pub fn restore<E>(
        size: u64,
        mut read: impl FnMut(u32, u64) -> Result<Hash, E>,
    ) -> Result<Self, E> {
        let nodes = Range { lo: 0, hi: size }.nodes();
        let subtrees = nodes.map(|(level, index)| read(level, index)).collect::<Result<_, E>>()?;
        Ok(Self { size, subtrees })
    }

    /// Appends a leaf by its hash. Returns the nodes above it that this completes, as
    /// `(level, index, hash)`, lowest first: what a store keeps. A leaf's own hash, at level
    /// 0, follows from the entry.
    pub fn push(&mut self, leaf_hash: Hash) -> Vec<(u32, u64, Hash)> {
        let mut node = (0, self.size, leaf_hash);
        let mut completed = Vec::new();
        // An odd index is a right child, and its left sibling is the last subtree kept.
        while node.1 & 1 == 1 {
            let left = self.subtrees.pop().expect("one subtree for each bit of the size");
            node = (node.0 + 1, node.1 >> 1, node_hash(&left, &node.2));
            completed.push(node);
        }
        self.subtrees.push(node.2);
        self.size = self.size.checked_add(1).expect("no ledger holds 2^64 entries");
        completed
    }

    /// The inclusion proof that the next leaf will have in the tree that ends with it: every
    /// sibling lies to its left, so it follows from what is here.
    pub fn next_path(&self) -> Vec<Hash> {
        self.subtrees.iter().rev().copied().collect()
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root hash over all leaves so far.
    pub fn root(&self) -> Hash {
        join(&self.subtrees).unwrap_or(EMPTY_ROOT)
    }
}

// ---- prove ----

/// The proof that leaf `index` is in the tree of the first `size` leaves, from stored
/// nodes: `read(level, index)`. For an `index` outside that tree there is no proof, and
/// the answer is empty without a read; [`verify_inclusion`] accepts none there.
pub fn prove_inclusion<E>(
    index: u64,
    size: u64,
    read: impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    hashes_of(inclusion_ranges(index, size), read)
}

/// The proof that the tree of `new` leaves begins with the tree of `old` leaves, from
/// stored nodes: `read(level, index)`. Unless `1 <= old <= new` there is no proof, and
/// the answer is empty without a read; [`verify_consistency`] accepts none there.
pub fn prove_consistency<E>(
    old: u64,
    new: u64,
    read: impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    hashes_of(consistency_ranges(old, new), read)
}

fn hashes_of<E>(
    ranges: Option<Vec<Range>>,
    mut read: impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    let mut proof = Vec::new();
    for range in ranges.unwrap_or_default() {
        let nodes: Vec<_> =
            range.nodes().map(|(level, index)| read(level, index)).collect::<Result<_, E>>()?;
        proof.push(join(&nodes).expect("a range of a proof is not empty"));
    }
    Ok(proof)
}

// ---- check ----

/// A walk from a node to the root (RFC 9162, 2.1.3.2 and 2.1.4.2): `at` is the node's
/// index in its level, `last` the index of that level's last node.
struct Climb {
    at: u64,
    last: u64,
}

impl Climb {
    /// Whether the next hash of the proof is the left sibling; then goes up. `None` at
    /// the root, where no hash may be left over.
    fn sibling_is_left(&mut self) -> Option<bool> {
        if self.last == 0 {
            return None;
        }
        let left = self.at & 1 == 1 || self.at == self.last;
        if left {
            // The last node without a right sibling is its own parent: skip those levels.
            self.rise(self.at.trailing_zeros());
        }
        self.rise(1);
        Some(left)
    }

    /// Goes up `levels`, at most 63: the trailing zeros of a number that is not zero.
    fn rise(&mut self, levels: u32) {
        self.at >>= levels;
        self.last >>= levels;
    }
}

/// Checks that the leaf with `leaf_hash` is number `index` in the tree of `size` leaves
/// with this `root`; refuses as `bad-proof`.
pub fn verify_inclusion(
    index: u64,
    size: u64,
    root: &Hash,
    leaf_hash: &Hash,
    proof: &[Hash],
) -> Outcome {
    let what = || format!("inclusion of leaf {index} in {size}");
    require(index < size, Code::BadProof, || format!("{}: outside the tree", what()))?;
    let mut climb = Climb { at: index, last: size - 1 };
    let mut found = *leaf_hash;
    for hash in proof {
        found = match climb.sibling_is_left() {
            Some(true) => node_hash(hash, &found),
            Some(false) => node_hash(&found, hash),
            None => return Err(too_long(&what())),
        };
    }
    require(climb.last == 0, Code::BadProof, || format!("{}: the proof is too short", what()))?;
    require_root(&what(), root, &found)
}

/// Checks that the tree of `new` leaves with `new_root` begins with the tree of `old`
/// leaves with `old_root`; refuses as `bad-proof`. An empty old tree is refused: it is
/// consistent with everything, so there is nothing to prove.
pub fn verify_consistency(
    old: u64,
    new: u64,
    old_root: &Hash,
    new_root: &Hash,
    proof: &[Hash],
) -> Outcome {
    let what = || format!("consistency of {old} with {new}");
    require(old > 0 && old <= new, Code::BadProof, || format!("{}: not a prefix", what()))?;
    if old == new {
        require(proof.is_empty(), Code::BadProof, || format!("{}: expected no proof", what()))?;
        return require_root(&what(), new_root, old_root);
    }
    // Begin at the largest subtree that ends where the old tree ends. Where that is the
    // whole old tree, the proof leaves its hash out.
    let mut climb = Climb { at: old - 1, last: new - 1 };
    climb.rise(old.trailing_zeros());
    let (start, rest) = if old.is_power_of_two() {
        (old_root, proof)
    } else {
        proof
            .split_first()
            .ok_or_else(|| Reject::new(Code::BadProof, format!("{}: the proof is empty", what())))?
    };
    let (mut found_old, mut found_new) = (*start, *start);
    for hash in rest {
        match climb.sibling_is_left() {
            Some(true) => {
                found_old = node_hash(hash, &found_old);
                found_new = node_hash(hash, &found_new);
            }
            // To the right lies only what the old tree did not have yet.
            Some(false) => found_new = node_hash(&found_new, hash),
            None => return Err(too_long(&what())),
        }
    }
    require(climb.last == 0, Code::BadProof, || format!("{}: the proof is too short", what()))?;
    require_root(&format!("{}, old", what()), old_root, &found_old)?;
    require_root(&format!("{}, new", what()), new_root, &found_new)
}

fn too_long(what: &str) -> Reject {
    Reject::new(Code::BadProof, format!("{what}: the proof is too long"))
}

fn require_root(what: &str, root: &Hash, found: &Hash) -> Outcome {
    require(root == found, Code::BadProof, || {
        format!("{what}: expected root {}, found {}", hex::encode(root), hex::encode(found))
    })
}

#[cfg(test)]
mod tests;
