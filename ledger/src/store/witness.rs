//! What a witness must not forget, and the contract of whoever keeps it.
//!
//! Owns the words of the contract ([`WitnessStore`]) and what it keeps. Guarantees what the
//! trait's comments say in sentences. Leaves out all judgement: a store compares sizes and keeps
//! text, and whether a head continues another is settled by who calls (`subak-node`).

use super::{Hash, Result};

/// How many contradictions of one kind are kept of one log: nobody can fill the disk with them.
pub const MAX_EVIDENCE: u64 = 16;

/// The newest head of a log that was cosigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The log's name.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// The checkpoint as it was submitted.
    pub note: String,
    /// When it was cosigned last, seconds since 1970.
    pub time: u64,
}

/// A head that is to become the newest of its log.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// The log's name.
    pub origin: &'a str,
    /// The size that the store is expected to have; 0 where it has nothing of this log.
    pub expected: u64,
    /// The new size, not smaller.
    pub size: u64,
    /// The new root; where the size is the same, the same.
    pub root: Hash,
    /// The checkpoint as it was submitted.
    pub note: &'a str,
    /// The clock, seconds since 1970.
    pub now: u64,
}

/// What became of a [`Step`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advance {
    /// It is durable, and may be cosigned with this time: the clock, or the time of the last
    /// cosignature of this log where the clock is behind it. Seconds since 1970.
    Advanced {
        /// Seconds since 1970.
        time: u64,
    },
    /// Nothing was written: this is the size that the store has.
    Conflict {
        /// Leaves.
        size: u64,
    },
}

/// How a signed head stands against the one that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contradiction {
    /// The same size under another root: the two notes alone convict the log.
    Root,
    /// A larger one whose proof does not hold. Either the log has forked, or somebody has sent
    /// a sound head with a false proof: both notes, held against the log, will tell.
    Unproven,
}

impl Contradiction {
    /// Its name, as it is stored and printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Unproven => "unproven",
        }
    }
}

/// A signed head that contradicts the kept one, with both notes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The log's name.
    pub origin: String,
    /// In what way.
    pub kind: Contradiction,
    /// How many leaves the shown head says.
    pub size: u64,
    /// The root that it says.
    pub root: Hash,
    /// The checkpoint that was kept then; none where the log was unknown: then the shown one says
    /// a root of the empty tree that is not the empty tree's.
    pub kept: Option<String>,
    /// The checkpoint that was shown.
    pub shown: String,
    /// When it was shown, seconds since 1970.
    pub time: u64,
}

/// The heads that a witness has cosigned, by log, and what contradicted them.
///
/// **Durable.** When [`advance`](Self::advance) returns `Advanced`, the head survives the loss of
/// power, as far as the disk keeps its promise to have synced. Only then may it be cosigned.
///
/// **Atomic, compare and swap.** The comparison and the write are one transaction: of two steps
/// from one size, one advances, and the other finds what the first has made. Nothing makes a log's
/// head smaller, puts another root in its place at the same size, or turns its time back; a
/// step that would is an error.
///
/// **Failed, but persisted.** After an error the head is the old one or the new one, and only
/// [`head`](Self::head) tells which. So nothing may be signed because of a step that failed; the
/// log asks again, and is told the size.
///
/// **Trusted.** The caller, to advance only where consistency was proven. The store with all that
/// the witness's signature is worth: whoever puts an old copy in its place makes the witness sign
/// a second history.
pub trait WitnessStore: Send {
    /// The newest head of this log that was cosigned.
    fn head(&self, origin: &str) -> Result<Option<Kept>>;

    /// Those of all logs, by name.
    fn heads(&self) -> Result<Vec<Kept>>;

    /// Makes a head the newest one, if the store has what the step expects.
    fn advance(&mut self, step: &Step<'_>) -> Result<Advance>;

    /// Keeps a contradiction, durably. Returns false where that head is kept already, or
    /// [`MAX_EVIDENCE`] of its kind are kept of that log.
    fn keep_evidence(&mut self, evidence: &Evidence) -> Result<bool>;

    /// What is kept, in order of arrival.
    fn evidence(&self) -> Result<Vec<Evidence>>;
}
