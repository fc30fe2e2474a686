//! Three nodes under load, while a script kills, stops and restarts them, cuts them off from one
//! another and puts old backups in the place of their databases.
//!
//! A phyle, the commons that it pays and the commons upstream of it, each `subak serve` with a
//! database, keys and a port of its own, follow each other by ways that can be cut. People record
//! revenue, work, cash and payouts at all three all the while. In the end all is healed, and nothing
//! acknowledged may be lost, no income doubled, every copy is its source's, and the audit over all
//! three is sound and reconciles. A node on an old backup must say that it is one, and do nothing.
//!
//! What happens, and to whom, follows from one seed; when, from the machine. `SUBAK_SEED` sets another,
//! `SUBAK_CHAOS_SECONDS` how long it goes on (20), `SUBAK_LONG=1` makes that ten minutes. At least
//! one of everything happens in each run. A script that kills is no power cut: see `crash.rs`.

#![allow(clippy::unwrap_used, unreachable_pub)] // the files of one test share it

mod kit;

#[path = "chaos/check.rs"]
mod check;
#[path = "chaos/load.rs"]
mod load;
#[path = "chaos/proxy.rs"]
mod proxy;
#[path = "chaos/script.rs"]
mod script;
#[path = "chaos/world.rs"]
mod world;

use check::quiet;
use kit::Dice;
use load::{Client, HANDS, Talk};
use proxy::Mode;
use script::{Done, Script};
use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};
use world::{Member, WAYS, World};

/// The folder of a run, which stays where the test fails, and how to do it again.
struct Folder {
    dir: Option<tempfile::TempDir>,
    seed: u64,
    seconds: u64,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let kept = self.dir.take().map(tempfile::TempDir::keep);
            let Self { seed, seconds, .. } = self;
            eprintln!(
                "again: SUBAK_SEED={seed} SUBAK_CHAOS_SECONDS={seconds} cargo test -p subak-cli \
                 --test chaos -- --nocapture; the nodes' files and logs are in {kept:?}"
            );
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn nothing_is_lost_or_doubled_whatever_becomes_of_the_nodes() {
    let long = std::env::var_os("SUBAK_LONG").is_some_and(|v| v == "1");
    let seconds = number("SUBAK_CHAOS_SECONDS").unwrap_or(if long { 600 } else { 20 });
    let seed = number("SUBAK_SEED").unwrap_or(20_261_122);
    let folder = Folder { dir: Some(tempfile::tempdir().unwrap()), seed, seconds };
    let world = World::new(folder.dir.as_ref().unwrap().path());
    let long = seconds >= 120;
    // In a long run less is said in a second: a debug build takes long to read it all after a restart.
    let talk = Arc::new(Talk::new(if long { 300 } else { 60 }));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let client = |(who, hand): (usize, usize)| {
        let seed = seed.wrapping_add(1 + (who * HANDS + hand) as u64);
        runtime.spawn(Client::new(&world, (who, hand), &talk, seed).run())
    };
    let everybody = (0..3).flat_map(|who| (0..HANDS).map(move |hand| (who, hand)));
    let load = everybody.map(client).collect();
    let (dice, cuts, done) = (Dice(seed), Vec::new(), Done::default());
    let mut script = Script { world, talk, dice, runtime, load, cuts, done, long };
    script.run(Duration::from_secs(seconds));
    let kept = script.end();

    let (world, runtime) = (&script.world, &script.runtime);
    let incomes = runtime.block_on(check::all(world, &kept));
    check::audit(world);
    let acknowledged: usize = kept.iter().map(|kept| kept.acknowledged.len()).sum();
    let found: usize = kept.iter().map(|kept| kept.found.len()).sum();
    let kinds: Vec<_> = kept.iter().step_by(HANDS).map(|kept| &kept.kinds).collect();
    println!(
        "seed {seed}, {seconds} s: {:?}; {acknowledged} statements acknowledged, all there, \
         {found} found there without an answer; {incomes} incomes relayed, each once; said: {kinds:?}",
        script.done
    );
    assert!(incomes > 0 && acknowledged > 100, "there was no load");
}

/// Waits for what the nodes do by themselves.
#[track_caller]
fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < Duration::from_mins(2), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn earn(phyle: &Member, invoice: &str, net: &str) {
    let line = "--tax \"0.00 EUR\" --as tess --ledger sample-phyle --node";
    let line = format!("revenue record {invoice} --net \"{net} EUR\" {line} {}", phyle.url());
    phyle.place.type_in(&line).done();
}

fn incomes(commons: &Member) -> String {
    let line = format!("income list --ledger sample-commons --node {}", commons.url());
    commons.place.data(&line)["incomes"].to_string()
}

fn proofs(member: &Member) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(member.path("subak.db.evidence")).into_iter().flatten();
    let files = files.map(|file| file.unwrap().path());
    // Beside it lies for a moment what is being written.
    files.filter(|file| file.extension().is_some_and(|it| it == "fraud-proof")).collect()
}

/// An old backup with the keys of its day, and nobody there to tell: what it then signs is a second
/// history. Whoever has seen the first proves it, takes nothing of the second, and goes on once the
/// newest database is back and a person has removed the proof.
#[test]
fn a_second_history_of_a_node_that_forgot_is_proven() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let [old, keys, newest] = ["old.db", "old.keys", "newest"].map(|n| world.members[0].path(n));
    earn(&world.members[0], "a/1", "100.00");
    runtime.block_on(quiet(&world));
    world.members[0].back_up(&old);
    world.members[0].copy_keys(&keys);
    earn(&world.members[0], "a/2", "200.00");
    runtime.block_on(quiet(&world));
    let taken = incomes(&world.members[1]);
    assert!(taken.contains("20.00"), "{taken}");

    let way = WAYS.iter().position(|way| *way == (1, 0)).unwrap();
    world.ways[way].set(Mode::Refuse);
    let phyle = &mut world.members[0];
    phyle.kill();
    phyle.put_away(&newest, true);
    phyle.put_in(&old, Some(&keys));
    phyle.start();
    earn(phyle, "a/2", "999.00");
    earn(phyle, "a/3", "999.00");
    world.ways[way].set(Mode::Open);
    wait_for("a proof of two histories", || !proofs(&world.members[1]).is_empty());

    // The proof convinces a third person, who has nothing else.
    let [file] = &proofs(&world.members[1])[..] else { panic!("one ledger, one proof") };
    let line =
        format!("audit {} --no-memory --expect {}", file.display(), world.members[0].operator);
    let judged = world.members[2].place.type_in(&line);
    assert_eq!(judged.status, 1, "{}{}", judged.out, judged.err);
    judged.says(&["two histories of one ledger were signed by one key"]);
    assert_eq!(incomes(&world.members[1]), taken, "nothing of the second history is taken");

    let phyle = &mut world.members[0];
    phyle.kill();
    phyle.put_back(&newest);
    phyle.start();
    earn(phyle, "a/3", "300.00");
    fs::remove_file(file).unwrap();
    runtime.block_on(quiet(&world));
    let after = incomes(&world.members[1]);
    assert!(after.contains("30.00") && !after.contains("99.90"), "{after}");
}
