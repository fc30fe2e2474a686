//! What people say to the three nodes while these are killed, stopped and cut off.
//!
//! Owns the clients of each node, and the bank between them: cash that one says to have sent, the next
//! records when it has arrived. One client a node keeps its books; others, at the same time, say what
//! rests on nothing else. A statement without an answer is sent again, the same bytes, until
//! there is one. Guarantees that every answer is kept, and that a statement which is refused
//! for another reason than that it is there already ends the test. Leaves out what is checked of it.

use crate::{
    kit::{DAY_MS, Dice, append, now},
    world::World,
};
use prost::Message as _;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use subak_ledger::{
    book::{
        accounts::Fund,
        agreement::Agreement,
        event::InvoiceId,
        state::{Fate, Line, State},
        types::{Currency, Handle},
    },
    log::{Draft, Hash, Header, LedgerId, SecretKey},
};
use subak_node::{Appended, Ledgers as _, NodeError, client::Remote};
use subak_proto::v1::{self, event::Kind};
use tokio::time::sleep;

/// Clients of a node.
pub const HANDS: usize = 3;
/// The pause after something that failed.
const AGAIN: Duration = Duration::from_millis(100);

/// What clients and the script tell each other.
#[derive(Default)]
pub struct Talk {
    /// The longest pause of a client between two statements, milliseconds.
    breath: u64,
    /// Nothing new is said, by anybody.
    pub ended: AtomicBool,
    /// Only what the bank still has is said.
    pub closing: AtomicBool,
    /// Nothing new is said to this node.
    pub paused: [AtomicBool; 3],
    /// Clients of this node to whom everything was answered, while it is paused.
    pub idle: [AtomicUsize; 3],
    /// Statements with an answer.
    pub said: [AtomicU64; 3],
    /// Cash on its way to the commons, and to the one upstream.
    pub bank: [Mutex<VecDeque<u64>>; 2],
}

impl Talk {
    pub fn new(breath: u64) -> Self {
        Self { breath, ..Self::default() }
    }

    pub fn said(&self, who: usize) -> u64 {
        self.said[who].load(Ordering::SeqCst)
    }

    /// Whether everybody has had an answer, and nobody speaks to this node.
    pub fn is_idle(&self, who: usize) -> bool {
        self.idle[who].load(Ordering::SeqCst) == HANDS
    }

    pub fn pause(&self, who: usize, paused: bool) {
        self.paused[who].store(paused, Ordering::SeqCst);
    }
}

/// What a client has at the end.
#[derive(Default)]
pub struct Kept {
    /// Digest of the envelope, and the answer.
    pub acknowledged: Vec<(Hash, Appended)>,
    /// Taken, as was found when they were sent again.
    pub found: Vec<Hash>,
    /// By what it is.
    pub kinds: BTreeMap<&'static str, u64>,
}

/// Somebody who speaks to one node.
pub struct Client {
    who: usize,
    /// The first keeps the books.
    hand: usize,
    url: String,
    ledger: LedgerId,
    agreements: [Hash; 2],
    keys: BTreeMap<&'static str, SecretKey>,
    talk: Arc<Talk>,
    dice: Dice,
    number: u64,
    kept: Kept,
}

/// What is said next: by whom, and what.
struct Wish {
    name: &'static str,
    author: &'static str,
    kind: Kind,
    /// Cash that is on its way once this is said: to whom.
    sends: Option<(usize, u64)>,
    /// Cash that has arrived with it.
    takes: Option<usize>,
}

impl Wish {
    fn new(name: &'static str, author: &'static str, kind: Kind) -> Self {
        Self { name, author, kind, sends: None, takes: None }
    }
}

fn euro() -> Currency {
    Currency::new("EUR").unwrap()
}

impl Client {
    pub fn new(world: &World, (who, hand): (usize, usize), talk: &Arc<Talk>, seed: u64) -> Self {
        let member = &world.members[who];
        let people: &[&'static str] = [&["tess"][..], &["ana", "ben"], &["uma", "vic"]][who];
        Self {
            who,
            hand,
            url: member.url(),
            ledger: member.ledger,
            agreements: world.agreements,
            keys: people.iter().map(|name| (*name, member.key(name))).collect(),
            talk: talk.clone(),
            dice: Dice(seed),
            number: 0,
            kept: Kept::default(),
        }
    }

    /// Speaks until the end.
    pub async fn run(mut self) -> Kept {
        let remote = loop {
            match Remote::connect(&self.url, None).await {
                Ok(remote) => break remote,
                Err(_) => sleep(AGAIN).await,
            }
        };
        while !self.talk.ended.load(Ordering::SeqCst) {
            self.wait_while_paused().await;
            let wish = if self.hand > 0 { Ok(self.small()) } else { self.of_book(&remote).await };
            match wish {
                Ok(Some(wish)) => self.say(&remote, wish).await,
                Ok(None) => sleep(AGAIN / 5).await,
                Err(error) => self.bear(&error).await,
            }
            sleep(Duration::from_millis(self.dice.below(self.talk.breath))).await;
        }
        self.kept
    }

    async fn wait_while_paused(&self) {
        if !self.talk.paused[self.who].load(Ordering::SeqCst) {
            return;
        }
        self.talk.idle[self.who].fetch_add(1, Ordering::SeqCst);
        while self.talk.paused[self.who].load(Ordering::SeqCst) {
            sleep(AGAIN / 5).await;
        }
        self.talk.idle[self.who].fetch_sub(1, Ordering::SeqCst);
    }

    async fn of_book(&mut self, remote: &Remote) -> Result<Option<Wish>, NodeError> {
        Ok(self.wish(&*remote.book(self.ledger).await?))
    }

    /// What rests on nothing else.
    fn small(&mut self) -> Option<Wish> {
        if self.talk.closing.load(Ordering::SeqCst) {
            return None;
        }
        let number = self.number + 1;
        Some(match self.who {
            0 => {
                let void = v1::InvoiceVoid { series: format!("void-{}", self.hand), number };
                Wish::new("void", "tess", Kind::InvoiceVoid(void))
            }
            1 => self.work("ben"),
            _ => self.work("vic"),
        })
    }

    /// Waits, if it is the world that failed.
    async fn bear(&self, error: &NodeError) {
        let world = matches!(error, NodeError::World { .. });
        assert!(world && error.code() != "older-database", "{}: {error}", self.url);
        sleep(AGAIN).await;
    }

    /// Says it until it is there.
    async fn say(&mut self, remote: &Remote, wish: Wish) {
        let envelope = self.sign(&wish);
        let digest = *blake3::hash(&envelope).as_bytes();
        let mut again = false;
        loop {
            match remote.append(append(&envelope)).await {
                Ok(appended) => self.kept.acknowledged.push((digest, appended)),
                Err(NodeError::Refused { code, .. }) if again && code == "replayed" => {
                    self.kept.found.push(digest);
                }
                // The phyle has taken something back since the book was read.
                Err(NodeError::Refused { code, .. }) if code == "unpayable" => {
                    *self.kept.kinds.entry("refused: unpayable").or_default() += 1;
                    return;
                }
                Err(error) => {
                    again = true;
                    assert!(!matches!(error, NodeError::Refused { .. }), "{}: {error}", wish.name);
                    self.bear(&error).await;
                    continue;
                }
            }
            break;
        }
        *self.kept.kinds.entry(wish.name).or_default() += 1;
        if let Some((to, cash)) = wish.sends {
            self.talk.bank[to].lock().unwrap().push_back(cash);
        }
        if let Some(of) = wish.takes {
            self.talk.bank[of].lock().unwrap().pop_front();
        }
        self.talk.said[self.who].fetch_add(1, Ordering::SeqCst);
    }

    fn sign(&mut self, wish: &Wish) -> Vec<u8> {
        self.number += 1;
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&self.number.to_be_bytes());
        nonce[8..].copy_from_slice(&(self.hand as u64).to_be_bytes());
        let at = now();
        let header = Header {
            ledger: self.ledger,
            author: Handle::new(wish.author).unwrap(),
            nonce,
            created_at: at,
            expires_at: at + DAY_MS,
            basis: None,
        };
        let events = vec![v1::Event { kind: Some(wish.kind.clone()) }.encode_to_vec()];
        Draft { header, events }.sign(&self.keys[wish.author])
    }

    fn wish(&mut self, book: &State) -> Option<Wish> {
        if self.talk.closing.load(Ordering::SeqCst) {
            return if self.who == 0 { None } else { self.receive(book) };
        }
        let roll = self.dice.below(10);
        match (self.who, roll) {
            (0, 0) => self.reverse(book),
            (0, 1..=3) => self.send(book),
            (0, _) => Some(self.earn(book)),
            (1, 0..=2) => self.payout(book),
            (1 | 2, 0..=5) => self.receive(book),
            (1, _) => Some(self.work("ben")),
            _ => Some(self.work("vic")),
        }
    }

    fn earn(&mut self, book: &State) -> Wish {
        let net = 1 + self.dice.below(1_000_000);
        let tax = net / 5;
        let due = book.dues_of_revenue(None, euro(), (net, tax), now());
        let number = book.revenues.len() as u64 + 1;
        let record = v1::RevenueRecord {
            invoice: Some(v1::Invoice { series: "a".into(), number, line: 0 }),
            product: String::new(),
            currency: "EUR".into(),
            net,
            tax,
            note: Vec::new(),
            due,
        };
        Wish::new("revenue", "tess", Kind::RevenueRecord(record))
    }

    /// Takes back a part of an invoice of which nothing was taken back before.
    fn reverse(&mut self, book: &State) -> Option<Wish> {
        let number = 1 + self.dice.below(book.revenues.len().max(1) as u64);
        let id = InvoiceId { series: Handle::new("a").unwrap(), number, line: 0 };
        let row = book.revenues.get(&id).filter(|row| row.net_reversed == 0 && row.net > 1)?;
        let net = 1 + self.dice.below(row.net - 1);
        let reverse = v1::RevenueReverse {
            invoice: Some(v1::Invoice { series: "a".into(), number, line: 0 }),
            net,
            tax: 0,
            cause: v1::Cause::Refund as i32,
            note: Vec::new(),
            due: book.dues_of_reversal(&id, net, 0),
        };
        Some(Wish::new("reversal", "tess", Kind::RevenueReverse(reverse)))
    }

    /// Sends what is open under the agreement.
    fn send(&mut self, book: &State) -> Option<Wish> {
        let a = book.agreements.get(&self.agreements[0])?;
        let items = a.open.iter().filter_map(|number| a.dues.items.get(number));
        let open: u64 = items.map(|item| item.due - item.due_reversed - item.sent).sum();
        let minor = open.saturating_sub(a.credit());
        let sent = v1::SettlementSent {
            agreement: self.agreements[0].to_vec(),
            minor,
            bank: self.bank("t"),
            item: Vec::new(),
            fee: 0,
        };
        let wish = Wish::new("cash sent", "tess", Kind::SettlementSent(sent));
        (minor > 0).then_some(Wish { sends: Some((0, minor)), ..wish })
    }

    /// A transfer's name, as no other has it.
    fn bank(&self, what: &str) -> String {
        format!("bank:{what}-{}", self.number)
    }

    /// What the bank says has come, if it was said before for what.
    fn receive(&mut self, book: &State) -> Option<Wish> {
        let of = self.who - 1;
        let minor = *self.talk.bank[of].lock().unwrap().front()?;
        let a = book.agreements.get(&self.agreements[of])?;
        // Else the incomes are on their way; in the end they were taken back meanwhile.
        if open(book, a) < minor && !self.talk.closing.load(Ordering::SeqCst) {
            return None;
        }
        let received = v1::SettlementReceived {
            agreement: self.agreements[of].to_vec(),
            minor,
            bank: self.bank("r"),
            item: Vec::new(),
            fee: None,
        };
        let author = ["ana", "uma"][of];
        let wish = Wish::new("cash received", author, Kind::SettlementReceived(received));
        Some(Wish { takes: Some(of), ..wish })
    }

    fn work(&mut self, who: &'static str) -> Wish {
        let work = v1::Contribute {
            reference: format!("chaos:{}-{}", self.hand, self.number),
            kind: "hours".into(),
            stream: v1::Stream::Livelihood as i32,
            worked_on: u32::try_from(now() / DAY_MS).unwrap() - 1,
            part: vec![v1::Part { agent: who.into(), quantity: 1_000 }],
            evidence: Vec::new(),
        };
        Wish::new("work", who, Kind::Contribute(work))
    }

    /// Pays the run that is proposed; else proposes what is free for the commons upstream.
    fn payout(&mut self, book: &State) -> Option<Wish> {
        let open = |lines: &[Line]| lines.iter().any(|line| line.fate == Fate::Proposed);
        let upstream = Handle::new("sample-upstream").unwrap();
        if let Some((run, r)) = book.runs.iter().find(|(_, run)| open(&run.lines)) {
            let paid = v1::PayoutPaid {
                run: *run,
                agent: vec![upstream.to_string()],
                bank: self.bank("p"),
                fee: None,
                due: book.dues_of_payment(*run, std::slice::from_ref(&upstream)),
            };
            let wish = Wish::new("payout", "ana", Kind::PayoutPaid(paid));
            return Some(Wish { sends: Some((1, r.lines[0].minor)), ..wish });
        }
        let (ana, agent) =
            (book.find(&Handle::new("ana").unwrap()).ok()?, book.find(&upstream).ok()?);
        let (own, _) = book.available(agent, euro());
        let cash = book.free_cash(ana, Fund::Agent(agent), euro());
        let all = book.free_cash_in_all(ana, euro());
        let minor = u64::try_from(own.min(cash).min(all)).ok().filter(|minor| *minor > 0)?;
        let propose = v1::PayoutPropose {
            currency: "EUR".into(),
            line: vec![v1::PayoutLine { agent: upstream.to_string(), minor }],
            expires_at: now() + 30 * DAY_MS,
            cash_of: String::new(),
        };
        Some(Wish::new("payout run", "ana", Kind::PayoutPropose(propose)))
    }
}

/// What is open of an agreement's incomes.
fn open(book: &State, a: &Agreement) -> u64 {
    a.open.iter().filter_map(|number| book.income(*number).ok()).map(|income| income.open()).sum()
}
