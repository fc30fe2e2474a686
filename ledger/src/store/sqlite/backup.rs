//! A copy of all ledgers while a writer goes on.
//!
//! Owns the copying. Guarantees one consistent state, a file that is whole or no ledger,
//! nothing overwritten, and a synced copy. Leaves out verifying it: the audit reads the
//! copy like any other file.

use super::{SqliteReader, StoreError, classify, open};
use crate::store::Result;
use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
    ffi,
};
use std::{
    fs::{self, File},
    path::Path,
};

const PAGES_A_STEP: i32 = 1024;

pub(super) fn backup(
    reader: &SqliteReader,
    dest: &Path,
    progress: impl FnMut(u64, u64),
) -> Result<()> {
    // Claims the name: what stands there is never overwritten.
    File::create_new(dest).map_err(|e| StoreError::from_io(dest, &e))?;
    let copied = copy(reader, dest, progress).and_then(|()| sync(dest));
    if copied.is_err() {
        // What is left of a failed copy opens as no ledger, so failing to remove it is harmless.
        for suffix in ["", "-journal"] {
            let _ = fs::remove_file(open::beside(dest, suffix));
        }
    }
    copied
}

fn copy(reader: &SqliteReader, dest: &Path, mut progress: impl FnMut(u64, u64)) -> Result<()> {
    // Without an open read the copy would start again at each append of a writer.
    let ours = reader.conn.is_autocommit();
    if ours {
        reader.freeze()?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copied = Connection::open_with_flags(dest, flags)
        .and_then(|mut to| pages(&reader.conn, &mut to, &mut progress))
        .map_err(|e| classify(dest, "the backup", &e));
    if ours {
        reader.thaw()?;
    }
    copied
}

fn pages(
    from: &Connection,
    to: &mut Connection,
    progress: &mut impl FnMut(u64, u64),
) -> rusqlite::Result<()> {
    to.busy_timeout(open::PATIENCE)?;
    to.execute_batch("PRAGMA synchronous=FULL")?;
    let backup = Backup::new(from, to)?;
    loop {
        let step = backup.step(PAGES_A_STEP)?;
        let total = u64::try_from(backup.progress().pagecount).unwrap_or(0);
        let left = u64::try_from(backup.progress().remaining).unwrap_or(0);
        progress(total.saturating_sub(left), total);
        match step {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            // Somebody holds the new file, and has been waited for.
            _ => {
                return Err(rusqlite::Error::SqliteFailure(
                    ffi::Error::new(ffi::SQLITE_BUSY),
                    None,
                ));
            }
        }
    }
}

fn sync(dest: &Path) -> Result<()> {
    let dest = dest.canonicalize().map_err(|e| StoreError::from_io(dest, &e))?;
    File::open(&dest)
        .and_then(|file| file.sync_all())
        .map_err(|e| StoreError::from_io(&dest, &e))?;
    open::sync_directory(&dest)
}
