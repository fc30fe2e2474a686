//! What an operator's key has signed last, and a database that was put back.

#![allow(clippy::unwrap_used)]

mod kit;

use kit::*;
use std::{
    fs,
    path::{Path, PathBuf},
};
use subak_ledger::{
    log::LedgerId,
    store::{Batch, Reader as _, SqliteStore, Store as _},
};
use subak_node::{
    Append, Ledgers as _, NodeError,
    runtime::{Node, Options, key_ring_of},
};
use subak_proto::v1::event::Kind;
use tempfile::TempDir;

/// A ledger whose database and head file are copied at every size.
struct Scene {
    dir: TempDir,
    ledger: LedgerId,
    head: PathBuf,
}

impl Scene {
    /// Copies of it with 1 to `sizes` entries.
    async fn new(sizes: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("rice.db");
        let node = open(&db).await;
        let ledger = open_commons(&node, "rice", false).await;
        let operator = operator(&node, ledger).await;
        drop(node);
        let name = format!("{}.head", hex::encode(operator.bytes()));
        let scene = Self { head: key_ring_of(&db).join(name), dir, ledger };
        for size in 1..=sizes {
            if size > 1 {
                scene.append(&size.to_string()).await.unwrap();
            }
            fs::copy(scene.db(), scene.copy("db", size)).unwrap();
            fs::copy(&scene.head, scene.copy("head", size)).unwrap();
        }
        scene
    }

    fn db(&self) -> PathBuf {
        self.dir.path().join("rice.db")
    }

    fn copy(&self, what: &str, size: u64) -> PathBuf {
        self.dir.path().join(format!("{size}.{what}"))
    }

    /// The database as it was, with its writer gone.
    fn put_back(&self, size: u64) {
        fs::copy(self.copy("db", size), self.db()).unwrap();
    }

    /// One entry more, by a node of its own: closed again when this returns.
    async fn append(&self, what: &str) -> Result<u64, NodeError> {
        let node = open(&self.db()).await;
        let appended = node.append(hour(self.ledger, what)).await.map(|done| done.entry);
        node.close().await;
        appended
    }

    async fn size(&self) -> u64 {
        let node = open(&self.db()).await;
        node.book(self.ledger).await.unwrap().size
    }
}

async fn open(db: &Path) -> Node {
    Node::open(db, Options::default()).await.unwrap()
}

/// A genesis that was not sent yet, and where its head file will be.
async fn to_be_opened(node: &Node, db: &Path) -> (Append, PathBuf) {
    let (operator, clerk) = node.prepare().await.unwrap();
    let genesis = Kind::Genesis(genesis("rice", operator, clerk, false));
    let head = key_ring_of(db).join(format!("{}.head", hex::encode(operator)));
    (append(say(LedgerId::ZERO, "sam", vec![genesis])), head)
}

#[track_caller]
fn require_older(refused: &Result<u64, NodeError>, why: &str) {
    let Err(NodeError::Corrupt { code, message, next }) = refused else { panic!("{refused:?}") };
    assert_eq!(code, "older-database");
    assert!(message.contains(why) && message.contains(".head"), "{message}");
    assert!(next.contains("newest copy"), "{next}");
}

#[tokio::test]
async fn a_database_that_was_put_back_is_read_and_not_appended_to() {
    let scene = Scene::new(4).await;
    for size in 1..4 {
        scene.put_back(size);
        let why = format!("ends after {size} entries, its operator has signed 4");
        require_older(&scene.append("again").await, &why);
        assert_eq!(scene.size().await, size, "nothing was changed, and reading goes on");
    }
    scene.put_back(4);
    assert_eq!(scene.append("5").await.unwrap(), 4);
}

#[tokio::test]
async fn another_history_of_the_same_length_is_noticed() {
    let scene = Scene::new(3).await;
    scene.put_back(2);
    let signed = scene.copy("head", 3);
    // Without the file, nobody here can know.
    fs::remove_file(&scene.head).unwrap();
    for n in ["other", "more"] {
        scene.append(n).await.unwrap();
    }
    fs::copy(&signed, &scene.head).unwrap();
    require_older(
        &scene.append("again").await,
        "has not the first 3 entries that its operator has signed",
    );
    scene.put_back(3);
    assert_eq!(scene.append("4").await.unwrap(), 3);
}

/// Database and ring were put back together, and the key signed something else: the head that shows
/// it stays beside the larger one that somebody has shown, also when the newest copy is back.
#[tokio::test]
async fn what_was_signed_meanwhile_is_not_forgotten() {
    let scene = Scene::new(4).await;
    scene.put_back(2);
    fs::copy(scene.copy("head", 2), &scene.head).unwrap();
    assert_eq!(scene.append("other").await.unwrap(), 2);
    let newest = SqliteStore::open_writer(&scene.copy("db", 4), false).unwrap();
    let shown = newest.checkpoint(&scene.ledger.0).unwrap().unwrap();
    drop(newest);
    let node = open(&scene.db()).await;
    let halted = node.challenge(scene.ledger, shown).await.unwrap_err();
    assert_eq!(halted.code(), "older-database", "{halted}");
    node.close().await;
    scene.put_back(4);
    let why = "has not the first 3 entries that its operator has signed";
    require_older(&scene.append("again").await, why);
}

/// A crash between the commit and the file: the log is ahead, as it should be then.
#[tokio::test]
async fn a_head_that_was_not_kept_in_time_is_made_up_for() {
    let scene = Scene::new(4).await;
    for older in 1..4 {
        fs::copy(scene.copy("head", older), &scene.head).unwrap();
        // Whatever comes first, also what is refused: the writer opens the ledger.
        let refused = scene.append("2").await.unwrap_err();
        assert_eq!(refused.code(), "duplicate-claim");
        scene.put_back(3);
        let why = "ends after 3 entries, its operator has signed 4";
        require_older(&scene.append("again").await, why);
        scene.put_back(4);
    }
    assert_eq!(scene.append("5").await.unwrap(), 4);
}

#[tokio::test]
async fn a_write_that_was_cut_short_leaves_the_one_before() {
    let scene = Scene::new(4).await;
    let whole = fs::read(&scene.head).unwrap();
    let torn = |slots: &[usize]| {
        let mut bytes = whole.clone();
        for slot in slots {
            bytes[slot * 4_096 + 100] ^= 1;
        }
        fs::write(&scene.head, &bytes).unwrap();
        bytes
    };
    // Heads were kept in turn: the fourth is in the second slot.
    torn(&[1]);
    scene.put_back(2);
    let why = "ends after 2 entries, its operator has signed 3";
    require_older(&scene.append("again").await, why);
    torn(&[0]);
    scene.put_back(3);
    let why = "ends after 3 entries, its operator has signed 4";
    require_older(&scene.append("again").await, why);
    let bytes = torn(&[0, 1]);
    scene.put_back(4);
    let Err(NodeError::Corrupt { message, next, .. }) = scene.append("again").await else {
        panic!("neither slot holds")
    };
    assert!(message.contains("holds no checkpoint") && next.contains("put back"), "{message}");
    assert_eq!(fs::read(&scene.head).unwrap(), bytes, "it is left as it was found");
    fs::write(&scene.head, &whole[..200]).unwrap();
    assert!(scene.append("again").await.is_err(), "half a file");
    for emptied in [vec![], vec![0; whole.len()]] {
        fs::write(&scene.head, emptied).unwrap();
        assert_eq!(scene.append("again").await.unwrap_err().code(), "corrupt");
    }
    fs::write(&scene.head, &whole).unwrap();
    assert_eq!(scene.append("5").await.unwrap(), 4);
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_acknowledged() {
    let scene = Scene::new(2).await;
    fs::remove_file(&scene.head).unwrap();
    fs::create_dir(&scene.head).unwrap();
    let refused = scene.append("3").await.unwrap_err();
    assert_eq!(refused.code(), "head-file");
    assert_eq!(scene.size().await, 2, "nothing is stored where it is known before");
    fs::remove_dir(&scene.head).unwrap();
    assert_eq!(scene.append("3").await.unwrap(), 2);
}

/// What could not be kept is stored, and not proven to anybody; nothing comes after it until
/// it is kept.
#[tokio::test]
async fn what_could_not_be_kept_holds_up_what_comes_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("rice.db");
    let node = open(&db).await;
    let (genesis, head) = to_be_opened(&node, &db).await;
    // A directory, where the first head is to be written.
    let head = head.with_extension("head.new");
    fs::create_dir_all(&head).unwrap();
    for _ in 0..2 {
        let refused = node.append(genesis.clone()).await.unwrap_err();
        assert_eq!(refused.code(), "head-file", "{refused:?}");
    }
    let ledger = node.ledgers().await.unwrap()[0].id;
    let refused = node.append(hour(ledger, "a")).await.unwrap_err();
    assert_eq!(refused.code(), "head-file");
    assert_eq!(node.checkpoint(ledger).await.unwrap_err().code(), "head-file");
    assert_eq!(node.ready(ledger).await.unwrap_err().code(), "head-file");
    assert_eq!(node.book(ledger).await.unwrap().size, 1, "stored, and nothing after it");
    node.close().await;
    drop(node);
    // Nor after a restart, of which the first question is for the head.
    let node = open(&db).await;
    assert_eq!(node.checkpoint(ledger).await.unwrap_err().code(), "head-file");
    fs::remove_dir(&head).unwrap();
    assert!(node.checkpoint(ledger).await.unwrap().contains("\n1\n"), "made up for");
    assert_eq!(node.append(hour(ledger, "a")).await.unwrap().entry, 1);
    assert!(node.checkpoint(ledger).await.unwrap().contains("\n2\n"));
}

/// Witnesses' lines, or a stranger's: they are no part of what the operator has signed.
#[tokio::test]
async fn a_stored_head_may_bear_many_signatures() {
    let scene = Scene::new(2).await;
    let mut store = SqliteStore::open_writer(&scene.db(), false).unwrap();
    let id = scene.ledger.0;
    let mut note = store.checkpoint(&id).unwrap().unwrap();
    for n in 0..40 {
        note.push_str(&format!("— witness-{n} {}\n", "A".repeat(96)));
    }
    let expected = store.head(&id).unwrap();
    let batch = Batch {
        ledger: id,
        name: "rice",
        expected,
        entries: &[],
        nodes: &[],
        checkpoint: Some(&note),
        disclosures: &[],
        erasures: &[],
    };
    store.append(&[batch]).unwrap();
    drop(store);
    fs::copy(scene.copy("head", 1), &scene.head).unwrap();
    assert_eq!(scene.append("3").await.unwrap(), 2);
}

/// The database as it was before the ledger, its key still here, and its genesis once more.
#[tokio::test]
async fn a_ledger_that_was_here_is_not_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("rice.db");
    let node = open(&db).await;
    let (genesis, head) = to_be_opened(&node, &db).await;
    let ledger = node.append(genesis.clone()).await.unwrap().ledger;
    node.append(hour(ledger, "a")).await.unwrap();
    node.close().await;
    drop(node);
    let signed = fs::read(&head).unwrap();
    fs::remove_file(&db).unwrap();
    let node = open(&db).await;
    let refused = node.append(genesis).await.map(|appended| appended.entry);
    require_older(&refused, "ends after 0 entries, its operator has signed 2");
    assert!(node.ledgers().await.unwrap().is_empty(), "nothing was stored");
    assert_eq!(fs::read(&head).unwrap(), signed);
}

/// Two ledgers in one file are of one age: nothing is added to either where one is behind.
#[tokio::test]
async fn beside_an_older_ledger_nothing_is_added_to_another() {
    let scene = Scene::new(2).await;
    let node = open(&scene.db()).await;
    let other = open_commons(&node, "tea", false).await;
    node.close().await;
    drop(node);
    let both = scene.copy("both", 2);
    fs::copy(scene.db(), &both).unwrap();
    scene.append("3").await.unwrap();
    let newest = scene.copy("both", 3);
    fs::copy(scene.db(), &newest).unwrap();
    fs::copy(&both, scene.db()).unwrap();
    let node = open(&scene.db()).await;
    let refused = node.append(hour(other, "x")).await.map(|appended| appended.entry);
    require_older(&refused, "rice ends after 2 entries, its operator has signed 3");
    node.close().await;
    drop(node);
    fs::copy(&newest, scene.db()).unwrap();
    let node = open(&scene.db()).await;
    node.append(hour(other, "x")).await.unwrap();
}

/// The tree is stored for speed; that it is false is not that the entries are others.
#[tokio::test]
async fn a_false_tree_is_no_other_history() {
    let scene = Scene::new(4).await;
    fs::copy(scene.copy("head", 3), &scene.head).unwrap();
    let db = rusqlite::Connection::open(scene.db()).unwrap();
    let named = "SELECT sql FROM sqlite_schema WHERE name = 'node_update'";
    let trigger: String = db.query_row(named, [], |row| row.get(0)).unwrap();
    let update = "DROP TRIGGER node_update; UPDATE node SET hash = zeroblob(32) WHERE level = 1";
    db.execute_batch(&format!("{update}; {trigger}")).unwrap();
    drop(db);
    let refused = scene.append("5").await.unwrap_err();
    let NodeError::Corrupt { code, message, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!(code, "corrupt");
    assert!(message.contains("its stored tree is not that of its entries"), "{message}");
}

/// Two nodes on copies of one database, with one key: the second to sign is told.
#[tokio::test]
async fn a_key_is_not_used_by_two_at_a_time() {
    let scene = Scene::new(2).await;
    let node = open(&scene.db()).await;
    node.ready(scene.ledger).await.unwrap();
    let copy = scene.dir.path().join("copy.db");
    fs::copy(scene.copy("db", 2), &copy).unwrap();
    let key_ring = Some(key_ring_of(&scene.db()));
    let options = Options { key_ring, ..Options::default() };
    let twin = Node::open(&copy, options).await.unwrap();
    twin.append(hour(scene.ledger, "twin")).await.unwrap();
    let refused = node.append(hour(scene.ledger, "mine")).await.unwrap_err();
    let NodeError::Corrupt { message, .. } = &refused else { panic!("{refused:?}") };
    assert!(message.contains("another program has changed it"), "{message}");
    assert!(!node.checkpoint(scene.ledger).await.unwrap().contains("\n3\n"), "not given out");
    node.close().await;
    drop(node);
    let node = open(&scene.db()).await;
    assert_eq!(node.checkpoint(scene.ledger).await.unwrap_err().code(), "older-database");
}
