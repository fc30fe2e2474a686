//! The log, entry after entry: order, chain, time, tree and the signed head.
//!
//! Owns what one entry's leaf must be, given those before it, and what the checkpoint
//! must be, given all. Guarantees that every hash that is compared with a stored or
//! signed one was computed from raw leaf bytes, and that a fault at one entry does not
//! make faults of those after it. Leaves out statements and what they mean.

use super::{
    examine::Examined,
    finding::{Code, Findings},
};
use crate::{
    book::{
        event::{Event, Handover},
        handover::{Tenure, signer_of},
    },
    log::{
        Checkpoint, Frontier, Hash, Leaf, LedgerId, PublicKey, checkpoint::claimed_size,
        entry::ledger_id_of_genesis, tree,
    },
    reject::Outcome,
};
use std::collections::{BTreeMap, BTreeSet};

/// A node of the tree that an entry has completed: level, index, hash.
pub(super) type Completed = (u32, u64, Hash);

/// The log so far.
#[derive(Debug, Clone)]
pub(super) struct Entries {
    id: LedgerId,
    /// The place of the next entry.
    pub(super) next: u64,
    /// Recomputed chain hash of the last entry; none where it cannot be known.
    pub(super) chain: Option<Hash>,
    /// `recorded_at` of the last entry, ms.
    pub(super) time: u64,
    pub(super) frontier: Frontier,
    /// Whether no entry is missing so far: or else the tree is another one.
    pub(super) gapless: bool,
    /// Whether every statement so far could be read.
    pub(super) readable: bool,
    /// Who signs heads, the first from the genesis on.
    operators: Vec<Tenure>,
    /// The newest head of each operator before the last, as the handover from it holds it.
    handed: Vec<String>,
    note: Option<String>,
    /// The size that the stored checkpoint names, whoever has signed it.
    claimed: Option<u64>,
    /// The stored checkpoint, once all entries are there: opened with the key of its operator.
    signed: Option<Outcome<Checkpoint>>,
    /// Sizes yet to come at which the root is wanted.
    wanted: BTreeSet<u64>,
    /// Recomputed roots, by size: those that were wanted, and the one at the checkpoint's.
    pub(super) roots: BTreeMap<u64, Hash>,
    /// `recorded_at` of the last entry at those sizes, ms.
    pub(super) times: BTreeMap<u64, u64>,
    /// Of the last leaf that the checkpoint covers: its hash, and its path to that root.
    pub(super) last_leaf: Option<(Hash, Vec<Hash>)>,
    /// Signatures that were checked.
    pub(super) signatures: u64,
}

impl Entries {
    /// `wanted`: sizes at which the root is to be reported.
    pub(super) fn new(id: LedgerId, note: Option<String>, wanted: BTreeSet<u64>) -> Self {
        Self {
            id,
            next: 0,
            chain: Some(crate::log::entry::NO_PREVIOUS),
            time: 0,
            frontier: Frontier::default(),
            gapless: true,
            readable: true,
            operators: Vec::new(),
            handed: Vec::new(),
            claimed: note.as_deref().and_then(claimed_size),
            note,
            signed: None,
            wanted,
            roots: BTreeMap::new(),
            times: BTreeMap::new(),
            last_leaf: None,
            signatures: 0,
        }
    }

    /// Takes the next entry. Returns whether it is sound in itself and in its place, so
    /// that the book may go on with it, and the nodes that it completes.
    pub(super) fn push(&mut self, e: &Examined, findings: &mut Findings) -> (bool, Vec<Completed>) {
        let before = findings.list().len();
        self.place(e, findings);
        match &e.leaf {
            Ok(leaf) => self.leaf(e, leaf, findings),
            Err(reject) => findings.refused(Code::LeafForm, e.seq, reject),
        }
        let usable = findings.list().len() == before;
        if e.chain.is_some_and(|chain| chain != e.stored_chain) {
            let expected = e.chain.as_ref().map(hex::encode).unwrap_or_default();
            let found = hex::encode(e.stored_chain);
            let detail = format!("expected {expected}, found {found}");
            findings.add(Code::ChainStored, Some(e.seq), &detail);
        }
        self.chain = e.chain;
        let sound = self.statement(e, findings) && usable;
        self.signatures += u64::from(e.checked);
        (sound, self.grow(e.leaf_hash))
    }

    fn grow(&mut self, leaf_hash: Hash) -> Vec<Completed> {
        if self.claimed == Some(self.frontier.size() + 1) {
            self.last_leaf = Some((leaf_hash, self.frontier.next_path()));
        }
        let nodes = self.frontier.push(leaf_hash);
        if self.wanted.first() == Some(&self.frontier.size()) {
            self.wanted.pop_first();
            self.roots.insert(self.frontier.size(), self.frontier.root());
            self.times.insert(self.frontier.size(), self.time);
        }
        nodes
    }

    fn place(&mut self, e: &Examined, findings: &mut Findings) {
        if e.seq != self.next {
            let detail = format!("expected entry {}, found entry {}", self.next, e.seq);
            findings.add(Code::Sequence, Some(self.next.min(e.seq)), &detail);
            self.gapless = false;
            self.chain = None;
        }
        self.next = self.next.max(e.seq.saturating_add(1));
    }

    fn leaf(&mut self, e: &Examined, leaf: &Leaf, findings: &mut Findings) {
        // Texts are made only where two things differ: this runs for every entry.
        let mut differ = |code, expected: String, found: String| {
            findings.add(code, Some(e.seq), &format!("expected {expected}, found {found}"));
        };
        if leaf.ledger != self.id {
            differ(Code::LeafLedger, self.id.to_string(), leaf.ledger.to_string());
        }
        if leaf.seq != e.seq {
            differ(Code::LeafPlace, e.seq.to_string(), leaf.seq.to_string());
        }
        if let Some(chain) = self.chain.filter(|chain| *chain != leaf.previous) {
            differ(Code::ChainBroken, hex::encode(chain), hex::encode(leaf.previous));
        }
        if leaf.envelope != e.digest {
            differ(Code::EnvelopeDigest, hex::encode(leaf.envelope), hex::encode(e.digest));
        }
        if leaf.recorded_at < self.time {
            let (least, found) = (self.time, leaf.recorded_at);
            differ(Code::TimeBack, format!("at least {least} ms"), format!("{found} ms"));
        }
        self.time = leaf.recorded_at;
    }

    /// Whether the statement holds, by itself.
    fn statement(&mut self, e: &Examined, findings: &mut Findings) -> bool {
        let statement = match &e.statement {
            Ok(statement) => statement,
            Err(reject) => {
                self.readable = false;
                findings.refused(Code::Statement, e.seq, reject);
                return false;
            }
        };
        if e.seq > 0 {
            return match e.events.as_deref() {
                Ok([Event::Handover(handover)]) => self.handover(e.seq, handover, findings),
                _ => true,
            };
        }
        let first = e.facts.operator.filter(|key| PublicKey::admit(key).is_ok());
        self.operators.extend(first.map(Tenure::first));
        self.wanted.extend(self.claimed.filter(|size| *size > 0));
        let made = ledger_id_of_genesis(statement.body());
        if made != self.id {
            findings.add(Code::GenesisId, Some(0), &format!("expected {}, found {made}", self.id));
        }
        made == self.id
    }

    /// Another operator takes over, at a head that must be the one here. Whether this may be is the
    /// book's; what does not even hold by itself it refuses, and then nobody takes over.
    fn handover(&mut self, seq: u64, handover: &Handover, findings: &mut Findings) -> bool {
        let Some(before) = self.operators.last() else { return true };
        let verified = handover.verify(self.id, &before.key).ok();
        let Some(tenure) = verified.filter(|it| it.from == seq.saturating_add(1)) else {
            return true;
        };
        let root = self.frontier.root();
        if self.gapless && tenure.root != root {
            let (expected, found) = (hex::encode(tenure.root), hex::encode(root));
            let detail = format!("{seq} entries, expected root {expected}, found {found}");
            findings.add(Code::HandoverHead, Some(seq), &detail);
            return false;
        }
        self.operators.push(tenure);
        self.handed.push(handover.checkpoint.clone());
        true
    }

    /// Who signs the head of so many entries, if the genesis names an operator.
    pub(super) fn signer(&self, size: u64) -> Option<PublicKey> {
        PublicKey::admit(&signer_of(self.operators.iter(), size)?).ok()
    }

    /// Who should have signed the stored checkpoint; without one, the operator now.
    pub(super) fn operator(&self) -> Option<PublicKey> {
        self.signer(self.claimed.unwrap_or(u64::MAX))
    }

    /// That operator and all before it whose word leads to it, the newest first: each has handed over
    /// to the next, or the stewards have, which the book has judged at the entries before `judged`.
    pub(super) fn line(&self, judged: u64) -> Vec<Tenure> {
        let last = self.claimed.unwrap_or(u64::MAX);
        let mut line = Vec::new();
        for tenure in self.operators.iter().rev().skip_while(|it| it.from > last) {
            line.push(*tenure);
            if !tenure.consented && tenure.from > judged {
                break;
            }
        }
        line
    }

    /// Heads of this log that its operators have signed: of each before the last, that of its handover.
    pub(super) fn handed(&self) -> impl Iterator<Item = (Hash, &str)> {
        self.operators.iter().zip(&self.handed).map(|(it, note)| (it.key, note.as_str()))
    }

    /// The size that the operator has signed, if the checkpoint is one.
    pub(super) fn signed_size(&self) -> Option<u64> {
        self.signed().map(|(head, _)| head.size)
    }

    /// The head that the operator has signed, if the checkpoint is one, and the whole note.
    pub(super) fn signed(&self) -> Option<(Checkpoint, &str)> {
        let head = self.signed.as_ref()?.as_ref().ok()?;
        Some((*head, self.note.as_deref()?))
    }

    /// After the last entry: the signed head against the recomputed one.
    pub(super) fn finish(&mut self, findings: &mut Findings) {
        self.signed = match (&self.note, self.operator()) {
            (Some(note), Some(operator)) => Some(Checkpoint::open(note, self.id, &operator)),
            _ => None,
        };
        if self.next == 0 {
            findings.add(Code::Sequence, Some(0), "expected a genesis, found no entry at all");
        }
        match (&self.note, &self.signed) {
            (None, _) => findings.add(Code::CheckpointMissing, None, "expected one, found none"),
            (Some(_), None) => {
                let why = "entry 0 names no operator that could be read";
                findings.add(Code::CheckpointUnjudged, None, why);
            }
            (Some(_), Some(Err(reject))) => {
                findings.add(Code::Checkpoint, None, &reject.to_string());
            }
            (Some(_), Some(Ok(signed))) => self.head(signed, findings),
        }
    }

    fn head(&self, signed: &Checkpoint, findings: &mut Findings) {
        let size = self.frontier.size();
        if signed.size > size {
            let detail = format!("expected {} entries, found {size}", signed.size);
            return findings.add(Code::CheckpointHead, Some(size), &detail);
        }
        let at_signed = self.roots.get(&signed.size).copied();
        let root = if signed.size == 0 { Some(tree::EMPTY_ROOT) } else { at_signed };
        if root != Some(signed.root) {
            let found = root.map_or_else(|| "none".into(), hex::encode);
            let expected = hex::encode(signed.root);
            let detail =
                format!("{} entries, expected root {expected}, found {found}", signed.size);
            findings.add(Code::CheckpointHead, None, &detail);
        }
        if signed.size < size {
            let detail = format!("expected {size} entries signed, found {}", signed.size);
            findings.add(Code::CheckpointBehind, Some(signed.size), &detail);
        }
    }
}
