//! Two small ledgers with every group of events, in a store: what audits are tried on.
#![allow(dead_code, clippy::unwrap_used)] // each test binary uses a part of it

use crate::kit::*;
use std::path::Path;
use subak_ledger::{
    audit::{Audit, Options, audit},
    log::{self, Checkpoint, Frontier, Hash, KeyCache, Leaf, Unverified, tree},
    store::{
        Batch, Disclosure, Head, MemoryStore, NewEntry, Reader, SqliteReader, SqliteStore, Store,
    },
};
use subak_proto::v1::{self, event::Kind};

/// Both ledgers, and what opens the commitments in them.
pub(crate) struct Cycle {
    pub(crate) commons: World,
    pub(crate) phyle: World,
    pub(crate) agreement: Hash,
    /// Openings in the commons' ledger.
    pub(crate) opened: Vec<Disclosure>,
}

/// A text of sam's, and what the log holds of it.
pub(crate) fn disclose(world: &World, tag: &str, field: &str, text: &str) -> Disclosure {
    let salt = *blake3::hash(text.as_bytes()).as_bytes();
    let opening = log::Disclosure {
        salt,
        tag: tag.into(),
        author: handle("sam"),
        field: field.into(),
        bytes: text.into(),
    };
    Disclosure {
        commitment: opening.commitment(&world.state.ledger),
        salt,
        tag: tag.into(),
        author: "sam".into(),
        field: field.into(),
        bytes: text.into(),
    }
}

fn commons_equation(version: u32) -> v1::Equation {
    let buckets: &[(&str, u32, Option<&str>, &[u32])] = &[
        ("commons", 150_000, Some("association"), &[]),
        ("trust", 100_000, Some("trust"), &[]),
        ("contributors", 750_000, None, &[2, 1]),
    ];
    let mut equation = equation(version, buckets);
    equation.fallback = "association".into();
    equation.held_days = 1;
    equation
}

/// A commons, a phyle, and money between them: each group of events at least once.
pub(crate) fn cycle() -> Cycle {
    let genesis = genesis(v1::AgentKind::Commons, "our-commons", 2, Some(commons_equation(1)));
    let mut c = World::open(genesis);
    let digest = c.state.root().digest.to_vec();
    c.say("mia", vec![Kind::Approve(v1::Approve { entry: 0, digest })]).unwrap();
    let opened = people(&mut c);
    c.gift(1_000); // nobody has points: its contributors' part is held
    work(&mut c);
    let mut p = World::phyle("phyle-a");
    let terms = c.terms(&p, "phyle-a", 100_000);
    let agreement = agree_by_two(&mut p, &mut c, terms);
    money(&mut c, &mut p, agreement);
    Cycle { commons: c, phyle: p, agreement, opened }
}

fn people(c: &mut World) -> Vec<Disclosure> {
    let named = disclose(c, "agent", "name", "Ana of Jatiluwih");
    let add = |handle: &str, name: &[u8], keyed: bool| {
        Kind::AgentAdd(v1::AgentAdd {
            handle: handle.into(),
            kind: v1::AgentKind::Person as i32,
            key: if keyed { key(handle).public().bytes().to_vec() } else { vec![] },
            name: name.to_vec(),
            email: vec![],
        })
    };
    let event = vec![add("ana", &named.commitment, true), add("old-ben", &[7; 32], false)];
    c.say("sam", event).unwrap();
    c.say("ben", vec![Kind::AgentJoin(v1::AgentJoin::default())]).unwrap();
    c.say("mia", vec![Kind::AgentAdmit(v1::AgentAdmit { agent: "ben".into() })]).unwrap();
    let claim = v1::AgentClaim { unclaimed: "old-ben".into(), evidence: vec![] };
    c.say("ben", vec![Kind::AgentClaim(claim)]).unwrap();
    let attest = v1::ClaimAttest { unclaimed: "old-ben".into(), claimant: "ben".into() };
    c.say("sam", vec![Kind::ClaimAttest(attest)]).unwrap();
    let device = key("ana's telephone");
    let text = subak_ledger::book::agents::possession_text(
        &c.state.ledger.0,
        &handle("ana"),
        &device.public().bytes(),
    );
    let possession = device.sign(&text).to_vec();
    let key = device.public().bytes().to_vec();
    c.say("ana", vec![Kind::KeyAdd(v1::KeyAdd { key, possession })]).unwrap();
    let grant = v1::RoleGrant { agent: "ana".into(), role: v1::Role::Treasurer as i32 };
    by_two(c, Kind::RoleGrant(grant));
    vec![named]
}

fn work(c: &mut World) {
    let fallback = v1::HeldFallback { income: 1, bucket: "contributors".into() };
    let ana = c.contribute("ana", "commit", 15_000);
    c.validate("sam", ana).unwrap();
    let ben = c.contribute("old-ben", "hours", 2_000);
    let part = vec![v1::Part { agent: "old-ben".into(), quantity: 7_500 }];
    c.say("sam", vec![Kind::Revise(v1::Revise { contribution: Some(ben), part })]).unwrap();
    c.validate("mia", ben).unwrap();
    let idle = c.contribute("ben", "hours", 9_000);
    let reason = v1::RejectReason::NotDone as i32;
    let reject = v1::RejectContribution { contribution: Some(idle), reason };
    c.say("sam", vec![Kind::RejectContribution(reject)]).unwrap();
    c.days(40);
    c.say("clerk", vec![Kind::HeldFallback(fallback)]).unwrap();
    let equation = Some(commons_equation(2));
    by_two(c, Kind::EquationAdopt(v1::EquationAdopt { equation }));
}

fn money(c: &mut World, p: &mut World, agreement: Hash) {
    p.now = c.now;
    let first = p.earn(1, 100_000);
    let second = p.earn(2, 33_333);
    let void = v1::InvoiceVoid { series: "inv".into(), number: 3 };
    p.say("sam", vec![Kind::InvoiceVoid(void)]).unwrap();
    c.take(p, first, agreement).unwrap();
    c.take(p, second, agreement).unwrap();
    let bank = "bank:sent-1".to_owned();
    let sent = v1::SettlementSent {
        agreement: agreement.to_vec(),
        minor: 10_000,
        bank,
        item: vec![],
        fee: 35,
    };
    p.say("sam", vec![Kind::SettlementSent(sent)]).unwrap();
    let received = v1::SettlementReceived {
        agreement: agreement.to_vec(),
        minor: 10_000,
        bank: "bank:received-1".into(),
        item: vec![],
        fee: Some(v1::Fee { minor: 10, bearer: "association".into() }),
    };
    c.say("sam", vec![Kind::SettlementReceived(received)]).unwrap();
    let run = c.propose(&[("ana", 3_000), ("association", 1_000), ("old-ben", 1_000)]).unwrap();
    c.paid(run, &["ana", "association"]).unwrap();
    let failed = v1::PayoutFailed {
        run,
        agent: vec!["old-ben".into()],
        reason: v1::FailReason::AccountClosed as i32,
    };
    c.say("sam", vec![Kind::PayoutFailed(failed)]).unwrap();
    let returned = v1::PayoutReturned {
        run,
        agent: "ana".into(),
        reason: v1::FailReason::AccountUnknown as i32,
        bank: "bank:returned-1".into(),
        due: vec![],
    };
    c.say("sam", vec![Kind::PayoutReturned(returned)]).unwrap();
    let back = p.refund(1, 10_000);
    c.take(p, back, agreement).unwrap();
    let off = v1::WriteOff { income: vec![3] };
    by_two(c, Kind::WriteOff(off));
    c.propose(&[("ana", 500)]).unwrap();
}

/// sam proposes, mia approves.
pub(crate) fn by_two(c: &mut World, event: Kind) -> u64 {
    let entry = c.decree(event).unwrap();
    let digest = c.state.proposals[&entry].digest.to_vec();
    c.say("mia", vec![Kind::Approve(v1::Approve { entry, digest })]).unwrap()
}

fn agree_by_two(p: &mut World, c: &mut World, terms: v1::Terms) -> Hash {
    let digest = subak_ledger::book::event::terms_digest(&terms).unwrap();
    let stage = |stage: v1::Stage| {
        Kind::AgreementStage(v1::AgreementStage { agreement: digest.to_vec(), stage: stage as i32 })
    };
    p.decree(Kind::AgreementOffer(v1::AgreementOffer { terms: Some(terms.clone()) })).unwrap();
    let offered = p.say("clerk", vec![stage(v1::Stage::Offered)]).unwrap();
    let proof = Some(p.prove(offered));
    by_two(c, Kind::AgreementAccept(v1::AgreementAccept { terms: Some(terms), proof }));
    let accepted = c.say("clerk", vec![stage(v1::Stage::Accepted)]).unwrap();
    let proof = Some(c.prove(accepted));
    let active = v1::AgreementActive { agreement: digest.to_vec(), proof };
    p.say("clerk", vec![Kind::AgreementActive(active)]).unwrap();
    digest
}

/// A log as its raw parts, to be altered and written to a store.
#[derive(Clone)]
pub(crate) struct RawLog {
    pub(crate) id: Hash,
    pub(crate) name: String,
    /// Leaf and envelope.
    pub(crate) entries: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) checkpoint: Option<String>,
    pub(crate) disclosures: Vec<Disclosure>,
}

impl RawLog {
    pub(crate) fn of(world: &World, disclosures: Vec<Disclosure>) -> Self {
        Self {
            id: world.state.ledger.0,
            name: world.state.root().name.to_string(),
            entries: world.entries.clone(),
            checkpoint: Some(world.checkpoint()),
            disclosures,
        }
    }

    /// Leaves made anew for the envelopes, in their order and with their times: what
    /// somebody does who can write the file and knows the formats.
    pub(crate) fn rehash(&mut self) {
        let mut previous = [0; 32];
        for (seq, (bytes, envelope)) in (0..).zip(&mut self.entries) {
            let mut old: [u8; 113] = bytes.as_slice().try_into().unwrap();
            let recorded_at = u64::from_be_bytes(old[73..81].try_into().unwrap());
            let leaf = Leaf {
                ledger: log::LedgerId(self.id),
                seq,
                previous,
                recorded_at,
                envelope: *blake3::hash(envelope).as_bytes(),
            };
            old.copy_from_slice(&leaf.to_bytes());
            previous = leaf.chain_hash();
            *bytes = old.to_vec();
        }
    }

    /// A checkpoint of the log as it stands, by the operator of `world`.
    pub(crate) fn sign(&mut self, world: &World) {
        let mut frontier = Frontier::default();
        for (leaf, _) in &self.entries {
            frontier.push(tree::leaf_hash(leaf));
        }
        let (size, root) = (frontier.size(), frontier.root());
        let head = Checkpoint { ledger: log::LedgerId(self.id), size, root };
        self.checkpoint = Some(head.sign(&world.operator));
    }

    pub(crate) fn write(&self, store: &mut dyn Store) {
        let mut frontier = Frontier::default();
        let (mut entries, mut nodes) = (Vec::new(), Vec::new());
        for (leaf, envelope) in &self.entries {
            let chain = match leaf.as_slice().try_into() {
                Ok(bytes) => log::entry::chain_hash(bytes),
                Err(_) => [0; 32],
            };
            entries.push(NewEntry {
                leaf: leaf.clone().into(),
                envelope: envelope.clone().into(),
                chain,
            });
            for (level, index, hash) in frontier.push(tree::leaf_hash(leaf)) {
                nodes.push((u8::try_from(level).unwrap(), index, hash));
            }
        }
        let batch = Batch {
            ledger: self.id,
            name: &self.name,
            expected: Head::EMPTY,
            entries: &entries,
            nodes: &nodes,
            checkpoint: self.checkpoint.as_deref(),
            disclosures: &self.disclosures,
            erasures: &[],
        };
        store.append(&[batch]).unwrap();
    }
}

impl Cycle {
    /// Commons first, phyle second.
    pub(crate) fn logs(&self) -> [RawLog; 2] {
        [RawLog::of(&self.commons, self.opened.clone()), RawLog::of(&self.phyle, vec![])]
    }
}

pub(crate) fn in_memory(logs: &[RawLog]) -> MemoryStore {
    let mut store = MemoryStore::new();
    for log in logs {
        log.write(&mut store);
    }
    store
}

pub(crate) fn in_file(path: &Path, logs: &[RawLog]) {
    let mut store = SqliteStore::open_writer(path, true).unwrap();
    for log in logs {
        log.write(&mut store);
    }
}

pub(crate) fn audit_store(reader: &dyn Reader) -> Audit {
    audit(reader, &Options { threads: 2, ..Options::default() }).unwrap()
}

pub(crate) fn audit_logs(logs: &[RawLog]) -> Audit {
    audit_store(&in_memory(logs))
}

pub(crate) fn open(path: &Path) -> SqliteReader {
    let reader = SqliteStore::open_reader(path).unwrap();
    reader.freeze().unwrap();
    reader
}

/// A statement's signature is checked where the audit is not at hand.
pub(crate) fn verifies(envelope: &[u8]) -> bool {
    Unverified::parse(envelope).and_then(|it| it.verify(&mut KeyCache::default())).is_ok()
}
