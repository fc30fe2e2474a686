//! What a node publishes by itself: the state root, in the clerk's name.
//!
//! Owns the statement's composition, when a payout asks for one, and how often anybody may.
//! Guarantees that a statement composed here is true of the state it was composed from, and
//! that nobody can make a log long to read by asking. Leaves out
//! the root itself (`subak_ledger::book::state_root`), and its place in the queue (`writer`).

use crate::{
    NodeError,
    keyfile::KeyFileError,
    refusal::world,
    ring::{Ring, Use},
};
use prost::Message as _;
use subak_ledger::{
    book::{
        event::Event,
        state::{CLERK, State},
        state_root,
        types::DAY_MS,
    },
    log::{Basis, Draft, Handle, Hash, Header, LedgerId, SecretKey, Statement, Unverified},
};
use subak_proto::v1::{self, event::Kind};

/// The clerk's key of a ledger, if the ring has it.
pub(crate) fn clerk_key(ring: &Ring, state: &State) -> Result<Option<SecretKey>, KeyFileError> {
    clerk_keys(state).iter().find_map(|key| ring.find(key, Use::Clerk).transpose()).transpose()
}

/// Whether the ring has a file for it. It is not read.
pub(crate) fn has_clerk_key(ring: &Ring, state: &State) -> bool {
    clerk_keys(state).iter().any(|key| ring.holds(key, Use::Clerk))
}

fn clerk_keys(state: &State) -> &[Hash] {
    let clerk = state.agents.iter().find(|agent| agent.clerk);
    clerk.map_or(&[], |clerk| &clerk.keys)
}

/// Whether a run of payouts is proposed: so much is owed before a cent of it leaves.
pub(crate) fn proposes_payout(events: &[Event]) -> bool {
    events.iter().any(|event| matches!(event, Event::PayoutPropose { .. }))
}

/// A StateRoot of `state`, signed by the ring's clerk key, and the time to choose for it: in a
/// sandbox that of the last entry, so that dates chosen later are still to come. `now` in
/// milliseconds.
pub(crate) fn compose(
    ring: &Ring,
    state: &State,
    now: u64,
) -> Result<(Statement, Option<u64>), NodeError> {
    let key = clerk_key(ring, state)?.ok_or_else(|| no_clerk_key(ring, state.ledger))?;
    let (root, leaves) = state_root::root(state);
    let kind = Kind::StateRoot(v1::StateRoot { root: root.to_vec(), leaves });
    let (envelope, at) = say_as_clerk(&key, state, now, 0, vec![kind])?;
    // Signed here, by the key that it names.
    let statement = Unverified::parse(&envelope)?.trust_stored()?;
    Ok((statement, at))
}

/// Why the clerk of a ledger signs nothing here.
pub(crate) fn no_clerk_key(ring: &Ring, ledger: LedgerId) -> NodeError {
    let what = format!("ledger {ledger}: its clerk's key is not in {}", ring.dir().display());
    world("clerk-key-missing", what, "put the key file back, or ask the node that has it (--node)")
}

/// An envelope of the clerk, who has seen `state`, and the time to choose for it: in a sandbox
/// that of the last entry, or `not_before`. Milliseconds.
pub(crate) fn say_as_clerk(
    key: &SecretKey,
    state: &State,
    now: u64,
    not_before: u64,
    kinds: Vec<Kind>,
) -> Result<(Vec<u8>, Option<u64>), NodeError> {
    let chosen = state.time.max(not_before).min(now.max(state.time));
    let at = state.root().sandbox.then_some(chosen);
    let recorded_at = at.unwrap_or(now.max(state.time));
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|e| KeyFileError::Random(e.to_string()))?;
    let header = Header {
        ledger: state.ledger,
        author: Handle::new(CLERK).expect("it is one"),
        nonce,
        created_at: recorded_at,
        expires_at: recorded_at + DAY_MS,
        // The prefix that it is about.
        basis: state.chain.last().map(|chain| Basis { size: state.size, chain: *chain }),
    };
    let encode = |kind| v1::Event { kind: Some(kind) }.encode_to_vec();
    let events = kinds.into_iter().map(encode).collect();
    Ok((Draft { header, events }.sign(key), at))
}

/// Leaves that may be hashed, on request, for each entry since the last root.
const LEAVES_AN_ENTRY: u64 = 100;

/// Whether anybody who asks gets a new root at `now`, in milliseconds; a failure of the world
/// if not yet.
///
/// Whoever reads the log works each root out again, over all agents, and anybody may append
/// and ask. So there is one for as many entries as make it no dearer to read than those
/// entries are, or one a day: in a ledger of a hundred balances after each entry, in one of
/// a million after ten thousand. Those after payouts come besides.
pub(crate) fn require_due(state: &State, now: u64) -> Result<(), NodeError> {
    let Some(last) = state.published else { return Ok(()) };
    let entries = state.size - last.entry;
    let wanted = last.leaves.div_ceil(LEAVES_AN_ENTRY);
    if entries >= wanted || now >= last.at.saturating_add(DAY_MS) {
        return Ok(());
    }
    Err(world(
        "root-too-soon",
        format!(
            "entry {} publishes what {} balances were: there is a new root after {wanted} entries, \
             or a day; found {entries}",
            last.entry, last.leaves
        ),
        format!("name that one: `subak receipt get {} --balance AGENT`; or ask later", last.entry),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use subak_ledger::book::state::Published;

    #[test]
    fn a_root_over_many_is_not_worked_out_after_each_entry() {
        let due = |leaves, size, now| {
            let last = Published { entry: 10, at: 1_000, leaves, holds: false };
            let state = State { size, published: Some(last), ..State::default() };
            require_due(&state, now).map_err(|error| error.code().to_owned())
        };
        assert_eq!(require_due(&State::default(), 0), Ok(()), "the first");
        assert_eq!(due(100, 11, 1_000), Ok(()), "its own time has changed something");
        let soon = Err("root-too-soon".to_owned());
        assert_eq!(due(101, 11, 1_000), soon);
        assert_eq!(due(101, 12, 1_000), Ok(()));
        assert_eq!(due(1_000_000, 10_009, 999 + DAY_MS), soon);
        assert_eq!(due(1_000_000, 10_010, 1_000), Ok(()));
        assert_eq!(due(1_000_000, 11, 1_000 + DAY_MS), Ok(()));
    }
}
