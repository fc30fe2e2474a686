//! How fast an audit is, against the strict verification of the same signatures on all
//! cores. Run alone, in release:
//! `cargo test --release -p subak-ledger --test audit_rate -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, clippy::float_arithmetic, clippy::cast_precision_loss)]

mod audit_support;
mod kit;

use audit_support::*;
use kit::*;
use std::{
    thread,
    time::{Duration, Instant},
};
use subak_ledger::{
    audit::{LedgerAudit, Options, Verdict, audit, examine},
    log::{KeyCache, Unverified, statement::pae},
    store::{Reader, SqliteReader},
};
use subak_proto::v1::{self, event::Kind};

const STATEMENTS: u64 = 200_000;

/// Claims by sam for fifty people, and a validation of each ten.
fn build() -> World {
    let mut world = World::commons(equation(1, &[("all", 1_000_000, None, &[1])]));
    let people: Vec<String> = (0..50).map(|n| format!("person-{n}")).collect();
    for name in &people {
        world.add_person(name);
    }
    while world.state.size < STATEMENTS {
        world.now += 1_000;
        let first = world.state.size;
        let mut last = None;
        for n in 0..10 {
            let who = &people[usize::try_from((first + n) % 50).unwrap()];
            last = Some(world.contribute(who, "commit", 1_000));
        }
        let span = vec![v1::Span { first: Some(v1::Ref { entry: first, event: 0 }), last }];
        let remuneration = v1::Remuneration::Unpaid as i32;
        let validate = v1::Validate { span, remuneration, quantity: vec![] };
        world.say("mia", vec![Kind::Validate(validate)]).unwrap();
    }
    world
}

/// Nothing but `verify_strict`, each thread with its share of the envelopes.
fn verify_all(envelopes: &[Vec<u8>], threads: usize) -> Duration {
    let begun = Instant::now();
    thread::scope(|scope| {
        for part in envelopes.chunks(envelopes.len().div_ceil(threads)) {
            scope.spawn(move || {
                let mut keys = KeyCache::default();
                for envelope in part {
                    let (rest, signature) = envelope.split_last_chunk::<64>().unwrap();
                    let (body, key) = rest.split_last_chunk::<32>().unwrap();
                    assert!(keys.admit(key).unwrap().verify(&pae(body), signature));
                }
            });
        }
    });
    begun.elapsed()
}

fn audit_all(reader: &SqliteReader) -> Duration {
    let begun = Instant::now();
    let result = audit(reader, &Options::default()).unwrap();
    assert_eq!(result.verdict, Verdict::Sound, "{:?}", result.findings);
    begun.elapsed()
}

/// Processor time of this process so far, all threads: on a machine that does other things
/// too it says more than the wall clock. In ticks of 10 ms, as Linux counts.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<f64> = after_name.split_whitespace().filter_map(|f| f.parse().ok()).collect();
    // utime and stime are fields 14 and 15; the state, field 3, is no number.
    fields.get(10).zip(fields.get(11)).map_or(0.0, |(user, system)| (user + system) / 100.0)
}

/// Where the time of one core goes, microseconds an entry.
fn parts(reader: &SqliteReader, envelopes: &[Vec<u8>]) {
    let row = reader.ledgers().unwrap().remove(0);
    let each = |begun: Instant| begun.elapsed().as_secs_f64() * 1e6 / envelopes.len() as f64;
    let begun = Instant::now();
    let mut entries = Vec::new();
    while let Some(more) =
        Some(reader.entries(&row.id, entries.len() as u64, 256, 1 << 20).unwrap())
        && !more.is_empty()
    {
        entries.extend(more);
    }
    let reading = each(begun);
    let verify = verify_all(envelopes, 1).as_secs_f64() * 1e6 / envelopes.len() as f64;
    let begun = Instant::now();
    let mut keys = KeyCache::default();
    let examined: Vec<_> = entries.into_iter().map(|entry| examine(entry, &mut keys)).collect();
    let examining = each(begun);
    let begun = Instant::now();
    let parse = |e: &Vec<u8>| Unverified::parse(e).unwrap().trust_stored().unwrap();
    for envelope in envelopes {
        parse(envelope);
    }
    let parsing = each(begun);
    let begun = Instant::now();
    let mut fold = LedgerAudit::new(row.clone(), reader.checkpoint(&row.id).unwrap());
    for e in &examined {
        fold.push(e);
    }
    let folding = each(begun);
    let begun = Instant::now();
    fold.finish();
    let finishing = each(begun);
    let begun = Instant::now();
    for level in 0..16 {
        let mut from = 0;
        while let Some(last) = reader.nodes(&row.id, level, from, 1_024).unwrap().last() {
            from = last.0 + 1;
        }
    }
    let nodes = each(begun);
    let begun = Instant::now();
    drop(examined);
    let dropping = each(begun);
    println!(
        "us an entry: read {reading:.1}, verify {verify:.1}, examine {examining:.1} (of it, decode {parsing:.1}), \
         fold {folding:.1}, finish {finishing:.1}, nodes {nodes:.1}, free {dropping:.1}"
    );
}

#[test]
#[ignore = "measures; run alone in release"]
fn an_audit_keeps_up_with_the_signatures() {
    let world = build();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rate.db");
    in_file(&path, &[RawLog::of(&world, vec![])]);
    let envelopes: Vec<_> = world.entries.iter().map(|entry| entry.1.clone()).collect();
    drop(world);
    let reader = open(&path);
    let threads = thread::available_parallelism().unwrap().get();
    let rate = |time: Duration| envelopes.len() as f64 / time.as_secs_f64();
    let (mut cpu_verify, mut cpu_audit) = (0.0, 0.0);
    let (mut best_verify, mut best_audit) = (Duration::MAX, Duration::MAX);
    parts(&reader, &envelopes);
    for _ in 0..6 {
        let begun = Instant::now();
        assert_eq!(reader.integrity().unwrap(), Vec::<String>::new());
        let integrity = begun.elapsed();
        let start = cpu();
        let verify = verify_all(&envelopes, threads);
        let between = cpu();
        let audited = audit_all(&reader);
        cpu_verify += between - start;
        cpu_audit += cpu() - between;
        best_verify = best_verify.min(verify);
        best_audit = best_audit.min(audited);
        println!(
            "verify {:.0}/s, audit {:.0}/s, ratio {:.2}; integrity {integrity:?}",
            rate(verify),
            rate(audited),
            rate(audited) / rate(verify)
        );
    }
    println!(
        "processor time: verify {cpu_verify:.2} s, audit {cpu_audit:.2} s, ratio {:.2}",
        cpu_verify / cpu_audit
    );
    println!(
        "best: verify {:.0}/s on {threads} cores, audit {:.0}/s, ratio {:.2}",
        rate(best_verify),
        rate(best_audit),
        rate(best_audit) / rate(best_verify)
    );
}
