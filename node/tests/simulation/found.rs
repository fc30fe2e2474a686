//! Organisations, their ledgers and agreements, before anything goes wrong: made once, then cloned.
//!
//! Everything goes through the real code: statements are signed, verified and sequenced, proofs are
//! those of the tree. A shape has the same keys and the same entries in every run, so that a run
//! pays for what happens in it only.

use super::check::Log;
use prost::Message as _;
use prost::bytes::Bytes;
use std::{cell::RefCell, collections::BTreeMap, sync::Arc};
use subak_ledger::{
    book::{event::terms_digest, types::Handle},
    log::{Basis, Draft, Hash, Header, KeyCache, LedgerId, SecretKey, Statement, Unverified},
    store::{Batch, Head, MemoryStore, Store as _},
};
use subak_node::{
    fold::Folded,
    sequencer::{Sequencer, decode},
};
use subak_proto::v1::{self, event::Kind};

/// 2026-01-01T00:00:00Z, milliseconds.
pub const START: u64 = 1_767_225_600_000;
pub const DAY: u64 = 86_400_000;
pub const EUR: &str = "EUR";

/// An organisation: a phyle or a commons, its one ledger, and its keys.
pub struct Org {
    pub name: String,
    pub commons: bool,
    pub ledger: LedgerId,
    pub operator: SecretKey,
    /// What the ledger is when the run begins.
    pub folded: Folded,
    /// The nodes that it follows: those that it has agreements with, and some more.
    pub follows: Vec<usize>,
    /// A database with its own ledger and its copies of those it follows.
    pub store: MemoryStore,
    /// One without copies.
    pub bare: MemoryStore,
    /// What its operator has made durable so far.
    pub log: Log,
}

/// An agreement, between two organisations.
#[derive(Clone, Copy)]
pub struct Deal {
    pub payer: usize,
    pub commons: usize,
    pub digest: Hash,
}

/// What a run begins with.
pub struct Founded {
    pub orgs: Vec<Org>,
    pub deals: Vec<Deal>,
}

struct Shape {
    /// Phyles begin with `p`.
    orgs: &'static [&'static str],
    deals: &'static [(usize, usize)],
    /// Who follows whom beside that: (reader, read).
    mirrors: &'static [(usize, usize)],
}

const SHAPES: [Shape; 5] = [
    // A phyle, a commons, its upstream, which mirrors the phyle too.
    Shape { orgs: &["pa", "rice", "dam"], deals: &[(0, 1), (1, 2)], mirrors: &[(2, 0)] },
    // Two phyles of one commons.
    Shape {
        orgs: &["pa", "pb", "rice", "dam"],
        deals: &[(0, 2), (1, 2), (2, 3)],
        mirrors: &[(1, 0), (3, 0)],
    },
    // A diamond: two commons between one phyle's and the source.
    Shape {
        orgs: &["pa", "rice", "east", "west", "dam"],
        deals: &[(0, 1), (1, 2), (1, 3), (2, 4), (3, 4)],
        mirrors: &[(2, 0)],
    },
    // A cycle: two commons, each upstream of the other.
    Shape { orgs: &["pa", "rice", "dam"], deals: &[(0, 1), (1, 2), (2, 1)], mirrors: &[(2, 0)] },
    // One revenue under two agreements, and both commons have one upstream.
    Shape {
        orgs: &["pa", "rice", "tea", "dam"],
        deals: &[(0, 1), (0, 2), (1, 3), (2, 3)],
        mirrors: &[(3, 0)],
    },
];

pub const SHAPE_COUNT: u64 = SHAPES.len() as u64;

/// A key from a name, the same in every run.
pub fn key(name: &str) -> SecretKey {
    SecretKey::from_seed(&blake3::derive_key("subak simulation key", name.as_bytes()))
}

pub fn handle(text: &str) -> Handle {
    Handle::new(text).unwrap()
}

/// A signed statement for a ledger.
pub fn sign(header: Header, key: &SecretKey, events: Vec<Kind>) -> Bytes {
    let encode = |kind| v1::Event { kind: Some(kind) }.encode_to_vec();
    Draft { header, events: events.into_iter().map(encode).collect() }.sign(key).into()
}

/// As a node does it; keys that were admitted once stay so.
pub fn verified(envelope: &Bytes) -> Result<Statement, subak_ledger::reject::Reject> {
    thread_local! {
        static KEYS: RefCell<KeyCache> = RefCell::default();
    }
    let unverified = Unverified::take(envelope.clone())?;
    KEYS.with_borrow_mut(|keys| unverified.verify(keys))
}

/// A ledger that is being founded: nothing of it is stored yet, so that all of it can be proven.
struct Founding {
    name: String,
    sequencer: Sequencer,
    said: u128,
}

impl Founding {
    fn open(name: &str, shape: &Shape, upstream: &[usize]) -> Self {
        let mut founding = Self { name: name.into(), sequencer: Sequencer::default(), said: 0 };
        founding.say("sam", vec![Kind::Genesis(genesis(name, shape, upstream))]);
        founding
    }

    fn key_of(&self, author: &str) -> SecretKey {
        key(&format!("{author} of {}", self.name))
    }

    fn say(&mut self, author: &str, events: Vec<Kind>) -> u64 {
        self.said += 1;
        let state = self.sequencer.pending();
        let ledger = if state.size == 0 { LedgerId::ZERO } else { state.ledger };
        let (created_at, expires_at, nonce) = (START, START + DAY, self.said.to_be_bytes());
        let author = handle(author);
        let key = self.key_of(author.as_str());
        // Whoever validates says what they have seen.
        let basis = state.chain.last().map(|chain| Basis { size: state.size, chain: *chain });
        let header = Header { ledger, author, nonce, created_at, expires_at, basis };
        let statement = verified(&sign(header, &key, events)).unwrap();
        self.sequencer.admit(&statement, &decode(&statement), None, START).unwrap()
    }

    fn decree(&mut self, event: Kind) -> u64 {
        let event = vec![v1::Event { kind: Some(event) }.encode_to_vec()];
        self.say("sam", vec![Kind::Propose(v1::Propose { event })])
    }

    fn prove(&self, entry: u64) -> v1::Proof {
        let effects = self.sequencer.effects().unwrap();
        let (leaf, path) = self.sequencer.prove(entry).unwrap();
        v1::Proof {
            envelope: effects.entries[usize::try_from(entry).unwrap()].envelope.to_vec(),
            leaf: leaf.to_vec(),
            path: path.iter().map(|hash| hash.to_vec()).collect(),
            checkpoint: effects.head.sign(&self.key_of("operator")),
        }
    }

    /// Somebody who works, with a key, and work that counts.
    fn employ(&mut self, name: &str) {
        let public = self.key_of(name).public().bytes().to_vec();
        let kind = v1::AgentKind::Person as i32;
        let add = v1::AgentAdd { handle: name.into(), kind, key: public, ..Default::default() };
        self.say("sam", vec![Kind::AgentAdd(add)]);
        let part = vec![v1::Part { agent: name.into(), quantity: 7_000 }];
        let work = contribute(&format!("test:first-{name}"), part, START);
        let entry = self.say("sam", vec![work]);
        self.say("sam", vec![validate(entry)]);
    }

    fn store_in(&self, store: &mut MemoryStore) {
        let effects = self.sequencer.effects().unwrap();
        let note = effects.head.sign(&self.key_of("operator"));
        let batch = Batch {
            ledger: effects.head.ledger.0,
            name: &self.name,
            expected: Head::EMPTY,
            entries: effects.entries,
            nodes: effects.nodes,
            checkpoint: Some(&note),
            disclosures: &[],
            erasures: &[],
        };
        store.append(&[batch]).unwrap();
    }
}

/// Work that sam claims.
pub fn contribute(reference: &str, part: Vec<v1::Part>, now: u64) -> Kind {
    Kind::Contribute(v1::Contribute {
        reference: reference.into(),
        kind: "hours".into(),
        stream: v1::Stream::Livelihood as i32,
        worked_on: u32::try_from(now / DAY).unwrap(),
        part,
        evidence: vec![],
    })
}

pub fn validate(entry: u64) -> Kind {
    let place = Some(v1::Ref { entry, event: 0 });
    let span = vec![v1::Span { first: place, last: place }];
    let remuneration = v1::Remuneration::Unpaid as i32;
    Kind::Validate(v1::Validate { span, remuneration, quantity: vec![] })
}

fn is_commons(name: &str) -> bool {
    !name.starts_with('p')
}

fn kind_of(name: &str) -> v1::AgentKind {
    if is_commons(name) { v1::AgentKind::Commons } else { v1::AgentKind::Phyle }
}

fn genesis(name: &str, shape: &Shape, upstream: &[usize]) -> v1::Genesis {
    let public = |who: &str| key(&format!("{who} of {name}")).public().bytes().to_vec();
    let mut role = vec![v1::Role::Treasurer as i32];
    if is_commons(name) {
        role.insert(0, v1::Role::Maintainer as i32);
    }
    let agent = |other: &&str| v1::AgentAdd {
        handle: (*other).into(),
        kind: kind_of(other) as i32,
        ..Default::default()
    };
    v1::Genesis {
        random: blake3::hash(format!("{name} of {:?}", shape.orgs).as_bytes()).as_bytes().to_vec(),
        kind: kind_of(name) as i32,
        name: name.into(),
        sandbox: false,
        steward: vec![v1::NamedKey { agent: "sam".into(), key: public("sam") }],
        steward_role: role,
        quorum: 1,
        clerk_key: public("clerk"),
        operator_key: public("operator"),
        agent: shape.orgs.iter().filter(|other| **other != name).map(agent).collect(),
        equation: is_commons(name).then(|| equation(shape, upstream)),
        ..Default::default()
    }
}

/// A quarter for each upstream commons, the rest for those who work.
fn equation(shape: &Shape, upstream: &[usize]) -> v1::Equation {
    let mut bucket: Vec<_> = upstream
        .iter()
        .map(|to| v1::Bucket {
            name: shape.orgs[*to].into(),
            share: 250_000,
            to: Some(v1::bucket::To::Agent(shape.orgs[*to].into())),
        })
        .collect();
    let all = v1::Contributors { weight: vec![1], ..Default::default() };
    bucket.push(v1::Bucket {
        name: "all".into(),
        share: 1_000_000 - 250_000 * u32::try_from(upstream.len()).unwrap(),
        to: Some(v1::bucket::To::Contributors(all)),
    });
    v1::Equation {
        name: "test".into(),
        version: 1,
        rate: vec![v1::Rate { kind: "hours".into(), points: 1 }],
        bucket,
        validators: 1,
        held_days: 30,
        ..Default::default()
    }
}

fn agree(all: &mut [Founding], shape: &Shape, (payer, commons): (usize, usize)) -> Hash {
    let (p, c) = (shape.orgs[payer], shape.orgs[commons]);
    let ledger = |n: usize| all[n].sequencer.pending().ledger.0.to_vec();
    let operator = |n: usize| all[n].key_of("operator").public().bytes().to_vec();
    let upstream = is_commons(p);
    let terms = v1::Terms {
        payer: ledger(payer),
        payer_operator: operator(payer),
        commons: ledger(commons),
        commons_operator: operator(commons),
        payer_handle: p.into(),
        commons_handle: c.into(),
        share: if upstream { 1_000_000 } else { 100_000 },
        base: if upstream { v1::Base::Payout } else { v1::Base::Net } as i32,
        currency: EUR.into(),
        due_days: 30,
        notice_days: 30,
        product: String::new(),
        random: vec![7; 16],
    };
    let digest = terms_digest(&terms).unwrap();
    let stage = |stage: v1::Stage| {
        Kind::AgreementStage(v1::AgreementStage { agreement: digest.to_vec(), stage: stage as i32 })
    };
    let offer = Kind::AgreementOffer(v1::AgreementOffer { terms: Some(terms.clone()) });
    all[payer].decree(offer);
    let offered = all[payer].say("clerk", vec![stage(v1::Stage::Offered)]);
    let proof = Some(all[payer].prove(offered));
    let accept = v1::AgreementAccept { terms: Some(terms), proof };
    all[commons].decree(Kind::AgreementAccept(accept));
    let accepted = all[commons].say("clerk", vec![stage(v1::Stage::Accepted)]);
    let proof = Some(all[commons].prove(accepted));
    let active = v1::AgreementActive { agreement: digest.to_vec(), proof };
    all[payer].say("clerk", vec![Kind::AgreementActive(active)]);
    digest
}

fn follows(shape: &Shape, reader: usize) -> Vec<usize> {
    let partners = shape.deals.iter().filter_map(|(payer, commons)| match reader {
        n if n == *payer => Some(*commons),
        n if n == *commons => Some(*payer),
        _ => None,
    });
    let mirrors = shape.mirrors.iter().filter(|(by, _)| *by == reader).map(|(_, of)| *of);
    let mut all: Vec<usize> = partners.chain(mirrors).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn found(shape: &Shape) -> Founded {
    let upstream = |n: usize| -> Vec<usize> {
        let of = shape.deals.iter().filter(|(payer, _)| *payer == n);
        of.map(|(_, commons)| *commons).collect()
    };
    let open = |(n, name): (usize, &&str)| Founding::open(name, shape, &upstream(n));
    let mut all: Vec<Founding> = shape.orgs.iter().enumerate().map(open).collect();
    let deals = shape.deals.iter().map(|(payer, commons)| Deal {
        payer: *payer,
        commons: *commons,
        digest: agree(&mut all, shape, (*payer, *commons)),
    });
    let deals = deals.collect();
    for founding in all.iter_mut().filter(|founding| is_commons(&founding.name)) {
        founding.employ("ana");
        founding.employ("ben");
    }
    let org = |n: usize| {
        let (founding, follows) = (&all[n], follows(shape, n));
        let mut store = MemoryStore::new();
        founding.store_in(&mut store);
        let bare = store.clone();
        for other in &follows {
            all[*other].store_in(&mut store);
        }
        let ledger = founding.sequencer.pending().ledger;
        let folded = subak_node::load::extend(&store, ledger, Folded::default()).unwrap();
        let mut log = Log::default();
        log.read(&store, ledger, true).unwrap();
        Org {
            name: founding.name.clone(),
            commons: is_commons(&founding.name),
            ledger,
            operator: founding.key_of("operator"),
            folded,
            follows,
            store,
            bare,
            log,
        }
    };
    let orgs = (0..all.len()).map(org).collect();
    Founded { orgs, deals }
}

/// All shapes, founded once for all runs of a process.
pub fn founded(shape: u64) -> Arc<Founded> {
    use std::sync::{LazyLock, Mutex};
    static MADE: LazyLock<Mutex<BTreeMap<u64, Arc<Founded>>>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let shape = shape % SHAPE_COUNT;
    let new = || Arc::new(found(&SHAPES[usize::try_from(shape).unwrap()]));
    made.entry(shape).or_insert_with(new).clone()
}
