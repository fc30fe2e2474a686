//! State roots that a node publishes: after each payout that is proposed, and when asked.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::*;
use prost::Message as _;
use std::{
    fs,
    sync::{Arc, atomic::Ordering},
};
use subak_ledger::{
    book::{state::State, state_root},
    log::{Basis, LedgerId, Unverified},
};
use subak_node::{
    Append, Appended, Ledgers, NodeError,
    client::Remote,
    runtime::{Node, key_ring_of},
    serve::serve,
};
use subak_proto::v1::{self, event::Kind};
use tokio::net::TcpListener;

/// Says it as sam, who has seen all there is; in a sandbox at the chosen time.
async fn tell(node: &dyn Ledgers, ledger: LedgerId, kind: Kind, at: Option<u64>) -> u64 {
    let book = node.book(ledger).await.unwrap();
    let basis = Basis { size: book.size, chain: *book.chain.last().unwrap() };
    let envelope = say_seeing(ledger, "sam", vec![kind], at.unwrap_or_else(now), Some(basis));
    let append = Append { envelope: envelope.into(), at, ..Append::default() };
    node.append(append).await.unwrap().entry
}

fn run(minor: u64, at: u64) -> Kind {
    let line = vec![v1::PayoutLine { agent: "ana".into(), minor }];
    let (currency, expires_at) = ("EUR".into(), at + 10 * DAY_MS);
    Kind::PayoutPropose(v1::PayoutPropose { currency, line, expires_at, cash_of: String::new() })
}

/// A commons that has 100.00 EUR for ana's hour.
async fn commons_with_cash(node: &dyn Ledgers, sandbox: bool, at: Option<u64>) -> LedgerId {
    let ledger = open_commons_at(node, sandbox, at).await;
    let ana = key("ana").public().bytes().to_vec();
    let known = [("phyle", v1::AgentKind::Phyle, vec![]), ("ana", v1::AgentKind::Person, ana)];
    for (handle, kind, key) in known {
        let (handle, kind) = (handle.into(), kind as i32);
        let add = v1::AgentAdd { handle, kind, key, ..Default::default() };
        tell(node, ledger, Kind::AgentAdd(add), at).await;
    }
    let Kind::Contribute(mut hour) = work("one") else { unreachable!() };
    hour.part[0].agent = "ana".into();
    hour.worked_on = u32::try_from(at.unwrap_or_else(now) / DAY_MS).unwrap() - 1;
    let entry = tell(node, ledger, Kind::Contribute(hour), at).await;
    let place = Some(v1::Ref { entry, event: 0 });
    let span = vec![v1::Span { first: place, last: place }];
    let remuneration = v1::Remuneration::Unpaid as i32;
    let validate = v1::Validate { span, remuneration, quantity: vec![] };
    tell(node, ledger, Kind::Validate(validate), at).await;
    let amount = Some(v1::Amount { currency: "EUR".into(), minor: 10_000 });
    let (payer, bank) = ("phyle".into(), "bank:1".into());
    let income = v1::IncomeRecord { payer, amount, bank, note: vec![] };
    tell(node, ledger, Kind::IncomeRecord(income), at).await;
    ledger
}

async fn open_commons_at(node: &dyn Ledgers, sandbox: bool, at: Option<u64>) -> LedgerId {
    let (operator, clerk) = node.prepare().await.unwrap();
    let genesis = Kind::Genesis(genesis("rice", operator, clerk, sandbox));
    let envelope = say_at(LedgerId::ZERO, "sam", vec![genesis], at.unwrap_or_else(now));
    let append = Append { envelope: envelope.into(), at, ..Append::default() };
    node.append(append).await.unwrap().ledger
}

/// The StateRoot at an entry: root and leaves.
async fn stated(node: &dyn Ledgers, ledger: LedgerId, entry: u64) -> Option<([u8; 32], u64)> {
    let raw = node.entries(ledger, entry, 1).await.unwrap().remove(0);
    let statement = Unverified::parse(&raw.envelope).unwrap().trust_stored().unwrap();
    let [event] = statement.events() else { return None };
    match v1::Event::decode(&event[..]).unwrap().kind.unwrap() {
        Kind::StateRoot(s) if statement.header().author.as_str() == "clerk" => {
            Some((s.root.try_into().unwrap(), s.leaves))
        }
        _ => None,
    }
}

/// That an answer proves the entry that it names.
async fn proven(node: &dyn Ledgers, appended: &Appended) {
    let raw = node.entries(appended.ledger, appended.entry, 1).await.unwrap().remove(0);
    verify(appended, &raw.envelope, &operator(node, appended.ledger).await);
}

#[tokio::test]
async fn each_run_is_followed_by_what_everybody_had_before_a_cent_of_it_left() {
    let Fresh { node, handles, dir: _dir, .. } = fresh();
    let ledger = commons_with_cash(&*node, false, None).await;
    let commits = handles.commits.load(Ordering::SeqCst);
    let entry = tell(&*node, ledger, run(4_000, now()), None).await;
    let after = handles.commits.load(Ordering::SeqCst);
    assert_eq!(after, commits + 1, "both in one transaction: none without the other");
    let book = node.book(ledger).await.unwrap();
    assert_eq!((book.size, book.stated()), (entry + 2, Some(entry + 1)));
    let found = stated(&*node, ledger, entry + 1).await;
    // What a StateRoot changes is nothing, so the state after it has the same root.
    assert_eq!(found, Some(state_root::root(&book)));
    let ana = state_root::prove(&book, &subak_ledger::log::Handle::new("ana").unwrap()).remove(0);
    let leaf = state_root::StateLeaf::from_bytes(&ana.leaf).unwrap();
    assert_eq!((leaf.accrued, leaf.reserved, leaf.paid), (10_000, 4_000, 0));
}

#[tokio::test]
async fn dates_that_are_chosen_go_on_from_where_they_are() {
    let Fresh { node, dir: _dir, .. } = fresh();
    let start = now() - 100 * DAY_MS;
    let ledger = commons_with_cash(&*node, true, Some(start)).await;
    let entry = tell(&*node, ledger, run(4_000, start), Some(start + DAY_MS)).await;
    let book = node.book(ledger).await.unwrap();
    assert_eq!((book.stated(), book.time), (Some(entry + 1), start + DAY_MS));
    // The run has expired by then, so what was published no longer holds.
    tell(&*node, ledger, run(5_000, start + 20 * DAY_MS), Some(start + 20 * DAY_MS)).await;
    let book = node.book(ledger).await.unwrap();
    assert_eq!(book.time, start + 20 * DAY_MS);
    let asked = node.publish_state(ledger).await.unwrap();
    assert_eq!((Some(asked.entry), asked.entry + 1), (book.stated(), book.size));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_gets_the_newest_that_still_holds() {
    let Fresh { node, dir: _dir, path, .. } = fresh();
    let ledger = open_commons(&*node, "rice", false).await;
    let first = node.publish_state(ledger).await.unwrap();
    assert_eq!((first.entry, stated(&*node, ledger, 1).await.unwrap().1), (1, 0));
    proven(&*node, &first).await;
    assert_eq!(node.publish_state(ledger).await.unwrap(), first, "nothing has changed");
    // Who only reads needs nobody who writes, while it holds.
    let reader = Node::open_reader(&path).await.unwrap();
    assert_eq!(reader.publish_state(ledger).await.unwrap(), first);
    node.append(hour(ledger, "one")).await.unwrap();
    let refused = reader.publish_state(ledger).await.unwrap_err();
    assert_eq!(refused.code(), "read-only");
    // Many who ask at once share one.
    let asked: Vec<_> = (0..8)
        .map(|_| {
            let node: Arc<Node> = node.clone();
            tokio::spawn(async move { node.publish_state(ledger).await.unwrap().entry })
        })
        .collect();
    for asked in asked {
        assert_eq!(asked.await.unwrap(), 3);
    }
    let book: Arc<State> = node.book(ledger).await.unwrap();
    assert_eq!((book.size, book.stated()), (4, Some(3)));
    let nobodys = node.publish_state(LedgerId([9; 32])).await;
    assert!(matches!(nobodys, Err(NodeError::NotFound { .. })), "{nobodys:?}");
}

#[tokio::test]
async fn without_the_clerks_key_a_payout_stands_all_the_same() {
    let Fresh { node, path, dir: _dir, .. } = fresh();
    let ledger = commons_with_cash(&*node, false, None).await;
    for file in fs::read_dir(key_ring_of(&path)).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_some_and(|e| e == "clerk") {
            fs::remove_file(file).unwrap();
        }
    }
    let entry = tell(&*node, ledger, run(4_000, now()), None).await;
    let book = node.book(ledger).await.unwrap();
    assert_eq!((book.size, book.stated()), (entry + 1, None));
    let refused = node.publish_state(ledger).await.unwrap_err();
    assert_eq!(refused.code(), "clerk-key-missing");
    node.append(hour(ledger, "more")).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_publishes_nothing() {
    let Fresh { node, handles, dir: _dir, .. } = fresh();
    let ledger = open_commons(&*node, "rice", false).await;
    handles.pages.store(1, Ordering::SeqCst); // never shrinks: no page more than now
    let mut failed = None;
    for n in 0..200 {
        // Each hour makes room for a root to say something new.
        if node.append(hour(ledger, &n.to_string())).await.is_ok() {
            failed = node.publish_state(ledger).await.err();
        }
        if failed.is_some() {
            break;
        }
    }
    assert_eq!(failed.expect("the disk was to fill up").code(), "disk-full");
    let book = node.book(ledger).await.unwrap();
    assert_eq!(book.stated(), None);
    handles.pages.store(0, Ordering::SeqCst);
    assert_eq!(node.publish_state(ledger).await.unwrap().entry, book.size);
}

#[tokio::test(flavor = "multi_thread")]
async fn from_afar_it_is_proven_to_whoever_asked() {
    let Fresh { node, dir: _dir, .. } = fresh();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(serve(node.clone(), listener, std::future::pending()));
    let far = Remote::connect(&url, None).await.unwrap();
    let ledger = commons_with_cash(&far, false, None).await;
    let asked = far.publish_state(ledger).await.unwrap();
    proven(&*node, &asked).await;
    assert_eq!(node.publish_state(ledger).await.unwrap(), asked);
    assert_eq!(far.book(ledger).await.unwrap().stated(), Some(asked.entry));
    served.abort();
}
