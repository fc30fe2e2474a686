//! A copy of another node's ledger: how fast it catches up, and what following costs its source.
//!
//! The source of the first figure and its copy share this process and its cores: what serving costs is
//! in it. The second is of the program itself: processor time of a source by the system's
//! count, for the same appends, with a mirror that follows them and without one.

use crate::{
    append::Server,
    limits,
    report::{Report, Round, Row, Unit, rate},
    stored::{Pace, Written},
    world::{Author, SAM, encode, genesis, work},
};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use subak_ledger::log::LedgerId;
use subak_node::{
    Append, Ledgers as _,
    client::Remote,
    follow::{Follower, evidence::Evidence, peers::Peer},
    runtime::{Node, Options},
};
use subak_proto::v1::event::Kind;
use tokio::runtime::Runtime;

const CATCH_UP: &str = "mirror: catches up";
const COST: &str = "mirror: cost to its source";

pub fn figures(report: &mut Report) {
    let runtime = Runtime::new().unwrap();
    if report.wants(CATCH_UP) {
        catch_up(report, &runtime);
    }
    if report.wants(COST) {
        cost(report, &runtime);
    }
}

fn catch_up(report: &mut Report, runtime: &Runtime) {
    let dir = tempfile::tempdir().unwrap();
    let (path, count) = (dir.path().join("log.db"), report.size(1_000_000, 20_000));
    let mut log = Written::open(&path, Pace::AT_ONCE);
    let mut some = Vec::new();
    log.grow(count, &mut |envelope| {
        if some.len() < 100_000 {
            some.push(envelope);
        }
    });
    let ledger = log.ledger;
    drop(log);
    let source = runtime.block_on(async {
        let node = Arc::new(Node::open(&path, Options::default()).await.unwrap());
        node.book(ledger).await.unwrap();
        Server::of(node, ledger).await
    });
    let round = || {
        let limit = limits::strict(&some);
        let dir = tempfile::tempdir().unwrap();
        let peer = Peer { url: source.url.clone(), ca: None, follow: Vec::new(), all: true };
        let begun = Instant::now();
        runtime.block_on(copied(&dir.path().join("copy.db"), peer, ledger, count as u64));
        Round { figure: rate(count, begun.elapsed()), limit }
    };
    let rounds = (0..report.size(3, 1)).map(|_| round()).collect();
    let row = Row {
        name: CATCH_UP.into(),
        unit: Unit::PerSecond("entries"),
        limit: "verify_strict on all cores".into(),
        target: Some(0.7),
    };
    report.add(&row, rounds);
    runtime.block_on(source.stop());
}

/// Returns when a new node has all entries of a ledger, durable.
pub async fn copied(db: &Path, peer: Peer, ledger: LedgerId, size: u64) {
    let node = Arc::new(Node::open(db, Options::default()).await.unwrap());
    let follower = Follower::new(node.clone(), None, vec![peer], Evidence::beside(db));
    let following = tokio::spawn(Arc::new(follower).run());
    while !node.book(ledger).await.is_ok_and(|book| book.size == size) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    node.close().await;
    following.await.unwrap();
}

/// A program that serves, and where.
pub struct Serving {
    child: Child,
    pub url: String,
}

impl Serving {
    /// Begins, in this folder.
    pub fn start(dir: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_subak"))
            .args(args)
            .env("SUBAK_HOME", dir)
            .current_dir(dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().find(|word| word.starts_with("http")).unwrap().to_owned();
        Self { child, url }
    }

    /// Processor time so far, in the system's ticks.
    pub fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

impl Serving {
    /// What it has in memory now, in megabytes.
    pub fn megabytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1_000
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Appends go on one after another in the same number both times; what a mirror adds is in percent.
fn cost(report: &mut Report, runtime: &Runtime) {
    let statements = report.size(20_000, 1_000);
    let dir = tempfile::tempdir().unwrap();
    let source = Serving::start(
        dir.path(),
        &["serve", "--db", "source.db", "--listen", "127.0.0.1:0", "--new-ledgers"],
    );
    let mut used = [Vec::new(), Vec::new()];
    for round in 0..report.size(6, 2) {
        let followed = round % 2 == 1;
        let mirror = followed.then(|| {
            let db = format!("mirror-{round}.db");
            let mirror = ["mirror", &source.url, "--db", &db, "--listen", "127.0.0.1:0"];
            Serving::start(dir.path(), &mirror)
        });
        let ticks = runtime.block_on(appended(&source, mirror.as_ref(), statements));
        used[usize::from(followed)].push(ticks as f64);
    }
    let [alone, followed] = used.map(crate::report::median);
    let text = format!(
        "{:.1} % more processor time of the source for {statements} statements in batches of 64 \
         (asked < 10 %): {followed} ticks after {alone}",
        100.0 * (followed / alone - 1.0),
    );
    report.judge(COST, &text, followed < 1.1 * alone);
}

/// A new ledger of so many statements, each batch followed to its end; what that took the source.
async fn appended(source: &Serving, mirror: Option<&Serving>, statements: usize) -> u64 {
    let remote = Arc::new(Remote::connect(&source.url, None).await.unwrap());
    let (operator, clerk) = remote.prepare().await.unwrap();
    let mut opened = genesis(operator, clerk);
    opened.name = format!("measured-{}", hex::encode(&operator[..6]));
    let envelope = Author::sam(LedgerId::ZERO).say(vec![encode(Kind::Genesis(opened))]);
    let given = |envelope: Vec<u8>| Append { envelope: envelope.into(), ..Append::default() };
    let ledger = remote.append(given(envelope)).await.unwrap().ledger;
    let copy = match mirror {
        Some(mirror) => {
            let copy = Remote::connect(&mirror.url, None).await.unwrap();
            // What was there before is no part of it.
            for info in remote.ledgers().await.unwrap() {
                until(&copy, info.id, info.size).await;
            }
            Some(copy)
        }
        None => None,
    };
    let mut author = Author::sam(ledger);
    let all: Vec<Vec<u8>> = (0..statements).map(|n| author.say(vec![work(SAM, n)])).collect();
    let before = source.ticks();
    for batch in all.chunks(64) {
        let sent = batch.iter().map(|envelope| remote.append(given(envelope.clone())));
        for answer in futures::future::join_all(sent).await {
            answer.unwrap();
        }
    }
    if let Some(copy) = copy {
        until(&copy, ledger, statements as u64 + 1).await;
    }
    source.ticks() - before
}

async fn until(copy: &Remote, ledger: LedgerId, size: u64) {
    loop {
        let all = copy.ledgers().await.unwrap();
        if all.iter().any(|info| info.id == ledger && info.size >= size) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
