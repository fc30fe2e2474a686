//! A run: one seed, a queue of events in the order of simulated time, and what each of them does.
//!
//! No thread, no clock, no file, no network: all chance comes from the seed, so that a run can be
//! repeated to the byte. What must hold is checked after each step for whatever it has changed.

use super::{
    check::{self, Log, Verdict, holds},
    disk::{Disk, HeadFile},
    faults::{self, Broken, Fault, Liar, Lie, transplant, twin},
    follow::{Follower, Next, Told, Verified, fraud},
    found::{Deal, Founded, SHAPE_COUNT, founded, handle, key, sign},
    net::{Addr, Answer, Appended, Ask, Body, Failure, Message, Net},
    node::{Node, Order, tree_node},
    people::{Pending, Person, View},
    relay,
    rng::Rng,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use subak_ledger::{
    book::agreement::Progress,
    log::{Header, fraud::FraudProof, tree},
    store::{Head, MemoryStore, Reader as _},
};
use subak_node::{RawEntry, fold::Folded, follow::copy, sequencer::Sequencer};

/// How long people act and things fail, in simulated milliseconds.
const SPAN: u64 = 6_000;
/// When they begin: clocks may be behind the ledgers' first entries.
const BEGIN: u64 = 60_000;
/// How long it may take until all is delivered once nothing fails any more.
const CALM: u64 = 60_000;
/// After which a person asks again.
const PATIENCE: u64 = 500;

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

#[derive(Debug)]
enum Event {
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
    copies: BTreeMap<(usize, usize), Head>,
    backups: Vec<Option<(MemoryStore, HeadFile)>>,
    skews: Vec<i64>,
    round: bool,
    will_lie: Option<(usize, Lie)>,
    queue: BTreeMap<(u64, u64), Event>,
    tickets: u64,
    dirty: BTreeSet<usize>,
    verified: Verified,
}

impl World {
    pub fn new(config: Config) -> Self {
        let mut rng = Rng::new(config.seed);
        let founded = founded(rng.below(SHAPE_COUNT));
        let count = founded.orgs.len();
        let skew = |rng: &mut Rng| i64::try_from(rng.below(20_000)).unwrap() - 10_000;
        let skews: Vec<i64> = (0..count).map(|_| skew(&mut rng)).collect();
        let receiver =
            matches!(config.broken, Broken::TakesLastPlusTwo | Broken::ForgetsItsCursor);
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
            verified: Verified::new(),
            rng,
            founded,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
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
        let mut plan =
            faults::plan(&mut self.rng, self.nodes.len(), SPAN, self.will_lie.is_some());
        if self.config.broken != Broken::Nothing {
            // It is broken enough, and must not hide behind what is forgiven.
            plan.retain(|(_, fault)| !matches!(fault, Fault::Restore(..)));
        }
        for (after, fault) in plan {
            self.at(BEGIN + after, Event::Fault(fault));
        }
    }

    fn start(&mut self, n: usize) {
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

    fn at(&mut self, time: u64, event: Event) {
        self.tickets += 1;
        self.queue.insert((time, self.tickets), event);
    }

    /// Within so many milliseconds.
    fn later(&mut self, most: u64, event: Event) {
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
            node.skew = self.skews[n];
            // Also those that run: a clock that was put right is believed by a new process.
            self.crash(n);
            self.start(n);
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

    fn step(&mut self) -> Verdict {
        let Some(((at, _), event)) = self.queue.pop_first() else {
            return Err("nothing is scheduled any more".into());
        };
        self.now = self.now.max(at);
        self.stats.steps += 1;
        self.happen(event)?;
        self.check()
    }

    fn happen(&mut self, event: Event) -> Verdict {
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

    fn note_node(&mut self, n: usize, what: &str) {
        if self.config.trace {
            let line = format!("{:<5} {what}", self.name(n));
            self.note(|| line);
        }
    }

    // ---- messages ----

    fn send(&mut self, from: Addr, to: Addr, id: u64, body: Body) {
        for after in self.net.arrivals(&mut self.rng, from, to) {
            let message = Message { from, to, id, body: body.clone() };
            self.at(self.now + after, Event::Deliver(message));
        }
    }

    fn ask(&mut self, from: Addr, to: Addr, ask: Ask) -> u64 {
        self.tickets += 1;
        let id = self.tickets;
        self.send(from, to, id, Body::Ask(ask));
        id
    }

    fn deliver(&mut self, message: Message) -> Verdict {
        let Message { from, to, id, body } = message;
        match (to, body) {
            (Addr::Node(n), Body::Ask(ask)) => {
                if self.nodes[n].process.is_none() {
                    return Ok(());
                }
                if let Some(answer) = self.serve(n, from, id, ask)? {
                    self.send(to, from, id, Body::Answer(answer));
                }
                Ok(())
            }
            (Addr::Node(n), Body::Answer(answer)) => self.followed(n, id, answer),
            (Addr::Person(n), Body::Answer(answer)) => self.answered(n, id, answer),
            (Addr::Person(_), Body::Ask(_)) => unreachable!("nobody asks people"),
        }
    }

    /// What an operator shows to whoever asks: the liar has two histories.
    fn view(&mut self, n: usize, asker: Addr) -> Option<MemoryStore> {
        let liar = self.liar.as_ref().filter(|liar| liar.org == n)?;
        let reader = matches!(asker, Addr::Node(reader) if liar.readers.contains(&reader));
        let turns = liar.lie == Lie::OldHead && self.rng.permille(500);
        (reader && !turns).then(|| liar.twin.clone()).flatten()
    }

    fn serve(&mut self, n: usize, from: Addr, id: u64, ask: Ask) -> Result<Option<Answer>, String> {
        let org = self.founded.orgs[n].ledger;
        let twin = self.view(n, from);
        let founded = self.founded.clone();
        let node = &mut self.nodes[n];
        Ok(Some(match ask {
            Ask::Append(envelope) => {
                let lies = self.liar.as_ref().is_some_and(|l| l.org == n && l.lie == Lie::FalseAck);
                if lies && self.rng.permille(500) {
                    return Ok(self.false_answer(n, &envelope).map(Answer::Appended));
                }
                let node = &mut self.nodes[n];
                node.process().queue.push(Order { envelope, asker: Some((from, id)) });
                self.later(8, Event::Commit(n));
                return Ok(None);
            }
            Ask::Checkpoint(ledger) => {
                let note = match &twin {
                    Some(twin) => Ok(twin.checkpoint(&ledger.0).unwrap().unwrap()),
                    None => node.checkpoint(&founded.orgs[n]),
                };
                match note {
                    Ok(note) => {
                        self.shown(n, &note)?;
                        Answer::Checkpoint(note)
                    }
                    Err(failure) => Answer::Failed(failure),
                }
            }
            Ask::Entries { ledger, from, limit } => {
                let store = twin.as_ref().unwrap_or(&node.disk.store);
                let found = store.entries(&ledger.0, from, limit, usize::MAX).unwrap();
                let raw = |e: subak_ledger::store::StoredEntry| RawEntry {
                    seq: e.seq,
                    leaf: e.leaf,
                    envelope: e.envelope,
                };
                Answer::Entries(found.into_iter().map(raw).collect())
            }
            Ask::Consistency { ledger, old, new } => {
                let store = twin.as_ref().unwrap_or(&node.disk.store);
                let read = |level, index| tree_node(store, ledger.0, level, index).ok_or(());
                match tree::prove_consistency(old, new, read) {
                    Ok(proof) => Answer::Consistency(proof),
                    Err(()) => Answer::Failed(Failure::world("not-found")),
                }
            }
            Ask::Challenge { ledger, note } => {
                let lies = self.liar.as_ref().is_some_and(|liar| liar.org == n);
                assert_eq!(ledger, org, "a challenge goes to the operator");
                if !lies && self.challenge(n, &note)? {
                    return Ok(Some(Answer::Failed(Failure::world("older-database"))));
                }
                Answer::Challenged
            }
        }))
    }

    /// Shows a node a head of its own. Whether it halts.
    pub fn challenge(&mut self, n: usize, note: &str) -> Result<bool, String> {
        let org = &self.founded.clone().orgs[n];
        let was = self.nodes[n].halted().is_some();
        let told = self.nodes[n].challenge(org, note);
        let halts = self.nodes[n].halted().is_some();
        if halts && !was {
            let why = self.nodes[n].halted().unwrap_or_default().to_owned();
            self.note_node(n, &format!("halts: {why}"));
            let behind = self.restored.contains(&n) || !self.bound(n);
            holds(behind, || format!("{} halts: {why}, {told:?}", org.name))?;
        }
        Ok(halts)
    }

    /// A head leaves a node.
    fn shown(&mut self, n: usize, note: &str) -> Verdict {
        if !self.bound(n) {
            return Ok(());
        }
        let org = &self.founded.orgs[n];
        self.logs[n].sync(&self.nodes[n], org.ledger, true)?;
        self.logs[n].show(note, self.nodes[n].heads.synced.as_deref())
    }

    // ---- the writer ----

    fn commit(&mut self, n: usize) -> Verdict {
        let org = &self.founded.clone().orgs[n];
        let node = &mut self.nodes[n];
        if node.process.as_ref().is_none_or(|process| process.queue.is_empty()) {
            return Ok(());
        }
        let first = self.config.broken == Broken::AcknowledgesFirst;
        let committed = node.commit(org, self.now, first);
        self.dirty.insert(n);
        for (order, answer) in committed.answers {
            let done = match &answer {
                Ok(appended) => {
                    if self.bound(n) {
                        self.logs[n].acknowledge(appended.entry, &order.envelope);
                        if !first {
                            self.shown(n, &appended.checkpoint)?;
                        }
                    }
                    self.stats.acks += 1;
                    format!("entry {}", appended.entry)
                }
                Err(failure) => failure.code.clone(),
            };
            let whom = if order.asker.is_some() { "a person" } else { "the clerk" };
            self.note_node(n, &format!("answers {whom}: {done}"));
            if let Some((asker, id)) = order.asker {
                let answer = answer.map_or_else(Answer::Failed, Answer::Appended);
                self.send(Addr::Node(n), asker, id, Body::Answer(answer));
            }
        }
        if let Some(death) = committed.died {
            self.note_node(n, &format!("dies {death:?}"));
            self.crash(n);
            self.later(800, Event::Restart(n));
        }
        Ok(())
    }

    // ---- people ----

    fn person(&mut self, n: usize) {
        let person = &mut self.people[n];
        if person.pending.is_none() && person.left > 0 {
            // They look at what their node shows.
            if self.nodes[n].process.is_none() {
                return;
            }
            let sent = self.founded.deals.iter().map(|deal| {
                let payer = self.nodes[deal.payer].last.state.agreements.get(&deal.digest);
                payer.filter(|a| a.progress == Progress::Active).map_or(0, |a| a.cash)
            });
            let view = View {
                org: n,
                founded: &self.founded,
                book: &self.nodes[n].last.state,
                sent: sent.collect(),
                round: self.round,
                now: self.now,
            };
            let Some((envelope, what)) = person.decide(&view, &mut self.rng) else { return };
            person.left -= 1;
            person.pending = Some(Pending { envelope, what, asked: None });
        }
        let now = self.now;
        let due = |pending: &&mut Pending| pending.asked.is_none_or(|(_, at)| now > at + PATIENCE);
        let Some(pending) = person.pending.as_mut().filter(due) else { return };
        let (envelope, what) = (pending.envelope.clone(), pending.what);
        let id = self.ask(Addr::Person(n), Addr::Node(n), Ask::Append(envelope));
        self.people[n].pending.as_mut().expect("as above").asked = Some((id, now));
        self.note_node(n, &format!("is sent: {what}"));
    }

    fn answered(&mut self, n: usize, id: u64, answer: Answer) -> Verdict {
        let person = &mut self.people[n];
        let open = person.pending.as_ref().and_then(|pending| pending.asked);
        if open.is_none_or(|(asked, _)| asked != id) {
            return Ok(());
        }
        match answer {
            Answer::Appended(appended) => {
                let org = &self.founded.orgs[n];
                let proven = person.receive(org.ledger, &org.operator.public(), appended);
                proven.map_err(|what| format!("an answer of {} proves nothing: {what}", org.name))
            }
            // A rule refuses it: for good, or because it is recorded already.
            Answer::Failed(failure) if failure.refused => {
                person.pending = None;
                Ok(())
            }
            _ => Ok(()), // it is asked again
        }
    }

    /// An acknowledgement of what is not recorded, proven under a signed head.
    fn false_answer(&mut self, n: usize, envelope: &prost::bytes::Bytes) -> Option<Appended> {
        let org = &self.founded.orgs[n];
        let statement = super::found::verified(envelope).ok()?;
        let mut sequencer = Sequencer::new(self.nodes[n].last.clone());
        let events = subak_node::sequencer::decode(&statement);
        let now = self.nodes[n].reading(self.now).wall;
        let entry = sequencer.admit(&statement, &events, None, now).ok()?;
        let (leaf, path) = sequencer.prove(entry)?;
        let checkpoint = sequencer.effects()?.head.sign(&org.operator);
        self.note_node(n, &format!("lies: acknowledges entry {entry}"));
        Some(Appended { entry, leaf, path, checkpoint })
    }

    // ---- following ----

    fn poll(&mut self, n: usize, place: usize) {
        let now = self.now;
        let founded = self.founded.clone();
        if self.nodes[n].halted().is_some() {
            return; // then it copies nothing either
        }
        let Node { process, disk, evidence, .. } = &mut self.nodes[n];
        let Some(process) = process.as_mut() else { return };
        let follower = &mut process.followers[place];
        let source = follower.source;
        if evidence.contains_key(&source) || !follower.is_idle(now) {
            return;
        }
        // A write that failed may be there all the same.
        if disk.store.head(&follower.ledger.0).unwrap().size != follower.copy.size() {
            *follower = Follower::open(disk, source, &founded.orgs[source]);
        }
        let ask = Ask::Checkpoint(follower.ledger);
        let id = self.ask(Addr::Node(n), Addr::Node(source), ask);
        self.nodes[n].process().followers[place].open = Some((id, now));
    }

    fn followed(&mut self, n: usize, id: u64, answer: Answer) -> Verdict {
        let founded = self.founded.clone();
        let page = usize::try_from(self.rng.between(1, 6)).unwrap();
        let Node { process, disk, .. } = &mut self.nodes[n];
        let Some(process) = process.as_mut() else { return Ok(()) };
        let open = |f: &&mut Follower| f.open.is_some_and(|(asked, _)| asked == id);
        let Some(follower) = process.followers.iter_mut().find(open) else { return Ok(()) };
        follower.open = None;
        let source = follower.source;
        let name = &founded.orgs[source].name;
        let next = match answer {
            Answer::Checkpoint(note) => follower.head(note, page),
            Answer::Entries(page) => {
                follower.entries(page, disk, name, (&mut self.verified, &mut self.rng))
            }
            Answer::Consistency(proof) => follower.proof(&proof, disk, name),
            _ => {
                follower.copy.failed();
                Next::Rest
            }
        };
        let ask = match next {
            Next::Rest => None,
            Next::Ask(ask) => Some(ask),
            Next::Stored(ask) => {
                let size = follower.copy.size();
                self.note_node(n, &format!("has {size} entries of {name}"));
                self.copied(n, source);
                ask
            }
            Next::Fault(fault) => return self.doubt(n, source, &fault),
        };
        if let Some(ask) = ask {
            let id = self.ask(Addr::Node(n), Addr::Node(source), ask);
            let process = self.nodes[n].process();
            let follower = process.followers.iter_mut().find(|f| f.source == source);
            follower.expect("as above").open = Some((id, self.now));
        }
        Ok(())
    }

    fn copied(&mut self, n: usize, source: usize) {
        self.copies.entry((n, source)).or_insert(Head::EMPTY);
        self.dirty.insert(n);
    }

    /// What a source has sent is not taken. Who did not lie and did not forget is never doubted.
    fn doubt(&mut self, n: usize, source: usize, fault: &copy::Fault) -> Verdict {
        let name = self.name(source).to_owned();
        self.note_node(n, &format!("doubts {name}: {fault:?}"));
        let may = !self.bound(source) || self.restored.contains(&source);
        holds(may, || format!("{name} is honest, and doubted: {fault:?}"))?;
        let founded = self.founded.clone();
        let org = &founded.orgs[source];
        let twin = self.view(source, Addr::Node(n));
        let theirs = twin.unwrap_or_else(|| self.nodes[source].disk.store.clone());
        if self.config.broken == Broken::BelievesAnything {
            let node = &mut self.nodes[n];
            node.disk.store = transplant(&node.disk.store, org.ledger.0, &theirs);
            let follower = Follower::open(&node.disk, source, org);
            let all = &mut node.process().followers;
            *all.iter_mut().find(|f| f.source == source).expect("it follows") = follower;
            self.copied(n, source);
            return Ok(());
        }
        let ours = self.nodes[n].disk.store.clone();
        let notes = (ours.checkpoint(&org.ledger.0), theirs.checkpoint(&org.ledger.0));
        let (Ok(Some(note)), Ok(Some(other))) = notes else { return Ok(()) };
        let operator = org.operator.public();
        let (ours, theirs) =
            (Told { store: &ours, note: &note }, Told { store: &theirs, note: &other });
        if let Some(proof) = fraud(org.ledger, &operator, ours, theirs) {
            self.convict(n, source, &proof)?;
        }
        let challenge = Ask::Challenge { ledger: org.ledger, note };
        self.ask(Addr::Node(n), Addr::Node(source), challenge);
        Ok(())
    }

    /// A proof of two histories is kept, once a third person could verify it.
    fn convict(&mut self, n: usize, source: usize, proof: &FraudProof) -> Verdict {
        let org = &self.founded.orgs[source];
        let text = proof.to_text();
        let read = FraudProof::parse(&text).and_then(|it| it.verify(&org.operator.public()));
        holds(read.is_ok(), || format!("a proof against {} does not verify: {read:?}", org.name))?;
        holds(!self.bound(source), || format!("{} is honest, and convicted", org.name))?;
        self.stats.proofs += 1;
        self.note_node(n, "keeps a fraud proof");
        self.nodes[n].evidence.insert(source, text);
        Ok(())
    }

    // ---- relaying ----

    fn relay(&mut self, n: usize) {
        let founded = self.founded.clone();
        let waits = |order: &Order| order.asker.is_none();
        let busy = |process: &super::node::Process| process.queue.iter().any(waits);
        if self.nodes[n].process.as_ref().is_none_or(busy) {
            return;
        }
        for deal in founded.deals.iter().filter(|deal| deal.commons == n) {
            if self.nodes[n].evidence.contains_key(&deal.payer) {
                continue;
            }
            let memory = self.misremember(n, deal);
            let sound = memory.as_ref().map(|m| std::mem::replace(&mut self.nodes[n].last, m.clone()));
            let (org, payer) = (&founded.orgs[n], &founded.orgs[deal.payer]);
            let whose = (&org.name[..], org.ledger);
            let clock = (self.now, &mut self.rng);
            let said = relay::statement(&self.nodes[n], whose, payer.ledger, deal, clock);
            if let Some(sound) = sound {
                self.nodes[n].last = sound;
            }
            if let Some(envelope) = said {
                let process = self.nodes[n].process();
                process.queue.push(Order { envelope, asker: None });
                process.misremembers = memory;
                self.later(8, Event::Commit(n));
            }
        }
    }

    /// The broken receivers: what the book in the memory of this node is while it relays.
    fn misremember(&mut self, n: usize, deal: &Deal) -> Option<Folded> {
        let broken = self.config.broken;
        if !matches!(broken, Broken::TakesLastPlusTwo | Broken::ForgetsItsCursor) {
            return None;
        }
        let process = self.nodes[n].process.as_ref()?;
        let follower = process.followers.iter().find(|f| f.source == deal.payer)?;
        let last = follower.copy.book().agreements.get(&deal.digest)?.dues.last;
        let open = process.open.as_ref()?;
        let mut folded: Folded = open.sequencer.durable().clone();
        let state = Arc::make_mut(&mut folded.state);
        let agreement = Arc::make_mut(state.agreements.get_mut(&deal.digest).unwrap());
        let dues = &mut agreement.dues;
        match broken {
            Broken::TakesLastPlusTwo if dues.last + 2 <= last => dues.last += 1,
            Broken::ForgetsItsCursor if self.rng.permille(250) => {
                let item = dues.items.remove(&dues.last)?;
                dues.origins.remove(&item.origin);
                agreement.sources.remove(&dues.last);
                dues.last -= 1;
            }
            _ => return None,
        }
        Some(folded)
    }

    /// Anyone may relay: somebody shows a commons what the liar has told somebody else.
    fn stranger(&mut self) {
        let Some(liar) = &self.liar else { return };
        let (Some(twin), org) = (liar.twin.clone(), liar.org) else { return };
        let founded = self.founded.clone();
        let Ok(Some(note)) = twin.checkpoint(&founded.orgs[org].ledger.0) else { return };
        for deal in founded.deals.iter().filter(|deal| deal.payer == org) {
            let (node, of) = (&self.nodes[deal.commons], &founded.orgs[deal.commons]);
            let Some(own) = node.last.state.agreements.get(&deal.digest) else { continue };
            let told = twin.entries(&founded.orgs[org].ledger.0, 0, usize::MAX, usize::MAX);
            let other = told.unwrap().into_iter().find(|entry| {
                let dues = Log::dues(&entry.envelope);
                let source = *blake3::hash(&entry.envelope).as_bytes();
                let first = dues.iter().find(|due| due.agreement == deal.digest);
                let known = first.and_then(|due| own.sources.get(&due.number));
                known.is_some_and(|known| *known != source)
            });
            let Some(entry) = other else { continue };
            let payer = founded.orgs[org].ledger;
            let Some(take) = relay::take(&twin, payer, deal.digest, entry.seq, &note) else {
                continue;
            };
            let (at, day) = (super::found::START + self.now, super::found::DAY);
            let header = Header {
                ledger: of.ledger,
                author: handle("ana"),
                nonce: self.rng.nonce(),
                created_at: at,
                expires_at: at + day,
                basis: None,
            };
            let envelope = sign(header, &key(&format!("ana of {}", of.name)), vec![take]);
            if let Some(process) = self.nodes[deal.commons].process.as_mut() {
                process.queue.push(Order { envelope, asker: None });
                self.later(8, Event::Commit(deal.commons));
            }
        }
    }

    // ---- faults ----

    fn crash(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.process = None;
        node.disk.restart(&mut self.rng);
        node.heads.crash(&mut self.rng);
        self.dirty.insert(n);
    }

    fn fault(&mut self, fault: Fault) -> Verdict {
        self.note(|| format!("fault: {fault:?}"));
        match fault {
            Fault::Crash(n) => {
                self.stats.crashes += 1;
                self.crash(n);
                self.later(1_500, Event::Restart(n));
            }
            Fault::Disk(n, fault) => self.nodes[n].disk.fault = Some(fault),
            Fault::Head(n, fault) => self.nodes[n].heads.fault = Some(fault),
            Fault::Die(n, death) => self.nodes[n].death = Some(death),
            Fault::Clock(n, by) => self.nodes[n].skew += by,
            Fault::Cut(sides) => {
                let side = |n: usize| sides >> n & 1 == 1;
                self.net.cut = Some((0..self.nodes.len()).map(side).collect());
            }
            Fault::Heal => self.net.cut = None,
            Fault::Backup(n) => {
                let node = &self.nodes[n];
                self.backups[n] = Some((node.disk.store.clone(), node.heads.clone()));
            }
            Fault::Restore(n, ring_too) => self.restore(n, ring_too),
            Fault::Lie => self.lie()?,
            Fault::Stranger => self.stranger(),
        }
        Ok(())
    }

    fn restore(&mut self, n: usize, ring_too: bool) {
        let Some((store, heads)) = self.backups[n].clone() else { return };
        self.crash(n);
        let id = self.founded.orgs[n].ledger.0;
        let older = store.head(&id).unwrap() != self.nodes[n].disk.store.head(&id).unwrap();
        self.stats.restores += 1;
        self.restored.insert(n);
        // What was put back is an old copy only if something was lost by it.
        if older && ring_too {
            self.amnesiac.insert(n);
        }
        let old = std::mem::replace(&mut self.nodes[n].disk, Disk::new(store));
        self.rescued[n] = Some(old.store);
        if ring_too {
            self.nodes[n].heads = heads;
        }
        // Its copies are those of then.
        self.copies.retain(|(reader, _), _| *reader != n);
        self.later(500, Event::Restart(n));
    }

    fn lie(&mut self) -> Verdict {
        let Some((n, lie)) = self.will_lie else { return Ok(()) };
        let founded = self.founded.clone();
        let org = &founded.orgs[n];
        self.note_node(n, &format!("begins to lie: {lie:?}"));
        self.stats.lies += 1;
        let readers: Vec<usize> =
            (0..founded.orgs.len()).filter(|r| founded.orgs[*r].follows.contains(&n)).collect();
        let few = self.rng.pick(&readers).into_iter().collect();
        let store = &self.nodes[n].disk.store;
        let size = store.head(&org.ledger.0).unwrap().size;
        let keep = size.saturating_sub(self.rng.below(4)).max(org.folded.state.size);
        let mut liar = Liar { org: n, lie, twin: None, readers: few };
        match lie {
            Lie::TwoStories => {
                liar.twin = Some(twin(org, store, keep, (self.now, &mut self.rng)));
            }
            Lie::Withhold | Lie::OldHead => liar.twin = Some(store.clone()),
            Lie::FalseAck => {}
            Lie::Rewrite => {
                let fork = twin(org, store, keep, (self.now, &mut self.rng));
                let store = transplant(store, org.ledger.0, &fork);
                self.crash(n);
                // The head file would tell.
                self.nodes[n].disk = Disk::new(store);
                self.nodes[n].heads = HeadFile::default();
                self.start(n);
            }
        }
        if let Some(twin) = liar.twin.as_ref().filter(|_| lie == Lie::TwoStories) {
            self.logs[n].learn(twin, org.ledger);
        }
        self.liar = Some(liar);
        self.check()
    }

    // ---- what must hold ----

    /// Checks what the step has changed.
    pub fn check(&mut self) -> Verdict {
        for n in std::mem::take(&mut self.dirty) {
            self.check_node(n).map_err(|what| format!("{}: {what}", self.name(n)))?;
        }
        Ok(())
    }

    fn check_node(&mut self, n: usize) -> Verdict {
        let founded = self.founded.clone();
        let (ledger, bound) = (founded.orgs[n].ledger, self.bound(n));
        self.logs[n].sync(&self.nodes[n], ledger, bound)?;
        let node = &self.nodes[n];
        check::ledger(node, ledger)?;
        if bound && !self.restored.contains(&n) {
            self.logs[n].keeps_its_word(node.disk.store.head(&ledger.0).unwrap())?;
        }
        for deal in founded.deals.iter().filter(|deal| deal.payer == n || deal.commons == n) {
            check::exactly_once(deal, &self.logs[deal.payer], &self.nodes[deal.commons])?;
        }
        for source in &founded.orgs[n].follows {
            self.check_copy(n, *source)?;
        }
        Ok(())
    }

    /// A copy only grows, and is a prefix of what its operator has made durable.
    fn check_copy(&mut self, n: usize, source: usize) -> Verdict {
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
