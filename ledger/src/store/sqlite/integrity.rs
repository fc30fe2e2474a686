//! What a file says against itself, for the audit.
//!
//! Owns the checks that only SQL can make: pages, schema, references, rows that no honest
//! writer leaves. Guarantees that damage found on the way becomes a finding and not an
//! error. Leaves out the log: chain, tree and signatures are recomputed elsewhere.

use super::{SqliteReader, StoreError, schema};
use crate::store::Result;

/// Each query lists rows that no append makes; a row is one sentence. Lengths are here although
/// the tables have CHECKs for them: SQLite leaves those out on a connection that only reads.
const STRAY_ROWS: &[(&str, &str)] = &[
    ("references", "SELECT 'table ' || \"table\" || ' has a row of a ledger that is not listed' FROM pragma_foreign_key_check LIMIT 100"),
    (
        "entries",
        "SELECT 'ledger number ' || ledger || ': entries have numbers ' || min(seq) || ' to ' || max(seq) ||
                ' but there are ' || count(*)
         FROM entry GROUP BY ledger HAVING min(seq) <> 0 OR max(seq) <> count(*) - 1",
    ),
    (
        "nodes",
        "SELECT 'ledger number ' || ledger || ': ' || count(*) || ' tree nodes of level ' || level ||
                ' lie beyond its ' || size || ' entries, the first is ' || min(position)
         FROM node LEFT JOIN (SELECT ledger AS number, max(seq) + 1 AS size FROM entry GROUP BY ledger)
              ON number = ledger
         WHERE level NOT BETWEEN 0 AND 63 OR position < 0 OR position >= coalesce(size, 0) >> level
         GROUP BY ledger, level",
    ),
    (
        "lengths",
        "SELECT 'ledger number ' || number || ': its id is not 32 bytes'
         FROM ledger WHERE length(id) <> 32
         UNION ALL SELECT 'ledger number ' || ledger || ', entry ' || seq || ': its chain hash is not 32 bytes'
         FROM entry WHERE length(chain) <> 32
         UNION ALL SELECT 'ledger number ' || ledger || ', node ' || position || ' of level ' || level ||
                ': its hash is not 32 bytes'
         FROM node WHERE length(hash) <> 32
         UNION ALL SELECT 'ledger number ' || ledger || ', disclosure of ' || hex(commitment) ||
                ': its commitment or salt is not 32 bytes'
         FROM disclosure WHERE length(commitment) <> 32 OR length(salt) <> 32
         LIMIT 100",
    ),
];

pub(super) fn findings(reader: &SqliteReader) -> Result<Vec<String>> {
    let conn = &reader.conn;
    let mut all = schema::differences(conn).or_else(|e| finding(reader, "the schema", &e))?;
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
