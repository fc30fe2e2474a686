//! Heads submitted to witnesses that sign, that are away, and that speak against us.
//! (The witness here says what a test wants it to; `tests/witness_node.rs` has the real one.)
#![allow(clippy::unwrap_used)]

mod kit;
mod scripted;

use kit::*;
use scripted::*;
use std::{
    fs,
    net::TcpListener,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use subak_ledger::log::{
    Checkpoint, LedgerId, SecretKey, cosignature::cosign, note::Note, policy::Policy,
};
use subak_node::{
    Ledgers as _, NodeError,
    runtime::{Node, Options, key_ring_of},
    submit::Submitter,
};

async fn node(db: &Path) -> Arc<Node> {
    Arc::new(Node::open(db, Options::default()).await.unwrap())
}

fn submitter(node: &Arc<Node>, url: &str) -> Submitter {
    Submitter::new(node.clone(), policy(url)).unwrap()
}

#[track_caller]
fn require_older<T: std::fmt::Debug>(refused: Result<T, NodeError>, why: &str) {
    let Err(NodeError::Corrupt { code, message, next }) = refused else { panic!("{refused:?}") };
    assert_eq!(code, "older-database");
    assert!(message.contains(why), "{message}");
    assert!(next.contains("newest copy"), "{next}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_witnesses_sign_is_kept_and_served_with_the_head() {
    let (witness, dir) = (scripted(Box::new(signs)), tempfile::tempdir().unwrap());
    let db = dir.path().join("rice.db");
    let node = node(&db).await;
    let ledger = open_commons(&*node, "rice", false).await;
    assert_eq!(node.witnessed(ledger).await.unwrap(), None);
    let bare = node.checkpoint(ledger).await.unwrap();
    tokio::spawn(Arc::new(submitter(&node, &witness.url)).run());
    until(async || node.witnessed(ledger).await.unwrap().is_some()).await;
    let seen = node.checkpoint(ledger).await.unwrap();
    assert!(seen.starts_with(&bare), "the operator's line, and then the witness's");
    assert_eq!(policy("").witnessed(&seen), Ok(vec![("W1".to_owned(), 1_790_000_000)]));
    // It goes on with the ledger, and the newest head is served at once, signed or not yet.
    for n in 0..5 {
        node.append(hour(ledger, &n.to_string())).await.unwrap();
    }
    let operator = operator(&*node, ledger).await;
    let size = |note: &str| Checkpoint::open(note, ledger, &operator).unwrap().size;
    assert_eq!(size(&node.checkpoint(ledger).await.unwrap()), 6);
    until(async || node.witnessed(ledger).await.unwrap().is_some_and(|note| size(&note) == 6))
        .await;
    // It outlives the node.
    let before = node.witnessed(ledger).await.unwrap();
    node.close().await;
    let again = Node::open_reader(&db).await.unwrap();
    assert_eq!(again.witnessed(ledger).await.unwrap(), before);
    assert_eq!(again.checkpoint(ledger).await.unwrap(), before.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_is_asked_from_the_size_that_it_knows() {
    let says = |old: u64, note: &str| {
        if old == 2 { signs(old, note) } else { (409, "2\n".to_owned()) }
    };
    let (witness, dir) = (scripted(Box::new(says)), tempfile::tempdir().unwrap());
    let node = node(&dir.path().join("rice.db")).await;
    let ledger = open_commons(&*node, "rice", false).await;
    for n in 0..3 {
        node.append(hour(ledger, &n.to_string())).await.unwrap();
    }
    submitter(&node, &witness.url).first().await.unwrap();
    let asked: Vec<u64> = witness.asked.lock().unwrap().iter().map(|(old, _)| *old).collect();
    assert_eq!(asked, [0, 2]);
    assert!(policy("").witnessed(&node.checkpoint(ledger).await.unwrap()).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_and_useless_witnesses_never_hold_up_an_append() {
    let other = SecretKey::from_seed(&[1; 32]);
    let theirs = move |_: u64, note: &str| {
        (200, cosign(NAME, Note::parse(note).unwrap().text, 1, &other).unwrap())
    };
    let says: Vec<Says> = vec![
        Box::new(|_, _| (500, "out of order".into())),
        Box::new(|_, _| (404, String::new())),
        Box::new(|_, _| (403, String::new())),
        Box::new(|_, _| (200, "yes".into())),
        Box::new(|_, _| (200, "x".repeat(200_000))),
        Box::new(|_, _| (409, "soon\n".into())),
        Box::new(|_, _| (409, "0\n".into())),
        Box::new(|_, _| (301, String::new())),
        Box::new(theirs),
    ];
    let dir = tempfile::tempdir().unwrap();
    let node = node(&dir.path().join("rice.db")).await;
    let ledger = open_commons(&*node, "rice", false).await;
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut urls = vec![format!("http://{closed}"), "http://witness.invalid".into()];
    urls.extend(says.into_iter().map(|says| scripted(says).url));
    for (n, url) in urls.iter().enumerate() {
        submitter(&node, url).first().await.unwrap();
        assert_eq!(node.witnessed(ledger).await.unwrap(), None, "{url}");
        node.append(hour(ledger, &n.to_string())).await.unwrap();
    }
}

/// Taken in and never answered, as by a host that has gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_hangs_holds_up_neither_appends_nor_the_others() {
    let (witness, dir) = (scripted(Box::new(signs)), tempfile::tempdir().unwrap());
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let hangs = format!("http://{}", silent.local_addr().unwrap());
    let node = node(&dir.path().join("rice.db")).await;
    let ledger = open_commons(&*node, "rice", false).await;
    let other = witness_key(&key("another witness"));
    let mine = witness_key(&key("witness"));
    let url = &witness.url;
    let both = format!("witness W0 {other} {hangs}\nwitness W1 {mine} {url}\nquorum W1\n");
    let both = Submitter::new(node.clone(), Policy::parse(&both).unwrap()).unwrap();
    let begun = Instant::now();
    tokio::spawn(Arc::new(both).run());
    node.append(hour(ledger, "meanwhile")).await.unwrap();
    until(async || node.witnessed(ledger).await.unwrap().is_some()).await;
    assert!(begun.elapsed() < Duration::from_secs(9), "before the other is given up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_has_seen_more_or_another_history_ends_appending() {
    let more = |_: u64, _: &str| (409, "7\n".to_owned());
    let not_from_there =
        |old: u64, _: &str| if old == 1 { (422, String::new()) } else { (409, "1\n".to_owned()) };
    let another_root = |_: u64, _: &str| (409, "2\n".to_owned());
    // Of the ledger that was opened second nobody says anything: it is in the same file.
    let of_rice = |says: Says| -> Says {
        let first = Mutex::new(None::<String>);
        Box::new(move |old, note| {
            let origin = note.lines().next().unwrap().to_owned();
            let mut rice = first.lock().unwrap();
            if rice.get_or_insert_with(|| origin.clone()) == &origin {
                says(old, note)
            } else {
                signs(old, note)
            }
        })
    };
    let cases: [(Says, &str); 3] = [
        (Box::new(more), "ends after 2 entries, and witness W1 has signed a head of 7"),
        (Box::new(not_from_there), "has not the first 1 entries that witness W1 has signed"),
        (Box::new(another_root), "has not the first 2 entries that witness W1 has signed"),
    ];
    for (says, why) in cases {
        let (witness, dir) = (scripted(of_rice(says)), tempfile::tempdir().unwrap());
        let db = dir.path().join("rice.db");
        let node = node(&db).await;
        let [rice, tea] =
            [open_commons(&*node, "rice", false).await, open_commons(&*node, "tea", false).await];
        node.append(hour(rice, "1")).await.unwrap();
        node.append(hour(tea, "1")).await.unwrap();
        let refused = submitter(&node, &witness.url).first().await;
        require_older(refused, "");
        require_older(node.append(hour(rice, "2")).await, why);
        require_older(node.append(hour(tea, "2")).await, why);
        assert_eq!(node.book(rice).await.unwrap().size, 2, "it is read as before");
        // Its word came from this machine: a node that asks no witness goes by it too.
        node.close().await;
        let node = self::node(&db).await;
        require_older(node.append(hour(tea, "3")).await, why);
        fs::remove_file(key_ring_of(&db).join("halted")).unwrap();
        node.close().await;
        let node = self::node(&db).await;
        node.append(hour(tea, "3")).await.expect("a person has taken the mark away");
    }
}

/// Over plain HTTP anybody on the way can say what ends appending.
#[tokio::test(flavor = "multi_thread")]
#[cfg(target_os = "linux")] // where 0.0.0.0 leads to this machine, and is not its loopback
async fn what_anybody_on_the_way_can_say_ends_appending_until_the_node_ends() {
    let (witness, dir) =
        (scripted(Box::new(|_, _| (409, "7\n".to_owned()))), tempfile::tempdir().unwrap());
    let db = dir.path().join("rice.db");
    let node = node(&db).await;
    let ledger = open_commons(&*node, "rice", false).await;
    let plain = witness.url.replace("127.0.0.1", "0.0.0.0");
    require_older(submitter(&node, &plain).first().await, "over plain http");
    require_older(node.append(hour(ledger, "1")).await, "give its URL as https://");
    node.close().await;
    assert!(!key_ring_of(&db).join("halted").exists());
    self::node(&db).await.append(hour(ledger, "1")).await.unwrap();
}

/// The database as it was after one entry; and heads that its operator signed after that.
struct Restored {
    dir: tempfile::TempDir,
    ledger: LedgerId,
    heads: Vec<String>,
}

async fn restored() -> Restored {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("rice.db");
    let writer = node(&db).await;
    let ledger = open_commons(&*writer, "rice", false).await;
    writer.close().await;
    fs::copy(&db, dir.path().join("copy.db")).unwrap();
    let writer = node(&db).await;
    let mut heads = vec![writer.checkpoint(ledger).await.unwrap()];
    for n in 0..2 {
        heads.push(writer.append(hour(ledger, &n.to_string())).await.unwrap().checkpoint);
    }
    writer.close().await;
    fs::copy(dir.path().join("copy.db"), &db).unwrap();
    // Without the head file, nobody here can know.
    for file in fs::read_dir(key_ring_of(&db)).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|e| e == "head") {
            fs::remove_file(path).unwrap();
        }
    }
    Restored { dir, ledger, heads }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_who_kept_a_larger_head_ends_appending_for_good() {
    let Restored { dir, ledger, heads } = restored().await;
    let db = dir.path().join("rice.db");
    let writer = node(&db).await;
    writer.challenge(ledger, heads[0].clone()).await.expect("it goes on from this one");
    let why = "ends after 1 entries, its operator has signed 3";
    require_older(writer.challenge(ledger, heads[2].clone()).await, why);
    require_older(writer.append(hour(ledger, "fork")).await, why);
    writer.close().await;
    // It is in the head file now.
    let writer = node(&db).await;
    require_older(writer.append(hour(ledger, "fork")).await, why);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_who_kept_another_history_ends_appending() {
    let Restored { dir, ledger, heads } = restored().await;
    let db = dir.path().join("rice.db");
    let writer = node(&db).await;
    // It forks before anybody says so.
    for n in 0..3 {
        writer.append(hour(ledger, &format!("fork {n}").replace(' ', "-"))).await.unwrap();
    }
    let tea = open_commons(&*writer, "tea", false).await;
    let why = "has not the first 3 entries that its operator has signed";
    require_older(writer.challenge(ledger, heads[2].clone()).await, why);
    require_older(writer.append(hour(ledger, "more")).await, why);
    require_older(writer.append(hour(tea, "beside it")).await, why);
    writer.close().await;
    // It is marked, until a person takes the mark away.
    let writer = node(&db).await;
    require_older(writer.append(hour(ledger, "more")).await, why);
    writer.close().await;
    fs::remove_file(key_ring_of(&db).join("halted")).unwrap();
    let writer = node(&db).await;
    writer.append(hour(ledger, "goes-on")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_did_not_sign_challenges_nothing() {
    let Restored { dir, ledger, heads } = restored().await;
    let writer = node(&dir.path().join("rice.db")).await;
    let mallory = Checkpoint { ledger, size: 9, root: [9; 32] }.sign(&key("mallory"));
    let other = open_commons(&*writer, "tea", false).await;
    let of_tea = writer.checkpoint(other).await.unwrap();
    for false_head in [mallory, of_tea, heads[2].replace("\n3\n", "\n4\n"), "x".into()] {
        let refused = writer.challenge(ledger, false_head).await;
        let Err(NodeError::Refused { code, .. }) = &refused else { panic!("{refused:?}") };
        assert!(["bad-checkpoint", "bad-note"].contains(&code.as_str()), "{code}");
    }
    writer.append(hour(ledger, "goes-on")).await.unwrap();
}
