//! A store in memory, for tests.
//!
//! Owns persistent collections. Guarantees the contract except durability, and can fail on purpose in
//! the two ways that a disk can: before anything is written, and after everything is.
//! Leaves out damage: what it keeps is what it was given.

use super::{
    Batch, Disclosure, Hash, Head, Inspection, LedgerRow, Reader, Result, Store, StoreError,
    StoredEntry,
};
use imbl::{OrdMap, OrdSet, Vector};

/// How the next append is to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The disk is full; nothing is written.
    BeforeCommit,
    /// The group is written, and then the answer is lost.
    AfterCommit,
}

/// A store that lasts as long as its value. A clone is a backup: what it shares is never changed.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    logs: Vec<Log>,
    fault: Option<Fault>,
}

#[derive(Debug, Clone)]
struct Log {
    id: Hash,
    name: String,
    entries: Vector<StoredEntry>,
    nodes: OrdMap<(u8, u64), Hash>,
    checkpoint: Option<String>,
    witnessed: Option<String>,
    disclosures: OrdMap<Hash, Disclosure>,
    erased: OrdSet<Hash>,
}

impl Log {
    fn new(id: Hash, name: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            entries: Vector::new(),
            nodes: OrdMap::new(),
            checkpoint: None,
            witnessed: None,
            disclosures: OrdMap::new(),
            erased: OrdSet::new(),
        }
    }

    fn head(&self) -> Head {
        self.entries
            .last()
            .map_or(Head::EMPTY, |last| Head { size: last.seq + 1, chain: last.chain })
    }

    fn append(&mut self, batch: &Batch<'_>) -> Result<()> {
        let (expected, found) = (batch.expected, self.head());
        if expected != found {
            return Err(StoreError::HeadMoved { ledger: self.id, expected, found });
        }
        for (seq, entry) in (found.size..).zip(batch.entries) {
            let (leaf, envelope) = (entry.leaf.clone(), entry.envelope.clone());
            self.entries.push_back(StoredEntry { seq, leaf, envelope, chain: entry.chain });
        }
        for &(level, index, hash) in batch.nodes {
            if self.nodes.insert((level, index), hash).is_some() {
                let place = format!("ledger {} level {level} node {index}", hex::encode(self.id));
                return Err(StoreError::Corrupt {
                    place,
                    detail: "the node is there already".into(),
                });
            }
        }
        if let Some(note) = batch.checkpoint {
            self.checkpoint = Some(note.to_owned());
        }
        for opened in batch.disclosures {
            let known = self.disclosures.contains_key(&opened.commitment)
                || self.erased.contains(&opened.commitment);
            if !known {
                self.disclosures.insert(opened.commitment, opened.clone());
            }
        }
        for commitment in batch.erasures {
            if self.disclosures.remove(commitment).is_some() {
                self.erased.insert(*commitment);
            }
        }
        Ok(())
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the next append fail in this way; the one after it works again.
    pub fn fail_next(&mut self, fault: Fault) {
        self.fault = Some(fault);
    }

    fn log(&self, ledger: &Hash) -> Option<&Log> {
        self.logs.iter().find(|log| log.id == *ledger)
    }
}

impl Reader for MemoryStore {
    fn ledgers(&self) -> Result<Vec<LedgerRow>> {
        let row =
            |(number, log): (u64, &Log)| LedgerRow { id: log.id, number, name: log.name.clone() };
        Ok((1..).zip(&self.logs).map(row).collect())
    }

    fn head(&self, ledger: &Hash) -> Result<Head> {
        Ok(self.log(ledger).map_or(Head::EMPTY, Log::head))
    }

    fn entries(
        &self,
        ledger: &Hash,
        from: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredEntry>> {
        let mut bytes = 0;
        let fits = |(place, entry): &(usize, &StoredEntry)| {
            bytes += entry.leaf.len() + entry.envelope.len();
            *place == 0 || bytes <= max_bytes
        };
        let Some(log) = self.log(ledger) else { return Ok(Vec::new()) };
        // Here, an entry's seq is its place.
        let before = usize::try_from(from).unwrap_or(usize::MAX).min(log.entries.len());
        let wanted = log.entries.skip(before);
        let wanted = wanted.iter().take(limit).enumerate().take_while(fits);
        Ok(wanted.map(|(_, entry)| entry.clone()).collect())
    }

    fn nodes(&self, ledger: &Hash, level: u8, from: u64, limit: usize) -> Result<Vec<(u64, Hash)>> {
        let Some(log) = self.log(ledger) else { return Ok(Vec::new()) };
        let wanted = log.nodes.range((level, from)..=(level, u64::MAX)).take(limit);
        Ok(wanted.map(|((_, index), hash)| (*index, *hash)).collect())
    }

    fn checkpoint(&self, ledger: &Hash) -> Result<Option<String>> {
        Ok(self.log(ledger).and_then(|log| log.checkpoint.clone()))
    }

    fn witnessed(&self, ledger: &Hash) -> Result<Option<String>> {
        Ok(self.log(ledger).and_then(|log| log.witnessed.clone()))
    }

    fn disclosures(
        &self,
        ledger: &Hash,
        after: Option<&Hash>,
        limit: usize,
    ) -> Result<Vec<Disclosure>> {
        let Some(log) = self.log(ledger) else { return Ok(Vec::new()) };
        let wanted =
            log.disclosures.values().filter(|kept| after.is_none_or(|a| kept.commitment > *a));
        Ok(wanted.take(limit).cloned().collect())
    }

    fn disclosure(&self, ledger: &Hash, commitment: &Hash) -> Result<Option<Disclosure>> {
        Ok(self.log(ledger).and_then(|log| log.disclosures.get(commitment).cloned()))
    }

    fn inspection(&self) -> Inspection {
        Box::new(|| Ok(Vec::new()))
    }
}

impl Store for MemoryStore {
    fn append(&mut self, batches: &[Batch<'_>]) -> Result<()> {
        let fault = self.fault.take();
        if fault == Some(Fault::BeforeCommit) {
            return Err(StoreError::DiskFull { path: "memory".into() });
        }
        // All or nothing: work on a copy (cheap: the collections share what is equal), which
        // only a complete group replaces.
        let mut logs = self.logs.clone();
        for batch in batches {
            let place = logs.iter().position(|log| log.id == batch.ledger).unwrap_or_else(|| {
                logs.push(Log::new(batch.ledger, batch.name));
                logs.len() - 1
            });
            logs[place].append(batch)?;
        }
        self.logs = logs;
        match fault {
            Some(_) => {
                Err(StoreError::Io { path: "memory".into(), detail: "the answer was lost".into() })
            }
            None => Ok(()),
        }
    }

    fn keep_witnessed(&mut self, ledger: &Hash, note: &str) -> Result<()> {
        if let Some(log) = self.logs.iter_mut().find(|log| log.id == *ledger) {
            log.witnessed = Some(note.to_owned());
        }
        Ok(())
    }

    fn purge(&mut self) -> Result<bool> {
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance;
    use super::*;

    #[test]
    fn fulfils_the_contract() {
        conformance::check(|| Box::new(MemoryStore::new()));
    }

    #[test]
    fn failed_and_failed_but_persisted_are_told_apart_by_the_head() {
        for (fault, there) in [(Fault::BeforeCommit, false), (Fault::AfterCommit, true)] {
            let mut store = MemoryStore::new();
            store.fail_next(fault);
            conformance::check_retry_after_failure(&mut store, there);
        }
    }
}
