//! The tree against its definition in RFC 9162, on every pair of sizes up to a bound.

use super::*;
use std::convert::Infallible;

/// A tree with all its nodes and all its earlier roots: what a store keeps.
struct Grown {
    levels: Vec<Vec<Hash>>,
    roots: Vec<Hash>,
}

impl Grown {
    fn new(size: usize) -> Self {
        let mut frontier = Frontier::default();
        let (mut levels, mut roots) = (Vec::<Vec<Hash>>::new(), vec![frontier.root()]);
        for leaf in leaves(size) {
            let place = (0, frontier.size(), leaf);
            for (level, index, hash) in [place].into_iter().chain(frontier.push(leaf)) {
                let level = usize::try_from(level).expect("small");
                levels.resize(levels.len().max(level + 1), Vec::new());
                assert_eq!(u64::try_from(levels[level].len()), Ok(index), "nodes come in order");
                levels[level].push(hash);
            }
            roots.push(frontier.root());
        }
        Self { levels, roots }
    }

    fn read(&self, level: u32, index: u64) -> Hash {
        self.levels[usize::try_from(level).expect("small")][usize::try_from(index).expect("small")]
    }

    fn root(&self, size: u64) -> Hash {
        self.roots[usize::try_from(size).expect("small")]
    }

    fn inclusion(&self, index: u64, size: u64) -> Vec<Hash> {
        let mut reads = Vec::new();
        let Ok(proof) = prove_inclusion(index, size, |level, index| {
            reads.push((level, index));
            Ok::<_, Infallible>(self.read(level, index))
        });
        assert_eq!(inclusion_indices(index, size).as_ref(), Some(&reads));
        let depth = usize::try_from(size.ilog2()).expect("small") + 1;
        assert!(reads.len() <= 2 * depth, "{} reads", reads.len());
        proof
    }

    fn consistency(&self, old: u64, new: u64) -> Vec<Hash> {
        let mut reads = Vec::new();
        let Ok(proof) = prove_consistency(old, new, |level, index| {
            reads.push((level, index));
            Ok::<_, Infallible>(self.read(level, index))
        });
        assert_eq!(consistency_indices(old, new).as_ref(), Some(&reads));
        let depth = usize::try_from(new.ilog2()).expect("small") + 1;
        assert!(reads.len() <= 2 * depth, "{} reads", reads.len());
        proof
    }

    fn check_inclusion(&self, index: u64, size: u64) {
        let proof = self.inclusion(index, size);
        verify_inclusion(index, size, &self.root(size), &self.read(0, index), &proof)
            .expect("a true inclusion");
    }

    fn check_consistency(&self, old: u64, new: u64) {
        let proof = self.consistency(old, new);
        verify_consistency(old, new, &self.root(old), &self.root(new), &proof)
            .expect("a true consistency");
    }
}

fn leaves(size: usize) -> Vec<Hash> {
    (0..size).map(|i| leaf_hash(&i.to_le_bytes())).collect()
}

/// MTH of RFC 9162, 2.1.1, word for word.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        _ => {
            let mut k = 1;
            while k * 2 < leaves.len() {
                k *= 2;
            }
            node_hash(&naive_root(&leaves[..k]), &naive_root(&leaves[k..]))
        }
    }
}

fn long() -> bool {
    std::env::var("SUBAK_LONG").is_ok_and(|value| value == "1")
}

#[test]
fn roots_are_those_of_the_definition() {
    let (grown, leaves) = (Grown::new(260), leaves(260));
    for size in 0..=leaves.len() {
        assert_eq!(grown.roots[size], naive_root(&leaves[..size]), "size {size}");
    }
}

#[test]
fn every_proof_of_every_small_tree_verifies() {
    let grown = Grown::new(130);
    for size in 1..=130 {
        for index in 0..size {
            grown.check_inclusion(index, size);
            grown.check_consistency(index + 1, size);
        }
    }
}

/// All pairs up to 2,000 with `SUBAK_LONG=1`; else all of size 2,000 and every 37th.
#[test]
fn proofs_of_large_trees_verify() {
    let grown = Grown::new(2_000);
    for size in (1..=2_000).filter(|size| long() || *size == 2_000 || size % 37 == 0) {
        for index in 0..size {
            grown.check_inclusion(index, size);
            grown.check_consistency(index + 1, size);
        }
    }
}

/// Every way to disturb an inclusion proof in trees of up to 20 leaves.
#[test]
fn a_disturbed_inclusion_proof_is_refused() {
    let grown = Grown::new(20);
    let refused = |index, size, root: &Hash, leaf: &Hash, proof: &[Hash]| {
        let verdict = verify_inclusion(index, size, root, leaf, proof);
        assert_eq!(verdict.map_err(|r| r.code), Err(Code::BadProof), "leaf {index} in {size}");
    };
    for (index, size) in (1..=20).flat_map(|size| (0..size).map(move |index| (index, size))) {
        let (root, leaf) = (grown.root(size), grown.read(0, index));
        let proof = grown.inclusion(index, size);
        for other in (0..size + 3).filter(|other| *other != index) {
            refused(other, size, &root, &leaf, &proof);
        }
        refused(index, size, &flipped(root), &leaf, &proof);
        refused(index, size, &root, &flipped(leaf), &proof);
        for disturbed in disturbed(&proof, &root) {
            refused(index, size, &root, &leaf, &disturbed);
        }
    }
}

/// Every way to disturb a consistency proof in trees of up to 20 leaves.
#[test]
fn a_disturbed_consistency_proof_is_refused() {
    let grown = Grown::new(20);
    let refused = |old, new, old_root: &Hash, new_root: &Hash, proof: &[Hash]| {
        let verdict = verify_consistency(old, new, old_root, new_root, proof);
        assert_eq!(verdict.map_err(|r| r.code), Err(Code::BadProof), "{old} to {new}");
    };
    for (old, new) in (1..=20).flat_map(|new| (1..=new).map(move |old| (old, new))) {
        let (old_root, new_root) = (grown.root(old), grown.root(new));
        let proof = grown.consistency(old, new);
        refused(old, new, &flipped(old_root), &new_root, &proof);
        refused(old, new, &old_root, &flipped(new_root), &proof);
        refused(0, new, &EMPTY_ROOT, &new_root, &proof);
        if old < new {
            refused(new, old, &new_root, &old_root, &proof);
            refused(old, new, &new_root, &old_root, &proof);
        }
        for disturbed in disturbed(&proof, &new_root) {
            refused(old, new, &old_root, &new_root, &disturbed);
        }
    }
}

fn flipped(mut hash: Hash) -> Hash {
    hash[17] ^= 4;
    hash
}

/// One hash altered, left out, doubled or added; neighbours exchanged.
fn disturbed(proof: &[Hash], extra: &Hash) -> Vec<Vec<Hash>> {
    let mut all = vec![[&[*extra], proof].concat(), [proof, &[*extra]].concat()];
    for i in 0..proof.len() {
        let mut altered = proof.to_vec();
        altered[i] = flipped(altered[i]);
        let mut shorter = proof.to_vec();
        let mut longer = proof.to_vec();
        longer.insert(i, shorter.remove(i));
        all.extend([altered, shorter, longer]);
        if i > 0 {
            let mut exchanged = proof.to_vec();
            exchanged.swap(i - 1, i);
            all.push(exchanged);
        }
    }
    all
}

/// Sizes come from a peer's checkpoint and indices from anyone.
#[test]
fn extreme_numbers_are_judged_at_once() {
    let extremes = [0, 1, 2, 1 << 63, (1 << 63) + 1, u64::MAX - 1, u64::MAX];
    let hash = leaf_hash(b"x");
    let read = |_, _| Ok::<_, Infallible>(hash);
    for (a, b) in extremes.into_iter().flat_map(|a| extremes.map(|b| (a, b))) {
        let Ok(proof) = prove_inclusion(a, b, read);
        assert!(proof.len() <= 64);
        assert_eq!(inclusion_indices(a, b).is_some(), a < b);
        if b > 1 {
            verify_inclusion(a, b, &EMPTY_ROOT, &hash, &proof).expect_err("another root");
        }
        let Ok(proof) = prove_consistency(a, b, read);
        assert!(proof.len() <= 65);
        assert_eq!(consistency_indices(a, b).is_some(), 0 < a && a <= b);
        verify_consistency(a, b, &EMPTY_ROOT, &hash, &proof).expect_err("another root");
        for length in [1, 63, 64, 65, 1000] {
            let junk = vec![hash; length];
            verify_inclusion(a, b, &EMPTY_ROOT, &hash, &junk).expect_err("junk");
            verify_consistency(a, b, &EMPTY_ROOT, &EMPTY_ROOT, &junk).expect_err("junk");
        }
    }
    let Ok(huge) = Frontier::restore(u64::MAX, |_, _| Ok::<_, Infallible>(hash));
    assert_eq!(huge.size(), u64::MAX);
}

#[test]
fn a_frontier_restored_from_nodes_goes_on_as_before() {
    let grown = Grown::new(300);
    let mut walked = Frontier::default();
    for leaf in leaves(300) {
        let size = walked.size();
        let Ok(restored) =
            Frontier::restore(size, |level, index| Ok::<_, Infallible>(grown.read(level, index)));
        assert_eq!(restored, walked, "size {size}");
        walked.push(leaf);
    }
}

#[test]
fn a_failing_store_is_the_answer() {
    assert_eq!(prove_inclusion(3, 7, |_, _| Err::<Hash, _>("disk")), Err("disk"));
    assert_eq!(prove_consistency(3, 7, |_, _| Err::<Hash, _>("disk")), Err("disk"));
}
