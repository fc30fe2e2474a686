//! What waits to be relayed, and for what.
//!
//! Owns the list that is shown, and its words. It is a picture of the last look, not a record:
//! after a restart it is made anew.

use super::plan::Obstacle;
use crate::readers::lock;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    ops::Range,
    sync::Mutex,
};
use subak_ledger::log::{Hash, LedgerId};

/// An agreement under which something waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The ledger that it is to be appended to.
    pub own: LedgerId,
    /// The agreement.
    pub agreement: Hash,
    /// The other ledger, where it is said.
    pub ledger: LedgerId,
    /// For what it waits.
    pub why: Why,
}

/// For what something waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The other ledger is not in this store.
    NotHere,
    /// No head that is relied on holds these entries of the other ledger yet.
    Unwitnessed {
        /// The entries, from the first that is needed to its end.
        entries: Range<u64>,
        /// Witnesses, by their names in the trust file, whose lines under such a head are not here.
        /// None where the operator's is not.
        witnesses: Vec<String>,
    },
    /// It is frozen: the entry that showed two stories.
    Frozen(u64),
    /// Another operator, with this key, whom the stewards here have not decided on.
    Quorum(Hash),
    /// The other ledger never had the operator with this key, who is known here.
    Stranger(Hash),
    /// Nothing is relayed from the other ledger, for this reason.
    Stopped(String),
    /// The rules have refused it, or the world has failed. It is tried again.
    Refused {
        /// The stable code.
        code: String,
        /// What was expected and what was found.
        message: String,
    },
}

impl From<Obstacle> for Why {
    fn from(obstacle: Obstacle) -> Self {
        match obstacle {
            Obstacle::Frozen(entry) => Self::Frozen(entry),
            Obstacle::Quorum(key) => Self::Quorum(key),
            Obstacle::Stranger(key) => Self::Stranger(key),
        }
    }
}

impl Why {
    /// A stable word for the kind of reason.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NotHere => "not-here",
            Self::Unwitnessed { .. } => "unwitnessed",
            Self::Frozen(_) => "frozen",
            Self::Quorum(_) => "quorum",
            Self::Stranger(_) => "stranger",
            Self::Stopped(_) => "stopped",
            Self::Refused { .. } => "refused",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHere => f.write_str(
                "the other ledger is not in this store: follow a node that has it, `subak peer add URL`",
            ),
            Self::Unwitnessed { entries, witnesses } => {
                let (first, last) = (entries.start, entries.end.saturating_sub(1));
                let who = match witnesses.as_slice() {
                    [] => "the operator".to_owned(),
                    names => format!("enough witnesses; not here: {}", names.join(", ")),
                };
                write!(f, "entries {first} to {last} wait for a head that is signed by {who}")
            }
            Self::Frozen(entry) => write!(
                f,
                "frozen by entry {entry}: `subak agreement evidence` shows both stories, and stewards decide \
                 by `subak agreement unfreeze`"
            ),
            Self::Quorum(key) => {
                let key = hex::encode(key);
                write!(f, "the other ledger has the operator {key}: `subak agreement handover`")
            }
            Self::Stranger(key) => {
                write!(
                    f,
                    "the other ledger never had the operator {} that the terms name: ask who composed them; \
                     other terms are a new offer",
                    hex::encode(key)
                )
            }
            Self::Stopped(why) => f.write_str(why),
            Self::Refused { code, message } => write!(f, "{message} ({code})"),
        }
    }
}

/// The list, by own ledger and agreement.
#[derive(Default)]
pub(crate) struct Board(Mutex<BTreeMap<(LedgerId, Hash), Waiting>>);

impl Board {
    pub(crate) fn all(&self) -> Vec<Waiting> {
        lock(&self.0).values().cloned().collect()
    }

    /// Returns whether that is new: not to say the same each time.
    pub(super) fn wait(&self, waiting: Waiting) -> bool {
        match lock(&self.0).entry((waiting.own, waiting.agreement)) {
            Entry::Vacant(place) => {
                place.insert(waiting);
                true
            }
            Entry::Occupied(mut known) => {
                let new = known.get().why.word() != waiting.why.word();
                known.insert(waiting);
                new
            }
        }
    }

    pub(super) fn clear(&self, own: LedgerId, agreement: Hash) {
        lock(&self.0).remove(&(own, agreement));
    }
}
