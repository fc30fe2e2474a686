//! A node: one ledger of its own, its copies of others, its disks, its clock.
//!
//! The sequencer, the fold, the clock's watch, the judgement of an old copy and the follower's copy
//! are those that a node runs. What is modelled here, because it is threads and channels there, is
//! the writer's order (`subak_node::writer`): judge a group on top of what is pending, sign its
//! head, store all of it in one transaction, keep the head in the head file, answer. A process may
//! die between any two of those.

use super::{
    disk::{Disk, HeadFile},
    follow::Follower,
    found::{Org, START, verified},
    net::{Addr, Appended, Failure},
};
use prost::bytes::Bytes;
use std::collections::BTreeMap;
use subak_ledger::{
    log::{Checkpoint, Hash, tree},
    store::{Batch, MemoryStore, Reader},
};
use subak_node::{
    NodeError,
    clock::{Reading, Watch},
    fold::Folded,
    load,
    newest::{self, Standing},
    refusal::Refusal,
    sequencer::{Sequencer, decode},
};

/// Where a process dies while it commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    BeforeStore,
    AfterStore,
    AfterHead,
}

/// A statement, and who waits for its answer: nobody for the clerk's own.
pub struct Order {
    pub envelope: Bytes,
    pub asker: Option<(Addr, u64)>,
}

/// What lasts beyond a process.
pub struct Node {
    pub disk: Disk,
    pub heads: HeadFile,
    /// The mark in the key ring that somebody has shown this to be an old copy.
    pub mark: Option<String>,
    /// Fraud proofs against the operators of other nodes.
    pub evidence: BTreeMap<usize, String>,
    /// Milliseconds that the clock is off.
    pub skew: i64,
    pub death: Option<Death>,
    pub process: Option<Process>,
    /// The newest durable state that any process of this node has shown.
    pub last: Folded,
}

/// What a crash takes away.
pub struct Process {
    watch: Watch,
    pub open: Option<Open>,
    pub halted: Option<String>,
    /// The signed head that may leave.
    pub kept: Option<String>,
    pub queue: Vec<Order>,
    pub followers: Vec<Follower>,
    /// Of a node that is broken on purpose: the book that the next group is judged by.
    pub misremembers: Option<Folded>,
}

pub struct Open {
    pub sequencer: Sequencer,
    unkept: Option<String>,
}

/// What became of a group.
#[derive(Default)]
pub struct Committed {
    pub answers: Answers,
    /// The process died on the way, after the answers that there are.
    pub died: Option<Death>,
}

pub type Answers = Vec<(Order, Result<Appended, Failure>)>;

impl From<Answers> for Committed {
    fn from(answers: Answers) -> Self {
        Self { answers, died: None }
    }
}

impl Node {
    /// The wall clock and the clock that nobody sets.
    pub fn reading(&self, now: u64) -> Reading {
        Reading { wall: (START + now).saturating_add_signed(self.skew), mono: now }
    }

    /// Begins a process on what the disks hold. Reading an own ledger may find it damaged: that is
    /// never so here.
    pub fn start(&mut self, org: &Org, followers: Vec<Follower>, base: &Folded) {
        // What was founded was verified then.
        let founded = self.disk.store.head(&org.ledger.0).unwrap() == base.head();
        self.last = if founded {
            base.clone()
        } else {
            load::extend(&self.disk.store, org.ledger, base.clone()).unwrap()
        };
        self.process = Some(Process {
            watch: Watch::default(),
            open: None,
            halted: None,
            kept: None,
            queue: Vec::new(),
            followers,
            misremembers: None,
        });
    }

    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the caller saw that the node is up")
    }

    /// Why nothing is appended, if so.
    pub fn halted(&self) -> Option<&str> {
        let process = self.process.as_ref()?;
        process.halted.as_deref().or(self.mark.as_deref())
    }

    /// Opens the own ledger for appending: it must go on from what was signed last.
    fn open(&mut self, org: &Org) -> Result<(), Failure> {
        if self.halted().is_some() {
            return Err(Failure::world("older-database"));
        }
        if self.process().open.is_some() {
            return self.make_up();
        }
        let mut folded = self.last.clone();
        if folded.head() != self.disk.store.head(&org.ledger.0).map_err(failed)? {
            folded = load::extend(&self.disk.store, org.ledger, folded).map_err(failed)?;
            self.last = folded.clone();
        }
        for note in self.heads.open() {
            let signed = Checkpoint::open(note, org.ledger, &org.operator.public()).unwrap();
            let standing = newest::judge(&self.disk.store, &folded, signed).map_err(failed)?;
            if standing != Standing::GoesOn {
                let process = self.process.as_mut().expect("it is up");
                process.halted = Some(format!("older-database: {standing:?}"));
                return Err(Failure::world("older-database"));
            }
        }
        // What was stored just before a crash is signed, and may not be kept yet.
        let note =
            self.disk.store.checkpoint(&org.ledger.0).map_err(failed)?.expect("it is stored");
        self.heads.keep(&note).map_err(Failure::world)?;
        let process = self.process();
        process.kept = Some(note);
        process.open = Some(Open { sequencer: Sequencer::new(folded), unkept: None });
        Ok(())
    }

    /// Keeps what could not be kept before.
    fn make_up(&mut self) -> Result<(), Failure> {
        let open = self.process().open.as_mut().expect("the caller saw it");
        if let Some(note) = open.unkept.take() {
            if self.heads.keep(&note).is_err() {
                self.process().open.as_mut().expect("as above").unkept = Some(note);
                return Err(Failure::world("head-file"));
            }
            self.process().kept = Some(note);
        }
        Ok(())
    }

    /// The newest head that may leave.
    pub fn checkpoint(&mut self, org: &Org) -> Result<String, Failure> {
        if self.process().kept.is_none() {
            self.open(org)?;
        }
        self.process().kept.clone().ok_or_else(|| Failure::world("head-file"))
    }

    /// Judges, stores, keeps and answers what waits.
    pub fn commit(&mut self, org: &Org, now: u64, acks_first: bool) -> Committed {
        let group = std::mem::take(&mut self.process().queue);
        let reading = self.reading(now);
        let Ok(now) = self.process().watch.judge(reading) else {
            return all(group, &Failure::world("clock")).into();
        };
        let process = self.process();
        if let (Some(open), Some(wrong)) = (&mut process.open, process.misremembers.take())
            && open.sequencer.head() == wrong.head()
        {
            open.sequencer = Sequencer::new(wrong);
        }
        let judged: Vec<_> = group
            .into_iter()
            .map(|order| {
                let verdict = self.admit(org, &order, now);
                (order, verdict)
            })
            .collect();
        let Some(Open { sequencer, .. }) = self.process.as_ref().and_then(|p| p.open.as_ref())
        else {
            return refusals(judged).into();
        };
        let Some(effects) = sequencer.effects() else {
            return refusals(judged).into();
        };
        let note = effects.head.sign(&org.operator);
        let batch = Batch {
            ledger: org.ledger.0,
            name: &org.name,
            expected: effects.expected,
            entries: effects.entries,
            nodes: effects.nodes,
            checkpoint: Some(&note),
            disclosures: &[],
            erasures: &[],
        };
        let death = self.death.take();
        if death == Some(Death::BeforeStore) {
            let answers = if acks_first { self.proven(judged, &note) } else { Vec::new() };
            return Committed { answers, died: death };
        }
        let stored = self.disk.append(&[batch]);
        if death == Some(Death::AfterStore) {
            return Committed { answers: Vec::new(), died: death };
        }
        if let Err(error) = stored {
            if acks_first {
                let answers = self.proven(judged, &note);
                self.take_back(org);
                return answers.into();
            }
            self.take_back(org);
            let failure = Failure::world(error.code());
            return all(judged.into_iter().map(|(o, _)| o).collect(), &failure).into();
        }
        let kept = self.heads.keep(&note);
        if death == Some(Death::AfterHead) {
            return Committed { answers: Vec::new(), died: death };
        }
        let answers = match kept {
            Ok(()) => {
                self.process().kept = Some(note.clone());
                self.proven(judged, &note)
            }
            Err(_) => judged
                .into_iter()
                .map(|(o, v)| (o, v.and(Err(Failure::world("head-file")))))
                .collect(),
        };
        let open = self.process.as_mut().and_then(|p| p.open.as_mut()).expect("as above");
        if kept.is_err() {
            open.unkept = Some(note);
        }
        self.last = open.sequencer.committed();
        answers.into()
    }

    fn admit(&mut self, org: &Org, order: &Order, now: u64) -> Result<u64, Failure> {
        self.open(org)?;
        let statement = verified(&order.envelope)
            .map_err(|reject| Failure { code: reject.code.name().into(), refused: true })?;
        let open = self.process().open.as_mut().expect("opened above");
        let admitted = open.sequencer.admit(&statement, &decode(&statement), None, now);
        admitted.map_err(|refusal| match refusal {
            Refusal::Rule(reject) => Failure { code: reject.code.name().into(), refused: true },
            _ => Failure::world("clock"),
        })
    }

    fn proven(&self, judged: Vec<(Order, Result<u64, Failure>)>, note: &str) -> Answers {
        let open = self.process.as_ref().and_then(|p| p.open.as_ref()).expect("the caller has it");
        let answer = |(order, verdict): (Order, Result<u64, Failure>)| {
            let appended = verdict.map(|entry| {
                let (leaf, path) = open.sequencer.prove(entry).expect("it is pending still");
                Appended { entry, leaf, path, checkpoint: note.to_owned() }
            });
            (order, appended)
        };
        judged.into_iter().map(answer).collect()
    }

    /// The transaction failed: nothing of it was, unless the store says so.
    fn take_back(&mut self, org: &Org) {
        let stored = self.disk.store.head(&org.ledger.0).ok();
        let process = self.process();
        let open = process.open.as_mut().expect("it was to be stored from here");
        open.sequencer.failed();
        if stored != Some(open.sequencer.head()) {
            process.open = None;
        }
    }

    /// Somebody shows a head of the own ledger that its operator has signed.
    pub fn challenge(&mut self, org: &Org, note: &str) -> Result<(), Failure> {
        let Ok(shown) = Checkpoint::open(note, org.ledger, &org.operator.public()) else {
            return Err(Failure { code: "bad-checkpoint".into(), refused: true });
        };
        self.open(org)?;
        let open = self.process.as_ref().and_then(|p| p.open.as_ref()).expect("opened above");
        let here = open.sequencer.durable();
        let standing = newest::judge(&self.disk.store, here, shown).map_err(failed)?;
        match standing {
            Standing::GoesOn => return Ok(()),
            // A larger head stays known in the head file, of another history in a mark.
            Standing::Shorter => drop(self.heads.keep(note)),
            Standing::Other | Standing::FalseTree => {
                self.mark = Some(format!("older-database: {standing:?}, as somebody has shown"));
            }
        }
        let process = self.process();
        process.open = None;
        process.halted = Some(format!("older-database: {standing:?}, as somebody has shown"));
        Err(Failure::world("older-database"))
    }
}

fn failed<E: Into<NodeError>>(error: E) -> Failure {
    Failure::world(error.into().code())
}

fn all(group: Vec<Order>, failure: &Failure) -> Answers {
    group.into_iter().map(|order| (order, Err(failure.clone()))).collect()
}

fn refusals(judged: Vec<(Order, Result<u64, Failure>)>) -> Answers {
    let refused = |(order, verdict): (Order, Result<u64, Failure>)| {
        (order, Err(verdict.expect_err("nothing is pending")))
    };
    judged.into_iter().map(refused).collect()
}

/// A node of a stored tree, also of level 0, which is not stored.
pub fn tree_node(store: &MemoryStore, ledger: Hash, level: u32, index: u64) -> Option<Hash> {
    if level == 0 {
        let entry = store.entries(&ledger, index, 1, 0).ok()?.pop()?;
        return (entry.seq == index).then(|| tree::leaf_hash(&entry.leaf));
    }
    store.node(&ledger, u8::try_from(level).ok()?, index).ok()?
}
