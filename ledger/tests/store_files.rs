//! What a path can turn out to be, and who may hold it: each case its own error and next step.

mod store_support;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};
use store_support::*;
use subak_ledger::store::{Kind, Reader, SqliteStore, StoreError};

/// What opening gives, for reading and for writing without leave to create.
fn refusals(path: &Path) -> [StoreError; 2] {
    [
        SqliteStore::open_reader(path).expect_err("no reader"),
        SqliteStore::open_writer(path, false).expect_err("no writer"),
    ]
}

#[test]
fn what_is_no_ledger_is_named_and_left_alone() {
    let (dir, _) = place();
    let file = |name: &str, content: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, content).expect("a file");
        path
    };
    let foreign = dir.path().join("foreign.db");
    by_hand(&foreign, "CREATE TABLE recipe (dish TEXT)").expect("another program's file");
    let newer = dir.path().join("newer.db");
    drop(create(&newer));
    by_hand(&newer, "PRAGMA user_version = 99").expect("a later version");
    let cases: &[(PathBuf, &str, Kind)] = &[
        (dir.path().join("nowhere.db"), "missing", Kind::Argument),
        (dir.path().join("no/such/dir.db"), "missing", Kind::Argument),
        (dir.path().to_path_buf(), "directory", Kind::Argument),
        (file("text.db", b"dear treasurer, this is no database"), "not-sqlite", Kind::Fault),
        (file("short.db", b"SQL"), "not-sqlite", Kind::Fault),
        (file("empty.db", b""), "not-a-ledger", Kind::Fault),
        (foreign, "not-a-ledger", Kind::Fault),
        (newer, "too-new", Kind::Argument),
    ];
    for (path, code, kind) in cases {
        let before = fs::read(path).ok();
        for error in refusals(path) {
            assert_eq!((error.code(), error.kind()), (*code, *kind), "{error}");
            assert!(
                error.to_string().contains(&*path.file_name().expect("a name").to_string_lossy()),
                "{error}"
            );
        }
        assert_eq!(fs::read(path).ok(), before, "{} was changed", path.display());
    }
}

#[test]
fn a_stranger_s_file_is_not_taken_over_even_with_leave_to_create() {
    let (_dir, path) = place();
    by_hand(&path, "CREATE TABLE recipe (dish TEXT)").expect("another program's file");
    let error = SqliteStore::open_writer(&path, true).expect_err("refused");
    assert_eq!(error.code(), "not-a-ledger");
    by_hand(&path, "SELECT dish FROM recipe").expect("as it was");
}

#[test]
fn every_error_has_its_own_code_and_next_step() {
    let path = PathBuf::from("x.db");
    let (p, detail) = (|| path.clone(), || String::from("d"));
    let head = subak_ledger::store::Head::EMPTY;
    let all = [
        StoreError::HeadMoved { ledger: TEA, expected: head, found: head },
        StoreError::Locked { path: p() },
        StoreError::DiskFull { path: p() },
        StoreError::Io { path: p(), detail: detail() },
        StoreError::Missing { path: p() },
        StoreError::Directory { path: p() },
        StoreError::Unreadable { path: p(), detail: detail() },
        StoreError::Unwritable { path: p(), detail: detail() },
        StoreError::UnmergedJournal { path: p() },
        StoreError::Exists { path: p() },
        StoreError::NotSqlite { path: p() },
        StoreError::NotALedger { path: p(), detail: detail() },
        StoreError::TooNew { path: p(), found: 2, known: 1 },
        StoreError::TooOld { path: p(), found: 1, known: 2 },
        StoreError::Corrupt { place: detail(), detail: detail() },
    ];
    let codes: BTreeSet<_> = all.iter().map(StoreError::code).collect();
    let steps: BTreeSet<_> = all.iter().map(StoreError::next).collect();
    assert_eq!((codes.len(), steps.len()), (all.len(), all.len()));
}

#[test]
fn an_older_file_is_for_a_writer_to_migrate() {
    let (_dir, path) = place();
    drop(create(&path));
    by_hand(&path, "PRAGMA user_version = 0").expect("as if older");
    let error = SqliteStore::open_reader(&path).expect_err("a reader changes nothing");
    assert_eq!(error.code(), "too-old");
}

#[test]
fn creation_cut_short_is_taken_up_again() {
    let (_dir, path) = place();
    fs::write(&path, b"").expect("a file without content");
    grow(&mut create(&path), 2, 10).expect("a ledger");
    assert_eq!(readable(&SqliteStore::open_reader(&path).expect("reader")), 2);
}

#[test]
fn a_second_writer_is_kept_out_and_readers_are_not() {
    let (dir, path) = place();
    let mut first = create(&path);
    let link = dir.path().join("link.db");
    #[cfg(unix)]
    std::os::unix::fs::symlink(&path, &link).expect("a link");
    #[cfg(not(unix))]
    let link = path.clone();
    for name in [&path, &link] {
        let error = SqliteStore::open_writer(name, true).expect_err("there is a writer");
        assert_eq!((error.code(), error.kind()), ("locked", Kind::World));
        assert!(error.to_string().contains("tea.db"), "{error}");
    }
    grow(&mut first, 2, 10).expect("the first is not disturbed");
    assert_eq!(readable(&SqliteStore::open_reader(&link).expect("reader")), 2);
    drop(first);
    grow(&mut SqliteStore::open_writer(&path, false).expect("now it is free"), 1, 10)
        .expect("append");
}

#[test]
fn a_foreign_schema_is_reported_to_readers_and_refused_to_writers() {
    let cases = [
        ("DROP TRIGGER entry_update", "trigger entry_update is missing"),
        ("CREATE TABLE spare (x)", "table spare does not belong here"),
        (
            "DROP TRIGGER node_delete; CREATE TRIGGER node_delete AFTER DELETE ON node BEGIN SELECT 1; END",
            "trigger node_delete is not as this program makes it",
        ),
        ("CREATE INDEX quick ON entry (chain)", "index quick does not belong here"),
    ];
    for (sql, expected) in cases {
        let (_dir, path) = place();
        grow(&mut create(&path), 2, 10).expect("append");
        by_hand(&path, sql).expect("somebody's idea");
        let reader = SqliteStore::open_reader(&path).expect("an auditor must be able to read it");
        assert_eq!(reader.integrity().expect("findings"), [expected]);
        let error = SqliteStore::open_writer(&path, false).expect_err("refused");
        assert!(error.code() == "corrupt" && error.to_string().contains(expected), "{error}");
    }
}

/// Reading a stranger's file runs nothing of the stranger's: a view under one of our names may
/// never end. Refused when it is opened, so before any query could meet it.
#[test]
fn a_file_that_computes_is_read_by_nobody() {
    let view = "CREATE VIEW ledger AS
                WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
                SELECT i AS number, zeroblob(32) AS id, 'x' AS name FROM n;";
    let hidden = "PRAGMA writable_schema = ON;
                  UPDATE sqlite_schema SET type = 'trigger' WHERE type = 'view'";
    let without = |table: &str, then: &str| format!("DROP TABLE {table}; {then}");
    let cases = [
        (without("ledger", view), "computed: view ledger"),
        // Listed as something else, it is SQLite that refuses it.
        (without("ledger", &format!("{view} {hidden}")), "malformed database schema (ledger)"),
        ("CREATE VIEW entries AS SELECT * FROM entry".into(), "computed: view entries"),
        (
            without("node", "CREATE VIRTUAL TABLE node USING fts5(ledger, level, position, hash)"),
            "computed: table node",
        ),
        (
            without("checkpoint", "CREATE TABLE checkpoint (ledger, note AS (hex(ledger)))"),
            "computed: column note of table checkpoint",
        ),
        ("CREATE INDEX slow ON entry (hex(leaf))".into(), "computed: index slow"),
        ("CREATE INDEX slow ON entry (leaf) WHERE leaf GLOB '*a*b'".into(), "computed: index slow"),
    ];
    for (sql, expected) in cases {
        let (_dir, path) = place();
        grow(&mut create(&path), 2, 10).expect("append");
        by_hand(&path, &format!("PRAGMA foreign_keys = OFF; {sql}")).expect(&sql);
        for error in refusals(&path) {
            assert_eq!((error.code(), error.kind()), ("corrupt", Kind::Fault), "{sql}: {error}");
            assert!(error.to_string().contains(expected), "{sql}: {error}");
        }
    }
}

/// What a person without special rights meets. Root may write anywhere, so there is nothing to see then.
#[cfg(unix)]
#[test]
fn read_only_ground_is_read_if_no_journal_waits() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, path) = place();
    let allow = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    };
    let mut writer = create(&path);
    grow(&mut writer, 3, 10).expect("append");
    let journal =
        fs::read(dir.path().join("tea.db-wal")).expect("a journal while the writer lives");
    drop(writer);
    allow(dir.path(), 0o555);
    if fs::write(dir.path().join("probe"), b"").is_ok() {
        println!("skipped: this user may write to a read-only directory");
        return;
    }
    assert_eq!(readable(&SqliteStore::open_reader(&path).expect("immutable")), 3);
    let error = SqliteStore::open_writer(&path, false).expect_err("a writer needs its directory");
    assert_eq!(error.code(), "unwritable", "{error}");

    allow(dir.path(), 0o755);
    fs::write(dir.path().join("tea.db-wal"), journal).expect("the journal comes back");
    allow(dir.path(), 0o555);
    assert_eq!(
        SqliteStore::open_reader(&path).expect_err("entries wait there").code(),
        "unmerged-journal"
    );
    allow(dir.path(), 0o755);

    allow(&path, 0o444);
    assert_eq!(SqliteStore::open_writer(&path, false).expect_err("read-only").code(), "unwritable");
    allow(&path, 0o000);
    for error in refusals(&path) {
        assert_eq!(error.code(), "unreadable");
    }
}
