//! What is erased is gone from every file, is never taken in again, and breaks no proof.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::*;
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use subak_ledger::{
    audit::{self, Options as AuditOptions, Verdict},
    log::{LedgerId, commit::commitment},
    store::{Disclosure, SqliteStore},
};
use subak_node::{
    Append, Appended, Ledgers,
    runtime::{Node, Options},
};
use subak_proto::v1::{self, event::Kind};

const NAME: &str = "Ni Luh Ayu Pertiwi, Ubud";

fn erase(commitments: &[[u8; 32]]) -> Kind {
    Kind::Erase(v1::Erase { commitment: commitments.iter().map(|c| c.to_vec()).collect() })
}

/// `ayu` with a name, disclosed by sam.
async fn named(node: &dyn Ledgers, ledger: LedgerId) -> (Appended, Vec<u8>, Disclosure) {
    let (add, disclosure) = person(ledger, "ayu", NAME);
    let envelope = say(ledger, "sam", vec![add]);
    let disclosures = vec![disclosure.clone()];
    let given = Append { disclosures, ..append(envelope.clone()) };
    (node.append(given).await.unwrap(), envelope, disclosure)
}

async fn erased(node: &dyn Ledgers, ledger: LedgerId, by: &str, d: &Disclosure) -> Appended {
    node.append(append(say(ledger, by, vec![erase(&[d.commitment])]))).await.unwrap()
}

/// A member with a key of their own.
async fn member(node: &dyn Ledgers, ledger: LedgerId, handle: &str) {
    let add = v1::AgentAdd {
        handle: handle.into(),
        kind: v1::AgentKind::Person as i32,
        key: key(handle).public().bytes().to_vec(),
        ..Default::default()
    };
    node.append(append(say(ledger, "sam", vec![Kind::AgentAdd(add)]))).await.unwrap();
}

/// Work of `author`'s with a note, and the note.
fn noted(ledger: LedgerId, author: &str, reference: &str) -> (Kind, Disclosure) {
    let (salt, text) = ([6; 32], format!("{author} says something about {reference}"));
    let handle = subak_ledger::log::Handle::new(author).unwrap();
    let commitment = commitment(&salt, "text", &ledger, &handle, "evidence", text.as_bytes());
    let Kind::Contribute(work) = work(reference) else { unreachable!() };
    let part = vec![v1::Part { agent: author.into(), quantity: 1_000 }];
    let work = v1::Contribute { evidence: commitment.to_vec(), part, ..work };
    let (tag, field, bytes) = ("text".into(), "evidence".into(), text.into_bytes());
    let author = author.into();
    (Kind::Contribute(work), Disclosure { commitment, salt, tag, author, field, bytes })
}

/// Files under `dir` in which any of these stands.
fn holding(dir: &Path, needles: &[&[u8]]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, needles));
        } else {
            let bytes = fs::read(&path).unwrap();
            let stands = |needle: &&[u8]| bytes.windows(needle.len()).any(|part| part == *needle);
            if needles.iter().any(stands) {
                found.push(path);
            }
        }
    }
    found
}

fn traces(dir: &Path, d: &Disclosure) -> Vec<PathBuf> {
    holding(dir, &[&d.bytes, &d.salt])
}

#[tokio::test]
async fn what_is_erased_is_in_no_file_and_every_proof_holds() {
    let fresh = fresh();
    let (node, dir) = (&fresh.node, fresh.dir.path());
    let ledger = open_commons(&**node, "rice", false).await;
    let operator = operator(&**node, ledger).await;
    let (before, envelope, name) = named(&**node, ledger).await;
    let old = verify(&before, &envelope, &operator);
    assert!(!traces(dir, &name).is_empty(), "it is there");

    let answer = erased(&**node, ledger, "sam", &name).await;
    assert!(!answer.erased_text_lingers);
    assert_eq!(traces(dir, &name), Vec::<PathBuf>::new(), "when the answer comes it is gone");
    assert_eq!(node.disclosures(ledger).await.unwrap(), []);
    let erasure = node.book(ledger).await.unwrap().erasure_named(&name.commitment).unwrap();
    assert_eq!(erasure.entry, answer.entry);

    // Receipt and checkpoint from before.
    verify(&before, &envelope, &operator);
    let path = node.consistency(ledger, old.size, answer.entry + 1).await.unwrap();
    let text = node.checkpoint(ledger).await.unwrap();
    let new = subak_ledger::log::Checkpoint::open(&text, ledger, &operator).unwrap();
    subak_ledger::log::tree::verify_consistency(old.size, new.size, &old.root, &new.root, &path)
        .unwrap();
    let same = node.entries(ledger, before.entry, 1).await.unwrap();
    assert_eq!(same[0].envelope, envelope);

    // A copy, and the file after closing.
    let copy = dir.join("copy.db");
    SqliteStore::open_reader(&fresh.path).unwrap().backup(&copy, |_, _| {}).unwrap();
    node.close().await;
    assert_eq!(traces(dir, &name), Vec::<PathBuf>::new());
    for file in [&fresh.path, &copy] {
        let reader = SqliteStore::open_reader(file).unwrap();
        let found = audit::audit(&reader, &AuditOptions::default()).unwrap();
        assert_eq!(found.verdict, Verdict::Sound, "{:?}", found.findings);
        let counts = found.ledgers[0].disclosures;
        assert_eq!((counts.disclosed, counts.erased, counts.undisclosed), (0, 1, 0));
    }
}

#[tokio::test]
async fn only_who_is_entitled_erases_and_only_what_is_there() {
    let Fresh { node, dir: _dir, .. } = fresh();
    let ledger = open_commons(&*node, "rice", false).await;
    for handle in ["ben", "cyd"] {
        member(&*node, ledger, handle).await;
    }
    let (claim, note) = noted(ledger, "ben", "1");
    let disclosures = vec![note.clone()];
    let given = Append { disclosures, ..append(say(ledger, "ben", vec![claim.clone()])) };
    node.append(given).await.unwrap();
    let try_it = |by: &'static str, what: Vec<Kind>| {
        let (node, envelope) = (node.clone(), say(ledger, by, what));
        async move { node.append(append(envelope)).await }
    };
    let size = node.book(ledger).await.unwrap().size;
    let unknown = erase(&[[9; 32]]);
    assert_eq!(code(try_it("sam", vec![unknown.clone()]).await), "unknown-disclosure");
    let of_ben = erase(&[note.commitment]);
    assert_eq!(code(try_it("cyd", vec![of_ben.clone()]).await), "erase-not-yours");
    // The rules come first, and a statement is one: nothing of it is done.
    assert_eq!(code(try_it("nobody", vec![unknown.clone()]).await), "unknown-author");
    assert_eq!(code(try_it("ben", vec![of_ben.clone(), unknown]).await), "unknown-disclosure");
    assert_eq!(node.disclosures(ledger).await.unwrap(), std::slice::from_ref(&note));
    assert_eq!(node.book(ledger).await.unwrap().size, size);

    try_it("ben", vec![of_ben.clone()]).await.unwrap();
    assert_eq!(node.disclosures(ledger).await.unwrap(), []);
    assert_eq!(code(try_it("ben", vec![of_ben.clone()]).await), "already-erased");
    assert_eq!(code(try_it("sam", vec![of_ben]).await), "unknown-disclosure");
    // The same commitment again, with its text: the entry may stand, the text not.
    let Kind::Contribute(again) = claim else { unreachable!() };
    let again = v1::Contribute { reference: "test:2".into(), ..again };
    let envelope = say(ledger, "ben", vec![Kind::Contribute(again)]);
    let disclosures = vec![note];
    let given = Append { disclosures, ..append(envelope.clone()) };
    assert_eq!(code(node.append(given).await), "erased");
    node.append(append(envelope)).await.unwrap();
    assert_eq!(node.disclosures(ledger).await.unwrap(), []);
}

#[tokio::test]
async fn a_text_that_comes_and_goes_in_one_transaction_is_never_written() {
    let fresh = fresh();
    let ledger = open_commons(&*fresh.node, "rice", false).await;
    let gate = fresh.handles.close_gate();
    let spawn = |given: Append| {
        let node = fresh.node.clone();
        tokio::spawn(async move { node.append(given).await })
    };
    let first = spawn(hour(ledger, "first"));
    let gate = tokio::task::spawn_blocking(move || {
        gate.arrived.recv().unwrap();
        gate
    });
    let gate = gate.await.unwrap();
    let (add, name) = person(ledger, "ayu", NAME);
    let disclosures = vec![name.clone()];
    let comes = spawn(Append { disclosures, ..append(say(ledger, "sam", vec![add])) });
    tokio::time::sleep(Duration::from_millis(60)).await;
    let goes = spawn(append(say(ledger, "sam", vec![erase(&[name.commitment])])));
    tokio::time::sleep(Duration::from_millis(60)).await;
    gate.go.send(()).unwrap();
    gate.go.send(()).unwrap();
    for answer in [first, comes, goes] {
        answer.await.unwrap().unwrap();
    }
    assert_eq!(fresh.node.disclosures(ledger).await.unwrap(), []);
    assert_eq!(traces(fresh.dir.path(), &name), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_in_the_way_is_told_and_made_up_for_when_it_lets_go() {
    let fresh = fresh();
    let (node, dir) = (&fresh.node, fresh.dir.path());
    let ledger = open_commons(&**node, "rice", false).await;
    let (_, _, name) = named(&**node, ledger).await;
    let reader = SqliteStore::open_reader(&fresh.path).unwrap();
    reader.freeze().unwrap();

    let begun = Instant::now();
    let answer = erased(&**node, ledger, "sam", &name).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "a reader does not hold the ledger up");
    assert!(answer.erased_text_lingers, "and the answer does not say what is not so");
    assert_eq!(node.disclosures(ledger).await.unwrap(), [], "nobody gets it any more");
    assert!(!traces(dir, &name).is_empty(), "it is in the journal");
    let begun = Instant::now();
    node.append(hour(ledger, "meanwhile")).await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(400), "others are not held up");

    // What a crash would leave at this moment.
    let after = tempfile::tempdir().unwrap();
    let copy = after.path().join("rice.db");
    for suffix in ["", "-wal"] {
        let beside = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        fs::copy(beside(&fresh.path), beside(&copy)).unwrap();
    }
    assert!(!traces(after.path(), &name).is_empty());
    let again = Node::open(&copy, Options::default()).await.unwrap();
    assert_eq!(traces(after.path(), &name), Vec::<PathBuf>::new(), "made up for at the opening");
    assert_eq!(again.book(ledger).await.unwrap().size, answer.entry + 2);

    // Nobody appends anything: the writer comes back to it.
    drop(reader);
    let begun = Instant::now();
    while !traces(dir, &name).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the journal is not emptied");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
