//! How a command fails: one clear message, the next step, and the exit status.
//!
//! Status 1: refused, or a fault was found. 2: usage. 3: a gap (could not judge).
//! 4: the world failed (node away, disk full, file locked, not there or not to be read), worth a
//! retry. What could not be looked at never counts as a fault: whoever audits by exit status must
//! not take a path that is misspelt for an operator's guilt.

use serde::Serialize;
use std::fmt;
use subak_ledger::{
    reject::{Code, Reject},
    store::{Kind, StoreError},
};
use subak_node::NodeError;

/// What every command returns.
pub type Done<T = ()> = Result<T, Failure>;

/// A failed command.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// Exit status.
    #[serde(skip)]
    pub status: u8,
    /// Stable code.
    pub code: String,
    /// What, where, expected, found.
    pub message: String,
    /// What can be done.
    pub next: String,
}

impl Failure {
    /// Refused, or a fault.
    pub fn refused(code: &str, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { status: 1, code: code.into(), message: message.into(), next: next.into() }
    }

    /// The command line does not make sense.
    pub fn usage(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { status: 2, code: "usage".into(), message: message.into(), next: next.into() }
    }

    /// Something could not be judged.
    pub fn gap(code: &str, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { status: 3, code: code.into(), message: message.into(), next: next.into() }
    }

    /// The world failed.
    pub fn world(code: &str, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { status: 4, code: code.into(), message: message.into(), next: next.into() }
    }

    /// The result has said it all: only the exit status is left to give.
    pub fn told(status: u8) -> Self {
        Self { status, code: String::new(), message: String::new(), next: String::new() }
    }

    /// A file could not be read or written.
    pub fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        let message = format!("{}: {error}", path.display());
        match error.kind() {
            std::io::ErrorKind::NotFound => Self::world("no-file", message, "check the path"),
            _ => Self::world("file", message, "check permissions and free space, then try again"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.message, self.code)
    }
}

impl From<Reject> for Failure {
    fn from(r: Reject) -> Self {
        // What is malformed before anything was signed is a word that the user typed.
        if r.code == Code::Malformed {
            return Self::usage(r.detail, "correct it on the command line");
        }
        let message = format!("{}: {}", r.code.meaning(), r.detail);
        Self::refused(r.code.name(), message, r.code.next())
    }
}

impl From<NodeError> for Failure {
    fn from(e: NodeError) -> Self {
        match e {
            NodeError::Refused { code, message, next }
            | NodeError::NotFound { code, message, next }
            | NodeError::Corrupt { code, message, next } => Self::refused(&code, message, next),
            NodeError::World { code, message, next } => Self::world(&code, message, next),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(e: StoreError) -> Self {
        let (code, next) = (e.code().to_string(), e.next().to_string());
        match (e.kind(), &e) {
            (Kind::Fault, _) | (_, StoreError::Exists { .. }) => {
                Self::refused(&code, e.to_string(), next)
            }
            (Kind::World | Kind::Argument, _) => Self::world(&code, e.to_string(), next),
        }
    }
}
