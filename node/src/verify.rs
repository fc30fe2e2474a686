//! Judging of a statement what needs no ledger, off the writer.
//!
//! Owns the permits and the caches of admitted keys. Guarantees that what a stranger can
//! make long (a large statement, disclosures, an equation with examples to play) runs on no
//! more threads than there are cores, also where callers give up, and neither on the
//! executor nor on the one thread that appends. What is left is about a signature long, and
//! judged in its caller's task. Leaves out every rule that asks a ledger.

use crate::{
    Append, NodeError, disclose,
    readers::{bounded, lock},
    sequencer::decode,
};
use prost::{Message as _, bytes::Bytes};
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
use subak_proto::v1::{self, event::Kind};
use tokio::sync::Semaphore;

/// An envelope of no more bytes is judged where it arrives: handing it to another thread
/// takes half as long as its signature.
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
        let Append { envelope, disclosures, at } = append;
        if envelope.len() <= SMALL && disclosures.is_empty() {
            let statement = self.signed(envelope)?;
            if !plays_examples(&statement) {
                return read(statement, disclosures, at, new_ledgers);
            }
            let work = move || read(statement, disclosures, at, new_ledgers);
            return bounded(&self.permits, work).await;
        }
        let own = self.clone();
        let work = move || read(own.signed(envelope)?, disclosures, at, new_ledgers);
        bounded(&self.permits, work).await
    }

    fn signed(&self, envelope: Bytes) -> Outcome<Statement> {
        let mut keys = lock(&self.caches).pop().unwrap_or_default();
        let verified = Unverified::take(envelope).and_then(|it| it.verify(&mut keys));
        lock(&self.caches).push(keys);
        verified
    }
}

/// Whether an equation may be in it: reading one plays its worked examples, which takes as
/// long as some ten signatures in a small statement.
fn plays_examples(statement: &Statement) -> bool {
    let kind = |bytes: &Bytes| v1::Event::decode(bytes.clone()).ok()?.kind;
    let kinds = statement.events().iter().filter_map(kind);
    kinds
        .into_iter()
        .any(|kind| matches!(kind, Kind::Genesis(_) | Kind::EquationAdopt(_) | Kind::Propose(_)))
}

fn read(
    statement: Statement,
    disclosures: Vec<Disclosure>,
    at: Option<u64>,
    new_ledgers: bool,
) -> Result<Verified, NodeError> {
    let disclosures = disclose::check(&statement, disclosures)?;
    let moot = statement.header().ledger == LedgerId::ZERO && !new_ledgers;
    let events = if moot { Ok(Vec::new()) } else { decode(&statement) };
    Ok(Verified { statement, events, disclosures, at })
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
        Append { envelope: draft.sign(&SecretKey::from_seed(&[7; 32])).into(), ..Append::default() }
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

    /// A statement of exactly `len` bytes: `with` and as many admissions as it takes.
    fn of_length(len: usize, with: Option<Kind>) -> Vec<u8> {
        let event = |kind: Kind| v1::Event { kind: Some(kind) }.encode_to_vec();
        let admit = event(Kind::AgentAdmit(v1::AgentAdmit { agent: "ana".into() }));
        let lengths = (0..100).flat_map(|n| (1..=32).map(move |author| (n, author)));
        let made = lengths.map(|(n, author)| {
            let author = Handle::new(&"s".repeat(author)).unwrap();
            let (nonce, created_at, expires_at) = ([0; 16], 1, 2);
            let ledger = LedgerId([7; 32]);
            let header = Header { ledger, author, nonce, created_at, expires_at, basis: None };
            let more = with.clone().map(event).into_iter();
            let events = more.chain(std::iter::repeat_n(admit.clone(), n)).collect();
            Draft { header, events }.sign(&SecretKey::from_seed(&[7; 32]))
        });
        made.into_iter().find(|envelope| envelope.len() == len).unwrap()
    }

    #[tokio::test]
    async fn a_statement_is_judged_alike_on_either_side_of_small() {
        let verifiers = Verifiers::new();
        let adopt = Kind::EquationAdopt(v1::EquationAdopt::default());
        for with in [None, Some(adopt)] {
            let mut verdicts = Vec::new();
            for len in [SMALL, SMALL + 1] {
                let envelope = of_length(len, with.clone());
                let mut forged = envelope.clone();
                *forged.last_mut().unwrap() ^= 1;
                let [sound, forged] = [envelope, forged].map(|envelope| {
                    verifiers
                        .verify(Append { envelope: envelope.into(), ..Append::default() }, true)
                });
                let (sound, forged) = (sound.await.unwrap(), forged.await.map(|_| ()).unwrap_err());
                assert_eq!(plays_examples(&sound.statement), with.is_some());
                assert_eq!(forged.code(), "bad-signature");
                verdicts.push(sound.events.map(|events| events.len() > 1));
            }
            assert_eq!(verdicts[0], verdicts[1]);
            assert_eq!(verdicts[0].is_ok(), with.is_none(), "an empty equation is none");
        }
    }
}
