//! Other operators' ledgers in the writer's queue: what a follower has verified is stored.
//!
//! Guarantees that a copy never goes into a ledger that this node signs for, that it follows what is
//! stored (compare and swap), and that texts which its entries erase are gone from the files as
//! soon as with its own. Leaves out what may be stored at all (`follow::copy`).

use super::Writer;
use crate::{NodeError, refusal::world};
use subak_ledger::{
    log::{Hash, LedgerId},
    store::{Batch, Disclosure, Head, NewEntry, Node},
};

/// Verified entries of somebody else's ledger, and what goes with them.
pub(crate) struct Copied {
    pub(crate) ledger: LedgerId,
    /// The name in its genesis.
    pub(crate) name: String,
    /// Who signs for it after these entries.
    pub(crate) operator: Hash,
    pub(crate) expected: Head,
    pub(crate) entries: Vec<NewEntry>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) checkpoint: Option<String>,
    pub(crate) disclosures: Vec<Disclosure>,
    pub(crate) erasures: Vec<Hash>,
}

impl Writer {
    pub(super) fn copy(&mut self, copied: &Copied) -> Result<(), NodeError> {
        self.require_going()?;
        if self.signs_for(copied)? {
            let what = format!("ledger {}: this node is its operator", copied.ledger);
            return Err(world("own-ledger", what, "it is appended to, and not copied"));
        }
        let erases = !copied.erasures.is_empty();
        self.lingers |= erases;
        let batch = Batch {
            ledger: copied.ledger.0,
            name: &copied.name,
            expected: copied.expected,
            entries: &copied.entries,
            nodes: &copied.nodes,
            checkpoint: copied.checkpoint.as_deref(),
            disclosures: &copied.disclosures,
            erasures: &copied.erasures,
        };
        // What was opened for a handover is behind now.
        self.open.remove(&copied.ledger);
        self.store.append(&[batch])?;
        if erases {
            self.purge_soon();
        }
        Ok(())
    }

    fn signs_for(&self, copied: &Copied) -> Result<bool, NodeError> {
        let open = self.open.get(&copied.ledger);
        if open.is_some_and(|open| open.signer.is_some()) {
            return Ok(true);
        }
        Ok(self.shared.operates(&copied.operator)?)
    }
}
