//! Nodes that follow each other: how long a revenue is on its way to those who have it, and what a
//! quiet node costs that follows many.
//!
//! The nodes of a figure begin with copies of one database, each with the keys of its own ledgers alone.
//! In the first figure payer and commons are the program itself, in processes of their own; the
//! limit is the median time of the payer's own answers in the same run: a round trip and a commit. In
//! the second one the commons is, and the payers' nodes, each with its own database, share this process.

use crate::{
    followed::{Serving, copied},
    kit::{append, now, say_seeing},
    report::{Report, Round, Row, Unit, median},
    town::{EUR, Town, unique},
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use subak_ledger::{
    book::{state::State, types::Currency},
    log::{Basis, LedgerId, PublicKey, checkpoint::verifier_key},
};
use subak_node::{
    Ledgers as _,
    client::Remote,
    follow::peers::{Peer, Peers, file_of},
    runtime::{Node, Options, key_ring_of},
    serve::serve,
};
use subak_proto::v1::{self, event::Kind};
use tokio::{net::TcpListener, runtime::Runtime};

const LATENCY: &str = "relay: a revenue until it has accrued";
const QUIET: &str = "relay: a quiet node with many agreements";

pub fn figures(report: &mut Report) {
    let runtime = Runtime::new().unwrap();
    if report.wants(LATENCY) {
        let rounds = (0..report.size(5, 1)).map(|_| latency(report, &runtime)).collect();
        let row = Row {
            name: LATENCY.into(),
            unit: Unit::Nanoseconds,
            limit: "the payer's answer: a round trip and a commit".into(),
            target: Some(5.0),
        };
        report.add(&row, rounds);
    }
    if report.wants(QUIET) {
        quiet(report, &runtime);
    }
}

/// A commons and its payers, agreed, on one node that has ended.
struct Agreed {
    dir: tempfile::TempDir,
    commons: Arc<State>,
    phyles: Vec<Arc<State>>,
}

async fn agreed(phyles: usize, agreements: usize) -> Agreed {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("all.db");
    let node = Arc::new(Node::open(&db, Options::default()).await.unwrap());
    let town = Town::on(node.clone(), db);
    town.relay();
    let names: Vec<String> = (0..phyles).map(|n| format!("phyle-{n}")).collect();
    let handles: Vec<&str> = names.iter().map(String::as_str).collect();
    let all = [("contributors", 1_000_000, None)];
    let commons = town.commons("rice", &handles, &[], &all).await;
    let mut ids = Vec::new();
    for name in &handles {
        let phyle = town.phyle(name, &["rice"]).await;
        for _ in 0..agreements {
            town.agree(phyle, commons, 1_000).await;
        }
        ids.push(phyle);
    }
    let mut phyles = Vec::new();
    for id in ids {
        phyles.push(town.book(id).await);
    }
    let commons = town.book(commons).await;
    node.close().await;
    Agreed { dir, commons, phyles }
}

impl Agreed {
    /// The database of whoever has this ledger, and no other one.
    async fn only(&self, all: &str, name: &str, own: &Arc<State>) -> PathBuf {
        let db = self.dir.path().join(name);
        let operator = PublicKey::admit(&own.operator()).unwrap();
        let follow = vec![verifier_key(&own.ledger, &operator)];
        let peer = Peer { url: all.into(), ca: None, follow, all: false };
        copied(&db, peer, own.ledger, own.size).await;
        self.give_keys(&db, std::slice::from_ref(own));
        db
    }

    /// The database, with the keys of these ledgers.
    fn with_keys_of(&self, name: &str, own: &[Arc<State>]) -> PathBuf {
        let db = self.dir.path().join(name);
        fs::copy(self.dir.path().join("all.db"), &db).unwrap();
        self.give_keys(&db, own);
        db
    }

    fn give_keys(&self, db: &Path, own: &[Arc<State>]) {
        let clerk = subak_ledger::log::Handle::new("clerk").unwrap();
        let keys = own.iter().flat_map(|book| {
            let clerk = book.agent(book.find(&clerk).unwrap()).keys.clone();
            clerk.into_iter().chain([book.operator()])
        });
        let keys: Vec<String> = keys.map(hex::encode).collect();
        let ring = key_ring_of(db);
        fs::create_dir(&ring).unwrap();
        let all = key_ring_of(&self.dir.path().join("all.db"));
        for file in fs::read_dir(all).unwrap().map(Result::unwrap) {
            let is_own = |key: &String| file.file_name().to_string_lossy().starts_with(&**key);
            if keys.iter().any(is_own) {
                fs::copy(file.path(), ring.join(file.file_name())).unwrap();
            }
        }
    }
}

fn follow(db: &Path, urls: impl IntoIterator<Item = String>) {
    let peer = |url| Peer { url, ca: None, follow: Vec::new(), all: false };
    Peers { peer: urls.into_iter().map(peer).collect() }.write(&file_of(db)).unwrap();
}

fn serving(db: &Path) -> Serving {
    let args = ["serve", "--listen", "127.0.0.1:0", "--db", db.to_str().unwrap()];
    Serving::start(db.parent().unwrap(), &args)
}

fn latency(report: &Report, runtime: &Runtime) -> Round {
    let agreed = runtime.block_on(agreed(1, 1));
    let phyle = &agreed.phyles[0];
    let payer = serving(&agreed.with_keys_of("payer.db", &agreed.phyles));
    let db = agreed.with_keys_of("commons.db", std::slice::from_ref(&agreed.commons));
    follow(&db, [payer.url.clone()]);
    let commons = serving(&db);
    let revenues = report.size(200, 20);
    runtime.block_on(async {
        let near = Remote::connect(&payer.url, None).await.unwrap();
        let far = Remote::connect(&commons.url, None).await.unwrap();
        let (mut answers, mut accruals) = (Vec::new(), Vec::new());
        for n in 0..revenues + 5 {
            let book = near.book(phyle.ledger).await.unwrap();
            let size = far.book(agreed.commons.ledger).await.unwrap().size;
            let envelope = revenue(phyle.ledger, &book);
            let begun = Instant::now();
            near.append(append(envelope)).await.unwrap();
            let answered = begun.elapsed();
            far.wait_beyond(agreed.commons.ledger, size).await.unwrap();
            let accrued = begun.elapsed();
            // The first ones find nobody who is connected yet.
            if n >= 5 {
                answers.push(answered.as_nanos() as f64);
                accruals.push(accrued.as_nanos() as f64);
            }
        }
        let book = far.book(agreed.commons.ledger).await.unwrap();
        assert_eq!(book.incomes.len(), revenues + 5, "each has accrued once");
        Round { figure: median(accruals), limit: median(answers) }
    })
}

fn revenue(ledger: LedgerId, book: &State) -> Vec<u8> {
    let invoice = v1::Invoice { series: "inv".into(), number: unique(), line: 0 };
    let eur = Currency::new(EUR).unwrap();
    let record = v1::RevenueRecord {
        invoice: Some(invoice),
        currency: EUR.into(),
        net: 1_000_000,
        due: book.dues_of_revenue(None, eur, (1_000_000, 0), now()),
        ..Default::default()
    };
    let basis = Some(Basis { size: book.size, chain: *book.chain.last().unwrap() });
    say_seeing(ledger, "sam", vec![Kind::RevenueRecord(record)], now(), basis)
}

fn quiet(report: &mut Report, runtime: &Runtime) {
    let (nodes, each) = report.size((100, 10), (10, 2));
    let agreed = runtime.block_on(agreed(nodes, each));
    let (urls, [alone, quiet]) = runtime.block_on(async {
        let all = Node::open(&agreed.dir.path().join("all.db"), Options::default()).await.unwrap();
        let all = served(Arc::new(all)).await;
        let mut urls = Vec::new();
        for (n, phyle) in agreed.phyles.iter().enumerate() {
            let db = agreed.only(&all, &format!("payer-{n}.db"), phyle).await;
            let node = Node::open(&db, Options::default()).await.unwrap();
            urls.push(served(Arc::new(node)).await);
        }
        let alone = agreed.only(&all, "alone.db", &agreed.commons).await;
        (urls, [alone, agreed.only(&all, "quiet.db", &agreed.commons).await])
    });
    let alone = measured(&alone, report);
    follow(&quiet, urls);
    let following = measured(&quiet, report);
    let text = format!(
        "{} agreements with the ledgers of {nodes} nodes: {:.2} % of a core (asked <= 1), {} MB (asked \
         <= 100 more); without peers {:.2} %, {} MB",
        nodes * each,
        following.0,
        following.1,
        alone.0,
        alone.1
    );
    report.judge(QUIET, &text, following.0 <= 1.0 && following.1 <= alone.1 + 100);
}

async fn served(node: Arc<Node>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(node, listener, std::future::pending()));
    url
}

/// Percent of a core, and megabytes, of a node at rest.
fn measured(db: &Path, report: &Report) -> (f64, u64) {
    let node = serving(db);
    thread::sleep(Duration::from_secs(report.size(30, 5)));
    let (before, begun) = (node.ticks(), Instant::now());
    thread::sleep(Duration::from_secs(report.size(60, 5)));
    // A tick is a hundredth of a second.
    let percent = (node.ticks() - before) as f64 / begun.elapsed().as_secs_f64();
    (percent, node.megabytes())
}
