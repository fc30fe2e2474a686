//! A ledger in memory for tests: keys, a clock, statements, entries, proofs.
//!
//! Everything goes through the real code: statements are signed, opened, applied and
//! sealed, and proofs are those of the tree.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub)] // each test binary uses a part of it

use prost::Message as _;
use std::collections::BTreeMap;
use subak_ledger::{
    book::{
        accounts::Posting,
        apply::apply,
        fork::{copy, digest_of},
        handover::handover_text,
        state::State,
        state_root,
        types::{AgentId, Currency, DAY_MS, Handle},
    },
    log::{
        Basis, Checkpoint, Draft, Frontier, Hash, Header, KeyCache, Leaf, LedgerId, SecretKey,
        Unverified, tree,
    },
    reject::{Code, Reject},
};
use subak_proto::v1::{self, event::Kind};

pub const START: u64 = 1_767_225_600_000; // 2026-01-01T00:00:00Z
pub const EUR: &str = "EUR";

/// One ledger, its keys and its clock.
pub struct World {
    pub state: State,
    pub now: u64,
    pub keys: BTreeMap<String, [u8; 32]>,
    pub operator: SecretKey,
    pub entries: Vec<(Vec<u8>, Vec<u8>)>, // leaf, envelope
    pub frontier: Frontier,
    nodes: BTreeMap<(u32, u64), Hash>,
    nonce: u64,
    /// Postings of the last statement.
    pub postings: Vec<Posting>,
}

pub fn handle(text: &str) -> Handle {
    Handle::new(text).unwrap()
}

pub fn currency(text: &str) -> Currency {
    Currency::new(text).unwrap()
}

/// A key from a name, the same in every run.
pub fn key(name: &str) -> SecretKey {
    SecretKey::from_seed(&blake3::derive_key("subak test key", name.as_bytes()))
}

pub fn encode(kind: Kind) -> Vec<u8> {
    v1::Event { kind: Some(kind) }.encode_to_vec()
}

/// An equation: (bucket, ppm, agent or none for all contributors, weights).
pub fn equation(version: u32, buckets: &[(&str, u32, Option<&str>, &[u32])]) -> v1::Equation {
    v1::Equation {
        name: "test".into(),
        version,
        rate: vec![
            v1::Rate { kind: "commit".into(), points: 1 },
            v1::Rate { kind: "hours".into(), points: 2 },
        ],
        bucket: buckets
            .iter()
            .map(|(name, share, agent, weight)| v1::Bucket {
                name: (*name).into(),
                share: *share,
                to: Some(match agent {
                    Some(a) => v1::bucket::To::Agent((*a).into()),
                    None => v1::bucket::To::Contributors(v1::Contributors {
                        weight: weight.to_vec(),
                        ..Default::default()
                    }),
                }),
            })
            .collect(),
        validators: 1,
        maturity_days: 0,
        notice_days: 0,
        claim_delay_days: 0,
        held_days: 30,
        ..Default::default()
    }
}

/// A genesis: sam is steward, maintainer and treasurer, mia a second steward.
pub fn genesis(
    kind: v1::AgentKind,
    name: &str,
    quorum: u32,
    equation: Option<v1::Equation>,
) -> v1::Genesis {
    let commons = kind == v1::AgentKind::Commons;
    let mut role = vec![v1::Role::Treasurer as i32];
    if commons {
        role.insert(0, v1::Role::Maintainer as i32);
    }
    let agent = |h: &str, k: v1::AgentKind| v1::AgentAdd {
        handle: h.into(),
        kind: k as i32,
        ..Default::default()
    };
    v1::Genesis {
        random: blake3::hash(name.as_bytes()).as_bytes().to_vec(),
        kind: kind as i32,
        name: name.into(),
        sandbox: true,
        steward: ["sam", "mia"]
            .iter()
            .map(|s| v1::NamedKey { agent: (*s).into(), key: key(s).public().bytes().to_vec() })
            .collect(),
        steward_role: role,
        quorum,
        clerk_key: key(&format!("clerk of {name}")).public().bytes().to_vec(),
        operator_key: key(&format!("operator of {name}")).public().bytes().to_vec(),
        agent: vec![
            agent("association", v1::AgentKind::Association),
            agent("trust", v1::AgentKind::Trust),
            agent("upstream", v1::AgentKind::Commons),
            agent("our-commons", v1::AgentKind::Commons),
            agent("phyle-a", v1::AgentKind::Phyle),
            agent("phyle-b", v1::AgentKind::Phyle),
        ],
        equation,
        parent: None,
    }
}

impl World {
    /// An empty ledger whose first statement is `genesis`, signed by sam.
    pub fn open(genesis: v1::Genesis) -> Self {
        let name = genesis.name.clone();
        let mut world = World {
            state: State::default(),
            now: START,
            keys: BTreeMap::new(),
            operator: key(&format!("operator of {name}")),
            entries: Vec::new(),
            frontier: Frontier::default(),
            nodes: BTreeMap::new(),
            nonce: 0,
            postings: Vec::new(),
        };
        world.keys.insert("clerk".into(), key(&format!("clerk of {name}")).seed());
        world.say("sam", vec![Kind::Genesis(genesis)]).unwrap();
        world
    }

    /// A commons with quorum 1.
    pub fn commons(equation: v1::Equation) -> Self {
        Self::open(genesis(v1::AgentKind::Commons, "our-commons", 1, Some(equation)))
    }

    /// A phyle with quorum 1.
    pub fn phyle(name: &str) -> Self {
        Self::open(genesis(v1::AgentKind::Phyle, name, 1, None))
    }

    pub fn days(&mut self, days: u64) {
        self.now += days * DAY_MS;
    }

    pub fn today(&self) -> u32 {
        u32::try_from(self.now / DAY_MS).unwrap()
    }

    pub fn secret(&self, author: &str) -> SecretKey {
        self.keys.get(author).map_or_else(|| key(author), SecretKey::from_seed)
    }

    pub fn header(&mut self, author: &str) -> Header {
        self.nonce += 1;
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&self.nonce.to_be_bytes());
        Header {
            ledger: if self.state.size == 0 { LedgerId::ZERO } else { self.state.ledger },
            author: handle(author),
            nonce,
            created_at: self.now,
            expires_at: self.now + DAY_MS,
            basis: self
                .state
                .chain
                .last()
                .map(|chain| Basis { size: self.state.size, chain: *chain }),
        }
    }

    /// Signs, opens, applies and seals one statement.
    pub fn say(&mut self, author: &str, events: Vec<Kind>) -> Result<u64, Reject> {
        let header = self.header(author);
        let draft = Draft { header, events: events.into_iter().map(encode).collect() };
        let envelope = draft.sign(&self.secret(author));
        self.append(envelope)
    }

    /// Appends an envelope as it is.
    pub fn append(&mut self, envelope: Vec<u8>) -> Result<u64, Reject> {
        let statement = Unverified::parse(&envelope)?.verify(&mut KeyCache::default())?;
        let delta = apply(&self.state, &statement, self.now)?;
        let seq = self.state.size;
        let leaf = Leaf {
            ledger: delta.next.ledger,
            seq,
            previous: self.state.chain.last().copied().unwrap_or([0; 32]),
            recorded_at: self.now,
            envelope: statement.envelope_digest(),
        };
        self.state = delta.next;
        self.postings = delta.postings;
        self.state.seal(leaf.chain_hash());
        let bytes = leaf.to_bytes().to_vec();
        let leaf = tree::leaf_hash(&bytes);
        self.nodes.insert((0, self.frontier.size()), leaf);
        for (level, index, hash) in self.frontier.push(leaf) {
            self.nodes.insert((level, index), hash);
        }
        self.entries.push((bytes, envelope));
        Ok(seq)
    }

    /// Says it and expects this refusal, with nothing changed.
    pub fn refused(&mut self, author: &str, events: Vec<Kind>, code: Code) -> Reject {
        let (size, money) = (self.state.size, self.state.accounts.iter().collect::<Vec<_>>());
        let reject = self.say(author, events).expect_err(&format!("expected {}", code.name()));
        assert_eq!(reject.code, code, "{reject}");
        assert_eq!(self.state.size, size);
        assert_eq!(self.state.accounts.iter().collect::<Vec<_>>(), money);
        reject
    }

    /// Puts an event through the quorum of one.
    pub fn decree(&mut self, event: Kind) -> Result<u64, Reject> {
        let event = vec![encode(event)];
        self.say("sam", vec![Kind::Propose(v1::Propose { event })])
    }

    pub fn checkpoint(&self) -> String {
        let (size, root) = (self.frontier.size(), self.frontier.root());
        Checkpoint { ledger: self.state.ledger, size, root }.sign(&self.operator)
    }

    /// A proof of one entry under the newest checkpoint.
    pub fn prove(&self, seq: u64) -> v1::Proof {
        let read = |level: u32, index: u64| Ok::<_, ()>(self.nodes[&(level, index)]);
        let path = tree::prove_inclusion(seq, self.frontier.size(), read).unwrap();
        let (leaf, envelope) = self.entries[usize::try_from(seq).unwrap()].clone();
        v1::Proof {
            envelope,
            leaf,
            path: path.iter().map(|h| h.to_vec()).collect(),
            checkpoint: self.checkpoint(),
        }
    }

    /// The proof that the newest head goes on from its first `size` entries.
    pub fn consistency(&self, size: u64) -> Vec<Vec<u8>> {
        let read = |level: u32, index: u64| Ok::<_, ()>(self.nodes[&(level, index)]);
        let path = tree::prove_consistency(size, self.frontier.size(), read).unwrap();
        path.iter().map(|hash| hash.to_vec()).collect()
    }

    pub fn id(&self, agent: &str) -> AgentId {
        self.state.find(&handle(agent)).unwrap()
    }

    /// Accrued, in whole minor units.
    pub fn accrued(&self, agent: &str) -> i128 {
        subak_ledger::book::types::whole(self.state.accrued(self.id(agent), currency(EUR)))
    }

    /// Payable, in whole minor units, before what was drawn.
    pub fn payable(&self, agent: &str) -> i128 {
        subak_ledger::book::types::whole(self.state.payable(self.id(agent), currency(EUR)))
    }

    /// A person with a key, admitted.
    pub fn add_person(&mut self, name: &str) {
        let add = v1::AgentAdd {
            handle: name.into(),
            kind: v1::AgentKind::Person as i32,
            key: key(name).public().bytes().to_vec(),
            ..Default::default()
        };
        self.say("sam", vec![Kind::AgentAdd(add)]).unwrap();
    }

    /// A claim by sam for one agent, one part; returns its place.
    pub fn contribute(&mut self, agent: &str, kind: &str, quantity: u64) -> v1::Ref {
        let c = v1::Contribute {
            reference: format!("test:{}", self.nonce),
            kind: kind.into(),
            stream: v1::Stream::Livelihood as i32,
            worked_on: self.today(),
            part: vec![v1::Part { agent: agent.into(), quantity }],
            evidence: vec![],
        };
        v1::Ref { entry: self.say("sam", vec![Kind::Contribute(c)]).unwrap(), event: 0 }
    }

    /// A validation of one contribution, as unpaid work.
    pub fn validate(&mut self, by: &str, place: v1::Ref) -> Result<u64, Reject> {
        let span = vec![v1::Span { first: Some(place), last: Some(place) }];
        let remuneration = v1::Remuneration::Unpaid as i32;
        self.say(by, vec![Kind::Validate(v1::Validate { span, remuneration, quantity: vec![] })])
    }

    /// Terms between a phyle (payer) and this commons.
    pub fn terms(&self, payer: &World, payer_handle: &str, share: u32) -> v1::Terms {
        v1::Terms {
            payer: payer.state.ledger.0.to_vec(),
            payer_operator: payer.operator.public().bytes().to_vec(),
            commons: self.state.ledger.0.to_vec(),
            commons_operator: self.operator.public().bytes().to_vec(),
            payer_handle: payer_handle.into(),
            commons_handle: "our-commons".into(),
            share,
            base: v1::Base::Net as i32,
            currency: EUR.into(),
            due_days: 30,
            notice_days: 30,
            product: String::new(),
            random: vec![7; 16],
        }
    }
}

/// The whole handshake; returns the agreement's digest.
pub fn agree(payer: &mut World, commons: &mut World, terms: v1::Terms) -> Hash {
    let digest = subak_ledger::book::event::terms_digest(&terms).unwrap();
    let stage = |stage: v1::Stage| {
        Kind::AgreementStage(v1::AgreementStage { agreement: digest.to_vec(), stage: stage as i32 })
    };
    payer.decree(Kind::AgreementOffer(v1::AgreementOffer { terms: Some(terms.clone()) })).unwrap();
    let offered = payer.say("clerk", vec![stage(v1::Stage::Offered)]).unwrap();
    let proof = Some(payer.prove(offered));
    let accept = v1::AgreementAccept { terms: Some(terms), proof };
    commons.decree(Kind::AgreementAccept(accept)).unwrap();
    let accepted = commons.say("clerk", vec![stage(v1::Stage::Accepted)]).unwrap();
    let proof = Some(commons.prove(accepted));
    let active = v1::AgreementActive { agreement: digest.to_vec(), proof };
    payer.say("clerk", vec![Kind::AgreementActive(active)]).unwrap();
    digest
}

impl World {
    /// Records an invoice of `net` minor units in a phyle's ledger; returns its entry.
    pub fn earn(&mut self, number: u64, net: u64) -> u64 {
        let due = self.state.dues_of_revenue(None, currency(EUR), (net, 0), self.now);
        let record = v1::RevenueRecord {
            invoice: Some(v1::Invoice { series: "inv".into(), number, line: 0 }),
            currency: EUR.into(),
            net,
            due,
            ..Default::default()
        };
        self.say("sam", vec![Kind::RevenueRecord(record)]).unwrap()
    }

    /// Takes back `net` of an invoice.
    pub fn refund(&mut self, number: u64, net: u64) -> u64 {
        let id = subak_ledger::book::event::InvoiceId { series: handle("inv"), number, line: 0 };
        let due = self.state.dues_of_reversal(&id, net, 0);
        let reverse = v1::RevenueReverse {
            invoice: Some(v1::Invoice { series: "inv".into(), number, line: 0 }),
            net,
            cause: v1::Cause::Refund as i32,
            due,
            ..Default::default()
        };
        self.say("sam", vec![Kind::RevenueReverse(reverse)]).unwrap()
    }

    /// Takes an entry of a payer as income.
    pub fn take(&mut self, payer: &World, entry: u64, agreement: Hash) -> Result<u64, Reject> {
        let proof = Some(payer.prove(entry));
        self.say(
            "clerk",
            vec![Kind::IncomeTake(v1::IncomeTake { agreement: agreement.to_vec(), proof })],
        )
    }

    /// Cash under an agreement, with a bank reference of its own.
    pub fn settle(&mut self, agreement: Hash, minor: u64) -> Result<u64, Reject> {
        let bank = format!("bank:{}", self.nonce);
        let agreement = agreement.to_vec();
        let s = v1::SettlementReceived { agreement, minor, bank, ..Default::default() };
        self.say("sam", vec![Kind::SettlementReceived(s)])
    }

    /// A gift: income that is cash at once.
    pub fn gift(&mut self, minor: u64) -> u64 {
        let amount = Some(v1::Amount { currency: EUR.into(), minor });
        let bank = format!("bank:{}", self.nonce);
        let income = v1::IncomeRecord { payer: "phyle-a".into(), amount, bank, note: vec![] };
        self.say("sam", vec![Kind::IncomeRecord(income)]).unwrap()
    }

    /// Proposes one run; returns its entry.
    pub fn propose(&mut self, lines: &[(&str, u64)]) -> Result<u64, Reject> {
        let line = lines
            .iter()
            .map(|(agent, minor)| v1::PayoutLine { agent: (*agent).into(), minor: *minor })
            .collect();
        let expires_at = self.now + 30 * DAY_MS;
        let p =
            v1::PayoutPropose { currency: EUR.into(), line, expires_at, cash_of: String::new() };
        self.say("sam", vec![Kind::PayoutPropose(p)])
    }

    /// Marks lines of a run as paid.
    pub fn paid(&mut self, run: u64, agents: &[&str]) -> Result<u64, Reject> {
        let handles: Vec<Handle> = agents.iter().map(|a| handle(a)).collect();
        let due = self.state.dues_of_payment(run, &handles);
        let bank = format!("bank:{}", self.nonce);
        let agent = agents.iter().map(ToString::to_string).collect();
        self.say("sam", vec![Kind::PayoutPaid(v1::PayoutPaid { run, agent, bank, fee: None, due })])
    }
}

// Refusals, and logs that lie.
impl World {
    /// Says it and expects a refusal, with nothing changed; returns the refusal.
    pub fn refusal(&mut self, author: &str, events: Vec<Kind>) -> Reject {
        let before = (self.state.size, self.state.accounts.iter().collect::<Vec<_>>());
        let reject = self.say(author, events).expect_err("expected a refusal");
        let after = (self.state.size, self.state.accounts.iter().collect::<Vec<_>>());
        assert_eq!(before, after, "a refused statement changes nothing: {reject}");
        reject
    }

    /// As [`World::refusal`], of an event that goes through the quorum of one.
    pub fn refused_decree(&mut self, event: Kind) -> Reject {
        self.refusal("sam", vec![Kind::Propose(v1::Propose { event: vec![encode(event)] })])
    }

    /// Appends what `apply` never saw: the log of an operator who lies.
    pub fn forge(&mut self, author: &str, events: Vec<Kind>) -> u64 {
        let header = self.header(author);
        let draft = Draft { header, events: events.into_iter().map(encode).collect() };
        self.forge_envelope(draft.sign(&self.secret(author)))
    }

    /// As [`World::forge`], of an envelope as it is.
    pub fn forge_envelope(&mut self, envelope: Vec<u8>) -> u64 {
        let seq = self.state.size;
        let leaf = Leaf {
            ledger: self.state.ledger,
            seq,
            previous: self.state.chain.last().copied().unwrap_or([0; 32]),
            recorded_at: self.now,
            envelope: *blake3::hash(&envelope).as_bytes(),
        };
        self.state.seal(leaf.chain_hash());
        let bytes = leaf.to_bytes().to_vec();
        let leaf = tree::leaf_hash(&bytes);
        self.nodes.insert((0, self.frontier.size()), leaf);
        for (level, index, hash) in self.frontier.push(leaf) {
            self.nodes.insert((level, index), hash);
        }
        self.entries.push((bytes, envelope));
        seq
    }

    /// The same ledger, read again from its raw entries: where two histories can part.
    pub fn twin(&self) -> Self {
        let mut twin = World {
            state: State::default(),
            now: START,
            keys: self.keys.clone(),
            operator: SecretKey::from_seed(&self.operator.seed()),
            entries: Vec::new(),
            frontier: Frontier::default(),
            nodes: BTreeMap::new(),
            nonce: self.nonce + 1_000_000,
            postings: Vec::new(),
        };
        for (leaf, envelope) in &self.entries {
            twin.now = Leaf::from_bytes(leaf).unwrap().recorded_at;
            twin.append(envelope.clone()).unwrap();
        }
        assert_eq!(twin.frontier.root(), self.frontier.root(), "the same entries, the same root");
        twin.now = self.now;
        twin
    }

    /// What a genesis by sam is refused for.
    pub fn refused_genesis(genesis: v1::Genesis) -> Reject {
        let header = Header {
            ledger: LedgerId::ZERO,
            author: handle("sam"),
            nonce: [1; 16],
            created_at: START,
            expires_at: START + DAY_MS,
            basis: None,
        };
        let draft = Draft { header, events: vec![encode(Kind::Genesis(genesis))] };
        let envelope = draft.sign(&key("sam"));
        let statement = Unverified::parse(&envelope).unwrap().verify(&mut KeyCache::default());
        apply(&State::default(), &statement.unwrap(), START).expect_err("expected a refusal")
    }

    /// A person whom nobody has claimed, as an import leaves them.
    pub fn add_unclaimed(&mut self, name: &str) {
        let kind = v1::AgentKind::Person as i32;
        let add = v1::AgentAdd { handle: name.into(), kind, ..Default::default() };
        self.say("sam", vec![Kind::AgentAdd(add)]).unwrap();
    }

    /// The clerk states a stage; returns the entry that a proof is about.
    pub fn state_stage(&mut self, agreement: Hash, stage: v1::Stage) -> Result<u64, Reject> {
        let agreement = agreement.to_vec();
        let stage = v1::AgreementStage { agreement, stage: stage as i32 };
        self.say("clerk", vec![Kind::AgreementStage(stage)])
    }

    /// An invoice of series `inv`, recorded whole, with the dues that the rules give.
    pub fn revenue(&self, number: u64, net: u64) -> v1::RevenueRecord {
        v1::RevenueRecord {
            invoice: Some(v1::Invoice { series: "inv".into(), number, line: 0 }),
            currency: EUR.into(),
            net,
            due: self.state.dues_of_revenue(None, currency(EUR), (net, 0), self.now),
            ..Default::default()
        }
    }
}

/// A commons with two contributors of 15 points each, one equation for everybody.
pub fn two_contributors() -> World {
    let mut commons = World::commons(equation(1, &[("contributors", 1_000_000, None, &[1])]));
    for who in ["ana", "ben"] {
        commons.add_person(who);
        let place = commons.contribute(who, "commit", 15_000);
        commons.validate("sam", place).unwrap();
    }
    commons
}

/// That commons and a phyle that owes it a tenth of its net revenue.
pub fn agreed() -> (World, World, Hash) {
    let (mut payer, mut commons) = (World::phyle("phyle-a"), two_contributors());
    let terms = commons.terms(&payer, "phyle-a", 100_000);
    let agreement = agree(&mut payer, &mut commons, terms);
    (payer, commons, agreement)
}

/// Takes an entry of a payer as income.
pub fn income_take(payer: &World, entry: u64, agreement: Hash) -> Kind {
    let proof = Some(payer.prove(entry));
    Kind::IncomeTake(v1::IncomeTake { agreement: agreement.to_vec(), proof })
}

/// A commons with its own name that gives a tenth to an upstream commons, which it
/// knows as `upstream`, and the rest to ana.
pub fn downstream(name: &str) -> World {
    let buckets: [(&str, u32, Option<&str>, &[u32]); 2] =
        [("upstream", 100_000, Some("upstream"), &[]), ("contributors", 900_000, None, &[1])];
    let equation = equation(1, &buckets);
    let mut world = World::open(genesis(v1::AgentKind::Commons, name, 1, Some(equation)));
    world.add_person("ana");
    let place = world.contribute("ana", "commit", 1_000);
    world.validate("sam", place).unwrap();
    world
}

impl World {
    /// An institution, known from now on.
    pub fn add_institution(&mut self, name: &str, kind: v1::AgentKind) {
        let add = v1::AgentAdd { handle: name.into(), kind: kind as i32, ..Default::default() };
        self.say("sam", vec![Kind::AgentAdd(add)]).unwrap();
    }

    /// Terms by which `payer` passes its payouts on to this commons.
    pub fn payout_terms(
        &self,
        payer: &World,
        payer_handle: &str,
        commons_handle: &str,
    ) -> v1::Terms {
        v1::Terms {
            base: v1::Base::Payout as i32,
            commons_handle: commons_handle.into(),
            ..self.terms(payer, payer_handle, 1_000_000)
        }
    }

    /// A paid line comes back.
    pub fn returned(&mut self, run: u64, agent: &str) -> Result<u64, Reject> {
        let due = self.state.dues_of_return(run, &handle(agent));
        let reason = v1::FailReason::AccountClosed as i32;
        let (agent, bank) = (agent.into(), format!("bank:back-{}", self.nonce));
        self.say(
            "sam",
            vec![Kind::PayoutReturned(v1::PayoutReturned { run, agent, reason, bank, due })],
        )
    }
}

impl World {
    /// Somebody else introduces a person: with a key, or unclaimed.
    pub fn introduce(&mut self, name: &str, with_key: bool) {
        let add = v1::AgentAdd {
            handle: name.into(),
            kind: v1::AgentKind::Person as i32,
            key: if with_key { key(name).public().bytes().to_vec() } else { vec![] },
            ..Default::default()
        };
        self.say("sam", vec![Kind::AgentAdd(add)]).unwrap();
    }

    /// A role, by the quorum of one.
    pub fn grant(&mut self, name: &str, role: v1::Role) {
        let grant = v1::RoleGrant { agent: name.into(), role: role as i32 };
        self.decree(Kind::RoleGrant(grant)).unwrap();
    }

    /// The state that a mirror folds from the recorded bytes alone, in place.
    pub fn replayed(&self) -> State {
        let (mut state, mut journal) = (State::default(), Vec::new());
        let mut keys = KeyCache::default();
        for (leaf, envelope) in &self.entries {
            let leaf = Leaf::from_bytes(leaf).unwrap();
            let statement = Unverified::parse(envelope).unwrap().verify(&mut keys).unwrap();
            state.replay_statement(&statement, leaf.recorded_at, &mut journal).unwrap();
            state.seal(leaf.chain_hash());
        }
        state
    }
}

// What everybody has, published.
impl World {
    /// The clerk states the root of what everybody has.
    pub fn state_root(&mut self) -> Result<u64, Reject> {
        let (root, leaves) = state_root::root(&self.state);
        self.say("clerk", vec![Kind::StateRoot(v1::StateRoot { root: root.to_vec(), leaves })])
    }

    /// What the rules would say of the clerk's statement of this root, now.
    pub fn judge_root(&self, root: Hash, leaves: u64) -> Result<(), Reject> {
        let (created_at, expires_at) = (self.now, self.now + DAY_MS);
        let (ledger, author) = (self.state.ledger, handle("clerk"));
        let nonce = [255; 16];
        let header = Header { ledger, author, nonce, created_at, expires_at, basis: None };
        let event = Kind::StateRoot(v1::StateRoot { root: root.to_vec(), leaves });
        let envelope = Draft { header, events: vec![encode(event)] }.sign(&self.secret("clerk"));
        let statement = Unverified::parse(&envelope)?.verify(&mut KeyCache::default())?;
        apply(&self.state, &statement, self.now).map(drop)
    }
}

/// An equation of one bucket for everybody's work.
pub fn for_everybody(validators: u32, maturity_days: u32) -> v1::Equation {
    let everybody: (&str, u32, Option<&str>, &[u32]) = ("all", 1_000_000, None, &[1]);
    v1::Equation { validators, maturity_days, ..equation(1, &[everybody]) }
}

/// A commons with two contributors, ana and ben.
pub fn with_two(equation: v1::Equation) -> World {
    let mut world = World::commons(equation);
    for name in ["ana", "ben"] {
        world.add_person(name);
    }
    world
}

/// A validation with another quantity for one part.
pub fn requantify(place: v1::Ref, agent: &str, quantity: u64) -> Kind {
    Kind::Validate(v1::Validate {
        span: vec![v1::Span { first: Some(place), last: Some(place) }],
        remuneration: v1::Remuneration::Unpaid as i32,
        quantity: vec![v1::Part { agent: agent.into(), quantity }],
    })
}

/// Points that count for an agent now, thousandths.
pub fn points(world: &World, agent: &str) -> u64 {
    world.state.points(world.id(agent))
}

// Keys.
impl World {
    /// The proof that whoever gets the key called `name` holds it.
    pub fn possession(&self, agent: &str, name: &str) -> Vec<u8> {
        let (ledger, bytes) = (&self.state.ledger.0, key(name).public().bytes());
        let text = subak_ledger::book::agents::possession_text(ledger, &handle(agent), &bytes);
        key(name).sign(&text).to_vec()
    }

    /// A further key of an agent's.
    pub fn key_add(&self, agent: &str, name: &str) -> Kind {
        let key = key(name).public().bytes().to_vec();
        Kind::KeyAdd(v1::KeyAdd { key, possession: self.possession(agent, name) })
    }

    /// A key for somebody who has lost theirs.
    pub fn key_recover(&self, agent: &str, name: &str) -> Kind {
        let (key, possession) = (key(name).public().bytes().to_vec(), self.possession(agent, name));
        Kind::KeyRecover(v1::KeyRecover { agent: agent.into(), key, possession })
    }

    /// From now on the agent signs with the key called `name`.
    pub fn sign_with(&mut self, agent: &str, name: &str) {
        self.keys.insert(agent.into(), key(name).seed());
    }
}

pub fn key_revoke(name: &str, since: u64) -> Kind {
    Kind::KeyRevoke(v1::KeyRevoke { key: key(name).public().bytes().to_vec(), since })
}

pub fn effects_confirm(name: &str, agents: &[&str]) -> Kind {
    let (key, agent) = (key(name).public().bytes().to_vec(), agents.iter().map(|a| (*a).into()));
    Kind::EffectsConfirm(v1::EffectsConfirm { key, agent: agent.collect() })
}

// The operator.
impl World {
    /// The head as it is.
    pub fn head(&self) -> Checkpoint {
        let (size, root) = (self.frontier.size(), self.frontier.root());
        Checkpoint { ledger: self.state.ledger, size, root }
    }

    /// A handover at this head to the operator's key called `to`; these consent.
    pub fn handover(&self, to: &str, consent: &[&SecretKey]) -> v1::Handover {
        let clerk = self.state.agents.iter().find(|agent| agent.clerk).unwrap().keys[0];
        self.handover_at(self.head(), (to, clerk), consent)
    }

    /// As [`World::handover`], at another head, to another clerk.
    pub fn handover_at(
        &self,
        head: Checkpoint,
        (to, clerk): (&str, Hash),
        consent: &[&SecretKey],
    ) -> v1::Handover {
        let (before, to) = (self.operator.public().bytes(), key(to));
        let expires_at = self.now + DAY_MS;
        let keys = (&to.public().bytes(), &clerk);
        let text = handover_text(&head, &before, keys, expires_at);
        let sign = |key: &SecretKey| key.sign(&text).to_vec();
        let mut consent: Vec<_> = consent
            .iter()
            .map(|by| v1::Consent { key: by.public().bytes().to_vec(), signature: sign(by) })
            .collect();
        consent.sort_by(|a, b| a.key.cmp(&b.key));
        v1::Handover {
            key: to.public().bytes().to_vec(),
            clerk: clerk.to_vec(),
            checkpoint: head.sign(&self.operator),
            possession: sign(&to),
            consent,
            expires_at,
        }
    }

    /// The operator hands over to the key called `to`, which signs from then on.
    pub fn rotate(&mut self, to: &str) -> u64 {
        let handover = self.handover(to, &[&self.operator]);
        let entry = self.say("clerk", vec![Kind::Handover(handover)]).unwrap();
        self.operator = key(to);
        entry
    }

    /// As [`World::rotate`], by its stewards.
    pub fn move_to(&mut self, to: &str, stewards: &[&str]) -> u64 {
        let stewards: Vec<SecretKey> = stewards.iter().map(|name| self.secret(name)).collect();
        let consent: Vec<&SecretKey> = stewards.iter().collect();
        let clerk = format!("clerk at {to}");
        let place = (to, key(&clerk).public().bytes());
        let handover = self.handover_at(self.head(), place, &consent);
        let entry = self.say("sam", vec![Kind::Handover(handover)]).unwrap();
        self.sign_with("clerk", &clerk);
        self.operator = key(to);
        entry
    }
}

pub fn take_handover(from: &World, entry: u64) -> Kind {
    let (ledger, proof) = (from.state.ledger.0.to_vec(), Some(from.prove(entry)));
    Kind::HandoverTake(v1::HandoverTake { ledger, proof })
}

/// What a fork of `parent` at its end cites, proven by its newest head.
pub fn cite(parent: &World) -> v1::Parent {
    v1::Parent {
        ledger: parent.state.ledger.0.to_vec(),
        size: parent.state.size,
        root: parent.frontier.root().to_vec(),
        operator: parent.operator.public().bytes().to_vec(),
        checkpoint: parent.checkpoint(),
        path: vec![],
        copy: digest_of(&copy(&parent.state)[0]).to_vec(),
    }
}

/// What it copies, part by part.
pub fn parts(parent: &World) -> Vec<Kind> {
    copy(&parent.state).into_iter().map(Kind::ForkCopy).collect()
}

/// A fork of `parent` as it is now, whole.
pub fn fork_of(parent: &World, genesis: v1::Genesis) -> World {
    let mut fork = World::open(genesis);
    fork.now = parent.now;
    for part in parts(parent) {
        fork.say("clerk", vec![part]).unwrap();
    }
    fork
}
