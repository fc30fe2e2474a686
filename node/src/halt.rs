//! The mark that says: nothing more is appended here.
//!
//! Owns the file `halted` in the key ring, with the reason in words. It is written when somebody
//! shows a head that the operator has signed and that this database does not hold; a larger one
//! needs no mark, since the head file (`headfile`) takes it. And when a witness says that it has
//! signed one, where nobody else can have said it (`submit`). Guarantees that it is on the disk
//! before the answer, and that whoever opens the database for writing is told, after a restart
//! too, until a person has put the right copy back and removed the file.

use crate::{NodeError, refusal::world, ring::Ring};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::PathBuf,
};
use subak_ledger::store::sync_directory;

/// A reason is a line or two; what else somebody writes there is not read for ever.
const MOST: u64 = 4_096;

fn path(ring: &Ring) -> PathBuf {
    ring.dir().join("halted")
}

/// Marks the ring; the first reason stays.
pub(crate) fn mark(ring: &Ring, reason: &str) -> Result<(), NodeError> {
    let path = path(ring);
    let new = path.with_extension("new");
    let written = || -> io::Result<()> {
        if path.exists() {
            return Ok(());
        }
        let mut file = File::create(&new)?;
        file.write_all(reason.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        sync_directory(&path)
    };
    written().map_err(|error| {
        world(
            "head-file",
            format!("{}: {error}", path.display()),
            "see that the key ring can be written, and show the head again",
        )
    })
}

/// The reason, and the file that holds it, if the ring is marked.
pub(crate) fn marked(ring: &Ring) -> Option<(String, PathBuf)> {
    let path = path(ring);
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        file => file,
    };
    let mut reason = Vec::new();
    let read =
        file.and_then(|file| io::Read::read_to_end(&mut io::Read::take(file, MOST), &mut reason));
    let reason = match read {
        Ok(_) => String::from_utf8_lossy(&reason).into_owned(),
        Err(error) => format!("it cannot be read: {error}"),
    };
    Some((reason, path))
}
