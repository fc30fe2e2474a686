//! A node's copies of other operators' ledgers, for whoever follows them.
//!
//! Guarantees that what is read of one is folded from what is stored, and that readers see a copy
//! only as far as a signed head reaches. Leaves out following (`follow`) and storing (`writer`).

use super::Node;
use crate::{
    Mirror, NodeError,
    fold::Folded,
    follow::copy::Copy,
    load,
    refusal::{KEY_MISSING, world},
    ring::Use,
    writer::{Copied, Job},
};
use std::collections::BTreeMap;
use subak_ledger::{
    book::state::State,
    log::{Hash, LedgerId},
    store::{Disclosure, Head},
};

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

    /// Keeps texts behind commitments of a copy, but for those that an entry has erased. What is no
    /// commitment of its log is never shown to be one, so it is left to the audit.
    pub(crate) async fn keep_texts(
        &self,
        ledger: LedgerId,
        book: &State,
        mut texts: Vec<Disclosure>,
    ) -> Result<(), NodeError> {
        texts.retain(|d| book.erasure_of(&d.commitment, &d.author, &d.field).is_none());
        if texts.is_empty() {
            return Ok(());
        }
        let chain = book.chain.last().copied().unwrap_or_default();
        let copied = Copied {
            ledger,
            name: book.root().name.to_string(),
            operator: book.operator(),
            expected: Head { size: book.size, chain },
            entries: Vec::new(),
            nodes: Vec::new(),
            checkpoint: None,
            disclosures: texts,
            erasures: Vec::new(),
        };
        self.keep_copied(copied).await
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
    pub(crate) fn partners(&self) -> Result<BTreeMap<LedgerId, Hash>, NodeError> {
        let mut partners = BTreeMap::new();
        let folded = self.shared.slots.folded();
        for (id, folded) in &folded {
            let state = &folded.state;
            if state.agreements.is_empty() || !self.operates(&state.operator())? {
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
            if partners.contains_key(id) && self.operates(&folded.state.operator())? {
                partners.remove(id);
            }
        }
        Ok(partners)
    }
}
