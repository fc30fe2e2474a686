//! A copy of somebody else's ledger: what of it may be stored, and under which head.
//!
//! Owns the durable copy, what was read beyond it, and the newest signed head that it has reached.
//! Guarantees that each entry that is handed out to be stored has its place in a log that its
//! operator has signed: it follows the one before by chain, tree, time and rules (`fold`), and it
//! lies under a signed head, reached ([`Copy::reach`]) or on the way to one ([`Copy::before`]). What
//! fails leaves nothing behind. Pure: the driver (`round`) and the simulator run the same.
//! Leaves out signatures under statements, which whoever makes a [`Statement`] has verified; where
//! entries and heads come from; and how a fault becomes evidence (`evidence`).

use crate::{RawEntry, fold::Folded};
use prost::bytes::Bytes;
use std::sync::Arc;
use subak_ledger::{
    book::{
        event::Event,
        handover::{Tenure, signer_of},
        state::State,
    },
    log::{
        Checkpoint, Hash, LedgerId, PublicKey, Statement,
        checkpoint::{claimed_size, own_line},
        tree::verify_consistency,
    },
    store::{Head, NewEntry, Node},
};
use subak_proto::v1::event::Kind;

/// Why what was sent is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is not this log, or nobody has signed it. That says nothing of the operator: anybody on
    /// the way can have made it.
    Lie(String),
    /// A head that the operator signed before the one that this copy has reached: an old copy was
    /// put back there, or another copy answers that lags. It is not known here whether that head
    /// was one of this log.
    Older {
        /// The signed note.
        theirs: String,
        /// Entries under it.
        size: u64,
    },
    /// A head by the operator that is not the one of what was read here: it has signed another
    /// history, or whoever answers has sent other entries than those it signed.
    Apart {
        /// The signed note.
        theirs: String,
        /// What does not fit.
        what: String,
    },
}

/// What to store, in one transaction.
#[derive(Debug)]
pub struct Effects<'a> {
    /// The head that it follows.
    pub expected: Head,
    /// The entries.
    pub entries: &'a [NewEntry],
    /// The tree nodes that they complete.
    pub nodes: &'a [Node],
    /// The signed note of the head after them; none where they are on the way to one.
    pub checkpoint: Option<&'a str>,
    /// Commitments whose texts the entries erase.
    pub erasures: &'a [Hash],
}

/// A ledger as far as it was copied.
#[derive(Debug, Clone)]
pub struct Copy {
    ledger: LedgerId,
    durable: Folded,
    pending: Folded,
    entries: Vec<NewEntry>,
    nodes: Vec<Node>,
    erasures: Vec<Hash>,
    /// The signed note that was reached, and the one that is with what is pending.
    head: Option<String>,
    reached: Option<String>,
    /// Who signs, where that was read ahead of the copy.
    operators: Vec<Tenure>,
    /// The signer's key: to admit it takes as long as to verify a signature.
    admitted: Option<PublicKey>,
}

impl Copy {
    /// Goes on from what is stored: `head` is the newest signed note under it, which may have fewer
    /// entries. `Folded::default()` and none for one to begin.
    pub fn new(ledger: LedgerId, stored: Folded, head: Option<String>) -> Self {
        Self {
            ledger,
            pending: stored.clone(),
            durable: stored,
            entries: Vec::new(),
            nodes: Vec::new(),
            erasures: Vec::new(),
            reached: head.clone(),
            head,
            operators: Vec::new(),
            admitted: None,
        }
    }

    /// How many entries it has, with what is pending; the next to ask for has this number.
    pub fn size(&self) -> u64 {
        self.pending.state.size
    }

    /// What it means, with what is pending. Without state before the first entry.
    pub fn book(&self) -> &Arc<State> {
        &self.pending.state
    }

    /// The signed note that the durable copy has reached.
    pub fn head(&self) -> Option<&str> {
        self.head.as_deref()
    }

    /// The durable copy, where it ends at a signed head.
    pub fn whole(&self) -> Option<&Folded> {
        let reached = claimed_size(self.head.as_deref()?)?;
        (self.durable.state.size == reached).then_some(&self.durable)
    }

    /// Where what is stored ends.
    pub fn stored(&self) -> Head {
        self.durable.head()
    }

    /// Believes who has followed whom as operator, as somebody has read it in the whole log who has
    /// verified that. For heads whose signer stands in entries that are yet to be copied.
    pub fn learn(&mut self, operators: impl IntoIterator<Item = Tenure>) {
        self.operators = operators.into_iter().collect();
    }

    /// Takes the next entry as it was sent, with its statement, whose signature was verified.
    pub fn push(&mut self, raw: &RawEntry, statement: &Statement) -> Result<(), Fault> {
        if raw.seq != self.size() {
            return self.lie(format!("expected entry {}, found {}", self.size(), raw.seq));
        }
        let before = self.pending.tree.size();
        let nodes = match self.pending.push(self.ledger, &raw.leaf, statement) {
            Ok(nodes) => nodes,
            Err(what) => return self.lie(format!("entry {before}: {what}")),
        };
        self.nodes.extend(nodes);
        self.erasures.extend(erased(statement));
        let (leaf, envelope) = (Bytes::copy_from_slice(&raw.leaf), statement.shared());
        self.entries.push(NewEntry { leaf, envelope, chain: self.pending.chain() });
        Ok(())
    }

    /// Where the head in `note` is, seen from here: how many entries it has, if those are more than
    /// were reached. None where it is the head that was reached. Its signature may not be known yet
    /// where it has more.
    pub fn judge(&self, note: &str) -> Result<Option<u64>, Fault> {
        let size = claimed_size(note).filter(|size| *size > 0);
        let size = size.ok_or_else(|| Fault::Lie("a checkpoint without entries".into()))?;
        let Some(reached) = self.reached.as_deref() else { return Ok(Some(size)) };
        // What was reached was verified then, and two signatures are costly: a quiet node is asked often.
        if note == reached {
            return Ok(None);
        }
        let own = claimed_size(reached).unwrap_or_default();
        if size > own {
            return Ok(Some(size));
        }
        let theirs = note.to_owned();
        let head = self.open(note)?;
        if size < own {
            return Err(Fault::Older { theirs, size });
        }
        let ours = self.open(reached)?;
        if head == ours {
            return Ok(None);
        }
        let root = hex::encode(head.root);
        let what =
            format!("two roots of {size} entries, here {}, there {root}", hex::encode(ours.root));
        Err(Fault::Apart { theirs, what })
    }

    /// What was read ends at this signed head: from here it can be stored with it.
    pub fn reach(&mut self, note: &str) -> Result<(), Fault> {
        let head = self.open_or_fail(note)?;
        if head.size != self.size() {
            let what = format!("a head of {} entries, {} were read", head.size, self.size());
            return self.lie(what);
        }
        if head.root != self.pending.tree.root() {
            return self.apart(note, &head);
        }
        // Whoever passes it on may have added lines; the operator's own says it all.
        let operator = self.signer(head.size)?;
        self.reached = own_line(note, &self.ledger, &operator).or_else(|| Some(note.to_owned()));
        Ok(())
    }

    /// What was read lies on the way to this signed head of more entries, as `proof` (RFC 9162,
    /// 2.1.4) shows: from here it can be stored.
    pub fn before(&mut self, note: &str, proof: &[Hash]) -> Result<(), Fault> {
        let head = self.open_or_fail(note)?;
        let (size, root) = (self.size(), self.pending.tree.root());
        match verify_consistency(size, head.size, &root, &head.root, proof) {
            Ok(()) => Ok(()),
            Err(_) => self.apart(note, &head),
        }
    }

    /// Whether the signer of this head is known, and has signed it.
    pub fn knows(&self, note: &str) -> bool {
        self.open(note).is_ok()
    }

    /// What is to be stored; none while nothing is pending.
    pub fn effects(&self) -> Option<Effects<'_>> {
        let moved = self.reached != self.head;
        (moved || !self.entries.is_empty()).then(|| Effects {
            expected: self.durable.head(),
            entries: &self.entries,
            nodes: &self.nodes,
            checkpoint: self.reached.as_deref().filter(|_| moved),
            erasures: &self.erasures,
        })
    }

    /// What was pending is stored. Returns the copy where it is whole up to a signed head, for
    /// readers.
    pub fn committed(&mut self) -> Option<Folded> {
        self.pending.tree.prune();
        self.durable = self.pending.clone();
        let whole = self.reached != self.head;
        self.head.clone_from(&self.reached);
        self.clear();
        whole.then(|| self.durable.clone())
    }

    /// What was pending was not stored: it was never read.
    pub fn failed(&mut self) {
        self.pending = self.durable.clone();
        self.reached.clone_from(&self.head);
        self.clear();
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.nodes.clear();
        self.erasures.clear();
    }

    fn signer(&self, size: u64) -> Result<PublicKey, Fault> {
        let known = &self.pending.state.operators;
        let ahead = self.operators.len() > known.len();
        let key = if ahead {
            signer_of(self.operators.iter(), size)
        } else {
            signer_of(known.iter(), size)
        };
        let key = key.ok_or_else(|| Fault::Lie("a head, and no genesis before it".into()))?;
        match &self.admitted {
            Some(admitted) if admitted.bytes() == key => Ok(admitted.clone()),
            _ => PublicKey::admit(&key).map_err(|reject| Fault::Lie(reject.to_string())),
        }
    }

    /// As [`Copy::open`]; what was read is forgotten where it fails.
    fn open_or_fail(&mut self, note: &str) -> Result<Checkpoint, Fault> {
        self.admitted = self.signer(claimed_size(note).unwrap_or(u64::MAX)).ok();
        self.open(note).inspect_err(|_| self.failed())
    }

    fn open(&self, note: &str) -> Result<Checkpoint, Fault> {
        let signer = self.signer(claimed_size(note).unwrap_or(u64::MAX))?;
        Checkpoint::open(note, self.ledger, &signer)
            .map_err(|reject| Fault::Lie(reject.to_string()))
    }

    fn lie<T>(&mut self, what: String) -> Result<T, Fault> {
        self.failed();
        Err(Fault::Lie(what))
    }

    fn apart<T>(&mut self, note: &str, head: &Checkpoint) -> Result<T, Fault> {
        let what = format!(
            "after {} entries that were read from it, the signed head of {} under root {} does not \
             follow",
            self.size(),
            head.size,
            hex::encode(head.root)
        );
        self.failed();
        Err(Fault::Apart { theirs: note.to_owned(), what })
    }
}

/// The commitments that a statement erases.
fn erased(statement: &Statement) -> Vec<Hash> {
    let erasures =
        statement.events().iter().filter_map(|bytes| match Event::wire(bytes).ok()?.kind {
            Some(Kind::Erase(erase)) => Some(erase.commitment),
            _ => None,
        });
    erasures.flatten().filter_map(|bytes| bytes.try_into().ok()).collect()
}
