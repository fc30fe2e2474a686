//! What a commons' node relays: dues that it finds in its copies of its payers' ledgers.
//!
//! The plan is the one that a node makes (`subak_node::relay::plan`). What a node's loop does with it
//! is a few lines here: the clerk says it, with proofs under the head that the copy has reached.

use super::{
    check::Log,
    found::{DAY, Deal, START, handle, key, sign},
    node::{Node, tree_node},
    rng::Rng,
};
use prost::bytes::Bytes;
use std::ops::RangeInclusive;
use subak_ledger::{
    log::{Hash, Header, LedgerId, checkpoint::claimed_size, tree},
    store::{MemoryStore, Reader as _, StoredEntry},
};
use subak_node::relay::plan::{Found, Step, plan};
use subak_proto::v1::{self, event::Kind};

/// Entries of the payer's in one statement at most.
const MOST: usize = 3;

/// The clerk's statement that takes what is due under `deal`, if anything is.
pub fn statement(
    node: &Node,
    (name, ledger): (&str, LedgerId),
    payer: LedgerId,
    deal: &Deal,
    (now, rng): (u64, &mut Rng),
) -> Option<Bytes> {
    let copy = node.process.as_ref()?.followers.iter().find(|f| f.source == deal.payer)?;
    let plan = plan(&node.last.state, copy.whole.as_ref().map(|whole| &*whole.state)?);
    let (numbers, found) = plan.steps.into_iter().find_map(|step| match step {
        Step::Take { agreement, numbers, found, .. } if agreement == deal.digest => {
            Some((numbers, found))
        }
        _ => None,
    })?;
    let store = &node.disk.store;
    let note = store.checkpoint(&payer.0).ok()??;
    let mut events = Vec::new();
    for entry in sources(store, payer, &deal.digest, &numbers, found).into_iter().take(MOST) {
        let Some(event) = take(store, payer, deal.digest, entry, &note) else { break };
        events.push(event);
    }
    let header = Header {
        ledger,
        author: handle("clerk"),
        nonce: rng.nonce(),
        created_at: START + now,
        expires_at: START + now + DAY,
        basis: None,
    };
    let clerk = key(&format!("clerk of {name}"));
    (!events.is_empty()).then(|| sign(header, &clerk, events))
}

/// The entries that hold these numbers: the plan knows some, others are looked for.
fn sources(
    store: &MemoryStore,
    payer: LedgerId,
    agreement: &Hash,
    numbers: &RangeInclusive<u64>,
    found: Found,
) -> Vec<u64> {
    let from = match found {
        Found::Entries(entries) => return entries,
        Found::From(entry) => entry,
    };
    let all = store.entries(&payer.0, from, usize::MAX, usize::MAX).unwrap();
    let holds = |entry: &&StoredEntry| {
        let dues = Log::dues(&entry.envelope);
        dues.iter().any(|due| due.agreement == *agreement && numbers.contains(&due.number))
    };
    all.iter().filter(holds).map(|entry| entry.seq).collect()
}

/// The event that takes one entry of a payer's; none while it is not under the head.
pub fn take(
    store: &MemoryStore,
    payer: LedgerId,
    agreement: Hash,
    entry: u64,
    note: &str,
) -> Option<Kind> {
    let size = claimed_size(note).filter(|size| *size > entry)?;
    let found = store.entries(&payer.0, entry, 1, 0).ok()?.pop()?;
    let read = |level, index| tree_node(store, payer.0, level, index).ok_or(());
    let path = tree::prove_inclusion(entry, size, read).ok()?;
    let proof = v1::Proof {
        envelope: found.envelope.to_vec(),
        leaf: found.leaf.to_vec(),
        path: path.iter().map(|hash| hash.to_vec()).collect(),
        checkpoint: note.to_owned(),
    };
    let agreement = agreement.to_vec();
    Some(Kind::IncomeTake(v1::IncomeTake { agreement, proof: Some(proof) }))
}
