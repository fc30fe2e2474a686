//! Copies of other nodes' ledgers: whole, verified, resumed, and told of what does not hold.
#![allow(clippy::unwrap_used)]

mod kit;

use futures::{StreamExt as _, stream};
use kit::*;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use subak_ledger::{
    audit::{self, Options as AuditOptions, Verdict},
    log::{LedgerId, PublicKey, checkpoint::verifier_key, fraud::FraudProof},
    store::SqliteStore,
};
use subak_node::{
    Append, Ledgers as _, Mirror,
    client::Remote,
    follow::{
        Follower,
        evidence::Evidence,
        peers::{Peer, Peers, file_of},
    },
    runtime::{Node, Options},
    serve::serve,
};
use subak_proto::v1::{self, event::Kind};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::timeout};

/// A node that follows, in a folder of its own.
struct Copying {
    db: PathBuf,
    node: Arc<Node>,
}

impl Copying {
    async fn at(db: &Path) -> Self {
        let node = Arc::new(Node::open(db, Options::default()).await.unwrap());
        let follower =
            Follower::new(node.clone(), Some(file_of(db)), Vec::new(), Evidence::beside(db));
        tokio::spawn(Arc::new(follower).run());
        Self { db: db.to_path_buf(), node }
    }

    async fn of(dir: &Path, peer: Peer) -> Self {
        let db = dir.join("copy.db");
        follow(&db, vec![peer]);
        Self::at(&db).await
    }

    async fn until_size(&self, ledger: LedgerId, size: u64) {
        self.until(&format!("{size} entries"), || async {
            self.node.book(ledger).await.is_ok_and(|book| book.size == size)
        })
        .await;
    }

    async fn until<F: Future<Output = bool>>(&self, what: &str, holds: impl Fn() -> F) {
        let found = timeout(Duration::from_secs(20), async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(found.await.is_ok(), "{what}: {:?}", self.node.mirrors());
    }

    fn mirror(&self, ledger: LedgerId) -> Mirror {
        self.node.mirrors().remove(&ledger).unwrap()
    }

    async fn until_trouble(&self, ledger: LedgerId, part: &str) {
        self.until(part, || async {
            self.node.mirrors().get(&ledger).is_some_and(|m| m.trouble.contains(part))
        })
        .await;
    }
}

fn follow(db: &Path, peer: Vec<Peer>) {
    Peers { peer }.write(&file_of(db)).unwrap();
}

fn all_of(url: &str) -> Peer {
    Peer { url: url.into(), ca: None, follow: Vec::new(), all: true }
}

fn only(url: &str, ledger: LedgerId, operator: &PublicKey) -> Peer {
    Peer { follow: vec![verifier_key(&ledger, operator)], all: false, ..all_of(url) }
}

/// A node in a folder, served.
struct Source {
    node: Arc<Node>,
    url: String,
    stop: oneshot::Sender<()>,
    served: JoinHandle<anyhow::Result<()>>,
}

async fn source(db: &Path, port: u16) -> Source {
    let node = Arc::new(Node::open(db, Options::default()).await.unwrap());
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(serve(node.clone(), listener, async {
        let _ = stopped.await;
    }));
    Source { node, url, stop, served }
}

impl Source {
    fn port(&self) -> u16 {
        self.url.rsplit(':').next().unwrap().parse().unwrap()
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        drop(self.node);
        self.served.await.unwrap().unwrap();
    }
}

fn assert_sound(db: &Path) {
    let store = SqliteStore::open_reader(db).unwrap();
    let audit = audit::audit(&store, &AuditOptions::default()).unwrap();
    assert_eq!(audit.verdict, Verdict::Sound, "{:?}", audit.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_whole_grows_and_answers_as_its_source_does() {
    let server = server().await;
    let near = &server.fresh.node;
    let rice = open_commons(&**near, "rice", false).await;
    let tea = open_commons(&**near, "tea", false).await;
    near.append(hour(rice, "1")).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let copy = Copying::of(dir.path(), all_of(&server.url)).await;
    copy.until_size(rice, 2).await;
    copy.until_size(tea, 1).await;
    let late = near.append(hour(rice, "2")).await.unwrap();
    copy.until_size(rice, 3).await;

    // What it gives is what the source gives, with proofs under the operator's head.
    let here = &copy.node;
    assert_eq!(here.checkpoint(rice).await.unwrap(), near.checkpoint(rice).await.unwrap());
    assert_eq!(here.entries(rice, 0, 9).await.unwrap(), near.entries(rice, 0, 9).await.unwrap());
    assert_eq!(here.inclusion(rice, 2, 3).await.unwrap(), late.path);
    assert_eq!(
        here.consistency(rice, 1, 3).await.unwrap(),
        near.consistency(rice, 1, 3).await.unwrap()
    );
    let infos = here.ledgers().await.unwrap();
    let info = infos.iter().find(|info| info.id == rice).unwrap();
    let mirror = info.mirror.as_ref().unwrap();
    assert_eq!((&*mirror.source, mirror.size, &*mirror.trouble), (&*server.url, 3, ""));
    assert!(now() - mirror.heard_at < 20_000);

    // It is a copy: who appends is told where.
    let refused = here.append(hour(rice, "3")).await.unwrap_err();
    assert_eq!(refused.code(), "only-a-copy");
    assert!(refused.to_string().contains(&server.url), "{refused}");
    here.close().await;
    assert_sound(&copy.db);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_named_is_copied_and_only_from_whom_it_should_be() {
    let server = server().await;
    let near = &server.fresh.node;
    let rice = open_commons(&**near, "rice", false).await;
    let tea = open_commons(&**near, "tea", false).await;
    let key = operator(&**near, rice).await;
    let dir = tempfile::tempdir().unwrap();
    let copy = Copying::of(dir.path(), only(&server.url, rice, &key)).await;
    copy.until_size(rice, 1).await;
    assert!(copy.node.book(tea).await.is_err());
    // The file is obeyed while the node runs.
    follow(&copy.db, vec![only(&server.url, tea, &key)]);
    copy.until_trouble(tea, "another than expected").await;
    assert!(copy.node.book(tea).await.is_err(), "nothing of it was stored");
    copy.until_trouble(rice, "nobody is followed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_goes_on_after_any_interruption() {
    let dir = tempfile::tempdir().unwrap();
    let (db, copied) = (dir.path().join("rice.db"), tempfile::tempdir().unwrap());
    let first = source(&db, 0).await;
    let rice = open_commons(&*first.node, "rice", false).await;
    let (port, url) = (first.port(), first.url.clone());
    let copy = Copying::of(copied.path(), all_of(&url)).await;
    copy.until_size(rice, 1).await;
    // The source is away for a while.
    first.end().await;
    copy.until_trouble(rice, "away").await;
    let second = source(&db, port).await;
    second.node.append(hour(rice, "1")).await.unwrap();
    copy.until_size(rice, 2).await;
    copy.until("well again", || async { copy.mirror(rice).trouble.is_empty() }).await;
    // The follower is away for a while.
    copy.node.close().await;
    second.node.append(hour(rice, "2")).await.unwrap();
    let copy = Copying::at(&copy.db).await;
    copy.until_size(rice, 3).await;
    // Both, and the source comes first.
    second.end().await;
    copy.node.close().await;
    let third = source(&db, port).await;
    third.node.append(hour(rice, "3")).await.unwrap();
    Copying::at(&copy.db).await.until_size(rice, 4).await;
}

/// More than are stored at a time.
const ENTRIES: u64 = 4_400;

/// Parts of a long log are stored under a head that is still to be reached, each shown to lie
/// under it; what is there is not asked for again.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_is_stored_in_parts_and_gone_on_with() {
    let server = server().await;
    let near = server.fresh.node.clone();
    let rice = open_commons(&*near, "rice", false).await;
    let hours = stream::iter(0..ENTRIES).map(move |n| hour(rice, &n.to_string()));
    let answers: Vec<_> = near.clone().append_all(hours.boxed()).collect().await;
    assert!(answers.iter().all(Result::is_ok));
    let dir = tempfile::tempdir().unwrap();
    let copy = Copying::of(dir.path(), all_of(&server.url)).await;
    let stored = |db: PathBuf| async move {
        use subak_ledger::store::Reader as _;
        SqliteStore::open_reader(&db).unwrap().head(&rice.0).unwrap().size
    };
    copy.until("a part", || async { stored(copy.db.clone()).await > 0 }).await;
    copy.node.close().await;
    let part = stored(copy.db.clone()).await;
    let copy = Copying::at(&copy.db).await;
    if part < ENTRIES {
        // Until a head is reached nobody is shown anything.
        if let Err(error) = copy.node.book(rice).await {
            assert_eq!(error.code(), "copy-incomplete", "{error}");
        }
        // Nor is it taken over: what follows here is signed, and not yet known.
        if let Err(error) = copy.node.offer_handover(rice, now() + 60_000).await {
            assert_eq!(error.code(), "copy-incomplete", "{error}");
        }
    }
    copy.until_size(rice, ENTRIES + 1).await;
    assert_eq!(copy.node.book(rice).await.unwrap().chain, near.book(rice).await.unwrap().chain);
    copy.node.close().await;
    assert_sound(&copy.db);
}

/// An operator with two histories: whoever has copied one and is shown the other has a proof that
/// needs nobody's word.
#[tokio::test(flavor = "multi_thread")]
async fn two_histories_become_a_fraud_proof_and_end_the_copying() {
    let dir = tempfile::tempdir().unwrap();
    let one = dir.path().join("one");
    fs::create_dir(&one).unwrap();
    let first = source(&one.join("rice.db"), 0).await;
    let rice = open_commons(&*first.node, "rice", false).await;
    let key = operator(&*first.node, rice).await;
    let port = first.port();
    first.end().await;
    for (longer, theirs) in [(false, "a"), (true, "b")] {
        let other = dir.path().join(theirs);
        copy_folder(&one, &other);
        let copied = tempfile::tempdir().unwrap();
        let first = source(&one.join("rice.db"), port).await;
        first.node.append(hour(rice, &format!("1{theirs}"))).await.unwrap();
        let copy = Copying::of(copied.path(), all_of(&first.url)).await;
        let size = first.node.book(rice).await.unwrap().size;
        copy.until_size(rice, size).await;
        first.end().await;
        let second = source(&other.join("rice.db"), port).await;
        second.node.append(hour(rice, &format!("2{theirs}"))).await.unwrap();
        if longer {
            second.node.append(hour(rice, "3")).await.unwrap();
        }
        copy.until_trouble(rice, "two histories").await;
        let file = Evidence::beside(&copy.db).against(rice).unwrap();
        let proof = FraudProof::parse(&fs::read_to_string(file).unwrap()).unwrap();
        let proven = proof.verify(&key).unwrap();
        assert_eq!(proven.ledger, rice);
        assert_eq!(copy.node.book(rice).await.unwrap().size, size, "what was copied stays");
        // Whoever has the other history is told, and goes on with it no more.
        assert!(second.node.append(hour(rice, "4")).await.is_err());
        second.end().await;
    }
}

/// The operator's node was restored from a backup, and its head file with it: whoever has copied
/// more tells it, so that it makes no second history.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_was_put_back_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (now_there, backup) = (dir.path().join("now"), dir.path().join("backup"));
    fs::create_dir(&now_there).unwrap();
    let db = now_there.join("rice.db");
    let first = source(&db, 0).await;
    let rice = open_commons(&*first.node, "rice", false).await;
    let port = first.port();
    first.end().await;
    copy_folder(&now_there, &backup);
    let first = source(&db, port).await;
    first.node.append(hour(rice, "1")).await.unwrap();
    let copied = tempfile::tempdir().unwrap();
    let copy = Copying::of(copied.path(), all_of(&first.url)).await;
    copy.until_size(rice, 2).await;
    first.end().await;
    fs::remove_dir_all(&now_there).unwrap();
    copy_folder(&backup, &now_there);
    let restored = source(&db, port).await;
    copy.until_trouble(rice, "shows 1 entries, 2 were signed before").await;
    let refused = restored.node.append(hour(rice, "other")).await.unwrap_err();
    assert_eq!(refused.code(), "older-database", "{refused}");
    assert_eq!(copy.node.book(rice).await.unwrap().size, 2);
    assert!(Evidence::beside(&copy.db).against(rice).is_none(), "an old head is no second history");

    // What it has lost, whoever has copied it gives back.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(copy.node.clone(), listener, std::future::pending()));
    restored.end().await;
    let node = Arc::new(Node::open(&db, Options::default()).await.unwrap());
    let size = Follower::restore(node.clone(), &all_of(&url), rice, Evidence::beside(&db)).await;
    assert_eq!(size.unwrap(), 2);
    assert_eq!(node.append(hour(rice, "other")).await.unwrap().entry, 2);
    node.close().await;
    assert_sound(&db);
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_come_with_the_copy_and_go_with_their_erasure() {
    let server = server().await;
    let near = &server.fresh.node;
    let rice = open_commons(&**near, "rice", false).await;
    let name = |n: u8| format!("Ni Luh {n}, Ubud");
    let give = |n: u8| {
        let (add, mut disclosure) = person(rice, &format!("ayu-{n}"), &name(n));
        let Kind::AgentAdd(mut add) = add else { unreachable!() };
        // Each with its own salt: the same text has another commitment.
        disclosure.salt = [n; 32];
        let author = subak_ledger::log::Handle::new("sam").unwrap();
        let (tag, field, text) = (&disclosure.tag, &disclosure.field, &disclosure.bytes);
        disclosure.commitment = subak_ledger::log::commit::commitment(
            &disclosure.salt,
            tag,
            &rice,
            &author,
            field,
            text,
        );
        add.name = disclosure.commitment.to_vec();
        let commitment = disclosure.commitment;
        let envelope = say(rice, "sam", vec![Kind::AgentAdd(add)]);
        (Append { disclosures: vec![disclosure], ..append(envelope) }, commitment)
    };
    let (first, early) = give(1);
    near.append(first).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let copy = Copying::of(dir.path(), all_of(&server.url)).await;
    copy.until("early", || async {
        copy.node.disclosures(rice).await.is_ok_and(|all| all.len() == 1)
    })
    .await;
    let (second, late) = give(2);
    near.append(second).await.unwrap();
    copy.until("late", || async {
        copy.node.disclosures(rice).await.is_ok_and(|all| all.len() == 2)
    })
    .await;
    for gone in [early, late] {
        let erase = v1::Erase { commitment: vec![gone.to_vec()] };
        near.append(append(say(rice, "sam", vec![Kind::Erase(erase)]))).await.unwrap();
    }
    copy.until_size(rice, 5).await;
    assert!(copy.node.disclosures(rice).await.unwrap().is_empty());
    copy.node.close().await;
    for entry in fs::read_dir(dir.path()).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            let bytes = fs::read(entry.path()).unwrap();
            for n in [1, 2] {
                let name = name(n);
                assert!(!bytes.windows(name.len()).any(|w| w == name.as_bytes()), "{entry:?}");
            }
        }
    }
    assert_sound(&copy.db);
}

/// A copy under a new operator goes on; and the stewards can make it the ledger's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_follows_a_handover_and_ends_when_the_ledger_is_its_own() {
    let moved = moved().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = moved.node.clone();
    tokio::spawn(serve(served, listener, std::future::pending()));
    let dir = tempfile::tempdir().unwrap();
    let peer = only(&url, moved.ledger, &moved.before.public());
    let copy = Copying::of(dir.path(), peer).await;
    copy.until_size(moved.ledger, 4).await;
    // Another handover, to this copy: its operator is gone.
    let mut event = copy.node.offer_handover(moved.ledger, now() + 60_000).await.unwrap();
    let before = copy.node.book(moved.ledger).await.unwrap().operator();
    let consent = moved.node.consent(moved.ledger, &event).await.unwrap();
    assert_eq!(consent.key, before);
    event.consent = vec![consent];
    let taken = say(moved.ledger, "sam", vec![Kind::Handover(event)]);
    assert_eq!(copy.node.append(append(taken)).await.unwrap().entry, 4);
    copy.until("its own", || async { !copy.node.mirrors().contains_key(&moved.ledger) }).await;
    assert_eq!(copy.node.append(hour(moved.ledger, "own")).await.unwrap().entry, 5);
    copy.node.close().await;
    assert_sound(&copy.db);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_peers_are_away_goes_on_with_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let strange = LedgerId([7; 32]);
    let peer = only("http://127.0.0.1:9", strange, &key("sam").public());
    let copy = Copying::of(dir.path(), peer).await;
    copy.until_trouble(strange, "away").await;
    let rice = open_commons(&*copy.node, "rice", false).await;
    assert_eq!(copy.node.append(hour(rice, "1")).await.unwrap().entry, 1);
    assert_eq!(copy.node.book(rice).await.unwrap().size, 2);
}

/// A peer may have more ledgers than questions can wait there at a time: all of them are copied, and
/// all of them grow.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_with_many_ledgers_is_copied_whole() {
    let server = server().await;
    let near = &server.fresh.node;
    let mut ledgers = Vec::new();
    for n in 0..110 {
        ledgers.push(open_commons(&**near, &format!("commons-{n}"), false).await);
    }
    let dir = tempfile::tempdir().unwrap();
    let copy = Copying::of(dir.path(), all_of(&server.url)).await;
    for ledger in &ledgers {
        copy.until_size(*ledger, 1).await;
    }
    for ledger in &ledgers {
        near.append(hour(*ledger, "1")).await.unwrap();
    }
    for ledger in &ledgers {
        copy.until_size(*ledger, 2).await;
    }
    copy.node.close().await;
}

/// A copy of a copy is as good as one of the source.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_can_be_copied() {
    let server = server().await;
    let near = &server.fresh.node;
    let rice = open_commons(&**near, "rice", false).await;
    let dir = tempfile::tempdir().unwrap();
    let copy = Copying::of(dir.path(), all_of(&server.url)).await;
    copy.until_size(rice, 1).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(copy.node.clone(), listener, std::future::pending()));
    let further = tempfile::tempdir().unwrap();
    let second = Copying::of(further.path(), all_of(&url)).await;
    near.append(hour(rice, "1")).await.unwrap();
    second.until_size(rice, 2).await;
    let remote = Remote::connect(&url, None).await.unwrap();
    assert_eq!(remote.book(rice).await.unwrap().size, 2);
}
