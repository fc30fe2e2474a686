//! What the figures are held against: the same machine doing the least of the work, or a
//! peer of it.

use crate::report::{cores, rate};
use rusqlite::{Connection, params};
use std::{fs::File, hint::black_box, io::Write as _, path::Path, thread, time::Instant};
use subak_ledger::log::{KeyCache, statement::pae};

/// Strict verifications a second: nothing else, on all cores, keys cached.
pub fn strict(envelopes: &[Vec<u8>]) -> f64 {
    let begun = Instant::now();
    thread::scope(|scope| {
        for part in envelopes.chunks(envelopes.len().div_ceil(cores())) {
            scope.spawn(move || {
                let mut keys = KeyCache::default();
                for envelope in part {
                    let (rest, signature) = envelope.split_last_chunk::<64>().unwrap();
                    let (body, key) = rest.split_last_chunk::<32>().unwrap();
                    assert!(keys.admit(key).unwrap().verify(&pae(body), signature));
                }
            });
        }
    });
    rate(envelopes.len(), begun.elapsed())
}

/// Syncs a second: 4 KiB appended to a file in `dir`, then fdatasync, one after another.
pub fn syncs(dir: &Path, times: usize) -> f64 {
    let mut file = File::create(dir.join("syncs")).unwrap();
    let begun = Instant::now();
    for _ in 0..times {
        file.write_all(&[7; 4096]).unwrap();
        file.sync_data().unwrap();
    }
    rate(times, begun.elapsed())
}

/// Rows a second of SQLite alone, WAL and FULL: one row for each of `rows`, 1,000 a
/// transaction, in a new file in `dir`.
pub fn raw_rows(dir: &Path, rows: &[Vec<u8>]) -> f64 {
    let place = tempfile::tempdir_in(dir).unwrap();
    let mut conn = Connection::open(place.path().join("rows.db")).unwrap();
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE event (seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;",
    )
    .unwrap();
    let begun = Instant::now();
    for part in rows.chunks(1_000) {
        let tx = conn.transaction().unwrap();
        let mut insert = tx.prepare_cached("INSERT INTO event (bytes) VALUES (?1)").unwrap();
        for row in part {
            insert.execute(params![row]).unwrap();
        }
        drop(insert);
        tx.commit().unwrap();
    }
    rate(rows.len(), begun.elapsed())
}

/// Entries a second that are read from a ledger's file in order and hashed once.
pub fn scan(path: &Path) -> f64 {
    let begun = Instant::now();
    let conn = Connection::open(path).unwrap();
    let mut query = conn.prepare("SELECT leaf, envelope FROM entry ORDER BY ledger, seq").unwrap();
    let mut rows = query.query([]).unwrap();
    let mut count = 0;
    while let Some(row) = rows.next().unwrap() {
        black_box(row.get_ref(0).unwrap().as_blob().unwrap());
        black_box(blake3::hash(row.get_ref(1).unwrap().as_blob().unwrap()));
        count += 1;
    }
    rate(count, begun.elapsed())
}
