//! A witness: it signs that a log only grows, for every log that it is told to trust.
//!
//! Owns the service of C2SP `tlog-witness`: [`Witness`] is all of it but the network. Guarantees
//! that nothing is signed that is not durable, that what was signed for a log is one line of
//! history, also between submissions at one moment and across a crash, and that the times of a
//! log's signatures never go back. Leaves out what the rules are (`judge`), how they are asked for
//! (`serve`), and keeping (`subak_ledger::store::witness`).
//!
//! What is answered, in the order of the checks; the first that applies decides:
//!
//! | status | when | body |
//! |---|---|---|
//! | 404 | the path is neither `/add-checkpoint` nor `/` | text |
//! | 405 | `/add-checkpoint` is not asked with POST, `/` not with GET or HEAD | none |
//! | 408 | the body has not come within [`serve::BODY_TIME`] | text |
//! | 413 | it is larger than any submission needs | text |
//! | 400 | the old size line, a proof line, the note or the checkpoint is not in its one form; more than 63 proof lines; the old size is larger than the checkpoint's | text |
//! | 404 | no key of this origin is trusted | text |
//! | 403 | no trusted key of this origin has signed | text |
//! | 409 | the old size is not that of the last head that was cosigned, 0 where there is none; or the checkpoint has that size and another root | the size, as `text/x.tlog.size` |
//! | 422 | the proof does not hold; where the old size is 0, or is the checkpoint's, that means: there is one | text |
//! | 500 | the store failed; nothing is signed | text |
//! | 200 | the head is durable | the cosignature line |
//!
//! A log of which nothing is known stands at the empty tree: size 0, and the root that RFC 6962
//! gives it. So its first head needs no proof, and a head of size 0 is cosigned if its root is that
//! one; any other root is a 409. A head that was cosigned before is cosigned anew, with the time
//! of now.
//!
//! A signed head that contradicts the kept one (same size and another root, or a proof that does
//! not hold) is kept beside it, whatever is answered, and a warning is logged.

pub mod judge;
pub mod serve;

pub use judge::{Answer, Logs};
use judge::{Signed, admit, judge};
use std::sync::{Mutex, MutexGuard, PoisonError};
use subak_ledger::{
    log::{
        SecretKey,
        cosignature::{CosignerKey, cosign},
    },
    reject::Outcome,
    store::{
        Result,
        witness::{Advance, Contradiction, Evidence, Kept, WitnessStore},
    },
};

/// A name, a key, the logs that are trusted, and what is known of them.
pub struct Witness {
    name: String,
    key: SecretKey,
    logs: Logs,
    store: Mutex<Box<dyn WitnessStore>>,
}

impl Witness {
    /// A witness of `logs`; refuses a name that no note can carry. The key must sign under this
    /// name only, and nothing but cosignatures; the store must be its own.
    pub fn new(
        name: &str,
        key: SecretKey,
        logs: Logs,
        store: Box<dyn WitnessStore>,
    ) -> Outcome<Self> {
        CosignerKey::new(name, key.public())?;
        Ok(Self { name: name.to_owned(), key, logs, store: Mutex::new(store) })
    }

    /// The name and the public key, as logs and clients are told them.
    pub fn verifier(&self) -> CosignerKey {
        CosignerKey::new(&self.name, self.key.public()).expect("`new` has admitted the name")
    }

    /// Answers one submission; `now` is the clock, seconds since 1970. Blocks on the disk.
    pub fn add_checkpoint(&self, body: &[u8], now: u64) -> Answer {
        let signed = match admit(body, &self.logs) {
            Ok(signed) => signed,
            Err(refused) => return refused,
        };
        match self.settle(&signed, now) {
            // Only here, where the head is durable.
            Ok(Ok(time)) => self.cosign(signed.text(), time),
            Ok(Err(refused)) => refused,
            Err(error) => {
                tracing::error!(%error, "the store failed; nothing was signed");
                Answer::Failed
            }
        }
    }

    /// The newest heads that were cosigned, by name.
    pub fn heads(&self) -> Result<Vec<Kept>> {
        self.store().heads()
    }

    /// Judges against what is kept, and keeps the head where it is consistent: the time to cosign
    /// it with. Under one lock, and the store compares again in its transaction: the one that was
    /// judged is the one that is replaced.
    fn settle(&self, signed: &Signed<'_>, now: u64) -> Result<std::result::Result<u64, Answer>> {
        let mut store = self.store();
        let known = store.head(signed.origin())?;
        let (verdict, contradiction) = judge(signed, known.as_ref());
        if let Some(kind) = contradiction {
            keep(&mut **store, signed, known, kind, now);
        }
        if let Err(refused) = verdict {
            return Ok(Err(refused));
        }
        Ok(match store.advance(&signed.step(now))? {
            Advance::Advanced { time } => Ok(time),
            Advance::Conflict { size } => Err(Answer::Conflict { size }),
        })
    }

    fn cosign(&self, text: &str, time: u64) -> Answer {
        let line = cosign(&self.name, text, time, &self.key);
        Answer::Cosigned(line.expect("`new` has admitted the name"))
    }

    /// A submission that panicked has left nothing half done: what is known is in the store, and
    /// there in transactions.
    fn store(&self) -> MutexGuard<'_, Box<dyn WitnessStore>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a contradiction. A failure is logged only: the head is refused in any case.
fn keep(
    store: &mut dyn WitnessStore,
    signed: &Signed<'_>,
    known: Option<Kept>,
    kind: Contradiction,
    now: u64,
) {
    let head = signed.head();
    let evidence = Evidence {
        origin: head.origin.to_owned(),
        kind,
        size: head.size,
        root: head.root,
        kept: known.map(|kept| kept.note),
        shown: signed.checkpoint().to_owned(),
        time: now,
    };
    match store.keep_evidence(&evidence) {
        Ok(kept) => tracing::warn!(
            origin = head.origin,
            size = head.size,
            root = %hex::encode(head.root),
            kind = kind.name(),
            new = kept,
            "a signed head contradicts the one that was cosigned"
        ),
        Err(error) => tracing::error!(%error, origin = head.origin, "evidence could not be kept"),
    }
}
