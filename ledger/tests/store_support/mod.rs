//! Small ledgers in files, for the tests of the SQLite store.
#![allow(dead_code)] // Each test file uses its part.

use std::path::{Path, PathBuf};
use subak_ledger::store::{Batch, Hash, Head, NewEntry, Reader, SqliteStore, Store, StoreError};

pub(crate) const TEA: Hash = [0xa1; 32];

/// A directory that goes when the test ends, and a path in it.
pub(crate) fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().canonicalize().expect("it exists").join("tea.db");
    (dir, path)
}

pub(crate) fn create(path: &Path) -> SqliteStore {
    SqliteStore::open_writer(path, true).expect("a new ledger file")
}

/// `count` entries of about `bytes` bytes each.
pub(crate) fn entries(from: u64, count: u64, bytes: usize) -> Vec<NewEntry> {
    let one = |seq: u64| {
        let mut chain = [0; 32];
        chain[..8].copy_from_slice(&(seq + 1).to_be_bytes());
        NewEntry {
            leaf: chain.repeat(4)[..121].to_vec().into(),
            envelope: vec![seq.to_le_bytes()[0]; bytes].into(),
            chain,
        }
    };
    (from..from + count).map(one).collect()
}

pub(crate) fn batch(expected: Head, entries: &[NewEntry]) -> Batch<'_> {
    let (checkpoint, disclosures, erasures) = (None, &[][..], &[][..]);
    Batch {
        ledger: TEA,
        name: "tea",
        expected,
        entries,
        nodes: &[],
        checkpoint,
        disclosures,
        erasures,
    }
}

/// Appends `count` entries after whatever is there.
pub(crate) fn grow(store: &mut SqliteStore, count: u64, bytes: usize) -> Result<(), StoreError> {
    let head = store.head(&TEA)?;
    store.append(&[batch(head, &entries(head.size, count, bytes))])
}

/// How many entries a reader can actually read, checked to be gapless.
pub(crate) fn readable(reader: &dyn Reader) -> u64 {
    let mut next = 0;
    loop {
        let page = reader.entries(&TEA, next, 500, 1 << 20).expect("entries");
        let Some(last) = page.last() else { return next };
        for (seq, entry) in (next..).zip(&page) {
            assert_eq!(entry.seq, seq);
            assert_eq!(entry.chain[..8], (seq + 1).to_be_bytes());
        }
        next = last.seq + 1;
    }
}

/// Another program's hands on the file.
pub(crate) fn by_hand(path: &Path, sql: &str) -> rusqlite::Result<()> {
    rusqlite::Connection::open(path).expect("an SQLite file").execute_batch(sql)
}
