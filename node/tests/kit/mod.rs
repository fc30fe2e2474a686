//! A commons on a node, for tests: keys, statements, stores that count, wait or fail.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test binary uses a part of it

use prost::Message as _;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{SystemTime, UNIX_EPOCH},
};
use subak_ledger::{
    book::handover::handover_text,
    log::{
        Basis, Checkpoint, Draft, Handle, Header, Leaf, LedgerId, PublicKey, SecretKey,
        commit::commitment, tree,
    },
    store::{
        Batch, Disclosure, Head, Inspection, LedgerRow, Reader, Result as Stored, SqliteStore,
        Store, StoredEntry,
    },
};
use subak_node::{
    Append, Appended, Ledgers, NodeError,
    ring::{Ring, Use},
    runtime::{Node, Options},
    serve::serve,
};
use subak_proto::v1::{self, event::Kind};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

pub const DAY_MS: u64 = 86_400_000;

/// A key from a name, the same in every run.
pub fn key(name: &str) -> SecretKey {
    SecretKey::from_seed(&blake3::derive_key("subak test key", name.as_bytes()))
}

pub fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// An envelope; the nonce makes every one another.
pub fn say(ledger: LedgerId, author: &str, kinds: Vec<Kind>) -> Vec<u8> {
    say_at(ledger, author, kinds, now())
}

pub fn say_at(ledger: LedgerId, author: &str, kinds: Vec<Kind>, at: u64) -> Vec<u8> {
    say_seeing(ledger, author, kinds, at, None)
}

/// As [`say_at`], by an author who has seen a history.
pub fn say_seeing(
    ledger: LedgerId,
    author: &str,
    kinds: Vec<Kind>,
    at: u64,
    basis: Option<Basis>,
) -> Vec<u8> {
    static NONCE: AtomicU64 = AtomicU64::new(1);
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&NONCE.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    let header = Header {
        ledger,
        author: Handle::new(author).unwrap(),
        nonce,
        created_at: at,
        expires_at: at + DAY_MS,
        basis,
    };
    let encode = |kind| v1::Event { kind: Some(kind) }.encode_to_vec();
    Draft { header, events: kinds.into_iter().map(encode).collect() }.sign(&key(author))
}

/// A commons of sam, who is steward, maintainer and treasurer.
pub fn genesis(name: &str, operator: [u8; 32], clerk: [u8; 32], sandbox: bool) -> v1::Genesis {
    v1::Genesis {
        random: blake3::hash(name.as_bytes()).as_bytes().to_vec(),
        kind: v1::AgentKind::Commons as i32,
        name: name.into(),
        sandbox,
        steward: vec![v1::NamedKey {
            agent: "sam".into(),
            key: key("sam").public().bytes().to_vec(),
        }],
        steward_role: vec![v1::Role::Maintainer as i32, v1::Role::Treasurer as i32],
        quorum: 1,
        clerk_key: clerk.to_vec(),
        operator_key: operator.to_vec(),
        agent: vec![],
        parent: None,
        equation: Some(v1::Equation {
            name: "test".into(),
            version: 1,
            rate: vec![v1::Rate { kind: "hours".into(), points: 2 }],
            bucket: vec![v1::Bucket {
                name: "work".into(),
                share: 1_000_000,
                to: Some(v1::bucket::To::Contributors(v1::Contributors {
                    weight: vec![1],
                    ..Default::default()
                })),
            }],
            validators: 1,
            held_days: 30,
            ..Default::default()
        }),
    }
}

pub fn append(envelope: Vec<u8>) -> Append {
    Append { envelope: envelope.into(), ..Append::default() }
}

/// Opens a commons on a node; returns its id.
pub async fn open_commons(node: &dyn Ledgers, name: &str, sandbox: bool) -> LedgerId {
    let (operator, clerk) = node.prepare().await.unwrap();
    let genesis = genesis(name, operator, clerk, sandbox);
    let envelope = say(LedgerId::ZERO, "sam", vec![Kind::Genesis(genesis)]);
    node.append(append(envelope)).await.unwrap().ledger
}

/// An hour of sam's, known as `test:<reference>`.
pub fn work(reference: &str) -> Kind {
    Kind::Contribute(v1::Contribute {
        reference: format!("test:{reference}"),
        kind: "hours".into(),
        stream: v1::Stream::Livelihood as i32,
        worked_on: u32::try_from(now() / DAY_MS).unwrap() - 1,
        part: vec![v1::Part { agent: "sam".into(), quantity: 1_000 }],
        evidence: vec![],
    })
}

pub fn hour(ledger: LedgerId, reference: &str) -> Append {
    append(say(ledger, "sam", vec![work(reference)]))
}

/// Somebody without a key, with a name behind a commitment.
pub fn person(ledger: LedgerId, handle: &str, name: &str) -> (Kind, Disclosure) {
    let (salt, author) = ([5; 32], Handle::new("sam").unwrap());
    let commitment = commitment(&salt, "agent", &ledger, &author, "name", name.as_bytes());
    let add = v1::AgentAdd {
        handle: handle.into(),
        kind: v1::AgentKind::Person as i32,
        name: commitment.to_vec(),
        ..Default::default()
    };
    let disclosure = Disclosure {
        commitment,
        salt,
        tag: "agent".into(),
        author: "sam".into(),
        field: "name".into(),
        bytes: name.as_bytes().to_vec(),
    };
    (Kind::AgentAdd(add), disclosure)
}

pub async fn operator(node: &dyn Ledgers, ledger: LedgerId) -> PublicKey {
    let all = node.ledgers().await.unwrap();
    PublicKey::admit(&all.iter().find(|l| l.id == ledger).unwrap().operator).unwrap()
}

/// Checks an answer as a stranger would who knows the operator's key.
pub fn verify(appended: &Appended, envelope: &[u8], operator: &PublicKey) -> Checkpoint {
    let head = Checkpoint::open(&appended.checkpoint, appended.ledger, operator).unwrap();
    let leaf = Leaf::from_bytes(&appended.leaf).unwrap();
    assert_eq!((leaf.ledger, leaf.seq), (appended.ledger, appended.entry));
    assert_eq!(leaf.envelope, *blake3::hash(envelope).as_bytes());
    let hash = tree::leaf_hash(&appended.leaf);
    tree::verify_inclusion(appended.entry, head.size, &head.root, &hash, &appended.path).unwrap();
    head
}

/// The code of a refusal.
pub fn code(result: Result<Appended, NodeError>) -> String {
    match result {
        Err(NodeError::Refused { code, .. }) => code,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

pub fn is_world<T: std::fmt::Debug>(result: &Result<T, NodeError>) -> bool {
    matches!(result, Err(NodeError::World { .. }))
}

/// What a test may do to a store from outside.
#[derive(Default)]
pub struct Handles {
    /// Transactions so far.
    pub commits: AtomicU64,
    /// Pages that the file may have; 0: no limit.
    pub pages: AtomicU64,
    /// While there is a gate, every append announces itself and waits for a word.
    pub gate: Mutex<Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>>,
}

/// A store in a file that can be watched, held up and filled.
pub struct Watched {
    store: SqliteStore,
    handles: Arc<Handles>,
}

impl Watched {
    pub fn open(path: &Path) -> (Self, Arc<Handles>) {
        let handles = Arc::new(Handles::default());
        let store = SqliteStore::open_writer(path, true).unwrap();
        (Self { store, handles: handles.clone() }, handles)
    }
}

impl Reader for Watched {
    fn ledgers(&self) -> Stored<Vec<LedgerRow>> {
        self.store.ledgers()
    }
    fn head(&self, ledger: &[u8; 32]) -> Stored<Head> {
        self.store.head(ledger)
    }
    fn entries(&self, l: &[u8; 32], from: u64, n: usize, max: usize) -> Stored<Vec<StoredEntry>> {
        self.store.entries(l, from, n, max)
    }
    fn nodes(&self, l: &[u8; 32], level: u8, from: u64, n: usize) -> Stored<Vec<(u64, [u8; 32])>> {
        self.store.nodes(l, level, from, n)
    }
    fn checkpoint(&self, ledger: &[u8; 32]) -> Stored<Option<String>> {
        self.store.checkpoint(ledger)
    }
    fn witnessed(&self, ledger: &[u8; 32]) -> Stored<Option<String>> {
        self.store.witnessed(ledger)
    }
    fn disclosures(
        &self,
        l: &[u8; 32],
        after: Option<&[u8; 32]>,
        n: usize,
    ) -> Stored<Vec<Disclosure>> {
        self.store.disclosures(l, after, n)
    }
    fn disclosure(&self, l: &[u8; 32], commitment: &[u8; 32]) -> Stored<Option<Disclosure>> {
        self.store.disclosure(l, commitment)
    }
    fn inspection(&self) -> Inspection {
        self.store.inspection()
    }
}

impl Store for Watched {
    fn append(&mut self, batches: &[Batch<'_>]) -> Stored<()> {
        if let Some((arrived, go)) = &*self.handles.gate.lock().unwrap() {
            // A test that is over no longer holds anybody up.
            let _ = arrived.send(());
            let _ = go.recv();
        }
        let pages = self.handles.pages.load(Ordering::SeqCst);
        let pages = if pages == 0 { u32::MAX - 1 } else { u32::try_from(pages).unwrap() };
        self.store.limit_pages(pages)?;
        self.store.append(batches)?;
        self.handles.commits.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
    fn keep_witnessed(&mut self, ledger: &[u8; 32], note: &str) -> Stored<()> {
        self.store.keep_witnessed(ledger, note)
    }

    fn purge(&mut self) -> Stored<bool> {
        self.store.purge()
    }
}

/// A gate: `arrived` tells when the writer stands before it, `go` lets it through once.
pub struct Gate {
    pub arrived: mpsc::Receiver<()>,
    pub go: mpsc::Sender<()>,
}

impl Handles {
    pub fn close_gate(&self) -> Gate {
        let (announce, arrived) = mpsc::channel();
        let (go, word) = mpsc::channel();
        *self.gate.lock().unwrap() = Some((announce, word));
        Gate { arrived, go }
    }
}

/// A node on a fresh file.
pub struct Fresh {
    pub dir: tempfile::TempDir,
    pub path: PathBuf,
    pub node: Arc<Node>,
    pub handles: Arc<Handles>,
}

pub fn fresh() -> Fresh {
    fresh_with(Options::default())
}

pub fn fresh_with(options: Options) -> Fresh {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rice.db");
    let (store, handles) = Watched::open(&path);
    let node = Node::with_store(Box::new(store), Some(path.clone()), options).unwrap();
    Fresh { dir, path, node: Arc::new(node), handles }
}

/// A copy of a ledger of three entries, taken over at that head; and the key of the one before.
pub struct Moved {
    pub node: Arc<Node>,
    pub ledger: LedgerId,
    pub before: SecretKey,
    _dir: tempfile::TempDir,
}

async fn node_at(db: &Path) -> Arc<Node> {
    Arc::new(Node::open(db, Options::default()).await.unwrap())
}

pub async fn moved() -> Moved {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old.db"), dir.path().join("new.db"));
    let node = node_at(&old).await;
    let ledger = open_commons(&*node, "rice", false).await;
    for n in 0..2 {
        node.append(hour(ledger, &n.to_string())).await.unwrap();
    }
    let public = node.book(ledger).await.unwrap().operator();
    let before = Ring::beside(&old).find(&public, Use::Operator).unwrap().unwrap();
    node.close().await;
    fs::copy(&old, &new).unwrap();
    let node = node_at(&new).await;
    let refused = node.append(hour(ledger, "early")).await.unwrap_err();
    assert_eq!(refused.code(), "operator-key-missing");
    let mut event = node.offer_handover(ledger, now() + 60_000).await.unwrap();
    let refused = node.append(hour(ledger, "still-early")).await.unwrap_err();
    assert_eq!(refused.code(), "operator-key-missing");
    let head = Checkpoint::open(&event.checkpoint, ledger, &before.public()).unwrap();
    let (to, clerk) = (hash(&event.key), hash(&event.clerk));
    let text = handover_text(&head, &public, (&to, &clerk), event.expires_at);
    let (by, signature) = (key("sam").public().bytes().to_vec(), key("sam").sign(&text).to_vec());
    event.consent = vec![v1::Consent { key: by, signature }];
    let taken = say(ledger, "sam", vec![Kind::Handover(event)]);
    assert_eq!(node.append(append(taken)).await.unwrap().entry, 3);
    Moved { node, ledger, before, _dir: dir }
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    bytes.try_into().unwrap()
}

impl Moved {
    /// A head that was never one, by the operator before.
    pub fn invented(&self, size: u64) -> String {
        Checkpoint { ledger: self.ledger, size, root: [7; 32] }.sign(&self.before)
    }
}

/// A node that is served.
pub struct Server {
    pub fresh: Fresh,
    pub url: String,
    pub stop: oneshot::Sender<()>,
    pub served: JoinHandle<anyhow::Result<()>>,
}

pub async fn server() -> Server {
    let fresh = fresh();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(serve(fresh.node.clone(), listener, async {
        let _ = stopped.await;
    }));
    Server { fresh, url, stop, served }
}

/// All files of a folder, as they stand.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
