//! The accounts, added up again: nothing to say of any honest history, and something of
//! every state that was tampered with.
#![allow(clippy::unwrap_used)]

mod audit_support;
mod kit;

use audit_support::*;
use kit::*;
use std::sync::Arc;
use subak_ledger::{
    audit::Verdict,
    book::{
        accounts::{Account, Fund},
        state::{Fate, Income, Lies, State},
        types::{AgentId, Q},
    },
};
use subak_proto::v1::{self, event::Kind};

/// A generator with nothing to it: the same histories in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A commons, a phyle and what they have said so far.
struct Story {
    c: World,
    p: World,
    agreement: subak_ledger::log::Hash,
    dice: Dice,
    invoices: u64,
    /// Entries of the phyle that the commons has not taken yet.
    untaken: std::collections::VecDeque<u64>,
    banks: u64,
}

const PEOPLE: [&str; 4] = ["ana", "ben", "cleo", "association"];

impl Story {
    fn begin(seed: u64) -> Self {
        let mut c = World::commons(rules(1, 0));
        for name in ["ana", "ben", "cleo"] {
            c.add_person(name);
        }
        let mut p = World::phyle("phyle-a");
        let terms = c.terms(&p, "phyle-a", 123_456);
        let agreement = agree(&mut p, &mut c, terms);
        let dice = Dice(seed);
        Self { c, p, agreement, dice, invoices: 0, untaken: [].into(), banks: 0 }
    }

    fn bank(&mut self) -> String {
        self.banks += 1;
        format!("bank:story-{}", self.banks)
    }

    fn person(&mut self) -> &'static str {
        PEOPLE[usize::try_from(self.dice.roll(4)).unwrap()]
    }

    fn amount(&mut self) -> u64 {
        let digits = u32::try_from(self.dice.roll(6)).unwrap();
        1 + self.dice.roll(10u64.pow(digits + 1))
    }

    /// One step; what the rules refuse has simply not happened.
    fn step(&mut self) {
        let wait = [0, 0, 0, 1, 9, 40][usize::try_from(self.dice.roll(6)).unwrap()];
        self.c.days(wait);
        self.p.now = self.c.now;
        match self.dice.roll(16) {
            0..=2 => self.work(),
            3..=5 => self.earn(),
            6 | 7 => self.take(),
            8 => self.refund(),
            9 | 10 => self.settle(),
            11 => self.send(),
            12 => drop(self.c.gift(1 + self.dice.roll(5_000))),
            13 | 14 => self.pay_out(),
            _ => self.decide(),
        }
    }

    fn work(&mut self) {
        let (who, quantity) = (self.person(), self.amount());
        let place = self.c.contribute(who, "hours", quantity);
        if self.dice.roll(4) > 0 {
            self.c.validate("sam", place).unwrap();
        }
        if self.dice.roll(5) == 0 {
            let reason = v1::RejectReason::NotUseful as i32;
            let reject = v1::RejectContribution { contribution: Some(place), reason };
            let _ = self.c.say("mia", vec![Kind::RejectContribution(reject)]);
        }
    }

    fn earn(&mut self) {
        self.invoices += 1;
        let net = self.amount();
        let entry = self.p.earn(self.invoices, net);
        self.untaken.push_back(entry);
        self.take();
    }

    fn take(&mut self) {
        if let Some(entry) = self.untaken.pop_front() {
            self.c.take(&self.p, entry, self.agreement).unwrap();
        }
    }

    fn refund(&mut self) {
        let number = 1 + self.dice.roll(self.invoices.max(1));
        let id = subak_ledger::book::event::InvoiceId { series: handle("inv"), number, line: 0 };
        let left = self.p.state.revenues.get(&id).map_or(0, |row| row.net - row.net_reversed);
        if left > 0 {
            let net = if self.dice.roll(2) == 0 { left } else { 1 + self.dice.roll(left) };
            let entry = self.p.refund(number, net);
            self.untaken.push_back(entry);
        }
    }

    fn settle(&mut self) {
        let (minor, bank) = (31 + self.dice.roll(3_000), self.bank());
        let bearer = ["phyle-a", "ana", "association"][usize::try_from(self.dice.roll(3)).unwrap()];
        let fee = v1::Fee { minor: 1 + self.dice.roll(30), bearer: bearer.into() };
        let fee = (self.dice.roll(3) == 0).then_some(fee);
        let agreement = self.agreement.to_vec();
        let s = v1::SettlementReceived { agreement, minor, bank, item: vec![], fee };
        let _ = self.c.say("sam", vec![Kind::SettlementReceived(s)]);
    }

    fn send(&mut self) {
        let (minor, bank) = (self.amount(), self.bank());
        let agreement = self.agreement.to_vec();
        let s = v1::SettlementSent { agreement, minor, bank, item: vec![], fee: self.dice.roll(3) };
        let _ = self.p.say("sam", vec![Kind::SettlementSent(s)]);
    }

    fn pay_out(&mut self) {
        let who = self.person();
        let (own, common) = self.c.state.available(self.c.id(who), currency(EUR));
        let most = u64::try_from(own + common).unwrap_or(0);
        if most == 0 {
            return;
        }
        let minor = 1 + self.dice.roll(most);
        let Ok(run) = self.c.propose(&[(who, minor)]) else { return };
        match self.dice.roll(5) {
            0 => {} // nobody decides: it expires
            1 => {
                let reason = v1::FailReason::Other as i32;
                let failed = v1::PayoutFailed { run, agent: vec![who.into()], reason };
                self.c.say("sam", vec![Kind::PayoutFailed(failed)]).unwrap();
            }
            roll => {
                self.c.paid(run, &[who]).unwrap();
                if roll == 2 {
                    self.c.days(2);
                    let (bank, reason) = (self.bank(), v1::FailReason::Other as i32);
                    let agent = who.into();
                    let back = v1::PayoutReturned { run, agent, reason, bank, due: vec![] };
                    self.c.say("sam", vec![Kind::PayoutReturned(back)]).unwrap();
                }
            }
        }
    }

    /// What the stewards decide.
    fn decide(&mut self) {
        let incomes = self.c.state.incomes.len() as u64;
        let one = 1 + self.dice.roll(incomes.max(1));
        let open = self.c.state.incomes.iter().find(|income| income.open() > 0);
        let bad = open.map_or(one, |income| income.number);
        let event = match self.dice.roll(3) {
            0 => Kind::WriteOff(v1::WriteOff { income: vec![bad] }),
            1 => {
                let version = self.c.state.equation().version + 1;
                let equation = Some(rules(version, self.dice.roll(3)));
                Kind::EquationAdopt(v1::EquationAdopt { equation })
            }
            _ => Kind::HeldRelease(v1::HeldRelease { income: vec![one], bucket: "all".into() }),
        };
        let _ = self.c.decree(event);
        let fallback = v1::HeldFallback { income: one, bucket: "all".into() };
        let _ = self.c.say("clerk", vec![Kind::HeldFallback(fallback)]);
    }
}

/// Three sets of buckets, one of them with two for the same agent.
fn rules(version: u32, variant: u64) -> v1::Equation {
    let buckets: &[(&str, u32, Option<&str>, &[u32])] = match variant {
        0 => &[
            ("care", 150_000, Some("association"), &[]),
            ("trust", 50_000, Some("trust"), &[]),
            ("all", 800_000, None, &[3, 2, 1]),
        ],
        1 => &[
            ("care", 333_333, Some("association"), &[]),
            ("more", 1, Some("association"), &[]),
            ("all", 666_666, None, &[3, 2, 1]),
        ],
        _ => &[("all", 700_000, None, &[1, 0]), ("trust", 300_000, Some("trust"), &[])],
    };
    let mut equation = equation(version, buckets);
    equation.fallback = "association".into();
    equation.held_days = 20;
    equation
}

#[test]
fn honest_histories_add_up_at_every_entry_and_are_sound() {
    let long = std::env::var_os("SUBAK_LONG").is_some();
    let mut kinds = [0u64; 4];
    for seed in 0..if long { 500 } else { 24 } {
        let mut story = Story::begin(seed);
        for n in 0..80 {
            story.step();
            for world in [&story.c, &story.p] {
                assert_eq!(world.state.check(), Vec::<String>::new(), "seed {seed}, step {n}");
            }
        }
        let state = &story.c.state;
        let fates = state.runs.values().flat_map(|run| run.lines.iter().map(|l| l.fate.clone()));
        kinds[0] += fates.filter(|fate| matches!(fate, Fate::Paid { .. })).count() as u64;
        kinds[1] += state.incomes.iter().filter(|i| i.refunded > 0).count() as u64;
        kinds[2] += state.incomes.iter().filter(|i| i.written_off > 0).count() as u64;
        kinds[3] += state.incomes.iter().filter(|i| i.settled > 0).count() as u64;
        let logs = [RawLog::of(&story.c, vec![]), RawLog::of(&story.p, vec![])];
        let result = audit_logs(&logs);
        assert_eq!(result.verdict, Verdict::Sound, "seed {seed}: {:#?}", result.findings);
    }
    // Or else the histories are too dull to show anything.
    assert!(kinds.iter().all(|count| *count > 10), "{kinds:?}");
}

/// What somebody does to a state behind the rules' back.
type Tamper = Box<dyn Fn(&mut State)>;

fn change_income(state: &mut State, number: usize, change: impl FnOnce(&mut Income)) {
    let mut income = state.incomes[number - 1].as_ref().clone();
    change(&mut income);
    state.incomes.set(number - 1, Arc::new(income));
}

fn first<K: Ord + Clone, V: Clone>(map: &mut imbl::OrdMap<K, V>) -> &mut V {
    let key = map.keys().next().unwrap().clone();
    map.get_mut(&key).unwrap()
}

/// A movement that no event made.
fn post(state: &mut State, lines: &[(Account, i128)]) {
    state.accounts.post(&mut Vec::new(), None, currency(EUR), lines);
}

#[test]
fn every_record_that_is_tampered_with_is_missed() {
    let cycle = cycle();
    let commons = &cycle.commons.state;
    let (sam, ana) = (cycle.commons.id("sam"), cycle.commons.id("ana"));
    let payer = cycle.commons.id("phyle-a");
    let agreement = cycle.agreement;
    let contributors = *commons.incomes[1].shares.last().map(|s| &s.bucket).unwrap();
    let balanced = |from: Account, to: Account| -> Tamper {
        Box::new(move |s| post(s, &[(from, -Q), (to, Q)]))
    };
    let run = *commons.runs.keys().next().unwrap();
    let drawn = move |change: fn(&mut subak_ledger::book::state::Drawn)| -> Tamper {
        Box::new(move |s| change(s.drawn.get_mut(&(ana, currency(EUR))).unwrap()))
    };
    let cases: Vec<(&str, Tamper)> = vec![
        (
            "cash invented",
            balanced(Account::Receivable(payer), Account::Cash(sam, Fund::Contributors)),
        ),
        (
            "a fund pays for another",
            balanced(
                Account::Cash(sam, Fund::Agent(cycle.commons.id("association"))),
                Account::Cash(sam, Fund::Contributors),
            ),
        ),
        (
            "a fund of nobody",
            balanced(Account::Receivable(payer), Account::Cash(sam, Fund::Agent(AgentId(0)))),
        ),
        ("a bucket's account", balanced(Account::Bucket(contributors), Account::Receivable(payer))),
        ("the carry's account", balanced(Account::Carry(contributors), Account::WriteOff)),
        ("held", balanced(Account::Held(contributors), Account::Fees)),
        ("reserved", balanced(Account::Reserved(run), Account::Bucket(contributors))),
        ("an income's amount", Box::new(|s| change_income(s, 2, |i| i.amount += 1))),
        ("an income's settlement", Box::new(|s| change_income(s, 2, |i| i.settled += 1))),
        ("an income's refund", Box::new(|s| change_income(s, 2, |i| i.refunded += 1))),
        ("an income's write-off", Box::new(|s| change_income(s, 3, |i| i.written_off -= 1))),
        ("an income's payer", Box::new(move |s| change_income(s, 2, |i| i.payer = ana))),
        ("an income's source", Box::new(|s| change_income(s, 2, |i| i.source = None))),
        ("a part", Box::new(|s| change_income(s, 2, |i| i.shares[0].part += 1))),
        ("a part's reversal", Box::new(|s| change_income(s, 2, |i| i.shares[1].reversed += 1))),
        ("where a part lies", Box::new(|s| change_income(s, 2, |i| i.shares[2].lies = Lies::Held))),
        (
            "where a part was spread",
            Box::new(|s| change_income(s, 2, |i| i.shares[2].spread_at = None)),
        ),
        (
            "points counted",
            Box::new(move |s| s.buckets.get_mut(&contributors).unwrap().count(ana, 672, 5)),
        ),
        (
            "an unvalidated standing",
            Box::new(|s| {
                let place = s.contributions.places(..).next().unwrap();
                s.contributions.change(place, |work| {
                    work.parts[0].standing.as_mut().unwrap().counted += 1;
                });
            }),
        ),
        ("paid", drawn(|d| d.paid_common += 1)),
        ("reserved by an agent", drawn(|d| d.reserved_common -= 1)),
        ("drawn of a bucket", drawn(|d| *first(&mut d.buckets) += 1)),
        ("fees", drawn(|d| d.fees += 1)),
        ("earmarked", Box::new(|s| *first(&mut s.earmarked) += 1)),
        (
            "a line's fate",
            Box::new(move |s| {
                Arc::make_mut(s.runs.get_mut(&run).unwrap()).lines[1].fate = Fate::Expired;
            }),
        ),
        (
            "cash of an agreement",
            Box::new(move |s| Arc::make_mut(s.agreements.get_mut(&agreement).unwrap()).cash += 1),
        ),
        (
            "settled under an agreement",
            Box::new(move |s| {
                Arc::make_mut(s.agreements.get_mut(&agreement).unwrap()).settled -= 1;
            }),
        ),
    ];
    assert_eq!(commons.check(), Vec::<String>::new(), "the control");
    for (name, tamper) in cases {
        let mut state = commons.clone();
        tamper(&mut state);
        assert_ne!(state.check(), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn every_record_of_a_payer_that_is_tampered_with_is_missed() {
    let cycle = cycle();
    let agreement = cycle.agreement;
    let item = move |change: fn(&mut subak_ledger::book::agreement::Item)| -> Tamper {
        Box::new(move |s| {
            let a = Arc::make_mut(s.agreements.get_mut(&agreement).unwrap());
            change(a.dues.items.get_mut(&1).unwrap());
        })
    };
    let revenue = |change: fn(&mut subak_ledger::book::state::RevenueRow)| -> Tamper {
        Box::new(move |s| change(Arc::make_mut(first(&mut s.revenues))))
    };
    let cases: Vec<(&str, Tamper)> = vec![
        ("a share", item(|i| i.due += 1)),
        ("a share's reversal", item(|i| i.due_reversed += 1)),
        ("what was sent", item(|i| i.sent -= 1)),
        ("revenue", revenue(|r| r.net += 1)),
        ("tax", revenue(|r| r.tax += 1)),
        ("a refund", revenue(|r| r.net_reversed -= 1)),
        ("the till", Box::new(|s| post(s, &[(Account::Till, Q), (Account::Revenue, -Q)]))),
        ("fees", Box::new(|s| post(s, &[(Account::Fees, Q), (Account::Revenue, -Q)]))),
        (
            "credit",
            Box::new(move |s| {
                post(s, &[(Account::Credit(agreement), Q), (Account::Sent(agreement), -Q)]);
            }),
        ),
        (
            "cash of the agreement",
            Box::new(move |s| Arc::make_mut(s.agreements.get_mut(&agreement).unwrap()).cash += 1),
        ),
    ];
    assert_eq!(cycle.phyle.state.check(), Vec::<String>::new(), "the control");
    for (name, tamper) in cases {
        let mut state = cycle.phyle.state.clone();
        tamper(&mut state);
        assert_ne!(state.check(), Vec::<String>::new(), "{name}");
    }
}
