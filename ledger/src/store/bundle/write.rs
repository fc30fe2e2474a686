//! Writing a bundle, from any store.
//!
//! Owns the order and the bytes of the records. Guarantees that a file is new, whole and synced, or not
//! there: one that could not be finished is removed. Leaves out whether what is written is
//! sound, which is the audit's.

use super::{Kind, MAGIC};
use crate::{
    log::LEAF_LEN,
    store::{Disclosure, LedgerRow, Reader, Result, StoreError, StoredEntry, sync_directory},
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
};
use zstd::stream::write::Encoder;

/// Entries, and bytes, that are read at once.
const PAGE: (usize, usize) = (1_000, 1 << 20);
/// Texts that are read at once.
const TEXTS: usize = 64;
/// Fast, with a window of 2^21 bytes, and within two per cent of the slower ones: hashes, keys and signatures do not compress.
const LEVEL: i32 = 3;

/// What a bundle holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exported {
    /// Entries of all ledgers.
    pub entries: u64,
    /// Disclosed texts.
    pub texts: u64,
    /// Size of the file in bytes.
    pub bytes: u64,
}

/// Writes these ledgers of a store to a new file at `path`; texts only if `texts`. `reader` must
/// show one state throughout. `progress` is told of entries done.
pub fn export(
    reader: &dyn Reader,
    ledgers: &[LedgerRow],
    path: &Path,
    texts: bool,
    progress: &dyn Fn(u64),
) -> Result<Exported> {
    let failed = |e: io::Error| StoreError::from_io(path, &e);
    let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    let written = write(reader, ledgers, (path, file), texts, progress);
    if written.is_err() {
        // The first failure is the one to tell.
        let _ = fs::remove_file(path);
    }
    written
}

fn write(
    reader: &dyn Reader,
    ledgers: &[LedgerRow],
    (path, mut file): (&Path, File),
    texts: bool,
    progress: &dyn Fn(u64),
) -> Result<Exported> {
    let failed = |e: io::Error| StoreError::from_io(path, &e);
    file.write_all(MAGIC).map_err(failed)?;
    let mut encoder = Encoder::new(file, LEVEL).map_err(failed)?;
    encoder.include_checksum(true).map_err(failed)?;
    let mut out = Records { path, out: io::BufWriter::new(encoder), done: Exported::default() };
    for row in ledgers {
        let size = reader.head(&row.id)?.size.to_be_bytes();
        out.put(Kind::Ledger, &[&row.id, &size, row.name.as_bytes()])?;
        if let Some(note) = reader.checkpoint(&row.id)? {
            out.put(Kind::Checkpoint, &[note.as_bytes()])?;
        }
        if let Some(note) = reader.witnessed(&row.id)? {
            out.put(Kind::Witnessed, &[note.as_bytes()])?;
        }
    }
    for row in ledgers {
        out.put(Kind::Section, &[&row.id])?;
        out.entries(reader, row, progress)?;
        if texts {
            out.texts(reader, row)?;
        }
    }
    out.put(Kind::End, &[])?;
    let Records { out, mut done, .. } = out;
    let encoder = out.into_inner().map_err(|e| failed(e.into_error()))?;
    let file = encoder.finish().map_err(failed)?;
    file.sync_all().map_err(failed)?;
    sync_directory(path).map_err(failed)?;
    done.bytes = file.metadata().map_err(failed)?.len();
    Ok(done)
}

struct Records<'p, W: Write> {
    path: &'p Path,
    out: W,
    done: Exported,
}

impl<W: Write> Records<'_, W> {
    fn put(&mut self, kind: Kind, parts: &[&[u8]]) -> Result<()> {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        if length > kind.most() {
            let detail = format!("expected at most {} bytes, found {length}", kind.most());
            return Err(StoreError::Corrupt { place: format!("{kind:?}"), detail });
        }
        let length = u32::try_from(length).expect("every kind's limit is below 2^32");
        let failed = |e: io::Error| StoreError::from_io(self.path, &e);
        self.out.write_all(&[kind.byte()]).map_err(failed)?;
        self.out.write_all(&length.to_be_bytes()).map_err(failed)?;
        parts.iter().try_for_each(|part| self.out.write_all(part)).map_err(failed)
    }

    fn entries(
        &mut self,
        reader: &dyn Reader,
        row: &LedgerRow,
        progress: &dyn Fn(u64),
    ) -> Result<()> {
        let (size, mut next) = (reader.head(&row.id)?.size, 0);
        while next < size {
            let page = reader.entries(&row.id, next, PAGE.0, PAGE.1)?;
            if page.is_empty() {
                return Err(missing(row, next));
            }
            for entry in page.iter().take_while(|entry| entry.seq < size) {
                self.entry(row, entry, next)?;
                next += 1;
            }
            self.done.entries += page.len() as u64;
            progress(self.done.entries);
        }
        Ok(())
    }

    fn entry(&mut self, row: &LedgerRow, entry: &StoredEntry, expected: u64) -> Result<()> {
        if entry.seq != expected {
            return Err(missing(row, expected));
        }
        if entry.leaf.len() != LEAF_LEN {
            let place = format!("ledger {} entry {expected}", hex::encode(row.id));
            let found = entry.leaf.len();
            let detail = format!("leaf: expected {LEAF_LEN} bytes, found {found}");
            return Err(StoreError::Corrupt { place, detail });
        }
        self.put(Kind::Entry, &[&entry.leaf, &entry.envelope])
    }

    fn texts(&mut self, reader: &dyn Reader, row: &LedgerRow) -> Result<()> {
        let mut after = None;
        loop {
            let page = reader.disclosures(&row.id, after.as_ref(), TEXTS)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.commitment);
            for text in &page {
                self.text(text)?;
            }
            self.done.texts += page.len() as u64;
        }
    }

    fn text(&mut self, text: &Disclosure) -> Result<()> {
        let Disclosure { commitment, salt, tag, author, field, bytes } = text;
        let length = |part: &str| u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes();
        let [a, b, c] = [tag, author, field].map(|part| length(part));
        let (tag, author, field) = (tag.as_bytes(), author.as_bytes(), field.as_bytes());
        self.put(Kind::Text, &[commitment, salt, &a, tag, &b, author, &c, field, bytes])
    }
}

fn missing(row: &LedgerRow, entry: u64) -> StoreError {
    let place = format!("ledger {} entry {entry}", hex::encode(row.id));
    StoreError::Corrupt { place, detail: "expected an entry, found none".into() }
}
