//! A node as a store that is read: for whoever judges it and believes nothing.
//!
//! Owns the one state that is looked at (what each ledger's checkpoint signed when it was asked)
//! and the pages under way. Guarantees memory that does not grow with the log: entries are
//! judged as they arrive, and kept no longer. Leaves out all verification but the client's own.

use crate::{
    connect,
    failure::{Done, Failure},
};
use std::{cell::RefCell, collections::VecDeque, future::Future, path::Path};
use subak_ledger::{
    log::{Hash, LEAF_LEN, LedgerId, checkpoint::claimed_size, entry::chain_hash},
    store::{
        Disclosure, Head, Inspection, LedgerRow, Reader, Result as Stored, StoreError, StoredEntry,
    },
};
use subak_node::{Ledgers as _, NodeError, RawEntry, client::Remote};
use tokio::runtime::Handle;

/// A node's ledgers, each as far as its checkpoint reached when the node was opened.
pub struct NodeReader {
    url: String,
    remote: Remote,
    runtime: Handle,
    ledgers: Vec<Listed>,
    entries: RefCell<(Hash, VecDeque<StoredEntry>)>,
    /// Of a ledger, after a commitment.
    texts: RefCell<(Hash, Option<Hash>, VecDeque<Disclosure>)>,
    /// Why the last call failed, in the node's words.
    failed: RefCell<Option<NodeError>>,
}

struct Listed {
    row: LedgerRow,
    size: u64,
    checkpoint: String,
    witnessed: Option<String>,
    /// The URL that it is copied from, if the node says so.
    source: Option<String>,
}

/// Entries that are asked for at a time.
const PAGE: u64 = 1_000;

impl NodeReader {
    /// Asks a node for its ledgers and their signed heads. Any operator's: one that is not expected
    /// is for the audit to find.
    pub async fn open(url: &str, ca: Option<&Path>) -> Done<Self> {
        let remote = connect::remote(url, None, ca).await?;
        let mut ledgers = Vec::new();
        for (number, info) in (1..).zip(remote.ledgers().await?) {
            // Before the newest head: an honest node's is not smaller then.
            let witnessed = remote.witnessed(info.id).await?;
            let checkpoint = remote.checkpoint(info.id).await?;
            let size = claimed_size(&checkpoint).unwrap_or(0); // the client has opened it
            let row = LedgerRow { id: info.id.0, number, name: info.name };
            let source = info.mirror.map(|mirror| mirror.source);
            ledgers.push(Listed { row, size, checkpoint, witnessed, source });
        }
        Ok(Self {
            url: url.to_owned(),
            remote,
            runtime: Handle::current(),
            ledgers,
            entries: RefCell::default(),
            texts: RefCell::default(),
            failed: RefCell::default(),
        })
    }

    /// The ledgers that are copies, as the node says, and the URLs that they are copied from.
    pub fn copies(&self) -> impl Iterator<Item = (LedgerId, String)> {
        self.ledgers.iter().filter_map(|it| Some((LedgerId(it.row.id), it.source.clone()?)))
    }

    /// What a failed read means to the person. A node that does not answer what it is asked has
    /// done nothing wrong that could be shown; it could not be judged.
    pub fn failure(&self, error: StoreError) -> Failure {
        match self.failed.take() {
            Some(
                NodeError::Refused { code, message, next }
                | NodeError::NotFound { code, message, next },
            ) => Failure::gap(&code, message, next),
            Some(failed) => failed.into(),
            None => error.into(),
        }
    }

    /// Waits for an answer; only on a thread that may. A false answer is damage, which an audit is
    /// there to find, and not an end of it.
    fn ask<T>(&self, answer: impl Future<Output = Result<T, NodeError>>) -> Stored<T> {
        self.runtime.block_on(answer).map_err(|error| match error {
            NodeError::Corrupt { message, .. } => {
                StoreError::Corrupt { place: self.url.clone(), detail: message }
            }
            error => {
                let detail = error.to_string();
                self.failed.replace(Some(error));
                StoreError::Io { path: self.url.clone().into(), detail }
            }
        })
    }

    fn listed(&self, ledger: &Hash) -> Option<&Listed> {
        self.ledgers.iter().find(|listed| listed.row.id == *ledger)
    }
}

fn stored(raw: RawEntry) -> StoredEntry {
    let leaf: Option<&[u8; LEAF_LEN]> = raw.leaf[..].try_into().ok();
    let chain = leaf.map_or([0; 32], chain_hash);
    StoredEntry { seq: raw.seq, leaf: raw.leaf, envelope: raw.envelope, chain }
}

impl Reader for NodeReader {
    fn ledgers(&self) -> Stored<Vec<LedgerRow>> {
        Ok(self.ledgers.iter().map(|listed| listed.row.clone()).collect())
    }

    /// The size is the checkpoint's; the chain hash takes the last entry.
    fn head(&self, ledger: &Hash) -> Stored<Head> {
        Ok(Head { size: self.listed(ledger).map_or(0, |listed| listed.size), ..Head::EMPTY })
    }

    fn entries(
        &self,
        ledger: &Hash,
        from: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Stored<Vec<StoredEntry>> {
        let size = self.listed(ledger).map_or(0, |listed| listed.size);
        if from >= size {
            return Ok(Vec::new());
        }
        let mut kept = self.entries.borrow_mut();
        let (of, ahead) = &mut *kept;
        if of != ledger || ahead.front().is_none_or(|first| first.seq != from) {
            let wanted = PAGE.min(size - from);
            let page = self.ask(self.remote.entries(LedgerId(*ledger), from, wanted))?;
            *of = *ledger;
            *ahead = page.into_iter().map(stored).filter(|e| e.seq < size).collect();
        }
        let mut bytes = 0;
        let fits = ahead.iter().take(limit).enumerate().take_while(|(place, entry)| {
            bytes += entry.leaf.len() + entry.envelope.len();
            *place == 0 || bytes <= max_bytes
        });
        let count = fits.count();
        Ok(ahead.drain(..count).collect())
    }

    fn keeps_nodes(&self) -> bool {
        false
    }

    fn nodes(&self, _: &Hash, _: u8, _: u64, _: usize) -> Stored<Vec<(u64, Hash)>> {
        Ok(Vec::new())
    }

    fn checkpoint(&self, ledger: &Hash) -> Stored<Option<String>> {
        Ok(self.listed(ledger).map(|listed| listed.checkpoint.clone()))
    }

    fn witnessed(&self, ledger: &Hash) -> Stored<Option<String>> {
        Ok(self.listed(ledger).and_then(|listed| listed.witnessed.clone()))
    }

    fn disclosures(
        &self,
        ledger: &Hash,
        after: Option<&Hash>,
        limit: usize,
    ) -> Stored<Vec<Disclosure>> {
        let mut kept = self.texts.borrow_mut();
        let (of, last, ahead) = &mut *kept;
        // What is ahead goes on from where the last page ended, if that is where this one begins.
        if of != ledger || last.as_ref() != after || ahead.is_empty() {
            let page = self.remote.disclosures_page(LedgerId(*ledger), after.copied());
            *ahead = self.ask(page)?.items.into();
        }
        let count = limit.min(ahead.len());
        let page: Vec<_> = ahead.drain(..count).collect();
        (*of, *last) = (*ledger, page.last().map(|text| text.commitment));
        Ok(page)
    }

    fn disclosure(&self, ledger: &Hash, commitment: &Hash) -> Stored<Option<Disclosure>> {
        let mut after: Option<Hash> = None;
        loop {
            let page = self.disclosures(ledger, after.as_ref(), usize::MAX)?;
            let Some(last) = page.last() else { return Ok(None) };
            after = Some(last.commitment);
            let found = page.into_iter().find(|text| text.commitment == *commitment);
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    fn inspection(&self) -> Inspection {
        Box::new(|| Ok(Vec::new()))
    }
}
