//! A node's copies of other operators' ledgers, for whoever follows them.
//!
//! Guarantees that what is read of one is folded from what is stored, and that readers see a copy
//! only as far as a signed head reaches. Leaves out following (`follow`) and storing (`writer`).

use super::Node;
use crate::{
    Agreements, LedgerInfo, Mirror, NodeError,
    fold::Folded,
    follow::copy::Copy,
    load,
    refusal::{KEY_MISSING, world},
    ring::Use,
    writer::{Copied, Job},
};
use std::collections::{BTreeMap, BTreeSet};
use subak_ledger::{
    book::event::Terms,
    log::{Hash, LedgerId},
};

/// Partners of a ledger in a list of ledgers, which an answer has room for.
const PARTNERS: usize = 100;

impl Node {
    /// The copy of a ledger as it is stored here; an empty one where there is none.
    pub(crate) async fn stored_copy(&self, ledger: LedgerId) -> Result<Copy, NodeError> {
        let slot = self.shared.slots.find(ledger);
        let base = slot.and_then(|slot| slot.get()).as_deref().cloned().unwrap_or_default();
        let (stored, note) = self.read(move |reader| load::copied(reader, ledger, base)).await?;
        Ok(Copy::new(ledger, stored, note))
    }

    /// Stores what was copied.
    pub(crate) async fn keep_copied(&self, copied: Copied) -> Result<(), NodeError> {
        self.ask_writer(|answer| Job::Copy(Box::new(copied), answer)).await
    }

    /// How many entries of a ledger readers see.
    pub(crate) fn shown_size(&self, ledger: LedgerId) -> Option<u64> {
        let slot = self.shared.slots.find(ledger)?;
        slot.get().map(|folded| folded.state.size)
    }

    /// Shows readers a copy that is whole up to a signed head.
    pub(crate) fn show_copy(&self, ledger: LedgerId, folded: Folded) {
        self.shared.slots.make(ledger).publish(folded);
    }

    /// Whether there is a key file of this operator here. It is not read.
    pub fn signs_for(&self, operator: &Hash) -> bool {
        self.shared.ring.holds(operator, Use::Operator)
    }

    /// Whether this node signs for a ledger, as far as it has been folded.
    pub(crate) fn is_own(&self, ledger: LedgerId) -> bool {
        let folded = self.shared.slots.find(ledger).and_then(|slot| slot.get());
        folded.is_some_and(|folded| self.signs_for(&folded.state.operator()))
    }

    /// How far the copy of a ledger is; of one that nobody is followed for, that.
    pub(super) fn mirror_of(&self, info: &LedgerInfo) -> Option<Mirror> {
        let known = self.shared.mirror(info.id);
        if known.is_some() || self.signs_for(&info.operator) {
            return known;
        }
        let trouble = "its operator's key is not here, and nobody is followed for it".to_owned();
        Some(Mirror { source: String::new(), size: info.size, heard_at: 0, trouble })
    }

    /// With whom a ledger has agreements, as far as it was folded.
    pub(super) fn agreements_of(&self, ledger: LedgerId) -> Option<Agreements> {
        let folded = self.shared.slots.find(ledger)?.get()?;
        let all = folded.state.agreements.values().map(|agreement| &agreement.terms);
        let other =
            |terms: &Terms| if terms.payer == ledger.0 { terms.commons } else { terms.payer };
        let partners: BTreeSet<Hash> = all.map(|terms| other(terms)).collect();
        let partners = partners.into_iter().map(LedgerId).take(PARTNERS).collect();
        Some(Agreements { count: folded.state.agreements.len() as u64, partners })
    }

    /// Whether the key of this operator is here.
    pub(crate) fn operates(&self, operator: &Hash) -> Result<bool, NodeError> {
        self.shared.operates(operator)
    }

    /// Says how far a copy is; none: it is no copy any more.
    pub(crate) fn set_mirror(&self, ledger: LedgerId, mirror: Option<Mirror>) {
        self.shared.set_mirror(ledger, mirror);
    }

    /// How far the copies are, as their follower says.
    pub fn mirrors(&self) -> BTreeMap<LedgerId, Mirror> {
        self.shared.mirrors()
    }

    /// Why nothing is appended to a copy, where that is the reason.
    pub(super) fn of_a_copy(&self, ledger: LedgerId, error: NodeError) -> NodeError {
        let Some(mirror) = self.shared.mirror(ledger) else { return error };
        if error.code() != KEY_MISSING {
            return error;
        }
        let what =
            format!("ledger {ledger}: this node only keeps a copy of it, from {}", mirror.source);
        world("only-a-copy", what, "append through the node that has its operator's key (--node)")
    }

    /// Which ledgers of others the ledgers that this node signs for have agreements with, with the
    /// operator's key that the terms name.
    pub(crate) fn partners(&self) -> BTreeMap<LedgerId, Hash> {
        let mut partners = BTreeMap::new();
        let folded = self.shared.slots.folded();
        for (id, folded) in &folded {
            let state = &folded.state;
            if state.agreements.is_empty() || !self.signs_for(&state.operator()) {
                continue;
            }
            for terms in state.agreements.values().map(|agreement| &agreement.terms) {
                let (other, key) = if terms.payer == id.0 {
                    (terms.commons, terms.commons_operator)
                } else {
                    (terms.payer, terms.payer_operator)
                };
                partners.insert(LedgerId(other), key);
            }
        }
        for (id, folded) in &folded {
            if partners.contains_key(id) && self.signs_for(&folded.state.operator()) {
                partners.remove(id);
            }
        }
        partners
    }
}
