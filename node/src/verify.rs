//! Judging of a statement what needs no ledger, off the writer.
//!
//! Owns the permits and the caches of admitted keys. Guarantees that no more of this work
//! runs than there are cores, also where callers give up, and that nothing in it that a
//! stranger can make long is left to the one thread that appends: signature, form, the
//! decoding of every event, and the texts behind commitments. Leaves out every rule that
//! asks a ledger.

use crate::{
    Append, NodeError, disclose,
    readers::{bounded, lock},
    sequencer::decode,
};
use std::{
    sync::{Arc, Mutex},
    thread,
};
use subak_ledger::{
    book::event::Event,
    log::{KeyCache, LedgerId, Statement, Unverified},
    reject::Outcome,
    store::Disclosure,
};
use tokio::sync::Semaphore;

/// An envelope of no more bytes is judged where it arrives: that takes about as long as a
/// signature, and handing it to another thread would take half as long again.
const SMALL: usize = 1_024;

/// A statement that its author signed, with what the writer needs of it.
pub(crate) struct Verified {
    pub(crate) statement: Statement,
    /// Or why one of them is none: the ledger's refusals before that one come first.
    pub(crate) events: Outcome<Vec<Event>>,
    pub(crate) disclosures: Vec<Disclosure>,
    pub(crate) at: Option<u64>,
}

/// As many at once as there are cores, each with a cache of admitted keys.
pub(crate) struct Verifiers {
    permits: Arc<Semaphore>,
    caches: Mutex<Vec<KeyCache>>,
}

impl Verifiers {
    pub(crate) fn new() -> Arc<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let (permits, caches) = (Arc::new(Semaphore::new(cores)), Mutex::new(Vec::new()));
        Arc::new(Self { permits, caches })
    }

    /// Signature, form, events and disclosures, on one of the cores. Where no genesis is
    /// taken (`new_ledgers`), what one says is not even read.
    pub(crate) async fn verify(
        self: &Arc<Self>,
        append: Append,
        new_ledgers: bool,
    ) -> Result<Verified, NodeError> {
        let own = self.clone();
        let small = append.envelope.len() <= SMALL && append.disclosures.is_empty();
        let work = move || {
            let mut keys = lock(&own.caches).pop().unwrap_or_default();
            let verified = Unverified::take(append.envelope).and_then(|u| u.verify(&mut keys));
            lock(&own.caches).push(keys);
            let statement = verified?;
            let disclosures = disclose::check(&statement, append.disclosures)?;
            let moot = statement.header().ledger == LedgerId::ZERO && !new_ledgers;
            let events = if moot { Ok(Vec::new()) } else { decode(&statement) };
            Ok(Verified { statement, events, disclosures, at: append.at })
        };
        if small { work() } else { bounded(&self.permits, work).await }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use subak_ledger::log::{Draft, Handle, Header, SecretKey};

    /// A statement for `ledger` whose one event is none.
    fn senseless(ledger: LedgerId) -> Append {
        let author = Handle::new("sam").unwrap();
        let (created_at, expires_at) = (1, 2);
        let header = Header { ledger, author, nonce: [0; 16], created_at, expires_at, basis: None };
        let draft = Draft { header, events: vec![vec![0xff]] };
        Append { envelope: draft.sign(&SecretKey::from_seed(&[7; 32])), ..Append::default() }
    }

    #[tokio::test]
    async fn where_no_genesis_is_taken_none_is_decoded() {
        let verifiers = Verifiers::new();
        let (new, old) = (LedgerId::ZERO, LedgerId([7; 32]));
        for (ledger, new_ledgers, decoded) in
            [(new, false, false), (new, true, true), (old, false, true)]
        {
            let verified = verifiers.verify(senseless(ledger), new_ledgers).await.unwrap();
            assert_eq!(verified.events.is_err(), decoded, "{ledger} {new_ledgers}");
        }
    }
}
