//! Entries of a log that are to be relayed, and the proofs of them.
//!
//! Owns which entries hold what, and how a proof is put together. Guarantees nothing of what it
//! reads: the rules check each proof. Leaves out which head is relied on.

use super::plan::{Found, MOST};
use crate::{Ledgers, NodeError, RawEntry, refusal::world};
use prost::Message as _;
use std::ops::{Range, RangeInclusive};
use subak_ledger::{
    book::{
        agreement::Agreement,
        event::{Event, Handover},
    },
    log::{Hash, Leaf, LedgerId, Unverified},
};
use subak_proto::v1::{self, event::Kind};

/// Bytes of proofs that go into one statement: half of what one may have.
pub const BATCH: usize = 128 * 1024;
/// Entries to ask for at a time.
const PAGE: u64 = 1_000;

/// A signed head: of so many entries, and its note.
#[derive(Debug, Clone)]
pub struct Head {
    /// Entries.
    pub size: u64,
    /// As signed.
    pub note: String,
}

/// Decodes events; what this program does not know is left out.
pub fn kinds(events: &[impl AsRef<[u8]>]) -> Vec<Kind> {
    events.iter().filter_map(|b| v1::Event::decode(b.as_ref()).ok()?.kind).collect()
}

/// What an event states to be due.
pub fn dues(kind: &Kind) -> &[v1::Due] {
    match kind {
        Kind::RevenueRecord(r) => &r.due,
        Kind::RevenueReverse(r) => &r.due,
        Kind::PayoutPaid(p) => &p.due,
        Kind::PayoutReturned(p) => &p.due,
        _ => &[],
    }
}

/// Shows the events of each of these entries to `look`, in order, until it has seen enough.
pub async fn scan<T: Send>(
    ledgers: &dyn Ledgers,
    ledger: LedgerId,
    entries: Range<u64>,
    mut look: impl FnMut(u64, &[Kind]) -> Option<T> + Send,
) -> Result<Option<T>, NodeError> {
    let mut next = entries.start;
    while next < entries.end {
        let page = ledgers.entries(ledger, next, PAGE.min(entries.end - next)).await?;
        let Some(last) = page.last() else { break };
        next = last.seq + 1;
        for raw in &page {
            let statement = Unverified::parse(&raw.envelope)?.trust_stored()?;
            if let Some(found) = look(raw.seq, &kinds(statement.events())) {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

/// The first entry of the payer's log, of `size` entries, that states a number which was taken already
/// from another one, if the entry that was taken last is not the one there: a look at one entry, mostly.
pub async fn second_story(
    ledgers: &dyn Ledgers,
    (payer, size): (LedgerId, u64),
    taken: &Agreement,
) -> Result<Option<u64>, NodeError> {
    let Some(entry) = taken.taken_from() else { return Ok(None) };
    let told = |number: u64, raw: &RawEntry| {
        let source = taken.sources.get(&number);
        let there = Leaf::from_bytes(&raw.leaf).map(|leaf| leaf.envelope);
        source.is_some_and(|source| there.is_ok_and(|there| there != source.envelope))
    };
    let there = ledgers.entries(payer, entry, 1).await?;
    if there.first().is_some_and(|raw| !told(taken.dues.last, raw)) {
        return Ok(None);
    }
    let mut next = 0;
    while next < size {
        let page = ledgers.entries(payer, next, PAGE.min(size - next)).await?;
        let Some(last) = page.last() else { break };
        next = last.seq + 1;
        for raw in &page {
            let statement = Unverified::parse(&raw.envelope)?.trust_stored()?;
            let kinds = kinds(statement.events());
            let first = kinds.iter().flat_map(dues).find(|due| due.agreement == taken.terms.digest);
            if first.is_some_and(|due| told(due.number, raw)) {
                return Ok(Some(raw.seq));
            }
        }
    }
    Ok(None)
}

/// The entries that hold these numbers of an agreement, in order, the first [`MOST`] of them. The
/// ledger has `size` entries.
pub async fn sources(
    ledgers: &dyn Ledgers,
    (ledger, size): (LedgerId, u64),
    agreement: &Hash,
    numbers: &RangeInclusive<u64>,
    found: &Found,
) -> Result<Vec<u64>, NodeError> {
    let from = match found {
        Found::Entries(entries) => return Ok(entries.clone()),
        Found::From(entry) => *entry,
    };
    let mut entries = Vec::new();
    let collect = |seq, events: &[Kind]| {
        let here = |due: &&v1::Due| due.agreement == agreement && numbers.contains(&due.number);
        let last = events.iter().flat_map(dues).filter(here).map(|due| due.number).max()?;
        entries.push(seq);
        (last == *numbers.end() || entries.len() == MOST).then_some(())
    };
    scan(ledgers, ledger, from..size, collect).await?;
    Ok(entries)
}

/// A proof of an entry under a head.
pub async fn prove(
    ledgers: &dyn Ledgers,
    ledger: LedgerId,
    entry: u64,
    head: &Head,
) -> Result<v1::Proof, NodeError> {
    let path = ledgers.inclusion(ledger, entry, head.size).await?;
    let raw = ledgers.entries(ledger, entry, 1).await?.into_iter().find(|raw| raw.seq == entry);
    let raw = raw.ok_or_else(|| missing(ledger, entry))?;
    Ok(v1::Proof {
        envelope: raw.envelope.into(),
        leaf: raw.leaf.into(),
        path: path.iter().map(|hash| hash.to_vec()).collect(),
        checkpoint: head.note.clone(),
    })
}

/// The handover that is an entry of a ledger.
pub async fn handover_at(
    ledgers: &dyn Ledgers,
    ledger: LedgerId,
    entry: u64,
) -> Result<Handover, NodeError> {
    let found = ledgers.entries(ledger, entry, 1).await?.into_iter().find(|raw| raw.seq == entry);
    let raw = found.ok_or_else(|| missing(ledger, entry))?;
    let statement = Unverified::parse(&raw.envelope)?.trust_stored()?;
    match statement.events().first().map(|bytes| Event::decode(bytes)).transpose()? {
        Some(Event::Handover(handover)) => Ok(handover),
        _ => Err(missing(ledger, entry)),
    }
}

fn missing(ledger: LedgerId, entry: u64) -> NodeError {
    let what = format!("ledger {ledger}: entry {entry} was not returned, or is another one");
    world("short-answer", what, "try again")
}

/// Events with proofs, a statement's worth at a time.
#[derive(Debug, Default)]
pub struct Batch {
    events: Vec<Kind>,
    bytes: usize,
}

impl Batch {
    /// Takes one more; those before it, where it does not go into the same statement.
    pub fn push(&mut self, agreement: &Hash, proof: v1::Proof) -> Option<Vec<Kind>> {
        let bytes = proof.encoded_len();
        let full = !self.events.is_empty() && self.bytes + bytes > BATCH;
        let before = full.then(|| self.take());
        self.bytes += bytes;
        let take = v1::IncomeTake { agreement: agreement.to_vec(), proof: Some(proof) };
        self.events.push(Kind::IncomeTake(take));
        before
    }

    /// What is in it; it is empty then.
    pub fn take(&mut self) -> Vec<Kind> {
        self.bytes = 0;
        std::mem::take(&mut self.events)
    }
}
