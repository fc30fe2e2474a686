//! The ledgers of a node far away, believing nothing that can be checked.
//!
//! Owns the connection and what was verified over it. Guarantees: a ledger's operator key
//! is the one in the genesis whose hash is the ledger's id, or one that the log hands over to; an append counts only with an
//! inclusion proof under a checkpoint of that operator; a book is folded here, from
//! entries whose signatures, chain, tree and signed head were verified, and a node that
//! shows a shorter or another log later is caught. What fails is told apart: the world
//! (`World`), a lie (`Corrupt`), a refusal. Leaves out proofs that were asked for
//! (`inclusion`, `consistency`): whoever asked knows what they must prove.

mod ledgers;
mod pages;
mod streams;

use crate::{
    Appended, Ledgers, NodeError, Page, RawEntry,
    batch::{Batch, verify},
    disclose,
    fold::Folded,
    readers::off_executor,
    sequencer::{decode, genesis, ledger_of},
    tls::{self, Pin},
    wire::{self, MOST, away, lie},
};
pub(crate) use pages::Verified;
use std::{
    collections::{BTreeSet, HashMap},
    error::Error,
    fmt,
    sync::Arc,
    time::Duration,
};
use subak_ledger::{
    book::handover::{Tenure, signer_of},
    log::{
        Checkpoint, Hash, KeyCache, LedgerId, PublicKey, Statement, Unverified,
        checkpoint::{bears, claimed_size},
        entry::ledger_id_of_genesis,
        receipt::place,
    },
};
use subak_proto::v1::{self, append_reply, log_client::LogClient};
use tokio::sync::Mutex;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a call may take to be answered, or a stream to begin.
const CALL: Duration = Duration::from_mins(1);
/// How often a connection that breaks at once is tried again. What it broke off with is lost now
/// and then, when the other side closes before it has read everything; on a busy machine mostly.
const GREETINGS: u8 = 30;
/// The pause before that.
const BREATH: Duration = Duration::from_millis(10);
/// A silent node is asked after this whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Ledgers that are believed to be on one node: far more than any keeps, and some tens of
/// megabytes here.
const MOST_LEDGERS: usize = 100_000;

/// A node at an address.
pub struct Remote {
    url: String,
    channel: Channel,
    expect: Option<Hash>,
    origins: Mutex<HashMap<LedgerId, Arc<Origin>>>,
    /// What was folded before; only its continuation is fetched.
    books: Mutex<HashMap<LedgerId, Folded>>,
}

/// What a verified genesis says, and who has followed its operator as far as was read.
struct Origin {
    operators: Vec<Tenure>,
    commitments: BTreeSet<Hash>,
}

impl Origin {
    /// Who signs the head that `note` names, as far as is known.
    fn signer(&self, note: &str) -> Option<PublicKey> {
        let size = claimed_size(note).unwrap_or(u64::MAX);
        PublicKey::admit(&signer_of(self.operators.iter(), size)?).ok()
    }
}

impl Remote {
    /// Connects to `http://HOST:PORT`, or to `https://HOST:PORT` by what the public authorities
    /// say. With `expect`, every ledger used must have this operator key; without, a ledger's
    /// own id says which key is its operator's.
    pub async fn connect(url: &str, expect: Option<Hash>) -> Result<Self, NodeError> {
        Self::connect_pinned(url, expect, None).await
    }

    /// As [`Remote::connect`]; with a pin, `https://` by that and not by public authorities.
    pub async fn connect_pinned(
        url: &str,
        expect: Option<Hash>,
        pin: Option<&Pin>,
    ) -> Result<Self, NodeError> {
        let failed = |e: tonic::transport::Error| {
            let why = reasons(&e);
            tls::fault(url, &e, pin.is_some())
                .or_else(|| tls::is_spoken_there(url, &why))
                .unwrap_or_else(|| away(url, &why))
        };
        let endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(failed)?
            .connect_timeout(CONNECT)
            .timeout(CALL)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE);
        let endpoint = match endpoint.uri().scheme_str() {
            Some("https") => tls::believing(endpoint, pin, CONNECT).map_err(failed)?,
            _ => endpoint,
        };
        let channel = endpoint.connect().await.map_err(failed)?;
        let remote = Self {
            url: url.to_owned(),
            channel,
            expect,
            origins: Mutex::default(),
            books: Mutex::default(),
        };
        // Whoever says nothing at all is found out by the first call that means something.
        tokio::time::timeout(CONNECT, remote.greet()).await.unwrap_or(Ok(()))?;
        Ok(remote)
    }

    /// Asks what costs a node nothing. Without TLS a connection to anything comes about, and to
    /// what is no node it breaks at the first call, in ways of which only one says why.
    async fn greet(&self) -> Result<(), NodeError> {
        for _ in 0..GREETINGS {
            let nothing = v1::CheckpointRequest::default();
            let Err(status) = self.log().checkpoint(nothing).await else { break };
            if let Some(error) = tls::is_spoken_there(&self.url, &reasons(&status)) {
                return Err(error);
            }
            if !matches!(status.code(), Code::Cancelled | Code::Internal | Code::Unknown) {
                break;
            }
            tokio::time::sleep(BREATH).await;
        }
        Ok(())
    }

    fn log(&self) -> LogClient<Channel> {
        LogClient::new(self.channel.clone()).max_decoding_message_size(2 * MOST)
    }

    fn failed(&self, status: &Status) -> NodeError {
        wire::error(status, &self.url)
    }

    fn lie(&self, what: impl fmt::Display) -> NodeError {
        lie(&self.url, &what.to_string())
    }

    fn page<T>(&self, items: Vec<T>, more: bool) -> Result<Page<T>, NodeError> {
        if more && items.is_empty() {
            return Err(self.lie("a page with nothing on it, and more to follow"));
        }
        Ok(Page { items, more })
    }

    /// The newest checkpoint as it was sent: nothing of it is checked.
    pub(crate) async fn fetch_checkpoint(
        &self,
        ledger: LedgerId,
        witnessed: bool,
    ) -> Result<String, NodeError> {
        let request = v1::CheckpointRequest { ledger: ledger.0.to_vec(), witnessed };
        let reply = self.log().checkpoint(request).await;
        Ok(reply.map_err(|status| self.failed(&status))?.into_inner().checkpoint)
    }

    /// What is known of who signs for a ledger. Where another operator is expected than its genesis
    /// names, the log must say that it has followed.
    async fn origin(&self, ledger: LedgerId) -> Result<Arc<Origin>, NodeError> {
        let origin = self.first(ledger).await?;
        if self.require_expected(ledger, &origin).is_ok() {
            return Ok(origin);
        }
        self.book(ledger).await?;
        self.first(ledger).await
    }

    fn require_expected(&self, ledger: LedgerId, origin: &Origin) -> Result<(), NodeError> {
        let named = |expected: &Hash| origin.operators.iter().any(|term| term.key == *expected);
        let Some(expected) = self.expect.filter(|expected| !named(expected)) else { return Ok(()) };
        let found = origin.operators.last().map(|term| hex::encode(term.key)).unwrap_or_default();
        let expected = hex::encode(expected);
        let what = format!("ledger {ledger}: expected the operator key {expected}, found {found}");
        Err(NodeError::Corrupt {
            code: "operator-unexpected".into(),
            message: what,
            next: "compare with the key that you were given".into(),
        })
    }

    /// Who signs the head that `note` names: the operator of the genesis, or whoever the log says
    /// has followed. It is read where the note is not by who is known.
    async fn signer(&self, ledger: LedgerId, note: &str) -> Result<PublicKey, NodeError> {
        let origin = self.origin(ledger).await?;
        if let Some(key) = origin.signer(note).filter(|key| bears(note, &ledger, key)) {
            return Ok(key);
        }
        self.book(ledger).await?;
        let named = self.first(ledger).await?.signer(note);
        named.ok_or_else(|| self.lie(format!("ledger {ledger} has no operator")))
    }

    /// As [`Remote::signer`], of a head that was made just now: whoever has handed over, as far as
    /// is known, makes none.
    async fn present(&self, ledger: LedgerId, note: &str) -> Result<PublicKey, NodeError> {
        let signer = self.signer(ledger, note).await?;
        let newest = self.first(ledger).await?.operators.last().map(|tenure| tenure.key);
        if newest == Some(signer.bytes()) {
            return Ok(signer);
        }
        let who = hex::encode(signer.bytes());
        Err(self.lie(format!("ledger {ledger}: a new head by {who}, who has handed over before")))
    }

    /// The head in `note`, if its operator has signed it.
    async fn open(&self, ledger: LedgerId, note: &str) -> Result<Checkpoint, NodeError> {
        let signer = self.signer(ledger, note).await?;
        Checkpoint::open(note, ledger, &signer).map_err(|reject| self.lie(reject))
    }

    /// The genesis, which is authentic because its hash is the ledger's id.
    async fn first(&self, ledger: LedgerId) -> Result<Arc<Origin>, NodeError> {
        if let Some(known) = self.origins.lock().await.get(&ledger) {
            return Ok(known.clone());
        }
        let first = self.entries(ledger, 0, 1).await?.into_iter().next();
        let first = first.ok_or_else(|| self.lie("a ledger without entries"))?;
        let statement = Unverified::parse(&first.envelope)
            .and_then(|unverified| unverified.verify(&mut KeyCache::default()))
            .map_err(|reject| self.lie(format!("ledger {ledger}, entry 0: {reject}")))?;
        self.remember(ledger, &statement).await
    }

    async fn remember(
        &self,
        ledger: LedgerId,
        statement: &Statement,
    ) -> Result<Arc<Origin>, NodeError> {
        let of_this = ledger_id_of_genesis(statement.body()) == ledger;
        let events = decode(statement);
        let operator = genesis(&events).filter(|_| of_this).map(|genesis| genesis.operator);
        let Some(operator) = operator else {
            return Err(self.lie(format!("entry 0 is not the genesis of ledger {ledger}")));
        };
        PublicKey::admit(&operator).map_err(|reject| self.lie(reject))?;
        let operators = vec![Tenure::first(operator)];
        let commitments = disclose::commitments(statement);
        let origin = Arc::new(Origin { operators, commitments });
        self.origins.lock().await.insert(ledger, origin.clone());
        Ok(origin)
    }

    fn path(
        &self,
        reply: Result<tonic::Response<v1::PathReply>, Status>,
    ) -> Result<Vec<Hash>, NodeError> {
        let reply = reply.map_err(|status| self.failed(&status))?.into_inner();
        wire::path(&reply).map_err(|what| self.lie(what))
    }

    /// The answer to a statement, which must prove that it is in the ledger.
    async fn proven(
        &self,
        statement: &Statement,
        reply: v1::AppendReply,
    ) -> Result<Appended, NodeError> {
        let appended = self.appended(reply)?;
        let ledger = ledger_of(statement);
        if appended.entry == 0 {
            self.remember(ledger, statement).await?;
        }
        let operator = self.present(ledger, &appended.checkpoint).await?;
        Self::check(statement, &appended, &operator).map_err(|what| self.lie(what))?;
        Ok(appended)
    }

    fn appended(&self, reply: v1::AppendReply) -> Result<Appended, NodeError> {
        match reply.result {
            Some(append_reply::Result::Appended(appended)) => {
                wire::appended_in(appended).map_err(|what| self.lie(what))
            }
            Some(append_reply::Result::Refused(refused)) => Err(wire::refused_in(refused)),
            None => Err(self.lie("an empty answer")),
        }
    }

    /// Reads on from `base` to `size`.
    async fn fetch(
        &self,
        ledger: LedgerId,
        mut base: Folded,
        size: u64,
    ) -> Result<Folded, NodeError> {
        let from = base.state.size;
        if from > size {
            return Err(self.lie(format!(
                "ledger {ledger} had {from} entries before, and the signed head now says {size}; \
                 keep both heads as evidence"
            )));
        }
        if from < size {
            let (id, limit) = (ledger.0.to_vec(), size - from);
            let request = v1::EntriesRequest { ledger: id, from, limit, follow: false };
            let stream = self.log().entries(request).await;
            let mut stream = stream.map_err(|status| self.failed(&status))?.into_inner();
            let mut batch = Batch::default();
            while let Some(reply) = stream.message().await.map_err(|s| self.failed(&s))? {
                for entry in reply.entry {
                    batch.push(wire::entry_in(entry).map_err(|what| self.lie(what))?);
                }
                if batch.is_full() {
                    base = self.absorb(ledger, base, std::mem::take(&mut batch).entries).await?;
                }
            }
            base = self.absorb(ledger, base, batch.entries).await?;
        }
        if base.state.size == size {
            return Ok(base);
        }
        let found = base.state.size;
        Err(self.lie(format!("the signed head says {size} entries, and {found} were sent")))
    }

    /// Verifies entries and folds them, off the executor.
    async fn absorb(
        &self,
        ledger: LedgerId,
        mut base: Folded,
        batch: Vec<RawEntry>,
    ) -> Result<Folded, NodeError> {
        let folded = off_executor(move || {
            let statements = verify(&batch)?;
            for (raw, statement) in batch.iter().zip(&statements) {
                base.push(ledger, &raw.leaf, statement)
                    .map(drop)
                    .map_err(|what| format!("entry {}: {what}", raw.seq))?;
            }
            base.tree.prune();
            Ok(base)
        })
        .await;
        folded.map_err(|what: String| self.lie(what))
    }

    /// Whether the answer to an append proves that the statement is in the ledger.
    fn check(
        statement: &Statement,
        appended: &Appended,
        operator: &PublicKey,
    ) -> Result<(), String> {
        let ledger = ledger_of(statement);
        let text = |reject: subak_ledger::reject::Reject| reject.to_string();
        let Appended { leaf, path, checkpoint, .. } = appended;
        let leaf = (&leaf[..], &statement.envelope_digest());
        let (leaf, _) = place(ledger, operator, leaf, path, checkpoint).map_err(text)?;
        if (appended.ledger, appended.entry) != (ledger, leaf.seq) {
            return Err("the leaf is not that of the answer".into());
        }
        Ok(())
    }
}

/// An error with what caused it: the transport's own text says only that it failed.
fn reasons(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({})", self.url)
    }
}
