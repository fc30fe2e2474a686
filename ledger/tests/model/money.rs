//! The naive split: every income keeps who had how many points when it was spread.
//!
//! Owns DESIGN section 6 as a loop over agents: parts, amounts per point, what a
//! reversal takes back, what is payable; and section 5 on income, settlement,
//! reversal, write-off and held lots. A bucket's carry is not kept: it is what the
//! parts have brought in less what the agents have accrued.

use super::book::*;
use num_bigint::BigInt;
use std::rc::Rc;
use subak_ledger::{book::equation::BucketId, reject::Code};
use subak_proto::v1;

/// One minor unit: 2^64.
pub fn q() -> BigInt {
    BigInt::from(1u8) << 64
}

/// Division towards minus infinity; `b` is positive.
pub fn floor(a: &BigInt, b: &BigInt) -> BigInt {
    let (quotient, rest) = (a / b, a % b);
    if rest < BigInt::ZERO { quotient - 1 } else { quotient }
}

/// The published rule that turns Q64 into money.
pub fn whole(v: &BigInt) -> i128 {
    i128::try_from(floor(&(v + (BigInt::from(1u8) << 48)), &q())).unwrap()
}

impl Income {
    /// What a share of this income has lost to reversals; the last share takes the rest.
    pub fn part_reversed(&self, share: usize) -> BigInt {
        let (back, amount) = (BigInt::from(self.reversed()), BigInt::from(self.amount));
        let floored = |s: &Share| floor(&(&s.part * &back), &amount);
        if share + 1 < self.shares.len() {
            return floored(&self.shares[share]);
        }
        back.clone() * q() - self.shares[..share].iter().map(floored).sum::<BigInt>()
    }

    /// Per point of a spread share: accrued now, and payable now.
    pub fn each(&self, share: &Share, spread: &Spread) -> (BigInt, BigInt) {
        let amount = BigInt::from(self.amount);
        let lost = floor(&(&spread.each * BigInt::from(self.reversed())), &amount);
        let own = floor(&share.part, &spread.weight);
        (&spread.each - lost, floor(&(own * BigInt::from(self.settled)), &amount))
    }
}

impl Model {
    /// Runs over every spread share: its bucket, its income, and the share.
    pub fn spreads(&self) -> impl Iterator<Item = (&Income, usize, &Share, &Rc<Spread>)> {
        self.incomes.iter().flat_map(|i| {
            let shares = i.shares.iter().enumerate();
            shares.filter_map(move |(n, s)| Some((i, n, s, s.spread.as_ref()?)))
        })
    }

    /// Accrued and payable of an agent, over the buckets that `pick` lets through.
    pub fn owed(
        &self,
        agent: Agent,
        money: Money,
        pick: impl Fn(&BucketId) -> bool,
    ) -> (BigInt, BigInt) {
        let (mut accrued, mut payable) = (BigInt::ZERO, BigInt::ZERO);
        for (income, _, share, spread) in self.spreads() {
            if income.money != money || !pick(&spread.into) {
                continue;
            }
            if let Some((_, points)) = spread.who.iter().find(|w| w.0 == agent) {
                let (a, p) = income.each(share, spread);
                accrued += points * a;
                payable += points * p;
            }
        }
        (accrued, payable)
    }

    pub fn carry(&self, bucket: &BucketId, money: Money) -> BigInt {
        let mut carry = BigInt::ZERO;
        for (income, n, share, spread) in self.spreads() {
            if income.money == money && spread.into == *bucket {
                carry += &share.part - income.part_reversed(n);
                carry -= income.each(share, spread).0 * &spread.weight;
            }
        }
        carry
    }

    /// Who would share in a bucket now.
    fn sharers(&self, bucket: &BucketId) -> Vec<(Agent, BigInt)> {
        let def = &self.buckets[bucket];
        match &def.to {
            v1::bucket::To::Agent(_) => vec![(def.owner().unwrap(), BigInt::from(1u8))],
            v1::bucket::To::Contributors(c) => {
                let points = self.points_now(c).into_iter();
                points.map(|(a, p)| (a, BigInt::from(p))).collect()
            }
        }
    }

    fn spread(&self, money: Money, part: &BigInt, into: BucketId) -> Option<Rc<Spread>> {
        let who = self.sharers(&into);
        let weight: BigInt = who.iter().map(|w| &w.1).sum();
        if weight == BigInt::ZERO {
            return None;
        }
        let carry_in = self.carry(&into, money);
        let each = floor(&(part + &carry_in), &weight);
        Some(Rc::new(Spread { into, weight, carry_in, each, who }))
    }

    fn new_income(&mut self, payer: Agent, source: Option<(usize, u64)>, money: Money, minor: u64) {
        let rules = self.rules.clone();
        let all = BigInt::from(minor) * q();
        let mut rest = all.clone();
        let mut shares = Vec::new();
        for (n, (bucket, ppm, _)) in rules.buckets.iter().enumerate() {
            let last = n + 1 == rules.buckets.len();
            let ideal = floor(&(&all * BigInt::from(*ppm)), &BigInt::from(1_000_000));
            let part = if last { rest.clone() } else { ideal };
            rest -= &part;
            let spread = self.spread(money, &part, *bucket);
            shares.push(Share { bucket: *bucket, ppm: *ppm, part, spread });
        }
        if minor == 0 {
            shares.clear();
        }
        self.incomes.push(Income {
            payer,
            source,
            money,
            at: self.at,
            amount: minor,
            rules,
            shares,
            refunded: 0,
            written_off: 0,
            settled: 0,
            undone: false,
        });
    }

    /// IncomeTake: the numbered effects of one entry of the payer.
    pub fn take(&mut self, agreement: usize, effects: &[Effect], source: Source) -> Verdict {
        let a = &self.agreements[agreement];
        if a.frozen.is_some() {
            return Err(Code::AgreementFrozen);
        }
        if a.refused.iter().any(|(leaf, _)| *leaf == source.1) {
            return Err(Code::StoryRefused);
        }
        let Some(first) = effects.first() else { return Err(Code::ProofIrrelevant) };
        if first.number <= a.taken.len() as u64 {
            if a.taken[usize::try_from(first.number).unwrap() - 1].source.0 == source.0 {
                return Err(Code::NumberOutOfOrder);
            }
            let entry = self.entry;
            self.agreements[agreement].frozen = Some((entry, first.number, source.1));
            return Ok(());
        }
        for effect in effects {
            let a = &self.agreements[agreement];
            let (payer, money, next) = (a.payer, a.money, a.taken.len() as u64 + 1);
            if effect.number != next {
                return Err(Code::NumberOutOfOrder);
            }
            let share = a.share_of(effect.invoice);
            match (effect.reverses, share) {
                (false, Some(_)) | (true, None) => return Err(Code::ProofIrrelevant),
                (false, None) if a.next_due(effect.base) != effect.minor => {
                    return Err(Code::DueMismatch);
                }
                (true, Some(number))
                    if a.next_reversal(number, effect.base) != Some(effect.minor) =>
                {
                    return Err(Code::DueMismatch);
                }
                (false, None) => {
                    self.new_income(payer, Some((agreement, next)), money, effect.minor);
                }
                (true, Some(number)) => self.take_back(agreement, number, effect.minor),
            }
            self.agreements[agreement].taken.push(Taken { effect: *effect, source });
        }
        self.absorb(agreement);
        Ok(())
    }

    /// AgreementUnfreeze: the book as if the numbers above had never been taken, but for what
    /// was paid and given up in the meantime.
    pub fn unfreeze(&mut self, agreement: usize, entry: u64, back_to: u64) -> Verdict {
        let a = &mut self.agreements[agreement];
        let Some((_, number, leaf)) = a.frozen.filter(|f| f.0 == entry) else {
            return Err(Code::AgreementNotFrozen);
        };
        let kept = usize::try_from(back_to).unwrap();
        let ends = |n: usize| a.taken[n - 1].source.1 != a.taken[n].source.1;
        if kept > a.taken.len() || (kept > 0 && kept < a.taken.len() && !ends(kept)) {
            return Err(Code::NumberNotTaken);
        }
        a.refused.retain(|refused| refused.1 <= back_to);
        for gone in a.taken.drain(kept..) {
            a.refused.push((gone.source.1, gone.effect.number));
        }
        if number <= back_to {
            a.refused.push((leaf, number));
        }
        a.frozen = None;
        let a = self.agreements[agreement].clone();
        for i in self.incomes.iter_mut().filter(|i| !i.undone) {
            let Some((_, number)) = i.source.filter(|s| s.0 == agreement) else { continue };
            if number > back_to {
                (i.refunded, i.written_off, i.settled, i.undone) = (i.amount, 0, 0, true);
            } else {
                i.refunded = a.reversed_of(number).1;
            }
        }
        self.absorb(agreement);
        Ok(())
    }

    /// A refund comes out of what is open, then of what was given up, then of what was
    /// paid; that part is the payer's credit.
    fn take_back(&mut self, agreement: usize, number: u64, minor: u64) {
        let of = |i: &&mut Income| i.source == Some((agreement, number)) && !i.undone;
        let income = self.incomes.iter_mut().find(of).unwrap();
        income.refunded += minor;
        let left = income.amount - income.refunded;
        income.settled = income.settled.min(left);
        income.written_off = income.written_off.min(left - income.settled);
    }

    pub fn credit(&self, agreement: usize) -> u64 {
        let of = |i: &&Income| i.source.is_some_and(|s| s.0 == agreement);
        let settled: u64 = self.incomes.iter().filter(of).map(|i| i.settled).sum();
        self.agreements[agreement].cash - settled
    }

    /// Credit settles the oldest open incomes, then reinstates the oldest written off.
    fn absorb(&mut self, agreement: usize) {
        for reinstate in [false, true] {
            for n in 0..self.incomes.len() {
                let credit = self.credit(agreement);
                let i = &mut self.incomes[n];
                if i.source.is_some_and(|s| s.0 == agreement) {
                    let minor = credit.min(if reinstate { i.written_off } else { i.open() });
                    i.settled += minor;
                    i.written_off -= if reinstate { minor } else { 0 };
                }
            }
        }
    }

    pub fn use_bank(&mut self, bank: &str) -> Verdict {
        if self.bank.iter().any(|b| b == bank) {
            return Err(Code::BankReferenceUsed);
        }
        self.bank.push(bank.to_owned());
        Ok(())
    }

    pub fn gift(
        &mut self,
        author: Agent,
        payer: Agent,
        money: Money,
        minor: u64,
        bank: &str,
    ) -> Verdict {
        self.use_bank(bank)?;
        self.new_income(payer, None, money, minor);
        self.incomes.last_mut().unwrap().settled = minor;
        self.cash.push((author, money, i128::from(minor)));
        Ok(())
    }

    pub fn settle(&mut self, author: Agent, s: &Cash) -> Verdict {
        self.use_bank(&s.bank)?;
        let a = &self.agreements[s.agreement];
        let (payer, money) = (a.payer, a.money);
        let fee = s.fee.map_or(0, |f| f.0);
        if fee >= s.minor {
            return Err(Code::FeeTooLarge);
        }
        self.cash.push((author, money, i128::from(s.minor - fee)));
        let settles = if s.fee.is_some_and(|f| f.1 == payer) { s.minor - fee } else { s.minor };
        self.agreements[s.agreement].cash += settles;
        if s.items.iter().map(|i| i.1).sum::<u64>() > settles {
            return Err(Code::SettlesTooMuch);
        }
        for (number, minor) in &s.items {
            let i = self.income(*number)?;
            if i.source.is_none_or(|source| source.0 != s.agreement) {
                return Err(Code::UnknownIncome);
            }
            if *minor > i.open() + i.written_off {
                return Err(Code::SettlesTooMuch);
            }
            i.written_off -= minor.saturating_sub(i.open());
            i.settled += minor;
        }
        self.absorb(s.agreement);
        match s.fee {
            Some((_, bearer)) if bearer != payer && is_person(bearer) => Err(Code::FeeBearer),
            Some((minor, bearer)) if bearer != payer => {
                self.charge(author, bearer, money, minor, false)
            }
            _ => Ok(()),
        }
    }

    fn income(&mut self, number: u64) -> Verdict<&mut Income> {
        let n = usize::try_from(number).unwrap().checked_sub(1).ok_or(Code::UnknownIncome)?;
        self.incomes.get_mut(n).ok_or(Code::UnknownIncome)
    }

    pub fn write_off(&mut self, incomes: &[u64]) -> Verdict {
        for number in incomes {
            let i = self.income(*number)?;
            if i.open() == 0 {
                return Err(Code::NothingOpen);
            }
            i.written_off += i.open();
        }
        Ok(())
    }

    /// The bucket whose lot of an income is held under a name.
    fn lot(&mut self, number: u64, name: &str) -> Verdict<BucketId> {
        let i = self.income(number)?;
        let named = |id: &BucketId| i.rules.buckets.iter().any(|b| b.0 == *id && b.2.name == name);
        let held = |s: &&Share| s.spread.is_none() && named(&s.bucket);
        i.shares.iter().find(held).map(|s| s.bucket).ok_or(Code::UnknownLot)
    }

    fn spread_lot(&mut self, number: u64, from: BucketId, into: BucketId) {
        let n = usize::try_from(number).unwrap() - 1;
        let held = |s: &Share| s.bucket == from && s.spread.is_none();
        let i = &self.incomes[n];
        if let Some(share) = i.shares.iter().position(held) {
            let spread = self.spread(i.money, &i.shares[share].part, into);
            self.incomes[n].shares[share].spread = spread;
        }
    }

    pub fn release(&mut self, incomes: &[u64], name: &str) -> Verdict {
        let lots: Vec<BucketId> =
            incomes.iter().map(|n| self.lot(*n, name)).collect::<Verdict<_>>()?;
        if lots.iter().any(|id| *id != lots[0]) {
            return Err(Code::UnknownLot);
        }
        let notice = u64::from(self.rules.wire.notice_days) * DAY;
        if notice == 0 {
            self.run_release(incomes, lots[0]);
        } else {
            self.schedule(self.at + notice, Task::Release(incomes.to_vec(), lots[0]));
        }
        Ok(())
    }

    /// A lot that still meets no points stays held.
    pub fn run_release(&mut self, incomes: &[u64], bucket: BucketId) {
        for n in incomes {
            self.spread_lot(*n, bucket, bucket);
        }
    }

    pub fn fallback(&mut self, number: u64, name: &str) -> Verdict {
        let from = self.lot(number, name)?;
        let i = self.income(number)?;
        let (at, rules) = (i.at, i.rules.clone());
        let heir = rules.fallback.ok_or(Code::NoFallback)?;
        if self.at < at + u64::from(rules.wire.held_days) * DAY {
            return Err(Code::TooEarly);
        }
        let to = v1::bucket::To::Agent(ROSTER[heir].0.into());
        let def = Rc::new(Def { name: name.into(), to });
        let into = def.id();
        self.buckets.entry(into).or_insert(def);
        self.spread_lot(number, from, into);
        Ok(())
    }
}

/// A numbered effect of a payer's entry.
#[derive(Clone, Copy, Debug)]
pub struct Effect {
    pub number: u64,
    pub minor: u64,
    pub invoice: u64,
    pub base: u64,
    /// It takes back of the invoice's share.
    pub reverses: bool,
}

impl Agreement {
    fn shares(&self) -> impl Iterator<Item = &Effect> {
        self.taken.iter().map(|t| &t.effect).filter(|e| !e.reverses)
    }

    /// The number of an invoice's share.
    fn share_of(&self, invoice: u64) -> Option<u64> {
        self.shares().find(|e| e.invoice == invoice).map(|e| e.number)
    }

    /// DESIGN section 5: `floor(sum of bases * share / 10^6) - dues so far`.
    fn next_due(&self, base: u64) -> u64 {
        let bases: u128 = self.shares().map(|e| u128::from(e.base)).sum();
        let dues: u128 = self.shares().map(|e| u128::from(e.minor)).sum();
        let all = (bases + u128::from(base)) * u128::from(self.share) / 1_000_000;
        u64::try_from(all - dues).unwrap()
    }

    /// What was reversed of a share: of its base, and of itself.
    fn reversed_of(&self, number: u64) -> (u64, u64) {
        let share = self.shares().find(|e| e.number == number).unwrap();
        let back = self.taken.iter().map(|t| &t.effect);
        let back = back.filter(|e| e.reverses && e.invoice == share.invoice);
        back.fold((0, 0), |sum, e| (sum.0 + e.base, sum.1 + e.minor))
    }

    /// `floor(due * R / base)` in all.
    fn next_reversal(&self, number: u64, base: u64) -> Option<u64> {
        let share = self.shares().find(|e| e.number == number).unwrap();
        let before = self.reversed_of(number);
        let ever = before.0.checked_add(base).filter(|ever| *ever <= share.base)?;
        let all = u128::from(share.minor) * u128::from(ever) / u128::from(share.base);
        Some(u64::try_from(all).unwrap() - before.1)
    }
}

/// A SettlementReceived as the model reads it.
#[derive(Clone, Debug)]
pub struct Cash {
    pub agreement: usize,
    pub minor: u64,
    pub bank: String,
    pub items: Vec<(u64, u64)>,
    /// What the bank kept, and who bears it.
    pub fee: Option<(u64, Agent)>,
}
