//! Keys for ledgers that are to be opened.
//!
//! Owns the keys that a node has made for whoever asked and that no genesis names yet.
//! Guarantees that asking leaves nothing behind: they are in memory only, so many at most,
//! and the oldest give way; a key goes to the ring, synced, before the ledger that names
//! it is stored. Leaves out who may ask (`runtime`) and the files (`ring`).

use crate::{
    keyfile::{self, KeyFileError},
    readers::lock,
    ring::{Ring, Use},
};
use std::{collections::VecDeque, sync::Mutex};
use subak_ledger::log::{Hash, SecretKey};

/// Keys at most, two for a ledger. Between asking and the genesis lie milliseconds, and a
/// stranger who asks without end must not drive out those of others at once.
const MOST: usize = 2 * 1_024;

/// Keys in order of their making.
#[derive(Default)]
pub(crate) struct Prepared(Mutex<VecDeque<(Use, SecretKey)>>);

impl Prepared {
    /// Makes an operator's and a clerk's key; returns their public halves.
    pub(crate) fn make(&self) -> Result<(Hash, Hash), KeyFileError> {
        let (operator, clerk) = (keyfile::generate()?, keyfile::generate()?);
        let public = (operator.public().bytes(), clerk.public().bytes());
        let mut keys = lock(&self.0);
        keys.extend([(Use::Operator, operator), (Use::Clerk, clerk)]);
        let surplus = keys.len().saturating_sub(MOST);
        keys.drain(..surplus);
        Ok(public)
    }

    /// Moves a key to the ring, if it is one of these. A key that the ring refused is still
    /// one of them.
    pub(crate) fn keep(
        &self,
        ring: &Ring,
        public: &Hash,
        purpose: Use,
    ) -> Result<(), KeyFileError> {
        let mut keys = lock(&self.0);
        let is_it =
            |(of, key): &(Use, SecretKey)| *of == purpose && key.public().bytes() == *public;
        if let Some(place) = keys.iter().position(is_it) {
            ring.keep(&keys[place].1, purpose)?;
            keys.remove(place);
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn asking_writes_nothing_and_the_oldest_give_way() {
        let dir = tempfile::tempdir().unwrap();
        let ring = Ring::new(dir.path().join("keys"));
        let prepared = Prepared::default();
        let (oldest, clerk) = prepared.make().unwrap();
        let (next, _) = prepared.make().unwrap();
        for _ in 0..MOST / 2 - 1 {
            prepared.make().unwrap();
        }
        assert_eq!(lock(&prepared.0).len(), MOST);
        assert!(!ring.dir().exists());
        for (public, purpose) in [(oldest, Use::Operator), (clerk, Use::Clerk), (next, Use::Clerk)]
        {
            prepared.keep(&ring, &public, purpose).unwrap();
            assert!(ring.find(&public, purpose).unwrap().is_none(), "it is not there to be kept");
        }
        prepared.keep(&ring, &next, Use::Operator).unwrap();
        let kept = ring.find(&next, Use::Operator).unwrap().unwrap();
        assert_eq!(kept.public().bytes(), next);
        assert_eq!(lock(&prepared.0).len(), MOST - 1, "it lies in the ring only");
    }
}
