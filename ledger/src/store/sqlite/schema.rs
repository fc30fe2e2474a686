//! The tables, and how an older file becomes a current one.
//!
//! Owns the SQL of the schema, the mark that tells our files from other programs', and
//! migrations. Guarantees that a migration is one transaction, that the expected schema is
//! never written down twice, and that what a stranger's schema would compute is seen before
//! it does. Leaves out opening files and reading rows.

use rusqlite::{Connection, OptionalExtension as _, Result, Row, TransactionBehavior};
use std::collections::BTreeMap;

/// "SUBK", the mark of ledgers, in SQLite's `application_id`.
pub(super) const APPLICATION_ID: i64 = 0x5355_424b;

/// A kind of file: how it is told from others, and what leads to its schema.
pub(super) struct Format {
    /// SQLite's `application_id`.
    pub(super) mark: i64,
    /// What it is, for people.
    pub(super) what: &'static str,
    /// What leads to each version from the one before.
    pub(super) migrations: &'static [&'static str],
}

/// A file of ledgers.
pub(super) const LEDGERS: Format =
    Format { mark: APPLICATION_ID, what: "Subak ledger", migrations: MIGRATIONS };

/// What leads to each version from the one before; a published step is never edited.
///
/// `entry` and `node` have no row id: with 1,000 rows a transaction that inserted 185,000
/// entries a second against 150,000, in a smaller file. `disclosure` has one: its key is
/// random, and only a slim index should suffer from that. No index on a hash in the hot tables.
/// `node` takes any level; a node of ours writes those above the leaves, whose hashes follow
/// from `entry`.
///
/// The triggers refuse what a log never does, whoever asks. REPLACE deletes without
/// firing DELETE triggers, so the INSERT triggers have to refuse it.
pub(super) const MIGRATIONS: &[&str] = &["
CREATE TABLE ledger (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 32),
    name TEXT NOT NULL
) STRICT;

CREATE TABLE entry (
    ledger INTEGER NOT NULL REFERENCES ledger (number),
    seq INTEGER NOT NULL CHECK (seq >= 0),
    leaf BLOB NOT NULL,
    envelope BLOB NOT NULL,
    chain BLOB NOT NULL CHECK (length(chain) = 32),
    PRIMARY KEY (ledger, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE node (
    ledger INTEGER NOT NULL REFERENCES ledger (number),
    level INTEGER NOT NULL CHECK (level BETWEEN 0 AND 63),
    position INTEGER NOT NULL CHECK (position >= 0),
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (ledger, level, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoint (
    ledger INTEGER PRIMARY KEY REFERENCES ledger (number),
    note TEXT NOT NULL
) STRICT;

CREATE TABLE witnessed (
    ledger INTEGER PRIMARY KEY REFERENCES ledger (number),
    note TEXT NOT NULL
) STRICT;

CREATE TABLE disclosure (
    ledger INTEGER NOT NULL REFERENCES ledger (number),
    commitment BLOB NOT NULL CHECK (length(commitment) = 32),
    salt BLOB NOT NULL CHECK (length(salt) = 32),
    tag TEXT NOT NULL,
    author TEXT NOT NULL,
    field TEXT NOT NULL,
    bytes BLOB NOT NULL,
    UNIQUE (ledger, commitment)
) STRICT;

CREATE TRIGGER ledger_insert BEFORE INSERT ON ledger
WHEN EXISTS (SELECT 1 FROM ledger WHERE number = new.number OR id = new.id)
BEGIN SELECT raise(ABORT, 'a log only grows: this ledger is there already'); END;
CREATE TRIGGER ledger_update BEFORE UPDATE ON ledger
BEGIN SELECT raise(ABORT, 'a log only grows: ledgers are never updated'); END;
CREATE TRIGGER ledger_delete BEFORE DELETE ON ledger
BEGIN SELECT raise(ABORT, 'a log only grows: ledgers are never deleted'); END;

CREATE TRIGGER entry_insert BEFORE INSERT ON entry
WHEN new.seq <> (SELECT coalesce(max(seq) + 1, 0) FROM entry WHERE ledger = new.ledger)
BEGIN SELECT raise(ABORT, 'a log only grows: an entry is inserted after the last one only'); END;
CREATE TRIGGER entry_update BEFORE UPDATE ON entry
BEGIN SELECT raise(ABORT, 'a log only grows: entries are never updated'); END;
CREATE TRIGGER entry_delete BEFORE DELETE ON entry
BEGIN SELECT raise(ABORT, 'a log only grows: entries are never deleted'); END;

CREATE TRIGGER node_insert BEFORE INSERT ON node
WHEN EXISTS (SELECT 1 FROM node
    WHERE ledger = new.ledger AND level = new.level AND position = new.position)
BEGIN SELECT raise(ABORT, 'a log only grows: this tree node is there already'); END;
CREATE TRIGGER node_update BEFORE UPDATE ON node
BEGIN SELECT raise(ABORT, 'a log only grows: tree nodes are never updated'); END;
CREATE TRIGGER node_delete BEFORE DELETE ON node
BEGIN SELECT raise(ABORT, 'a log only grows: tree nodes are never deleted'); END;
"];

/// The version that these migrations lead to.
pub(super) fn current(migrations: &[&str]) -> i64 {
    i64::try_from(migrations.len()).expect("a handful of migrations")
}

/// Takes a file from the version that it has to the newest, all steps or none, and marks
/// it as ours.
pub(super) fn migrate(conn: &mut Connection, mark: i64, migrations: &[&str]) -> Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = usize::try_from(pragma(&tx, "user_version")?).unwrap_or(0);
    if done == migrations.len() {
        return Ok(());
    }
    for step in migrations.iter().skip(done) {
        tx.execute_batch(step)?;
    }
    tx.pragma_update(None, "application_id", mark)?;
    tx.pragma_update(None, "user_version", current(migrations))?;
    tx.commit()
}

/// One of SQLite's integers about a file.
pub(super) fn pragma(conn: &Connection, name: &str) -> Result<i64> {
    conn.pragma_query_value(None, name, |row| row.get(0))
}

/// Name and SQL of every table, trigger, index and view, by kind and name. Indexes that SQLite
/// makes itself follow from the tables.
pub(super) fn objects(conn: &Connection) -> Result<BTreeMap<String, String>> {
    let mut query = conn.prepare(
        "SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_schema
         WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )?;
    let rows = query.query_map([], |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// Columns and indexes that are computed. An integrity check computes all of an index.
const COMPUTED: &str = "
    SELECT 'column ' || x.name || ' of table ' || l.name
    FROM pragma_table_list l, pragma_table_xinfo(l.name) x
    WHERE l.schema = 'main' AND x.hidden <> 0
    UNION ALL
    SELECT 'index ' || i.name FROM pragma_table_list l, pragma_index_list(l.name) i
    WHERE l.schema = 'main' AND
        (i.partial OR EXISTS (SELECT 1 FROM pragma_index_xinfo(i.name) x WHERE x.cid = -2))
    LIMIT 1";

/// The first thing in a file by which reading it is more than reading rows: a view, a virtual
/// table, a computed column or index. None of them is ours, and a stranger's need not end.
pub(super) fn computed(conn: &Connection) -> Result<Option<String>> {
    let mut query = conn.prepare("SELECT type, name, sql FROM sqlite_schema")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (kind, name, sql): (String, String, Option<String>) = row.try_into()?;
        if !is_plain(&kind, sql.as_deref()) {
            return Ok(Some(format!("{kind} {name}")));
        }
    }
    // Not before: these pragmas compile every view that there is.
    conn.query_row(COMPUTED, [], |row| row.get(0)).optional()
}

/// Whether this holds rows, or waits for a writer. SQLite has checked that kind and text agree;
/// a virtual table is of the kind "table" too.
fn is_plain(kind: &str, sql: Option<&str>) -> bool {
    match kind {
        "table" => sql.is_some_and(|sql| sql.starts_with("CREATE TABLE ")),
        "index" | "trigger" => true,
        _ => false,
    }
}

/// How a file's schema differs from ours: one sentence for each way, with all names.
pub(super) fn differences(conn: &Connection, format: &Format) -> Result<Vec<String>> {
    let mut model = Connection::open_in_memory()?;
    migrate(&mut model, format.mark, format.migrations)?;
    let (ours, theirs) = (objects(&model)?, objects(conn)?);
    let names = |those: &mut dyn Iterator<Item = &String>| -> Vec<String> {
        those.map(String::clone).collect()
    };
    let missing = names(&mut ours.keys().filter(|name| !theirs.contains_key(*name)));
    let altered = |(name, sql): &(&String, &String)| ours.get(*name).is_some_and(|o| o != *sql);
    let altered = names(&mut theirs.iter().filter(altered).map(|(name, _)| name));
    let extra = names(&mut theirs.keys().filter(|name| !ours.contains_key(*name)));
    let ways = [
        (missing, "is missing", "are missing"),
        (altered, "is not as this program makes it", "are not as this program makes them"),
        (extra, "does not belong here", "do not belong here"),
    ];
    let said = ways.into_iter().filter(|(names, _, _)| !names.is_empty());
    let sentence = |(names, one, many): (Vec<String>, &str, &str)| {
        format!("{} {}", names.join(", "), if names.len() == 1 { one } else { many })
    };
    Ok(said.map(sentence).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (tempfile::TempDir, Connection) {
        let dir = tempfile::tempdir().expect("a directory");
        let conn = Connection::open(dir.path().join("a.db")).expect("a database");
        (dir, conn)
    }

    const NEXT: &str =
        "CREATE TABLE tag (name TEXT NOT NULL) STRICT; INSERT INTO tag SELECT name FROM ledger;";

    #[test]
    fn an_older_file_keeps_its_rows_and_becomes_current() {
        let (_dir, mut conn) = file();
        migrate(&mut conn, APPLICATION_ID, MIGRATIONS).expect("first");
        conn.execute("INSERT INTO ledger VALUES (1, zeroblob(32), 'tea')", []).expect("a row");
        let newer = [MIGRATIONS, &[NEXT]].concat();
        for _ in 0..2 {
            migrate(&mut conn, APPLICATION_ID, &newer)
                .expect("the second time there is nothing to do");
        }
        assert_eq!(pragma(&conn, "user_version").expect("version"), 2);
        let kept: String =
            conn.query_row("SELECT name FROM tag", [], |row| row.get(0)).expect("one row");
        assert_eq!(kept, "tea");
    }

    #[test]
    fn a_migration_that_fails_half_way_leaves_the_file_as_it_was() {
        let (_dir, mut conn) = file();
        migrate(&mut conn, APPLICATION_ID, MIGRATIONS).expect("first");
        let before = objects(&conn).expect("objects");
        let newer = [MIGRATIONS, &[NEXT, "CREATE TABLE ledger (number INTEGER)"]].concat();
        assert!(migrate(&mut conn, APPLICATION_ID, &newer).is_err());
        assert_eq!(objects(&conn).expect("objects"), before);
        assert_eq!(pragma(&conn, "user_version").expect("version"), 1);
    }
}
