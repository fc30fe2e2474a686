//! The book as it once was: the log folded again, as far as somebody asks.
//!
//! Guarantees that every entry read is the one that the book which is known already was made
//! of. Leaves out signatures, which were judged for that one.

use crate::{
    context::Open,
    failure::{Done, Failure},
};
use subak_ledger::{
    book::state::State,
    log::{Leaf, Statement, Unverified},
};
use subak_node::RawEntry;

/// Entries asked for at a time.
const PAGE: u64 = 1_000;

/// The book as the entry before `entry` left it, and that entry's leaf and statement.
pub(super) async fn before(open: &Open, entry: u64) -> Done<(State, Leaf, Statement)> {
    let mut state = State::default();
    let mut journal = Vec::new();
    loop {
        let limit = PAGE.min(entry + 1 - state.size);
        let page = open.connection.ledgers.entries(open.info.id, state.size, limit).await?;
        if page.is_empty() {
            let what = "entries are missing in the answer";
            return Err(Failure::world("short-answer", what, "try again"));
        }
        for raw in page {
            let (leaf, statement) = known(open, state.size, &raw)?;
            if state.size == entry {
                return Ok((state, leaf, statement));
            }
            state.replay_statement(&statement, leaf.recorded_at, &mut journal)?;
            state.seal(leaf.chain_hash());
            journal.clear();
        }
    }
}

/// An entry, if it is what the book was made of.
pub(super) fn known(open: &Open, seq: u64, raw: &RawEntry) -> Done<(Leaf, Statement)> {
    let leaf = Leaf::from_bytes(&raw.leaf)?;
    let index = usize::try_from(seq).unwrap_or(usize::MAX);
    let known = open.book.chain.get(index) == Some(&leaf.chain_hash());
    if known && leaf.envelope == *blake3::hash(&raw.envelope).as_bytes() {
        return Ok((leaf, Unverified::parse(&raw.envelope)?.trust_stored()?));
    }
    let what = format!("entry {seq} is not the one that the book was made of");
    Err(Failure::refused("corrupt", what, "run `subak audit`"))
}
