//! No bit of what a store holds can change unnoticed.
//!
//! Every single bit of every stored leaf, envelope, chain hash and checkpoint is
//! flipped, one at a time, and the audit must name that entry. Entries go through the
//! audit's own fold from a snapshot before the altered one: what comes after it cannot
//! take a fault back. The whole audit of the whole store runs for a sample of the bits;
//! `SUBAK_LONG=1` runs it for all.
#![allow(clippy::unwrap_used)]

mod audit_support;
mod kit;

use audit_support::*;
use kit::*;
use std::thread;
use subak_ledger::{
    audit::{Audit, Code, LedgerAudit, Severity, Verdict, examine},
    log::KeyCache,
    store::{
        Disclosure, Hash, Head, Inspection, LedgerRow, MemoryStore, Reader, Result, StoreError,
        StoredEntry,
    },
};

/// One bit of a store.
#[derive(Debug, Clone, Copy)]
enum Bit {
    Leaf(u64, usize),
    Envelope(u64, usize),
    Chain(u64, usize),
    Node(u8, u64, usize),
    Checkpoint(usize),
}

/// A store that is read with one bit of one ledger flipped.
struct Flipped<'s> {
    store: &'s MemoryStore,
    ledger: Hash,
    bit: Bit,
}

fn flip(bytes: &mut [u8], bit: usize) {
    bytes[bit / 8] ^= 1 << (bit % 8);
}

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    flip(&mut bytes, bit);
    bytes
}

fn alter(entry: &mut StoredEntry, bit: Bit) {
    match bit {
        Bit::Leaf(seq, bit) if seq == entry.seq => entry.leaf = flipped(&entry.leaf, bit).into(),
        Bit::Envelope(seq, bit) if seq == entry.seq => {
            entry.envelope = flipped(&entry.envelope, bit).into();
        }
        Bit::Chain(seq, bit) if seq == entry.seq => flip(&mut entry.chain, bit),
        _ => {}
    }
}

impl Reader for Flipped<'_> {
    fn ledgers(&self) -> Result<Vec<LedgerRow>> {
        self.store.ledgers()
    }
    fn head(&self, ledger: &Hash) -> Result<Head> {
        self.store.head(ledger)
    }
    fn entries(&self, ledger: &Hash, from: u64, n: usize, b: usize) -> Result<Vec<StoredEntry>> {
        let mut page = self.store.entries(ledger, from, n, b)?;
        if *ledger == self.ledger {
            for entry in &mut page {
                alter(entry, self.bit);
            }
        }
        Ok(page)
    }
    fn nodes(&self, ledger: &Hash, level: u8, from: u64, n: usize) -> Result<Vec<(u64, Hash)>> {
        let mut page = self.store.nodes(ledger, level, from, n)?;
        if let Bit::Node(at, index, bit) = self.bit
            && (*ledger, level) == (self.ledger, at)
        {
            page.iter_mut().filter(|node| node.0 == index).for_each(|node| flip(&mut node.1, bit));
        }
        Ok(page)
    }
    fn checkpoint(&self, ledger: &Hash) -> Result<Option<String>> {
        let Some(note) = self.store.checkpoint(ledger)? else { return Ok(None) };
        let mut bytes = note.into_bytes();
        if let Bit::Checkpoint(bit) = self.bit
            && *ledger == self.ledger
        {
            flip(&mut bytes, bit);
        }
        // What a file does with a text that is none.
        String::from_utf8(bytes).map(Some).map_err(|e| StoreError::Corrupt {
            place: "table checkpoint".into(),
            detail: e.to_string(),
        })
    }
    fn witnessed(&self, ledger: &Hash) -> Result<Option<String>> {
        self.store.witnessed(ledger)
    }
    fn disclosures(&self, l: &Hash, after: Option<&Hash>, n: usize) -> Result<Vec<Disclosure>> {
        self.store.disclosures(l, after, n)
    }
    fn disclosure(&self, ledger: &Hash, commitment: &Hash) -> Result<Option<Disclosure>> {
        self.store.disclosure(ledger, commitment)
    }
    fn inspection(&self) -> Inspection {
        self.store.inspection()
    }
}

fn all_entries(store: &MemoryStore, ledger: &Hash) -> Vec<StoredEntry> {
    store.entries(ledger, 0, usize::MAX, usize::MAX).unwrap()
}

fn bits_of(entry: &StoredEntry) -> impl Iterator<Item = Bit> + use<> {
    let seq = entry.seq;
    let bits = |bytes: &[u8]| 0..bytes.len() * 8;
    let leaf = bits(&entry.leaf).map(move |bit| Bit::Leaf(seq, bit));
    let envelope = bits(&entry.envelope).map(move |bit| Bit::Envelope(seq, bit));
    leaf.chain(envelope).chain(bits(&entry.chain).map(move |bit| Bit::Chain(seq, bit)))
}

/// A row and its ledger's audit up to each of its entries.
fn snapshots(store: &MemoryStore, row: &LedgerRow) -> Vec<(StoredEntry, LedgerAudit)> {
    let mut audit = LedgerAudit::new(row.clone(), store.checkpoint(&row.id).unwrap());
    let mut keys = KeyCache::default();
    let mut before = Vec::new();
    for entry in all_entries(store, &row.id) {
        let examined = examine(entry.clone(), &mut keys);
        before.push((entry, audit.clone()));
        audit.push(&examined);
    }
    audit.finish();
    let faults = audit.findings().iter().filter(|f| f.severity > Severity::Warning);
    assert_eq!(faults.count(), 0, "the control: unaltered it is sound");
    before
}

#[test]
fn every_bit_of_every_entry_is_noticed_at_that_entry() {
    let store = in_memory(&cycle().logs());
    let before: Vec<_> =
        store.ledgers().unwrap().iter().flat_map(|row| snapshots(&store, row)).collect();
    assert!(before.len() > 40, "both ledgers, every group of events: {}", before.len());
    let try_bits = &|part: usize| {
        let (mut keys, mut tried) = (KeyCache::default(), 0u64);
        for (entry, audit) in before.iter().skip(part).step_by(2) {
            for bit in bits_of(entry) {
                let mut altered = entry.clone();
                alter(&mut altered, bit);
                let mut audit = audit.clone();
                audit.push(&examine(altered, &mut keys));
                let named = audit
                    .findings()
                    .iter()
                    .any(|f| f.severity == Severity::Fault && f.entry == Some(entry.seq));
                assert!(named, "{bit:?}: {:?}", audit.findings());
                tried += 1;
            }
        }
        tried
    };
    let tried: u64 = thread::scope(|scope| {
        let parts: Vec<_> = (0..2).map(|part| scope.spawn(move || try_bits(part))).collect();
        parts.into_iter().map(|part| part.join().unwrap()).sum()
    });
    println!("{tried} bits of {} entries", before.len());
}

/// A genesis alone: the shortest log with a checkpoint.
#[test]
fn every_bit_of_a_checkpoint_is_noticed() {
    let world = World::phyle("phyle-a");
    let store = in_memory(&[RawLog::of(&world, vec![])]);
    let ledger = world.state.ledger.0;
    assert_eq!(audit_store(&store).verdict, Verdict::Sound, "the control");
    let bits = world.checkpoint().len() * 8;
    for bit in (0..bits).map(Bit::Checkpoint) {
        let found = audit_store(&Flipped { store: &store, ledger, bit });
        assert_eq!(found.verdict, Verdict::Fault, "{bit:?}");
    }
}

/// The entry that the bit belongs to, if to one.
fn entry_of(bit: Bit) -> Option<u64> {
    match bit {
        Bit::Leaf(seq, _) | Bit::Envelope(seq, _) | Bit::Chain(seq, _) => Some(seq),
        Bit::Node(level, index, _) => Some(((index + 1) << level) - 1),
        Bit::Checkpoint(_) => None,
    }
}

fn require_fault(found: &Audit, bit: Bit) {
    assert_eq!(found.verdict, Verdict::Fault, "{bit:?}");
    let mut faults = found.findings.iter().filter(|f| f.severity == Severity::Fault);
    let named = |code: Code| match bit {
        Bit::Checkpoint(_) => {
            matches!(code, Code::Checkpoint | Code::CheckpointHead | Code::Store)
        }
        Bit::Node(..) => code == Code::TreeNode,
        _ => true,
    };
    let entry = entry_of(bit);
    let right = faults.any(|f| named(f.code) && (entry.is_none() || f.entry == entry));
    assert!(right, "{bit:?}: {:?}", found.findings);
}

/// The whole audit, for a sample: each tree node, and each 997th bit of the rest.
#[test]
fn the_whole_audit_notices_a_bit_anywhere() {
    let store = in_memory(&cycle().logs());
    let long = std::env::var_os("SUBAK_LONG").is_some();
    let stride = if long { 1 } else { 997 };
    let mut tried = 0;
    for ledger in store.ledgers().unwrap().iter().map(|row| row.id) {
        let entries = all_entries(&store, &ledger);
        let note = store.checkpoint(&ledger).unwrap().unwrap();
        let checkpoint = (0..note.len() * 8).map(Bit::Checkpoint);
        let rest = entries.iter().flat_map(bits_of).chain(checkpoint).step_by(stride);
        let nodes = (0..8).flat_map(|level| {
            let page = store.nodes(&ledger, level, 0, usize::MAX).unwrap();
            let bits = if long { 0..256 } else { 17..18 };
            page.into_iter().flat_map(move |(index, _)| {
                bits.clone().map(move |bit| Bit::Node(level, index, bit))
            })
        });
        for bit in rest.chain(nodes) {
            require_fault(&audit_store(&Flipped { store: &store, ledger, bit }), bit);
            tried += 1;
        }
    }
    println!("{tried} audits");
}
