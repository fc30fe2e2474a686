//! How a store can fail: a closed list, each with a stable code and a next step.
//!
//! Owns the wording. Guarantees that every failure says where it happened and belongs to one
//! [`Kind`], from which the exit status follows. Leaves out refusals of statements, which
//! never get as far as a store (`reject`).

use super::{Hash, Head};
use std::{
    io,
    path::{Path, PathBuf},
};

/// What a failure means to whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The world failed: the same call may well succeed later.
    World,
    /// The path given is not what the call needs: another argument is.
    Argument,
    /// What is stored is wrong, or is no ledger.
    Fault,
}

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Compare and swap failed; nothing of the group was written.
    #[error("ledger {}: expected {expected}, found {found}", hex::encode(.ledger))]
    HeadMoved {
        /// The ledger whose head was not as expected.
        ledger: Hash,
        /// The head that the batch was made for.
        expected: Head,
        /// The head that the store has.
        found: Head,
    },
    /// Another program writes to this store.
    #[error("{}: another program is writing to it", .path.display())]
    Locked {
        /// The database.
        path: PathBuf,
    },
    /// There is no room; the group was rolled back and the store stays usable.
    #[error("{}: the disk is full", .path.display())]
    DiskFull {
        /// The database.
        path: PathBuf,
    },
    /// The operating system failed in some other way.
    #[error("{}: {detail}", .path.display())]
    Io {
        /// The file concerned.
        path: PathBuf,
        /// What the system or SQLite said.
        detail: String,
    },
    /// No such file.
    #[error("{}: there is no such file", .path.display())]
    Missing {
        /// The path that was given.
        path: PathBuf,
    },
    /// A directory stands where a file was meant.
    #[error("{}: this is a directory, not a ledger file", .path.display())]
    Directory {
        /// The path that was given.
        path: PathBuf,
    },
    /// The file may not be read.
    #[error("{}: it may not be read: {detail}", .path.display())]
    Unreadable {
        /// The database.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// The file or its directory may not be written.
    #[error("{}: it may not be written: {detail}", .path.display())]
    Unwritable {
        /// The database.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// Committed entries wait in a journal that cannot be read where the file lies.
    #[error("{}: its -wal journal holds entries, and cannot be read in a directory that is read-only", .path.display())]
    UnmergedJournal {
        /// The database.
        path: PathBuf,
    },
    /// The destination of a backup exists.
    #[error("{}: it exists and is not overwritten", .path.display())]
    Exists {
        /// The destination.
        path: PathBuf,
    },
    /// Not an SQLite file.
    #[error("{}: not an SQLite database, so no file of Subak's", .path.display())]
    NotSqlite {
        /// The path that was given.
        path: PathBuf,
    },
    /// An SQLite file of something else.
    #[error("{}: an SQLite database, but {detail}", .path.display())]
    NotALedger {
        /// The path that was given.
        path: PathBuf,
        /// What it is not, and what was found instead.
        detail: String,
    },
    /// Written by a later version of this program.
    #[error("{}: its format is version {found}, this program knows {known}", .path.display())]
    TooNew {
        /// The database.
        path: PathBuf,
        /// Its format's version.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// Written by an earlier version, and a reader does not migrate.
    #[error("{}: its format is version {found} and must become {known} first", .path.display())]
    TooOld {
        /// The database.
        path: PathBuf,
        /// Its format's version.
        found: i64,
        /// The version that this program reads.
        known: i64,
    },
    /// The store contradicts itself or its own format.
    #[error("corrupt store at {place}: {detail}")]
    Corrupt {
        /// Where: a file, or a row by ledger and position.
        place: String,
        /// What was expected and found there.
        detail: String,
    },
}

impl StoreError {
    /// What the failure means to whoever asked.
    pub fn kind(&self) -> Kind {
        use StoreError::*;
        match self {
            HeadMoved { .. } | Locked { .. } | DiskFull { .. } | Io { .. } => Kind::World,
            NotSqlite { .. } | NotALedger { .. } | Corrupt { .. } => Kind::Fault,
            Missing { .. }
            | Directory { .. }
            | Unreadable { .. }
            | Unwritable { .. }
            | UnmergedJournal { .. }
            | Exists { .. }
            | TooNew { .. }
            | TooOld { .. } => Kind::Argument,
        }
    }

    /// The stable name, as it appears in JSON.
    pub fn code(&self) -> &'static str {
        self.row().0
    }

    /// What the person can do next.
    pub fn next(&self) -> &'static str {
        self.row().1
    }

    fn row(&self) -> (&'static str, &'static str) {
        use StoreError::*;
        match self {
            HeadMoved { .. } => {
                ("head-moved", "read the ledger again; what you meant to append may be there")
            }
            Locked { .. } => ("locked", "stop the other program, or talk to it with --node"),
            DiskFull { .. } => ("disk-full", "make room, then try again; nothing was half written"),
            Io { .. } => ("io", "look at the disk and the system's log, then try again"),
            Missing { .. } => {
                ("missing", "check the path, or open a commons or phyle to create it")
            }
            Directory { .. } => ("directory", "name the ledger file in it"),
            Unreadable { .. } => ("unreadable", "ask the file's owner for leave to read it"),
            Unwritable { .. } => {
                ("unwritable", "ask the owner for leave to write the file and its directory")
            }
            UnmergedJournal { .. } => (
                "unmerged-journal",
                "copy the file together with its -wal to a directory you may write in, and open the copy",
            ),
            Exists { .. } => ("exists", "name a file that does not exist yet"),
            NotSqlite { .. } => {
                ("not-sqlite", "check the path; if this was a ledger, restore a backup")
            }
            NotALedger { .. } => {
                ("not-a-ledger", "check the path: this file belongs to another program")
            }
            TooNew { .. } => ("too-new", "use the newer version of subak that wrote it"),
            TooOld { .. } => (
                "too-old",
                "open it once for writing (`subak serve`), which migrates it; make a backup first",
            ),
            Corrupt { .. } => (
                "corrupt",
                "keep the file as it is, and go on from a backup; `subak audit` names what can be named",
            ),
        }
    }

    /// An I/O error of this path, by what a person would do about it.
    pub(super) fn from_io(path: &Path, error: &io::Error) -> Self {
        let path = path.to_path_buf();
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            io::ErrorKind::IsADirectory => Self::Directory { path },
            io::ErrorKind::AlreadyExists => Self::Exists { path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Io { path, detail: error.to_string() },
        }
    }
}
