//! The node over gRPC: the same answers, verified by whoever asked.
#![allow(clippy::unwrap_used)]

mod kit;
mod liar;

use futures::{StreamExt as _, stream};
use kit::*;
use liar::*;
use prost::bytes::Bytes;
use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use subak_ledger::log::{Basis, Checkpoint, Frontier, Leaf, LedgerId, Unverified, tree};
use subak_node::{
    Append, Appended, LedgerInfo, Ledgers, NodeError, Page, client::Remote, runtime::Node,
    runtime::Options,
};
use subak_proto::v1::{self, book_client::BookClient, event::Kind, log_client::LogClient};

impl Server {
    async fn client(&self) -> Remote {
        Remote::connect(&self.url, None).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_afar_it_is_the_same() {
    let server = server().await;
    let (here, far) = (&*server.fresh.node, server.client().await);
    let ledger = open_commons(&far, "rice", false).await;
    let (kind, disclosure) = person(ledger, "wayan", "Wayan of Jatiluwih");
    let add = Append {
        envelope: say(ledger, "sam", vec![kind]).into(),
        disclosures: vec![disclosure],
        at: None,
    };
    far.append(add).await.unwrap();
    for n in 2..30 {
        assert_eq!(far.append(hour(ledger, &n.to_string())).await.unwrap().entry, n);
    }
    assert_eq!(far.ledgers().await, here.ledgers().await);
    assert_eq!(far.checkpoint(ledger).await, here.checkpoint(ledger).await);
    assert_eq!(far.entries(ledger, 3, 7).await, here.entries(ledger, 3, 7).await);
    assert_eq!(far.entries(ledger, 30, 7).await, Ok(vec![]));
    assert_eq!(far.disclosures(ledger).await, here.disclosures(ledger).await);
    assert_eq!(far.disclosures(ledger).await.unwrap().len(), 1);
    assert_eq!(far.inclusion(ledger, 5, 20).await, here.inclusion(ledger, 5, 20).await);
    assert_eq!(far.consistency(ledger, 5, 20).await, here.consistency(ledger, 5, 20).await);
    assert_eq!(far.inclusion(ledger, 5, 31).await, here.inclusion(ledger, 5, 31).await);
    let (a, b) = (far.book(ledger).await.unwrap(), here.book(ledger).await.unwrap());
    assert_eq!((a.size, &a.chain), (30, &b.chain));
    assert_eq!(a.contributions.len(), b.contributions.len());
    // Only the continuation is fetched, and it fits.
    far.append(hour(ledger, "more")).await.unwrap();
    assert_eq!(far.book(ledger).await.unwrap().size, 31);

    // Refusals come back with code and next step.
    let refused = far.append(hour(ledger, "more")).await;
    let Err(NodeError::Refused { code: c, message, next }) = refused else { panic!("{refused:?}") };
    assert!(c == "duplicate-claim" && !message.is_empty() && !next.is_empty());
    let mut altered = hour(ledger, "altered");
    let mut envelope = altered.envelope.to_vec();
    *envelope.last_mut().unwrap() ^= 1;
    altered.envelope = envelope.into();
    assert_eq!(code(far.append(altered).await), "bad-signature");
    assert_eq!(
        code(far.append(append(say(ledger, "mia", vec![work("z")]))).await),
        "unknown-author"
    );
    let chosen = Append { at: Some(now() - 5_000), ..hour(ledger, "b") };
    assert_eq!(code(far.append(chosen).await), "not-sandbox");
    let unknown = far.book(LedgerId([7; 32])).await;
    assert!(matches!(unknown, Err(NodeError::NotFound { .. })), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_at_once_are_each_there_once() {
    let server = server().await;
    let far = Arc::new(server.client().await);
    let ledger = open_commons(&*far, "rice", false).await;
    let operator = operator(&*far, ledger).await;
    let alone = Instant::now();
    for n in 0..100 {
        far.append(hour(ledger, &format!("alone-{n}"))).await.unwrap();
    }
    let alone = 100_000_000 / alone.elapsed().as_micros();
    let before = server.fresh.handles.commits.load(Ordering::SeqCst);
    let orders: Vec<_> = (0..64 * 20).map(|n| hour(ledger, &n.to_string())).collect();
    let start = Instant::now();
    let lanes: Vec<_> = orders
        .chunks(20)
        .map(|lane| {
            let (far, lane) = (far.clone(), lane.to_vec());
            tokio::spawn(async move {
                let mut answers = Vec::new();
                for order in lane {
                    let appended = far.append(order.clone()).await.unwrap();
                    answers.push((order.envelope, appended));
                }
                answers
            })
        })
        .collect();
    let mut answers = Vec::new();
    for lane in lanes {
        answers.extend(lane.await.unwrap());
    }
    let elapsed = start.elapsed();
    let commits = server.fresh.handles.commits.load(Ordering::SeqCst) - before;
    println!(
        "gRPC: {alone}/s alone, {}/s with 64 in flight, proofs verified, \
         1280 in {commits} commits",
        1_280_000_000 / elapsed.as_micros(),
    );
    let mut numbers = BTreeSet::new();
    for (envelope, appended) in answers {
        assert!(numbers.insert(appended.entry), "a number was given twice");
        verify(&appended, &envelope, &operator);
        let stored = far.entries(ledger, appended.entry, 1).await.unwrap().remove(0);
        assert_eq!((stored.envelope, stored.leaf), (envelope, appended.leaf));
    }
    assert_eq!(numbers.len(), 1_280);
    assert!(commits < 640, "groups form: {commits} commits");
    assert_eq!(far.book(ledger).await.unwrap().size, 1_381);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_gets_what_comes() {
    let server = server().await;
    let ledger = open_commons(&*server.fresh.node, "rice", false).await;
    let mut log = LogClient::connect(server.url.clone()).await.unwrap();
    let request = v1::EntriesRequest { ledger: ledger.0.to_vec(), from: 0, limit: 0, follow: true };
    let mut stream = log.entries(request).await.unwrap().into_inner();
    let mut seen = Vec::new();
    for n in 0..5 {
        let reply = stream.message().await.unwrap().unwrap();
        seen.extend(reply.entry.iter().map(|e| e.seq));
        assert_eq!(seen, (0..=n).collect::<Vec<_>>());
        let node = server.fresh.node.clone();
        tokio::spawn(async move { node.append(hour(ledger, &n.to_string())).await.unwrap() });
    }
    let far = server.client().await;
    far.wait_beyond(ledger, 4).await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(200), far.wait_beyond(ledger, 100));
    assert!(waiting.await.is_err(), "there is nothing to see yet");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_is_orderly() {
    let server = server().await;
    let far = Arc::new(server.client().await);
    let ledger = open_commons(&*far, "rice", false).await;
    let gate = server.fresh.handles.close_gate();
    let spawn = |reference: &str| {
        let (far, order) = (far.clone(), hour(ledger, reference));
        tokio::spawn(async move { far.append(order).await })
    };
    let begun = spawn("begun");
    let gate = tokio::task::spawn_blocking(move || {
        gate.arrived.recv().unwrap();
        gate
    });
    let gate = gate.await.unwrap();
    let queued = spawn("queued");
    let follower = {
        let far = far.clone();
        tokio::spawn(async move { far.wait_beyond(ledger, 1_000).await })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.stop.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    gate.go.send(()).unwrap();
    assert_eq!(begun.await.unwrap().unwrap().entry, 1);
    assert!(is_world(&queued.await.unwrap()));
    assert!(is_world(&follower.await.unwrap()));
    let served = tokio::time::timeout(Duration::from_secs(5), server.served).await;
    served.expect("it does not wait for ever").unwrap().unwrap();
    // The lock is gone; what was acknowledged is there, what was not is not.
    let node = Node::open(&server.fresh.path, Options::default()).await.unwrap();
    assert_eq!(node.book(ledger).await.unwrap().size, 2);
    // And now nobody is there.
    let after = far.append(hour(ledger, "after")).await;
    assert!(is_world(&after), "{after:?}");
    let Err(NodeError::World { code: away, message, next }) =
        Remote::connect(&server.url, None).await
    else {
        panic!("somebody answered");
    };
    assert_eq!(away, "node-away");
    assert!(message.contains(&server.url) && message.contains("refused"), "{message}");
    assert!(next.contains("address"), "{next}");
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_read() {
    let server = server().await;
    let far = server.client().await;
    let ledger = open_commons(&far, "rice", false).await;
    assert_eq!(code(far.append(append(vec![1; 300_000])).await), "too-large");
    let mut log = LogClient::connect(server.url.clone()).await.unwrap();
    let request = v1::AppendRequest { envelope: vec![1; 300_000].into(), ..Default::default() };
    let reply = log.append(request).await.unwrap().into_inner().result;
    let Some(v1::append_reply::Result::Refused(refused)) = reply else { panic!("{reply:?}") };
    assert_eq!(refused.code, "too-large");
    // Over the size of any message: the transport says so.
    let request = v1::AppendRequest { envelope: vec![1; 5_000_000].into(), ..Default::default() };
    assert_eq!(log.append(request).await.unwrap_err().code(), tonic::Code::OutOfRange);
    let (_, disclosure) = person(ledger, "wayan", "Wayan");
    let large = subak_ledger::store::Disclosure { bytes: vec![0; 5_000_000], ..disclosure };
    let order = Append { disclosures: vec![large], ..hour(ledger, "x") };
    assert_eq!(code(far.append(order).await), "too-large");
    assert_eq!(far.append(hour(ledger, "y")).await.unwrap().entry, 1, "the connection lives");
}

#[tokio::test]
async fn the_book_is_told_at_a_glance() {
    let server = server().await;
    let far = server.client().await;
    let ledger = open_commons(&far, "rice", false).await;
    let phyle = v1::AgentAdd {
        handle: "bakery".into(),
        kind: v1::AgentKind::Phyle as i32,
        ..Default::default()
    };
    let mia = v1::AgentAdd {
        handle: "mia".into(),
        kind: v1::AgentKind::Person as i32,
        key: key("mia").public().bytes().to_vec(),
        ..Default::default()
    };
    let maintains = v1::RoleGrant { agent: "mia".into(), role: v1::Role::Maintainer as i32 };
    let maintains = v1::Event { kind: Some(Kind::RoleGrant(maintains)) };
    let event = vec![prost::Message::encode_to_vec(&maintains)];
    let kinds = vec![
        Kind::AgentAdd(phyle),
        Kind::AgentAdd(mia),
        Kind::Propose(v1::Propose { event }),
        work("a"),
    ];
    let mut hers = work("b");
    let Kind::Contribute(c) = &mut hers else { unreachable!() };
    c.part[0].agent = "mia".into();
    far.append(append(say(ledger, "sam", kinds))).await.unwrap();
    let validate = |entry: u64, event: u32| {
        let place = v1::Ref { entry, event };
        Kind::Validate(v1::Validate {
            span: vec![v1::Span { first: Some(place), last: Some(place) }],
            remuneration: v1::Remuneration::Unpaid as i32,
            quantity: vec![],
        })
    };
    let gift = |bank: &str| {
        Kind::IncomeRecord(v1::IncomeRecord {
            payer: "bakery".into(),
            amount: Some(v1::Amount { currency: "EUR".into(), minor: 12_345 }),
            bank: bank.into(),
            note: vec![],
        })
    };
    let seen = far.book(ledger).await.unwrap();
    let basis = Some(Basis { size: seen.size, chain: *seen.chain.last().unwrap() });
    let hours = say_seeing(ledger, "mia", vec![validate(1, 3)], now(), basis);
    far.append(append(hours)).await.unwrap();
    far.append(append(say(ledger, "sam", vec![gift("bank:1")]))).await.unwrap();

    let mut book = BookClient::connect(server.url.clone()).await.unwrap();
    let ledger = ledger.0.to_vec();
    let request = v1::BalancesRequest { ledger: ledger.clone(), ..Default::default() };
    let reply = book.balances(request).await.unwrap().into_inner();
    assert_eq!(reply.size, 4);
    let [sam] = &reply.balance[..] else { panic!("{reply:?}") };
    assert_eq!(
        (sam.agent.as_str(), sam.accrued, sam.payable, sam.points),
        ("sam", 12_345, 12_345, 2_000)
    );
    let request = v1::AccountsRequest { ledger: ledger.clone(), ..Default::default() };
    let reply = book.accounts(request).await.unwrap().into_inner();
    let cash = reply.account.iter().find(|a| a.account == "cash:sam/contributors").unwrap();
    assert_eq!((cash.amount.as_str(), cash.currency.as_str()), ("12345", "EUR"));
    assert!(reply.account.iter().any(|a| a.account == "bucket:work"));
    let about = |agent: &str| v1::ExplainRequest {
        ledger: ledger.clone(),
        agent: agent.into(),
        ..Default::default()
    };
    let request = about("sam");
    let reply = book.explain(request).await.unwrap().into_inner();
    let [reason] = &reply.reason[..] else { panic!("{reply:?}") };
    assert_eq!((reason.payer.as_str(), reason.accrued.as_str()), ("bakery", "12345"));
    // The same in parts, once there is more than one line of each.
    let id = LedgerId(ledger.clone().try_into().unwrap());
    far.append(append(say(id, "mia", vec![hers]))).await.unwrap();
    let two = vec![validate(4, 0), gift("bank:2")];
    let seen = far.book(id).await.unwrap();
    let basis = Some(Basis { size: seen.size, chain: *seen.chain.last().unwrap() });
    far.append(append(say_seeing(id, "sam", two, now(), basis))).await.unwrap();
    let request = v1::BalancesRequest { ledger: ledger.clone(), limit: 1, ..Default::default() };
    let first = book.balances(request.clone()).await.unwrap().into_inner();
    let request = v1::BalancesRequest { after: first.balance[0].agent.clone(), ..request };
    let second = book.balances(request).await.unwrap().into_inner();
    let agents = [&first.balance[..], &second.balance].concat();
    let agents: Vec<_> = agents.iter().map(|b| b.agent.as_str()).collect();
    assert_eq!((agents, first.more, second.more), (vec!["sam", "mia"], true, false));
    let request = v1::AccountsRequest { ledger: ledger.clone(), ..Default::default() };
    let whole = book.accounts(request.clone()).await.unwrap().into_inner();
    let (mut parts, mut more) = (Vec::new(), true);
    while more {
        let from = parts.len() as u64;
        let request = v1::AccountsRequest { from, limit: 1, ..request.clone() };
        let reply = book.accounts(request).await.unwrap().into_inner();
        assert_eq!(reply.account.len(), 1);
        (parts, more) = ([parts, reply.account].concat(), reply.more);
    }
    assert!(parts.len() > 2 && !whole.more && parts == whole.account);
    let reply = book.explain(about("sam")).await.unwrap().into_inner();
    let request = v1::ExplainRequest { from: 1, limit: 1, ..about("sam") };
    let part = book.explain(request).await.unwrap().into_inner();
    assert_eq!((&part.reason[..], part.more), (&reply.reason[1..], false));
    let request = v1::ExplainRequest { limit: 1, ..about("sam") };
    assert!(book.explain(request).await.unwrap().into_inner().more);
    let status = book.explain(about("nobody")).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
}

/// More than an answer holds comes in pages, and all of it comes.
#[tokio::test(flavor = "multi_thread")]
async fn long_lists_come_in_pages() {
    let server = server().await;
    let (near, far) = (&*server.fresh.node, server.client().await);
    let mut ids = Vec::new();
    for name in ["rice", "tea", "salt"] {
        ids.push(open_commons(near, name, false).await);
    }
    let names = |page: Page<LedgerInfo>| {
        (page.items.into_iter().map(|info| info.id).collect::<Vec<_>>(), page.more)
    };
    for node in [near as &dyn Ledgers, &far] {
        let page =
            |after, limit| async move { names(node.ledgers_page(after, limit).await.unwrap()) };
        assert_eq!(page(None, 2).await, (ids[..2].to_vec(), true));
        assert_eq!(page(Some(ids[1]), 2).await, (ids[2..].to_vec(), false));
        assert_eq!(page(Some(ids[2]), 2).await, (vec![], false));
        assert_eq!(node.ledgers().await.unwrap().len(), 3);
        let unknown = node.ledgers_page(Some(LedgerId([7; 32])), 2).await;
        assert!(matches!(unknown, Err(NodeError::NotFound { .. })), "{unknown:?}");
    }
    // Eight texts of 200 KB each: more than a message may have.
    let mut texts = Vec::new();
    for n in 0..8 {
        let text = format!("{n}").repeat(200_000);
        let (kind, disclosure) = person(ids[0], &format!("p-{n}"), &text);
        let envelope = say(ids[0], "sam", vec![kind]);
        texts.push(disclosure.clone());
        near.append(Append { envelope: envelope.into(), disclosures: vec![disclosure], at: None })
            .await
            .unwrap();
    }
    texts.sort_by_key(|d| d.commitment);
    for node in [near as &dyn Ledgers, &far] {
        let first = node.disclosures_page(ids[0], None).await.unwrap();
        assert_eq!((first.items.as_slice(), first.more), (&texts[..5], true), "a megabyte");
        assert_eq!(node.disclosures(ids[0]).await.unwrap(), texts);
    }
    let mut log = LogClient::connect(server.url.clone()).await.unwrap();
    let request = v1::DisclosuresRequest { ledger: ids[0].0.to_vec(), ..Default::default() };
    let mut stream = log.disclosures(request).await.unwrap().into_inner();
    let mut messages = Vec::new();
    while let Some(reply) = stream.message().await.unwrap() {
        messages.push((reply.disclosure.len(), reply.more));
    }
    assert_eq!(messages, [(5, true), (3, false)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_streams_are_open() {
    let server = server().await;
    let ledger = open_commons(&*server.fresh.node, "rice", false).await;
    let request = v1::EntriesRequest { ledger: ledger.0.to_vec(), from: 0, limit: 0, follow: true };
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut log = LogClient::connect(server.url.clone()).await.unwrap();
        for _ in 0..128 {
            open.push(log.entries(request.clone()).await.unwrap().into_inner());
        }
    }
    let mut log = LogClient::connect(server.url.clone()).await.unwrap();
    let refused = log.entries(request.clone()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    // What is no stream is answered, and a stream that ends makes room.
    assert_eq!(server.client().await.ledgers().await.unwrap().len(), 1);
    drop(open.pop());
    let mut tries = 0;
    while log.entries(request.clone()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        tries += 1;
        assert!(tries < 100, "there is room for one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_calls_are_heard_at_a_time() {
    let server = server().await;
    let ledger = open_commons(&*server.fresh.node, "rice", false).await;
    let gate = server.fresh.handles.close_gate();
    let mut calls = tokio::task::JoinSet::new();
    for client in 0..3 {
        let far = Arc::new(server.client().await);
        far.checkpoint(ledger).await.unwrap(); // it has seen the genesis
        for n in 0..200 {
            let (far, order) = (far.clone(), hour(ledger, &format!("{client}-{n}")));
            calls.spawn(async move { far.append(order).await });
        }
    }
    // The writer stands: whoever is heard waits, and the rest is told so at once.
    for _ in 0..600 - 512 {
        let refused = calls.join_next().await.unwrap().unwrap();
        let Err(NodeError::World { code, message, .. }) = &refused else { panic!("{refused:?}") };
        assert!(code == "node-busy" && message.contains("too much to do"), "{message}");
    }
    let more = tokio::time::timeout(Duration::from_millis(200), calls.join_next()).await;
    assert!(more.is_err(), "{more:?}");
    (0..600).for_each(|_| gate.go.send(()).unwrap());
    while let Some(appended) = calls.join_next().await {
        appended.unwrap().unwrap();
    }
    assert_eq!(server.fresh.node.book(ledger).await.unwrap().size, 513);
}

#[tokio::test]
async fn it_says_what_it_is_and_that_it_is_well() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let server = server().await;
    let channel = tonic::transport::Endpoint::from_shared(server.url.clone())
        .unwrap()
        .connect()
        .await
        .unwrap();
    let check = HealthCheckRequest { service: "subak.v1.Log".into() };
    let health = HealthClient::new(channel.clone()).check(check).await.unwrap().into_inner();
    assert_eq!(health.status, 1, "SERVING");
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::once(ask))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else { panic!("{answer:?}") };
    let names: Vec<_> = list.service.iter().map(|s| s.name.as_str()).collect();
    assert!(names.contains(&"subak.v1.Log") && names.contains(&"subak.v1.Book"), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lies_is_caught() {
    let fresh = fresh();
    let ledger = open_commons(&*fresh.node, "rice", false).await;
    for n in 0..6 {
        fresh.node.append(hour(ledger, &n.to_string())).await.unwrap();
    }
    let honest = lying(fresh.node.clone(), Lie::Nothing).await;
    assert_eq!(honest.book(ledger).await.unwrap().size, 7, "the control");
    for lie in [
        Lie::ShortLog,
        Lie::OtherStatement,
        Lie::LeafOfAnother,
        Lie::SwappedEntries,
        Lie::LongLeaf,
        Lie::LongEnvelope,
        Lie::ForeignCheckpoint,
        Lie::EmptyCheckpoint,
        Lie::EndlessCheckpoint,
        Lie::FalseGenesis,
    ] {
        let found = lying(fresh.node.clone(), lie).await.book(ledger).await;
        assert!(matches!(found, Err(NodeError::Corrupt { .. })), "{lie:?}: {found:?}");
    }
    // What cannot be an entry is not handed on either.
    for (lie, what) in [(Lie::LongLeaf, "leaf: expected"), (Lie::LongEnvelope, "at most 262144")] {
        let found = lying(fresh.node.clone(), lie).await.entries(ledger, 1, 1).await;
        assert!(
            matches!(&found, Err(NodeError::Corrupt { message, .. }) if message.contains(what)),
            "{found:?}"
        );
    }
    let (kind, disclosure) = person(ledger, "wayan", "Wayan");
    let envelope = say(ledger, "sam", vec![kind]);
    let order = Append { envelope: envelope.into(), disclosures: vec![disclosure], at: None };
    fresh.node.append(order).await.unwrap();
    let endless = lying(fresh.node.clone(), Lie::EndlessDisclosures).await;
    let found = endless.disclosures(ledger).await;
    assert!(matches!(found, Err(NodeError::Corrupt { .. })), "{found:?}");
    for (lie, what) in [(Lie::SameLedgers, "twice in its list"), (Lie::EndlessLedgers, "at most")] {
        let far = lying(fresh.node.clone(), lie).await;
        let found = tokio::time::timeout(Duration::from_secs(30), far.ledgers()).await.unwrap();
        assert!(
            matches!(&found, Err(NodeError::Corrupt { message, .. }) if message.contains(what)),
            "{lie:?}: {found:?}"
        );
    }
    for lie in [Lie::NoProof, Lie::NotAppended, Lie::ForeignCheckpoint] {
        let order = hour(ledger, &format!("{lie:?}"));
        let found = lying(fresh.node.clone(), lie).await.append(order).await;
        assert!(matches!(found, Err(NodeError::Corrupt { .. })), "{lie:?}: {found:?}");
        let found = lying(fresh.node.clone(), lie).await.publish_state(ledger).await;
        assert!(matches!(found, Err(NodeError::Corrupt { .. })), "{lie:?}: {found:?}");
        // Of a stream nothing is believed any more; what is on its way is appended meanwhile.
        let other = open_commons(&*fresh.node, &format!("{lie:?}").to_lowercase(), false).await;
        fresh.node.append(hour(other, "before")).await.unwrap();
        let orders: Vec<_> = (0..3).map(|n| hour(other, &n.to_string())).collect();
        let far = Arc::new(lying(fresh.node.clone(), lie).await);
        let found: Vec<_> = far.append_all(stream::iter(orders).boxed()).collect().await;
        assert!(matches!(found[..], [Err(NodeError::Corrupt { .. })]), "{lie:?}: {found:?}");
    }
    // A head of long ago is signed and sound, but this client has seen a later one.
    let forgetful = lying(fresh.node.clone(), Lie::OldCheckpoint).await;
    let size = forgetful.book(ledger).await.unwrap().size;
    fresh.node.append(hour(ledger, "later")).await.unwrap();
    assert_eq!(forgetful.book(ledger).await.unwrap().size, size + 1);
    let found = forgetful.book(ledger).await;
    assert!(matches!(found, Err(NodeError::Corrupt { .. })), "{found:?}");
    // The operator that one was told about is not the one.
    let server = server().await;
    let other = open_commons(&*server.fresh.node, "tea", false).await;
    let expect = operator(&*server.fresh.node, other).await.bytes();
    let pinned = Remote::connect(&server.url, Some(expect)).await.unwrap();
    assert_eq!(pinned.book(other).await.unwrap().size, 1);
    let strange = Remote::connect(&server.url, Some([1; 32])).await.unwrap();
    let found = strange.book(other).await;
    assert!(matches!(found, Err(NodeError::Corrupt { .. })), "{found:?}");
}

/// A node that answers with a "proof" by the operator who was replaced.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_who_knows_of_the_handover_believes_the_one_before_no_new_head() {
    let moved = moved().await;
    let first = moved.node.entries(moved.ledger, 0, 1).await.unwrap().remove(0);
    let order = hour(moved.ledger, "swallowed");
    let statement = Unverified::parse(&order.envelope).unwrap().trust_stored().unwrap();
    let envelope = statement.envelope_digest();
    let ledger = moved.ledger;
    let leaf = Leaf { ledger, seq: 1, previous: [1; 32], recorded_at: now(), envelope };
    let bytes = leaf.to_bytes();
    let mut frontier = Frontier::default();
    let zero = tree::leaf_hash(&first.leaf);
    frontier.push(zero);
    frontier.push(tree::leaf_hash(&bytes));
    let head = Checkpoint { ledger: moved.ledger, size: 2, root: frontier.root() };
    let lie = Appended {
        ledger: moved.ledger,
        entry: 1,
        leaf: Bytes::copy_from_slice(&bytes),
        path: vec![zero],
        checkpoint: head.sign(&moved.before),
        erased_text_lingers: false,
    };
    let far = lying(moved.node.clone(), Lie::Prepared).await;
    PREPARED.set(lie).unwrap();
    far.book(moved.ledger).await.unwrap();
    let found = far.append(order).await;
    assert!(matches!(found, Err(NodeError::Corrupt { .. })), "{found:?}");
}
