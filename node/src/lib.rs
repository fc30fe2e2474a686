//! The node of Subak.
//!
//! [`Ledgers`] is what every command and every service is written against. It has two
//! forms: `runtime::Node`, in this process, on a store; and `client::Remote`, the same
//! over gRPC. There is one code path, with or without a server.
//!
//! Leaves out all rules (`subak-ledger`) and everything a person sees (`subak-cli`).
//!
//! In reading order:
//!
//! ```text
//! clock      may this clock be believed just now?              pure
//! tree       the part of a Merkle tree that proofs of new entries need
//! fold       entries -> state, with every link checked         pure
//! sequencer  (statement, now) -> effects, one per ledger       pure
//! refusal    our errors, as whoever asked gets them
//! disclose   do these texts open commitments of this statement?
//! erase      may these texts be erased, and may those be kept?
//! handover   another operator takes a ledger over
//! keyfile    keys in OpenSSH files;  ring: the operators' and clerks' keys of a node
//! prepared   keys for ledgers that are to be opened
//! publish    what the node says by itself: state roots, as the clerk
//! load       fold, from a store;  page: parts of its lists;  newest: is it the newest copy?
//! verify     what of a statement needs no ledger, off the writer
//! writer     the one thread that appends: group commit
//! readers    everybody else, beside it;  slots: what they see
//! runtime    `Node`: all of it behind the trait `Ledgers`;  in it, in_order: many in a row
//! submit     its heads, to witnesses
//! relay      what other ledgers in the store say, appended to one's own
//! wire       our types and the protocol's
//! service    the gRPC services over any `Ledgers`: the log;  book: the book
//! streamed   statements that arrive as a stream, and how many at a time
//! tiles      the log as files of fixed content;  http: those, over plain HTTP
//! metrics    what was done, in numbers
//! tls        who a node is, and whom a client believes
//! serve      the server;  connections: no more than so many
//! batch      entries from afar, before they are believed
//! client     `Remote`: the trait again, from afar, believing nothing;  in it, streams
//! witness    apart from all that: signs that other logs only grow, and serves itself
//! ```

mod batch;
mod book;
pub mod client;
pub mod clock;
mod connections;
mod disclose;
mod erase;
pub mod fold;
pub mod follow;
mod halt;
pub mod handover;
mod headfile;
mod http;
pub mod keyfile;
pub mod load;
mod metrics;
pub mod newest;
mod page;
mod prepared;
mod publish;
mod readers;
pub mod refusal;
pub mod relay;
pub mod ring;
pub mod runtime;
pub mod sequencer;
pub mod serve;
pub mod service;
mod slots;
mod streamed;
pub mod submit;
mod tiles;
pub mod tls;
pub mod tree;
mod verify;
mod wire;
pub mod witness;
mod writer;

use async_trait::async_trait;
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use prost::bytes::Bytes;
use std::sync::Arc;
use subak_ledger::{
    book::{state::State, types::AgentKind},
    log::{Hash, LedgerId},
    store::Disclosure,
};

/// What a node says of a ledger that it keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerInfo {
    /// Its id.
    pub id: LedgerId,
    /// The name in its genesis.
    pub name: String,
    /// What keeps it.
    pub kind: AgentKind,
    /// Entries.
    pub size: u64,
    /// Whether `recorded_at` may be chosen.
    pub sandbox: bool,
    /// Key that signs its checkpoints.
    pub operator: Hash,
    /// Chain hash of the last entry.
    pub chain: Hash,
    /// `recorded_at` of the last entry, milliseconds.
    pub recorded_at: u64,
    /// Where it comes from, if this node is not its operator and copies it.
    pub mirror: Option<Mirror>,
    /// With whom it has agreements; nothing where whoever lists it has not folded it.
    pub agreements: Option<Agreements>,
}

/// With whom a ledger has agreements: the word of whoever keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreements {
    /// How many, whatever became of them.
    pub count: u64,
    /// The ledgers that they are with, each once, in order of their ids, and no more than a list has
    /// room for.
    pub partners: Vec<LedgerId>,
}

/// How far the copy of a ledger is: the word of whoever keeps the copy. What of the ledger is there
/// is proven as anywhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The URL of the node that it is copied from.
    pub source: String,
    /// Entries there when it last answered, under a signed head.
    pub size: u64,
    /// When it last answered, milliseconds; 0: never yet.
    pub heard_at: u64,
    /// Why no more is copied; empty while nothing is wrong.
    pub trouble: String,
}

/// For what an agreement waits: the word of the node that relays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The agreement.
    pub agreement: Hash,
    /// The ledger from which something is to be relayed.
    pub other: LedgerId,
    /// Stable: `not-here`, `unwitnessed`, `frozen`, `quorum`, `stranger`, `stopped`, `refused`.
    pub code: String,
    /// For what, or for whom.
    pub message: String,
}

/// A statement to append.
#[derive(Debug, Clone, Default)]
pub struct Append {
    /// Body, key, signature.
    pub envelope: Bytes,
    /// Texts behind its commitments; the node checks that they fit.
    pub disclosures: Vec<Disclosure>,
    /// Sandbox ledgers: `recorded_at`, not before the last entry's, not after now.
    pub at: Option<u64>,
}

/// The answer to an append: an entry, proven under a signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The ledger.
    pub ledger: LedgerId,
    /// The entry's number, from 0.
    pub entry: u64,
    /// The leaf's bytes.
    pub leaf: Bytes,
    /// RFC 6962 inclusion proof.
    pub path: Vec<Hash>,
    /// Signed note.
    pub checkpoint: String,
    /// The entry erases, nobody is given the text any more, and yet it stands in the journal
    /// beside the node's database, because somebody reads an older state. The node empties
    /// the journal as soon as that one lets go. Known to the node only, and not proven.
    pub erased_text_lingers: bool,
}

/// An entry as it is stored or sent: nothing in it is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEntry {
    /// Number, from 0.
    pub seq: u64,
    /// Leaf bytes.
    pub leaf: Bytes,
    /// Envelope bytes.
    pub envelope: Bytes,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on it, in order.
    pub items: Vec<T>,
    /// Whether something follows. Never on a page without items.
    pub more: bool,
}

/// Why something was not done. Each has a stable code, a message (what, where, expected,
/// found) and a next step, apart from each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the fields are named above
pub enum NodeError {
    /// The statement was refused: bad input, by a named rule.
    #[error("{message} ({code})")]
    Refused { code: String, message: String, next: String },
    /// No such file, ledger, entry or proof here.
    #[error("{message}")]
    NotFound { code: String, message: String, next: String },
    /// The data is not what it should be: damage or a lie.
    #[error("{message}")]
    Corrupt { code: String, message: String, next: String },
    /// The world failed: disk, lock, network, shutdown. Worth a retry.
    #[error("{message}")]
    World { code: String, message: String, next: String },
}

impl NodeError {
    /// The stable code.
    pub fn code(&self) -> &str {
        self.parts().0
    }

    /// Whether it is the statement that is wrong, and by which rule is known.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// Code, message and next step.
    pub(crate) fn parts(&self) -> (&str, &str, &str) {
        let (Self::Refused { code, message, next }
        | Self::NotFound { code, message, next }
        | Self::Corrupt { code, message, next }
        | Self::World { code, message, next }) = self;
        (code, message, next)
    }
}

/// Statements to append, one after another.
pub type Statements = BoxStream<'static, Append>;
/// What became of each, in their order.
pub type Answers = BoxStream<'static, Result<Appended, NodeError>>;

/// Reading and appending, wherever the ledgers are.
#[async_trait]
pub trait Ledgers: Send + Sync {
    /// Ledgers in order of arrival, those after `after`, up to `limit` and never more than
    /// an answer holds.
    async fn ledgers_page(
        &self,
        after: Option<LedgerId>,
        limit: u64,
    ) -> Result<Page<LedgerInfo>, NodeError>;

    /// All ledgers there.
    async fn ledgers(&self) -> Result<Vec<LedgerInfo>, NodeError> {
        let mut all: Vec<LedgerInfo> = Vec::new();
        loop {
            let page = self.ledgers_page(all.last().map(|info| info.id), u64::MAX).await?;
            all.extend(page.items);
            if !page.more {
                return Ok(all);
            }
        }
    }

    /// Makes operator and clerk keys for a new ledger; returns their public halves. They are
    /// kept once a genesis names them, which must follow soon.
    async fn prepare(&self) -> Result<(Hash, Hash), NodeError>;

    /// Appends one statement; returns after the durable commit.
    async fn append(&self, append: Append) -> Result<Appended, NodeError>;

    /// Appends statements one after another: each is judged after those before it, and may
    /// build on them. One answer for each, in their order, after its durable commit; a refused
    /// one does not stop the rest. Any other failure is the last answer, and of the statements
    /// after the one that failed nothing is recorded but what was already being stored together
    /// with it. Several are under way at a time; taken are no more than there is room for, and
    /// only while answers are.
    fn append_all(self: Arc<Self>, statements: Statements) -> Answers
    where
        Self: 'static,
    {
        let answers = stream::unfold(Some((self, statements)), |rest| async {
            let (own, mut statements) = rest?;
            let answer = own.append(statements.next().await?).await;
            let goes_on = answer.as_ref().err().is_none_or(NodeError::is_refusal);
            Some((answer, goes_on.then_some((own, statements))))
        });
        answers.boxed()
    }

    /// The newest StateRoot of a ledger, proven, if what it says still holds; else one is
    /// appended by the clerk first.
    async fn publish_state(&self, ledger: LedgerId) -> Result<Appended, NodeError>;

    /// Up to `limit` entries from `from` on, in order; fewer where a bounded message is
    /// full, none at the end.
    async fn entries(
        &self,
        ledger: LedgerId,
        from: u64,
        limit: u64,
    ) -> Result<Vec<RawEntry>, NodeError>;

    /// Returns once the ledger has more than `size` entries.
    async fn wait_beyond(&self, ledger: LedgerId, size: u64) -> Result<(), NodeError>;

    /// The newest signed checkpoint.
    async fn checkpoint(&self, ledger: LedgerId) -> Result<String, NodeError>;

    /// The checkpoint that witnesses have signed, if any have: their lines stand under the
    /// operator's. It may be of a smaller head than the newest.
    async fn witnessed(&self, ledger: LedgerId) -> Result<Option<String>, NodeError>;

    /// Under which agreements of a ledger nothing is relayed just now, and why, as whoever relays
    /// there has seen it last; nothing where nobody does.
    async fn waiting(&self, ledger: LedgerId) -> Result<Vec<Wait>, NodeError> {
        let _ = ledger;
        Ok(Vec::new())
    }

    /// Shows the node a checkpoint that its operator has signed. Where it tells of more entries
    /// than there are, or of others, an old copy was put back or the log was forked: that is the
    /// error, and a node that writes appends nothing more to the ledger.
    async fn challenge(&self, ledger: LedgerId, checkpoint: String) -> Result<(), NodeError>;

    /// RFC 6962 inclusion proof of `entry` in the first `size` entries.
    async fn inclusion(
        &self,
        ledger: LedgerId,
        entry: u64,
        size: u64,
    ) -> Result<Vec<Hash>, NodeError>;

    /// RFC 6962 consistency proof between two sizes.
    async fn consistency(
        &self,
        ledger: LedgerId,
        old: u64,
        new: u64,
    ) -> Result<Vec<Hash>, NodeError>;

    /// Texts behind commitments in order of those, after `after`, as many as an answer
    /// holds.
    async fn disclosures_page(
        &self,
        ledger: LedgerId,
        after: Option<Hash>,
    ) -> Result<Page<Disclosure>, NodeError>;

    /// All texts behind commitments.
    async fn disclosures(&self, ledger: LedgerId) -> Result<Vec<Disclosure>, NodeError> {
        let mut all: Vec<Disclosure> = Vec::new();
        loop {
            let after = all.last().map(|last| last.commitment);
            let page = self.disclosures_page(ledger, after).await?;
            all.extend(page.items);
            if !page.more {
                return Ok(all);
            }
        }
    }

    /// Those of the texts behind these commitments that are kept, in the order asked, as many as an
    /// answer holds: one at least, if there is any.
    async fn disclosures_of(
        &self,
        ledger: LedgerId,
        commitments: Vec<Hash>,
    ) -> Result<Vec<Disclosure>, NodeError>;

    /// The ledger folded. In this process: the node's own state. From afar: every entry
    /// fetched, verified against the signed checkpoint, and folded here.
    async fn book(&self, ledger: LedgerId) -> Result<Arc<State>, NodeError>;
}
