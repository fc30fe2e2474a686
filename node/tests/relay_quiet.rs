//! What a quiet node costs that has many agreements.
#![allow(clippy::unwrap_used)]

mod kit;
mod town;

use std::{
    fs,
    time::{Duration, Instant},
};
use subak_ledger::{book::agreement::Progress, log::LedgerId};
use subak_node::Ledgers as _;
use town::*;

const PHYLES: usize = 100;
const EACH: usize = 10;
/// How long it is watched.
const WATCHED: Duration = Duration::from_secs(20);

/// CPU time of this process so far, and its memory; on Linux.
fn usage() -> (Duration, String) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // utime and stime, proc(5); a tick is 10 ms on all common machines.
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap().to_owned();
    (Duration::from_millis(ticks * 10), line)
}

/// Nothing happens for a while: at most one percent of a core is used.
async fn quiet(what: &str) {
    let (before, _) = usage();
    tokio::time::sleep(WATCHED).await;
    let (after, memory) = usage();
    let used = after.saturating_sub(before);
    println!("{what}: {used:?} of a core in {WATCHED:?}; {memory}");
    assert!(used <= WATCHED / 100, "{what}: {used:?} of a core in {WATCHED:?}");
}

/// By hand: `cargo test --release -p subak-node --test relay_quiet -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of a minute"]
async fn a_quiet_node_with_a_thousand_agreements() {
    let mut town = Town::new().await;
    let names: Vec<String> = (0..PHYLES).map(|n| format!("phyle-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let rice = town.commons("rice", &names, &[], ALL).await;
    let mut phyles = Vec::new();
    for name in &names {
        phyles.push(town.phyle(name, &["rice"]).await);
    }
    println!("without agreements: {}", usage().1);
    town.relay();
    let begun = Instant::now();
    for phyle in &phyles {
        let mut all = Vec::new();
        for _ in 0..EACH {
            let terms = town.terms(*phyle, rice, 1_000).await;
            town.offer(&terms).await;
            all.push(terms);
        }
        for terms in &all {
            town.accept(terms).await;
        }
    }
    let active = |a: &subak_ledger::book::agreement::Agreement| a.progress == Progress::Active;
    for phyle in &phyles {
        until(async || town.book(*phyle).await.agreements.values().all(|a| active(a))).await;
    }
    println!("{} agreements in {:?}", PHYLES * EACH, begun.elapsed());
    quiet("all ledgers its own").await;
    // One revenue falls under ten of them, and their incomes are one statement.
    for _ in 0..5 {
        let (book, begun) = (town.book(rice).await, Instant::now());
        let expected = town.income(rice).await + 10 * 1_000;
        town.earn(phyles[PHYLES / 2], 1_000_000).await;
        let commit = begun.elapsed();
        until(async || town.income(rice).await == expected).await;
        assert_eq!(town.book(rice).await.size, book.size + 1);
        println!("a revenue {commit:?}, with its ten incomes {:?}", begun.elapsed());
    }
    keep_keys_of(&town, rice).await;
    town.reopen().await;
    town.relay();
    for ledger in town.node.ledgers().await.unwrap() {
        town.book(ledger.id).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    quiet("a hundred ledgers of others").await;
}

/// All other ledgers are copies then.
async fn keep_keys_of(town: &Town, ledger: LedgerId) {
    let book = town.book(ledger).await;
    let clerk = book.agents.iter().find(|agent| agent.clerk).unwrap().keys[0];
    let kept = [hex::encode(book.operator()), hex::encode(clerk)];
    let mut ring = town.db.clone().into_os_string();
    ring.push(".keys");
    for file in fs::read_dir(ring).unwrap().map(Result::unwrap) {
        let name = file.file_name().into_string().unwrap();
        if !kept.iter().any(|key| name.starts_with(key)) {
            fs::remove_file(file.path()).unwrap();
        }
    }
}
