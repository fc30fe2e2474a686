//! An auditor far away: a bundle audited by the program itself, the audit that comes after it, and
//! a receipt of one entry.
//!
//! The log is that of three years. Memory is the most that the process ever held, as the system counts
//! it (VmHWM); it is told for a log of thirty days as well, in which every statement may still be
//! admitted at the end, so that an auditor must remember the digest of each. Signature checks
//! are the audit's own count, so that they do not depend on the machine.

use crate::{
    limits,
    report::{Report, Round, Row, Unit, rate},
    stored::{Pace, Written},
    world::DAY_MS,
};
use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use subak_ledger::{
    audit::{Audit, LedgerReport, Options, Seen, Verdict, audit},
    log::receipt::Receipt,
    store::{
        BundleReader, Reader as _, SqliteReader,
        bundle::{Exported, export},
    },
};

const BUNDLE: &str = "auditor: a bundle, by the program itself";
const SECOND: &str = "auditor: again after 1,000 entries";
const RECEIPT: &str = "auditor: a receipt, made and verified";
/// Entries that are new the second time.
const NEW: usize = 1_000;
const MONTH: u64 = 30 * DAY_MS;

/// As many entries spread over so long a time.
fn over(time: u64, entries: usize, lifetime: u64) -> Pace {
    // Those that are new the second time are not later than now either.
    Pace { ago: time + DAY_MS, step: time / (entries + NEW) as u64, lifetime }
}

pub fn figures(report: &mut Report) {
    if ![BUNDLE, SECOND, RECEIPT].iter().any(|name| report.wants(name)) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (path, count) = (dir.path().join("log.db"), report.size(1_000_000, 20_000));
    let mut log = Written::open(&path, over(3 * 365 * DAY_MS, count, DAY_MS));
    let mut some = Vec::new();
    log.grow(count, &mut |envelope| {
        if some.len() < 100_000 {
            some.push(envelope);
        }
    });
    if report.wants(BUNDLE) {
        bundle(report, dir.path(), &path, &some);
        crowded(report, count);
    }
    if report.wants(RECEIPT) {
        receipt(report, &path, &log);
    }
    if report.wants(SECOND) {
        second(report, &path, &mut log, count);
    }
}

fn open(path: &Path) -> SqliteReader {
    let reader = SqliteReader::open(path).unwrap();
    reader.freeze().unwrap();
    reader
}

fn bundle(report: &mut Report, dir: &Path, path: &Path, some: &[Vec<u8>]) {
    let file = dir.join("log.subak");
    let begun = Instant::now();
    let done = bundled(path, &file);
    let (entries, written) = (usize::try_from(done.entries).unwrap(), begun.elapsed());
    report.note(&format!(
        "a bundle of {entries} entries: {} MB, written in {:.1} s",
        done.bytes / 1_000_000,
        written.as_secs_f64()
    ));
    assert_eq!(BundleReader::open(&file).unwrap().ledgers().unwrap().len(), 1);
    let row = Row {
        name: BUNDLE.into(),
        unit: Unit::PerSecond("entries"),
        limit: "verify_strict on all cores".into(),
        target: None,
    };
    let limit = limits::strict(some);
    let (time, most) = run(dir, &file);
    report.add(&row, vec![Round { limit, figure: rate(entries, time) }]);
    tell_memory(report, "three years", most);
}

fn bundled(path: &Path, file: &Path) -> Exported {
    let reader = open(path);
    export(&reader, &reader.ledgers().unwrap(), file, true, &|_| ()).unwrap()
}

/// All of them in thirty days, and no statement expired.
fn crowded(report: &mut Report, count: usize) {
    let dir = tempfile::tempdir().unwrap();
    let (path, file) = (dir.path().join("log.db"), dir.path().join("log.subak"));
    Written::open(&path, over(MONTH - DAY_MS, count, MONTH)).grow(count, &mut |_| ());
    bundled(&path, &file);
    tell_memory(report, "thirty days", run(dir.path(), &file).1);
}

fn tell_memory(report: &mut Report, what: &str, most: u64) {
    let met = if most < 300_000 { "" } else { " no" };
    let most = most / 1_000;
    report.note(&format!("of a log of {what} it held {most} MB at most; target < 300 MB{met}"));
}

/// The program on a file: how long it took, and its most memory in kB.
fn run(dir: &Path, file: &Path) -> (Duration, u64) {
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_subak"))
        .arg("audit")
        .arg(file)
        .args(["--no-memory", "--json"])
        .env("SUBAK_HOME", dir)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    let ended = loop {
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let held = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        most = most.max(held.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(ended.success(), "the audit of a sound bundle: {ended}");
    (begun.elapsed(), most)
}

fn judged(path: &Path, seen: &[Seen]) -> (LedgerReport, Duration) {
    let reader = open(path);
    let begun = Instant::now();
    let found: Audit = audit(&reader, &Options { seen, ..Options::default() }).unwrap();
    assert_eq!(found.verdict, Verdict::Sound, "{:?}", found.findings);
    (found.ledgers.into_iter().next().unwrap(), begun.elapsed())
}

/// The figure is the second audit's signature checks; the limit is the first's.
fn second(report: &mut Report, path: &Path, log: &mut Written, count: usize) {
    let (first, whole) = judged(path, &[]);
    let seen = Seen {
        head: first.signed.as_ref().unwrap().0,
        operator: first.operator.clone().unwrap(),
        former: vec![],
        name: first.name.clone(),
        sandbox: first.sandbox,
    };
    log.grow(count + NEW, &mut |_| ());
    let (again, time) = judged(path, &[seen]);
    assert_eq!(again.seen, Some(first.size));
    let (checks, all) = (again.signatures_checked, first.signatures_checked);
    let share = checks as f64 / all as f64;
    let met = if share < 0.02 { "" } else { " no" };
    report.show(SECOND, &format!(
        "{checks} signature checks after {all}: {:.2} %; target < 2 %{met}; {:.1} s after {:.1} s",
        share * 100.0,
        time.as_secs_f64(),
        whole.as_secs_f64()
    ));
}

fn receipt(report: &mut Report, path: &Path, log: &Written) {
    let reader = open(path);
    let size = reader.head(&log.ledger.0).unwrap().size;
    let checkpoint = reader.checkpoint(&log.ledger.0).unwrap().unwrap();
    let index = size / 3;
    let begun = Instant::now();
    let entry = reader.entries(&log.ledger.0, index, 1, usize::MAX).unwrap().remove(0);
    let read = |level: u32, at: u64| match level {
        0 => {
            let leaf = reader.entries(&log.ledger.0, at, 1, usize::MAX).unwrap().remove(0).leaf;
            Ok::<_, ()>(subak_ledger::log::tree::leaf_hash(&leaf))
        }
        level => Ok(reader.node(&log.ledger.0, u8::try_from(level).unwrap(), at).unwrap().unwrap()),
    };
    let path = subak_ledger::log::tree::prove_inclusion(index, size, read).unwrap();
    let (leaf, envelope) = (entry.leaf.to_vec(), entry.envelope.to_vec());
    let text = Receipt { index, leaf, envelope: envelope.clone(), path, checkpoint }.to_text();
    let made = begun.elapsed();
    let begun = Instant::now();
    let operator = log.operator.public();
    let proven = Receipt::parse(&text).unwrap().verify(log.ledger, &operator).unwrap();
    let verified = begun.elapsed();
    assert_eq!(proven.leaf.seq, index);
    // The envelope is in it as base64.
    let beside = text.len() - envelope.len().div_ceil(3) * 4;
    let met = if beside < 4_000 { "" } else { " no" };
    report.show(RECEIPT, &format!(
        "of {size} entries: {beside} bytes beside its envelope, target < 4,000{met}; made in {:.2} ms, verified in {:.2} ms",
        made.as_secs_f64() * 1e3,
        verified.as_secs_f64() * 1e3
    ));
}
