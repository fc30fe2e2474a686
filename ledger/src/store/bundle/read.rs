//! Reading a bundle, in one pass for whoever reads in its order.
//!
//! Owns the cursor. Guarantees that a record is held to its kind, its place and its limit before it is
//! believed to be one, that the file ends where the records end, and that no call keeps more
//! than a page. Whoever goes back makes it begin anew, which is slow and right. Leaves out the
//! hashes: what it returns has not been checked.

use super::{FRAME, Kind, MAGIC, NAME, VERSION, WINDOW_LOG};
use crate::{
    log::{LEAF_LEN, entry::chain_hash},
    store::{
        Disclosure, Hash, Head, Inspection, LedgerRow, Reader, Result, StoreError, StoredEntry,
    },
};
use prost::bytes::Bytes;
use std::{
    cell::RefCell,
    fs::File,
    io::{self, BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
};
use zstd::stream::read::Decoder;

/// The most ledgers that a bundle lists.
const MOST_LEDGERS: usize = 10_000;
/// The most that all LEDGER and CHECKPOINT records may have together, in bytes: they are kept.
const MOST_KEPT: usize = 16 << 20;

/// A bundle, open.
pub struct BundleReader {
    path: PathBuf,
    ledgers: Vec<Listed>,
    cursor: RefCell<Option<Cursor>>,
}

struct Listed {
    row: LedgerRow,
    size: u64,
    checkpoint: Option<String>,
    witnessed: Option<String>,
}

/// Where the next record is.
struct Cursor {
    input: Option<Decoder<'static, BufReader<File>>>,
    /// Read ahead.
    pending: Option<Record>,
    /// Number of the section in which it stands; none before the first.
    section: Option<usize>,
    /// Entries of the section that were read.
    entries: u64,
    /// The last text of the section that was read.
    text: Option<Hash>,
}

struct Record {
    kind: Kind,
    bytes: Vec<u8>,
}

impl BundleReader {
    /// Whether a file says that it is a bundle, of whatever version.
    pub fn is_bundle(path: &Path) -> bool {
        let mut start = [0; MAGIC.len()];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
        read.is_ok() && start[..4] == FRAME[..4] && start[8..].starts_with(NAME)
    }

    /// Opens a bundle and reads what ledgers it holds.
    pub fn open(path: &Path) -> Result<Self> {
        let mut it =
            Self { path: path.to_path_buf(), ledgers: Vec::new(), cursor: RefCell::default() };
        let mut cursor = it.begin()?;
        let mut kept = 0;
        while let Some(record) = it.next(&mut cursor)? {
            kept += record.bytes.len();
            if kept > MOST_KEPT {
                return Err(it.corrupt(&format!("more than {MOST_KEPT} bytes of ledgers listed")));
            }
            match record.kind {
                Kind::Ledger => it.list(&record.bytes)?,
                Kind::Checkpoint | Kind::Witnessed => it.note(record)?,
                Kind::Section | Kind::End => {
                    cursor.pending = Some(record);
                    break;
                }
                Kind::Entry | Kind::Text => return Err(it.out_of_place(record.kind)),
            }
        }
        it.cursor = RefCell::new(Some(cursor));
        Ok(it)
    }

    fn list(&mut self, bytes: &[u8]) -> Result<()> {
        let bad = || self.corrupt("a LEDGER is too short, or its name is no UTF-8");
        let (id, rest) = bytes.split_first_chunk::<32>().ok_or_else(bad)?;
        let (size, name) = rest.split_first_chunk::<8>().ok_or_else(bad)?;
        let name = String::from_utf8(name.to_vec()).map_err(|_| bad())?;
        if self.ledgers.len() == MOST_LEDGERS {
            return Err(self.corrupt(&format!("more than {MOST_LEDGERS} ledgers listed")));
        }
        if self.place(id).is_some() {
            return Err(self.corrupt("a ledger is listed twice"));
        }
        let number = self.ledgers.len() as u64 + 1;
        let row = LedgerRow { id: *id, number, name };
        let size = u64::from_be_bytes(*size);
        self.ledgers.push(Listed { row, size, checkpoint: None, witnessed: None });
        Ok(())
    }

    fn note(&mut self, Record { kind, bytes }: Record) -> Result<()> {
        let text = String::from_utf8(bytes)
            .map_err(|_| self.corrupt(&format!("a {kind:?} is no UTF-8")))?;
        match (kind, self.ledgers.last_mut()) {
            (Kind::Witnessed, Some(last)) if last.witnessed.is_none() => {
                last.witnessed = Some(text);
            }
            (Kind::Checkpoint, Some(Listed { checkpoint: it @ None, witnessed: None, .. })) => {
                *it = Some(text);
            }
            _ => return Err(self.out_of_place(kind)),
        }
        Ok(())
    }

    fn place(&self, ledger: &Hash) -> Option<usize> {
        self.ledgers.iter().position(|listed| listed.row.id == *ledger)
    }

    /// From the first record on.
    fn begin(&self) -> Result<Cursor> {
        let failed = |e: io::Error| self.failed(&e);
        let mut file = File::open(&self.path).map_err(failed)?;
        let mut start = [0; MAGIC.len()];
        file.read_exact(&mut start).map_err(failed)?;
        self.known(&start)?;
        let mut decoder = Decoder::new(file).map_err(failed)?.single_frame();
        decoder.window_log_max(WINDOW_LOG).map_err(failed)?;
        Ok(Cursor { input: Some(decoder), pending: None, section: None, entries: 0, text: None })
    }

    fn known(&self, start: &[u8; MAGIC.len()]) -> Result<()> {
        if start == MAGIC {
            return Ok(());
        }
        let version = start[8..].strip_prefix(NAME).and_then(|rest| {
            std::str::from_utf8(rest).ok()?.trim_end_matches(['\n', '\0', ' ']).parse().ok()
        });
        match version {
            Some(found) if found != VERSION => {
                Err(StoreError::TooNew { path: self.path.clone(), found, known: VERSION })
            }
            _ => Err(self.corrupt("it does not begin as a bundle does")),
        }
    }

    /// The next record; none after END, which must be the end of the file too.
    fn next(&self, cursor: &mut Cursor) -> Result<Option<Record>> {
        if let Some(record) = cursor.pending.take() {
            return Ok(Some(record));
        }
        let Some(input) = cursor.input.as_mut() else { return Ok(None) };
        let mut head = [0; 5];
        input.read_exact(&mut head).map_err(|e| self.failed(&e))?;
        let [byte, length @ ..] = head;
        let kind = Kind::from_byte(byte).ok_or_else(|| {
            self.corrupt(&format!("expected a record's kind, found the byte {byte}"))
        })?;
        let length = u32::from_be_bytes(length) as usize;
        if length > kind.most() {
            let most = kind.most();
            return Err(self.corrupt(&format!("{kind:?}: at most {most} bytes, found {length}")));
        }
        let mut bytes = vec![0; length];
        input.read_exact(&mut bytes).map_err(|e| self.failed(&e))?;
        if kind == Kind::End {
            self.end(cursor.input.take())?;
        }
        Ok(Some(Record { kind, bytes }))
    }

    /// Nothing after the last record, neither in the frame nor behind it.
    fn end(&self, input: Option<Decoder<'static, BufReader<File>>>) -> Result<()> {
        let Some(mut input) = input else { return Ok(()) };
        let within = input.read(&mut [0]).map_err(|e| self.failed(&e))?;
        let mut file = input.finish();
        let behind = file.fill_buf().map_err(|e| self.failed(&e))?.len();
        match within + behind {
            0 => Ok(()),
            _ => Err(self.corrupt("something follows its end")),
        }
    }

    /// The section of a ledger, with the cursor at its first record or further on, but not beyond
    /// where `fits` says.
    fn seek(&self, place: usize, fits: impl Fn(&Cursor) -> bool) -> Result<Cursor> {
        let kept = self.cursor.take().filter(|cursor| match cursor.section {
            Some(section) if section == place => fits(cursor),
            Some(section) => section < place,
            None => true,
        });
        let mut cursor = match kept {
            Some(cursor) => cursor,
            None => self.begin()?,
        };
        while cursor.section != Some(place) {
            let Some(record) = self.next(&mut cursor)? else {
                return Err(self.corrupt("a ledger that is listed is not in it"));
            };
            self.step(&mut cursor, &record)?;
        }
        Ok(cursor)
    }

    /// Takes a record for where the cursor stands.
    fn step(&self, cursor: &mut Cursor, record: &Record) -> Result<()> {
        let size = cursor.section.map(|section| self.ledgers[section].size);
        match record.kind {
            Kind::Ledger | Kind::Checkpoint | Kind::Witnessed if cursor.section.is_none() => {}
            Kind::Entry if size.is_some_and(|size| cursor.entries < size) => cursor.entries += 1,
            Kind::Text if size == Some(cursor.entries) => {
                let commitment = record.bytes.first_chunk::<32>().copied();
                if commitment <= cursor.text {
                    return Err(self.corrupt("texts that are not in order of their commitments"));
                }
                cursor.text = commitment;
            }
            Kind::Section | Kind::End if size.is_none_or(|size| size == cursor.entries) => {
                self.turn(cursor, record)?;
            }
            Kind::Section | Kind::End => {
                let (expected, found) = (size.unwrap_or_default(), cursor.entries);
                let why = format!("a ledger of {expected} entries ends after {found}");
                return Err(self.corrupt(&why));
            }
            kind => return Err(self.out_of_place(kind)),
        }
        Ok(())
    }

    fn turn(&self, cursor: &mut Cursor, record: &Record) -> Result<()> {
        let next = cursor.section.map_or(0, |section| section + 1);
        let expected = self.ledgers.get(next).map(|listed| &listed.row.id[..]);
        let found = Some(&record.bytes[..]).filter(|_| record.kind == Kind::Section);
        if expected != found {
            return Err(self.corrupt("its sections are not those of the ledgers that it lists"));
        }
        cursor.section = Some(next);
        (cursor.entries, cursor.text) = (0, None);
        Ok(())
    }

    fn out_of_place(&self, kind: Kind) -> StoreError {
        self.corrupt(&format!("a record out of place: {kind:?}"))
    }

    fn corrupt(&self, detail: &str) -> StoreError {
        StoreError::Corrupt { place: self.path.display().to_string(), detail: detail.into() }
    }

    /// The decoder's errors are the file's fault, the system's are not.
    fn failed(&self, error: &io::Error) -> StoreError {
        match error.raw_os_error() {
            Some(_) => StoreError::from_io(&self.path, error),
            None => self.corrupt(&format!("it cannot be read on: {error}")),
        }
    }

    fn entry(&self, seq: u64, record: Record) -> Result<StoredEntry> {
        let bytes = Bytes::from(record.bytes);
        let leaf: [u8; LEAF_LEN] = *bytes
            .first_chunk()
            .ok_or_else(|| self.corrupt(&format!("entry {seq} is shorter than a leaf")))?;
        let envelope = bytes.slice(LEAF_LEN..);
        Ok(StoredEntry { seq, leaf: bytes.slice(..LEAF_LEN), envelope, chain: chain_hash(&leaf) })
    }

    fn text(&self, bytes: &[u8]) -> Result<Disclosure> {
        let take = || {
            let (commitment, rest) = bytes.split_first_chunk()?;
            let (salt, rest) = rest.split_first_chunk()?;
            let (tag, rest) = part(rest)?;
            let (author, rest) = part(rest)?;
            let (field, rest) = part(rest)?;
            let (commitment, salt, bytes) = (*commitment, *salt, rest.to_vec());
            Some(Disclosure { commitment, salt, tag, author, field, bytes })
        };
        take().ok_or_else(|| self.corrupt("a TEXT is too short, or its words are no UTF-8"))
    }
}

/// A part with its length before it, and the rest.
fn part(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (part, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    Some((String::from_utf8(part.to_vec()).ok()?, rest))
}

impl Reader for BundleReader {
    fn ledgers(&self) -> Result<Vec<LedgerRow>> {
        Ok(self.ledgers.iter().map(|listed| listed.row.clone()).collect())
    }

    /// The size is the bundle's word, to be held against its entries; the chain hash is not in it.
    fn head(&self, ledger: &Hash) -> Result<Head> {
        let size = self.place(ledger).map_or(0, |place| self.ledgers[place].size);
        Ok(Head { size, ..Head::EMPTY })
    }

    fn entries(
        &self,
        ledger: &Hash,
        from: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredEntry>> {
        let Some(place) = self.place(ledger) else { return Ok(Vec::new()) };
        let size = self.ledgers[place].size;
        let (mut page, mut bytes) = (Vec::new(), 0);
        if from >= size {
            return Ok(page);
        }
        let mut cursor = self.seek(place, |c| c.entries <= from)?;
        while cursor.entries < size && page.len() < limit {
            let Some(record) = self.next(&mut cursor)? else { break };
            if cursor.entries >= from && record.kind == Kind::Entry {
                bytes += record.bytes.len();
                if bytes > max_bytes && !page.is_empty() {
                    cursor.pending = Some(record);
                    break;
                }
            }
            self.step(&mut cursor, &record)?;
            if cursor.entries > from {
                page.push(self.entry(cursor.entries - 1, record)?);
            }
        }
        self.cursor.replace(Some(cursor));
        Ok(page)
    }

    fn keeps_nodes(&self) -> bool {
        false
    }

    fn nodes(&self, _: &Hash, _: u8, _: u64, _: usize) -> Result<Vec<(u64, Hash)>> {
        Ok(Vec::new())
    }

    fn checkpoint(&self, ledger: &Hash) -> Result<Option<String>> {
        Ok(self.place(ledger).and_then(|place| self.ledgers[place].checkpoint.clone()))
    }

    fn witnessed(&self, ledger: &Hash) -> Result<Option<String>> {
        Ok(self.place(ledger).and_then(|place| self.ledgers[place].witnessed.clone()))
    }

    fn disclosures(
        &self,
        ledger: &Hash,
        after: Option<&Hash>,
        limit: usize,
    ) -> Result<Vec<Disclosure>> {
        let Some(place) = self.place(ledger) else { return Ok(Vec::new()) };
        let mut cursor = self.seek(place, |c| c.text.as_ref() <= after)?;
        let mut page = Vec::new();
        while page.len() < limit {
            let Some(record) = self.next(&mut cursor)? else { break };
            let ended = cursor.entries == self.ledgers[place].size;
            if ended && matches!(record.kind, Kind::Section | Kind::End) {
                if record.kind == Kind::End {
                    self.step(&mut Cursor { input: None, pending: None, ..cursor }, &record)?;
                }
                cursor.pending = Some(record);
                break;
            }
            self.step(&mut cursor, &record)?;
            if record.kind == Kind::Text && cursor.text.as_ref() > after {
                page.push(self.text(&record.bytes)?);
            }
        }
        self.cursor.replace(Some(cursor));
        Ok(page)
    }

    fn disclosure(&self, ledger: &Hash, commitment: &Hash) -> Result<Option<Disclosure>> {
        let mut after: Option<Hash> = None;
        loop {
            let page = self.disclosures(ledger, after.as_ref(), 64)?;
            let Some(last) = page.last() else { return Ok(None) };
            after = Some(last.commitment);
            let found = page.into_iter().find(|text| text.commitment == *commitment);
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// Nothing beside what is read: each record is held to the format when it is.
    fn inspection(&self) -> Inspection {
        Box::new(|| Ok(Vec::new()))
    }
}
