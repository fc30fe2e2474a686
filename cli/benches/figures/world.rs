//! A commons to measure with: keys, statements, and the fold of them in memory.

use prost::Message as _;
use std::time::{SystemTime, UNIX_EPOCH};
use subak_ledger::{
    book::{apply::apply, state::State, types::Handle},
    log::{
        Basis, Draft, Header, Leaf, LedgerId, SecretKey, Statement, Unverified, entry::NO_PREVIOUS,
    },
};
use subak_proto::v1::{self, event::Kind};

pub const DAY_MS: u64 = 86_400_000;

/// Steward, maintainer and treasurer, and the only author.
pub const SAM: &str = "sam";

/// A key from a name, the same in every run.
pub fn key(name: &str) -> SecretKey {
    SecretKey::from_seed(&blake3::derive_key("subak bench key", name.as_bytes()))
}

pub fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

pub fn encode(kind: Kind) -> Vec<u8> {
    v1::Event { kind: Some(kind) }.encode_to_vec()
}

/// Signs statements of one author, each with a nonce of its own.
pub struct Author {
    key: SecretKey,
    ledger: LedgerId,
    nonce: u64,
    pub at: u64,
    lifetime: u64,
    /// What it has seen, where that matters.
    pub basis: Option<Basis>,
}

impl Author {
    pub fn sam(ledger: LedgerId) -> Self {
        Self::of(ledger, now(), DAY_MS)
    }

    /// Sam, who says at first at `at` what may be admitted for `lifetime`, ms.
    pub fn of(ledger: LedgerId, at: u64, lifetime: u64) -> Self {
        Self { key: key(SAM), ledger, nonce: 0, at, lifetime, basis: None }
    }

    pub fn say(&mut self, events: Vec<Vec<u8>>) -> Vec<u8> {
        self.nonce += 1;
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&self.nonce.to_be_bytes());
        let header = Header {
            ledger: self.ledger,
            author: Handle::new(SAM).unwrap(),
            nonce,
            created_at: self.at,
            expires_at: self.at + self.lifetime,
            basis: self.basis,
        };
        Draft { header, events }.sign(&self.key)
    }
}

/// A commons: 15 % to an association, 5 % upstream, 80 % to whoever works.
pub fn genesis(operator: [u8; 32], clerk: [u8; 32]) -> v1::Genesis {
    let agent = |handle: &str, kind: v1::AgentKind| v1::AgentAdd {
        handle: handle.into(),
        kind: kind as i32,
        ..Default::default()
    };
    let bucket = |name: &str, share, to| v1::Bucket { name: name.into(), share, to: Some(to) };
    let all = v1::Contributors { weight: vec![1], ..Default::default() };
    v1::Genesis {
        random: now().to_be_bytes().repeat(4),
        kind: v1::AgentKind::Commons as i32,
        name: "measured".into(),
        sandbox: false,
        steward: vec![v1::NamedKey { agent: SAM.into(), key: key(SAM).public().bytes().to_vec() }],
        steward_role: vec![v1::Role::Maintainer as i32, v1::Role::Treasurer as i32],
        quorum: 1,
        clerk_key: clerk.to_vec(),
        operator_key: operator.to_vec(),
        agent: vec![
            agent("association", v1::AgentKind::Association),
            agent("phyle", v1::AgentKind::Phyle),
            agent("upstream", v1::AgentKind::Commons),
        ],
        parent: None,
        equation: Some(v1::Equation {
            name: "measured".into(),
            version: 1,
            rate: vec![v1::Rate { kind: "commit".into(), points: 1 }],
            bucket: vec![
                bucket("association", 150_000, v1::bucket::To::Agent("association".into())),
                bucket("upstream", 50_000, v1::bucket::To::Agent("upstream".into())),
                bucket("work", 800_000, v1::bucket::To::Contributors(all)),
            ],
            validators: 1,
            held_days: 30,
            ..Default::default()
        }),
    }
}

/// Somebody without a key.
pub fn person(handle: &str) -> Vec<u8> {
    let kind = v1::AgentKind::Person as i32;
    encode(Kind::AgentAdd(v1::AgentAdd { handle: handle.into(), kind, ..Default::default() }))
}

/// One unit of yesterday's work, known by a number.
pub fn work(agent: &str, number: usize) -> Vec<u8> {
    work_before(now(), agent, number)
}

/// One unit of work of the day before.
pub fn work_before(time: u64, agent: &str, number: usize) -> Vec<u8> {
    encode(Kind::Contribute(v1::Contribute {
        reference: format!("test:{number:x}"),
        kind: "commit".into(),
        stream: v1::Stream::Livelihood as i32,
        worked_on: u32::try_from(time / DAY_MS).unwrap() - 1,
        part: vec![v1::Part { agent: agent.into(), quantity: 1_000 }],
        evidence: vec![],
    }))
}

/// A validation of everything in the entries from `first` to `last`.
pub fn validate(first: u64, last: u64) -> Vec<u8> {
    let place = |entry, event| Some(v1::Ref { entry, event });
    let span = vec![v1::Span { first: place(first, 0), last: place(last, 999) }];
    let remuneration = v1::Remuneration::Unpaid as i32;
    encode(Kind::Validate(v1::Validate { span, remuneration, quantity: vec![] }))
}

/// A gift of the phyle's.
pub fn gift(number: usize) -> Vec<u8> {
    encode(Kind::IncomeRecord(v1::IncomeRecord {
        payer: "phyle".into(),
        amount: Some(v1::Amount { currency: "EUR".into(), minor: 123_457 }),
        bank: format!("bank:{number}"),
        note: vec![],
    }))
}

/// A commons in memory: the state alone, no store.
pub struct Book {
    pub state: State,
    pub author: Author,
    at: u64,
}

impl Book {
    pub fn open() -> Self {
        let mut genesis_author = Author::sam(LedgerId::ZERO);
        let (operator, clerk) = (key("operator").public(), key("clerk").public());
        let genesis = encode(Kind::Genesis(genesis(operator.bytes(), clerk.bytes())));
        let envelope = genesis_author.say(vec![genesis]);
        let mut book = Self { state: State::default(), author: genesis_author, at: now() };
        book.replay(&statement(&envelope));
        book.author = Author::sam(book.state.ledger);
        book
    }

    /// A commons in which `count` people have one point of work each.
    pub fn of_contributors(count: usize) -> Self {
        let mut book = Self::open();
        let people: Vec<String> = (0..count).map(|n| format!("person-{n}")).collect();
        for part in people.chunks(1_000) {
            book.say(part.iter().map(|name| person(name)).collect());
        }
        let first = book.state.size;
        let numbered: Vec<_> = people.iter().enumerate().collect();
        for part in numbered.chunks(1_000) {
            book.say(part.iter().map(|(n, name)| work(name, *n)).collect());
        }
        let last = book.state.size - 1;
        // A validation covers 100,000 contributions at most.
        let mut from = first;
        while from <= last {
            let to = last.min(from + 99);
            book.say(vec![validate(from, to)]);
            from = to + 1;
        }
        book
    }

    /// The signature is not looked at: what is measured here is the book.
    pub fn sign(&mut self, events: Vec<Vec<u8>>) -> Statement {
        let (size, chain) = (self.state.size, self.state.chain.last());
        self.author.basis = chain.map(|chain| Basis { size, chain: *chain });
        statement(&self.author.say(events))
    }

    /// Signs and folds in place.
    pub fn say(&mut self, events: Vec<Vec<u8>>) {
        let statement = self.sign(events);
        self.replay(&statement);
    }

    fn replay(&mut self, statement: &Statement) {
        self.state.replay_statement(statement, self.at, &mut Vec::new()).unwrap();
        let chain = self.leaf(statement).chain_hash();
        self.state.seal(chain);
    }

    /// As a node does it: the old state stays whole until the new one is there.
    pub fn apply(&mut self, statement: &Statement) {
        let mut next = apply(&self.state, statement, self.at).unwrap().next;
        let chain = self.leaf(statement).chain_hash();
        next.seal(chain);
        self.state = next;
    }

    fn leaf(&self, statement: &Statement) -> Leaf {
        Leaf {
            ledger: self.state.ledger,
            seq: self.state.size,
            previous: self.state.chain.last().copied().unwrap_or(NO_PREVIOUS),
            recorded_at: self.at,
            envelope: statement.envelope_digest(),
        }
    }
}

pub fn statement(envelope: &[u8]) -> Statement {
    Unverified::parse(envelope).and_then(Unverified::trust_stored).unwrap()
}
