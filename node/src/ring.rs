//! The keys that a node holds: operators' and clerks', one file each.
//!
//! `<database>.keys/<public key, 64 hex digits>.operator` and `….clerk`, OpenSSH private
//! keys, not encrypted: a node signs while nobody is there. `….successor` is an operator's key
//! before a handover to it, `….retired` the mark of one after a handover from it. Guarantees that a key read is
//! the one that its file name says. Leaves out the format (`keyfile`), and what lies beside an
//! operator's key (`headfile`).

use crate::keyfile::{self, KeyFileError};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use subak_ledger::{
    log::{Hash, SecretKey},
    store::sync_directory,
};

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Signs checkpoints.
    Operator,
    /// Authors what anyone may append.
    Clerk,
    /// Is to be an operator's, once a handover to it is recorded.
    Successor,
    /// Was an operator's, and signs nothing any more: a mark without the key.
    Retired,
}

impl Use {
    fn extension(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Clerk => "clerk",
            Self::Successor => "successor",
            Self::Retired => "retired",
        }
    }
}

/// A directory of keys.
#[derive(Debug, Clone)]
pub struct Ring {
    dir: PathBuf,
}

impl Ring {
    /// The ring in `dir`, which is made when the first key is.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The ring that belongs to a database: `<database>.keys`.
    pub fn beside(database: &Path) -> Self {
        let mut dir = database.as_os_str().to_owned();
        dir.push(".keys");
        Self::new(dir)
    }

    /// Where it lies.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Keeps a key; it is synced when this returns.
    pub fn keep(&self, key: &SecretKey, purpose: Use) -> Result<(), KeyFileError> {
        make_directory(&self.dir)
            .map_err(|error| KeyFileError::Io { path: self.dir.clone(), error })?;
        let comment = format!("subak {}", purpose.extension());
        keyfile::write_new(&self.path(&key.public().bytes(), purpose), key, None, &comment)
    }

    /// The key with this public half; `None` if the ring does not have it.
    pub fn find(&self, public: &Hash, purpose: Use) -> Result<Option<SecretKey>, KeyFileError> {
        let path = self.path(public, purpose);
        match keyfile::read(&path, None) {
            Ok(key) if key.public().bytes() == *public => Ok(Some(key)),
            Ok(_) => Err(KeyFileError::Halves { path }),
            Err(KeyFileError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether there is a file for that key. It is not read.
    pub fn holds(&self, public: &Hash, purpose: Use) -> bool {
        self.path(public, purpose).exists()
    }

    /// Whether there is any key for that.
    pub fn has_any(&self, purpose: Use) -> Result<bool, KeyFileError> {
        Ok(self.files(purpose.extension())?.next().is_some())
    }

    /// The key for a handover is an operator's from now on; nothing if there is none.
    pub fn succeed(&self, public: &Hash) -> Result<(), KeyFileError> {
        self.rename(public, Use::Successor, Use::Operator)
    }

    /// Removes a key that was made for a handover which does not take place.
    pub fn discard_successor(&self, public: &Hash) -> Result<(), KeyFileError> {
        let path = self.path(public, Use::Successor);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|error| KeyFileError::Io { path, error }),
        }
    }

    /// An operator's key signs nothing any more: a mark stays in its place, and the key goes, since
    /// whoever found it could still sign heads from before. Nothing if it is not here.
    pub fn retire(&self, public: &Hash) -> Result<(), KeyFileError> {
        if !self.holds(public, Use::Operator) {
            return Ok(());
        }
        let (key, mark) = (self.path(public, Use::Operator), self.path(public, Use::Retired));
        let marked = fs::File::create(&mark).and_then(|file| file.sync_all());
        marked
            .and_then(|()| sync_directory(&mark))
            .and_then(|()| fs::remove_file(&key))
            .map_err(|error| KeyFileError::Io { path: key, error })
    }

    /// Whether an operator's key has signed here, in this or another ledger.
    pub fn has_signed(&self, public: &Hash) -> bool {
        self.path(public, Use::Operator).with_extension("head").exists()
    }

    fn rename(&self, public: &Hash, from: Use, to: Use) -> Result<(), KeyFileError> {
        let (from, to) = (self.path(public, from), self.path(public, to));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed.and_then(|()| sync_directory(&to)),
        }
        .map_err(|error| KeyFileError::Io { path: from, error })
    }

    /// The files with this extension, in no order; none where the ring is not made yet.
    pub(crate) fn files(
        &self,
        extension: &'static str,
    ) -> Result<impl Iterator<Item = PathBuf>, KeyFileError> {
        let failed = |error| KeyFileError::Io { path: self.dir.clone(), error };
        let found = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            found => found.and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(failed)?,
        };
        let paths = found.into_iter().map(|entry| entry.path());
        Ok(paths.filter(move |path| path.extension().is_some_and(|e| e == extension)))
    }

    /// Whether an operator's key is here, and nothing that says what it has signed last: before its
    /// first head that is so, and afterwards where that file (`headfile`) was lost or left behind.
    pub fn has_forgotten(&self, operator: &Hash) -> bool {
        let key = self.path(operator, Use::Operator);
        key.exists() && !key.with_extension("head").exists()
    }

    /// Where the key with this public half lies, if it does.
    pub(crate) fn path(&self, public: &Hash, purpose: Use) -> PathBuf {
        self.dir.join(format!("{}.{}", hex::encode(public), purpose.extension()))
    }
}

/// Makes the directory, for its owner only, and its name durable.
fn make_directory(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)?;
    sync_directory(dir)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_by_their_public_half_and_use() {
        let dir = tempfile::tempdir().unwrap();
        let ring = Ring::beside(&dir.path().join("rice.db"));
        assert_eq!(ring.dir(), dir.path().join("rice.db.keys"));
        let keep = |seed| {
            let key = SecretKey::from_seed(&[seed; 32]);
            ring.keep(&key, Use::Operator).unwrap();
            key.public().bytes()
        };
        let public = keep(1);
        let found = ring.find(&public, Use::Operator).unwrap().unwrap();
        assert_eq!(found.public().bytes(), public);
        assert!(ring.has_forgotten(&public) && !ring.has_forgotten(&[1; 32]));
        fs::write(ring.path(&public, Use::Operator).with_extension("head"), "").unwrap();
        assert!(!ring.has_forgotten(&public));
        assert!(ring.find(&public, Use::Clerk).unwrap().is_none());
        assert!(ring.find(&[1; 32], Use::Operator).unwrap().is_none());
        // A renamed file is not taken for another key.
        let other = keep(2);
        fs::rename(ring.path(&public, Use::Operator), ring.path(&other, Use::Operator)).unwrap();
        assert!(ring.find(&other, Use::Operator).is_err());
    }
}
