//! Hands on the tables, and damage: refused where it can be, noticed where it cannot.

mod store_support;

use std::{
    fs,
    io::{Seek as _, SeekFrom, Write as _},
};
use store_support::*;
use subak_ledger::store::{
    Batch, Disclosure, Head, Kind, Node, Reader, SqliteReader, SqliteStore, Store, StoreError,
};

const NODES: &[Node] = &[(0, 0, [1; 32]), (0, 1, [2; 32]), (1, 0, [3; 32])];

/// A ledger of two entries and their tree, closed.
fn small() -> (tempfile::TempDir, std::path::PathBuf) {
    let (dir, path) = place();
    let new = entries(0, 2, 40);
    create(&path).append(&[Batch { nodes: NODES, ..batch(Head::EMPTY, &new) }]).expect("append");
    (dir, path)
}

fn reader(path: &std::path::Path) -> SqliteReader {
    SqliteStore::open_reader(path).expect("a reader")
}

#[test]
fn the_log_s_tables_refuse_what_a_log_never_does() {
    let (_dir, path) = small();
    let cases = [
        ("UPDATE entry SET envelope = x'00' WHERE seq = 1", "entries are never updated"),
        ("DELETE FROM entry WHERE seq = 1", "entries are never deleted"),
        (
            "INSERT OR REPLACE INTO entry SELECT ledger, 1, x'', x'', chain FROM entry WHERE seq = 0",
            "after the last one only",
        ),
        (
            "REPLACE INTO entry SELECT ledger, 0, x'', x'', chain FROM entry WHERE seq = 1",
            "after the last one only",
        ),
        (
            "INSERT INTO entry SELECT ledger, 3, leaf, envelope, chain FROM entry WHERE seq = 1",
            "after the last one only",
        ),
        ("UPDATE node SET hash = zeroblob(32)", "tree nodes are never updated"),
        ("DELETE FROM node", "tree nodes are never deleted"),
        ("REPLACE INTO node VALUES (1, 0, 0, zeroblob(32))", "this tree node is there already"),
        ("UPDATE ledger SET id = zeroblob(32)", "ledgers are never updated"),
        ("DELETE FROM ledger", "ledgers are never deleted"),
        ("REPLACE INTO ledger VALUES (1, zeroblob(32), 'mine')", "this ledger is there already"),
        ("REPLACE INTO ledger SELECT 2, id, 'mine' FROM ledger", "this ledger is there already"),
    ];
    for (sql, expected) in cases {
        let error = by_hand(&path, sql).expect_err(sql).to_string();
        assert!(error.contains("a log only grows") && error.contains(expected), "{sql}: {error}");
    }
    assert_eq!(readable(&reader(&path)), 2);
    assert_eq!(reader(&path).integrity().expect("findings"), Vec::<String>::new());
}

/// Without its triggers and checks, as somebody who wants to can have it. Read back by the
/// same schema, so that only the rows give it away.
fn forge(path: &std::path::Path, sql: &str) {
    let conn = rusqlite::Connection::open(path).expect("the file");
    let mut query =
        conn.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").expect("query");
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    let triggers: Vec<(String, String)> = rows.map(|row| row.expect("a trigger")).collect();
    conn.execute_batch("PRAGMA ignore_check_constraints=ON; PRAGMA foreign_keys=OFF")
        .expect("pragma");
    for (name, _) in &triggers {
        conn.execute_batch(&format!("DROP TRIGGER {name}")).expect("drop");
    }
    conn.execute_batch(sql).expect(sql);
    for (_, text) in &triggers {
        conn.execute_batch(text).expect("the trigger again");
    }
}

#[test]
fn forged_rows_are_findings_or_visible_holes() {
    let cases = [
        ("UPDATE entry SET seq = -1 WHERE seq = 0", "ledger number 1: an entry has the number -1"),
        (
            "INSERT INTO node VALUES (1, 64, 0, zeroblob(32))",
            "ledger number 1: tree nodes of a level outside 0 to 63",
        ),
        (
            "INSERT INTO node VALUES (1, -1, 0, zeroblob(32))",
            "ledger number 1: tree nodes of a level outside 0 to 63",
        ),
        (
            "INSERT INTO node VALUES (1, 7, -3, zeroblob(32))",
            "ledger number 1: tree nodes of level 7 before the first",
        ),
        (
            "UPDATE entry SET ledger = 7 WHERE seq = 1",
            "table entry has a row of a ledger that is not listed",
        ),
        (
            "INSERT INTO node VALUES (7, 0, 0, zeroblob(32))",
            "table node has a row of a ledger that is not listed",
        ),
        (
            "INSERT INTO checkpoint VALUES (7, 'note')",
            "table checkpoint has a row of a ledger that is not listed",
        ),
        (
            "INSERT INTO disclosure VALUES (1, x'00', zeroblob(32), 't', 'a', 'f', x'')",
            "ledger number 1, disclosure of 00: its commitment or salt is not 32 bytes",
        ),
    ];
    for (sql, expected) in cases {
        let (_dir, path) = small();
        forge(&path, sql);
        let findings = reader(&path).integrity().expect("findings");
        assert!(findings.iter().any(|line| line == expected), "{sql}: {findings:#?}");
    }
    let (_dir, path) = small();
    forge(&path, "UPDATE entry SET seq = 5 WHERE seq = 1");
    let found = reader(&path).entries(&TEA, 0, 9, 9999).expect("entries");
    assert_eq!(found.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [0, 5]);
}

#[test]
fn what_cannot_be_returned_is_corrupt_at_its_place() {
    let entry = |column: &str, kind: &str| {
        format!(
            "ALTER TABLE entry RENAME TO was;
             CREATE TABLE entry (ledger, seq, leaf, envelope, chain, PRIMARY KEY (ledger, seq)) WITHOUT ROWID;
             INSERT INTO entry SELECT * FROM was; UPDATE entry SET {column} = {kind} WHERE seq = 1"
        )
    };
    let cases = [
        (entry("chain", "x'00ff'"), "chain should be 32 bytes, found 2 bytes"),
        (entry("leaf", "NULL"), "leaf should be bytes, found NULL"),
        (entry("envelope", "'text'"), "envelope should be bytes, found text of 4 bytes"),
        (entry("leaf", "17"), "leaf should be bytes, found the number 17"),
    ];
    for (sql, expected) in cases {
        let (_dir, path) = small();
        forge_table(&path, &sql);
        let error = reader(&path).entries(&TEA, 0, 9, 9999).expect_err("entry 1 cannot be read");
        assert!(matches!(error, StoreError::Corrupt { .. }) && error.kind() == Kind::Fault);
        let text = error.to_string();
        assert!(text.contains("ledger number 1, entry 1") && text.contains(expected), "{text}");
        assert_eq!(reader(&path).entries(&TEA, 0, 1, 9999).expect("entry 0 can").len(), 1);
    }
}

/// Replaces a whole table, so triggers on it go too.
fn forge_table(path: &std::path::Path, sql: &str) {
    by_hand(
        path,
        "DROP TRIGGER entry_insert; DROP TRIGGER entry_update; DROP TRIGGER entry_delete",
    )
    .expect("drop");
    by_hand(path, sql).expect(sql);
}

/// A tree whose keys are out of order hands out rows that nobody asked for: pages of them never end.
#[test]
fn disclosures_out_of_their_order_are_damage() {
    let (_dir, path) = place();
    let new = entries(0, 2, 40);
    let text = |commitment| Disclosure {
        commitment,
        salt: [7; 32],
        tag: "t".into(),
        author: "a".into(),
        field: "f".into(),
        bytes: b"text".to_vec(),
    };
    let disclosures = [[0x11; 32], [0x22; 32], [0x33; 32]].map(text);
    let appended = Batch { disclosures: &disclosures, ..batch(Head::EMPTY, &new) };
    create(&path).append(&[appended]).expect("append");
    assert_eq!(reader(&path).disclosures(&TEA, None, 9).expect("all").len(), 3);
    let mut bytes = fs::read(&path).expect("a file");
    // In the table and in its index.
    let places: Vec<usize> =
        (0..bytes.len() - 32).filter(|at| bytes[*at..*at + 32] == [0x22; 32]).collect();
    assert!(!places.is_empty(), "a commitment stands there");
    for at in places {
        bytes[at] |= 0x80;
    }
    fs::write(&path, bytes).expect("write");
    let error = reader(&path).disclosures(&TEA, None, 9).expect_err("they go back");
    assert_eq!(error.kind(), Kind::Fault);
    assert!(error.to_string().contains("rows out of their order"), "{error}");
    // Nor does a page begin before the place where it was to begin.
    for after in [[0x11; 32], [0x22; 32], [0xa2; 32], [0xff; 32]] {
        let page = reader(&path).disclosures(&TEA, Some(&after), 9);
        let ascends = |page: &[Disclosure]| page.iter().all(|it| it.commitment > after);
        assert!(page.as_ref().map_or(true, |page| ascends(page)), "{page:?}");
    }
}

#[test]
fn a_leaf_of_any_length_is_read_as_it_stands() {
    let (_dir, path) = small();
    forge(&path, "UPDATE entry SET leaf = x'0102' WHERE seq = 1");
    let found = reader(&path).entries(&TEA, 1, 1, 9999).expect("entries");
    assert_eq!(found[0].leaf[..], [1, 2]);
}

#[test]
fn a_missing_table_and_a_torn_file_are_corrupt() {
    let (_dir, path) = small();
    by_hand(&path, "DROP TABLE node").expect("drop");
    let text = reader(&path).node(&TEA, 0, 0).expect_err("no table").to_string();
    assert!(text.contains("corrupt store at") && text.contains("no such table: node"), "{text}");

    let (_dir, path) = place();
    grow(&mut create(&path), 300, 400).expect("append");
    let size = fs::metadata(&path).expect("a file").len();
    assert!(size > 60_000, "several pages to tear");
    let mut file = fs::OpenOptions::new().write(true).open(&path).expect("the file");
    file.seek(SeekFrom::Start(size / 2)).expect("seek");
    file.write_all(&vec![0xee; 30_000]).expect("damage");
    drop(file);
    let torn = reader(&path);
    let error = torn.entries(&TEA, 0, 1000, usize::MAX).expect_err("pages are torn");
    assert_eq!(error.kind(), Kind::Fault, "{error}");
    assert!(!torn.integrity().expect("damage is a finding").is_empty());
}
