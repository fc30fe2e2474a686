//! What an operator key has signed last, kept beside it.
//!
//! Owns the head file, `<public key, 64 hex digits>.head` in the key ring. Guarantees that a
//! checkpoint is in it, on the disk, before it leaves the node; that a write which is cut
//! short leaves the one before; and that a database which ends before it, or tells another
//! story, is not appended to. Leaves out a ring that was put back together with its
//! database: of that only others can tell, who hold a larger checkpoint.
//!
//! The form: two slots of 1,024 bytes, written in turn, each a checkpoint (a signed note) and
//! zeros after it. The larger one that holds counts. A new file is all zeros.

use crate::{
    NodeError,
    fold::Folded,
    refusal::{corrupt, world},
    ring::{Ring, Use},
    runtime::node,
};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::PathBuf,
};
use subak_ledger::{
    log::{Checkpoint, LedgerId, PublicKey, tree},
    store::Reader,
};

/// A checkpoint has some 300 bytes.
const SLOT: usize = 1_024;
const SLOTS: usize = 2;

/// An operator's last signed head.
#[derive(Debug)]
pub(crate) struct HeadFile {
    path: PathBuf,
    file: File,
    /// The slot that is written next.
    next: usize,
    signed: Option<Checkpoint>,
}

impl HeadFile {
    /// Opens the file of an operator's key, or makes it.
    pub(crate) fn open(
        ring: &Ring,
        ledger: LedgerId,
        operator: &PublicKey,
    ) -> Result<Self, NodeError> {
        let path = ring.path(&operator.bytes(), Use::Operator).with_extension("head");
        let failed = |error: io::Error| failed(&path, &error);
        let (file, bytes) = read(&path).map_err(failed)?;
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
        if signed.is_none() && bytes.iter().any(|byte| *byte != 0) {
            return Err(corrupt(
                format!("{}: it holds no checkpoint of its key for {ledger}", path.display()),
                "put back the file that belongs to the key; if it is lost, compare the ledger \
                 with a copy that others hold, and only then remove the file",
            ));
        }
        Ok(Self { path, file, next: (newest + 1) % SLOTS, signed })
    }

    /// Whether the ledger as it is stored goes on from what was signed last.
    pub(crate) fn require(&self, reader: &dyn Reader, folded: &Folded) -> Result<(), NodeError> {
        let Some(signed) = self.signed else { return Ok(()) };
        let (ledger, size) = (signed.ledger, folded.tree.size());
        let stop = |what: String| {
            let path = self.path.display();
            Err(world(
                "older-database",
                format!("ledger {ledger}: {what} ({path}); nothing is appended or signed"),
                "put back the newest copy of the database: signing again what was signed \
                 differently would be a fork, and anyone could prove it",
            ))
        };
        if size < signed.size {
            let last = signed.size;
            return stop(format!("it ends after {size} entries, its operator has signed {last}"));
        }
        let proof = tree::prove_consistency(signed.size, size, |level, index| {
            node(reader, ledger, level, index)
        })?;
        let root = folded.tree.root();
        match tree::verify_consistency(signed.size, size, &signed.root, &root, &proof) {
            Ok(()) => Ok(()),
            Err(_) => stop(format!(
                "its first {} entries are not those that its operator has signed",
                signed.size
            )),
        }
    }

    /// Keeps `note`, the text of `head`; it is on the disk when this returns.
    pub(crate) fn keep(&mut self, head: Checkpoint, note: &str) -> Result<(), NodeError> {
        if self.signed == Some(head) {
            return Ok(());
        }
        assert!(self.signed.is_none_or(|s| s.size < head.size), "the writer only appends");
        let mut slot = note.as_bytes().to_vec();
        assert!(slot.len() <= SLOT, "a checkpoint is three short lines and one signature");
        slot.resize(SLOT, 0);
        let place = u64::try_from(self.next * SLOT).expect("two small slots");
        let written = self
            .file
            .seek(SeekFrom::Start(place))
            .and_then(|_| self.file.write_all(&slot))
            .and_then(|()| self.file.sync_data());
        written.map_err(|error| failed(&self.path, &error))?;
        (self.next, self.signed) = ((self.next + 1) % SLOTS, Some(head));
        Ok(())
    }
}

fn read(path: &std::path::Path) -> io::Result<(File, Vec<u8>)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let mut bytes = Vec::new();
    io::Read::take(&mut file, (SLOTS * SLOT) as u64).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        // Room for both slots, so that a full disk shows now and not between two commits.
        bytes.resize(SLOTS * SLOT, 0);
        file.write_all(&bytes)?;
        file.sync_all()?;
        let dir = path.parent().filter(|p| !p.as_os_str().is_empty());
        File::open(dir.unwrap_or(std::path::Path::new(".")))?.sync_all()?;
    }
    Ok((file, bytes))
}

fn failed(path: &std::path::Path, error: &io::Error) -> NodeError {
    world(
        "head-file",
        format!("{}: {error}", path.display()),
        "see that the key ring can be written; what was sent may be recorded already: \
         `subak log` shows it",
    )
}
