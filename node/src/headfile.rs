//! What an operator key has signed last, kept beside it.
//!
//! Owns the head file, `<public key, 64 hex digits>.head` in the key ring. Guarantees that a
//! checkpoint is in it, on the disk, before this node answers with it; that a write which is
//! cut short leaves the one before; and that a database which ends before it, or tells another
//! story, is not appended to. A file that is there holds a checkpoint: one that is emptied,
//! damaged, or changed by another program is noticed. Leaves out a file that was removed, and
//! a ring that was put back together with its database: of these only others can tell, who
//! hold a larger checkpoint. Who reads the database itself sees a stored checkpoint a moment
//! before it is kept.
//!
//! The form: two slots of 4,096 bytes (a disk's sector, so that a write which is cut short
//! touches one), written in turn, each a checkpoint (a signed note) and zeros after it, the
//! second all zeros at first. The larger one that holds counts for where the log must at least go;
//! both must be of it.

use crate::{
    NodeError,
    fold::Folded,
    newest::{self, Standing},
    refusal::{corrupt, older, world},
    ring::{Ring, Use},
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};
use subak_ledger::{
    log::{Checkpoint, Hash, LedgerId, PublicKey, checkpoint::ledger_of_origin},
    store::Reader,
    store::sync_directory,
};

/// A checkpoint has some 300 bytes.
const SLOT: usize = 4_096;
const SLOTS: usize = 2;

/// An operator's last signed head.
#[derive(Debug)]
pub(crate) struct HeadFile {
    path: PathBuf,
    /// The file as this process left it; nothing where nothing was ever kept. It is open only
    /// while it is read or written: a node may have more ledgers than files may be open.
    image: Vec<u8>,
    /// The slot that is written next.
    next: usize,
    signed: Option<Checkpoint>,
    /// What the other slot holds.
    before: Option<Checkpoint>,
}

impl HeadFile {
    /// Opens the file of an operator's key. Where there is none, the first head makes it.
    pub(crate) fn open(
        ring: &Ring,
        ledger: LedgerId,
        operator: &PublicKey,
    ) -> Result<Self, NodeError> {
        let path = ring.path(&operator.bytes(), Use::Operator).with_extension("head");
        let failed = |error: io::Error| failed(&path, &error);
        let Some(mut file) = find(&path).map_err(failed)? else {
            return Ok(Self { path, image: Vec::new(), next: 0, signed: None, before: None });
        };
        // What the process before wrote, and died before it was synced, counts from here on.
        file.sync_data().map_err(failed)?;
        let bytes = read(&mut file).map_err(failed)?;
        let held: Vec<Option<Checkpoint>> = bytes
            .chunks(SLOT)
            .map(|slot| {
                let text = std::str::from_utf8(slot).ok()?.trim_end_matches('\0');
                Checkpoint::open(text, ledger, operator).ok()
            })
            .collect();
        let size = |slot: usize| held.get(slot).and_then(Option::as_ref).map(|head| head.size);
        let newest = (0..SLOTS).max_by_key(|slot| size(*slot)).expect("there are two");
        let signed = held.get(newest).copied().flatten();
        let next = (newest + 1) % SLOTS;
        let before = held.get(next).copied().flatten();
        if signed.is_none() {
            return Err(corrupt(
                format!("{}: it holds no checkpoint of its key for {ledger}", path.display()),
                "put back the file that belongs to the key; if it is lost, compare the ledger \
                 with a copy that others hold, and only then remove the file",
            ));
        }
        Ok(Self { path, image: bytes, next, signed, before })
    }

    /// The ledger that it is of; none before anything was kept.
    pub(crate) fn ledger(&self) -> Option<LedgerId> {
        self.signed.map(|head| head.ledger)
    }

    /// Whether the ledger has all entries that were signed, as far as its length tells.
    pub(crate) fn require_size(&self, name: &str, size: u64) -> Result<(), NodeError> {
        match self.signed {
            Some(signed) if size < signed.size => {
                let last = signed.size;
                let what = format!("ends after {size} entries, its operator has signed {last}");
                Err(self.older(name, &what))
            }
            _ => Ok(()),
        }
    }

    /// Whether the ledger as it is stored goes on from what was signed last, and before that: a
    /// larger head that somebody has shown takes the other slot beside one of another history.
    pub(crate) fn require(&self, reader: &dyn Reader, folded: &Folded) -> Result<(), NodeError> {
        let Some(signed) = self.signed else { return Ok(()) };
        self.require_size(folded.state.root().name.as_str(), folded.tree.size())?;
        self.before.map_or(Ok(()), |before| self.holds(reader, folded, before))?;
        self.holds(reader, folded, signed)
    }

    /// Whether the ledger as it is stored begins with a head that is not larger, and that its
    /// operator has signed.
    pub(crate) fn holds(
        &self,
        reader: &dyn Reader,
        folded: &Folded,
        signed: Checkpoint,
    ) -> Result<(), NodeError> {
        let name = folded.state.root().name.as_str();
        match newest::judge(reader, folded, signed)? {
            Standing::GoesOn => Ok(()),
            Standing::FalseTree => Err(corrupt(
                format!("ledger {name}: its stored tree is not that of its entries"),
                "run `subak audit` on the file, and put back a sound copy",
            )),
            Standing::Shorter | Standing::Other => {
                let size = signed.size;
                let what = format!("has not the first {size} entries that its operator has signed");
                Err(self.older(name, &what))
            }
        }
    }

    fn older(&self, name: &str, what: &str) -> NodeError {
        older(name, &format!("{what} ({})", self.path.display()))
    }

    /// Keeps `note`, the text of `head`; it is on the disk when this returns.
    pub(crate) fn keep(&mut self, head: Checkpoint, note: &str) -> Result<(), NodeError> {
        if self.signed == Some(head) {
            return Ok(());
        }
        assert!(self.signed.is_none_or(|s| s.size < head.size), "the writer only appends");
        assert!(note.len() <= SLOT, "a checkpoint is three short lines and one signature");
        let from = self.next * SLOT;
        let mut image = self.image.clone();
        image.resize(SLOTS * SLOT, 0);
        image[from..from + SLOT].fill(0);
        image[from..from + note.len()].copy_from_slice(note.as_bytes());
        let failed = |error: io::Error| failed(&self.path, &error);
        let place = u64::try_from(from).expect("two small slots");
        let mut found = find(&self.path).map_err(failed)?;
        let before = found.as_mut().map_or(Ok(Vec::new()), read).map_err(failed)?;
        if before != self.image {
            return Err(corrupt(
                format!("{}: another program has changed it meanwhile", self.path.display()),
                "see that one node alone signs with this key, on one database; then start it again",
            ));
        }
        let written = match &mut found {
            None => create(&self.path, &image),
            Some(file) => file
                .seek(SeekFrom::Start(place))
                .and_then(|_| file.write_all(&image[from..from + SLOT]))
                .and_then(|()| file.sync_data()),
        };
        if let Err(error) = written {
            // Half a slot may be there, by nobody else: the next attempt writes it anew.
            let left =
                find(&self.path).and_then(|mut file| file.as_mut().map_or(Ok(Vec::new()), read));
            self.image = left.unwrap_or_default();
            return Err(failed(error));
        }
        self.image = image;
        self.next = (self.next + 1) % SLOTS;
        self.before = self.signed.replace(head);
        Ok(())
    }
}

/// All head files of a ring, also of keys that are retired.
pub(crate) fn all(ring: &Ring) -> Result<Vec<HeadFile>, NodeError> {
    let open = |path: PathBuf| {
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let key = hex::decode(name).ok().and_then(|key| key.try_into().ok());
        let key: Option<PublicKey> = key.and_then(|key: Hash| PublicKey::admit(&key).ok());
        // Of what ledger it says it is; whether its key has signed that, `open` finds.
        let bytes = find(&path).and_then(|mut file| file.as_mut().map_or(Ok(Vec::new()), read));
        let bytes = bytes.map_err(|error| failed(&path, &error))?;
        let text = String::from_utf8_lossy(&bytes);
        let ledger = text.lines().find_map(|line| ledger_of_origin(line.trim_start_matches('\0')));
        match key {
            Some(key) => HeadFile::open(ring, ledger.unwrap_or(LedgerId::ZERO), &key).map(Some),
            None => Ok(None),
        }
    };
    let heads = ring.files("head")?.map(open).filter_map(Result::transpose);
    heads.collect()
}

fn find(path: &Path) -> io::Result<Option<File>> {
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    // Opening a pipe would wait for whoever writes into it.
    if !found.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    OpenOptions::new().read(true).write(true).open(path).map(Some)
}

fn read(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::Read::take(file, (SLOTS * SLOT) as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file with its first slot, all of it or none. It has room for both slots, so that a full
/// disk shows now and not between two commits.
fn create(path: &Path, image: &[u8]) -> io::Result<()> {
    let new = path.with_extension("head.new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(image)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_directory(path)
}

fn failed(path: &Path, error: &io::Error) -> NodeError {
    world(
        "head-file",
        format!("{}: {error}", path.display()),
        "see that the key ring can be written; what was sent may be recorded already: \
         `subak log` shows it",
    )
}
