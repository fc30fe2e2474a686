//! Hands on the file: every table edited by SQL, and raw bytes of the file.
#![allow(clippy::unwrap_used)]

mod audit_support;
mod kit;

use audit_support::*;
use std::{fs, path::Path, sync::OnceLock};
use subak_ledger::{
    audit::{Audit, Code, Options, Severity, Verdict, audit},
    store::{Reader, SqliteReader, SqliteStore, StoreError},
};

/// Two sound ledgers in a file, as bytes: made once, copied for every case.
fn sound_file() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sound.db");
        in_file(&path, &cycle().logs());
        // The last connection that closes empties the journal into the file.
        drop(SqliteStore::open_writer(&path, false).unwrap());
        fs::read(&path).unwrap()
    })
}

fn copy() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("copy.db");
    fs::write(&path, sound_file()).unwrap();
    (dir, path)
}

/// Runs SQL as somebody does who knows the format: without checks and triggers, and with
/// the triggers back in place afterwards.
fn forge(path: &Path, sql: &str) {
    let conn = rusqlite::Connection::open(path).unwrap();
    let mut query =
        conn.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let triggers: Vec<(String, String)> = rows.map(Result::unwrap).collect();
    conn.execute_batch("PRAGMA ignore_check_constraints=ON; PRAGMA foreign_keys=OFF").unwrap();
    for (name, _) in &triggers {
        conn.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
    }
    conn.execute_batch(sql).expect(sql);
    for (_, text) in &triggers {
        conn.execute_batch(text).unwrap();
    }
}

fn audit_file(path: &Path) -> Result<Audit, StoreError> {
    Ok(audit_store(&open_frozen(path)?))
}

fn open_frozen(path: &Path) -> Result<SqliteReader, StoreError> {
    let reader = SqliteStore::open_reader(path)?;
    reader.freeze()?;
    Ok(reader)
}

/// What the first fault must be: in a ledger of the file (1 or 2; 0 the file), at an entry.
type Expected = (Code, Option<u64>);

#[test]
fn each_table_edited_by_hand_is_a_fault_at_its_entry() {
    let (_dir, path) = copy();
    let sound = audit_file(&path).unwrap();
    assert_eq!(sound.verdict, Verdict::Sound, "the control");
    let n = sound.ledgers[0].size; // of ledger 1
    let last = n - 1;
    let cases: Vec<(String, Expected)> = vec![
        // entry
        ("UPDATE entry SET envelope = CAST(envelope || x'00' AS BLOB) WHERE ledger = 1 AND seq = 5".into(), (Code::EnvelopeDigest, Some(5))),
        ("UPDATE entry SET envelope = x'' WHERE ledger = 1 AND seq = 5".into(), (Code::Statement, Some(5))),
        ("UPDATE entry SET envelope = (SELECT envelope FROM entry WHERE ledger = 1 AND seq = 6) WHERE ledger = 1 AND seq = 5".into(), (Code::EnvelopeDigest, Some(5))),
        ("UPDATE entry SET leaf = zeroblob(113) WHERE ledger = 1 AND seq = 5".into(), (Code::LeafForm, Some(5))),
        ("UPDATE entry SET leaf = x'01' WHERE ledger = 1 AND seq = 5".into(), (Code::LeafForm, Some(5))),
        ("UPDATE entry SET leaf = (SELECT leaf FROM entry WHERE ledger = 1 AND seq = 4) WHERE ledger = 1 AND seq = 5".into(), (Code::LeafPlace, Some(5))),
        ("UPDATE entry SET leaf = (SELECT leaf FROM entry WHERE ledger = 2 AND seq = 5) WHERE ledger = 1 AND seq = 5".into(), (Code::LeafLedger, Some(5))),
        ("UPDATE entry SET chain = zeroblob(32) WHERE ledger = 1 AND seq = 5".into(), (Code::ChainStored, Some(5))),
        ("UPDATE entry SET chain = x'00' WHERE ledger = 1 AND seq = 5".into(), (Code::Store, None)),
        ("DELETE FROM entry WHERE ledger = 1 AND seq = 5".into(), (Code::Sequence, Some(5))),
        ("DELETE FROM entry WHERE ledger = 1 AND seq = 0".into(), (Code::Sequence, Some(0))),
        (format!("DELETE FROM entry WHERE ledger = 1 AND seq = {last}"), (Code::CheckpointHead, Some(last))),
        ("DELETE FROM entry WHERE ledger = 1".into(), (Code::Sequence, Some(0))),
        ("UPDATE entry SET seq = 900 WHERE ledger = 1 AND seq = 5; UPDATE entry SET seq = 5 WHERE ledger = 1 AND seq = 6; UPDATE entry SET seq = 6 WHERE seq = 900".into(), (Code::LeafPlace, Some(5))),
        (format!("INSERT INTO entry SELECT ledger, {n}, leaf, envelope, chain FROM entry WHERE ledger = 1 AND seq = {last}"), (Code::LeafPlace, Some(n))),
        (format!("UPDATE entry SET seq = 9223372036854775807 WHERE ledger = 1 AND seq = {last}"), (Code::Sequence, Some(last))),
        (format!("INSERT INTO entry SELECT 2, seq, leaf, envelope, chain FROM entry WHERE ledger = 1 AND seq = {last}"), (Code::Sequence, Some(sound.ledgers[1].size))),
        // node
        ("DELETE FROM node WHERE ledger = 1 AND level = 1 AND position = 2".into(), (Code::TreeNode, Some(5))),
        ("UPDATE node SET hash = zeroblob(32) WHERE ledger = 1 AND level = 1 AND position = 2".into(), (Code::TreeNode, Some(5))),
        (format!("INSERT INTO node VALUES (1, 0, {n}, zeroblob(32))"), (Code::TreeNode, None)),
        ("INSERT INTO node VALUES (1, 40, 0, zeroblob(32))".into(), (Code::TreeNode, None)),
        ("INSERT INTO node VALUES (1, 200, 0, zeroblob(32))".into(), (Code::Store, None)),
        // checkpoint
        ("DELETE FROM checkpoint WHERE ledger = 1".into(), (Code::CheckpointMissing, None)),
        ("UPDATE checkpoint SET note = '' WHERE ledger = 1".into(), (Code::Checkpoint, None)),
        ("UPDATE checkpoint SET note = (SELECT note FROM checkpoint WHERE ledger = 2) WHERE ledger = 1".into(), (Code::Checkpoint, None)),
        ("INSERT INTO checkpoint VALUES (77, 'x')".into(), (Code::Store, None)),
        // disclosure
        ("UPDATE disclosure SET bytes = x'00'".into(), (Code::Disclosure, Some(2))),
        ("UPDATE disclosure SET salt = zeroblob(32)".into(), (Code::Disclosure, Some(2))),
        ("UPDATE disclosure SET salt = zeroblob(32), bytes = zeroblob(length(bytes)), tag = '*', author = '*'".into(), (Code::Disclosure, Some(2))),
        ("UPDATE disclosure SET salt = zeroblob(32), tag = '*', author = '*', field = '*'".into(), (Code::Disclosure, Some(2))),
        ("UPDATE disclosure SET field = 'email'".into(), (Code::Disclosure, Some(2))),
        ("UPDATE disclosure SET tag = ''".into(), (Code::Disclosure, Some(2))),
        ("UPDATE disclosure SET author = 'ANA'".into(), (Code::Disclosure, Some(2))),
        ("UPDATE disclosure SET ledger = 2".into(), (Code::Disclosure, None)),
        ("INSERT INTO disclosure VALUES (1, zeroblob(32), zeroblob(32), '', '', '', x'')".into(), (Code::Disclosure, None)),
        ("INSERT INTO disclosure VALUES (9, zeroblob(32), zeroblob(32), '', '', '', x'')".into(), (Code::Store, None)),
        // ledger
        ("UPDATE ledger SET name = 'other-commons' WHERE number = 1".into(), (Code::LedgerName, Some(0))),
        ("UPDATE ledger SET id = zeroblob(32) WHERE number = 1".into(), (Code::LeafLedger, Some(0))),
        ("UPDATE ledger SET id = x'00' WHERE number = 1".into(), (Code::Store, None)),
        ("INSERT INTO ledger VALUES (3, zeroblob(32), 'mine')".into(), (Code::Sequence, Some(0))),
        ("DELETE FROM ledger WHERE number = 1".into(), (Code::Store, None)),
        // the schema
        ("CREATE TABLE notes (text TEXT)".into(), (Code::Store, None)),
        ("CREATE INDEX by_chain ON entry (chain)".into(), (Code::Store, None)),
        ("CREATE TRIGGER zz AFTER INSERT ON checkpoint BEGIN DELETE FROM disclosure; END".into(), (Code::Store, None)),
        ("DROP TABLE node".into(), (Code::Store, None)),
    ];
    for (sql, (code, entry)) in cases {
        let (_dir, path) = copy();
        // Triggers of a table that is dropped cannot come back.
        if sql.starts_with("DROP") {
            rusqlite::Connection::open(&path).unwrap().execute_batch(&sql).unwrap();
        } else {
            forge(&path, &sql);
        }
        let found = audit_file(&path).unwrap();
        // A copy that is on its way has none yet either.
        let gap = code == Code::CheckpointMissing;
        assert_eq!(found.verdict, if gap { Verdict::Gap } else { Verdict::Fault }, "{sql}");
        let right = |f: &subak_ledger::audit::Finding| (f.code, f.entry) == (code, entry);
        assert!(found.findings.iter().any(right), "{sql}: {:#?}", found.findings);
        let at_entries = found.findings.iter().filter(|f| f.severity == Severity::Fault);
        let first = at_entries.filter_map(|f| f.entry).min();
        assert!(entry.is_none() || first == entry, "{sql}: first at {first:?}");
    }
}

#[test]
fn a_trigger_removed_is_a_fault() {
    let (_dir, path) = copy();
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch("DROP TRIGGER entry_update").unwrap();
    let found = audit_file(&path).unwrap();
    assert!(found.findings[0].message.contains("trigger entry_update is missing"));
    assert_eq!(found.verdict, Verdict::Fault);
}

#[test]
fn what_is_wrong_in_one_way_is_one_finding_that_names_all() {
    let (_dir, path) = copy();
    let conn = rusqlite::Connection::open(&path).unwrap();
    let triggers = "DROP TRIGGER entry_update; DROP TRIGGER entry_delete";
    conn.execute_batch(triggers).unwrap();
    conn.execute_batch("UPDATE entry SET envelope = x'' WHERE ledger = 1 AND seq = 5").unwrap();
    let found = audit_file(&path).unwrap();
    let faults: Vec<_> =
        found.findings.iter().filter(|f| f.severity == Severity::Fault).take(2).collect();
    let names = "trigger entry_delete, trigger entry_update are missing";
    assert!(faults[0].message.contains(names), "{}", faults[0].message);
    assert_eq!((faults[1].code, faults[1].entry), (Code::EnvelopeDigest, Some(5)), "the real one");
}

/// Every row of one ledger, or of all, as if it had never been here.
fn take_out(path: &Path, ledger: &str) {
    let tables = ["disclosure", "checkpoint", "node", "entry"];
    let rows = tables.map(|table| format!("DELETE FROM {table} WHERE ledger {ledger};")).concat();
    forge(path, &format!("{rows} DELETE FROM ledger WHERE number {ledger}"));
}

#[test]
fn a_ledger_taken_out_whole_is_missed_by_whoever_expects_its_operator() {
    let cycle = cycle();
    let operators = [cycle.commons.operator.public(), cycle.phyle.operator.public()];
    let audited = |path: &Path, several_stores: bool| {
        let expect_operator = operators.to_vec();
        let options = Options { threads: 1, expect_operator, several_stores, ..Options::default() };
        audit(&open_frozen(path).unwrap(), &options).unwrap()
    };
    let (_dir, path) = copy();
    assert_eq!(audited(&path, false).verdict, Verdict::Sound, "the control: both are here");
    take_out(&path, "= 2");
    assert_eq!(audit_file(&path).unwrap().verdict, Verdict::Sound, "nobody told it what to expect");
    let found = audited(&path, false);
    assert_eq!(found.verdict, Verdict::Fault);
    let fault = &found.findings[0];
    assert_eq!((fault.code, fault.ledger, fault.entry), (Code::OperatorMissing, None, None));
    let key = hex::encode(operators[1].bytes());
    assert!(fault.message.contains(&key), "{}", fault.message);
    // The other ledger may be in another file: then only both files together can lack it.
    let first = audited(&path, true);
    assert_eq!(first.verdict, Verdict::Sound);
    let (_dir, path) = copy();
    take_out(&path, "= 1");
    let second = audited(&path, true);
    let both = || first.ledgers.iter().chain(&second.ledgers);
    assert_eq!(subak_ledger::audit::operators(both(), &operators), vec![]);
    assert_eq!(subak_ledger::audit::operators(both().skip(1), &operators).len(), 1);
}

#[test]
fn a_file_without_any_ledger_is_a_gap_and_a_fault_where_one_was_expected() {
    let (_dir, path) = copy();
    take_out(&path, "> 0");
    let found = audit_file(&path).unwrap();
    assert_eq!((found.verdict, found.findings.len()), (Verdict::Gap, 1));
    assert_eq!(found.findings[0].code, Code::NoLedger);
    let expect_operator = vec![cycle().commons.operator.public()];
    let options = Options { threads: 1, expect_operator, ..Options::default() };
    let found = audit(&open_frozen(&path).unwrap(), &options).unwrap();
    assert_eq!(found.verdict, Verdict::Fault);
    assert!(found.findings.iter().any(|f| f.code == Code::OperatorMissing));
}

#[test]
fn a_file_with_another_mark_or_version_or_a_view_is_refused_with_the_reason() {
    for (sql, expected) in [
        ("PRAGMA application_id = 7", "not-a-ledger"),
        ("PRAGMA user_version = 99", "too-new"),
        ("PRAGMA user_version = 0", "too-old"),
        ("CREATE VIEW entries AS SELECT * FROM entry", "corrupt"),
    ] {
        let (_dir, path) = copy();
        rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        assert_eq!(audit_file(&path).unwrap_err().code(), expected, "{sql}");
    }
}

/// Everything that the file says, as a reader reads it.
fn content(path: &Path) -> Result<impl PartialEq + use<>, StoreError> {
    let reader = open_frozen(path)?;
    let mut all = Vec::new();
    for row in reader.ledgers()? {
        let nodes = (0..8).map(|level| reader.nodes(&row.id, level, 0, 1_000));
        all.push((
            reader.entries(&row.id, 0, 1_000, usize::MAX)?,
            nodes.collect::<Result<Vec<_>, _>>()?,
            reader.checkpoint(&row.id)?,
            reader.disclosures(&row.id, None, 1_000)?,
            row,
        ));
    }
    Ok(all)
}

/// Bits of the file itself, spread over all its pages: whatever they hit, the audit ends
/// with a verdict or a reason, and says sound only if the file still says the same.
#[test]
fn a_bit_of_the_file_is_noticed_or_means_nothing() {
    let original = {
        let (_dir, path) = copy();
        content(&path).unwrap()
    };
    let bytes = sound_file();
    let long = std::env::var_os("SUBAK_LONG").is_some();
    let (stride, mut faults, mut sound, mut refused) = (if long { 41 } else { 1_201 }, 0, 0, 0);
    for at in (0..bytes.len()).step_by(stride).chain(0..100) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bit.db");
        let mut altered = bytes.to_vec();
        altered[at] ^= 1 << (at % 8);
        fs::write(&path, altered).unwrap();
        match audit_file(&path) {
            Err(_) => refused += 1,
            Ok(found) if found.verdict == Verdict::Sound => {
                assert!(content(&path).unwrap() == original, "byte {at}");
                sound += 1;
            }
            Ok(found) => {
                assert_eq!(found.verdict, Verdict::Fault, "byte {at}: {:?}", found.findings);
                faults += 1;
            }
        }
    }
    println!("{faults} faults, {refused} refused, {sound} without meaning");
    assert!(faults >= 30 && refused >= 10, "the sample meets content and headers");
}
