//! Many nodes, simulated: one seed is one run.
//!
//! Phyles and commons, each with a node, a ledger, keys, a clock and disks of its own, act, follow
//! each other's ledgers and relay what is due, while the network drops, doubles, delays and cuts,
//! disks fail before and after the write, processes die, old backups are put back, clocks step and
//! leap, and in some runs one operator lies. The sequencer, the fold, the follower's copy, the
//! judgement of clocks and of old copies, and all of `subak-ledger`, are those that a node runs.
//! After each step what must hold is checked (`check`); in the end everything is delivered, or who
//! cannot go on says why (`quiet`).
//!
//! ```text
//! cargo test -p subak-node --test simulation                                 some seeds
//! SUBAK_SEEDS=100000 cargo test --release -p subak-node --test simulation    many, on all cores
//! SUBAK_SEED=7 cargo test -p subak-node --test simulation replay -- --nocapture
//! ```
#![allow(clippy::unwrap_used, unreachable_pub)] // a test binary exports nothing

#[path = "simulation/acting.rs"]
mod acting;
#[path = "simulation/check.rs"]
mod check;
#[path = "simulation/disk.rs"]
mod disk;
#[path = "simulation/failing.rs"]
mod failing;
#[path = "simulation/faults.rs"]
mod faults;
#[path = "simulation/follow.rs"]
mod follow;
#[path = "simulation/following.rs"]
mod following;
#[path = "simulation/found.rs"]
mod found;
#[path = "simulation/net.rs"]
mod net;
#[path = "simulation/node.rs"]
mod node;
#[path = "simulation/people.rs"]
mod people;
#[path = "simulation/quiet.rs"]
mod quiet;
#[path = "simulation/relay.rs"]
mod relay;
#[path = "simulation/rng.rs"]
mod rng;
#[path = "simulation/serving.rs"]
mod serving;
#[path = "simulation/world.rs"]
mod world;

use faults::Broken;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};
use world::{Config, Stats, World};

/// Lines of a failing run that are shown.
const TAIL: usize = 60;
/// Seeds that are run at least.
const FEW: u64 = 50;
/// Seeds in an ordinary run of the tests, and how long it may take at most.
const SOME: (u64, Duration) = (200, Duration::from_secs(15));

/// One run; what does not hold, if anything does not, with the trace.
fn run(config: Config) -> (Result<Stats, String>, Vec<String>) {
    let mut trace = Vec::new();
    let whole = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(config);
        let verdict = world
            .act()
            .and_then(|()| world.calm())
            .and_then(|()| quiet::repair(&mut world))
            .and_then(|()| world.settle(quiet::settled))
            .and_then(|()| quiet::review(&mut world));
        trace = std::mem::take(&mut world.trace);
        verdict.map(|()| world.stats)
    }));
    let text = |panic: Box<dyn std::any::Any + Send>| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        format!("an assertion failed: {}", said.unwrap_or_default())
    };
    (whole.unwrap_or_else(|panic| Err(text(panic))), trace)
}

fn sum(a: Stats, b: Stats) -> Stats {
    Stats {
        steps: a.steps + b.steps,
        entries: a.entries + b.entries,
        acks: a.acks + b.acks,
        taken: a.taken + b.taken,
        crashes: a.crashes + b.crashes,
        restores: a.restores + b.restores,
        halted: a.halted + b.halted,
        lies: a.lies + b.lies,
        proofs: a.proofs + b.proofs,
        frozen: a.frozen + b.frozen,
        runs: a.runs + b.runs,
    }
}

/// Runs seeds on all cores until one fails, all are done or time is up.
fn runs(broken: Broken, first: u64, seeds: u64, most: Duration) -> Result<Stats, (u64, String)> {
    let (next, stop, begun) = (AtomicU64::new(first), AtomicBool::new(false), Instant::now());
    let (total, failed) = (Mutex::new(Stats::default()), Mutex::new(None));
    let work = || {
        let mut own = Stats::default();
        loop {
            let seed = next.fetch_add(1, Relaxed);
            // Fewer would show nothing of what may happen, however slow the machine.
            let late = seed >= first + FEW && begun.elapsed() >= most;
            if late || stop.load(Relaxed) {
                break;
            }
            if seed >= first + seeds {
                break;
            }
            match run(Config { seed, broken, trace: false }).0 {
                Ok(stats) => own = sum(own, stats),
                Err(what) => {
                    stop.store(true, Relaxed);
                    let mut failed = failed.lock().unwrap();
                    let least = failed.as_ref().is_none_or(|(other, _)| seed < *other);
                    if least {
                        *failed = Some((seed, what));
                    }
                }
            }
        }
        let mut total = total.lock().unwrap();
        *total = sum(*total, own);
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        (0..cores).for_each(|_| drop(scope.spawn(work)));
    });
    let failed = failed.into_inner().unwrap();
    failed.map_or_else(|| Ok(total.into_inner().unwrap()), Err)
}

/// The end of a run, told line by line, and how to see it again.
fn tell(seed: u64) -> String {
    let (verdict, trace) = run(Config { seed, broken: Broken::Nothing, trace: true });
    let from = trace.len().saturating_sub(TAIL);
    let what = verdict.map_or_else(|what| what, |_| "it holds this time".into());
    format!(
        "seed {seed}: {what}\n{}\n\nagain: SUBAK_SEED={seed} cargo test -p subak-node --test \
         simulation replay -- --nocapture",
        trace[from..].join("\n")
    )
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn whatever_fails_nothing_is_lost_nothing_is_doubled_and_everything_arrives() {
    let (seeds, most) = number("SUBAK_SEEDS").map_or(SOME, |n| (n, Duration::from_hours(24)));
    let first = number("SUBAK_FIRST").unwrap_or(0);
    let begun = Instant::now();
    match runs(Broken::Nothing, first, seeds, most) {
        Ok(stats) => {
            let seconds = begun.elapsed().as_millis().max(1);
            println!("{stats:?}");
            println!("{} runs in {seconds} ms", stats.runs);
            // Else the simulator would have become harmless.
            let all =
                [stats.acks, stats.taken, stats.crashes, stats.restores, stats.lies, stats.proofs];
            assert!(seeds < FEW || all.iter().all(|count| *count > 0), "{stats:?}");
        }
        Err((seed, what)) => panic!("{what}\n{}", tell(seed)),
    }
}

/// Shows one seed: `SUBAK_SEED=n`.
#[test]
fn replay() {
    let Some(seed) = number("SUBAK_SEED") else { return };
    let (verdict, trace) = run(Config { seed, broken: Broken::Nothing, trace: true });
    println!("{}", trace.join("\n"));
    println!("{verdict:?}");
    assert!(verdict.is_ok(), "seed {seed}");
}

/// The same seed is the same run, to the line.
#[test]
fn a_seed_is_one_run() {
    for seed in 0..3 {
        let once = || run(Config { seed, broken: Broken::Nothing, trace: true }).1;
        assert_eq!(once(), once(), "seed {seed}");
    }
}

/// Whoever is broken in this way is caught within 100 seeds, by one of these; and it is that which is
/// caught: with the same seed, whoever is not broken holds.
fn caught(broken: Broken, by: &[&str]) {
    let found = runs(broken, 0, 100, Duration::from_mins(10));
    let (seed, what) = found.expect_err("it was not caught within 100 seeds");
    println!("{broken:?}: seed {seed}: {what}");
    assert!(by.iter().any(|by| what.contains(by)), "seed {seed} found something else: {what}");
    let (sound, _) = run(Config { seed, broken: Broken::Nothing, trace: false });
    assert!(sound.is_ok(), "seed {seed} fails in any case: {sound:?}");
}

#[test]
fn a_receiver_that_takes_last_plus_two_is_caught() {
    caught(Broken::TakesLastPlusTwo, &["or skipped"]);
}

#[test]
fn a_receiver_that_forgets_its_cursor_is_caught() {
    caught(Broken::ForgetsItsCursor, &["income twice"]);
}

#[test]
fn a_follower_that_believes_anything_is_caught() {
    caught(Broken::BelievesAnything, &["does not go on from"]);
}

#[test]
fn a_writer_that_acknowledges_before_it_writes_is_caught() {
    caught(Broken::AcknowledgesFirst, &["is missing"]);
}
