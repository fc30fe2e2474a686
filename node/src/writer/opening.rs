//! Ledgers that are appended to: found in the store, or founded.
//!
//! Guarantees that nothing is appended to a ledger before its store was held to what its operator has
//! signed, nor without that operator's key. Leaves out what is appended (`writer`).

use super::{Order, Writer, signer::Signer};
use crate::{
    NodeError,
    fold::damaged,
    halt,
    headfile::{self, HeadFile},
    load,
    refusal::{KEY_MISSING, Refusal, world},
    ring::Use,
    sequencer::{Sequencer, genesis},
    slots::Shared,
    verify::Verified,
};
use std::collections::hash_map::Entry;
use subak_ledger::{
    book::event::Genesis,
    log::{Checkpoint, Handle, Hash, LedgerId, PublicKey, SecretKey},
    store::{Disclosure, Head},
};

/// A ledger that is being written.
pub(super) struct Open {
    pub(super) sequencer: Sequencer,
    /// None where the operator's key is not here: then nothing is appended but a handover.
    pub(super) signer: Option<Signer>,
    /// Who takes over with what is pending.
    pub(super) successor: Option<Signer>,
    /// What is stored and could not be kept in the head file: it comes before anything else.
    pub(super) unkept: Option<(Checkpoint, String)>,
    /// Of what is pending.
    pub(super) disclosures: Vec<Disclosure>,
    /// Of what is pending, too.
    pub(super) erasures: Vec<Hash>,
}

impl Open {
    pub(super) fn new(sequencer: Sequencer, signer: Option<Signer>) -> Self {
        let (disclosures, erasures) = (Vec::new(), Vec::new());
        Self { sequencer, signer, successor: None, unkept: None, disclosures, erasures }
    }

    /// Who signs what is stored.
    pub(super) fn signer(&mut self) -> Result<&mut Signer, NodeError> {
        let ledger = self.sequencer.durable().state.ledger;
        self.signer.as_mut().ok_or_else(|| {
            world(
                KEY_MISSING,
                format!(
                    "ledger {ledger}: its operator's key is not here, and a handover is prepared"
                ),
                "finish it: `subak operator take FILE`; or append through the node that has the \
                 key (--node)",
            )
        })
    }

    /// Nothing is pending any more.
    pub(super) fn forget(&mut self) {
        self.disclosures.clear();
        self.erasures.clear();
        self.successor = None;
    }

    /// Takes what came beside an admitted statement. A text that came and goes in one
    /// transaction is not even written.
    pub(super) fn note(&mut self, disclosures: &mut Vec<Disclosure>, erasures: Vec<Hash>) {
        self.disclosures.append(disclosures);
        if !erasures.is_empty() {
            self.disclosures.retain(|d| !erasures.contains(&d.commitment));
            self.erasures.extend(erasures);
        }
    }

    /// What signs what is pending.
    pub(super) fn key(&self) -> &SecretKey {
        let signer = self.successor.as_ref().or(self.signer.as_ref());
        &signer.expect("without one only a handover is admitted, to one that is here").key
    }

    /// Keeps what could not be kept before.
    pub(super) fn make_up(&mut self, shared: &Shared) -> Result<(), NodeError> {
        if let Some((head, note)) = self.unkept.take() {
            let kept = self.signer().and_then(|signer| signer.head.keep(head, &note));
            if let Err(error) = kept {
                self.unkept = Some((head, note));
                return Err(error);
            }
            shared.set_kept(head.ledger, &note);
        }
        Ok(())
    }
}

impl Writer {
    pub(super) fn open(&mut self, order: &Order, now: u64) -> Result<Open, NodeError> {
        let new = order.verified.statement.header().ledger == LedgerId::ZERO
            && self.store.head(&order.ledger.0)?.size == 0;
        if new { self.open_new(order, now) } else { self.open_stored(order.ledger) }
    }

    /// The ledgers of a database are of one age: where one ends before what its operator has
    /// signed, an old copy was put back, and what is added to the others would be lost when
    /// the newest is put back.
    pub(super) fn require_newest(&mut self) -> Result<(), NodeError> {
        if self.newest {
            return Ok(());
        }
        if let Some((reason, file)) = halt::marked(&self.shared.ring) {
            return Err(NodeError::Corrupt {
                code: "older-database".into(),
                message: format!("{reason} ({})", file.display()),
                next: "put back the newest copy of the database, see with `subak checkpoint \
                       challenge` that it goes on from every head that others hold, and only then \
                       remove that file"
                    .into(),
            });
        }
        let heads = headfile::all(&self.shared.ring)?;
        for row in self.store.ledgers()? {
            for head in heads.iter().filter(|head| head.ledger() == Some(LedgerId(row.id))) {
                head.require_size(&row.name, self.store.head(&row.id)?.size)?;
            }
        }
        self.newest = true;
        Ok(())
    }

    /// The operator key that the genesis of a stored ledger names.
    pub(super) fn operator(&mut self, ledger: LedgerId) -> Result<Hash, NodeError> {
        Ok(match self.operators.entry(ledger) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(place) => *place.insert(load::operator(&*self.store, ledger)?),
        })
    }

    /// A ledger to be: its genesis must stand, and name an operator key of this node that no
    /// other ledger has. Whoever trusts a key trusts what it signs, so one key is one ledger.
    pub(super) fn open_new(&mut self, order: &Order, now: u64) -> Result<Open, NodeError> {
        if !self.shared.allow_new_ledgers {
            return Err(Refusal::NewLedgersClosed.into());
        }
        let Verified { statement, events, at, .. } = &order.verified;
        // What the rules say of it comes before what this node keeps.
        Sequencer::default().admit(statement, events, *at, now)?;
        let genesis = genesis(events).expect("the rules open a ledger by a genesis");
        if self.is_kept(&genesis.name)? {
            return Err(Refusal::NameTaken(genesis.name.to_string()).into());
        }
        // It may have become an operator's by a handover: then its head file is of that ledger.
        let ring = &self.shared.ring;
        let signed = |key| HeadFile::open(ring, order.ledger, &key).is_err();
        let elsewhere = ring.has_signed(&genesis.operator)
            && PublicKey::admit(&genesis.operator).is_ok_and(signed);
        if elsewhere || self.has_ledger(&genesis.operator)? {
            return Err(Refusal::OperatorTaken(hex::encode(genesis.operator)).into());
        }
        self.require_newest()?;
        let operator = self.keep_keys(genesis)?;
        let signer = Signer::open(&self.shared.ring, order.ledger, operator)?;
        // It was here before, and is in no database that was put back.
        signer.head.require_size(genesis.name.as_str(), 0)?;
        Ok(Open::new(Sequencer::default(), Some(signer)))
    }

    /// Whether a ledger of this name is stored or pending here.
    pub(super) fn is_kept(&self, name: &Handle) -> Result<bool, NodeError> {
        let pending = self.open.values().any(|o| o.sequencer.name() == Some(name.as_str()));
        Ok(pending || self.store.ledgers()?.iter().any(|row| row.name == name.as_str()))
    }

    /// Whether a ledger that is stored or pending here names this operator key.
    pub(super) fn has_ledger(&mut self, operator: &Hash) -> Result<bool, NodeError> {
        for row in self.store.ledgers()? {
            self.operator(LedgerId(row.id))?;
        }
        let pending = self.open.values().any(|o| o.sequencer.operator() == Some(*operator));
        Ok(pending || self.operators.values().any(|known| known == operator))
    }

    /// The operator's key of a ledger to be. It and the clerk's are in files before the
    /// ledger is; after a crash between the two they are files of no ledger.
    pub(super) fn keep_keys(&self, genesis: &Genesis) -> Result<SecretKey, NodeError> {
        let Shared { ring, prepared, .. } = &*self.shared;
        prepared.keep(ring, &genesis.operator, Use::Operator)?;
        let Some(operator) = ring.find(&genesis.operator, Use::Operator)? else {
            return Err(Refusal::OperatorNotHere(hex::encode(genesis.operator)).into());
        };
        prepared.keep(ring, &genesis.clerk, Use::Clerk)?;
        Ok(operator)
    }

    pub(super) fn ready(&mut self, ledger: LedgerId) -> Result<(), NodeError> {
        self.require_going()?;
        if !self.open.contains_key(&ledger) {
            let open = self.open_stored(ledger)?;
            self.open.insert(ledger, open);
        }
        let open = self.open.get_mut(&ledger).expect("it was opened above");
        open.signer()?;
        open.make_up(&self.shared)
    }

    /// Goes on from what readers have folded, after a look whether the store agrees.
    pub(super) fn open_stored(&mut self, ledger: LedgerId) -> Result<Open, NodeError> {
        let head = self.store.head(&ledger.0)?;
        if head == Head::EMPTY {
            return Err(load::unknown(&ledger)); // a stranger's id, or of a genesis that was refused
        }
        self.require_newest()?;
        let slot = self.shared.slots.make(ledger);
        let mut folded = slot.get().as_deref().cloned().unwrap_or_default();
        if folded.head() != head {
            folded = load::extend(&*self.store, ledger, folded)?;
            slot.publish(folded.clone());
        }
        let mut signer = self.shared.signer(&folded.state)?;
        if folded.head() != head && signer.is_none() {
            return Err(load::on_its_way(&ledger, folded.head().size, head.size));
        }
        if folded.head() != head {
            let what = format!("the log goes on to {head}, without a signed head");
            return Err(damaged(&ledger, folded.head().size, &what));
        }
        if let Some(Signer { key, head }) = &mut signer {
            head.require(&*self.store, &folded)?;
            // What was committed just before a crash is signed, and not kept yet.
            if let Some(note) = self.store.checkpoint(&ledger.0)? {
                let signed = folded.open(&note).map_err(|what| damaged(&ledger, 0, &what))?;
                // Signed anew, to the same bytes: a stored note may bear others' lines as well.
                head.keep(signed, &signed.sign(key))?;
                self.shared.set_kept(ledger, &note);
            }
        }
        Ok(Open::new(Sequencer::new(folded), signer))
    }
}
