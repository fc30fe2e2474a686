//! Disks that fail: a database, and the operator's head file on a disk of its own.
//!
//! Owns what a crash leaves. The database is the store in memory, whose `Ok` stands for durable; its
//! three failures are those that the contract of a store allows: nothing was written; everything
//! was, and the answer is lost; nothing is there, and after a restart it is. The head file is
//! written and then synced: between the two a crash may or may not lose it. Leaves out damage, which
//! the stores' own tests do.

use super::rng::Rng;
use subak_ledger::store::{Batch, MemoryStore, Result, Store as _, StoreError, memory};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The disk is full: nothing is written.
    Before,
    /// Written, and the answer is lost.
    After,
    /// It failed while syncing: absent now, perhaps present after a restart.
    Ghost,
}

#[derive(Default)]
pub struct Disk {
    pub store: MemoryStore,
    pub fault: Option<Fault>,
    ghost: Option<MemoryStore>,
}

impl Disk {
    pub fn new(store: MemoryStore) -> Self {
        Self { store, fault: None, ghost: None }
    }

    pub fn append(&mut self, batches: &[Batch<'_>]) -> Result<()> {
        match self.fault.take() {
            Some(Fault::Before) => self.store.fail_next(memory::Fault::BeforeCommit),
            Some(Fault::After) => self.store.fail_next(memory::Fault::AfterCommit),
            Some(Fault::Ghost) => {
                let mut ghost = self.store.clone();
                ghost.append(batches)?;
                self.ghost = Some(ghost);
                return Err(StoreError::Io { path: "memory".into(), detail: "sync failed".into() });
            }
            None => {}
        }
        // Whatever is written next takes the place of what the disk has half forgotten.
        self.ghost = None;
        self.store.append(batches)
    }

    /// What is there after a restart.
    pub fn restart(&mut self, rng: &mut Rng) {
        if let Some(ghost) = self.ghost.take()
            && rng.permille(500)
        {
            self.store = ghost;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadFault {
    /// Nothing is written.
    Before,
    /// Written, and not synced.
    Unsynced,
}

/// What the operator's key has signed last: two notes. That a cut write leaves the one before is the
/// head file's own test; here, a write is there or not.
#[derive(Default, Clone)]
pub struct HeadFile {
    pub synced: Option<String>,
    /// What the other slot holds.
    pub before: Option<String>,
    written: Option<String>,
    pub fault: Option<HeadFault>,
}

impl HeadFile {
    /// Returns once it is on the disk.
    pub fn keep(&mut self, note: &str) -> std::result::Result<(), &'static str> {
        match self.fault.take() {
            Some(HeadFault::Before) => return Err("not written"),
            Some(HeadFault::Unsynced) => {
                self.written = Some(note.to_owned());
                return Err("written and not synced");
            }
            None => {}
        }
        self.written = None;
        self.sync(note.to_owned());
        Ok(())
    }

    fn sync(&mut self, note: String) {
        if self.synced.as_ref() != Some(&note) {
            self.before = self.synced.replace(note);
        }
    }

    /// What a process finds: what the one before wrote, and died before it was synced, is synced.
    pub fn open(&mut self) -> impl Iterator<Item = &String> {
        if let Some(written) = self.written.take() {
            self.sync(written);
        }
        self.synced.iter().chain(&self.before)
    }

    pub fn crash(&mut self, rng: &mut Rng) {
        if rng.permille(500) {
            self.written = None;
        }
    }
}
