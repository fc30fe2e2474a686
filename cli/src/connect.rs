//! Connections: to a ledger file in this process, or to a node.
//!
//! Guarantees that a command looks the same over both, that a node is asked for no more
//! than can be checked ([`as_folded`]), and that a writer waits a moment for another one
//! to finish. Leaves out which place is meant (`context`).

use crate::{
    failure::{Done, Failure},
    trust::Trust,
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use subak_ledger::{book::state::State, log::Hash, store::StoreError};
use subak_node::{
    LedgerInfo, Ledgers, NodeError,
    client::Remote,
    follow::peers,
    ring::Ring,
    runtime::{Node, Options},
    tls::Pin,
};
use tonic::transport::Uri;

/// How long a writer waits for another one: commands hold the file for milliseconds, a
/// server for good.
const PATIENCE: Duration = Duration::from_secs(2);
/// And how often it looks.
const LOOK: Duration = Duration::from_millis(20);

/// An open connection: ledgers here or afar.
#[derive(Clone)]
pub struct Connection {
    /// The ledgers.
    pub ledgers: Arc<dyn Ledgers>,
    /// In this process: for the clerk's key.
    pub embedded: Option<Arc<Node>>,
    /// The ledger file, where this process may append to it.
    pub file: Option<PathBuf>,
}

impl Connection {
    /// Whether the node there appends to this ledger itself, as far as is known: else it keeps a copy.
    pub fn is_own(&self, ledger: &LedgerInfo) -> bool {
        match &self.embedded {
            Some(node) => node.signs_for(&ledger.operator),
            None => ledger.mirror.is_none(),
        }
    }
}

fn here(node: Node, file: Option<PathBuf>) -> Connection {
    let node = Arc::new(node);
    Connection { ledgers: node.clone(), embedded: Some(node), file }
}

/// A ledger file, for reading: needs neither key nor lock.
pub async fn reader(db: &Path) -> Done<Connection> {
    Ok(here(Node::open_reader(db).await?, None))
}

/// A ledger file, for appending; `create` makes it where there is none.
pub async fn writer(db: &Path, create: bool) -> Done<Connection> {
    let until = Instant::now() + PATIENCE;
    loop {
        let options = Options { create, ..Options::default() };
        match Node::open(db, options).await {
            Err(NodeError::World { message, .. })
                if message == locked(db) && Instant::now() < until =>
            {
                tokio::time::sleep(LOOK).await;
            }
            other => return Ok(here(other?, Some(db.to_path_buf()))),
        }
    }
}

/// What is to be said before anything is appended to a ledger whose operator's last head nobody
/// here remembers: an older copy of the file goes on as a second history then, and silently. Said
/// once, as the node keeps the stored head from then on.
pub fn forgotten(db: &Path, ledger: &LedgerInfo) -> Option<String> {
    let is_forgotten = ledger.size > 0 && Ring::beside(db).has_forgotten(&ledger.operator);
    is_forgotten.then(|| {
        format!(
            "ledger {}: the file that says what its operator has signed last (.head) is not beside \
             the key. If this database is an older copy, what is appended now is a second history, \
             and anybody can prove it. Hold it against a head that others have: `subak checkpoint \
             challenge FILE`. It goes on from its {} entries now, and the file is made anew",
            ledger.name, ledger.size
        )
    })
}

/// What the store says where another program writes: a node passes on no more than that.
fn locked(db: &Path) -> String {
    let path = db.canonicalize().unwrap_or_else(|_| db.to_path_buf());
    StoreError::Locked { path }.to_string()
}

/// A node; with one operator key expected, every ledger of it must have that one. `ca`: the
/// file of the only certificates that are believed.
pub async fn node(url: &str, trust: &Trust, ca: Option<&Path>) -> Done<Connection> {
    let only = match trust.keys() {
        [one] => Some(one.bytes()),
        _ => None, // of several, `as_folded` finds out which
    };
    Ok(Connection { ledgers: Arc::new(remote(url, only, ca).await?), embedded: None, file: None })
}

/// A node as a client of it, for what needs no more than its bytes.
pub async fn remote(url: &str, expect: Option<Hash>, ca: Option<&Path>) -> Done<Remote> {
    require_url(url, ca)?;
    let pin = ca.map(pin).transpose()?;
    Ok(Remote::connect_pinned(url, expect, pin.as_ref()).await?)
}

/// The only certificates that are believed, from a file.
pub fn pin(file: &Path) -> Done<Pin> {
    Pin::from_pem(&pem(file)?).map_err(|e| of_file(file, e))
}

/// The one spelling of a URL that somebody has typed, for what is kept or compared.
pub fn node_url(url: &str) -> Done<String> {
    peers::node_url(url).ok_or_else(|| not_a_node(url))
}

fn not_a_node(url: &str) -> Failure {
    Failure::usage(
        format!("node {url:?}: expected http://HOST:PORT or https://HOST:PORT"),
        "write it as in http://127.0.0.1:7117",
    )
}

/// Whether this is where a node can be.
pub fn require_url(url: &str, ca: Option<&Path>) -> Done {
    let uri: Option<Uri> = url.parse().ok();
    let known = |u: &Uri| matches!(u.scheme_str(), Some("http" | "https")) && u.host().is_some();
    if !uri.as_ref().is_some_and(known) {
        return Err(not_a_node(url));
    }
    if let Some(file) = ca.filter(|_| !url.starts_with("https:")) {
        return Err(Failure::usage(
            format!("{} is for a node in TLS, found {url}", file.display()),
            "write https:// if the node speaks TLS; else leave out --node-ca and SUBAK_NODE_CA",
        ));
    }
    Ok(())
}

/// A file of certificates or a key.
pub fn pem(file: &Path) -> Done<Vec<u8>> {
    fs::read(file).map_err(|e| Failure::file(file, &e))
}

/// What is wrong with a file, by its name.
pub fn of_file(file: &Path, error: NodeError) -> Failure {
    let failure = Failure::from(error);
    Failure { message: format!("{}: {}", file.display(), failure.message), ..failure }
}

/// What is known of a ledger once it is folded. A node's list of ledgers is only its word:
/// name, kind and sandbox are those of the genesis, the operator that of the log, and a list that says
/// otherwise is a lie.
pub fn as_folded(listed: &LedgerInfo, book: &State, trust: &Trust) -> Done<LedgerInfo> {
    let lie = |what: String| {
        Failure::refused(
            "corrupt",
            format!("ledger {}: {what}", listed.id),
            "do not rely on who answered; keep the answer as evidence, and compare the ledger's id",
        )
    };
    let root = book.root.as_ref().ok_or_else(|| lie("it has no genesis".into()))?;
    let info = LedgerInfo {
        id: listed.id,
        name: root.name.to_string(),
        kind: root.kind,
        size: book.size,
        sandbox: root.sandbox,
        operator: book.operator(),
        chain: book.chain.last().copied().unwrap_or_default(),
        recorded_at: book.time,
        mirror: listed.mirror.clone(),
        agreements: listed.agreements.clone(),
    };
    if let Some(what) = difference(listed, &info) {
        return Err(lie(format!("the list of ledgers lies: {what}")));
    }
    // Whoever believes one operator believes the rules by which another has followed.
    let mut line = book.operators.iter().rev();
    if line.any(|term| trust.believes(info.id, &term.key)) {
        return Ok(info);
    }
    Err(unexpected(&info))
}

/// A ledger whose operator is none of those that are expected.
fn unexpected(info: &LedgerInfo) -> Failure {
    Failure::refused(
        "operator-unexpected",
        format!(
            "ledger {} ({}): its operator key {} is not expected",
            info.name,
            info.id,
            hex::encode(info.operator)
        ),
        "check the key with the commons or phyle; name it with --expect too if it is right",
    )
}

/// In what the list differs from the log. (Sizes may: the ledger grows meanwhile.)
fn difference(listed: &LedgerInfo, found: &LedgerInfo) -> Option<String> {
    let differs = |what, said: String, is: String| {
        (said != is).then(|| format!("it gives the {what} {said}, the log {is}"))
    };
    let sandbox = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    differs("name", listed.name.clone(), found.name.clone())
        .or_else(|| differs("kind", listed.kind.to_string(), found.kind.to_string()))
        .or_else(|| differs("sandbox mark", sandbox(listed.sandbox), sandbox(found.sandbox)))
        .or_else(|| {
            differs("operator key", hex::encode(listed.operator), hex::encode(found.operator))
        })
}
