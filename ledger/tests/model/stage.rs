//! The worlds of a history: a commons with its model, two payers, a commons upstream.
//!
//! Owns how a statement is put to both the model and the ledger, and the payers' side
//! of the agreements: revenue, what falls due on it by DESIGN section 5
//! (`due_n = floor(sum of bases * share / 10^6) - dues so far`), reversals. The payers'
//! ledgers are real ones, so they judge those figures.

use super::{
    book::*,
    check,
    facts::{Fact, wire},
    money::Effect,
    state_root,
};
use crate::kit::{World, agree};
use std::{collections::BTreeMap, rc::Rc};
use subak_ledger::{log::Hash, reject::Code};
use subak_proto::v1::{self, event::Kind};

/// A payer's ledger, and what the model knows of it.
pub struct Payer {
    pub world: World,
    pub invoices: Vec<Invoice>,
    /// Agreement and effect, by entry.
    pub effects: BTreeMap<u64, Vec<(usize, Effect)>>,
}

#[derive(Clone)]
pub struct Invoice {
    pub number: u64,
    pub net: u64,
    pub tax: u64,
    pub reversed: (u64, u64),
    /// Agreement, number, base, due, taken back of the due.
    pub under: Vec<(usize, u64, u64, u64, u64)>,
}

/// By agreement: last number given out, sum of bases, sum of dues.
type Given = Vec<(u64, u128, u128)>;

pub struct Stage {
    pub commons: World,
    pub payers: [Payer; 2],
    pub upstream: World,
    pub upstream_agreement: Hash,
    /// Other logs that a payer's operator has signed: which payer's, and what it has given out.
    pub others: Vec<(usize, Payer, Given)>,
    pub model: Model,
    given: Given,
    /// What was said and what came of it, counted.
    pub tally: BTreeMap<String, u64>,
}

/// Payer, base, share, currency, product.
const AGREEMENTS: [(usize, v1::Base, u32, Money, &str); 4] = [
    (0, v1::Base::Net, 100_000, Money::Eur, ""),
    (0, v1::Base::Gross, 33_333, Money::Eur, "seeds"),
    (1, v1::Base::Gross, 250_001, Money::Eur, ""),
    (1, v1::Base::Net, 1_000_000, Money::Usd, ""),
];

impl Stage {
    pub fn new(rules: Rc<Rules>) -> Self {
        let mut commons = World::commons(rules.wire.clone());
        for (name, _, key) in &ROSTER[9..] {
            commons.introduce(name, *key);
        }
        commons.grant("cy", v1::Role::Maintainer);
        let mut worlds = [World::phyle("phyle-a"), World::phyle("phyle-b")];
        let mut agreements = Vec::new();
        for (payer, base, share, money, product) in AGREEMENTS {
            let handle = ["phyle-a", "phyle-b"][payer];
            let mut terms = commons.terms(&worlds[payer], handle, share);
            terms.base = base as i32;
            terms.currency = money.text().into();
            terms.product = product.into();
            agreements.push(Agreement {
                digest: agree(&mut worlds[payer], &mut commons, terms),
                payer: agent(handle).unwrap(),
                share,
                base,
                money,
                product,
                cash: 0,
                taken: Vec::new(),
                frozen: None,
                refused: Vec::new(),
            });
        }
        let equation = crate::kit::equation(1, &[("all", 1_000_000, None, &[1])]);
        let mut upstream = World::commons(equation);
        let mut terms = upstream.terms(&commons, "our-commons", 1_000_000);
        terms.commons_handle = "upstream".into();
        terms.base = v1::Base::Payout as i32;
        let upstream_agreement = agree(&mut commons, &mut upstream, terms);
        let mut model = Model::new(rules, commons.now, agreements);
        model.maintainers.push(agent("cy").unwrap());
        let payers =
            worlds.map(|world| Payer { world, invoices: Vec::new(), effects: BTreeMap::new() });
        Self {
            commons,
            payers,
            upstream,
            upstream_agreement,
            others: Vec::new(),
            model,
            given: vec![(0, 0, 0); 4],
            tally: BTreeMap::new(),
        }
    }

    pub fn payer_of(&self, agreement: usize) -> &Payer {
        &self.payers[AGREEMENTS[agreement].0]
    }

    pub fn wait(&mut self, ms: u64) {
        self.commons.now += ms;
        self.upstream.now += ms;
        self.payers.iter_mut().for_each(|p| p.world.now += ms);
        self.others.iter_mut().for_each(|(_, p, _)| p.world.now += ms);
    }

    /// What the model would be after facts of one statement, and its verdict on them.
    pub fn foresee(&self, author: Agent, facts: &[Fact]) -> (Model, Verdict) {
        let mut next = self.model.clone();
        next.begin(self.commons.state.size, self.commons.now);
        let mut numbered = (0..).zip(facts);
        let verdict = numbered.try_for_each(|(n, f)| next.run(author, n, f));
        (next, verdict)
    }

    /// Puts a statement to model and ledger: both admit it, or both refuse it for the
    /// same reason; afterwards both say the same.
    pub fn say(&mut self, author: Agent, facts: &[Fact]) -> bool {
        let (next, verdict) = self.foresee(author, facts);
        let kinds = facts.iter().map(|f| wire(self, f)).collect();
        let said = self.commons.say(ROSTER[author].0, kinds);
        let agreed = match (verdict, &said) {
            (Ok(()), Ok(_)) => {
                self.note(&next);
                self.model = next;
                true
            }
            (Err(code), Err(reject)) if code == reject.code => false,
            // Whose treasurer holds how much of which fund is the ledger's choice.
            (_, Err(r)) if r.code == Code::NoCash && !self.model.sole_treasurer() => false,
            (verdict, _) => panic!("the model says {verdict:?}, the ledger {said:?}"),
        };
        check::agree(&self.model, &self.commons);
        if self.commons.state.size.is_multiple_of(4) {
            state_root::agree(&self.model, &self.commons);
        }
        match &said {
            Ok(_) => facts.iter().for_each(|f| self.count(f.name())),
            Err(reject) => self.count(reject.code.name()),
        }
        if agreed {
            self.pass_upstream(facts);
        }
        agreed
    }

    /// Counts what a step has brought about beside its facts.
    fn note(&mut self, next: &Model) {
        let before = self.model.clone();
        let reinstated =
            |(a, b): (&Income, &Income)| b.written_off < a.written_off && b.refunded == a.refunded;
        let credit = |m: &Model| (0..m.agreements.len()).any(|n| m.credit(n) > 0);
        let expired = |m: &Model| m.drawn.iter().filter(|d| d.fate == Fate::Expired).count();
        let stand = |m: &Model| {
            let parts = m.work.iter().flat_map(|w| &w.parts);
            parts.filter(|p| p.standing.is_some()).count()
        };
        let held = |m: &Model| {
            let shares = m.incomes.iter().flat_map(|i| &i.shares);
            shares.filter(|s| s.spread.is_none()).count()
        };
        let overpaid = |m: &Model| {
            let (own, common) =
                (0..ROSTER.len()).map(|a| m.available(a, Money::Eur)).min().unwrap();
            own + common < 0
        };
        let negative =
            |m: &Model| m.buckets.keys().any(|b| m.carry(b, Money::Eur) < num_bigint::BigInt::ZERO);
        let frozen = |m: &Model| m.agreements.iter().filter(|a| a.frozen.is_some()).count();
        let undone = |m: &Model| m.incomes.iter().filter(|i| i.undone).count();
        let again = |(a, b): (&Income, &Income)| b.refunded < a.refunded;
        for (what, so) in [
            ("reinstated", before.incomes.iter().zip(&next.incomes).any(reinstated)),
            ("payer's credit", credit(next)),
            ("line expired", expired(next) > expired(&before)),
            ("line paid late", expired(next) < expired(&before)),
            ("alias", next.aliases.len() > before.aliases.len()),
            ("own validation fell", stand(next) < stand(&before)),
            ("lot spread", held(next) < held(&before)),
            ("agent overpaid", overpaid(next)),
            ("negative carry", negative(next)),
            ("frozen", frozen(next) > frozen(&before)),
            ("all is kept", frozen(next) < frozen(&before) && undone(next) == undone(&before)),
            ("undone", undone(next) > undone(&before)),
            ("undone although settled", undone(next) > undone(&before) && credit(next)),
            ("stands again", before.incomes.iter().zip(&next.incomes).any(again)),
        ] {
            if so {
                self.count(what);
            }
        }
    }

    pub fn count(&mut self, what: &str) {
        *self.tally.entry(what.to_owned()).or_insert(0) += 1;
    }

    /// What was paid upstream is income there, what came back is taken back.
    fn pass_upstream(&mut self, facts: &[Fact]) {
        let stated = |f: &Fact| match f {
            Fact::Paid(p) => p.due,
            Fact::Returned { due, .. } => *due,
            _ => None,
        };
        if !facts.iter().any(|f| stated(f).is_some()) {
            return;
        }
        let entry = self.commons.state.size - 1;
        self.upstream.take(&self.commons, entry, self.upstream_agreement).unwrap();
        let (mut there, mut here) = (0, 0);
        for i in &self.upstream.state.incomes {
            there += i.amount - i.refunded;
        }
        let upstream = agent("upstream").unwrap();
        for d in &self.model.drawn {
            let passed = d.agent == upstream && d.run.is_some() && d.fate == Fate::Paid;
            here += if passed && d.money == Money::Eur { d.own + d.common } else { 0 };
        }
        assert_eq!(there, here, "income upstream is what was paid and did not come back");
    }

    /// One entry of a payer with one or several invoices; returns it.
    pub fn earn(
        &mut self,
        payer: usize,
        product: &str,
        money: Money,
        amounts: &[(u64, u64)],
    ) -> u64 {
        let mut events = Vec::new();
        let mut effects = Vec::new();
        for (net, tax) in amounts {
            let mut under = Vec::new();
            let mut due = Vec::new();
            for (n, a) in self.model.agreements.iter().enumerate() {
                let (owner, ..) = AGREEMENTS[n];
                let fits = a.product.is_empty() || a.product == product;
                if owner != payer || a.money != money || !fits {
                    continue;
                }
                let base = if a.base == v1::Base::Gross { net + tax } else { *net };
                let given = &mut self.given[n];
                given.0 += 1;
                given.1 += u128::from(base);
                let all = given.1 * u128::from(a.share) / 1_000_000;
                let minor = u64::try_from(all - given.2).unwrap();
                given.2 = all;
                under.push((n, given.0, base, minor, 0));
                let invoice = self.payers[payer].invoices.len() as u64 + 1;
                let effect = Effect { number: given.0, minor, invoice, base, reverses: false };
                effects.push((n, effect));
                due.push(v1::Due { agreement: a.digest.to_vec(), number: given.0, amount: minor });
            }
            due.sort_by(|a, b| a.agreement.cmp(&b.agreement));
            let number = self.payers[payer].invoices.len() as u64 + 1;
            let reversed = (0, 0);
            let invoice = Invoice { number, net: *net, tax: *tax, reversed, under };
            events.push(Kind::RevenueRecord(v1::RevenueRecord {
                invoice: Some(v1::Invoice { series: "inv".into(), number, line: 0 }),
                product: product.into(),
                currency: money.text().into(),
                net: *net,
                tax: *tax,
                note: vec![],
                due,
            }));
            self.payers[payer].invoices.push(invoice);
        }
        let entry = self.payers[payer].world.say("sam", events).unwrap();
        self.payers[payer].effects.insert(entry, effects);
        entry
    }

    /// Takes back of an invoice; returns the payer's entry.
    pub fn reverse(&mut self, payer: usize, n: usize, net: u64, tax: u64) -> u64 {
        let invoice = &mut self.payers[payer].invoices[n];
        invoice.reversed = (invoice.reversed.0 + net, invoice.reversed.1 + tax);
        let mut due = Vec::new();
        let mut effects = Vec::new();
        for (n, _, base, all, back) in &mut invoice.under {
            let a = &self.model.agreements[*n];
            let gross = a.base == v1::Base::Gross;
            let (now, ever) = if gross {
                (net + tax, invoice.reversed.0 + invoice.reversed.1)
            } else {
                (net, invoice.reversed.0)
            };
            if now == 0 {
                continue;
            }
            let so_far = u128::from(*all) * u128::from(ever) / u128::from(*base);
            let so_far = u64::try_from(so_far).unwrap();
            let minor = so_far - std::mem::replace(back, so_far);
            let given = &mut self.given[*n];
            given.0 += 1;
            let (number, invoice) = (given.0, invoice.number);
            effects.push((*n, Effect { number, minor, invoice, base: now, reverses: true }));
            due.push(v1::Due { agreement: a.digest.to_vec(), number: given.0, amount: minor });
        }
        due.sort_by(|a, b| a.agreement.cmp(&b.agreement));
        let reverse = v1::RevenueReverse {
            invoice: Some(v1::Invoice { series: "inv".into(), number: invoice.number, line: 0 }),
            net,
            tax,
            cause: v1::Cause::Refund as i32,
            note: vec![],
            due,
        };
        let events = vec![Kind::RevenueReverse(reverse)];
        let entry = self.payers[payer].world.say("sam", events).unwrap();
        self.payers[payer].effects.insert(entry, effects);
        entry
    }

    /// The effects of a payer's entry for one agreement.
    pub fn effects_of(&self, agreement: usize, entry: u64) -> Vec<Effect> {
        let all = self.payer_of(agreement).effects.get(&entry);
        let ours = all.into_iter().flatten().filter(|e| e.0 == agreement);
        ours.map(|e| e.1).collect()
    }

    /// Envelope and leaf of a payer's entry, by their digests.
    pub fn source_of(&self, agreement: usize, entry: u64) -> Source {
        let (leaf, envelope) =
            &self.payer_of(agreement).world.entries[usize::try_from(entry).unwrap()];
        (*blake3::hash(envelope).as_bytes(), *blake3::hash(leaf).as_bytes())
    }

    /// From here on a payer's operator keeps two logs; returns the place of the other.
    pub fn part(&mut self, payer: usize) -> usize {
        let p = &self.payers[payer];
        let other = Payer {
            world: p.world.twin(),
            invoices: p.invoices.clone(),
            effects: p.effects.clone(),
        };
        self.others.push((payer, other, self.given.clone()));
        self.others.len() - 1
    }

    /// The payer shows its other log, and goes on in it.
    pub fn swap(&mut self, other: usize) {
        let (payer, there, given) = &mut self.others[other];
        std::mem::swap(&mut self.payers[*payer], there);
        for (n, (owner, ..)) in AGREEMENTS.iter().enumerate() {
            if owner == payer {
                std::mem::swap(&mut self.given[n], &mut given[n]);
            }
        }
    }
}
