//! The network: messages that mirror the calls of the protocol, and what happens to them.
//!
//! Drops, duplicates, delays (and so reorders) and partitions; it never changes a byte, as TLS does
//! not let it. A call is a question with a number and an answer with the same: whoever asked takes
//! the first answer to the question that is open, and no other.

use super::rng::Rng;
use prost::bytes::Bytes;
use subak_ledger::log::{Hash, LedgerId};
use subak_node::RawEntry;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Addr {
    Node(usize),
    /// Somebody of an organisation, at its own node.
    Person(usize),
}

impl Addr {
    fn org(self) -> usize {
        match self {
            Self::Node(org) | Self::Person(org) => org,
        }
    }
}

#[derive(Debug, Clone)]
pub enum Ask {
    Append(Bytes),
    Checkpoint(LedgerId),
    Entries { ledger: LedgerId, from: u64, limit: usize },
    Consistency { ledger: LedgerId, old: u64, new: u64 },
    Challenge { ledger: LedgerId, note: String },
}

#[derive(Debug, Clone)]
pub enum Answer {
    Appended(Appended),
    Checkpoint(String),
    Entries(Vec<RawEntry>),
    Consistency(Vec<Hash>),
    Challenged,
    Failed(Failure),
}

#[derive(Debug, Clone)]
pub struct Appended {
    pub entry: u64,
    pub leaf: Bytes,
    pub path: Vec<Hash>,
    pub checkpoint: String,
}

/// Why a node does not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub code: String,
    /// A rule refuses it: it is for good. Else it is worth another try.
    pub refused: bool,
}

impl Failure {
    pub fn world(code: &str) -> Self {
        Self { code: code.into(), refused: false }
    }
}

#[derive(Debug, Clone)]
pub enum Body {
    Ask(Ask),
    Answer(Answer),
}

#[derive(Debug, Clone)]
pub struct Message {
    pub from: Addr,
    pub to: Addr,
    pub id: u64,
    pub body: Body,
}

#[derive(Debug, Default)]
pub struct Net {
    /// Of a thousand messages.
    pub drops: u64,
    pub doubles: u64,
    /// The longest delay, milliseconds.
    pub delay: u64,
    /// Which side of a cut each organisation is on.
    pub cut: Option<Vec<bool>>,
}

impl Net {
    /// After how many milliseconds a message arrives, each time that it does.
    pub fn arrivals(&self, rng: &mut Rng, from: Addr, to: Addr) -> Vec<u64> {
        let apart = |cut: &Vec<bool>| cut[from.org()] != cut[to.org()];
        if self.cut.as_ref().is_some_and(apart) || rng.permille(self.drops) {
            return Vec::new();
        }
        let copies = if rng.permille(self.doubles) { 2 } else { 1 };
        (0..copies).map(|_| rng.between(1, self.delay)).collect()
    }
}
