//! The node in this process: a store, one writer, and everybody else.
//!
//! Owns threads, clocks and the snapshots that readers share. Guarantees that an answer to
//! an append means durable, that a reader sees durable heads only, and that SQLite never
//! blocks the executor. Statements are verified by the callers' tasks, off the writer.
//! A ledger is folded when somebody first needs it, so that one of many opens fast (`serve`
//! folds all of them before it begins).
//! Leaves out the order of entries (`sequencer`), transactions (`writer`) and the network.

mod answers;
mod copies;
mod in_order;

use crate::{
    Appended, Ledgers, NodeError,
    clock::Reading,
    fold::{Folded, damaged},
    halt,
    load::{self, unknown},
    metrics::Figures,
    publish,
    readers::{Readers, lock, off_executor},
    refusal::{KEY_MISSING, broken, corrupt, stopping, world},
    relay::{Board, Waiting},
    ring::Ring,
    sequencer::ledger_of,
    slots::{Kept, Shared, Slot},
    tiles::{Tile, covered},
    verify::{Verified, Verifiers},
    writer::{Job, Order, Row, Writer},
};
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};
use subak_ledger::{
    book::{
        agreement::{Agreement, Progress},
        state::State,
    },
    log::{Hash, LedgerId, SecretKey, tree},
    store::{Reader, SqliteStore, Store},
};
use tokio::sync::{mpsc, oneshot, watch};

/// Where the answer to a statement in the queue arrives.
type Answered = oneshot::Receiver<Result<Appended, NodeError>>;

/// Where the time comes from.
pub type Clock = Arc<dyn Fn() -> Reading + Send + Sync>;

/// Statements that may wait for the writer; who comes after them waits to be let in.
const QUEUE: usize = 4_096;

/// How a node is opened.
#[derive(Clone)]
pub struct Options {
    /// Makes the database where there is none.
    pub create: bool,
    /// Makes keys for new ledgers and takes their genesis.
    pub allow_new_ledgers: bool,
    /// Where operators' and clerks' keys lie; `<database>.keys` if not said.
    pub key_ring: Option<PathBuf>,
    /// The clocks; those of this machine by default.
    pub clock: Clock,
}

impl Default for Options {
    /// For one's own database: it is made, and takes new ledgers.
    fn default() -> Self {
        let clock = Arc::new(Reading::now);
        Self { create: true, allow_new_ledgers: true, key_ring: None, clock }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { create, allow_new_ledgers, key_ring, .. } = self;
        write!(f, "Options({create}, {allow_new_ledgers}, {key_ring:?})")
    }
}

/// A node in this process.
pub struct Node {
    shared: Arc<Shared>,
    readers: Readers,
    /// None: for reading only, or closed.
    writer: Mutex<Option<mpsc::Sender<Job>>>,
    /// Whether this process is the only one that appends.
    writes: bool,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
    verifiers: Arc<Verifiers>,
}

impl Node {
    /// Opens a database for writing; no other process can at the same time.
    pub async fn open(path: impl Into<PathBuf>, options: Options) -> Result<Self, NodeError> {
        let path = path.into();
        off_executor(move || {
            let store = SqliteStore::open_writer(&path, options.create)?;
            let path = store.path().to_path_buf();
            Self::with_store(Box::new(store), Some(path), options)
        })
        .await
    }

    /// Opens a database for reading: no lock, no keys, beside a writer or not.
    pub async fn open_reader(path: impl Into<PathBuf>) -> Result<Self, NodeError> {
        let path = path.into();
        off_executor(move || {
            // What cannot be opened is said now and not at the first read.
            let path = SqliteStore::open_reader(&path)?.path().to_path_buf();
            let shared = Shared::new(Ring::beside(&path), false);
            Ok(Self::new(shared, Readers::of_file(path), None))
        })
        .await
    }

    /// A node on any store. `reading` is the file that `store` writes, if it is one:
    /// others then read beside the writer, else in its thread.
    pub fn with_store(
        store: Box<dyn Store>,
        reading: Option<PathBuf>,
        options: Options,
    ) -> Result<Self, NodeError> {
        let beside = reading.as_deref().map(Ring::beside);
        let ring = options.key_ring.map(Ring::new).or(beside).ok_or_else(|| {
            world(
                "no-key-ring",
                "a store that is no file has no key ring",
                "name one (Options::key_ring)",
            )
        })?;
        let shared = Shared::new(ring, options.allow_new_ledgers);
        let (sender, queue) = mpsc::channel(QUEUE);
        let writer = Writer::new(store, queue, shared.clone(), options.clock);
        let thread = thread::Builder::new()
            .name("subak-writer".into())
            .spawn(move || writer.run())
            .map_err(|e| {
                world("no-thread", format!("no thread for the writer: {e}"), "try again")
            })?;
        let readers = reading.map_or(Readers::Writer, Readers::of_file);
        Ok(Self::new(shared, readers, Some((sender, thread))))
    }

    fn new(
        shared: Arc<Shared>,
        readers: Readers,
        writing: Option<(mpsc::Sender<Job>, thread::JoinHandle<()>)>,
    ) -> Self {
        let writes = writing.is_some();
        let (writer, thread) = writing.unzip();
        Self {
            shared,
            readers,
            writer: Mutex::new(writer),
            writes,
            thread: Mutex::new(thread),
            verifiers: Verifiers::new(),
        }
    }

    /// Recomputes a ledger from its first entry and looks whether it can be appended to: its
    /// operator's key is here, and its stored log goes on from what that key signed last.
    pub async fn ready(&self, ledger: LedgerId) -> Result<(), NodeError> {
        self.load(ledger).await?;
        self.ask_writer(|answer| Job::Ready(ledger, answer)).await
    }

    /// The newest checkpoint that may leave, with its operator's line alone.
    pub(crate) async fn own_checkpoint(&self, ledger: LedgerId) -> Result<String, NodeError> {
        if self.writes && self.shared.kept(ledger).is_none() {
            // What was stored just before a crash may not be kept yet: the writer looks. What
            // is signed elsewhere, since the key is not here, was given out there.
            match self.ready(ledger).await {
                Err(error) if error.code() != KEY_MISSING => return Err(error),
                _ => {}
            }
        }
        match self.shared.kept(ledger) {
            Some(Kept::Head(note)) => return Ok(note),
            Some(Kept::Nothing) => {
                let what = format!("the head of ledger {ledger} is not in its head file yet");
                return Err(world("head-file", what, "see that the key ring can be written"));
            }
            None => {}
        }
        let found = self.read(move |reader| Ok(reader.checkpoint(&ledger.0)?)).await?;
        found.ok_or_else(|| unknown(&ledger))
    }

    /// How many entries are stored.
    pub(crate) async fn own_size(&self, ledger: LedgerId) -> Option<u64> {
        self.size(ledger).await.ok()
    }

    /// Appends nothing more, and gives the reason back. `lasting`: not after a restart either.
    pub(crate) async fn halt(&self, why: NodeError, lasting: bool) -> NodeError {
        if lasting {
            let (shared, reason) = (self.shared.clone(), why.to_string());
            let marked = off_executor(move || halt::mark(&shared.ring, &reason)).await;
            if let Err(error) = marked {
                tracing::error!(%error, "that nothing more may be appended was not kept");
            }
        }
        match self.writer() {
            Ok(writer) => match writer.send(Job::Halt(why.clone())).await {
                Ok(()) => why,
                Err(_) => self.gone(),
            },
            Err(error) => error,
        }
    }

    /// Keeps a checkpoint that witnesses have signed.
    pub(crate) async fn keep_witnessed(
        &self,
        ledger: LedgerId,
        note: String,
    ) -> Result<(), NodeError> {
        self.ask_writer(|answer| Job::Witnessed(ledger, note, answer)).await
    }

    /// Shows true when the node closes.
    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.shared.closing.subscribe()
    }

    /// Changes when a ledger is opened that was not yet.
    pub(crate) fn opened(&self) -> watch::Receiver<usize> {
        self.shared.slots.count()
    }

    pub(crate) fn board(&self) -> &Board {
        &self.shared.board
    }

    /// What waits to be relayed to ledgers of this node, as of the last look at each.
    pub fn waiting(&self) -> Vec<Waiting> {
        self.shared.board.all()
    }

    async fn ask_writer<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, NodeError>>) -> Job,
    ) -> Result<T, NodeError> {
        let writer = self.writer()?;
        let (answer, answered) = oneshot::channel();
        writer.send(job(answer)).await.map_err(|_| self.gone())?;
        // So that a writer that is told to stop is not kept waiting.
        drop(writer);
        answered.await.map_err(|_| self.gone())?
    }

    /// Puts a statement into the writer's queue, behind all that are there.
    async fn enqueue(&self, verified: Verified, row: Row) -> Result<Answered, NodeError> {
        let (answer, answered) = oneshot::channel();
        let ledger = ledger_of(&verified.statement);
        let order = Box::new(Order { ledger, verified, row, answer });
        self.writer()?.send(Job::Append(order)).await.map_err(|_| self.gone())?;
        Ok(answered)
    }

    /// Where its keys lie.
    pub(crate) fn ring(&self) -> Ring {
        self.shared.ring.clone()
    }

    /// The clerk's key of a ledger, if the ring has it.
    pub async fn clerk(&self, ledger: LedgerId) -> Result<Option<SecretKey>, NodeError> {
        let state = self.book(ledger).await?;
        let ring = self.shared.ring.clone();
        off_executor(move || Ok(publish::clerk_key(&ring, &state)?)).await
    }

    /// Whether there is a key file of a ledger's clerk here. It is not read.
    pub(crate) async fn speaks_for(&self, ledger: LedgerId) -> bool {
        let state = self.book(ledger).await;
        state.is_ok_and(|state| publish::has_clerk_key(&self.shared.ring, &state))
    }

    /// An entry under the newest head.
    async fn shown(&self, ledger: LedgerId, entry: u64) -> Result<Appended, NodeError> {
        let found = self.entries(ledger, entry, 1).await?.into_iter().next();
        let raw = found.ok_or_else(|| damaged(&ledger, entry, "it is missing"))?;
        let checkpoint = self.checkpoint(ledger).await?;
        let (_, folded) = self.load(ledger).await?;
        let head = folded.open(&checkpoint).map_err(|what| damaged(&ledger, entry, &what))?;
        let path = self.inclusion(ledger, entry, head.size).await?;
        Ok(Appended { ledger, entry, leaf: raw.leaf, path, checkpoint, erased_text_lingers: false })
    }

    /// Stops taking statements: what is being stored is finished and answered, what waits
    /// is answered with [`NodeError::World`], and nobody waits for growth any more.
    pub fn stop(&self) {
        self.shared.closing.send_replace(true);
        self.readers.close_idle();
        drop(lock(&self.writer).take());
    }

    /// [`Node::stop`], and returns once the store is closed and its lock released.
    pub async fn close(&self) {
        self.stop();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            off_executor(move || join(thread)).await;
        }
    }

    /// The bytes of a tile, as far as the newest checkpoint reaches that may leave.
    pub(crate) async fn tile(&self, ledger: LedgerId, tile: Tile) -> Result<Vec<u8>, NodeError> {
        let size = covered(ledger, &self.checkpoint(ledger).await?)?;
        self.read(move |reader| tile.read(reader, ledger, size)).await
    }

    /// The ledgers that were folded, from memory alone.
    pub(crate) fn figures(&self) -> Vec<Figures> {
        let folded = self.shared.slots.folded();
        let waiting = self.waiting();
        let figures = |(id, here): (&LedgerId, &Arc<Folded>)| {
            let signed = match self.shared.kept(*id) {
                Some(Kept::Head(note)) => covered(*id, &note).ok(),
                Some(Kept::Nothing) | None => None,
            };
            let State { size, time: recorded_at, .. } = *here.state;
            let accepted = || {
                let all = here.state.agreements.values();
                all.filter(|a| a.progress == Progress::Accepted)
            };
            let beyond = |a: &Arc<Agreement>| {
                let payer = folded.get(&LedgerId(a.terms.payer))?;
                let last = payer.state.agreements.get(&a.terms.digest)?.dues.last;
                Some(last.saturating_sub(a.dues.last))
            };
            Figures {
                id: *id,
                name: here.state.root().name.to_string(),
                size,
                signed,
                recorded_at,
                mirror: self.shared.mirror(*id),
                waiting: waiting.iter().filter(|it| it.own == *id).count(),
                frozen: accepted().filter(|a| a.frozen.is_some()).count(),
                in_flight: accepted().filter_map(beyond).sum(),
            }
        };
        folded.iter().map(figures).collect()
    }

    fn writer(&self) -> Result<mpsc::Sender<Job>, NodeError> {
        if !self.writes {
            let next = "open it for writing, or append through its node (--node)";
            return Err(world("read-only", "this database is open for reading only", next));
        }
        lock(&self.writer).clone().ok_or_else(stopping)
    }

    /// Why the writer does not answer.
    fn gone(&self) -> NodeError {
        if self.shared.is_closing() { stopping() } else { broken() }
    }

    pub(crate) async fn read<T, F>(&self, read: F) -> Result<T, NodeError>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Reader) -> Result<T, NodeError> + Send + 'static,
    {
        let writer = lock(&self.writer).clone();
        self.readers.read(writer.as_ref(), read).await
    }

    /// The newest snapshot, folded here if nobody has yet.
    async fn load(&self, ledger: LedgerId) -> Result<(Arc<Slot>, Arc<Folded>), NodeError> {
        let slot = if let Some(slot) = self.shared.slots.find(ledger) {
            slot
        } else {
            self.size(ledger).await?;
            self.shared.slots.make(ledger)
        };
        // Where another process writes, the snapshot may be old.
        let current = |slot: &Slot| slot.get().filter(|_| self.writes);
        if let Some(folded) = current(&slot) {
            return Ok((slot, folded));
        }
        let loading = slot.loading.lock().await;
        if let Some(folded) = current(&slot) {
            drop(loading);
            return Ok((slot, folded));
        }
        let base = slot.get().as_deref().cloned().unwrap_or_default();
        let folded = self.read(move |reader| load::extend(reader, ledger, base)).await?;
        slot.publish(folded);
        drop(loading);
        let folded = slot.get().expect("it was published, and is never taken back");
        Ok((slot, folded))
    }

    async fn size(&self, ledger: LedgerId) -> Result<u64, NodeError> {
        let head = self.read(move |reader| Ok(reader.head(&ledger.0)?)).await?;
        if head.size == 0 { Err(unknown(&ledger)) } else { Ok(head.size) }
    }
}

/// Waits for the writer; a panic there was reported there.
fn join(thread: thread::JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("the writer's thread has panicked");
    }
}

impl Drop for Node {
    /// The lock on the file is gone when this returns.
    fn drop(&mut self) {
        self.stop();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            join(thread);
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", if self.writes { "writes" } else { "reads" })
    }
}

/// A node of the stored tree.
pub(crate) fn node(
    reader: &dyn Reader,
    ledger: LedgerId,
    level: u32,
    index: u64,
) -> Result<Hash, NodeError> {
    let missing = || {
        let what = format!("ledger {ledger}: tree node {index} of level {level} is missing");
        corrupt(what, "run `subak audit` on it")
    };
    if level == 0 {
        // Not stored: it follows from the entry, of which a proof needs two at most.
        let entry = reader.entries(&ledger.0, index, 1, 0)?.pop().filter(|e| e.seq == index);
        let entry = entry.ok_or_else(|| damaged(&ledger, index, "it is missing"))?;
        return Ok(tree::leaf_hash(&entry.leaf));
    }
    let level = u8::try_from(level).map_err(|_| missing())?;
    reader.node(&ledger.0, level, index)?.ok_or_else(missing)
}

/// The path of a database's key ring.
pub fn key_ring_of(database: &Path) -> PathBuf {
    Ring::beside(database).dir().to_path_buf()
}
