//! A run: one seed, a queue of events in the order of simulated time, and what each of them does.
//!
//! No thread, no clock, no file, no network: all chance comes from the seed, so that a run can be
//! repeated to the byte. What must hold is checked after each step for whatever it has changed.

use super::{
    check::{self, Log, Verdict, holds},
    disk::{Disk, HeadFile},
    faults::{self, Broken, Fault, Liar, Lie},
    follow::{Follower, Verified},
    found::{Founded, SHAPE_COUNT, founded},
    net::{Message, Net},
    node::Node,
    people::Person,
    rng::Rng,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use subak_ledger::store::{Head, MemoryStore, Reader as _};

/// How long people act and things fail, in simulated milliseconds.
const SPAN: u64 = 6_000;
/// When they begin: clocks may be behind the ledgers' first entries.
pub const BEGIN: u64 = 60_000;
/// How long it may take until all is delivered once nothing fails any more.
const CALM: u64 = 60_000;

#[derive(Debug, Clone, Copy)]
pub struct Config {
    pub seed: u64,
    pub broken: Broken,
    pub trace: bool,
}

/// What happened in a run, to see that the faults do happen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stats {
    pub steps: u64,
    pub entries: u64,
    pub acks: u64,
    pub taken: u64,
    pub crashes: u64,
    pub restores: u64,
    pub halted: u64,
    pub lies: u64,
    pub proofs: u64,
    pub frozen: u64,
    pub runs: u64,
}

/// Something that is going to happen.
#[derive(Debug)]
pub enum Event {
    Deliver(Message),
    Commit(usize),
    Poll(usize, usize),
    Relay(usize),
    Person(usize),
    Restart(usize),
    Fault(Fault),
}

pub struct World {
    pub config: Config,
    pub founded: Arc<Founded>,
    pub nodes: Vec<Node>,
    pub people: Vec<Person>,
    pub logs: Vec<Log>,
    pub now: u64,
    pub rng: Rng,
    pub liar: Option<Liar>,
    /// Whose database and key ring were put back together, to a time before what was shown.
    pub amnesiac: BTreeSet<usize>,
    /// Whose database was ever put back.
    pub restored: BTreeSet<usize>,
    /// The database as it was before it was put back.
    pub rescued: Vec<Option<MemoryStore>>,
    pub stats: Stats,
    pub trace: Vec<String>,
    pub net: Net,
    pub quiet: bool,
    /// How far each copy was, by reader and source.
    pub copies: BTreeMap<(usize, usize), Head>,
    pub backups: Vec<Option<(MemoryStore, HeadFile)>>,
    pub skews: Vec<i64>,
    pub round: bool,
    pub will_lie: Option<(usize, Lie)>,
    pub queue: BTreeMap<(u64, u64), Event>,
    pub tickets: u64,
    /// Nodes whose own ledger a step has changed, and copies, by reader and source.
    pub dirty: BTreeSet<usize>,
    pub dirty_copies: BTreeSet<(usize, usize)>,
    pub verified: Verified,
}

impl World {
    pub fn new(config: Config) -> Self {
        let mut rng = Rng::new(config.seed);
        let founded = founded(rng.below(SHAPE_COUNT));
        let count = founded.orgs.len();
        let skew = |rng: &mut Rng| i64::try_from(rng.below(20_000)).unwrap() - 10_000;
        let skews: Vec<i64> = (0..count).map(|_| skew(&mut rng)).collect();
        let receiver = matches!(config.broken, Broken::TakesLastPlusTwo | Broken::ForgetsItsCursor);
        let lies = rng.permille(300) || config.broken == Broken::BelievesAnything;
        let lie = rng.pick(&faults::LIES).unwrap();
        let will_lie = lies.then(|| (usize::try_from(rng.below(count as u64)).unwrap(), lie));
        let net = Net {
            drops: rng.below(200),
            doubles: rng.below(200),
            delay: rng.between(5, 150),
            cut: None,
        };
        let person = |rng: &mut Rng| Person { left: rng.between(3, 9), ..Person::default() };
        let mut world = Self {
            config,
            nodes: (0..count).map(|n| new_node(&founded, n, skews[n])).collect(),
            people: (0..count).map(|_| person(&mut rng)).collect(),
            logs: founded.orgs.iter().map(|org| org.log.clone()).collect(),
            now: BEGIN,
            liar: None,
            amnesiac: BTreeSet::new(),
            restored: BTreeSet::new(),
            rescued: (0..count).map(|_| None).collect(),
            stats: Stats { runs: 1, ..Stats::default() },
            trace: Vec::new(),
            net,
            quiet: false,
            copies: BTreeMap::new(),
            backups: (0..count).map(|_| None).collect(),
            skews,
            round: receiver || rng.permille(400),
            will_lie,
            queue: BTreeMap::new(),
            tickets: 0,
            dirty: BTreeSet::new(),
            dirty_copies: BTreeSet::new(),
            verified: Verified::new(),
            rng,
            founded,
        };
        world.begin();
        world
    }

    pub fn begin(&mut self) {
        for n in 0..self.nodes.len() {
            // Some begin without copies.
            if self.rng.permille(120) {
                self.nodes[n].disk = Disk::new(self.founded.orgs[n].bare.clone());
            }
            self.start(n);
            for follower in 0..self.founded.orgs[n].follows.len() {
                self.later(300, Event::Poll(n, follower));
            }
            self.later(300, Event::Person(n));
            if self.founded.deals.iter().any(|deal| deal.commons == n) {
                self.later(300, Event::Relay(n));
            }
        }
        let mut plan = faults::plan(&mut self.rng, self.nodes.len(), SPAN, self.will_lie.is_some());
        if self.config.broken != Broken::Nothing {
            // It is broken enough, and must not hide behind what is forgiven.
            plan.retain(|(_, fault)| !matches!(fault, Fault::Restore(..)));
        }
        for (after, fault) in plan {
            self.at(BEGIN + after, Event::Fault(fault));
        }
    }

    pub fn start(&mut self, n: usize) {
        let node = &self.nodes[n];
        let orgs = &self.founded.orgs;
        let open = |source: &usize| Follower::open(&node.disk, *source, &orgs[*source]);
        let followers = orgs[n].follows.iter().map(open).collect();
        self.nodes[n].start(&orgs[n], followers, &orgs[n].folded);
        self.dirty.insert(n);
        for source in orgs[n].follows.clone() {
            self.copied(n, source);
        }
    }

    pub fn at(&mut self, time: u64, event: Event) {
        self.tickets += 1;
        self.queue.insert((time, self.tickets), event);
    }

    /// Within so many milliseconds.
    pub fn later(&mut self, most: u64, event: Event) {
        let time = self.now + self.rng.between(1, most);
        self.at(time, event);
    }

    pub fn note(&mut self, what: impl FnOnce() -> String) {
        if self.config.trace {
            let line = format!("{:>6} ms  {}", self.now - BEGIN, what());
            self.trace.push(line);
        }
    }

    pub fn name(&self, n: usize) -> &str {
        &self.founded.orgs[n].name
    }

    /// Whether an operator has one history: it does not lie, and was not made to forget.
    pub fn bound(&self, n: usize) -> bool {
        self.will_lie.is_none_or(|(liar, _)| liar != n) && !self.amnesiac.contains(&n)
    }

    /// Runs until people have done what they wanted and faults end.
    pub fn act(&mut self) -> Verdict {
        while self.queue.first_key_value().is_some_and(|((at, _), _)| *at < BEGIN + SPAN) {
            self.step()?;
        }
        Ok(())
    }

    /// Ends all faults: networks heal, processes and clocks are put right.
    pub fn calm(&mut self) -> Verdict {
        self.queue.retain(|_, event| !matches!(event, Event::Fault(_) | Event::Restart(_)));
        // What clocks that leapt have recorded is past by then.
        self.now = self.now.max(BEGIN + SPAN) + 40_000;
        self.quiet = true;
        self.net = Net { drops: 0, doubles: 0, delay: 5, cut: None };
        self.note(|| "--- nothing fails any more ---".into());
        for n in 0..self.nodes.len() {
            let node = &mut self.nodes[n];
            (node.disk.fault, node.heads.fault, node.death) = (None, None, None);
            // A clock that is put right is believed by a new process.
            let right = node.skew == self.skews[n];
            node.skew = self.skews[n];
            if node.process.is_none() || !right || self.rng.permille(200) {
                self.crash(n);
                self.start(n);
            }
            self.people[n].left = self.people[n].left.min(1) + 1;
        }
        self.check()
    }

    /// Goes on until everything is delivered.
    pub fn settle(&mut self, settled: impl Fn(&mut Self) -> Result<(), String>) -> Verdict {
        let until = self.now + CALM;
        loop {
            for _ in 0..40 {
                self.step()?;
            }
            match settled(self) {
                Ok(()) => return Ok(()),
                Err(what) if self.now > until => return Err(format!("never delivered: {what}")),
                Err(_) => {}
            }
        }
    }

    pub fn step(&mut self) -> Verdict {
        let Some(((at, _), event)) = self.queue.pop_first() else {
            return Err("nothing is scheduled any more".into());
        };
        self.now = self.now.max(at);
        self.stats.steps += 1;
        self.happen(event)?;
        self.check()
    }

    pub fn happen(&mut self, event: Event) -> Verdict {
        match event {
            Event::Deliver(message) => self.deliver(message),
            Event::Commit(n) => self.commit(n),
            Event::Poll(n, follower) => {
                self.later(if self.quiet { 60 } else { 500 }, Event::Poll(n, follower));
                self.poll(n, follower);
                Ok(())
            }
            Event::Relay(n) => {
                self.later(if self.quiet { 60 } else { 400 }, Event::Relay(n));
                self.relay(n);
                Ok(())
            }
            Event::Person(n) => {
                self.later(if self.quiet { 60 } else { 700 }, Event::Person(n));
                self.person(n);
                Ok(())
            }
            Event::Restart(n) => {
                if self.nodes[n].process.is_none() {
                    self.note_node(n, "restarts");
                    self.start(n);
                }
                Ok(())
            }
            Event::Fault(fault) => self.fault(fault),
        }
    }

    pub fn note_node(&mut self, n: usize, what: &str) {
        if self.config.trace {
            let line = format!("{:<5} {what}", self.name(n));
            self.note(|| line);
        }
    }

    /// Checks what the step has changed.
    pub fn check(&mut self) -> Verdict {
        for n in std::mem::take(&mut self.dirty) {
            self.check_node(n).map_err(|what| format!("{}: {what}", self.name(n)))?;
        }
        for (n, source) in std::mem::take(&mut self.dirty_copies) {
            self.check_copy(n, source).map_err(|what| format!("{}: {what}", self.name(n)))?;
        }
        Ok(())
    }

    pub fn check_node(&mut self, n: usize) -> Verdict {
        let founded = self.founded.clone();
        let (ledger, bound) = (founded.orgs[n].ledger, self.bound(n));
        self.logs[n].sync(&self.nodes[n], ledger, bound)?;
        let node = &self.nodes[n];
        check::ledger(node, ledger)?;
        if bound && !self.restored.contains(&n) {
            self.logs[n].keeps_its_word(node.disk.store.head(&ledger.0).unwrap())?;
        }
        for deal in founded.deals.iter().filter(|deal| deal.payer == n || deal.commons == n) {
            let (payer, commons) = (&self.nodes[deal.payer], &self.nodes[deal.commons]);
            check::exactly_once(deal, &self.logs[deal.payer], payer, commons)?;
        }
        Ok(())
    }

    /// A copy only grows, and is a prefix of what its operator has made durable.
    pub fn check_copy(&mut self, n: usize, source: usize) -> Verdict {
        let ledger = self.founded.orgs[source].ledger;
        let store = &self.nodes[n].disk.store;
        let (head, name) = (store.head(&ledger.0).unwrap(), &self.founded.orgs[source].name);
        if !self.logs[source].has(head) {
            let bound = self.bound(source);
            self.logs[source].sync(&self.nodes[source], ledger, bound)?;
            holds(self.logs[source].has(head), || {
                format!("its copy of {name} is of no history of its operator's: {head}")
            })?;
        }
        let before = self.copies.insert((n, source), head).unwrap_or(Head::EMPTY);
        if before.size == 0 {
            return Ok(());
        }
        let there = store.entries(&ledger.0, before.size - 1, 1, 0).unwrap();
        holds(there.first().is_some_and(|entry| entry.chain == before.chain), || {
            format!("its copy of {name} does not go on from {before}, it is {head}")
        })
    }
}

fn new_node(founded: &Founded, n: usize, skew: i64) -> Node {
    let org = &founded.orgs[n];
    let mut heads = HeadFile::default();
    let note = org.store.checkpoint(&org.ledger.0).unwrap().unwrap();
    heads.keep(&note).unwrap();
    Node {
        disk: Disk::new(org.store.clone()),
        heads,
        mark: None,
        evidence: BTreeMap::new(),
        skew,
        death: None,
        process: None,
        last: org.folded.clone(),
    }
}
