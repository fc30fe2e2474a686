//! A ledger folded from a store.
//!
//! Guarantees that what was read is the log under the stored checkpoint, signed by its
//! operator at that size: place, chain, tree, rules and head are recomputed.
//! Does not check authors' signatures: the writer checked them before it stored the
//! statements, and the leaves' digests show that they are the same bytes. The audit, which
//! believes no store, checks them. Leaves out caching.

use crate::{
    LedgerInfo, NodeError,
    fold::{Folded, damaged},
    refusal::{not_found, world},
};
use prost::{Message as _, bytes::Bytes};
use subak_ledger::{
    book::event::Event,
    log::{
        Hash, Leaf, LedgerId, PublicKey, Statement, Unverified,
        checkpoint::{bears, claimed_size},
    },
    store::{Head, Reader, StoredEntry},
};
use subak_proto::v1;

/// Entries and bytes that are in memory at a time.
const PAGE: (usize, usize) = (4_096, 4 << 20);

/// Reads on from `base` to the stored checkpoint. [`NodeError::NotFound`] if the store does
/// not have the ledger, [`NodeError::Corrupt`] if it contradicts itself.
pub fn extend(
    reader: &dyn Reader,
    ledger: LedgerId,
    mut base: Folded,
) -> Result<Folded, NodeError> {
    // The checkpoint first: it was stored with its entries, so all of those are there, and
    // a writer that goes on meanwhile only adds to them.
    let Some(text) = reader.checkpoint(&ledger.0)? else {
        return Err(match reader.head(&ledger.0)? {
            Head::EMPTY => unknown(&ledger),
            // Stored without one is only what a follower copies.
            head => on_its_way(&ledger, 0, head.size),
        });
    };
    if base.state.root.is_none() {
        let first = reader.entries(&ledger.0, 0, 1, PAGE.1)?;
        push_all(&mut base, ledger, &first)?;
    }
    let last = base.state.size.saturating_sub(1);
    // Who should have signed it may stand in entries that are yet to be read: so far it is a number.
    let size = claimed_size(&text)
        .filter(|size| *size > 0)
        .ok_or_else(|| damaged(&ledger, last, "the stored checkpoint names no size"))?;
    while base.state.size < size {
        let left = usize::try_from(size - base.state.size).unwrap_or(usize::MAX);
        let page = reader.entries(&ledger.0, base.state.size, left.min(PAGE.0), PAGE.1)?;
        if page.is_empty() {
            let what = format!("it is missing: the stored checkpoint says {size} entries");
            return Err(damaged(&ledger, base.state.size, &what));
        }
        push_all(&mut base, ledger, &page)?;
        base.tree.prune();
    }
    base.tree.prune();
    base.check(&text).map_err(|what| damaged(&ledger, size.saturating_sub(1), &what))?;
    Ok(base)
}

/// As [`extend`], to the last stored entry: for a copy on its way to a signed head, which may have
/// none yet. Returns the newest signed note under it too.
pub fn copied(
    reader: &dyn Reader,
    ledger: LedgerId,
    mut base: Folded,
) -> Result<(Folded, Option<String>), NodeError> {
    let note = reader.checkpoint(&ledger.0)?;
    if note.is_some() {
        base = extend(reader, ledger, base)?;
    }
    loop {
        let page = reader.entries(&ledger.0, base.state.size, PAGE.0, PAGE.1)?;
        if page.is_empty() {
            return Ok((base, note));
        }
        push_all(&mut base, ledger, &page)?;
        base.tree.prune();
    }
}

/// A copy that has more entries than lie under its newest signed head: on its way to the next one, or
/// broken off there. Nobody can take it over: a handover goes on from a head that was signed.
pub(crate) fn on_its_way(ledger: &LedgerId, signed: u64, copied: u64) -> NodeError {
    let signed = match signed {
        0 => "no signed head of any of them".to_owned(),
        signed => format!("the newest signed head here is of {signed}"),
    };
    world(
        "copy-incomplete",
        format!("ledger {ledger}: {copied} entries are copied so far, {signed}"),
        "let it be copied to the end, from its operator's node or any other copy (`subak peer add \
         URL`), and try again: `subak peer list`",
    )
}

fn push_all(base: &mut Folded, ledger: LedgerId, page: &[StoredEntry]) -> Result<(), NodeError> {
    for stored in page {
        push(base, ledger, stored).map_err(|what| damaged(&ledger, stored.seq, &what))?;
    }
    Ok(())
}

fn push(base: &mut Folded, ledger: LedgerId, stored: &StoredEntry) -> Result<(), String> {
    if stored.seq != base.state.size {
        return Err(format!("expected entry {} here", base.state.size));
    }
    let statement = statement(stored.envelope.clone())?;
    base.push(ledger, &stored.leaf, &statement).map(drop)?;
    if stored.chain == base.chain() {
        return Ok(());
    }
    let (expected, found) = (hex::encode(base.chain()), hex::encode(stored.chain));
    Err(format!("stored chain hash: expected {expected}, found {found}"))
}

fn statement(envelope: Bytes) -> Result<Statement, String> {
    Unverified::take(envelope).and_then(Unverified::trust_stored).map_err(|r| r.to_string())
}

/// What the ends of a stored ledger say, without folding it; and whether they say who its operator
/// is: somebody else than its genesis names may have signed its checkpoint.
pub(crate) fn info(reader: &dyn Reader, ledger: LedgerId) -> Result<(LedgerInfo, bool), NodeError> {
    let head = reader.head(&ledger.0)?;
    let Some(last) = head.size.checked_sub(1) else { return Err(unknown(&ledger)) };
    let one = |seq| {
        let found = reader.entries(&ledger.0, seq, 1, PAGE.1)?.into_iter().next();
        found.ok_or_else(|| damaged(&ledger, seq, "it is missing"))
    };
    let first = statement(one(0)?.envelope).map_err(|what| damaged(&ledger, 0, &what))?;
    let event = first.events().first().map(|bytes| Event::decode(bytes));
    let Some(Ok(Event::Genesis(genesis))) = event else {
        return Err(damaged(&ledger, 0, "it is no genesis"));
    };
    let note = reader.checkpoint(&ledger.0)?.unwrap_or_default();
    let first = PublicKey::admit(&genesis.operator).ok();
    let known = first.is_some_and(|key| bears(&note, &ledger, &key));
    let leaf = Leaf::from_bytes(&one(last)?.leaf);
    let leaf = leaf.map_err(|reject| damaged(&ledger, last, &reject.to_string()))?;
    let info = LedgerInfo {
        id: ledger,
        name: genesis.name.to_string(),
        kind: genesis.kind,
        size: head.size,
        sandbox: genesis.sandbox,
        operator: genesis.operator,
        chain: head.chain,
        recorded_at: leaf.recorded_at,
        mirror: None,
        agreements: None,
    };
    Ok((info, known))
}

/// The operator key that a stored genesis names. Nothing else in it is read: playing the
/// worked examples of a stranger's equation takes long.
pub(crate) fn operator(reader: &dyn Reader, ledger: LedgerId) -> Result<Hash, NodeError> {
    let first = reader.entries(&ledger.0, 0, 1, PAGE.1)?.into_iter().next();
    let first = first.filter(|entry| entry.seq == 0);
    let key = first.and_then(|entry| {
        let statement = statement(entry.envelope).ok()?;
        let event = v1::Event::decode(&statement.events().first()?[..]).ok()?;
        let Some(v1::event::Kind::Genesis(genesis)) = event.kind else { return None };
        genesis.operator_key.try_into().ok()
    });
    key.ok_or_else(|| damaged(&ledger, 0, "it is no genesis"))
}

/// No such ledger.
pub(crate) fn unknown(ledger: &LedgerId) -> NodeError {
    not_found(format!("there is no ledger {ledger} here"), "`subak log` lists those there are")
}
