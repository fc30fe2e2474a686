//! Writing: one group, one transaction.
//!
//! Owns compare-and-swap and the inserts. Guarantees that all of a group is committed, synced
//! to the disk, or nothing of it; and that what is erased is overwritten where it stands.
//! Leaves out everything about what is inserted.

use super::{StoreError, classify, corrupt, open, read};
use crate::store::{Batch, Hash, Head, Result};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use std::{path::Path, time::Duration};

pub(super) fn group(conn: &mut Connection, path: &Path, batches: &[Batch<'_>]) -> Result<()> {
    let failed = |e: rusqlite::Error| classify(path, "the transaction", &e);
    // Immediate: nobody can commit between our look at the head and our commit.
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    for batch in batches {
        one(&tx, path, batch)?;
    }
    tx.commit().map_err(failed)
}

fn one(tx: &Transaction<'_>, path: &Path, batch: &Batch<'_>) -> Result<()> {
    let number = read::number(tx, path, &batch.ledger)?;
    let found = number.map_or(Ok(Head::EMPTY), |number| read::head(tx, path, number))?;
    let expected = batch.expected;
    if expected != found {
        return Err(StoreError::HeadMoved { ledger: batch.ledger, expected, found });
    }
    let failed = |e: rusqlite::Error| {
        let id = hex::encode(batch.ledger);
        match classify(path, "", &e) {
            // The triggers refused: rows stand where the head says that none can be.
            StoreError::Corrupt { detail, .. } => {
                corrupt(path, &format!("ledger {id} after {found}"), detail)
            }
            other => other,
        }
    };
    let number = match number {
        Some(number) => number,
        None => new_ledger(tx, batch).map_err(failed)?,
    };
    insert(tx, number, found.size, batch).map_err(failed)
}

fn new_ledger(tx: &Transaction<'_>, batch: &Batch<'_>) -> rusqlite::Result<i64> {
    tx.execute("INSERT INTO ledger (id, name) VALUES (?1, ?2)", params![batch.ledger, batch.name])?;
    Ok(tx.last_insert_rowid())
}

fn insert(tx: &Transaction<'_>, number: i64, size: u64, batch: &Batch<'_>) -> rusqlite::Result<()> {
    let mut entry = tx.prepare_cached(
        "INSERT INTO entry (ledger, seq, leaf, envelope, chain) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for (seq, new) in (size..).zip(batch.entries) {
        let (leaf, envelope) = (&new.leaf[..], &new.envelope[..]);
        entry.execute(params![number, signed(seq), leaf, envelope, new.chain])?;
    }
    let mut node = tx.prepare_cached(
        "INSERT INTO node (ledger, level, position, hash) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for (level, index, hash) in batch.nodes {
        node.execute(params![number, level, signed(*index), hash])?;
    }
    if let Some(note) = batch.checkpoint {
        let sql = "INSERT INTO checkpoint (ledger, note) VALUES (?1, ?2)
                   ON CONFLICT (ledger) DO UPDATE SET note = excluded.note";
        tx.prepare_cached(sql)?.execute(params![number, note])?;
    }
    disclose(tx, number, batch)
}

fn disclose(tx: &Transaction<'_>, number: i64, batch: &Batch<'_>) -> rusqlite::Result<()> {
    let mut keep = tx.prepare_cached(
        "INSERT INTO disclosure (ledger, commitment, salt, tag, author, field, bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (ledger, commitment) DO NOTHING",
    )?;
    for d in batch.disclosures {
        keep.execute(params![number, d.commitment, d.salt, d.tag, d.author, d.field, d.bytes])?;
    }
    batch.erasures.iter().try_for_each(|commitment| overwrite(tx, number, commitment))
}

/// Puts an erased opening out, by what is no opening (`read`: `stands!`). Its row stays, and
/// every value keeps its length, so SQLite writes over the very bytes. A row that is deleted
/// can make it move its neighbours to another page, and `secure_delete` does not clear the
/// place that they are moved from: erased later, they would still stand there. Since rows
/// are only added at the end and none is ever removed, no copy of any comes about.
fn overwrite(tx: &Transaction<'_>, number: i64, commitment: &Hash) -> rusqlite::Result<()> {
    let find = "SELECT rowid, octet_length(tag), octet_length(author), octet_length(field)
                FROM disclosure WHERE ledger = ?1 AND commitment = ?2";
    let found = tx
        .prepare_cached(find)?
        .query_row(params![number, commitment], |row| row.try_into())
        .optional()?;
    let Some((row, tag, author, field)): Option<(i64, i64, i64, i64)> = found else {
        return Ok(());
    };
    let blank = |length| "*".repeat(usize::try_from(length).expect("it was in memory"));
    let mut erase = tx.prepare_cached(
        "UPDATE disclosure SET salt = zeroblob(32), tag = ?2, author = ?3, field = ?4,
         bytes = zeroblob(length(bytes)) WHERE rowid = ?1",
    )?;
    erase.execute(params![row, blank(tag), blank(author), blank(field)]).map(drop)
}

/// Keeps a note that witnesses have signed, in a transaction of its own.
pub(super) fn witnessed(conn: &Connection, path: &Path, ledger: &Hash, note: &str) -> Result<()> {
    let sql = "INSERT INTO witnessed (ledger, note) SELECT number, ?2 FROM ledger WHERE id = ?1
               ON CONFLICT (ledger) DO UPDATE SET note = excluded.note";
    let kept = conn.execute(sql, params![ledger, note]);
    kept.map(|_| ()).map_err(|e| classify(path, "table witnessed", &e))
}

/// Moves the -wal file's pages into the database and empties it, so that no erased text stays
/// there. Returns whether that was possible now: a reader can be in the way, and is not
/// waited for. A failure is no failure of the append, which is durable already.
pub(super) fn empty_journal(conn: &Connection) -> bool {
    let _ = conn.busy_timeout(Duration::ZERO);
    let busy = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    let _ = conn.busy_timeout(open::PATIENCE);
    busy == Ok(0)
}

/// A tree has fewer than 2^63 leaves: nobody lives to append the last.
fn signed(position: u64) -> i64 {
    i64::try_from(position).expect("positions in a log stay below 2^63")
}
