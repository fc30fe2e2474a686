//! Reading work that was recorded elsewhere, so that it can be claimed in a ledger.
//!
//! Owns the plain data that every source is read into and what is said about the
//! reading. Guarantees that reading is a function of the source, the options and
//! the day passed in: no clock, no network, nothing written. Leaves out the
//! ledger: handles, statements, and what was imported before are the caller's.
//!
//! - [`repository`] reads a git repository (feature `git`): one pass over the commits;
//! - [`history`] makes works of commits: order, reverts, exclusion, shares;
//! - [`commit`], [`trailers`], [`reverts`], [`order`], [`people`], [`bots`] are its parts;
//! - [`csv`] reads hours and other work from a time tracker;
//! - [`made`] makes sample data for the demo and for tests.

pub mod bots;
pub mod commit;
pub mod csv;
pub mod history;
pub mod made;
pub mod order;
pub mod people;
#[cfg(feature = "git")]
pub mod repository;
pub mod reverts;
pub mod trailers;

#[cfg(all(test, feature = "git"))]
mod git_tests;

#[cfg(feature = "git")]
pub use repository::read;

use serde::Serialize;
use std::{collections::BTreeMap, path::PathBuf};

/// How many findings a summary keeps; beyond it they are only counted.
pub const FINDINGS_KEPT: usize = 1_000;

/// Thousandths in the quantity 1 that a commit is worth.
pub const WHOLE: u64 = 1_000;

/// The most people that may share one contribution (`Contribute.part` in the schema).
pub const PARTS_AT_MOST: usize = 64;

/// What to read of a history, and how. [`Options::new`] gives the defaults.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to start: everything reachable from this commit is read. A branch, a
    /// tag (annotated or not), a hash, or what else git calls a revision.
    pub revision: String,
    /// Today in days since 1970-01-01 UTC: work dated later is clipped to it.
    pub now_day: u32,
    /// Whether the people on [`bots::LISTED`] are left out.
    pub exclude_bots: bool,
    /// More patterns of people to leave out, in the form of [`bots::Pattern`]. They
    /// apply even where `exclude_bots` is off, so that a list can be replaced.
    pub extra_bots: Vec<String>,
    /// Whether reverted and reverting commits count like all others.
    pub keep_reverts: bool,
    /// Whether `Co-authored-by` trailers share a commit.
    pub coauthors: bool,
    /// Whether the repository's mailmap is applied.
    pub mailmap: bool,
    /// The first work date that is read (days since 1970-01-01 UTC, included).
    pub since_day: Option<u32>,
    /// The last work date that is read (days since 1970-01-01 UTC, included).
    pub until_day: Option<u32>,
    /// The kind of contribution that the works become.
    pub kind: String,
}

impl Options {
    /// The defaults: `HEAD`, kind `commit`, bots and reverts left out, co-authors
    /// and mailmap honoured, no limit on dates.
    pub fn new(now_day: u32) -> Self {
        Self {
            revision: "HEAD".into(),
            now_day,
            exclude_bots: true,
            extra_bots: Vec::new(),
            keep_reverts: false,
            coauthors: true,
            mailmap: true,
            since_day: None,
            until_day: None,
            kind: "commit".into(),
        }
    }
}

/// Somebody who did work. Personal data: it may enter a ledger as a disclosure only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Person {
    /// The name, after the mailmap; may be empty if there is an e-mail. Bytes that
    /// are not printable UTF-8 are written `\xNN`.
    pub name: String,
    /// The e-mail, after the mailmap, as last written; may be empty if there is a name.
    pub email: String,
}

impl Person {
    /// What makes two mentions one person, also from one import to the next: the
    /// e-mail in lower case, or where there is none, the name as it stands.
    ///
    /// Two names under one e-mail are one person. One person under two e-mails is
    /// two, until a mailmap says otherwise: better two agents that can be joined by
    /// an alias than one that has to be taken apart.
    pub fn identity(&self) -> String {
        if self.email.is_empty() { self.name.clone() } else { self.email.to_lowercase() }
    }
}

/// The place of a person in [`History::people`].
pub type PersonIndex = usize;

/// One piece of work: a commit that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The commit's hash in lower-case hex: 40 digits (SHA-1) or 64 (SHA-256).
    pub hash: String,
    /// The author date's day in UTC, in days since 1970-01-01, clipped to today.
    pub day: u32,
    /// Who did it, author first, each once, with their thousandths: 1,000 in all.
    pub parts: Vec<(PersonIndex, u64)>,
}

impl Work {
    /// The reference under which the work is claimed: `git:<hash>`.
    pub fn reference(&self) -> String {
        format!("git:{}", self.hash)
    }
}

/// A reference as the ledger spells it: hashes of git in lower case, for `git:ABC` and
/// `git:abc` are one commit. Whether it is one at all is not looked at.
pub fn one_spelling(reference: &str) -> String {
    match reference.strip_prefix("git:") {
        Some(hash) => format!("git:{}", hash.to_ascii_lowercase()),
        None => reference.to_owned(),
    }
}

/// A commit that does not count because of another one. An earlier import may have
/// claimed it, before it was reverted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cancelled {
    /// The commit that was reverted.
    pub hash: String,
    /// The commit in effect that reverts it.
    pub by: String,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The kind of contribution that the works are: [`Options::kind`].
    pub kind: String,
    /// Everybody with a part in a work, in the order of their first.
    pub people: Vec<Person>,
    /// The works, parents before children, otherwise the oldest committed first.
    pub works: Vec<Work>,
    /// The pairs that cancelled, in the order of the reverted commits.
    pub cancelled: Vec<Cancelled>,
    /// The reading in figures.
    pub summary: Summary,
}

/// The reading in figures. Every commit read is in exactly one of `merges`,
/// `contributions`, `excluded`, `reverted`, `outside_dates` and `unattributed`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Commits read: all that are reachable, merges included.
    pub commits: u64,
    /// Commits with several parents: they join work, they are none.
    pub merges: u64,
    /// Commits that count: the works.
    pub contributions: u64,
    /// People with a part in a work.
    pub agents: u64,
    /// Commits left out because nobody of theirs remains beside the bot list.
    pub excluded: u64,
    /// Whom the list left out, and in how many commits (as author or co-author).
    pub excluded_names: BTreeMap<String, u64>,
    /// Times that the list left out a co-author of a commit.
    pub coauthors_left_out: u64,
    /// Commits that cancelled: reverted ones and reverting ones, both counted.
    pub reverted: u64,
    /// Of the reverting ones, those that revert a merge: they do not count, and
    /// what the merge had brought in still does.
    pub reverted_merges: u64,
    /// Commits dated before `since_day` or after `until_day`.
    pub outside_dates: u64,
    /// Commits without an author, or without any date, that can be read.
    pub unattributed: u64,
    /// Commits dated after today, whose work was given today's date, or before 1970.
    pub clipped: u64,
    /// Malformed trailers, authors, dates and texts in all; the particulars of the
    /// first [`FINDINGS_KEPT`] are in `findings`.
    pub malformed: u64,
    /// What was malformed, and where.
    pub findings: Vec<Finding>,
    /// Whether the repository is a shallow clone, with its older history missing.
    pub shallow: bool,
    /// What the reader should know before relying on this, in sentences.
    pub warnings: Vec<String>,
}

impl Summary {
    pub(crate) fn malformed(&mut self, hash: &commit::Hash, what: impl FnOnce() -> String) {
        self.malformed += 1;
        if self.findings.len() < FINDINGS_KEPT {
            self.findings.push(Finding { hash: hash.to_string(), what: what() });
        }
    }
}

/// Something in a commit that could not be read as meant; the rest of it counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The commit.
    pub hash: String,
    /// What is wrong, what was made of it.
    pub what: String,
}

/// Why a history could not be read at all.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Neither the path nor any directory above it is a repository.
    #[error("{} is not in a git repository; give the directory of a work tree, or of a bare repository (the one that holds `HEAD` and `objects`)", path.display())]
    NotARepository {
        /// As given.
        path: PathBuf,
    },
    /// There is a repository, but it does not open.
    #[error("the repository at {} does not open: {detail}; see what `git -C {} fsck` says", path.display(), path.display())]
    Unusable {
        /// As given.
        path: PathBuf,
        /// What the reader of repositories said.
        detail: String,
    },
    /// The revision does not name a commit.
    #[error("{revision:?} names no commit in {}: {detail}; see `git -C {} branch --all` and `git tag`, and give one revision, not a range", path.display(), path.display())]
    UnknownRevision {
        /// As given.
        path: PathBuf,
        /// As given.
        revision: String,
        /// What the reader of repositories said.
        detail: String,
    },
    /// The repository has no commit yet.
    #[error("{} has no commits yet on the branch that HEAD names; commit something, or name another branch as the revision", path.display())]
    Empty {
        /// As given.
        path: PathBuf,
    },
    /// A commit of the history is missing or damaged.
    #[error("commit {hash} in {} cannot be read: {detail}; run `git -C {} fsck`, and if objects are missing, `git fetch` them again", path.display(), path.display())]
    Unreadable {
        /// As given.
        path: PathBuf,
        /// The commit.
        hash: String,
        /// What the reader of repositories said.
        detail: String,
    },
    /// A pattern to leave out people is none.
    #[error(
        "{pattern:?} leaves out nobody or everybody; give a name or an e-mail, with `*` for any text"
    )]
    BadPattern {
        /// As given.
        pattern: String,
    },
}
