//! The node in this process: what is acknowledged, refused, lost and found again.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::*;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use subak_ledger::{
    log::{Checkpoint, KeyCache, LedgerId, Unverified, tree},
    store::memory::{Fault, MemoryStore},
};
use subak_node::{
    Append, Ledgers, NodeError,
    clock::Reading,
    runtime::{Node, Options, key_ring_of},
    sequencer,
};
use subak_proto::v1::event::Kind;

#[tokio::test]
async fn what_is_appended_is_proven_and_read_again() {
    let Fresh { node, path, dir: _dir, .. } = fresh();
    let ledger = open_commons(&*node, "rice", false).await;
    let operator = operator(&*node, ledger).await;
    for n in 1..20 {
        let order = hour(ledger, &n.to_string());
        let envelope = order.envelope.clone();
        let appended = node.append(order).await.unwrap();
        assert_eq!(appended.entry, n);
        assert_eq!(verify(&appended, &envelope, &operator).size, n + 1);
    }
    // Every proof there is, from the stored nodes.
    let text = node.checkpoint(ledger).await.unwrap();
    let head = Checkpoint::open(&text, ledger, &operator).unwrap();
    let entries = node.entries(ledger, 0, 1_000).await.unwrap();
    assert_eq!(entries.len() as u64, head.size);
    let mut frontier = subak_ledger::log::Frontier::default();
    for entry in &entries {
        let hash = tree::leaf_hash(&entry.leaf);
        frontier.push(hash);
        let path = node.inclusion(ledger, entry.seq, head.size).await.unwrap();
        tree::verify_inclusion(entry.seq, head.size, &head.root, &hash, &path).unwrap();
        // Under its own head: there the entry is on the edge, at an odd size alone.
        let path = node.inclusion(ledger, entry.seq, entry.seq + 1).await.unwrap();
        tree::verify_inclusion(entry.seq, entry.seq + 1, &frontier.root(), &hash, &path).unwrap();
        let (old, root) = (entry.seq + 1, frontier.root());
        let path = node.consistency(ledger, old, head.size).await.unwrap();
        tree::verify_consistency(old, head.size, &root, &head.root, &path).unwrap();
    }
    assert!(matches!(node.inclusion(ledger, 3, 21).await, Err(NodeError::NotFound { .. })));
    assert!(matches!(node.book(LedgerId([9; 32])).await, Err(NodeError::NotFound { .. })));

    // Opened again, it is the same.
    let before = node.book(ledger).await.unwrap();
    let info = node.ledgers().await.unwrap();
    assert_eq!((info[0].size, info[0].name.as_str()), (20, "rice"));
    drop(node);
    let node = Node::open(&path, Options::default()).await.unwrap();
    let after = node.book(ledger).await.unwrap();
    assert_eq!(after.chain, before.chain);
    assert_eq!(after.time, before.time);
    assert_eq!(after.contributions.len(), 19);
    assert!(after.accounts.iter().eq(before.accounts.iter()));
    assert_eq!(node.ledgers().await.unwrap(), info);
    assert_eq!(node.append(hour(ledger, "again")).await.unwrap().entry, 20);
    assert!(node.clerk(ledger).await.unwrap().is_some());
}

#[tokio::test]
async fn a_reader_beside_the_writer_sees_what_is_durable() {
    let Fresh { node, path, dir: _dir, .. } = fresh();
    let ledger = open_commons(&*node, "rice", false).await;
    let reader = Node::open_reader(&path).await.unwrap();
    assert_eq!(reader.book(ledger).await.unwrap().size, 1);
    let waiting = {
        let r = Arc::new(reader);
        let s = r.clone();
        (r, tokio::spawn(async move { s.wait_beyond(ledger, 1).await }))
    };
    node.append(hour(ledger, "1")).await.unwrap();
    waiting.1.await.unwrap().unwrap();
    let reader = waiting.0;
    assert_eq!(reader.book(ledger).await.unwrap().chain, node.book(ledger).await.unwrap().chain);
    let refused = reader.append(hour(ledger, "2")).await;
    assert!(is_world(&refused), "{refused:?}");
    // A second writer is kept out, with the next step.
    let Err(NodeError::World { code, next, .. }) = Node::open(&path, Options::default()).await
    else {
        panic!("two writers");
    };
    assert_eq!(code, "locked");
    assert!(next.contains("--node"), "{next}");
}

/// Lets the writer stand before its first commit, and queues `orders` behind it.
async fn queue_behind(
    fresh: &Fresh,
    ledger: LedgerId,
    orders: Vec<Append>,
) -> Vec<Result<subak_node::Appended, NodeError>> {
    let gate = fresh.handles.close_gate();
    let spawn = |order: Append| {
        let node = fresh.node.clone();
        tokio::spawn(async move { node.append(order).await })
    };
    let first = spawn(hour(ledger, "first"));
    let arrived = tokio::task::spawn_blocking(move || {
        gate.arrived.recv().unwrap();
        gate
    });
    let gate = arrived.await.unwrap();
    let mut waiting = Vec::new();
    for order in orders {
        waiting.push(spawn(order));
        // One after the other into the queue: their order is what the tests are about.
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    assert!(waiting.iter().all(|w| !w.is_finished()), "nothing is answered before its commit");
    for _ in 0..3 {
        gate.go.send(()).unwrap();
    }
    first.await.unwrap().unwrap();
    let mut answers = Vec::new();
    for answer in waiting {
        answers.push(answer.await.unwrap());
    }
    *fresh.handles.gate.lock().unwrap() = None;
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_goes_into_one_transaction_and_is_judged_in_order() {
    let fresh = fresh();
    let ledger = open_commons(&*fresh.node, "rice", false).await;
    let other = open_commons(&*fresh.node, "tea", false).await;
    let before = fresh.handles.commits.load(Ordering::SeqCst);
    let orders = vec![
        hour(ledger, "same"),
        hour(ledger, "same"), // conflicts with what is only pending
        append(say(ledger, "nobody", vec![work("x")])),
        hour(other, "same"), // another ledger, in the same transaction
        hour(ledger, "last"),
    ];
    let mut answers = queue_behind(&fresh, ledger, orders).await.into_iter();
    let mut next = || answers.next().unwrap();
    let same = next().unwrap();
    assert_eq!(code(next()), "duplicate-claim");
    assert_eq!(code(next()), "unknown-author");
    let elsewhere = next().unwrap();
    let last = next().unwrap();
    assert_eq!((same.entry, last.entry, elsewhere.entry), (2, 3, 1));
    assert_eq!(same.checkpoint, last.checkpoint, "one head for the group");
    assert_eq!(fresh.handles.commits.load(Ordering::SeqCst) - before, 2, "the first, and the rest");
    assert_eq!(fresh.node.book(ledger).await.unwrap().size, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_acknowledges_nothing_and_the_node_goes_on() {
    let fresh = fresh();
    let ledger = open_commons(&*fresh.node, "rice", false).await;
    fresh.handles.pages.store(1, Ordering::SeqCst); // never shrinks: no page more than now
    let mut kept = BTreeSet::from([0]);
    let mut full = 0;
    for n in 0..200 {
        match fresh.node.append(hour(ledger, &n.to_string())).await {
            Ok(appended) => assert!(kept.insert(appended.entry), "each number once"),
            Err(NodeError::World { code, message, next }) => {
                assert_eq!(code, "disk-full");
                assert!(message.contains("disk is full") && next.contains("make room"));
                full += 1;
            }
            other => panic!("{other:?}"),
        }
        if full == 3 {
            break;
        }
    }
    assert_eq!(full, 3, "the disk was to fill up");
    let size = fresh.node.book(ledger).await.unwrap().size;
    assert_eq!(size, kept.len() as u64, "what was not acknowledged is not there");
    fresh.handles.pages.store(0, Ordering::SeqCst);
    // A statement that met the full disk is taken now, as if it had never been sent.
    let appended = fresh.node.append(hour(ledger, "199")).await.unwrap();
    assert_eq!(appended.entry, size);
    let Fresh { node, path, dir: _dir, .. } = fresh;
    drop(node);
    let node = Node::open(&path, Options::default()).await.unwrap();
    assert_eq!(node.book(ledger).await.unwrap().size, size + 1);
}

/// A group that conflicts only with what was then lost is not refused for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_because_of_what_was_lost_is_no_refusal() {
    let fresh = fresh();
    let ledger = open_commons(&*fresh.node, "rice", false).await;
    fresh.handles.pages.store(1, Ordering::SeqCst);
    let mut filled = 0;
    while fresh.node.append(hour(ledger, &format!("fill-{filled}"))).await.is_ok() {
        filled += 1;
    }
    let gate = fresh.handles.close_gate();
    let spawn = |order: Append| {
        let node = fresh.node.clone();
        tokio::spawn(async move { node.append(order).await })
    };
    let first = spawn(hour(ledger, "first"));
    let gate = tokio::task::spawn_blocking(move || {
        gate.arrived.recv().unwrap();
        gate
    });
    let gate = gate.await.unwrap();
    let pair = [spawn(hour(ledger, "same")), spawn(hour(ledger, "same"))];
    tokio::time::sleep(Duration::from_millis(200)).await;
    (0..3).for_each(|_| gate.go.send(()).unwrap());
    assert!(is_world(&first.await.unwrap()));
    for answer in pair {
        let answer = answer.await.unwrap();
        assert!(is_world(&answer), "{answer:?}");
    }
}

#[tokio::test]
async fn an_answer_lost_after_the_commit_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Arc::new(std::sync::Mutex::new(None));
    let store = Faulty { store: MemoryStore::new(), next: faults.clone() };
    let options = Options { key_ring: Some(dir.path().join("keys")), ..Options::default() };
    let node = Node::with_store(Box::new(store), None, options).unwrap();
    let ledger = open_commons(&node, "rice", false).await;
    for fault in [Fault::BeforeCommit, Fault::AfterCommit] {
        let order = hour(ledger, &format!("{fault:?}"));
        *faults.lock().unwrap() = Some(fault);
        let lost = node.append(order.clone()).await;
        assert!(is_world(&lost), "{lost:?}");
        // The author sends the same bytes again, as one may.
        let again = node.append(order).await;
        match fault {
            Fault::BeforeCommit => assert_eq!(again.unwrap().entry, 1),
            Fault::AfterCommit => assert_eq!(code(again), "replayed"),
        }
    }
    assert_eq!(node.book(ledger).await.unwrap().size, 3);
    assert_eq!(node.append(hour(ledger, "after")).await.unwrap().entry, 3);
}

/// A store in memory whose next append fails as told.
struct Faulty {
    store: MemoryStore,
    next: Arc<std::sync::Mutex<Option<Fault>>>,
}

mod faulty {
    use subak_ledger::store::{
        Batch, Disclosure, Hash, Head, Inspection, LedgerRow, Reader, Result, Store, StoredEntry,
    };

    impl Reader for super::Faulty {
        fn ledgers(&self) -> Result<Vec<LedgerRow>> {
            self.store.ledgers()
        }
        fn head(&self, ledger: &Hash) -> Result<Head> {
            self.store.head(ledger)
        }
        fn entries(&self, l: &Hash, from: u64, n: usize, max: usize) -> Result<Vec<StoredEntry>> {
            self.store.entries(l, from, n, max)
        }
        fn nodes(&self, l: &Hash, level: u8, from: u64, n: usize) -> Result<Vec<(u64, Hash)>> {
            self.store.nodes(l, level, from, n)
        }
        fn checkpoint(&self, ledger: &Hash) -> Result<Option<String>> {
            self.store.checkpoint(ledger)
        }
        fn witnessed(&self, ledger: &Hash) -> Result<Option<String>> {
            self.store.witnessed(ledger)
        }
        fn disclosures(&self, l: &Hash, a: Option<&Hash>, n: usize) -> Result<Vec<Disclosure>> {
            self.store.disclosures(l, a, n)
        }
        fn disclosure(&self, l: &Hash, c: &Hash) -> Result<Option<Disclosure>> {
            self.store.disclosure(l, c)
        }
        fn inspection(&self) -> Inspection {
            self.store.inspection()
        }
    }

    impl Store for super::Faulty {
        fn append(&mut self, batches: &[Batch<'_>]) -> Result<()> {
            if let Some(fault) = self.next.lock().unwrap().take() {
                self.store.fail_next(fault);
            }
            self.store.append(batches)
        }
        fn keep_witnessed(&mut self, ledger: &Hash, note: &str) -> Result<()> {
            self.store.keep_witnessed(ledger, note)
        }
        fn purge(&mut self) -> Result<bool> {
            self.store.purge()
        }
    }
}

#[tokio::test]
async fn refusals_have_their_codes() {
    let Fresh { node, dir: _dir, .. } = fresh();
    let ledger = open_commons(&*node, "rice", false).await;
    let send = |envelope| {
        let node = node.clone();
        async move { code(node.append(append(envelope)).await) }
    };
    let sound = say(ledger, "sam", vec![work("a")]);
    let mut altered = sound.clone();
    altered[40] ^= 1;
    assert_eq!(send(altered).await, "bad-signature");
    assert_eq!(send(vec![0; 300_000]).await, "too-large");
    assert_eq!(send(vec![0; 3]).await, "malformed");
    assert_eq!(send(say(ledger, "mia", vec![work("a")])).await, "unknown-author");
    assert_eq!(send(say_at(ledger, "sam", vec![work("a")], now() - 2 * DAY_MS)).await, "expired");
    let stolen = {
        // sam's name under another key.
        let add = subak_proto::v1::AgentAdmit { agent: "sam".into() };
        let body = say(ledger, "sam", vec![Kind::AgentAdmit(add)]);
        let body = &body[..body.len() - 96];
        let key = key("thief");
        let signature = key.sign(&subak_ledger::log::statement::pae(body));
        [body, &key.public().bytes(), &signature].concat()
    };
    assert_eq!(send(stolen).await, "key-not-of-author");
    assert!(node.append(append(sound.clone())).await.is_ok());
    assert_eq!(send(sound).await, "replayed");
    let chosen = Append { at: Some(now() - 5_000), ..hour(ledger, "b") };
    assert_eq!(code(node.append(chosen).await), "not-sandbox");
    // A genesis under a key that is not here; one that came before.
    let strange =
        genesis("tea", key("strange").public().bytes(), key("clerk").public().bytes(), false);
    assert_eq!(
        send(say(LedgerId::ZERO, "sam", vec![Kind::Genesis(strange)])).await,
        "operator-not-here"
    );
    let (operator, clerk) = node.prepare().await.unwrap();
    let own =
        say(LedgerId::ZERO, "sam", vec![Kind::Genesis(genesis("tea", operator, clerk, false))]);
    assert!(node.append(append(own.clone())).await.is_ok());
    assert_eq!(send(own).await, "replayed");
    let unknown = node.append(hour(LedgerId([7; 32]), "a")).await;
    assert!(matches!(unknown, Err(NodeError::NotFound { .. })), "{unknown:?}");
    assert_eq!(node.book(ledger).await.unwrap().size, 2);
}

/// A statement's events are decoded before it waits for the writer, and yet what was refused
/// first is refused first.
#[tokio::test]
async fn an_event_without_meaning_is_refused_where_it_was() {
    let Fresh { node, dir: _dir, .. } = fresh();
    let ledger = open_commons(&*node, "rice", false).await;
    let mut unknown_kind = work("a");
    let Kind::Contribute(c) = &mut unknown_kind else { unreachable!() };
    c.stream = 77;
    let send = |author: &str, at: Option<u64>| {
        let envelope = say(ledger, author, vec![unknown_kind.clone()]);
        let (node, order) = (node.clone(), Append { at, ..append(envelope) });
        async move { code(node.append(order).await) }
    };
    assert_eq!(send("sam", None).await, "malformed");
    assert_eq!(send("nobody", None).await, "malformed", "form comes before the author");
    assert_eq!(send("sam", Some(now() - 5_000)).await, "not-sandbox", "and this before form");
    assert_eq!(node.book(ledger).await.unwrap().size, 1);
}

/// What the writer is handed is what it judges: it decodes nothing itself.
#[test]
fn the_sequencer_decodes_nothing() {
    let own = genesis("rice", key("o").public().bytes(), key("c").public().bytes(), false);
    let read = |kind: Kind| {
        let envelope = say(LedgerId::ZERO, "sam", vec![kind]);
        Unverified::take(envelope).unwrap().verify(&mut KeyCache::default()).unwrap()
    };
    let (named_rice, no_genesis) = (read(Kind::Genesis(own)), read(work("a")));
    let events = sequencer::decode(&named_rice);
    let mut sequencer = sequencer::Sequencer::default();
    assert_eq!(sequencer.admit(&no_genesis, &events, None, now()), Ok(0));
    assert_eq!(sequencer.name(), Some("rice"));
}

#[tokio::test]
async fn a_closed_node_opens_no_ledgers() {
    let Fresh { node, dir: _dir, .. } =
        fresh_with(Options { allow_new_ledgers: false, ..Options::default() });
    let refused = node.prepare().await;
    assert!(
        matches!(refused, Err(NodeError::Refused { code, .. }) if code == "new-ledgers-closed")
    );
    let own = genesis("tea", key("o").public().bytes(), key("c").public().bytes(), false);
    let sent = node.append(append(say(LedgerId::ZERO, "sam", vec![Kind::Genesis(own)]))).await;
    assert_eq!(code(sent), "new-ledgers-closed");
    // Nor does it judge what it would not take, here shares of a millionth in all.
    let mut own = genesis("tea", key("o").public().bytes(), key("c").public().bytes(), false);
    own.equation.as_mut().unwrap().bucket[0].share = 1;
    let sent = append(say(LedgerId::ZERO, "sam", vec![Kind::Genesis(own)]));
    assert_eq!(code(node.append(sent).await), "new-ledgers-closed");
}

/// A genesis that this node could take, under keys that it has just made.
async fn named(node: &Node, name: &str) -> Append {
    let (operator, clerk) = node.prepare().await.unwrap();
    let mut genesis = genesis(name, operator, clerk, false);
    genesis.random = operator.to_vec(); // another ledger each time
    append(say(LedgerId::ZERO, "sam", vec![Kind::Genesis(genesis)]))
}

/// On a node where strangers open ledgers, nobody passes for another by name.
#[tokio::test]
async fn a_name_is_given_once() {
    let Fresh { node, path, dir: _dir, .. } = fresh();
    let first = named(&node, "rice").await;
    node.append(first.clone()).await.unwrap();
    assert_eq!(code(node.append(named(&node, "rice").await).await), "name-taken");
    assert_eq!(code(node.append(first).await), "replayed", "the same one is there already");
    node.append(named(&node, "tea").await).await.unwrap();
    drop(node);
    let node = Node::open(&path, Options::default()).await.unwrap();
    assert_eq!(code(node.append(named(&node, "tea").await).await), "name-taken");
    assert_eq!(node.ledgers().await.unwrap().len(), 2);
}

/// Two that want one name, or one operator key, and wait for one transaction: the second is
/// refused if the first stands, and not for what was then lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_and_a_key_are_given_once_in_one_transaction_too() {
    for (taken, lost) in [
        ("name-taken", false),
        ("name-taken", true),
        ("operator-taken", false),
        ("operator-taken", true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (faults, (announce, arrived), (go, word)) =
            (Arc::default(), std::sync::mpsc::channel(), std::sync::mpsc::channel());
        let store = Faulty { store: MemoryStore::new(), next: Arc::clone(&faults) };
        let clock = move || {
            let _ = announce.send(());
            let _ = word.recv();
            Reading::now()
        };
        let clock = std::sync::Mutex::new(clock);
        let options = Options {
            key_ring: Some(dir.path().join("keys")),
            clock: Arc::new(move || (clock.lock().unwrap())()),
            ..Options::default()
        };
        let node = Arc::new(Node::with_store(Box::new(store), None, options).unwrap());
        let pair = if taken == "name-taken" {
            [named(&node, "rice").await, named(&node, "rice").await]
        } else {
            let (operator, clerk) = node.prepare().await.unwrap();
            ["rice", "rice-0"].map(|name| {
                let genesis = genesis(name, operator, clerk, false);
                append(say(LedgerId::ZERO, "sam", vec![Kind::Genesis(genesis)]))
            })
        };
        let other = named(&node, "tea").await;
        let spawn = |order: Append| {
            let node = node.clone();
            tokio::spawn(async move { node.append(order).await })
        };
        // While the writer stands before the first group, the second gathers.
        let first = spawn(other);
        let arrived = tokio::task::spawn_blocking(move || arrived.recv().map(|()| arrived));
        let _arrived = arrived.await.unwrap().unwrap();
        let mut pending = Vec::new();
        for order in pair {
            pending.push(spawn(order));
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        go.send(()).unwrap();
        first.await.unwrap().unwrap();
        *faults.lock().unwrap() = lost.then_some(Fault::BeforeCommit);
        drop(go);
        let (stands, refused) =
            (pending.remove(0).await.unwrap(), pending.remove(0).await.unwrap());
        if lost {
            assert!(is_world(&stands) && is_world(&refused), "{stands:?} {refused:?}");
        } else {
            assert_eq!((stands.unwrap().entry, code(refused)), (0, taken.into()));
        }
    }
}

/// Nor does anybody open a ledger under the key of another one: whoever expects that operator
/// would take the one for the other.
#[tokio::test]
async fn an_operator_key_has_one_ledger() {
    let Fresh { node, path, dir: _dir, .. } = fresh();
    let rice = open_commons(&*node, "rice", false).await;
    let key = operator(&*node, rice).await;
    let (_, clerk) = node.prepare().await.unwrap();
    let second = genesis("rice-0", key.bytes(), clerk, false);
    let order = append(say(LedgerId::ZERO, "sam", vec![Kind::Genesis(second)]));
    assert_eq!(code(node.append(order.clone()).await), "operator-taken");
    drop(node);
    // Nor after a restart, when the other ledger is not yet in use.
    let node = Node::open(&path, Options::default()).await.unwrap();
    assert_eq!(code(node.append(order).await), "operator-taken");
    node.append(hour(rice, "1")).await.unwrap();
    open_commons(&node, "tea", false).await;
    assert_eq!(node.ledgers().await.unwrap().len(), 2);
}

/// Nor is a genesis that came before refused as a new one, once the node is closed to those.
#[tokio::test]
async fn a_closed_node_knows_its_own_genesis() {
    let Fresh { node, path, dir: _dir, .. } = fresh();
    let own = named(&node, "rice").await;
    node.append(own.clone()).await.unwrap();
    drop(node);
    let options = Options { allow_new_ledgers: false, ..Options::default() };
    let node = Node::open(&path, options).await.unwrap();
    assert_eq!(code(node.append(own).await), "replayed");
}

/// Anyone may ask a node for keys; only a ledger makes it keep them.
#[tokio::test]
async fn keys_are_kept_when_a_ledger_names_them() {
    let Fresh { node, path, dir: _dir, .. } = fresh();
    let ring = key_ring_of(&path);
    let (operator, clerk) = node.prepare().await.unwrap();
    node.prepare().await.unwrap();
    assert!(!ring.exists(), "asking leaves nothing behind");
    let mut refused = genesis("tea", operator, clerk, false);
    refused.quorum = 2; // of one steward
    let refused = say(LedgerId::ZERO, "sam", vec![Kind::Genesis(refused)]);
    assert_eq!(code(node.append(append(refused)).await), "genesis-invalid");
    assert!(!ring.exists(), "nor does a genesis that was refused");
    let sound = Kind::Genesis(genesis("tea", operator, clerk, false));
    let sent = node.append(append(say(LedgerId::ZERO, "sam", vec![sound]))).await.unwrap();
    let mut files: Vec<_> = std::fs::read_dir(&ring)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let [by_operator, by_clerk] = [operator, clerk].map(hex::encode);
    let mut named = [
        format!("{by_operator}.operator"),
        format!("{by_operator}.head"),
        format!("{by_clerk}.clerk"),
    ];
    named.sort();
    assert_eq!(files, named);
    assert!(node.clerk(sent.ledger).await.unwrap().is_some());
    drop(node);
    let node = Node::open(&path, Options::default()).await.unwrap();
    assert_eq!(node.append(hour(sent.ledger, "a")).await.unwrap().entry, 1);
}

/// The keys are there before the ledger is: one that was not stored can be sent again, also
/// to the node that was started again.
#[tokio::test]
async fn keys_of_a_genesis_that_met_a_full_disk_are_found_again() {
    let fresh = fresh();
    open_commons(&*fresh.node, "rice", false).await;
    let (operator, clerk) = fresh.node.prepare().await.unwrap();
    let sound = Kind::Genesis(genesis("tea", operator, clerk, false));
    let sound = append(say(LedgerId::ZERO, "sam", vec![sound]));
    fresh.handles.pages.store(1, Ordering::SeqCst); // as full as it is
    let mut n = 0;
    let rice = fresh.node.ledgers().await.unwrap()[0].id;
    while fresh.node.append(hour(rice, &format!("fill-{n}"))).await.is_ok() {
        n += 1;
    }
    let lost = fresh.node.append(sound.clone()).await;
    assert!(is_world(&lost), "{lost:?}");
    let Fresh { node, path, dir: _dir, .. } = fresh;
    drop(node);
    let node = Node::open(&path, Options::default()).await.unwrap();
    assert_eq!(node.append(sound).await.unwrap().entry, 0);
}

#[tokio::test]
async fn disclosures_are_kept_only_if_they_open_a_commitment() {
    let Fresh { node, dir: _dir, .. } = fresh();
    let ledger = open_commons(&*node, "rice", false).await;
    let (kind, sound) = person(ledger, "wayan", "Wayan of Jatiluwih");
    let order = |disclosure| Append {
        envelope: say(ledger, "sam", vec![kind.clone()]).into(),
        disclosures: vec![disclosure],
        at: None,
    };
    for wrong in [
        subak_ledger::store::Disclosure { bytes: b"Made".to_vec(), ..sound.clone() },
        subak_ledger::store::Disclosure { field: "email".into(), ..sound.clone() },
        subak_ledger::store::Disclosure { author: "Not a handle".into(), ..sound.clone() },
    ] {
        assert_eq!(code(node.append(order(wrong)).await), "disclosure-mismatch");
    }
    let large = subak_ledger::store::Disclosure { bytes: vec![0; 300_000], ..sound.clone() };
    assert_eq!(code(node.append(order(large)).await), "disclosures-too-large");
    // What the sender takes for the commitment is not believed.
    let misnamed = subak_ledger::store::Disclosure { commitment: [0; 32], ..sound.clone() };
    node.append(order(misnamed)).await.unwrap();
    assert_eq!(node.disclosures(ledger).await.unwrap(), vec![sound]);
}

#[tokio::test]
async fn a_sandbox_chooses_its_time_but_never_backwards_nor_ahead() {
    let Fresh { node, dir: _dir, .. } = fresh();
    let (operator, clerk) = node.prepare().await.unwrap();
    let start = now() - 100 * DAY_MS;
    let genesis = Kind::Genesis(genesis("rice", operator, clerk, true));
    let first = Append {
        envelope: say_at(LedgerId::ZERO, "sam", vec![genesis], start).into(),
        at: Some(start),
        ..Append::default()
    };
    let ledger = node.append(first).await.unwrap().ledger;
    let at = |reference: &str, at: u64| {
        let mut kind = work(reference);
        let Kind::Contribute(work) = &mut kind else { unreachable!() };
        work.worked_on = u32::try_from(start / DAY_MS).unwrap() - 1;
        let envelope = say_at(ledger, "sam", vec![kind], at);
        Append { envelope: envelope.into(), at: Some(at), ..Append::default() }
    };
    assert_eq!(node.book(ledger).await.unwrap().time, start);
    assert_eq!(code(node.append(at("a", start - 1)).await), "at-out-of-range");
    node.append(at("b", start)).await.unwrap();
    node.append(at("c", start + 5 * DAY_MS)).await.unwrap();
    assert_eq!(code(node.append(at("d", start + 4 * DAY_MS)).await), "at-out-of-range");
    assert_eq!(code(node.append(at("e", now() + DAY_MS)).await), "at-out-of-range");
    let book = node.book(ledger).await.unwrap();
    assert_eq!((book.size, book.time), (3, start + 5 * DAY_MS));
}

#[tokio::test]
async fn a_clock_that_steps_or_leaps_stops_the_writer_until_it_is_right() {
    let (wall, mono) = (Arc::new(AtomicU64::new(now())), Arc::new(AtomicU64::new(0)));
    let (w, m) = (wall.clone(), mono.clone());
    let clock = move || Reading { wall: w.load(Ordering::SeqCst), mono: m.load(Ordering::SeqCst) };
    let Fresh { node, dir: _dir, .. } =
        fresh_with(Options { clock: Arc::new(clock), ..Options::default() });
    let ledger = open_commons(&*node, "rice", false).await;
    let first = node.book(ledger).await.unwrap().time;
    for (n, (step, refused)) in
        [(-1_000_i64, false), (-5_000, true), (5_000, false), (60_000, true), (-60_000, false)]
            .into_iter()
            .enumerate()
    {
        wall.store(wall.load(Ordering::SeqCst).checked_add_signed(step).unwrap(), Ordering::SeqCst);
        let answer = node.append(hour(ledger, &n.to_string())).await;
        assert_eq!(is_world(&answer), refused, "step {n}: {answer:?}");
    }
    assert_eq!(node.book(ledger).await.unwrap().time, first, "the time never went back");
    // An hour that really passed.
    wall.fetch_add(3_600_000, Ordering::SeqCst);
    mono.fetch_add(3_600_000, Ordering::SeqCst);
    node.append(hour(ledger, "later")).await.unwrap();
    assert!(node.book(ledger).await.unwrap().time > first);
}

/// A restart makes a node forget its readings, but not its ledgers.
#[tokio::test]
async fn a_clock_behind_the_last_entry_appends_nothing() {
    let Fresh { node, path, dir: _dir, .. } = fresh();
    let ledger = open_commons(&*node, "rice", false).await;
    drop(node);
    let behind = now() - DAY_MS;
    let clock = Arc::new(move || Reading { wall: behind, mono: 0 });
    let node = Node::open(&path, Options { clock, ..Options::default() }).await.unwrap();
    let answer = node.append(hour(ledger, "a")).await;
    let Err(NodeError::World { code, message, next }) = answer else { panic!("{answer:?}") };
    assert!(code == "clock" && message.contains("ms behind the last entry"), "{message}");
    assert!(next.contains("set the node's clock right"), "{next}");
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_finishes_what_is_begun_and_tells_who_waits() {
    let fresh = fresh();
    let ledger = open_commons(&*fresh.node, "rice", false).await;
    let gate = fresh.handles.close_gate();
    let spawn = |reference: &str| {
        let (node, order) = (fresh.node.clone(), hour(ledger, reference));
        tokio::spawn(async move { node.append(order).await })
    };
    let begun = spawn("begun");
    let gate = tokio::task::spawn_blocking(move || {
        gate.arrived.recv().unwrap();
        gate
    });
    let gate = gate.await.unwrap();
    let queued = spawn("queued");
    let follower = {
        let node = fresh.node.clone();
        tokio::spawn(async move { node.wait_beyond(ledger, 1_000).await })
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    fresh.node.stop();
    gate.go.send(()).unwrap();
    assert_eq!(begun.await.unwrap().unwrap().entry, 1);
    assert!(is_world(&queued.await.unwrap()));
    assert!(is_world(&follower.await.unwrap()));
    assert!(is_world(&fresh.node.append(hour(ledger, "after")).await));
    fresh.node.close().await;
    // The lock is released; what was answered is there.
    let node = Node::open(&fresh.path, Options::default()).await.unwrap();
    assert_eq!(node.book(ledger).await.unwrap().size, 2);
}

#[tokio::test]
async fn a_damaged_file_is_named_with_its_entry() {
    let Fresh { node, path, dir: _dir, .. } = fresh();
    let ledger = open_commons(&*node, "rice", false).await;
    node.append(hour(ledger, "a")).await.unwrap();
    let sound = node.entries(ledger, 1, 1).await.unwrap().remove(0);
    drop(node);
    // One byte of the second entry, wherever it lies in the file.
    let mut bytes = std::fs::read(&path).unwrap();
    let needle = &sound.envelope[..];
    let at = bytes.windows(needle.len()).position(|w| w == needle).expect("it is in the file");
    bytes[at + 60] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let node = Node::open(&path, Options::default()).await.unwrap();
    let Err(NodeError::Corrupt { message, next, .. }) = node.book(ledger).await else {
        panic!("not noticed")
    };
    assert!(message.contains("entry 1") && next.contains("subak audit"), "{message}; {next}");
    let refused = node.append(hour(ledger, "b")).await;
    assert!(matches!(refused, Err(NodeError::Corrupt { .. })), "{refused:?}");
}

/// Not a benchmark: a figure to notice when something became ten times slower.
#[tokio::test(flavor = "multi_thread")]
async fn speed() {
    let fresh = fresh();
    let ledger = open_commons(&*fresh.node, "rice", false).await;
    let alone = measure(&fresh.node, ledger, 1, 200).await;
    let commits = fresh.handles.commits.load(Ordering::SeqCst);
    let together = measure(&fresh.node, ledger, 64, 3_200).await;
    let commits = fresh.handles.commits.load(Ordering::SeqCst) - commits;
    println!(
        "embedded: {alone}/s alone, {together}/s with 64 in flight, 3200 in {commits} commits"
    );
    assert!(commits < 1_600, "groups form: {commits} commits of 3200 statements");
}

async fn measure(node: &Arc<Node>, ledger: LedgerId, lanes: usize, total: usize) -> u128 {
    let orders: Vec<Append> = (0..total).map(|n| hour(ledger, &format!("{lanes}-{n}"))).collect();
    let start = Instant::now();
    let lanes: Vec<_> = orders
        .chunks(total / lanes)
        .map(|lane| {
            let (node, lane) = (node.clone(), lane.to_vec());
            tokio::spawn(async move {
                for order in lane {
                    node.append(order).await.unwrap();
                }
            })
        })
        .collect();
    for lane in lanes {
        lane.await.unwrap();
    }
    (total as u128 * 1_000_000) / start.elapsed().as_micros()
}
