//! Statements as a stream: in their order, one answer each, and never more than there is room for.
#![allow(clippy::unwrap_used)]

mod kit;

use futures::{StreamExt as _, stream};
use kit::*;
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use subak_ledger::log::{LedgerId, entry::ledger_id_of_genesis};
use subak_node::{
    Append, Appended, Ledgers, NodeError, client::Remote, runtime::Node, runtime::Options,
};
use subak_proto::v1::{self, append_reply, event::Kind, log_client::LogClient};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Endpoint;

type Answer = Result<Appended, NodeError>;

impl Server {
    async fn client(&self) -> Arc<Remote> {
        Arc::new(Remote::connect(&self.url, None).await.unwrap())
    }

    /// A figure of the node, as it tells it to those who watch over it.
    async fn figure(&self, name: &str) -> u64 {
        let url = format!("{}/metrics", self.url);
        let get = move || ureq::get(&url).call().unwrap().body_mut().read_to_string().unwrap();
        let text = tokio::task::spawn_blocking(get).await.unwrap();
        let of_this = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
        text.lines().find_map(of_this).unwrap_or_else(|| panic!("{name} in {text}"))
    }

    async fn open_streams(&self) -> u64 {
        self.figure("subak_streams").await
    }

    async fn until_no_stream_is_open(&self) {
        let none = async {
            while self.open_streams().await > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(5), none).await.expect("the streams are closed");
    }
}

/// Here and from afar it is the same; each test that is about neither runs over both.
async fn both(server: &Server) -> [Arc<dyn Ledgers>; 2] {
    [server.fresh.node.clone(), server.client().await]
}

async fn all(ledgers: &Arc<dyn Ledgers>, statements: Vec<Append>) -> Vec<Answer> {
    ledgers.clone().append_all(stream::iter(statements).boxed()).collect().await
}

fn hours(ledger: LedgerId, of: &str, count: usize) -> Vec<Append> {
    (0..count).map(|n| hour(ledger, &format!("{of}-{n}"))).collect()
}

/// Larger ones take longer to verify than those after them.
fn large(ledger: LedgerId, of: &str) -> Append {
    append(say(ledger, "sam", (0..300).map(|n| work(&format!("{of}-{n}"))).collect()))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_answered_in_the_order_sent() {
    let server = server().await;
    for (n, ledgers) in both(&server).await.iter().enumerate() {
        let ledger = open_commons(&**ledgers, &format!("rice-{n}"), false).await;
        let mut statements = hours(ledger, "a", 500);
        (0..500).step_by(50).for_each(|at| statements[at] = large(ledger, &format!("large-{at}")));
        let before = server.fresh.handles.commits.load(Ordering::SeqCst);
        let answers = all(ledgers, statements.clone()).await;
        let commits = server.fresh.handles.commits.load(Ordering::SeqCst) - before;
        assert_eq!(answers.len(), 500);
        let operator = operator(&**ledgers, ledger).await;
        for ((answer, statement), entry) in answers.into_iter().zip(&statements).zip(1..) {
            let appended = answer.unwrap();
            assert_eq!(appended.entry, entry);
            verify(&appended, &statement.envelope, &operator);
        }
        assert!(commits < 250, "none waits for the commit of another: {commits} for 500");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_one_does_not_stop_the_rest() {
    let server = server().await;
    for (n, ledgers) in both(&server).await.iter().enumerate() {
        let ledger = open_commons(&**ledgers, &format!("rice-{n}"), false).await;
        let mut statements = hours(ledger, "a", 6);
        let mut forged = statements[1].envelope.to_vec();
        *forged.last_mut().unwrap() ^= 1;
        statements[1] = append(forged);
        statements[3] = statements[2].clone();
        statements[4] = append(vec![1, 2, 3]);
        let answers = all(ledgers, statements).await;
        let told: Vec<_> = answers
            .iter()
            .map(|answer| answer.as_ref().map(|a| a.entry).map_err(|e| e.code().to_owned()))
            .collect();
        let refused = |code: &str| Err(code.to_owned());
        let (forged, twice, none) = (&told[1], &told[3], &told[4]);
        assert_eq!((forged, twice), (&refused("bad-signature"), &refused("replayed")));
        assert!(
            none.is_err()
                && answers[4].as_ref().is_err_and(|e| matches!(e, NodeError::Refused { .. }))
        );
        assert_eq!([&told[0], &told[2], &told[5]], [&Ok(1), &Ok(2), &Ok(3)]);
        assert_eq!(ledgers.book(ledger).await.unwrap().size, 4);
    }
    // Each that came over the network is counted, and the genesis before them.
    assert_eq!(server.figure("subak_appends_acknowledged_total").await, 4);
    for code in ["bad-signature", "replayed"] {
        let name = format!("subak_appends_refused_total{{code=\"{code}\"}}");
        assert_eq!(server.figure(&name).await, 1);
    }
    assert_eq!(server.figure("subak_append_duration_seconds_count").await, 6);
}

/// Anybody may send this: a ledger that is refused, and a statement for one that never was.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_no_ledger_harms_none() {
    let server = server().await;
    for (n, ledgers) in both(&server).await.iter().enumerate() {
        let name = format!("rice-{n}");
        let ledger = open_commons(&**ledgers, &name, false).await;
        let (operator, clerk) = ledgers.prepare().await.unwrap();
        let taken = Kind::Genesis(genesis(&name, operator, clerk, false));
        let statements = vec![
            append(say(LedgerId::ZERO, "sam", vec![taken])),
            hour(LedgerId([9; 32]), "for-nobody"),
        ];
        let answers = all(ledgers, statements).await;
        let codes: Vec<_> = answers.iter().map(|a| a.as_ref().map_err(NodeError::code)).collect();
        assert_eq!(codes[0].as_ref().err(), Some(&"name-taken"), "{answers:?}");
        assert!(answers[1..].iter().all(Result::is_err), "{answers:?}");
        ledgers.append(hour(ledger, "after")).await.unwrap();
    }
}

/// Kari joins with a key of their own, which nothing before has named.
fn joins(ledger: LedgerId) -> Append {
    append(say(ledger, "kari", vec![Kind::AgentJoin(v1::AgentJoin::default())]))
}

fn hour_of_kari(ledger: LedgerId, reference: &str) -> Append {
    let Kind::Contribute(mut hour) = work(reference) else { unreachable!() };
    hour.part[0].agent = "kari".into();
    append(say(ledger, "kari", vec![Kind::Contribute(hour)]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_one_may_build_on_an_earlier_one() {
    let server = server().await;
    for (n, ledgers) in both(&server).await.iter().enumerate() {
        let (operator, clerk) = ledgers.prepare().await.unwrap();
        let genesis = genesis(&format!("rice-{n}"), operator, clerk, false);
        let opening = say(LedgerId::ZERO, "sam", vec![Kind::Genesis(genesis)]);
        let body = subak_ledger::log::Unverified::parse(&opening).unwrap().trust_stored().unwrap();
        let ledger = ledger_id_of_genesis(body.body());
        // The ledger, whoever joins it, and their work: all of it in one breath.
        let statements = vec![
            append(opening),
            hour_of_kari(ledger, "too-early"),
            joins(ledger),
            hour_of_kari(ledger, "in-time"),
        ];
        let answers = all(ledgers, statements).await;
        let entries: Vec<_> = answers.iter().map(|a| a.as_ref().ok().map(|a| a.entry)).collect();
        assert_eq!(entries, [Some(0), None, Some(1), Some(2)], "{answers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failure_nothing_of_it_is_recorded() {
    let server = server().await;
    for (n, ledgers) in both(&server).await.iter().enumerate() {
        let handles = &server.fresh.handles;
        handles.pages.store(0, Ordering::SeqCst);
        let ledger = open_commons(&**ledgers, &format!("rice-{n}"), false).await;
        let (send, statements) = mpsc::unbounded_channel();
        let statements = UnboundedReceiverStream::new(statements).boxed();
        let mut answers = ledgers.clone().append_all(statements);
        send.send(hour(ledger, "first")).unwrap();
        assert_eq!(answers.next().await.unwrap().unwrap().entry, 1);
        let gate = handles.close_gate();
        let rest = tokio::spawn(answers.collect::<Vec<_>>());
        send.send(large(ledger, "second")).unwrap();
        let gate = tokio::task::spawn_blocking(move || {
            gate.arrived.recv().unwrap();
            gate
        });
        let gate = gate.await.unwrap();
        // These wait in the queue, and they are so small that there is room for them.
        for later in hours(ledger, "later", 20) {
            send.send(later).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        handles.pages.store(1, Ordering::SeqCst);
        gate.go.send(()).unwrap();
        let rest = timeout(Duration::from_secs(5), rest).await.expect("it ends").unwrap();
        assert!(rest.len() == 1 && is_world(&rest[0]), "{rest:?}");
        handles.pages.store(0, Ordering::SeqCst);
        *handles.gate.lock().unwrap() = None;
        let after = ledgers.append(hour(ledger, "after")).await;
        assert_eq!(after.unwrap().entry, 2, "of what came after the failed one nothing is there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_no_answers_is_held_up() {
    const ALL: usize = 3_000;
    let server = server().await;
    let ledger = open_commons(&*server.fresh.node, "rice", false).await;
    // So little room for answers that they fill it.
    let endpoint = Endpoint::from_shared(server.url.clone()).unwrap();
    let endpoint =
        endpoint.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    let mut log = LogClient::new(endpoint.connect().await.unwrap());
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let large: Vec<u8> = say(ledger, "sam", (0..60).map(|n| work(&format!("x-{n}"))).collect());
    let requests = stream::iter(0..ALL).map(move |n| {
        count.fetch_add(1, Ordering::SeqCst);
        // Every other one is large, and refused after the first.
        let envelope =
            if n % 2 == 0 { hour(ledger, &n.to_string()).envelope } else { large.clone().into() };
        v1::AppendRequest { envelope, ..Default::default() }
    });
    let mut replies = log.append_stream(requests).await.unwrap().into_inner();
    let still = async {
        loop {
            let before =
                (sent.load(Ordering::SeqCst), server.fresh.node.book(ledger).await.unwrap().size);
            tokio::time::sleep(Duration::from_millis(700)).await;
            let after =
                (sent.load(Ordering::SeqCst), server.fresh.node.book(ledger).await.unwrap().size);
            if before == after {
                return after;
            }
        }
    };
    let (taken, size) = timeout(Duration::from_secs(20), still).await.expect("it comes to a halt");
    // Buffers on the way hold a megabyte or two of them; the node has taken in what it may.
    assert!(taken < ALL / 2, "{taken} of {ALL} were sent before anybody read an answer");
    assert!((64..400).contains(&size), "{size}");
    // Nobody else is held up by that, and who reads gets all of them.
    let other = server.client().await.append(hour(ledger, "other")).await;
    other.unwrap();
    let mut entry = 0;
    for n in 0..ALL {
        let reply = replies.message().await.unwrap().unwrap().result.unwrap();
        match reply {
            append_reply::Result::Appended(appended) => {
                assert!(appended.entry > entry);
                entry = appended.entry;
            }
            append_reply::Result::Refused(refused) => assert!(n > 1 && n % 2 == 1, "{refused:?}"),
        }
    }
    assert!(replies.message().await.unwrap().is_none());
    server.until_no_stream_is_open().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_large_ones_fewer_are_under_way() {
    let server = server().await;
    let ledger = open_commons(&*server.fresh.node, "rice", false).await;
    let gate = server.fresh.handles.close_gate();
    let mut log = LogClient::connect(server.url.clone()).await.unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let large = say(ledger, "sam", (0..1_000).map(|n| work(&format!("{n:0>50}"))).collect());
    assert!(large.len() > 60_000, "{}", large.len());
    let mut waiting = 0;
    // The writer stands before the store: nothing is answered.
    let requests = stream::iter(0..200).map(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        v1::AppendRequest { envelope: large.clone().into(), ..Default::default() }
    });
    let mut replies = log.append_stream(requests).await.unwrap().into_inner();
    while waiting != sent.load(Ordering::SeqCst) {
        waiting = sent.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    // Two megabytes are under way, and as many in buffers: not 64 statements and those.
    assert!((20..75).contains(&waiting), "{waiting}");
    (0..3).for_each(|_| gate.go.send(()).unwrap());
    for n in 0..200 {
        let reply = replies.message().await.unwrap().unwrap().result.unwrap();
        assert_eq!(matches!(reply, append_reply::Result::Appended(_)), n == 0, "{reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_who_goes_away_what_was_recorded_stands() {
    let server = server().await;
    let far = server.client().await;
    let ledger = open_commons(&*far, "rice", false).await;
    let mut recorded = 0;
    for round in 0..40 {
        let endless = stream::iter(0..).map(move |n| hour(ledger, &format!("{round}-{n}"))).boxed();
        let mut answers = far.clone().append_all(endless);
        for _ in 0..5 {
            recorded = answers.next().await.unwrap().unwrap().entry;
        }
        if round == 0 {
            assert_eq!(server.open_streams().await, 1);
        }
    }
    server.until_no_stream_is_open().await;
    assert!(far.book(ledger).await.unwrap().size > recorded);
    // Also of those who were let in and are not heard any more.
    let idle: Vec<_> = stream::iter(0..20)
        .then(|_| async {
            let mut answers = far.clone().append_all(stream::once(pending()).boxed());
            assert!(timeout(Duration::from_millis(10), answers.next()).await.is_err());
            answers
        })
        .collect()
        .await;
    assert_eq!(server.open_streams().await, 20);
    drop(idle);
    server.until_no_stream_is_open().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_is_told_to_who_is_sending() {
    let server = server().await;
    let far = server.client().await;
    let ledger = open_commons(&*far, "rice", false).await;
    let endless = stream::iter(0..).map(move |n| hour(ledger, &n.to_string())).boxed();
    let mut sending = far.clone().append_all(endless);
    let mut idle = far
        .clone()
        .append_all(stream::iter([hour(ledger, "idle")]).chain(stream::once(pending())).boxed());
    idle.next().await.unwrap().unwrap();
    let mut last = sending.next().await.unwrap().unwrap();
    server.stop.send(()).unwrap();
    let failure = loop {
        match sending.next().await.unwrap() {
            Ok(appended) => last = appended,
            Err(failure) => break failure,
        }
    };
    assert_eq!(failure.code(), "stopping", "{failure}");
    assert!(sending.next().await.is_none());
    assert_eq!(idle.next().await.unwrap().unwrap_err().code(), "stopping");
    let served = timeout(Duration::from_secs(5), server.served).await;
    served.expect("it does not wait for ever").unwrap().unwrap();
    drop(server.fresh.node);
    let node = Node::open(&server.fresh.path, Options::default()).await.unwrap();
    assert_eq!(node.book(ledger).await.unwrap().size, last.entry + 1, "no more and no less");
}
