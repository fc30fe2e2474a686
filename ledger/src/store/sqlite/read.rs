//! Reading rows, with their types checked.
//!
//! Owns every SELECT on the tables. Guarantees bounded ranges, and that a row whose
//! types or lengths cannot be returned is `Corrupt` with its place. Leaves out whether
//! what was read is true.

use super::{SqliteReader, StoreError, classify, corrupt, integrity, open};
use crate::store::{Disclosure, Hash, Head, Inspection, LedgerRow, Reader, Result, StoredEntry};
use prost::bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Params, Row, types::ValueRef};
use std::{
    fmt::{self, Display},
    path::Path,
};

/// Bytes of leaf and envelope of most entries.
const USUAL: usize = 512;

/// Whether a row of the table holds an opening: what was erased has left zeros and asterisks
/// (`append`), of which no handle is made, so no opening looks like it, and what does says
/// nothing.
macro_rules! stands {
    () => {
        "(salt = zeroblob(32) AND bytes = zeroblob(length(bytes)) AND author <> ''
          AND trim(author, '*') = '' AND trim(tag, '*') = '' AND trim(field, '*') = '') IS NOT TRUE"
    };
}

/// A ledger's number in this file, if it is known.
pub(super) fn number(conn: &Connection, path: &Path, ledger: &Hash) -> Result<Option<i64>> {
    let found = conn
        .prepare_cached("SELECT number FROM ledger WHERE id = ?1")
        .and_then(|mut query| query.query_row([ledger], |row| row.get(0)).optional());
    found.map_err(|e| classify(path, "table ledger", &e))
}

/// The head, from the last entry.
pub(super) fn head(conn: &Connection, path: &Path, number: i64) -> Result<Head> {
    let sql = "SELECT seq, chain FROM entry WHERE ledger = ?1 ORDER BY seq DESC LIMIT 1";
    let found = each(conn, path, "table entry", sql, [number], |row| {
        let (seq, at) = position(path, number, row)?;
        Ok(Head { size: seq + 1, chain: hash(path, at, row, 1)? })
    })?;
    Ok(found.first().copied().unwrap_or(Head::EMPTY))
}

impl SqliteReader {
    /// Reads rows of one ledger; none if it is not known.
    fn rows<P: Params, T>(
        &self,
        ledger: &Hash,
        place: &str,
        sql: &str,
        params: impl FnOnce(i64) -> P,
        read: impl FnMut(&Row<'_>, i64) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut read = read;
        match number(&self.conn, &self.path, ledger)? {
            Some(number) => {
                each(&self.conn, &self.path, place, sql, params(number), |row| read(row, number))
            }
            None => Ok(Vec::new()),
        }
    }

    fn read_disclosure(&self, row: &Row<'_>) -> Result<Disclosure> {
        let (path, place) = (&self.path, "table disclosure");
        let commitment = hash(path, place, row, 0)?;
        let at = format!("disclosure of {}", hex::encode(commitment));
        Ok(Disclosure {
            commitment,
            salt: hash(path, &at, row, 1)?,
            tag: text(path, &at, row, 2)?,
            author: text(path, &at, row, 3)?,
            field: text(path, &at, row, 4)?,
            bytes: blob(path, &at, row, 5)?.to_vec(),
        })
    }
}

impl Reader for SqliteReader {
    fn ledgers(&self) -> Result<Vec<LedgerRow>> {
        let (path, sql) = (&self.path, "SELECT number, id, name FROM ledger ORDER BY number");
        each(&self.conn, path, "table ledger", sql, [], |row| {
            let number = natural(path, "table ledger", row, 0)?;
            let at = format!("ledger number {number}");
            Ok(LedgerRow { id: hash(path, &at, row, 1)?, number, name: text(path, &at, row, 2)? })
        })
    }

    fn head(&self, ledger: &Hash) -> Result<Head> {
        let known = number(&self.conn, &self.path, ledger)?;
        known.map_or(Ok(Head::EMPTY), |number| head(&self.conn, &self.path, number))
    }

    fn entries(
        &self,
        ledger: &Hash,
        from: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredEntry>> {
        let Some(number) = number(&self.conn, &self.path, ledger)? else { return Ok(Vec::new()) };
        let failed = |e: rusqlite::Error| classify(&self.path, "table entry", &e);
        let sql = "SELECT seq, leaf, envelope, chain FROM entry
                   WHERE ledger = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3";
        let mut query = self.conn.prepare_cached(sql).map_err(failed)?;
        let mut rows = query.query((number, bound(from), bound(limit as u64))).map_err(failed)?;
        // One piece of memory for all of them: the entries are parts of it.
        let mut found = Vec::new();
        let mut bytes = Vec::with_capacity((limit.min(64) * USUAL).min(max_bytes));
        while let Some(row) = rows.next().map_err(failed)? {
            let (seq, at) = position(&self.path, number, row)?;
            let (leaf, envelope) = (blob(&self.path, at, row, 1)?, blob(&self.path, at, row, 2)?);
            if !found.is_empty() && bytes.len() + leaf.len() + envelope.len() > max_bytes {
                break;
            }
            let chain = hash(&self.path, at, row, 3)?;
            let from = bytes.len();
            bytes.extend_from_slice(leaf);
            let between = bytes.len();
            bytes.extend_from_slice(envelope);
            found.push((seq, from..between, between..bytes.len(), chain));
        }
        let bytes = Bytes::from(bytes);
        let part = |(seq, leaf, envelope, chain)| StoredEntry {
            seq,
            leaf: bytes.slice(leaf),
            envelope: bytes.slice(envelope),
            chain,
        };
        Ok(found.into_iter().map(part).collect())
    }

    fn nodes(&self, ledger: &Hash, level: u8, from: u64, limit: usize) -> Result<Vec<(u64, Hash)>> {
        let sql = "SELECT position, hash FROM node
                   WHERE ledger = ?1 AND level = ?2 AND position >= ?3 ORDER BY position LIMIT ?4";
        let params = |number| (number, level, bound(from), bound(limit as u64));
        self.rows(ledger, "table node", sql, params, |row, number| {
            let index = natural(&self.path, "table node", row, 0)?;
            Ok((index, hash(&self.path, At::Node(number, level, index), row, 1)?))
        })
    }

    fn checkpoint(&self, ledger: &Hash) -> Result<Option<String>> {
        let sql = "SELECT note FROM checkpoint WHERE ledger = ?1";
        let read = |row: &Row<'_>, _| text(&self.path, "table checkpoint", row, 0);
        Ok(self.rows(ledger, "table checkpoint", sql, |number| [number], read)?.pop())
    }

    fn witnessed(&self, ledger: &Hash) -> Result<Option<String>> {
        let sql = "SELECT note FROM witnessed WHERE ledger = ?1";
        let read = |row: &Row<'_>, _| text(&self.path, "table witnessed", row, 0);
        Ok(self.rows(ledger, "table witnessed", sql, |number| [number], read)?.pop())
    }

    fn disclosures(
        &self,
        ledger: &Hash,
        after: Option<&Hash>,
        limit: usize,
    ) -> Result<Vec<Disclosure>> {
        let sql = concat!(
            "SELECT commitment, salt, tag, author, field, bytes FROM disclosure
             WHERE ledger = ?1 AND commitment > ?2 AND ",
            stands!(),
            " ORDER BY commitment LIMIT ?3"
        );
        // The empty blob sorts before every commitment.
        let after = after.map_or(&[][..], |a| &a[..]);
        let params = |number| (number, after, bound(limit as u64));
        let place = "table disclosure";
        let found = self.rows(ledger, place, sql, params, |row, _| self.read_disclosure(row))?;
        // A damaged tree hands out rows that are not what was asked for: the same ones for ever.
        let order = found.iter().map(|disclosure| &disclosure.commitment[..]);
        let ordered = std::iter::once(after).chain(order.clone()).zip(order).all(|(a, b)| a < b);
        if ordered { Ok(found) } else { Err(corrupt(&self.path, place, "rows out of their order")) }
    }

    fn disclosure(&self, ledger: &Hash, commitment: &Hash) -> Result<Option<Disclosure>> {
        let sql = concat!(
            "SELECT commitment, salt, tag, author, field, bytes FROM disclosure
             WHERE ledger = ?1 AND commitment = ?2 AND ",
            stands!()
        );
        let read = |row: &Row<'_>, _| self.read_disclosure(row);
        Ok(self.rows(ledger, "table disclosure", sql, |number| (number, commitment), read)?.pop())
    }

    /// Through a connection of its own.
    fn inspection(&self) -> Inspection {
        let path = self.path.clone();
        Box::new(move || integrity::findings(&open::reader(&path)?))
    }
}

fn each<P: Params, T>(
    conn: &Connection,
    path: &Path,
    place: &str,
    sql: &str,
    params: P,
    mut read: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let failed = |e: rusqlite::Error| classify(path, place, &e);
    let mut query = conn.prepare_cached(sql).map_err(failed)?;
    let mut rows = query.query(params).map_err(failed)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// A bound as SQLite has it. Beyond 2^63 nothing is stored, so the cut changes no answer.
fn bound(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A row by its ledger's number, for whoever is told that it is damaged. Its text is made
/// only then: most rows are not.
#[derive(Clone, Copy)]
enum At {
    Entries(i64),
    Entry(i64, u64),
    Node(i64, u8, u64),
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entries(ledger) => write!(f, "ledger number {ledger}, table entry"),
            Self::Entry(ledger, seq) => write!(f, "ledger number {ledger}, entry {seq}"),
            Self::Node(ledger, level, index) => {
                write!(f, "ledger number {ledger}, node {index} of level {level}")
            }
        }
    }
}

/// The seq in column 0, and how to speak of that place.
fn position(path: &Path, number: i64, row: &Row<'_>) -> Result<(u64, At)> {
    let seq = natural(path, At::Entries(number), row, 0)?;
    Ok((seq, At::Entry(number, seq)))
}

fn natural(path: &Path, place: impl Display + Copy, row: &Row<'_>, column: usize) -> Result<u64> {
    let found = value(path, place, row, column)?;
    let whole = if let ValueRef::Integer(found) = found { u64::try_from(found).ok() } else { None };
    whole.ok_or_else(|| wrong(path, place, row, column, "a whole number from 0", found))
}

fn blob<'r>(
    path: &Path,
    place: impl Display + Copy,
    row: &'r Row<'_>,
    column: usize,
) -> Result<&'r [u8]> {
    match value(path, place, row, column)? {
        ValueRef::Blob(bytes) => Ok(bytes),
        found => Err(wrong(path, place, row, column, "bytes", found)),
    }
}

fn hash(path: &Path, place: impl Display + Copy, row: &Row<'_>, column: usize) -> Result<Hash> {
    let bytes = blob(path, place, row, column)?;
    bytes.try_into().map_err(|_| wrong(path, place, row, column, "32 bytes", ValueRef::Blob(bytes)))
}

fn text(path: &Path, place: impl Display + Copy, row: &Row<'_>, column: usize) -> Result<String> {
    let found = value(path, place, row, column)?;
    let text = found.as_str().map_err(|_| wrong(path, place, row, column, "UTF-8 text", found))?;
    Ok(text.to_owned())
}

fn value<'r>(
    path: &Path,
    place: impl Display + Copy,
    row: &'r Row<'_>,
    column: usize,
) -> Result<ValueRef<'r>> {
    row.get_ref(column).map_err(|e| classify(path, &place.to_string(), &e))
}

fn wrong(
    path: &Path,
    place: impl Display,
    row: &Row<'_>,
    column: usize,
    expected: &str,
    found: ValueRef<'_>,
) -> StoreError {
    let name = row.as_ref().column_name(column).unwrap_or("a column");
    let found = match found {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => format!("the number {number}"),
        ValueRef::Real(_) => "a floating-point number".to_owned(),
        ValueRef::Text(text) => format!("text of {} bytes", text.len()),
        ValueRef::Blob(bytes) => format!("{} bytes", bytes.len()),
    };
    corrupt(path, &place.to_string(), format!("{name} should be {expected}, found {found}"))
}
