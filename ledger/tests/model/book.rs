//! The naive book: what a commons knows, as plain lists, and what time brings about.
//!
//! Owns the shape of the model, its agenda and the value equation as the model reads
//! it. Written from DESIGN sections 5 and 6 and event.proto, without the ledger's own
//! `split`, `work`, `income`, `lots` and `payout`: no prefix sums, no running totals,
//! every figure is added up anew from the histories kept here. Of the ledger it takes
//! words only: codes of refusal, and the hash that names a bucket.

use super::money::Effect;
use num_bigint::BigInt;
use std::{collections::BTreeMap, rc::Rc};
use subak_ledger::{
    book::equation::{BucketId, EquationBucket, Filter, Whose},
    log::Hash,
    reject::Code,
};
use subak_proto::v1;

pub const DAY: u64 = 86_400_000;

/// Number of an agent: its place in [`ROSTER`], which is its number in the ledger too.
pub type Agent = usize;
pub type Verdict<T = ()> = Result<T, Code>;

/// Everybody, in the order of introduction; with a key or without.
pub const ROSTER: [(&str, v1::AgentKind, bool); 14] = {
    use v1::AgentKind::*;
    [
        ("clerk", Person, true),
        ("sam", Person, true),
        ("mia", Person, true),
        ("association", Association, false),
        ("trust", Trust, false),
        ("upstream", Commons, false),
        ("our-commons", Commons, false),
        ("phyle-a", Phyle, false),
        ("phyle-b", Phyle, false),
        ("ana", Person, true),
        ("ben", Person, true),
        ("cy", Person, true),
        ("ghost-a", Person, false),
        ("ghost-b", Person, false),
    ]
};

pub fn agent(name: &str) -> Verdict<Agent> {
    ROSTER.iter().position(|(n, ..)| *n == name).ok_or(Code::UnknownAgent)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Money {
    Eur,
    Usd,
}

impl Money {
    pub const ALL: [Money; 2] = [Money::Eur, Money::Usd];

    pub fn text(self) -> &'static str {
        match self {
            Money::Eur => "EUR",
            Money::Usd => "USD",
        }
    }
}

/// An equation as the model reads it from the wire.
pub struct Rules {
    pub wire: v1::Equation,
    pub buckets: Vec<(BucketId, u32, Rc<Def>)>,
    pub fallback: Option<Agent>,
}

/// Name and definition: the identity of a bucket.
pub struct Def {
    pub name: String,
    pub to: v1::bucket::To,
}

impl Def {
    pub fn owner(&self) -> Option<Agent> {
        match &self.to {
            v1::bucket::To::Agent(name) => Some(agent(name).unwrap()),
            v1::bucket::To::Contributors(_) => None,
        }
    }

    /// The name that the ledger gives to this definition.
    pub fn id(&self) -> BucketId {
        use subak_ledger::book::types::{Handle, Stream};
        let handle = |h: &String| Handle::new(h).unwrap();
        let to = match &self.to {
            v1::bucket::To::Agent(h) => Whose::Agent(handle(h)),
            v1::bucket::To::Contributors(c) => Whose::Contributors(Filter {
                kinds: c.kind.iter().map(handle).collect(),
                streams: c.stream.iter().map(|s| Stream::from_wire(*s).unwrap()).collect(),
                unpaid_only: c.unpaid_only,
                weight: c.weight.clone(),
            }),
        };
        EquationBucket { name: handle(&self.name), share: 1, to }.id()
    }
}

impl Rules {
    pub fn new(wire: v1::Equation) -> Rc<Self> {
        let read = |b: &v1::Bucket| {
            let def = Def { name: b.name.clone(), to: b.to.clone().unwrap() };
            (def.id(), b.share, Rc::new(def))
        };
        let buckets = wire.bucket.iter().map(read).collect();
        let fallback = agent(&wire.fallback).ok();
        Rc::new(Self { wire, buckets, fallback })
    }

    pub fn rate(&self, kind: &str) -> Verdict<u64> {
        let rate = self.wire.rate.iter().find(|r| r.kind == kind);
        rate.map(|r| r.points).ok_or(Code::UnknownKind)
    }
}

/// Entry, and event within it.
pub type Place = (u64, u32);
pub type Reading = (u64, Option<v1::Remuneration>);

#[derive(Clone)]
pub struct Work {
    pub place: Place,
    pub reference: String,
    pub kind: String,
    pub stream: v1::Stream,
    pub month: u32,
    pub rate: u64,
    pub claimant: Agent,
    pub closed: bool,
    /// It was validated once, and so has taken the reference.
    pub took: bool,
    /// The agents for whom the reference is claimed by this.
    pub for_whom: Vec<Agent>,
    pub parts: Vec<WorkPart>,
}

pub fn is_person(agent: Agent) -> bool {
    ROSTER[agent].1 == v1::AgentKind::Person
}

#[derive(Clone)]
pub struct WorkPart {
    pub agent: Agent,
    pub claimed: u64,
    pub reading: Reading,
    pub votes: Vec<Agent>,
    pub standing: Option<Standing>,
    pub generation: u32,
}

#[derive(Clone)]
pub struct Standing {
    pub quantity: u64,
    pub paid: v1::Remuneration,
    pub votes: Vec<Agent>,
    pub counted: u64,
    pub counted_unpaid: u64,
    pub ripening: u64,
}

#[derive(Clone)]
pub struct Income {
    pub payer: Agent,
    /// Agreement and number there.
    pub source: Option<(usize, u64)>,
    pub money: Money,
    pub at: u64,
    pub amount: u64,
    pub rules: Rc<Rules>,
    pub shares: Vec<Share>,
    pub refunded: u64,
    pub written_off: u64,
    pub settled: u64,
    /// Its number was undone, and may be another's.
    pub undone: bool,
}

impl Income {
    pub fn reversed(&self) -> u64 {
        self.refunded + self.written_off
    }

    pub fn open(&self) -> u64 {
        self.amount - self.reversed() - self.settled
    }
}

#[derive(Clone)]
pub struct Share {
    /// Bucket of the equation.
    pub bucket: BucketId,
    pub ppm: u32,
    pub part: BigInt,
    /// None: held.
    pub spread: Option<Rc<Spread>>,
}

/// Who had how many points when a part was spread: kept for ever.
pub struct Spread {
    pub into: BucketId,
    pub weight: BigInt,
    pub carry_in: BigInt,
    pub each: BigInt,
    pub who: Vec<(Agent, BigInt)>,
}

#[derive(Clone)]
pub struct Agreement {
    pub digest: Hash,
    pub payer: Agent,
    pub share: u32,
    pub base: v1::Base,
    pub money: Money,
    pub product: &'static str,
    /// Cash that has come, and what was taken: number 1 first.
    pub cash: u64,
    pub taken: Vec<Taken>,
    /// Which entry froze it, and with what: number and leaf.
    pub frozen: Option<(u64, u64, Hash)>,
    /// Leaves that the stewards decided against, and their numbers.
    pub refused: Vec<(Hash, u64)>,
}

/// A numbered effect, and what it was taken from.
#[derive(Clone)]
pub struct Taken {
    pub effect: Effect,
    pub source: Source,
}

/// Digests of envelope and leaf of a payer's entry.
pub type Source = (Hash, Hash);

/// A whole amount drawn from what is payable to an agent.
#[derive(Clone)]
pub struct Drawn {
    pub agent: Agent,
    pub money: Money,
    pub own: u64,
    pub common: u64,
    pub buckets: Vec<(BucketId, BigInt)>,
    pub fate: Fate,
    pub treasurer: Agent,
    /// Run whose line it is; a bank fee has none.
    pub run: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    Proposed,
    Paid,
    Failed,
    Returned,
    Expired,
}

#[derive(Clone)]
pub enum Task {
    Ripen(usize, usize, u32),
    InForce(Rc<Rules>),
    Release(Vec<u64>, BucketId),
    Expire(u64),
}

#[derive(Clone)]
pub struct Model {
    pub at: u64,
    pub entry: u64,
    pub maintainers: Vec<Agent>,
    pub aliases: BTreeMap<Agent, (Agent, u64)>,
    pub claims: BTreeMap<(Agent, Agent), Vec<Agent>>,
    pub adopted: Vec<(u64, Rc<Rules>)>,
    pub rules: Rc<Rules>,
    /// Every bucket that was ever in force.
    pub buckets: BTreeMap<BucketId, Rc<Def>>,
    pub work: Vec<Work>,
    pub agreements: Vec<Agreement>,
    pub incomes: Vec<Income>,
    pub drawn: Vec<Drawn>,
    pub runs: BTreeMap<u64, Agent>,
    pub bank: Vec<String>,
    /// Cash in and out by treasurer.
    pub cash: Vec<(Agent, Money, i128)>,
    /// Under the agreement with the upstream commons: numbers by run, and the last.
    pub upstream: (BTreeMap<u64, u64>, u64),
    agenda: Vec<(u64, u64, u64, Task)>,
    tasks: u64,
}

impl Model {
    pub fn new(rules: Rc<Rules>, at: u64, agreements: Vec<Agreement>) -> Self {
        let mut model = Self {
            at,
            entry: 0,
            maintainers: vec![1, 2],
            aliases: BTreeMap::new(),
            claims: BTreeMap::new(),
            adopted: vec![(at, rules.clone())],
            rules: rules.clone(),
            buckets: BTreeMap::new(),
            work: Vec::new(),
            agreements,
            incomes: Vec::new(),
            drawn: Vec::new(),
            runs: BTreeMap::new(),
            bank: Vec::new(),
            cash: Vec::new(),
            upstream: (BTreeMap::new(), 0),
            agenda: Vec::new(),
            tasks: 0,
        };
        model.put_in_force(rules);
        model
    }

    /// The person behind an agent.
    pub fn person(&self, agent: Agent) -> Agent {
        self.aliases.get(&agent).map_or(agent, |(person, _)| *person)
    }

    pub fn schedule(&mut self, due: u64, task: Task) {
        self.agenda.push((due, self.entry, self.tasks, task));
        self.tasks += 1;
    }

    /// An entry begins: first, what was due by then, by date and entry, each thing as
    /// of its own date.
    pub fn begin(&mut self, entry: u64, at: u64) {
        while let Some(n) = (0..self.agenda.len())
            .filter(|n| self.agenda[*n].0 <= at)
            .min_by_key(|n| (self.agenda[*n].0, self.agenda[*n].1, self.agenda[*n].2))
        {
            let (due, _, _, task) = self.agenda.remove(n);
            self.at = due;
            match task {
                Task::Ripen(work, part, generation) => self.ripen(work, part, generation),
                Task::InForce(rules) => self.put_in_force(rules),
                Task::Release(incomes, bucket) => self.run_release(&incomes, bucket),
                Task::Expire(run) => self.expire(run),
            }
        }
        (self.entry, self.at) = (entry, at);
    }

    fn put_in_force(&mut self, rules: Rc<Rules>) {
        for (id, _, def) in &rules.buckets {
            self.buckets.entry(*id).or_insert_with(|| def.clone());
        }
        self.rules = rules;
    }

    /// EquationAdopt: in force after the notice of the one adopted before.
    pub fn adopt(&mut self, rules: &Rc<Rules>) -> Verdict {
        let (from, last) = self.adopted.last().unwrap();
        if rules.wire.version != last.wire.version + 1 {
            return Err(Code::EquationVersion);
        }
        if rules.fallback.is_some_and(|f| ROSTER[f].1 == v1::AgentKind::Person) {
            return Err(Code::WrongAgentKind);
        }
        let from = (self.at + u64::from(last.wire.notice_days) * DAY).max(*from);
        self.adopted.push((from, rules.clone()));
        if from <= self.at {
            self.put_in_force(rules.clone());
        } else {
            self.schedule(from, Task::InForce(rules.clone()));
        }
        Ok(())
    }
}

/// The month of a day since 1970, January 1970 = 0, by walking the calendar.
pub fn month_of(mut day: u64) -> u32 {
    let mut month = 0;
    loop {
        let (year, of_year) = (1970 + month / 12, month % 12);
        let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let length = match of_year {
            1 if leap => 29,
            1 => 28,
            3 | 5 | 8 | 10 => 30,
            _ => 31,
        };
        if day < length {
            return month;
        }
        day -= length;
        month += 1;
    }
}
