//! Whose key signs what is written, and how it changes.
//!
//! Owns the operator's key of an open ledger with its head file, and the change of keys when a
//! handover is stored. Guarantees that no key signs that the ledger has handed over from, and that
//! one which it hands over to is here before the entry is. Leaves out the rules of a handover
//! (`subak_ledger::book::handover`) and how its keys come about (`handover`).

use super::Writer;
use crate::{
    NodeError,
    headfile::HeadFile,
    refusal::{KEY_MISSING, older, world},
    ring::{Ring, Use},
    slots::Shared,
};
use std::collections::BTreeSet;
use subak_ledger::{
    book::state::State,
    log::{Hash, LedgerId, SecretKey},
};

/// An operator's key, and what it has signed last.
pub(super) struct Signer {
    pub(super) key: SecretKey,
    pub(super) head: HeadFile,
}

impl Signer {
    pub(super) fn open(ring: &Ring, ledger: LedgerId, key: SecretKey) -> Result<Self, NodeError> {
        let head = HeadFile::open(ring, ledger, &key.public())?;
        Ok(Self { key, head })
    }
}

impl Shared {
    /// Who signs for a ledger as it is; none where a handover can bring one.
    pub(super) fn signer(&self, state: &State) -> Result<Option<Signer>, NodeError> {
        let (ring, ledger, operator) = (&self.ring, state.ledger, state.operator());
        for term in state.operators.iter().filter(|term| term.key != operator) {
            ring.retire(&term.key)?;
        }
        if let Some(key) = ring.find(&operator, Use::Successor)? {
            ring.succeed(&operator)?;
            return Signer::open(ring, ledger, key).map(Some);
        }
        match ring.find(&operator, Use::Operator)? {
            Some(key) => Signer::open(ring, ledger, key).map(Some),
            None if ring.holds(&operator, Use::Retired) => {
                let what = "ends before its operator, here, has handed over to another key";
                Err(older(state.root().name.as_str(), what))
            }
            None if ring.has_any(Use::Successor)? => Ok(None),
            None => Err(key_missing(ring, ledger, &operator)),
        }
    }

    /// Whether the key is here that signs for a ledger.
    pub(crate) fn operates(&self, operator: &Hash) -> Result<bool, NodeError> {
        Ok(self.ring.find(operator, Use::Operator)?.is_some())
    }

    /// Who takes a ledger over.
    pub(super) fn successor(&self, ledger: LedgerId, operator: &Hash) -> Result<Signer, NodeError> {
        let key = self.ring.find(operator, Use::Successor)?;
        let key = key.ok_or_else(|| key_missing(&self.ring, ledger, operator))?;
        Signer::open(&self.ring, ledger, key)
    }
}

fn key_missing(ring: &Ring, ledger: LedgerId, operator: &Hash) -> NodeError {
    let (key, dir) = (hex::encode(operator), ring.dir().display());
    world(
        KEY_MISSING,
        format!("ledger {ledger}: its operator key {key} is not in {dir}"),
        "put the key file back, or append through the node that has it (--node); where the \
         operator is gone, the stewards can move the ledger: `subak operator offer`",
    )
}

impl Writer {
    /// Whoever was handed a ledger over to signs for it from now on.
    pub(super) fn succeed(&mut self, touched: &BTreeSet<LedgerId>) {
        for ledger in touched {
            let open = self.open.get_mut(ledger).expect("it was stored from here");
            let Some(successor) = open.successor.take() else { continue };
            let ring = &self.shared.ring;
            let mut done = ring.succeed(&successor.key.public().bytes());
            if let Some(before) = open.signer.replace(successor) {
                done = done.and(ring.retire(&before.key.public().bytes()));
            }
            // It is done again when the ledger is opened.
            if let Err(error) = done {
                tracing::error!(%error, "a key file was not renamed after a handover");
            }
        }
    }
}
