//! What can be said of one entry alone, on any core.
//!
//! Owns the costly part of the audit: hashes of the raw bytes, the strict signature,
//! the canonical form, the events in it, and the facts that later comparisons need. Guarantees that
//! nothing here depends on other entries, so that threads share nothing. Leaves out
//! everything that does ([`super::entries`], the book).

use crate::{
    book::event::Event,
    log::{
        Hash, KeyCache, LEAF_LEN, Leaf, Statement, Unverified, entry::chain_hash, tree::leaf_hash,
    },
    reject::Outcome,
    store::StoredEntry,
};
use prost::Message as _;
use subak_proto::v1::{self, event::Kind};

/// An entry, examined by itself.
#[derive(Debug, Clone)]
pub struct Examined {
    pub(super) seq: u64,
    /// For the tree, from the leaf's raw bytes.
    pub(super) leaf_hash: Hash,
    /// For the chain, from the leaf's raw bytes; none if they have another length.
    pub(super) chain: Option<Hash>,
    pub(super) stored_chain: Hash,
    pub(super) leaf: Outcome<Leaf>,
    /// Of the envelope's raw bytes.
    pub(super) digest: Hash,
    pub(super) statement: Outcome<Statement>,
    /// Whether its signature was checked now.
    pub(super) checked: bool,
    /// Of the statement, in order; the first that has no sound form, in place of all.
    pub(super) events: Outcome<Vec<Event>>,
    pub(super) facts: Facts,
}

/// What the comparisons beyond the book need of a statement. Empty for one that does
/// not hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// Commitments in it.
    pub(super) commitments: Vec<Hash>,
    /// Shares that it states as due, and whether they are taken back.
    pub(super) dues: Vec<(v1::Due, bool)>,
    /// Entries of payers that it takes.
    pub(super) takes: Vec<Take>,
    /// Cash that it says has arrived under an agreement, minor units, fees included.
    pub(super) received: Vec<(Hash, u64)>,
    /// Cash that it says has left under an agreement, minor units.
    pub(super) sent: Vec<(Hash, u64)>,
    /// The operator, if it begins with a genesis.
    pub(super) operator: Option<Hash>,
    /// Something in it is not in this program's schema.
    pub(super) unknown: bool,
}

/// A payer's entry, taken as income.
#[derive(Debug, Clone, Copy)]
pub(super) struct Take {
    pub(super) agreement: Hash,
    /// Of the payer's envelope.
    pub(super) digest: Hash,
    /// Its place in the payer's log, if the leaf in the proof is one.
    pub(super) seq: Option<u64>,
}

/// Examines one entry. `keys` is the thread's own.
pub fn examine(entry: StoredEntry, keys: &mut KeyCache) -> Examined {
    examine_from(0, entry, keys)
}

/// As [`examine`], but checks no signature before entry `first`: those were checked when the head
/// that ends there was judged sound. Only for whoever then compares the root at `first` with
/// the root of that head, since the leaves under it fix every envelope's digest.
pub(super) fn examine_from(first: u64, entry: StoredEntry, keys: &mut KeyCache) -> Examined {
    let digest = *blake3::hash(&entry.envelope).as_bytes();
    let checked = entry.seq >= first;
    let statement = Unverified::take(entry.envelope)
        .and_then(|it| if checked { it.verify(keys) } else { it.trust_stored() });
    let bytes: Option<&[u8; LEAF_LEN]> = entry.leaf[..].try_into().ok();
    let mut facts = Facts::default();
    let events = statement.as_ref().map_or(Ok(vec![]), |statement| read(statement, &mut facts));
    Examined {
        seq: entry.seq,
        leaf_hash: leaf_hash(&entry.leaf),
        chain: bytes.map(chain_hash),
        stored_chain: entry.chain,
        leaf: Leaf::from_bytes(&entry.leaf),
        digest,
        statement,
        checked,
        events,
        facts,
    }
}

/// The events of a statement, and what they say. All are looked at, although the book stops
/// at the first that it cannot read: an unknown one must be told from a false one.
fn read(statement: &Statement, facts: &mut Facts) -> Outcome<Vec<Event>> {
    let mut events = Ok(Vec::with_capacity(statement.events().len()));
    for bytes in statement.events() {
        let event = Event::wire(bytes).and_then(|wire| {
            if let Some(kind) = &wire.kind {
                note(facts, kind);
            }
            Event::from_wire(wire)
        });
        facts.unknown |= event.is_err() && is_unknown(bytes);
        match (&mut events, event) {
            (Ok(all), Ok(event)) => all.push(event),
            (Ok(_), Err(reject)) => events = Err(reject),
            (Err(_), _) => {}
        }
    }
    events
}

fn note(facts: &mut Facts, kind: &Kind) {
    let mut commit = |bytes: &[u8]| facts.commitments.extend(hash(bytes));
    match kind {
        Kind::Genesis(g) => {
            for agent in &g.agent {
                commit(&agent.name);
                commit(&agent.email);
            }
            facts.operator = hash(&g.operator_key);
        }
        Kind::AgentJoin(a) => [&a.name, &a.email].into_iter().for_each(|c| commit(c)),
        Kind::AgentAdd(a) => [&a.name, &a.email].into_iter().for_each(|c| commit(c)),
        Kind::AgentClaim(c) => commit(&c.evidence),
        Kind::Contribute(c) => commit(&c.evidence),
        Kind::IncomeRecord(i) => commit(&i.note),
        Kind::RevenueRecord(r) => commit(&r.note),
        Kind::RevenueReverse(r) => commit(&r.note),
        Kind::SettlementSent(s) => {
            facts.sent.extend(hash(&s.agreement).map(|agreement| (agreement, s.minor)));
        }
        Kind::SettlementReceived(s) => {
            facts.received.extend(hash(&s.agreement).map(|agreement| (agreement, s.minor)));
        }
        Kind::IncomeTake(t) => facts.takes.extend(take(t)),
        Kind::Propose(p) => facts.unknown |= p.event.iter().any(|bytes| is_unknown(bytes)),
        _ => {}
    }
    if let Some((dues, back)) = Event::wire_dues(kind) {
        facts.dues.extend(dues.iter().map(|due| (due.clone(), back)));
    }
}

/// An event that decodes, but to nothing that this schema knows.
fn is_unknown(bytes: &[u8]) -> bool {
    !bytes.is_empty() && v1::Event::decode(bytes).is_ok_and(|event| event.kind.is_none())
}

fn take(take: &v1::IncomeTake) -> Option<Take> {
    let proof = take.proof.as_ref()?;
    Some(Take {
        agreement: hash(&take.agreement)?,
        digest: *blake3::hash(&proof.envelope).as_bytes(),
        seq: Leaf::from_bytes(&proof.leaf).ok().map(|leaf| leaf.seq),
    })
}

fn hash(bytes: &[u8]) -> Option<Hash> {
    bytes.try_into().ok()
}
