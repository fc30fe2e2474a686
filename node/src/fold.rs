//! Entries to state, with every link checked.
//!
//! Owns the rules between entries: place, previous hash, time, digest, chain, tree, head.
//! Guarantees that what was folded is one log without holes, that every statement was
//! admissible where it stands, and that chain and tree were computed from raw bytes.
//! Leaves out where entries come from, and signatures: whoever hands over a [`Statement`]
//! has verified it or says why not (`load`, `client`).

use crate::{NodeError, refusal::corrupt, tree::Tree};
use std::sync::Arc;
use subak_ledger::{
    book::state::State,
    log::{
        Checkpoint, Hash, Leaf, LedgerId, Statement,
        entry::{NO_PREVIOUS, chain_hash},
    },
    store::{Head, Node},
};

/// A ledger as far as it was read.
#[derive(Debug, Clone, Default)]
pub struct Folded {
    /// What it means.
    pub state: Arc<State>,
    /// The edge of its tree.
    pub tree: Tree,
}

impl Folded {
    /// Where it ends.
    pub fn head(&self) -> Head {
        Head { size: self.state.size, chain: self.chain() }
    }

    /// The chain hash of its last entry.
    pub fn chain(&self) -> Hash {
        self.state.chain.last().copied().unwrap_or(NO_PREVIOUS)
    }

    /// Appends the next entry of `ledger` as it was stored or sent; returns the tree nodes that it
    /// completes. The error says what is wrong with it, and then this value is spent.
    pub fn push(
        &mut self,
        ledger: LedgerId,
        leaf: &[u8],
        statement: &Statement,
    ) -> Result<Vec<Node>, String> {
        let read = Leaf::from_bytes(leaf).map_err(|reject| reject.to_string())?;
        let expected = Leaf {
            ledger,
            seq: self.state.size,
            previous: self.chain(),
            recorded_at: read.recorded_at.max(self.state.time),
            envelope: statement.envelope_digest(),
        };
        if read != expected {
            return Err(difference(&expected, &read));
        }
        let state = Arc::make_mut(&mut self.state);
        // Nobody reads the postings of a replay; the balances stay.
        let replayed = state.replay_statement(statement, read.recorded_at, &mut Vec::new());
        replayed.map_err(|reject| format!("a rule refuses it: {reject}"))?;
        if state.ledger != ledger {
            return Err(format!("its genesis opens ledger {}", state.ledger));
        }
        if let Some(root) = state.handed_over(expected.seq) {
            require_root(root, self.tree.root())?;
        }
        state.seal(chain_hash(&expected.to_bytes()));
        Ok(self.tree.push(leaf))
    }

    /// Compares with the signed head `text`; the error says how it differs.
    pub fn check(&self, text: &str) -> Result<(), String> {
        let found = self.open(text)?;
        let own =
            Checkpoint { ledger: found.ledger, size: self.tree.size(), root: self.tree.root() };
        if found == own { Ok(()) } else { Err(head_difference(&own, &found)) }
    }

    /// Reads a checkpoint of this ledger, signed by whoever is its operator at that size, as far
    /// as it was read.
    pub fn open(&self, text: &str) -> Result<Checkpoint, String> {
        self.state.signed_head(text).map_err(|reject| reject.to_string())
    }
}

/// Whether the log up to a handover is the one that its operator before has signed.
pub(crate) fn require_root(signed: Hash, found: Hash) -> Result<(), String> {
    if signed == found {
        return Ok(());
    }
    let (signed, found) = (hex::encode(signed), hex::encode(found));
    Err(format!("it hands over a log with root {signed}, the root here is {found}"))
}

fn difference(expected: &Leaf, found: &Leaf) -> String {
    let hex = hex::encode::<Hash>;
    let (what, expected, found) = if found.ledger != expected.ledger {
        ("ledger", expected.ledger.to_string(), found.ledger.to_string())
    } else if found.seq != expected.seq {
        ("number", expected.seq.to_string(), found.seq.to_string())
    } else if found.previous != expected.previous {
        ("previous chain hash", hex(expected.previous), hex(found.previous))
    } else if found.envelope != expected.envelope {
        ("digest of the statement", hex(expected.envelope), hex(found.envelope))
    } else {
        let least = format!("{} or later", expected.recorded_at);
        ("recorded_at", least, found.recorded_at.to_string())
    };
    format!("{what}: expected {expected}, found {found}")
}

fn head_difference(own: &Checkpoint, signed: &Checkpoint) -> String {
    format!(
        "its {} entries have the root {}, the signed head says {} under {}",
        own.size,
        hex::encode(own.root),
        signed.size,
        hex::encode(signed.root)
    )
}

/// What damage is reported as: the ledger, the entry, what is wrong, and the next step.
pub(crate) fn damaged(ledger: &LedgerId, entry: u64, what: &str) -> NodeError {
    let what = format!("ledger {ledger}, entry {entry}: {what}");
    corrupt(what, "run `subak audit` on it, and keep what it finds")
}
