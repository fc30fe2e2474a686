//! What a commons' node relays: dues that it finds in its copies of its payers' ledgers.
//!
//! Nothing is remembered beside the logs: what is to be taken is what the own book has not taken
//! and the copy has. The clerk says it, with proofs under the head that the copy has reached.

use super::{
    check::Log,
    found::{DAY, Deal, START, handle, key, sign},
    node::{Node, tree_node},
    rng::Rng,
};
use prost::bytes::Bytes;
use subak_ledger::{
    log::{Hash, Header, LedgerId, checkpoint::claimed_size, tree},
    store::{MemoryStore, Reader as _},
};
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
    let own = node.last.state.agreements.get(&deal.digest)?;
    let copy = node.process.as_ref()?.followers.iter().find(|f| f.source == deal.payer)?;
    let theirs = copy.copy.book().agreements.get(&deal.digest)?;
    if own.frozen.is_some() || theirs.dues.last <= own.dues.last {
        return None;
    }
    let store = &node.disk.store;
    let note = store.checkpoint(&payer.0).ok()??;
    let mut next = own.dues.last + 1;
    let mut events = Vec::new();
    for entry in store.entries(&payer.0, 0, usize::MAX, usize::MAX).ok()? {
        let dues = Log::dues(&entry.envelope);
        let here = dues.iter().filter(|due| due.agreement == deal.digest).map(|due| due.number);
        let numbers: Vec<u64> = here.collect();
        if numbers.contains(&next) && events.len() < MOST {
            events.push(take(store, payer, deal.digest, entry.seq, &note)?);
            next = numbers.last()? + 1;
        }
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
