//! Our errors, as whoever asked gets them.
//!
//! Owns the refusals that only a node has, with their stable codes, and the one mapping
//! from every error below to [`NodeError`]. Guarantees that each says what, where, expected
//! and found, and the next step. Leaves out the rules' own codes (`subak_ledger::reject`).

use crate::{NodeError, clock::ClockFault};
use subak_ledger::{
    reject::Reject,
    store::{Kind, StoreError},
};

const NAME_TAKEN: &str = "name-taken";
const OPERATOR_TAKEN: &str = "operator-taken";
/// The key that would sign is not here.
pub(crate) const KEY_MISSING: &str = "operator-key-missing";
/// The refusals that may rest on another ledger's pending entry.
pub(crate) const OF_OTHERS: [&str; 2] = [NAME_TAKEN, OPERATOR_TAKEN];

/// Why a node did not admit a statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A rule of the log or the book.
    #[error(transparent)]
    Rule(#[from] Reject),
    /// `not-sandbox`: a time was chosen for a ledger that is no sandbox.
    #[error("only a sandbox ledger lets an author choose when something was recorded")]
    NotSandbox,
    /// `at-out-of-range`: a sandbox's chosen time goes back, or is to come. Milliseconds.
    #[error("the chosen time: expected {last} (the last entry's) to {now} (now), found {at}")]
    AtOutOfRange {
        /// What was asked for.
        at: u64,
        /// The last entry's time.
        last: u64,
        /// The latest that is allowed.
        now: u64,
    },
    /// `operator-not-here`: a genesis names an operator key that this node does not have.
    #[error("the genesis names the operator key {0}, which this node does not hold")]
    OperatorNotHere(String),
    /// `new-ledgers-closed`: this node opens no further ledgers.
    #[error("this node opens no new ledgers")]
    NewLedgersClosed,
    /// `name-taken`: this node keeps a ledger of that name.
    #[error("this node keeps a ledger named {0} already")]
    NameTaken(String),
    /// `operator-taken`: a ledger of this node names that operator key.
    #[error("the genesis names the operator key {0}, which another ledger of this node has")]
    OperatorTaken(String),
    /// `disclosure-mismatch`: a text opens no commitment of the statement.
    #[error("the text given for {tag} {field} opens no commitment of this statement")]
    DisclosureMismatch {
        /// Purpose.
        tag: String,
        /// Field.
        field: String,
    },
    /// `disclosures-too-large`: the texts take more room than the largest statement.
    #[error("the texts behind commitments: expected at most {most} bytes, found {found}")]
    DisclosuresTooLarge {
        /// Bytes.
        most: usize,
        /// Bytes.
        found: usize,
    },
    /// `unknown-disclosure`: what is to be erased is not kept here.
    #[error("no text is kept here behind the commitment {0}")]
    UnknownDisclosure(String),
    /// `erase-not-yours`: somebody else's text is to be erased, and not by a steward.
    #[error("the text behind the commitment {commitment} is {author}'s")]
    EraseNotYours {
        /// In hex.
        commitment: String,
        /// Who disclosed it.
        author: String,
    },
    /// `erased`: a text comes again that the ledger says is erased.
    #[error("the text behind the commitment {0} is erased, and is not kept again")]
    Erased(String),
    /// No refusal of the statement, but a fault of the node: its clock lies behind the last
    /// entry. Milliseconds.
    #[error("the node's clock lies {} ms behind the last entry: expected {last} or later, found {now}", .last.saturating_sub(*.now))]
    ClockBehind {
        /// The clock.
        now: u64,
        /// The last entry's time.
        last: u64,
    },
}

impl Refusal {
    /// The stable code and what the person who was refused can do next.
    fn row(&self) -> (&'static str, &'static str) {
        match self {
            Self::Rule(reject) => (reject.code.name(), reject.code.next()),
            Self::NotSandbox => ("not-sandbox", "leave --at out, or open a ledger with --sandbox"),
            Self::AtOutOfRange { .. } => (
                "at-out-of-range",
                "choose a time from the last entry's to now: `subak log` shows it",
            ),
            Self::OperatorNotHere(_) => (
                "operator-not-here",
                "let this node make the keys first: `subak commons open` does",
            ),
            Self::NewLedgersClosed => {
                ("new-ledgers-closed", "open it on your own node, or ask this node's operator")
            }
            Self::NameTaken(_) => (NAME_TAKEN, "choose another name, or another node"),
            Self::OperatorTaken(_) => (
                OPERATOR_TAKEN,
                "let this node make keys for this ledger alone: `subak commons open` does",
            ),
            Self::DisclosureMismatch { .. } => {
                ("disclosure-mismatch", "send exactly the salts and texts that were committed to")
            }
            Self::DisclosuresTooLarge { .. } => (
                "disclosures-too-large",
                "shorten the texts, or spread them over several statements",
            ),
            Self::UnknownDisclosure(_) => (
                "unknown-disclosure",
                "`subak show ENTRY` tells what is disclosed, what is erased and what never was here",
            ),
            Self::EraseNotYours { .. } => (
                "erase-not-yours",
                "ask a steward, or who disclosed it; name and e-mail also whose they are",
            ),
            Self::Erased(_) => (
                "erased",
                "leave the text out, or commit to it anew with a salt of its own if it is to be kept",
            ),
            Self::ClockBehind { .. } => {
                ("clock", "set the node's clock right; nothing was recorded")
            }
        }
    }
}

impl From<Refusal> for NodeError {
    fn from(refusal: Refusal) -> Self {
        let (code, next) = refusal.row();
        if matches!(refusal, Refusal::ClockBehind { .. }) {
            return world(code, refusal.to_string(), next);
        }
        let message = match &refusal {
            Refusal::Rule(reject) => format!("{}: {}", reject.code.meaning(), reject.detail),
            other => other.to_string(),
        };
        Self::Refused { code: code.into(), message, next: next.into() }
    }
}

impl From<Reject> for NodeError {
    fn from(reject: Reject) -> Self {
        Refusal::Rule(reject).into()
    }
}

impl From<ClockFault> for NodeError {
    fn from(fault: ClockFault) -> Self {
        world(
            "clock",
            format!("the node does not append: {fault}"),
            "look at the node's clock: set it right, or restart the node if it is right now",
        )
    }
}

impl From<StoreError> for NodeError {
    fn from(error: StoreError) -> Self {
        let (code, message, next) = (error.code().into(), error.to_string(), error.next().into());
        match error.kind() {
            Kind::Fault => Self::Corrupt { code, message, next },
            // Also a file that is not there: what is looked for in a ledger is another question.
            Kind::World | Kind::Argument => Self::World { code, message, next },
        }
    }
}

/// A failure of the world; its codes are in `proto/EVENTS.md`, section 8.
pub(crate) fn world(
    code: impl Into<String>,
    message: impl Into<String>,
    next: impl Into<String>,
) -> NodeError {
    NodeError::World { code: code.into(), message: message.into(), next: next.into() }
}

/// Something that is not here.
pub(crate) fn not_found(message: impl Into<String>, next: impl Into<String>) -> NodeError {
    NodeError::NotFound { code: "not-found".into(), message: message.into(), next: next.into() }
}

/// Damage or a lie.
pub(crate) fn corrupt(message: impl Into<String>, next: impl Into<String>) -> NodeError {
    NodeError::Corrupt { code: "corrupt".into(), message: message.into(), next: next.into() }
}

/// A ledger that is shorter than, or another than, what was signed of it.
pub(crate) fn older(name: &str, what: &str) -> NodeError {
    NodeError::Corrupt {
        code: "older-database".into(),
        message: format!("ledger {name} {what}; nothing is appended or signed"),
        next: "put back the newest copy of the database: signing again what was signed \
               differently would be a fork, and anyone could prove it; what a mirror has comes \
               back by `subak operator restore URL`; if that copy is lost, \
               its stewards can move it on from what is left: `subak operator offer` on a copy \
               elsewhere; or go on in new ledgers"
            .into(),
    }
}

/// What everybody gets who asks, or still waits, when a node stops.
pub(crate) fn stopping() -> NodeError {
    world(
        "stopping",
        "the node is shutting down and records nothing more",
        "try again when it is back",
    )
}

/// What everybody gets once the writer's thread has ended by a bug of ours.
pub(crate) fn broken() -> NodeError {
    world(
        "writer-failed",
        "the node's writer has failed by a bug: it cannot say whether the statement was recorded",
        "restart the node, report what its log says, and send the same bytes again: a statement \
         is recorded once at most",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn a_store_that_fails_says_how_and_what_next_apart() {
        let path = || PathBuf::from("rice.db");
        let detail = || "not yours".to_owned();
        for (error, code) in [
            (StoreError::DiskFull { path: path() }, "disk-full"),
            (StoreError::Locked { path: path() }, "locked"),
            (StoreError::Unreadable { path: path(), detail: detail() }, "unreadable"),
            (StoreError::Missing { path: path() }, "missing"),
            (StoreError::NotSqlite { path: path() }, "not-sqlite"),
        ] {
            let (message, next) = (error.to_string(), error.next());
            let error = NodeError::from(error);
            assert_eq!(error.parts(), (code, message.as_str(), next));
        }
    }
}
