//! A phyle and a commons on nodes of their own: what waits at the commons, and for whom.
#![allow(clippy::unwrap_used)]

mod kit;
mod scripted;
mod town;

use kit::key;
use scripted::{Scripted, scripted};
use std::{
    future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use subak_ledger::{
    book::agreement::Progress,
    log::{
        LedgerId,
        cosignature::{CosignerKey, cosign},
        note::Note,
        policy::Policy,
    },
};
use subak_node::{
    Ledgers as _, Wait,
    client::Remote,
    follow::{Follower, evidence::Evidence, peers::Peer},
    relay::{Relay, Waiting, Why},
    runtime::Node,
    serve::serve,
    submit::Submitter,
};
use subak_proto::v1::{self, event::Kind};
use tokio::net::TcpListener;
use town::*;

/// Serves a node; its URL.
async fn served(node: &Arc<Node>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(node.clone(), listener, future::pending()));
    url
}

/// Copies all that another node has.
fn follow(town: &Town, url: &str, policy: Option<Policy>) {
    let peer = Peer { url: url.into(), ca: None, follow: Vec::new(), all: true };
    let evidence = Evidence::beside(&town.db);
    let follower = Follower::new(town.node.clone(), None, vec![peer], evidence);
    let witnessed = policy.is_some();
    let follower = if witnessed { follower.with_witnessed(policy) } else { follower };
    tokio::spawn(Arc::new(follower).run());
}

/// A witness that signs heads of up to `most` entries.
fn witness(name: &'static str, most: Arc<AtomicU64>) -> Scripted {
    scripted(Box::new(move |_, note| {
        let text = Note::parse(note).unwrap().text;
        let size: u64 = text.lines().nth(1).unwrap().parse().unwrap();
        if size > most.load(Ordering::SeqCst) {
            return (503, String::new());
        }
        (200, cosign(name, text, 1_790_000_000, &key(name)).unwrap())
    }))
}

/// Both of them must sign.
fn both(witnesses: [(&str, &Scripted); 2]) -> Policy {
    let line = |(name, witness): (&str, &Scripted)| {
        let key = CosignerKey::new(name, key(name).public()).unwrap();
        format!("witness {} {key} {}\n", name.rsplit('/').next().unwrap(), witness.url)
    };
    let lines: String = witnesses.map(line).concat();
    Policy::parse(&format!("{lines}group both all w1 w2\nquorum both\n")).unwrap()
}

/// As [`until`], longer: who did not sign is asked again after some seconds.
async fn until_late(mut so: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + Duration::from_mins(1);
    while !so().await {
        assert!(Instant::now() < until, "it did not come about in a minute");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn waits(remote: &Remote, commons: LedgerId) -> Option<Wait> {
    remote.waiting(commons).await.unwrap().pop()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_not_here_is_waited_for() {
    let (here, there) = (Town::new().await, Town::new().await);
    let phyle = there.phyle("phyle", &["rice"]).await;
    let rice = here.commons("rice", &["phyle"], &[], ALL).await;
    let (commons_url, phyle_url) = (served(&here.node).await, served(&there.node).await);
    follow(&there, &commons_url, None);
    there.relay();
    let relay = here.relay();
    until(async || there.node.book(rice).await.is_ok()).await;
    let terms = there.terms(phyle, rice, 100_000).await;
    let digest = there.offer(&terms).await;
    until(async || there.agreement(phyle, digest).await.stated.is_some()).await;
    // The proof of the offer comes by other ways.
    let stated = there.agreement(phyle, digest).await.stated.unwrap();
    let proof = Some(there.prove(phyle, stated).await);
    let accept = v1::AgreementAccept { terms: Some(terms), proof };
    here.decree(rice, Kind::AgreementAccept(accept)).await;
    until(async || !relay.status().is_empty()).await;
    let waiting = Waiting { own: rice, agreement: digest, ledger: phyle, why: Why::NotHere };
    assert_eq!(relay.status(), [waiting]);
    until(async || there.agreement(phyle, digest).await.progress == Progress::Active).await;
    there.earn(phyle, 1_000).await;
    // It comes, and nobody says so to the relay.
    follow(&here, &phyle_url, None);
    until_late(async || here.income(rice).await == 100).await;
    until(async || relay.status().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_income_waits_for_the_second_witness_says_so_and_comes_by_itself() {
    let (here, there) = (Town::new().await, Town::new().await);
    let phyle = there.phyle("phyle", &["rice"]).await;
    let rice = here.commons("rice", &["phyle"], &[], ALL).await;
    let [first, second] = [u64::MAX; 2].map(|most| Arc::new(AtomicU64::new(most)));
    let (one, two) = (witness("w.example/w1", first), witness("w.example/w2", second.clone()));
    let policy = both([("w.example/w1", &one), ("w.example/w2", &two)]);
    let (commons_url, phyle_url) = (served(&here.node).await, served(&there.node).await);
    // The phyle's node has its heads signed; the commons' node believes what both have.
    tokio::spawn(Arc::new(Submitter::new(there.node.clone(), policy.clone()).unwrap()).run());
    follow(&there, &commons_url, None);
    follow(&here, &phyle_url, Some(policy.clone()));
    there.relay();
    let relay = Arc::new(Relay::new(here.node.clone()).with_policy(policy));
    tokio::spawn(relay.clone().run());

    until(async || there.node.book(rice).await.is_ok()).await;
    let terms = there.terms(phyle, rice, 100_000).await;
    let digest = there.offer(&terms).await;
    let copied = async || {
        let book = here.node.book(phyle).await;
        book.is_ok_and(|book| book.agreements.get(&digest).is_some_and(|a| a.stated.is_some()))
    };
    until(copied).await;
    here.accept(&terms).await;
    until(async || there.agreement(phyle, digest).await.progress == Progress::Active).await;
    there.earn(phyle, 1_000).await;
    until_late(async || here.income(rice).await == 100).await;

    // From now on the second witness is late.
    let last = there.book(phyle).await.size;
    second.store(last, Ordering::SeqCst);
    there.earn(phyle, 2_000).await;
    there.earn(phyle, 3_000).await;
    let remote = Remote::connect(&commons_url, None).await.unwrap();
    let said = format!(
        "entries {last} to {} wait for a head that is signed by enough witnesses; not here: ",
        last + 1
    );
    until_late(async || waits(&remote, rice).await.is_some_and(|w| w.message.starts_with(&said)))
        .await;
    let wait = waits(&remote, rice).await.unwrap();
    assert_eq!((wait.agreement, wait.other, &*wait.code), (digest, phyle, "unwitnessed"));
    let (_, missing) = wait.message.split_once("not here: ").unwrap();
    assert!(missing.split(", ").any(|name| name == "w2"), "{missing}");
    // The first has signed, and that is not enough: the copy has all, the book nothing of it.
    let signed = |(_, note): &(u64, String)| note.lines().nth(1) == Some(&(last + 2).to_string());
    until_late(async || one.asked.lock().unwrap().iter().any(signed)).await;
    assert_eq!(here.book(phyle).await.size, last + 2);
    assert_eq!((here.income(rice).await, here.agreement(rice, digest).await.dues.last), (100, 1));

    // It signs at last; nobody does anything else.
    second.store(u64::MAX, Ordering::SeqCst);
    until_late(async || here.income(rice).await == 600).await;
    assert_eq!(here.agreement(rice, digest).await.sources.len(), 3, "each once");
    until_late(async || waits(&remote, rice).await.is_none()).await;
    assert_eq!(relay.status(), []);
}
