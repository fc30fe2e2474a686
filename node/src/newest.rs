//! Whether a stored ledger goes on from a head that its operator has signed.
//!
//! Owns that judgement, which is made before anything is appended, and when somebody shows a head.
//! Guarantees that a store which ends before the head, or tells another story, is found out; and that
//! a stored tree which contradicts its own entries is told apart from both. Pure: the writer's head
//! file and the simulation ask the same. Leaves out where heads are kept (`headfile`), what is said
//! and done about it (`headfile`, `writer`), and signatures.

use crate::{NodeError, fold::Folded, runtime::node};
use subak_ledger::{
    log::{Checkpoint, Frontier, Hash, tree},
    store::Reader,
};

/// How a stored ledger stands to a signed head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It begins with the entries that were signed.
    GoesOn,
    /// It ends before the head: an old copy.
    Shorter,
    /// It is as long, and has other entries: a fork.
    Other,
    /// The entries are those, and the stored tree over them is not theirs.
    FalseTree,
}

/// Compares what is stored, of which `folded` is the whole, with a head.
pub fn judge(
    reader: &dyn Reader,
    folded: &Folded,
    signed: Checkpoint,
) -> Result<Standing, NodeError> {
    let size = folded.tree.size();
    if size < signed.size {
        return Ok(Standing::Shorter);
    }
    if signed.size == 0 {
        return Ok(Standing::GoesOn);
    }
    let proof = tree::prove_consistency(signed.size, size, |level, index| {
        node(reader, signed.ledger, level, index)
    })?;
    let root = folded.tree.root();
    if tree::verify_consistency(signed.size, size, &signed.root, &root, &proof).is_ok() {
        return Ok(Standing::GoesOn);
    }
    // The proof was made of stored nodes: are they false, or the entries others?
    let same = root_at(reader, signed)? == signed.root;
    Ok(if same { Standing::FalseTree } else { Standing::Other })
}

/// The root of the entries themselves, as many as were signed.
fn root_at(reader: &dyn Reader, signed: Checkpoint) -> Result<Hash, NodeError> {
    let mut frontier = Frontier::default();
    while frontier.size() < signed.size {
        let page = reader.entries(&signed.ledger.0, frontier.size(), 1_024, 1 << 20)?;
        let wanted = usize::try_from(signed.size - frontier.size()).unwrap_or(usize::MAX);
        if page.is_empty() {
            break;
        }
        for entry in page.iter().take(wanted) {
            frontier.push(tree::leaf_hash(&entry.leaf));
        }
    }
    Ok(frontier.root())
}
