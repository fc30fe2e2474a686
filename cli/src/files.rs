//! Small files of evidence and trust: read within limits, written once or replaced whole.
//!
//! Guarantees that a file that a stranger made cannot fill the memory, and that none is
//! overwritten unless that is meant.

use crate::failure::{Done, Failure};
use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::Path,
};
use subak_ledger::{
    log::policy::Policy,
    reject::{Code, Reject},
    store::sync_directory,
};

/// The most that a trust file may have, in bytes: some thousand ledgers.
const MOST_TRUST: usize = 1 << 20;

/// The text of a file that a stranger may have made; one of more than `most` bytes is not read.
/// Refused with `code`.
pub fn read(path: &Path, code: Code, most: usize) -> Done<String> {
    let failed = |error: io::Error| Failure::file(path, &error);
    let mut bytes = Vec::new();
    let limit = most as u64 + 1;
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(failed)?;
    let refuse = |what: &str| Reject::new(code, format!("{}: {what}", path.display()));
    if bytes.len() > most {
        return Err(refuse(&format!("expected at most {most} bytes")).into());
    }
    String::from_utf8(bytes).map_err(|_| refuse("it is no UTF-8 text").into())
}

/// A trust file: whose heads are believed.
pub fn trust_file(path: &Path) -> Done<Policy> {
    Ok(Policy::parse(&read(path, Code::BadPolicy, MOST_TRUST)?)?)
}

/// A new file, synced; what stands there is never overwritten.
pub fn create(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// As [`create`], for a file that somebody has named.
pub fn write_new(path: &Path, text: &str) -> Done {
    create(path, text).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => Failure::file(path, &error),
    })
}

/// That [`write_new`] will find nothing there.
pub fn require_new(path: &Path) -> Done {
    if path.exists() { Err(exists(path)) } else { Ok(()) }
}

fn exists(path: &Path) -> Failure {
    let what = format!("{}: it exists and is not overwritten", path.display());
    Failure::refused("exists", what, "name another file")
}

/// As [`write_new`]; a file that has this very text already is as good.
pub fn write_once(path: &Path, text: &str) -> Done {
    match fs::read_to_string(path) {
        Ok(found) if found == text => Ok(()),
        _ => write_new(path, text),
    }
}

/// Writes a file anew, whole or not at all, and synced: beside it first, then in its place.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = File::create(&beside)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let renamed = written.and_then(|()| fs::rename(&beside, path));
    if renamed.is_err() {
        let _ = fs::remove_file(&beside); // the first failure is the one to tell
    }
    renamed.and_then(|()| sync_directory(path))
}
