//! A follower of one ledger on another node: the copy that a node runs, driven by messages.
//!
//! The driver asks for the newest head, then for entries up to it, a page at a time; what it has may
//! be stored where it ends at the head, or on the way to it with a proof of consistency. One
//! question is open at a time; what is not answered in time is asked again.

use super::{
    disk::Disk,
    found::{Org, verified},
    net::Ask,
    node::tree_node,
    rng::Rng,
};
use std::collections::HashMap;
use subak_ledger::{
    log::{
        Hash, LedgerId, PublicKey, Statement,
        checkpoint::claimed_size,
        fraud::{FraudProof, Parting, Placed},
        tree,
    },
    store::{Batch, MemoryStore, Reader as _},
};
use subak_node::{
    RawEntry,
    fold::Folded,
    follow::copy::{Copy, Fault},
    load,
};

/// Milliseconds after which a question is asked again.
const PATIENCE: u64 = 700;

/// Signatures that were verified in this run: the same bytes have the same verdict.
pub type Verified = HashMap<Vec<u8>, Statement>;

pub struct Follower {
    /// The node that is asked.
    pub source: usize,
    pub ledger: LedgerId,
    pub copy: Copy,
    /// The copy up to a signed head, as readers get it.
    pub whole: Option<Folded>,
    /// The question that is open, and since when.
    pub open: Option<(u64, u64)>,
    /// The head that it is on the way to.
    target: Option<String>,
}

/// What comes of an answer.
pub enum Next {
    /// Nothing more for now.
    Rest,
    Ask(Ask),
    /// Something was stored.
    Stored(Option<Ask>),
    /// What was sent is not taken.
    Fault(Fault),
}

impl Follower {
    /// Goes on from what is stored, also of entries beyond the newest head reached.
    pub fn open(disk: &Disk, source: usize, of: &Org) -> Self {
        let (id, store) = (of.ledger.0, &disk.store);
        let (there, begun) = (store.head(&id).unwrap(), &of.folded);
        let signed = store.checkpoint(&id).unwrap();
        if there == begun.head() && signed.is_some() {
            // What was founded was verified then.
            let copy = Copy::new(of.ledger, begun.clone(), signed);
            return Self {
                source,
                ledger: of.ledger,
                copy,
                whole: Some(begun.clone()),
                open: None,
                target: None,
            };
        }
        // The run's beginning is a prefix of whatever was stored since.
        let longer = signed.is_some() && there.size >= begun.state.size;
        let base = if longer { begun.clone() } else { Folded::default() };
        let (stored, head) = load::copied(store, of.ledger, base.clone()).unwrap();
        let reached = head.as_deref().and_then(claimed_size);
        let whole = match reached {
            Some(size) if size == stored.state.size => Some(stored.clone()),
            _ => load::extend(store, of.ledger, base).ok(),
        };
        let copy = Copy::new(of.ledger, stored, head);
        Self { source, ledger: of.ledger, copy, whole, open: None, target: None }
    }

    /// Whether it is time to ask for the newest head.
    pub fn is_idle(&mut self, now: u64) -> bool {
        if self.open.is_some_and(|(_, since)| now < since + PATIENCE) {
            return false;
        }
        if self.open.take().is_some() {
            // What was read on the way to a head is read again.
            self.copy.failed();
        }
        true
    }

    /// The head that the source has answered with.
    pub fn head(&mut self, note: String, page: usize) -> Next {
        match self.copy.judge(&note) {
            Ok(None) => Next::Rest,
            Ok(Some(_)) => {
                self.target = Some(note);
                Next::Ask(self.more(page))
            }
            Err(fault) => Next::Fault(fault),
        }
    }

    fn more(&self, limit: usize) -> Ask {
        Ask::Entries { ledger: self.ledger, from: self.copy.size(), limit }
    }

    /// Entries that were asked for.
    pub fn entries(
        &mut self,
        page: Vec<RawEntry>,
        disk: &mut Disk,
        name: &str,
        (known, rng): (&mut Verified, &mut Rng),
    ) -> Next {
        let Some(target) = self.target.clone() else { return Next::Rest };
        let size = claimed_size(&target).unwrap_or(0);
        if page.is_empty() {
            self.copy.failed();
            return Next::Rest;
        }
        let (limit, mut sent) = (page.len(), page.into_iter());
        while self.copy.size() < size
            && let Some(raw) = sent.next()
        {
            let statement = match known.get(&raw.envelope[..]) {
                Some(statement) => statement.clone(),
                None => match verified(&raw.envelope) {
                    Ok(statement) => {
                        known.insert(raw.envelope.to_vec(), statement.clone());
                        statement
                    }
                    Err(reject) => {
                        self.copy.failed();
                        return Next::Fault(Fault::Lie(reject.to_string()));
                    }
                },
            };
            if let Err(fault) = self.copy.push(&raw, &statement) {
                return Next::Fault(fault);
            }
        }
        if self.copy.size() < size {
            if rng.permille(500) {
                let (ledger, old) = (self.ledger, self.copy.size());
                return Next::Ask(Ask::Consistency { ledger, old, new: size });
            }
            return Next::Ask(self.more(limit));
        }
        match self.copy.reach(&target) {
            Ok(()) => {
                self.target = None;
                self.store(disk, name, None)
            }
            Err(fault) => Next::Fault(fault),
        }
    }

    /// The proof that what was read is on the way to the head.
    pub fn proof(&mut self, proof: &[Hash], disk: &mut Disk, name: &str) -> Next {
        let Some(target) = self.target.clone() else { return Next::Rest };
        match self.copy.before(&target, proof) {
            Ok(()) => {
                let more =
                    Some(Ask::Entries { ledger: self.ledger, from: self.copy.size(), limit: 3 });
                self.store(disk, name, more)
            }
            Err(fault) => Next::Fault(fault),
        }
    }

    fn store(&mut self, disk: &mut Disk, name: &str, next: Option<Ask>) -> Next {
        let Some(effects) = self.copy.effects() else { return Next::Rest };
        let batch = Batch {
            ledger: self.ledger.0,
            name,
            expected: effects.expected,
            entries: effects.entries,
            nodes: effects.nodes,
            checkpoint: effects.checkpoint,
            disclosures: &[],
            erasures: effects.erasures,
        };
        if disk.append(&[batch]).is_ok() {
            self.whole = self.copy.committed().or(self.whole.take());
            return Next::Stored(next);
        }
        self.copy.failed();
        Next::Rest
    }
}

/// One of two histories, by whoever has it.
#[derive(Clone, Copy)]
pub struct Told<'a> {
    pub store: &'a MemoryStore,
    pub note: &'a str,
}

/// The proof that an operator has signed two histories, where these are two: the last entry that
/// both have differs, because each leaf holds the chain hash of the one before it.
pub fn fraud(
    ledger: LedgerId,
    operator: &PublicKey,
    ours: Told<'_>,
    theirs: Told<'_>,
) -> Option<FraudProof> {
    let (a, b) = (claimed_size(ours.note)?, claimed_size(theirs.note)?);
    let placed = |told: Told<'_>, index: u64, size: u64| {
        let leaf = told.store.entries(&ledger.0, index, 1, 0).ok()?.pop()?.leaf;
        let read = |level, index| tree_node(told.store, ledger.0, level, index).ok_or(());
        let path = tree::prove_inclusion(index, size, read).ok()?;
        Some(Placed { leaf: tree::leaf_hash(&leaf), path })
    };
    let parting = if a == b {
        None
    } else {
        let index = a.min(b).checked_sub(1)?;
        let (first, second) = (placed(ours, index, a)?, placed(theirs, index, b)?);
        Some(Parting { index, first, second })
    };
    FraudProof::new(ledger, operator, [ours.note, theirs.note], parting).ok()
}
