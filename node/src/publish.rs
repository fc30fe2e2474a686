//! What a node publishes by itself: the state root, in the clerk's name.
//!
//! Owns the statement's composition, when a payout asks for one, and how often anybody may.
//! Guarantees that a statement composed here is true of the state it was composed from; that
//! nobody can have the writer work out roots for more than a part of its time. Leaves out
//! the root itself (`subak_ledger::book::state_root`), and its place in the queue (`writer`).

use crate::{
    NodeError,
    keyfile::KeyFileError,
    refusal::world,
    ring::{Ring, Use},
};
use prost::Message as _;
use std::time::{Duration, Instant};
use subak_ledger::{
    book::{
        event::Event,
        state::{CLERK, State},
        state_root,
        types::DAY_MS,
    },
    log::{Basis, Draft, Handle, Header, SecretKey, Statement, Unverified},
};
use subak_proto::v1::{self, event::Kind};

/// The clerk's key of a ledger, if the ring has it.
pub(crate) fn clerk_key(ring: &Ring, state: &State) -> Result<Option<SecretKey>, KeyFileError> {
    let keys = state.agents.iter().find(|agent| agent.clerk).map(|agent| &agent.keys[..]);
    keys.unwrap_or_default()
        .iter()
        .find_map(|key| ring.find(key, Use::Clerk).transpose())
        .transpose()
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
    let key = clerk_key(ring, state)?.ok_or_else(|| {
        let dir = ring.dir().display();
        let what = format!("ledger {}: its clerk's key is not in {dir}", state.ledger);
        world(
            "clerk-key-missing",
            what,
            "put the key file back, or ask the node that has it (--node)",
        )
    })?;
    let at = state.root().sandbox.then_some(state.time);
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
    let (root, leaves) = state_root::root(state);
    let kind = Kind::StateRoot(v1::StateRoot { root: root.to_vec(), leaves });
    let events = vec![v1::Event { kind: Some(kind) }.encode_to_vec()];
    let envelope = Draft { header, events }.sign(&key);
    // Signed here, by the key that it names.
    let statement = Unverified::parse(&envelope)?.trust_stored()?;
    Ok((statement, at))
}

/// Working a root out for less than this is never held back.
const SHORT: Duration = Duration::from_millis(100);
/// Of the writer's time, roots that anybody asks for take one part in so many at most.
const SHARE: u32 = 20;

/// When the next root may be asked for. A million agents take the writer seconds, in which it
/// appends nothing, and who may append anything could else ask after each entry.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    from: Option<Instant>,
}

impl Pace {
    /// Whether a root may be worked out at `now`; a failure of the world if not yet.
    pub(crate) fn require(&self, now: Instant) -> Result<(), NodeError> {
        let left = self.from.map_or(Duration::ZERO, |from| from.saturating_duration_since(now));
        if left.is_zero() {
            return Ok(());
        }
        let seconds = left.as_secs() + 1;
        Err(world(
            "root-too-soon",
            format!("a state root of this ledger was worked out a moment ago: {seconds} s to wait"),
            "try again then, or name an entry that holds one: `subak log` shows them",
        ))
    }

    /// One was worked out from `begun` to `now`.
    pub(crate) fn took(&mut self, begun: Instant, now: Instant) {
        let time = now.saturating_duration_since(begun);
        self.from = (time > SHORT).then(|| now + time * SHARE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_long_is_not_done_again_at_once() {
        let begun = Instant::now();
        let after = |ms| begun + Duration::from_millis(ms);
        let mut pace = Pace::default();
        assert_eq!(pace.require(begun), Ok(()));
        pace.took(begun, after(100));
        assert_eq!(pace.require(after(100)), Ok(()), "short");
        pace.took(begun, after(2_000));
        let refused = pace.require(after(2_001)).expect_err("2 s of each 40");
        assert_eq!(refused.code(), "root-too-soon");
        assert!(pace.require(after(41_999)).is_err());
        assert_eq!(pace.require(after(42_000)), Ok(()));
    }
}
