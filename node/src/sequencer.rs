//! The sequencer of one ledger: which statements become entries, in which order, when.
//!
//! Owns the durable state, the pending one beside it and the entries between the two.
//! Guarantees: `recorded_at` never goes back; a refused statement changes nothing; what is
//! pending becomes durable as a whole ([`Sequencer::committed`]) or was never there
//! ([`Sequencer::failed`]). Pure: `now` is passed in, effects are handed out.
//! Leaves out the rules of the book (`subak_ledger::book::apply`), signatures (checked
//! before) and everything that writes.

use crate::{
    clock::TOLERANCE_MS,
    fold::{Folded, require_root},
    refusal::Refusal,
};
use prost::bytes::Bytes;
use std::sync::Arc;
use subak_ledger::{
    book::{
        apply::apply_events,
        event::{Event, Genesis},
        state::State,
    },
    log::{Checkpoint, Hash, Leaf, LedgerId, Statement},
    reject::{Code, Outcome, Reject},
    store::{Head, NewEntry, Node},
};

/// What must be stored, in one transaction, for the pending entries to exist.
#[derive(Debug)]
pub struct Effects<'a> {
    /// The head that they follow.
    pub expected: Head,
    /// The entries.
    pub entries: &'a [NewEntry],
    /// The tree nodes that they complete.
    pub nodes: &'a [Node],
    /// The head after them, to be signed.
    pub head: Checkpoint,
}

/// One ledger's order.
#[derive(Debug, Default)]
pub struct Sequencer {
    durable: Folded,
    pending: Folded,
    entries: Vec<NewEntry>,
    nodes: Vec<Node>,
}

impl Sequencer {
    /// Goes on from what is stored; `Folded::default()` for a ledger to be opened.
    pub fn new(durable: Folded) -> Self {
        Self { pending: durable.clone(), durable, ..Self::default() }
    }

    /// Judges a verified statement on top of what is pending; if it is admitted, it is
    /// pending too. Returns its number. `events` are what [`decode`] makes of it: done
    /// before, because it takes long; a refusal there comes where the rules have it.
    /// `at` is the time that a sandbox may choose.
    pub fn admit(
        &mut self,
        statement: &Statement,
        events: &Outcome<Vec<Event>>,
        at: Option<u64>,
        now: u64,
    ) -> Result<u64, Refusal> {
        self.admit_if(statement, events, at, now, |_| Ok(()))
    }

    /// As [`Sequencer::admit`], if `check` has nothing against it: what no rule can judge. It
    /// comes last, and gets the state as the statement makes it.
    pub fn admit_if<E: From<Refusal>>(
        &mut self,
        statement: &Statement,
        events: &Outcome<Vec<Event>>,
        at: Option<u64>,
        now: u64,
        check: impl FnOnce(&State) -> Result<(), E>,
    ) -> Result<u64, E> {
        let (recorded_at, mut next) = self.judge(statement, events, at, now)?;
        check(&next)?;
        let leaf = Leaf {
            ledger: next.ledger,
            seq: next.size,
            previous: self.pending.chain(),
            recorded_at,
            envelope: statement.envelope_digest(),
        };
        let chain = leaf.chain_hash();
        let bytes = leaf.to_bytes();
        next.seal(chain);
        self.pending.state = Arc::new(next);
        self.nodes.extend(self.pending.tree.push(&bytes));
        let (leaf_bytes, envelope) = (Bytes::copy_from_slice(&bytes), statement.shared());
        self.entries.push(NewEntry { leaf: leaf_bytes, envelope, chain });
        Ok(leaf.seq)
    }

    /// When the statement would be recorded, and the state that it would make.
    fn judge(
        &self,
        statement: &Statement,
        events: &Outcome<Vec<Event>>,
        at: Option<u64>,
        now: u64,
    ) -> Result<(u64, State), Refusal> {
        if statement.header().ledger == LedgerId::ZERO && self.pending.state.size > 0 {
            // It is this ledger's own genesis: its body made the ledger's id.
            let why = "it is this ledger's genesis, entry 0";
            return Err(Reject::new(Code::Replayed, why).into());
        }
        let recorded_at = recorded_at(&self.pending.state, events, at, now)?;
        let events = events.as_ref().map_err(Clone::clone)?;
        let next = apply_events(&self.pending.state, statement, events, recorded_at)?.next;
        if let Some(root) = next.handed_over(next.size) {
            require_root(root, self.pending.tree.root())
                .map_err(|what| Reject::new(Code::BadCheckpoint, what))?;
        }
        Ok((recorded_at, next))
    }

    /// What is to be stored; `None` while nothing is pending.
    pub fn effects(&self) -> Option<Effects<'_>> {
        (!self.entries.is_empty()).then(|| Effects {
            expected: self.durable.head(),
            entries: &self.entries,
            nodes: &self.nodes,
            head: Checkpoint {
                ledger: self.pending.state.ledger,
                size: self.pending.tree.size(),
                root: self.pending.tree.root(),
            },
        })
    }

    /// Leaf and inclusion proof, under the pending head, of a pending entry.
    pub fn prove(&self, entry: u64) -> Option<(Bytes, Vec<Hash>)> {
        let place = usize::try_from(entry.checked_sub(self.durable.state.size)?).ok()?;
        Some((self.entries.get(place)?.leaf.clone(), self.pending.tree.prove(entry)?))
    }

    /// What was pending is durable. Returns it, for readers.
    pub fn committed(&mut self) -> Folded {
        self.pending.tree.prune();
        self.durable = self.pending.clone();
        self.clear();
        self.durable.clone()
    }

    /// What is stored, folded.
    pub fn durable(&self) -> &Folded {
        &self.durable
    }

    /// What was pending was not stored: it never was.
    pub fn failed(&mut self) {
        self.pending = self.durable.clone();
        self.clear();
    }

    /// Where the durable log ends.
    pub fn head(&self) -> Head {
        self.durable.head()
    }

    /// What the ledger means with all that is pending.
    pub fn pending(&self) -> &Arc<State> {
        &self.pending.state
    }

    /// The name in the genesis, also in one that is pending.
    pub fn name(&self) -> Option<&str> {
        self.pending.state.root.as_ref().map(|root| root.name.as_str())
    }

    /// The operator's key with all that is pending; none before a genesis.
    pub fn operator(&self) -> Option<Hash> {
        self.pending.state.root.as_ref().map(|_| self.pending.state.operator())
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.nodes.clear();
    }
}

/// The time of an entry: the clock's, but never before the last entry's; in a sandbox
/// whatever is asked for between the two.
fn recorded_at(
    state: &State,
    events: &Outcome<Vec<Event>>,
    at: Option<u64>,
    now: u64,
) -> Result<u64, Refusal> {
    let last = state.time;
    if last > now.saturating_add(TOLERANCE_MS) {
        return Err(Refusal::ClockBehind { now, last });
    }
    // Within the tolerance the clock was corrected, and the last entry's time stands.
    let latest = now.max(last);
    match at {
        None => Ok(latest),
        Some(_) if !is_sandbox(state, events) => Err(Refusal::NotSandbox),
        Some(at) if (last..=latest).contains(&at) => Ok(at),
        Some(at) => Err(Refusal::AtOutOfRange { at, last, now: latest }),
    }
}

fn is_sandbox(state: &State, events: &Outcome<Vec<Event>>) -> bool {
    let says = || genesis(events).is_some_and(|genesis| genesis.sandbox);
    state.root.as_ref().map_or_else(says, |root| root.sandbox)
}

/// The statement's events. It may take long: an equation's worked examples are played.
pub fn decode(statement: &Statement) -> Outcome<Vec<Event>> {
    statement.events().iter().map(|bytes| Event::decode(bytes)).collect()
}

/// The genesis, if it is the first event.
pub(crate) fn genesis(events: &Outcome<Vec<Event>>) -> Option<&Genesis> {
    match events.as_ref().ok()?.first()? {
        Event::Genesis(genesis) => Some(genesis),
        _ => None,
    }
}

/// The ledger that a statement is for: the one it names, or the one its genesis opens.
pub(crate) fn ledger_of(statement: &Statement) -> LedgerId {
    match statement.header().ledger {
        LedgerId::ZERO => subak_ledger::log::entry::ledger_id_of_genesis(statement.body()),
        named => named,
    }
}
