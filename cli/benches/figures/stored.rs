//! A log that is there already: the full audit of it, and its cold open.

use crate::{
    limits,
    report::{Report, Round, Row, Unit, rate},
    world::{Author, DAY_MS, encode, genesis, key, now, person, statement, validate, work_before},
};
use std::{path::Path, time::Instant};
use subak_ledger::{
    audit::{Options, Verdict, audit},
    log::{Basis, LedgerId, SecretKey},
    store::{Batch, SqliteReader, SqliteStore, Store as _},
};
use subak_node::{
    Ledgers as _,
    runtime::Node,
    sequencer::{Sequencer, decode},
};
use subak_proto::v1::event::Kind;
use tokio::runtime::Runtime;

const AUDIT: &str = "audit, single-event statements";
const OPEN: &str = "cold open, single-event statements";

pub fn figures(report: &mut Report) {
    if !report.wants(AUDIT) && !report.wants(OPEN) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stored.db");
    let count = report.size(200_000, 20_000);
    let (ledger, envelopes) = write(&path, count);
    report.note(&format!("a log of {} statements", envelopes.len()));
    if report.wants(AUDIT) {
        let row = Row {
            name: AUDIT.into(),
            unit: Unit::PerSecond("entries"),
            limit: "verify_strict on all cores".into(),
            target: Some(0.8),
        };
        let round = || Round {
            limit: limits::strict(&envelopes),
            figure: audit_rate(&path, envelopes.len()),
        };
        report.add(&row, (0..report.size(5, 1)).map(|_| round()).collect());
    }
    if report.wants(OPEN) {
        let runtime = Runtime::new().unwrap();
        let row = Row {
            name: OPEN.into(),
            unit: Unit::PerSecond("entries"),
            limit: "SELECT of the same rows, in order, and BLAKE3 of each".into(),
            target: None,
        };
        let round = || Round {
            limit: limits::scan(&path),
            figure: runtime.block_on(open_rate(&path, ledger, envelopes.len())),
        };
        report.add(&row, (0..report.size(5, 1)).map(|_| round()).collect());
    }
}

fn audit_rate(path: &Path, entries: usize) -> f64 {
    let begun = Instant::now();
    let reader = SqliteReader::open(path).unwrap();
    reader.freeze().unwrap();
    let result = audit(&reader, &Options::default()).unwrap();
    assert_eq!(result.verdict, Verdict::Sound, "{:?}", result.findings);
    assert_eq!(result.ledgers[0].size, entries as u64);
    rate(entries, begun.elapsed())
}

/// From a path to the folded book. The file's pages are in the system's cache.
async fn open_rate(path: &Path, ledger: LedgerId, entries: usize) -> f64 {
    let begun = Instant::now();
    let node = Node::open_reader(path).await.unwrap();
    assert_eq!(node.book(ledger).await.unwrap().size, entries as u64);
    rate(entries, begun.elapsed())
}

/// Statements that are appended at once.
const GROUP: usize = 1_000;

/// A log of fifty people's work, every tenth statement a validation, stored as a node
/// stores it; returns what was signed.
fn write(path: &Path, count: usize) -> (LedgerId, Vec<Vec<u8>>) {
    let mut log = Written::open(path, Pace::AT_ONCE);
    let mut envelopes = Vec::new();
    log.grow(count, &mut |envelope| envelopes.push(envelope));
    (log.ledger, envelopes)
}

/// When the entries of a log are recorded, and how long their statements are valid, ms.
#[derive(Clone, Copy)]
pub struct Pace {
    pub ago: u64,
    pub step: u64,
    pub lifetime: u64,
}

impl Pace {
    /// All at the same time.
    pub const AT_ONCE: Self = Self { ago: 0, step: 0, lifetime: DAY_MS };
}

/// A log that grows as a node would write it.
pub struct Written {
    pub ledger: LedgerId,
    pub operator: SecretKey,
    genesis: Vec<u8>,
    author: Author,
    people: Vec<String>,
    store: SqliteStore,
    sequencer: Sequencer,
    at: u64,
    step: u64,
    size: usize,
}

impl Written {
    /// A new file, with no entry yet.
    pub fn open(path: &Path, pace: Pace) -> Self {
        let at = now() - pace.ago;
        let author = |ledger| Author::of(ledger, at, pace.lifetime);
        let operator = key("operator");
        let opened = genesis(operator.public().bytes(), key("clerk").public().bytes());
        let genesis = author(LedgerId::ZERO).say(vec![encode(Kind::Genesis(opened))]);
        let ledger = subak_ledger::log::entry::ledger_id_of_genesis(statement(&genesis).body());
        Self {
            ledger,
            operator,
            genesis,
            author: author(ledger),
            people: (0..50).map(|n| format!("person-{n}")).collect(),
            store: SqliteStore::open_writer(path, true).unwrap(),
            sequencer: Sequencer::default(),
            at,
            step: pace.step,
            size: 0,
        }
    }

    /// Goes on until there are `count` entries; `signed` is given each statement.
    pub fn grow(&mut self, count: usize, signed: &mut dyn FnMut(Vec<u8>)) {
        while self.size < count {
            for n in self.size..count.min(self.size + GROUP) {
                let envelope = self.statement(n);
                let said = statement(&envelope);
                self.sequencer.admit(&said, &decode(&said), None, self.at).unwrap();
                self.size += 1;
                self.at += self.step;
                self.author.at = self.at;
                signed(envelope);
            }
            self.commit();
        }
    }

    fn statement(&mut self, n: usize) -> Vec<u8> {
        let entry = n as u64;
        match n {
            0 => self.genesis.clone(),
            1..=50 => self.author.say(vec![person(&self.people[n - 1])]),
            // Work of the group before: what the author has seen.
            _ if n % 10 == 9 && n > GROUP + 70 => {
                let group = GROUP as u64;
                self.author.say(vec![validate(entry - group - 9, entry - group - 1)])
            }
            _ => {
                let who = &self.people[n % self.people.len()];
                self.author.say(vec![work_before(self.at, who, n)])
            }
        }
    }

    fn commit(&mut self) {
        let effects = self.sequencer.effects().unwrap();
        let note = effects.head.sign(&self.operator);
        let batch = Batch {
            ledger: self.ledger.0,
            name: "measured",
            expected: effects.expected,
            entries: effects.entries,
            nodes: effects.nodes,
            checkpoint: Some(&note),
            disclosures: &[],
            erasures: &[],
        };
        self.store.append(&[batch]).unwrap();
        self.sequencer.committed();
        let head = self.sequencer.head();
        self.author.basis = Some(Basis { size: head.size, chain: head.chain });
    }
}
