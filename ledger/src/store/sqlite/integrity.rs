//! What a file says against itself, for the audit.
//!
//! Owns the checks that only SQL can make: pages, schema, references, rows that no honest
//! writer leaves. Guarantees that damage found on the way becomes a finding and not an
//! error. Leaves out the log: chain, tree and signatures are recomputed elsewhere.

use super::{SqliteReader, StoreError, schema};
use crate::store::Result;

/// Each query lists rows that no append makes; a row is one sentence. Only what reading a log
/// from its first entry on cannot come across: what lies before the first, outside every
/// level, or under no ledger. All of them step through the keys; none scans `entry` or `node`,
/// which the audit reads anyway. Lengths are here although the tables have CHECKs for them:
/// SQLite leaves those out on a connection that only reads.
const STRAY_ROWS: &[(&str, &str)] = &[
    (
        "references",
        "WITH RECURSIVE
         owner(place, number) AS (
             SELECT 'entry', min(ledger) FROM entry UNION ALL SELECT 'node', min(ledger) FROM node
             UNION ALL
             SELECT place, CASE place
                 WHEN 'entry' THEN (SELECT min(ledger) FROM entry WHERE ledger > owner.number)
                 ELSE (SELECT min(ledger) FROM node WHERE ledger > owner.number) END
             FROM owner WHERE owner.number IS NOT NULL
         )
         SELECT 'table ' || place || ' has a row of a ledger that is not listed'
         FROM owner WHERE owner.number IS NOT NULL AND owner.number NOT IN (SELECT number FROM ledger)
         UNION ALL SELECT 'table checkpoint has a row of a ledger that is not listed'
         FROM pragma_foreign_key_check('checkpoint')
         UNION ALL SELECT 'table witnessed has a row of a ledger that is not listed'
         FROM pragma_foreign_key_check('witnessed')
         UNION ALL SELECT 'table disclosure has a row of a ledger that is not listed'
         FROM pragma_foreign_key_check('disclosure')
         LIMIT 100",
    ),
    (
        "entries",
        "SELECT 'ledger number ' || number || ': an entry has the number ' ||
                (SELECT min(seq) FROM entry WHERE ledger = number)
         FROM ledger WHERE (SELECT min(seq) FROM entry WHERE ledger = number) < 0",
    ),
    (
        "nodes",
        "WITH RECURSIVE tree(level) AS (SELECT 0 UNION ALL SELECT level + 1 FROM tree WHERE level < 63)
         SELECT 'ledger number ' || number || ': tree nodes of a level outside 0 to 63'
         FROM ledger
         WHERE EXISTS (SELECT 1 FROM node WHERE ledger = number AND level < 0)
            OR EXISTS (SELECT 1 FROM node WHERE ledger = number AND level > 63)
         UNION ALL
         SELECT 'ledger number ' || number || ': tree nodes of level ' || tree.level || ' before the first'
         FROM ledger, tree
         WHERE EXISTS (SELECT 1 FROM node WHERE ledger = number AND node.level = tree.level AND position < 0)",
    ),
    (
        "lengths",
        "SELECT 'ledger number ' || number || ': its id is not 32 bytes'
         FROM ledger WHERE length(id) <> 32
         UNION ALL SELECT 'ledger number ' || ledger || ', disclosure of ' || hex(commitment) ||
                ': its commitment or salt is not 32 bytes'
         FROM disclosure WHERE length(commitment) <> 32 OR length(salt) <> 32
         LIMIT 100",
    ),
];

pub(super) fn findings(reader: &SqliteReader) -> Result<Vec<String>> {
    let conn = &reader.conn;
    let mut all = schema::differences(conn, &schema::LEDGERS)
        .or_else(|e| finding(reader, "the schema", &e))?;
    let pages = sentences(reader, "PRAGMA integrity_check")
        .or_else(|e| finding(reader, "the pages", &e))?;
    all.extend(pages.into_iter().filter(|line| line != "ok"));
    for (place, sql) in STRAY_ROWS {
        all.extend(sentences(reader, sql).or_else(|e| finding(reader, place, &e))?);
    }
    Ok(all)
}

fn sentences(reader: &SqliteReader, sql: &str) -> rusqlite::Result<Vec<String>> {
    let mut query = reader.conn.prepare(sql)?;
    query.query_map([], |row| Ok(row.get::<_, Option<String>>(0)?.unwrap_or_default()))?.collect()
}

/// Damage is a finding; a failing disk is an error.
fn finding(reader: &SqliteReader, place: &str, error: &rusqlite::Error) -> Result<Vec<String>> {
    match reader.error(place, error) {
        StoreError::Corrupt { detail, .. } => {
            Ok(vec![format!("{place} cannot be checked: {detail}")])
        }
        other => Err(other),
    }
}
