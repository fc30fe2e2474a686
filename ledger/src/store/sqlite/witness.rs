//! What a witness keeps, in an SQLite file of its own.
//!
//! Owns the file's mark, its schema and its SQL. Guarantees the contract of [`WitnessStore`] by
//! one immediate transaction a step, WAL with `synchronous=FULL` and a lock that keeps a second
//! witness out; triggers refuse to go back, whoever asks. The file belongs to one key: the witness
//! of another does not open it, and none begins anew in an empty one by a mistyped path. Leaves
//! out consistency and signatures, which are the caller's.

use super::{classify, corrupt, open, schema::Format};
use crate::store::{
    Hash, Result, StoreError,
    witness::{Advance, Contradiction, Evidence, Kept, MAX_EVIDENCE, Step, WitnessStore},
};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

/// "SUBW" in SQLite's `application_id`. Published steps of the schema are never edited.
///
/// `root` and `size` of `evidence` are in the note too; they make it unique without an index on
/// long text. An upsert would fire the INSERT trigger, so there is none.
const FORMAT: Format = Format {
    mark: 0x5355_4257,
    what: "store of a Subak witness",
    migrations: &["
CREATE TABLE witness (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    name TEXT NOT NULL,
    key BLOB NOT NULL CHECK (length(key) = 32)
) STRICT;

CREATE TABLE head (
    origin TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL CHECK (size >= 0),
    root BLOB NOT NULL CHECK (length(root) = 32),
    note TEXT NOT NULL,
    time INTEGER NOT NULL CHECK (time >= 0)
) STRICT;

CREATE TABLE evidence (
    number INTEGER PRIMARY KEY,
    origin TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('root', 'unproven')),
    size INTEGER NOT NULL CHECK (size >= 0),
    root BLOB NOT NULL CHECK (length(root) = 32),
    kept TEXT,
    shown TEXT NOT NULL,
    time INTEGER NOT NULL CHECK (time >= 0),
    UNIQUE (origin, kind, size, root)
) STRICT;

CREATE TRIGGER witness_insert BEFORE INSERT ON witness WHEN EXISTS (SELECT 1 FROM witness)
BEGIN SELECT raise(ABORT, 'a store belongs to one witness'); END;
CREATE TRIGGER witness_update BEFORE UPDATE ON witness
BEGIN SELECT raise(ABORT, 'a store belongs to one witness'); END;
CREATE TRIGGER witness_delete BEFORE DELETE ON witness
BEGIN SELECT raise(ABORT, 'a store belongs to one witness'); END;

CREATE TRIGGER head_insert BEFORE INSERT ON head
WHEN EXISTS (SELECT 1 FROM head WHERE origin = new.origin)
BEGIN SELECT raise(ABORT, 'a witness never goes back: this log is there already'); END;
CREATE TRIGGER head_update BEFORE UPDATE ON head
WHEN new.origin <> old.origin OR new.size < old.size OR new.time < old.time
    OR (new.size = old.size AND new.root <> old.root)
BEGIN SELECT raise(ABORT, 'a witness never goes back: size, root or time'); END;
CREATE TRIGGER head_delete BEFORE DELETE ON head
BEGIN SELECT raise(ABORT, 'a witness never goes back: heads are never deleted'); END;
"],
};

const HEADS: &str = "SELECT origin, size, root, note, time FROM head";

/// A view of a witness's file, beside a witness that runs or not.
#[derive(Debug)]
pub struct WitnessReader {
    conn: Connection,
    path: PathBuf,
}

/// The one writer of a witness's file.
#[derive(Debug)]
pub struct WitnessFile {
    reader: WitnessReader,
    /// Held, never read: the lock goes when the file is closed.
    _lock: File,
}

impl WitnessReader {
    /// Opens an existing file for reading: no lock, no key.
    pub fn open(path: &Path) -> Result<Self> {
        let (conn, path) = open::readable(path, &FORMAT)?;
        Ok(Self { conn, path })
    }

    /// Whose file it is: the witness's name, and its public key.
    pub fn owner(&self) -> Result<(String, Hash)> {
        let sql = "SELECT name, key FROM witness";
        let row = self.conn.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).optional();
        row.map_err(|e| self.error("its owner", &e))?
            .ok_or_else(|| corrupt(&self.path, "its owner", "expected one, found none"))
    }

    /// See [`WitnessStore::head`].
    pub fn head(&self, origin: &str) -> Result<Option<Kept>> {
        let failed = |e: rusqlite::Error| self.error("a head", &e);
        let mut query =
            self.conn.prepare_cached(&format!("{HEADS} WHERE origin = ?1")).map_err(failed)?;
        query.query_row([origin], kept).optional().map_err(failed)
    }

    /// See [`WitnessStore::heads`].
    pub fn heads(&self) -> Result<Vec<Kept>> {
        let failed = |e: rusqlite::Error| self.error("its heads", &e);
        let mut query = self.conn.prepare(&format!("{HEADS} ORDER BY origin")).map_err(failed)?;
        let rows = query.query_map([], kept).map_err(failed)?;
        rows.collect::<rusqlite::Result<_>>().map_err(failed)
    }

    /// See [`WitnessStore::evidence`].
    pub fn evidence(&self) -> Result<Vec<Evidence>> {
        let failed = |e: rusqlite::Error| self.error("its evidence", &e);
        let sql =
            "SELECT origin, kind, size, root, kept, shown, time FROM evidence ORDER BY number";
        let mut query = self.conn.prepare(sql).map_err(failed)?;
        let rows = query.query_map([], evidence).map_err(failed)?;
        rows.collect::<rusqlite::Result<_>>().map_err(failed)
    }

    fn error(&self, place: &str, error: &rusqlite::Error) -> StoreError {
        classify(&self.path, place, error)
    }
}

impl WitnessFile {
    /// Makes the file of a new witness, where there must be none.
    pub fn create(path: &Path, name: &str, key: &Hash) -> Result<Self> {
        // Claims the name: what stands there is never taken over.
        File::create_new(path).map_err(|e| StoreError::from_io(path, &e))?;
        let made = Self::writable(path, true).and_then(|file| file.owned_by(name, key));
        if made.is_err() {
            // Nothing was signed on its account; what cannot be removed belongs to nobody, and
            // is not opened.
            for suffix in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(open::beside(path, suffix));
            }
        }
        made
    }

    fn owned_by(self, name: &str, key: &Hash) -> Result<Self> {
        let sql = "INSERT INTO witness (one, name, key) VALUES (1, ?1, ?2)";
        let written = self.reader.conn.execute(sql, params![name, key]);
        written.map_err(|e| self.reader.error("its owner", &e))?;
        Ok(self)
    }

    /// Opens a witness's file for writing. Refused as [`StoreError::Missing`] where there is none,
    /// as [`StoreError::Locked`] while another witness has it.
    pub fn open(path: &Path) -> Result<Self> {
        Self::writable(path, false)
    }

    fn writable(path: &Path, create: bool) -> Result<Self> {
        let (conn, path, lock) = open::writable(path, create, &FORMAT)?;
        Ok(Self { reader: WitnessReader { conn, path }, _lock: lock })
    }

    /// What only reads.
    pub fn reader(&self) -> &WitnessReader {
        &self.reader
    }

    /// Runs `write` in one transaction that nobody can come before: committed, or nothing of it.
    fn transaction<T>(
        &mut self,
        place: &str,
        write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let WitnessReader { conn, path } = &mut self.reader;
        let begun = conn.transaction_with_behavior(TransactionBehavior::Immediate);
        let done = begun.and_then(|tx| {
            let written = write(&tx)?;
            tx.commit()?;
            Ok(written)
        });
        done.map_err(|e| classify(path, place, &e))
    }
}

impl WitnessStore for WitnessFile {
    fn head(&self, origin: &str) -> Result<Option<Kept>> {
        self.reader.head(origin)
    }

    fn heads(&self) -> Result<Vec<Kept>> {
        self.reader.heads()
    }

    fn advance(&mut self, step: &Step<'_>) -> Result<Advance> {
        self.transaction("a head", |tx| advance(tx, step))
    }

    fn keep_evidence(&mut self, evidence: &Evidence) -> Result<bool> {
        self.transaction("its evidence", |tx| keep(tx, evidence))
    }

    fn evidence(&self) -> Result<Vec<Evidence>> {
        self.reader.evidence()
    }
}

fn advance(tx: &Transaction<'_>, step: &Step<'_>) -> rusqlite::Result<Advance> {
    let found: Option<(i64, i64)> = tx
        .prepare_cached("SELECT size, time FROM head WHERE origin = ?1")?
        .query_row([step.origin], |row| row.try_into())
        .optional()?;
    let (size, last) = found.unwrap_or_default();
    if size.cast_unsigned() != step.expected {
        return Ok(Advance::Conflict { size: size.cast_unsigned() });
    }
    // Two clocks, or one that was put back: a witness's word never becomes older.
    let time = signed(step.now).max(last);
    let sql = match found {
        None => "INSERT INTO head (origin, size, root, note, time) VALUES (?1, ?2, ?3, ?4, ?5)",
        Some(_) => "UPDATE head SET size = ?2, root = ?3, note = ?4, time = ?5 WHERE origin = ?1",
    };
    let row = params![step.origin, signed(step.size), step.root, step.note, time];
    tx.prepare_cached(sql)?.execute(row)?;
    Ok(Advance::Advanced { time: time.cast_unsigned() })
}

fn keep(tx: &Transaction<'_>, evidence: &Evidence) -> rusqlite::Result<bool> {
    let Evidence { origin, kind, size, root, kept, shown, time } = evidence;
    let count = "SELECT count(*) FROM evidence WHERE origin = ?1 AND kind = ?2";
    let there: i64 = tx.query_row(count, params![origin, kind.name()], |row| row.get(0))?;
    if there.cast_unsigned() >= MAX_EVIDENCE {
        return Ok(false);
    }
    let sql = "INSERT INTO evidence (origin, kind, size, root, kept, shown, time)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING";
    let row = params![origin, kind.name(), signed(*size), root, kept, shown, signed(*time)];
    Ok(tx.execute(sql, row)? == 1)
}

fn kept(row: &Row<'_>) -> rusqlite::Result<Kept> {
    Ok(Kept {
        origin: row.get(0)?,
        size: row.get::<_, i64>(1)?.cast_unsigned(),
        root: row.get(2)?,
        note: row.get(3)?,
        time: row.get::<_, i64>(4)?.cast_unsigned(),
    })
}

fn evidence(row: &Row<'_>) -> rusqlite::Result<Evidence> {
    let kind: String = row.get(1)?;
    let kind = match kind.as_str() {
        "root" => Contradiction::Root,
        _ => Contradiction::Unproven, // the column takes no third
    };
    Ok(Evidence {
        origin: row.get(0)?,
        kind,
        size: row.get::<_, i64>(2)?.cast_unsigned(),
        root: row.get(3)?,
        kept: row.get(4)?,
        shown: row.get(5)?,
        time: row.get::<_, i64>(6)?.cast_unsigned(),
    })
}

/// Sizes are read below 2^63 (`log::head`), and no clock shows more.
fn signed(number: u64) -> i64 {
    i64::try_from(number).expect("sizes and times stay below 2^63")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Hash = [7; 32];

    fn new() -> (tempfile::TempDir, WitnessFile) {
        let dir = tempfile::tempdir().expect("a directory");
        let file = WitnessFile::create(&dir.path().join("w.db"), "w.example", &KEY);
        (dir, file.expect("a new file"))
    }

    fn step(expected: u64, size: u64, now: u64) -> Step<'static> {
        Step { origin: "log — é", expected, size, root: root(size), note: "note", now }
    }

    fn root(size: u64) -> Hash {
        std::array::from_fn(|i| u8::try_from((size >> (i % 8)) & 0xff).expect("a byte"))
    }

    #[test]
    fn a_head_advances_from_the_size_that_is_there_and_outlives_the_writer() {
        let (dir, mut file) = new();
        assert_eq!(file.head("log — é").expect("read"), None);
        assert_eq!(file.advance(&step(3, 5, 1)).expect("answer"), Advance::Conflict { size: 0 });
        assert_eq!(file.head("log — é").expect("read"), None, "nothing was written");
        let at = |time| Advance::Advanced { time };
        assert_eq!(file.advance(&step(0, 5, 10)).expect("answer"), at(10));
        assert_eq!(file.advance(&step(0, 6, 11)).expect("answer"), Advance::Conflict { size: 5 });
        assert_eq!(file.advance(&step(5, 9, 8)).expect("answer"), at(10), "time never goes back");
        assert_eq!(file.advance(&step(9, 9, 12)).expect("answer"), at(12), "the same, anew");
        drop(file);
        let path = dir.path().join("w.db");
        let file = WitnessFile::open(&path).expect("there");
        assert_eq!(file.reader().owner().expect("read"), ("w.example".into(), KEY));
        let head = file.head("log — é").expect("read").expect("kept");
        assert_eq!((head.size, head.root, head.time), (9, root(9), 12));
        assert_eq!(file.heads().expect("read"), [head]);
        assert_eq!(WitnessFile::open(&path).expect_err("one writer").code(), "locked");
        assert_eq!(WitnessReader::open(&path).expect("beside it").heads().expect("read").len(), 1);
    }

    /// Even a caller that has judged wrongly cannot make the file go back.
    #[test]
    fn the_file_itself_refuses_to_go_back() {
        let (_dir, mut file) = new();
        file.advance(&step(0, 5, 10)).expect("first");
        let other = Step { root: [9; 32], ..step(5, 5, 11) };
        for back in [step(5, 4, 11), other] {
            assert_eq!(file.advance(&back).expect_err("refused").code(), "corrupt");
        }
        for sql in [
            "DELETE FROM head",
            "UPDATE head SET time = 9",
            "UPDATE head SET origin = 'other'",
            "REPLACE INTO head VALUES ('log — é', 4, zeroblob(32), '', 11)",
            "UPDATE witness SET name = 'other'",
            "INSERT INTO witness VALUES (1, 'other', zeroblob(32))",
            "DELETE FROM witness",
        ] {
            assert!(file.reader.conn.execute(sql, []).is_err(), "{sql}");
        }
        let head = file.head("log — é").expect("read").expect("kept");
        assert_eq!((head.size, head.root, head.time), (5, root(5), 10));
    }

    #[test]
    fn evidence_is_kept_once_and_bounded_by_log_and_kind() {
        let (_dir, mut file) = new();
        let of = |origin: &str, kind, size| Evidence {
            origin: origin.into(),
            kind,
            size,
            root: root(size),
            kept: (size > 0).then(|| "kept".into()),
            shown: "shown".into(),
            time: 5,
        };
        let first = of("a", Contradiction::Root, 0);
        assert!(file.keep_evidence(&first).expect("kept"));
        assert!(!file.keep_evidence(&first).expect("once"));
        for size in 1..100 {
            let kept = file.keep_evidence(&of("a", Contradiction::Root, size)).expect("answer");
            assert_eq!(kept, size < MAX_EVIDENCE, "{size}");
        }
        assert!(file.keep_evidence(&of("a", Contradiction::Unproven, 1)).expect("its own bound"));
        assert!(file.keep_evidence(&of("b", Contradiction::Root, 1)).expect("its own bound"));
        let all = file.evidence().expect("read");
        assert_eq!((all.len() as u64, &all[0]), (MAX_EVIDENCE + 2, &first));
        assert_eq!(all[16].kind, Contradiction::Unproven);
    }

    #[test]
    fn a_file_of_another_kind_and_a_file_that_is_there_are_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let ledger = dir.path().join("ledger.db");
        drop(crate::store::SqliteStore::open_writer(&ledger, true).expect("a ledger"));
        for error in [
            WitnessFile::open(&ledger).map(|_| ()).expect_err("a ledger's"),
            WitnessReader::open(&ledger).map(|_| ()).expect_err("a ledger's"),
        ] {
            assert_eq!(error.code(), "not-a-ledger");
            assert!(error.to_string().contains("no store of a Subak witness"), "{error}");
        }
        let again = WitnessFile::create(&ledger, "w", &KEY).expect_err("it is there");
        assert_eq!(again.code(), "exists");
        let nowhere = WitnessFile::open(&dir.path().join("typo.db")).expect_err("no such file");
        assert_eq!(nowhere.code(), "missing");
        assert!(!dir.path().join("typo.db").exists(), "nothing is begun anew by mistake");
        let (_dir, file) = new();
        let error = crate::store::SqliteStore::open_reader(&file.reader.path);
        assert_eq!(error.expect_err("a witness's").code(), "not-a-ledger");
    }
}
