//! Where two logs of one ledger part, and what proves it.
//!
//! Owns the comparison of two audited copies, the search for the first entry that differs and its
//! two places in the trees, and how a log begins. Guarantees memory that does not grow with the
//! logs: each is read once for the search and once for its proof, and nothing stored but leaves is
//! used. Leaves out the verdict: what is built here is verified by whoever puts it into a
//! [`crate::log::fraud::FraudProof`].

use super::{
    LedgerReport,
    finding::{Code, Finding, Findings},
};
use crate::{
    log::{
        Frontier, Hash, LedgerId,
        fraud::{Parting, Placed, Prefix},
        tree,
    },
    store::{Reader, StoreError},
};
use std::collections::{BTreeMap, BTreeSet};

/// Entries, and bytes, that are read at once.
const PAGE: (usize, usize) = (256, 1 << 20);

/// Whether two histories of one ledger are signed, by operators whose word goes back to one and the
/// same: the longer log is the one that was signed, and the
/// shorter signed head is not that of its beginning. The longer log's report must have the root
/// there ([`super::Options::sizes`]). A copy that somebody altered says nothing of the operator.
pub fn contradict(one: &LedgerReport, other: &LedgerReport) -> bool {
    let (Some((a, _)), Some((b, _))) = (&one.signed, &other.signed) else { return false };
    let (short, long, longer) = if a.size <= b.size { (a, b, other) } else { (b, a, one) };
    let same_size = short.size == long.size;
    let there = if same_size { Some(&long.root) } else { longer.roots.get(&short.size) };
    let is_signed = same_size || longer.roots.get(&long.size) == Some(&long.root);
    let differs = is_signed && there.is_some_and(|root| *root != short.root);
    let related = one.operators.iter().any(|a| other.operators.iter().any(|b| a.key == b.key));
    one.id == other.id && related && differs
}

/// The finding that says so where nobody can be accused: each is signed by an operator of its own.
pub fn histories_part(ledger: LedgerId, entry: Option<u64>, detail: &str) -> Finding {
    let mut findings = Findings::new(Some(ledger));
    findings.add(Code::HistoriesPart, entry, detail);
    findings.close().remove(0)
}

/// The finding that accuses an operator who has signed both. `entry`: where the histories part, if that is known.
pub fn split_view(ledger: LedgerId, entry: Option<u64>, detail: &str) -> Finding {
    let mut findings = Findings::new(Some(ledger));
    findings.add(Code::SplitView, entry, detail);
    findings.close().remove(0)
}

/// The first entry in which two logs differ, with its proofs in the trees of their first
/// `sizes` entries; none where one log goes on from the other.
pub fn parting(
    ledger: LedgerId,
    logs: [&dyn Reader; 2],
    sizes: [u64; 2],
) -> Result<Option<Parting>, StoreError> {
    let most = sizes[0].min(sizes[1]);
    let [mut one, mut other] = logs.map(|log| Leaves::new(log, ledger, most));
    let index = loop {
        match (one.next()?, other.next()?) {
            (Some((seq, a)), Some((_, b))) if a != b => break seq,
            (Some(_), Some(_)) => {}
            _ => return Ok(None),
        }
    };
    let first = placed(ledger, logs[0], index, sizes[0])?;
    let second = placed(ledger, logs[1], index, sizes[1])?;
    Ok(first.zip(second).map(|(first, second)| Parting { index, first, second }))
}

/// Leaf `index` and its path in the tree of a log's first `size` entries, computed from the
/// leaves; none where it has fewer.
pub fn placed(
    ledger: LedgerId,
    log: &dyn Reader,
    index: u64,
    size: u64,
) -> Result<Option<Placed>, StoreError> {
    let Some(wanted) = tree::inclusion_indices(index, size) else { return Ok(None) };
    let wanted = wanted.into_iter().chain([(0, index)]).collect();
    let (found, _) = nodes(ledger, log, size, &wanted, index)?;
    let read = |level, index| found.get(&(level, index)).copied().ok_or(());
    let path = tree::prove_inclusion(index, size, read).ok();
    Ok(path.zip(found.get(&(0, index))).map(|(path, leaf)| Placed { leaf: *leaf, path }))
}

/// How the tree of a log's first `size` entries begins: with which root of its first `smaller`;
/// none where it has fewer than `size`.
pub fn begins(
    ledger: LedgerId,
    log: &dyn Reader,
    [smaller, size]: [u64; 2],
) -> Result<Option<Prefix>, StoreError> {
    let Some(wanted) = tree::consistency_indices(smaller, size) else { return Ok(None) };
    let (found, root) = nodes(ledger, log, size, &wanted.into_iter().collect(), smaller)?;
    let read = |level, index| found.get(&(level, index)).copied().ok_or(());
    let proof = tree::prove_consistency(smaller, size, read).ok();
    Ok(proof.map(|proof| Prefix { root, proof }))
}

/// Nodes of a tree, by level and index.
type Nodes = BTreeMap<(u32, u64), Hash>;

/// These nodes of the tree of a log's first `size` entries, as far as it has them, and the root
/// of its first `at`.
fn nodes(
    ledger: LedgerId,
    log: &dyn Reader,
    size: u64,
    wanted: &BTreeSet<(u32, u64)>,
    at: u64,
) -> Result<(Nodes, Hash), StoreError> {
    let mut found = Nodes::new();
    let (mut leaves, mut tree) = (Leaves::new(log, ledger, size), Frontier::default());
    let mut root = tree.root();
    while let Some((seq, leaf)) = leaves.next()? {
        for (level, index, hash) in [(0, seq, leaf)].into_iter().chain(tree.push(leaf)) {
            if wanted.contains(&(level, index)) {
                found.insert((level, index), hash);
            }
        }
        if tree.size() == at {
            root = tree.root();
        }
    }
    Ok((found, root))
}

/// The hashes of a log's leaves, in order, up to a hole or `most`.
struct Leaves<'r> {
    log: &'r dyn Reader,
    ledger: LedgerId,
    most: u64,
    next: u64,
    page: std::vec::IntoIter<(u64, Hash)>,
}

impl<'r> Leaves<'r> {
    fn new(log: &'r dyn Reader, ledger: LedgerId, most: u64) -> Self {
        Self { log, ledger, most, next: 0, page: Vec::new().into_iter() }
    }

    fn next(&mut self) -> Result<Option<(u64, Hash)>, StoreError> {
        if self.next >= self.most {
            return Ok(None);
        }
        if self.page.len() == 0 {
            let entries = self.log.entries(&self.ledger.0, self.next, PAGE.0, PAGE.1)?;
            let hashes = entries.iter().map(|e| (e.seq, tree::leaf_hash(&e.leaf)));
            self.page = hashes.collect::<Vec<_>>().into_iter();
        }
        let next = self.page.next().filter(|(seq, _)| *seq == self.next);
        self.next += 1;
        Ok(next)
    }
}
