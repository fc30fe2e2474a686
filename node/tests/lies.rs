//! Every lie that an operator, or who answers in its place, can tell to one who copies its ledger or
//! appends to it: what becomes of it.
//!
//! ```text
//! lie                                              ends in
//! two histories, of one size or of two             a fraud proof (here, and node/tests/follow)
//! withheld entries                                 a stated gap: nothing is taken, and it is told
//! withheld proof that a head goes on               a stated gap, the same
//! new heads withheld from one reader               nothing, while it asks nobody else (a stated gap);
//!                                                  told as soon as a second source shows a newer one
//! reordered, altered, foreign entries              refused as they arrive; the copy stays as it was
//! backdated entries                                a fraud proof, if they are in place of others;
//!                                                  refused, if time goes back; beyond that a witness's
//!                                                  clock tells (ledger/tests/attack_by_attack)
//! a head of another key                            refused
//! an old head again                                the node is told what it has signed, and halts
//! an acknowledgement of what was not recorded      refused, if it is not proven
//! an acknowledgement that is not kept              a fraud proof by whoever holds the receipt, if another
//!                                                  entry or history is shown (`subak receipt challenge`:
//!                                                  tests/receipt_challenge); a stated gap, if less is
//! a statement of the parent ledger, in a fork      refused by the rules (ledger/tests/fork)
//! ```
#![allow(clippy::unwrap_used)]

mod kit;
mod liar;

use futures::{StreamExt as _, stream};
use kit::*;
use liar::*;
use std::{path::Path, sync::Arc, time::Duration};
use subak_ledger::{
    audit::{self, Options as AuditOptions, Verdict},
    log::{
        Checkpoint, Frontier, Leaf, LedgerId, PublicKey, SecretKey, Statement, Unverified,
        fraud::FraudProof, receipt::Receipt, tree,
    },
    store::{Batch, Head, NewEntry, Reader as _, SqliteStore, Store as _},
};
use subak_node::{
    Ledgers,
    follow::{
        Follower,
        evidence::{self, Evidence, Kept},
        peers::Peer,
    },
    ring::{Ring, Use},
    runtime::{Node, Options},
};
use tokio::time::timeout;

/// A node that copies everything from there.
async fn copying(db: &Path, url: &str) -> Arc<Node> {
    let node = Arc::new(Node::open(db, Options::default()).await.unwrap());
    let peer = Peer { url: url.into(), ca: None, follow: Vec::new(), all: true };
    let follower = Follower::new(node.clone(), None, vec![peer], Evidence::beside(db));
    tokio::spawn(Arc::new(follower).run());
    node
}

/// What the follower says is wrong with a copy.
async fn trouble(node: &Node, ledger: LedgerId) -> String {
    let told = timeout(Duration::from_secs(20), async {
        loop {
            let trouble = node.mirrors().remove(&ledger).map(|mirror| mirror.trouble);
            if let Some(trouble) = trouble.filter(|trouble| !trouble.is_empty()) {
                return trouble;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    told.await.expect("it is told")
}

async fn until_size(node: &Node, ledger: LedgerId, size: u64) {
    let grown = timeout(Duration::from_secs(20), async {
        while !node.book(ledger).await.is_ok_and(|book| book.size == size) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    grown.await.unwrap_or_else(|_| panic!("{:?}", node.mirrors()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_hold_is_not_copied_and_is_told() {
    let fresh = fresh();
    let rice = open_commons(&*fresh.node, "rice", false).await;
    for n in 0..6 {
        fresh.node.append(hour(rice, &n.to_string())).await.unwrap();
    }
    for (lie, part) in [
        (Lie::ShortLog, "7 entries, 6 were sent so far"),
        (Lie::OtherStatement, "not a canonical statement"),
        (Lie::LeafOfAnother, "sent what does not hold"),
        (Lie::SwappedEntries, "expected entry 2, found 3"),
        (Lie::LongLeaf, "leaf: expected"),
        (Lie::LongEnvelope, "at most 262144"),
        (Lie::ForeignCheckpoint, "sent what does not hold"),
        (Lie::EmptyCheckpoint, "a checkpoint without entries"),
        (Lie::EndlessCheckpoint, "7 were sent"),
        (Lie::FalseGenesis, "sent what does not hold"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("copy.db");
        let copy = copying(&db, &lying_at(fresh.node.clone(), lie).await).await;
        let told = trouble(&copy, rice).await;
        assert!(told.contains(part), "{lie:?}: {told}");
        assert!(copy.book(rice).await.is_err(), "{lie:?}: nobody is shown anything of it");
        assert!(Evidence::beside(&db).against(rice).is_none(), "{lie:?}: and nobody is accused");
        copy.close().await;
        let store = SqliteStore::open_reader(&db).unwrap();
        let audit = audit::audit(&store, &AuditOptions::default()).unwrap();
        assert_ne!(audit.verdict, Verdict::Fault, "{lie:?}: {:?}", audit.findings);
    }
}

/// Who shows one reader nothing new tells no lie that this reader could see; a second source shows it.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_stands_still_is_told_by_a_second_one() {
    let fresh = fresh();
    let rice = open_commons(&*fresh.node, "rice", false).await;
    fresh.node.append(hour(rice, "0")).await.unwrap();
    let still = lying_at(fresh.node.clone(), Lie::StoppedClock).await;
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("copy.db");
    let copy = copying(&db, &still).await;
    until_size(&copy, rice, 2).await;
    fresh.node.append(hour(rice, "1")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(copy.book(rice).await.unwrap().size, 2, "it is not known that there is more");
    let honest = lying_at(fresh.node.clone(), Lie::Nothing).await;
    let peer = Peer { url: honest, ca: None, follow: Vec::new(), all: true };
    let second = Follower::new(copy.clone(), None, vec![peer], Evidence::beside(&db));
    tokio::spawn(Arc::new(second).run());
    until_size(&copy, rice, 3).await;
    copy.close().await;
    let copy = copying(&db, &still).await;
    let told = trouble(&copy, rice).await;
    assert!(told.contains("shows 2 entries, 3 were signed before"), "{told}");
}

/// Parts of a long log are stored only with a proof that they lie under its head.
#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_log_without_proof_of_their_place_are_not_stored() {
    let fresh = fresh();
    let rice = open_commons(&*fresh.node, "rice", false).await;
    let hours = stream::iter(0..4_400).map(move |n| hour(rice, &n.to_string()));
    let answers: Vec<_> = fresh.node.clone().append_all(hours.boxed()).collect().await;
    assert!(answers.iter().all(Result::is_ok));
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("copy.db");
    let copy = copying(&db, &lying_at(fresh.node.clone(), Lie::NoConsistency).await).await;
    let told = trouble(&copy, rice).await;
    assert!(told.contains("does not follow"), "{told}");
    assert!(Evidence::beside(&db).against(rice).is_none(), "nobody is accused");
    copy.close().await;
    let stored = SqliteStore::open_reader(&db).unwrap().head(&rice.0).unwrap();
    assert_eq!(stored, Head::EMPTY);
}

/// What was copied before a lie stays, and goes on when the lies end.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_outlives_the_lies_of_one_source() {
    let fresh = fresh();
    let rice = open_commons(&*fresh.node, "rice", false).await;
    fresh.node.append(hour(rice, "0")).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("copy.db");
    let copy = copying(&db, &lying_at(fresh.node.clone(), Lie::Nothing).await).await;
    until_size(&copy, rice, 2).await;
    copy.close().await;
    for n in 1..6 {
        fresh.node.append(hour(rice, &n.to_string())).await.unwrap();
    }
    let copy = copying(&db, &lying_at(fresh.node.clone(), Lie::SwappedEntries).await).await;
    trouble(&copy, rice).await;
    assert_eq!(copy.book(rice).await.unwrap().size, 2);
    copy.close().await;
    let copy = copying(&db, &lying_at(fresh.node.clone(), Lie::Nothing).await).await;
    until_size(&copy, rice, 7).await;
}

/// A log that its operator has written with its own hands, and signed.
struct Forged {
    node: Arc<Node>,
    _dir: tempfile::TempDir,
}

/// The first entries of a ledger, and then these: statements at times. No rule was asked.
async fn forged(
    from: &Node,
    ledger: LedgerId,
    keep: usize,
    then: Vec<(Statement, u64)>,
    operator: &SecretKey,
) -> Forged {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("forged.db");
    let (mut frontier, mut entries, mut nodes) = (Frontier::default(), Vec::new(), Vec::new());
    let mut previous = [0; 32];
    let kept = from.entries(ledger, 0, keep as u64).await.unwrap();
    let kept = kept.into_iter().map(|raw| {
        let at = Leaf::from_bytes(&raw.leaf).unwrap().recorded_at;
        (Unverified::parse(&raw.envelope).unwrap().trust_stored().unwrap(), at)
    });
    for (seq, (statement, recorded_at)) in (0..).zip(kept.chain(then)) {
        let envelope = statement.envelope_digest();
        let leaf = Leaf { ledger, seq, previous, recorded_at, envelope };
        previous = leaf.chain_hash();
        let bytes = leaf.to_bytes();
        let completed = frontier.push(tree::leaf_hash(&bytes));
        nodes.extend(completed.into_iter().map(|(l, i, h)| (u8::try_from(l).unwrap(), i, h)));
        let leaf = bytes.to_vec().into();
        entries.push(NewEntry { leaf, envelope: statement.shared(), chain: previous });
    }
    let head = Checkpoint { ledger, size: frontier.size(), root: frontier.root() };
    let note = head.sign(operator);
    let mut store = SqliteStore::open_writer(&path, true).unwrap();
    let batch = Batch {
        ledger: ledger.0,
        name: "rice",
        expected: Head::EMPTY,
        entries: &entries,
        nodes: &nodes,
        checkpoint: Some(&note),
        disclosures: &[],
        erasures: &[],
    };
    store.append(&[batch]).unwrap();
    drop(store);
    Forged { node: Arc::new(Node::open(&path, Options::default()).await.unwrap()), _dir: dir }
}

fn said(ledger: LedgerId, what: &str) -> Statement {
    let envelope = hour(ledger, what).envelope;
    Unverified::parse(&envelope).unwrap().trust_stored().unwrap()
}

/// Entries altered or backdated in place of those that somebody else has copied are another history:
/// its operator has signed both.
#[tokio::test(flavor = "multi_thread")]
async fn an_altered_or_backdated_copy_for_one_reader_is_proven_by_another() {
    let fresh = fresh();
    let rice = open_commons(&*fresh.node, "rice", false).await;
    for n in 0..4 {
        fresh.node.append(hour(rice, &n.to_string())).await.unwrap();
        // So that there is a time between two entries.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let public = operator(&*fresh.node, rice).await;
    let key = Ring::beside(&fresh.path).find(&public.bytes(), Use::Operator).unwrap().unwrap();
    let raw = fresh.node.entries(rice, 3, 1).await.unwrap().remove(0);
    let (early, own) = {
        let leaf = Leaf::from_bytes(&raw.leaf).unwrap();
        (leaf.recorded_at, Unverified::parse(&raw.envelope).unwrap().trust_stored().unwrap())
    };
    let lies = [
        ("altered", vec![(said(rice, "other"), early)]),
        ("backdated", vec![(own.clone(), early - 1)]),
        (
            "left out, and others in their place",
            vec![(said(rice, "a"), early), (said(rice, "b"), early)],
        ),
    ];
    for (what, then) in lies {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("copy.db");
        let copy = copying(&db, &lying_at(fresh.node.clone(), Lie::Nothing).await).await;
        until_size(&copy, rice, 5).await;
        copy.close().await;
        let forged = forged(&fresh.node, rice, 3, then, &key).await;
        let copy = copying(&db, &lying_at(forged.node.clone(), Lie::Nothing).await).await;
        let told = trouble(&copy, rice).await;
        assert!(told.contains("two histories"), "{what}: {told}");
        let file = Evidence::beside(&db).against(rice).unwrap();
        let proof = FraudProof::parse(&std::fs::read_to_string(file).unwrap()).unwrap();
        proof.verify(&public).unwrap();
    }
}

/// Time that goes back is refused by whoever copies from the first entry on, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_which_time_goes_back_is_not_copied() {
    let fresh = fresh();
    let rice = open_commons(&*fresh.node, "rice", false).await;
    fresh.node.append(hour(rice, "0")).await.unwrap();
    let public = operator(&*fresh.node, rice).await;
    let key = Ring::beside(&fresh.path).find(&public.bytes(), Use::Operator).unwrap().unwrap();
    let then = vec![(said(rice, "1"), 1_000)];
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("copy.db");
    let forged = forged(&fresh.node, rice, 2, then, &key).await;
    let copy = copying(&db, &lying_at(forged.node, Lie::Nothing).await).await;
    let told = trouble(&copy, rice).await;
    assert!(told.contains("recorded_at: expected"), "{told}");
    assert!(copy.book(rice).await.is_err());
}

/// Whoever was answered has the entry, its path and a signed head: where the log is shown with another
/// in its place, that is a fraud proof; where it is shown to an entry before it, a gap.
#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_that_was_not_kept_is_proven() {
    let fresh = fresh();
    let rice = open_commons(&*fresh.node, "rice", false).await;
    fresh.node.append(hour(rice, "0")).await.unwrap();
    let public = operator(&*fresh.node, rice).await;
    let key = Ring::beside(&fresh.path).find(&public.bytes(), Use::Operator).unwrap().unwrap();
    let then = ["mine", "another"].map(|what| (said(rice, what), now()));
    let answered = forged(&fresh.node, rice, 2, then.into(), &key).await;
    let raw = answered.node.entries(rice, 2, 1).await.unwrap().remove(0);
    let receipt = Receipt {
        index: 2,
        leaf: raw.leaf.into(),
        envelope: raw.envelope.into(),
        path: answered.node.inclusion(rice, 2, 4).await.unwrap(),
        checkpoint: answered.node.checkpoint(rice).await.unwrap(),
    };
    let open = async |there: &dyn Ledgers, what: &str| match kept(&receipt, &public, there).await {
        Kept::Open(said) => assert!(said.contains(what), "{said}"),
        other => panic!("{what}: {other:?}"),
    };
    open(&*fresh.node, "ends after 2 entries, before entry 2; its operator has signed 4").await;
    // Fewer entries, as many, and more.
    for more in 3..6 {
        fresh.node.append(hour(rice, &format!("theirs-{more}"))).await.unwrap();
        assert_eq!(proven(&receipt, &public, &*fresh.node).await, (more != 4).then_some(2));
    }
    // Where it is kept there is nothing to prove, and nothing where it is withheld.
    let all = answered.node.clone();
    assert!(matches!(kept(&receipt, &public, &*all).await, Kept::Yes));
    open(&lying(all.clone(), Lie::ShortLog).await, "entry 2 of 4 is not shown").await;
    // It is kept, and what its head had after it is not.
    let less = forged(&all, rice, 3, vec![], &key).await;
    open(&*less.node, "is there, but the log that is shown ends after 3 entries").await;
    for others in [vec!["x"], vec!["x", "y"]] {
        let others = others.into_iter().map(|what| (said(rice, what), now())).collect();
        let rewritten = forged(&all, rice, 3, others, &key).await;
        assert_eq!(proven(&receipt, &public, &*rewritten.node).await, None);
    }
}

async fn kept(receipt: &Receipt, operator: &PublicKey, there: &dyn Ledgers) -> Kept {
    let ledger = Leaf::from_bytes(&receipt.leaf).unwrap().ledger;
    let proven = receipt.verify(ledger, operator).unwrap();
    let note = there.checkpoint(ledger).await.unwrap();
    let newest = Checkpoint::open(&note, ledger, operator).unwrap();
    evidence::kept(receipt, &proven, operator, there, (&note, &newest)).await.unwrap()
}

/// The entry that a proof shows, as a third person reads it.
async fn proven(receipt: &Receipt, operator: &PublicKey, there: &dyn Ledgers) -> Option<u64> {
    let Kept::No(proof) = kept(receipt, operator, there).await else { panic!("it is not kept") };
    FraudProof::parse(&proof.to_text()).unwrap().verify(operator).unwrap().entry
}
