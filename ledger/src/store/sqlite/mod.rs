//! The default store: one SQLite file that holds several ledgers.
//!
//! Owns [`SqliteReader`] (no lock, no key, works beside a writer and on read-only ground) and
//! [`SqliteStore`] (the one writer). Guarantees the contract of [`Store`] by WAL with
//! `synchronous=FULL`, and that a second writer is kept out by a lock file beside the
//! database; and the file of a witness ([`WitnessFile`]), opened by the same steps. SQL stays in
//! this directory. Leaves out every check of what is stored: a file
//! may be handed over by anyone, so a schema by a stranger's hand is refused for writing
//! and reported by `integrity`, one that computes is refused for reading too, and rows are
//! read with their types checked.

mod append;
mod backup;
mod integrity;
mod open;
mod read;
mod schema;
mod witness;

pub use witness::{WitnessFile, WitnessReader};

use super::{
    Batch, Disclosure, Hash, Head, Inspection, LedgerRow, Reader, Result, Store, StoreError,
    StoredEntry,
};
use rusqlite::{Connection, ErrorCode, ffi};
use std::{
    fs::File,
    path::{Path, PathBuf},
};

/// A view of a ledger file. Any number of them may be open, in any number of processes.
#[derive(Debug)]
pub struct SqliteReader {
    conn: Connection,
    path: PathBuf,
}

/// The one writer of a ledger file.
#[derive(Debug)]
pub struct SqliteStore {
    reader: SqliteReader,
    /// Erased text may still stand in the -wal file: it is to be emptied when no reader needs it.
    scrub: bool,
    /// Held, never read: the lock goes when the file is closed.
    _lock: File,
}

impl SqliteReader {
    /// Opens an existing ledger file for reading; see [`SqliteStore::open_reader`].
    pub fn open(path: &Path) -> Result<Self> {
        open::reader(path)
    }

    /// From now on every read sees the state of this moment, whatever a writer does, until
    /// [`SqliteReader::thaw`]. The -wal file cannot be emptied meanwhile and grows.
    pub fn freeze(&self) -> Result<()> {
        let begin = "BEGIN; SELECT count(*) FROM sqlite_schema;";
        self.conn.execute_batch(begin).map_err(|e| self.error("the file", &e))
    }

    /// Ends [`SqliteReader::freeze`].
    pub fn thaw(&self) -> Result<()> {
        self.conn.execute_batch("COMMIT").map_err(|e| self.error("the file", &e))
    }

    /// Copies all ledgers, as they are at this moment, into the new file `dest` while a writer
    /// may go on. `progress` gets pages done and pages in all. When this returns `Ok` the copy
    /// is complete and synced; a copy that was cut short opens as no ledger at all.
    pub fn backup(&self, dest: &Path, progress: impl FnMut(u64, u64)) -> Result<()> {
        backup::backup(self, dest, progress)
    }

    /// The file that is read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn error(&self, place: &str, error: &rusqlite::Error) -> StoreError {
        classify(&self.path, place, error)
    }
}

impl SqliteStore {
    /// Opens the file for writing, migrates it if it is older, and with `create` makes it
    /// where there is none. Refused as [`StoreError::Locked`] while another writer has it, and
    /// as [`StoreError::Corrupt`] if its tables or triggers are not ours to the letter.
    pub fn open_writer(path: &Path, create: bool) -> Result<Self> {
        open::writer(path, create)
    }

    /// Opens the file for reading: no lock, no key, beside a writer or not. Refused as
    /// [`StoreError::Corrupt`] if anything in it is computed: a view, a virtual table, a
    /// computed column or index.
    ///
    /// Where the directory cannot be written (SQLite then cannot keep its -shm file) the file
    /// is read as immutable, but only if no -wal file with content lies beside it. That is meant for
    /// media on which nobody writes.
    pub fn open_reader(path: &Path) -> Result<SqliteReader> {
        open::reader(path)
    }

    /// See [`SqliteReader::backup`]. Holds this writer up; a reader's backup does not.
    pub fn backup(&self, dest: &Path, progress: impl FnMut(u64, u64)) -> Result<()> {
        self.reader.backup(dest, progress)
    }

    /// The file that is written.
    pub fn path(&self) -> &Path {
        self.reader.path()
    }

    /// For tests of a full disk: the file may grow to this many pages, but never shrinks.
    #[doc(hidden)]
    pub fn limit_pages(&self, pages: u32) -> Result<()> {
        let set =
            self.reader.conn.query_row(&format!("PRAGMA max_page_count={pages}"), [], |_| Ok(()));
        set.map_err(|e| self.reader.error("the file", &e))
    }
}

impl Reader for SqliteStore {
    fn ledgers(&self) -> Result<Vec<LedgerRow>> {
        self.reader.ledgers()
    }
    fn head(&self, ledger: &Hash) -> Result<Head> {
        self.reader.head(ledger)
    }
    fn entries(
        &self,
        ledger: &Hash,
        from: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredEntry>> {
        self.reader.entries(ledger, from, limit, max_bytes)
    }
    fn nodes(&self, ledger: &Hash, level: u8, from: u64, limit: usize) -> Result<Vec<(u64, Hash)>> {
        self.reader.nodes(ledger, level, from, limit)
    }
    fn checkpoint(&self, ledger: &Hash) -> Result<Option<String>> {
        self.reader.checkpoint(ledger)
    }
    fn witnessed(&self, ledger: &Hash) -> Result<Option<String>> {
        self.reader.witnessed(ledger)
    }
    fn disclosures(
        &self,
        ledger: &Hash,
        after: Option<&Hash>,
        limit: usize,
    ) -> Result<Vec<Disclosure>> {
        self.reader.disclosures(ledger, after, limit)
    }
    fn disclosure(&self, ledger: &Hash, commitment: &Hash) -> Result<Option<Disclosure>> {
        self.reader.disclosure(ledger, commitment)
    }
    fn inspection(&self) -> Inspection {
        self.reader.inspection()
    }
}

impl Store for SqliteStore {
    fn append(&mut self, batches: &[Batch<'_>]) -> Result<()> {
        let SqliteReader { conn, path } = &mut self.reader;
        // Before: a group whose answer was lost may be there all the same.
        self.scrub |= batches.iter().any(|batch| !batch.erasures.is_empty());
        append::group(conn, path, batches)?;
        self.scrub();
        Ok(())
    }

    fn keep_witnessed(&mut self, ledger: &Hash, note: &str) -> Result<()> {
        let SqliteReader { conn, path } = &mut self.reader;
        append::witnessed(conn, path, ledger, note)
    }

    fn purge(&mut self) -> Result<bool> {
        self.scrub();
        Ok(!self.scrub)
    }
}

impl SqliteStore {
    fn scrub(&mut self) {
        if self.scrub {
            self.scrub = !append::empty_journal(&self.reader.conn);
        }
    }
}

impl Drop for SqliteStore {
    /// What no reader hinders any more is not left for the next opening.
    fn drop(&mut self) {
        self.scrub();
    }
}

/// Our error for one of SQLite's. Our SQL is fixed, so what SQLite calls a wrong statement, a
/// broken constraint or a wrong type is a fault of the file.
fn classify(path: &Path, place: &str, error: &rusqlite::Error) -> StoreError {
    let (at, detail) = (path.to_path_buf(), error.to_string());
    let Some(sqlite) = error.sqlite_error() else {
        return corrupt(path, place, detail);
    };
    match sqlite.code {
        ErrorCode::DiskFull => StoreError::DiskFull { path: at },
        // Growing the -shm file is where a full disk shows first on some systems.
        ErrorCode::SystemIoFailure if sqlite.extended_code == ffi::SQLITE_IOERR_SHMSIZE => {
            StoreError::DiskFull { path: at }
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Locked { path: at },
        ErrorCode::ReadOnly => StoreError::Unwritable { path: at, detail },
        ErrorCode::PermissionDenied => StoreError::Unreadable { path: at, detail },
        ErrorCode::DatabaseCorrupt
        | ErrorCode::NotADatabase
        | ErrorCode::ConstraintViolation
        | ErrorCode::TypeMismatch
        | ErrorCode::Unknown => corrupt(path, place, detail),
        _ => StoreError::Io { path: at, detail },
    }
}

fn corrupt(path: &Path, place: &str, detail: impl Into<String>) -> StoreError {
    StoreError::Corrupt { place: format!("{}, {place}", path.display()), detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance;

    #[test]
    fn fulfils_the_contract() {
        let dir = tempfile::tempdir().expect("a directory");
        let made = std::cell::Cell::new(0);
        conformance::check(|| {
            made.set(made.get() + 1);
            let path = dir.path().join(format!("{}.db", made.get()));
            Box::new(SqliteStore::open_writer(&path, true).expect("a new file"))
        });
    }
}
