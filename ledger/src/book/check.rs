//! The accounts against the records they come from, added up another way.
//!
//! Owns the identities that must hold between incomes, points, agreements, payouts and
//! balances after every entry. Guarantees that nothing is compared with itself: what an
//! account holds was posted movement by movement, what is expected of it is summed here
//! from the records, and what agents have accrued by the prefix sums is compared with
//! what each income gave. Leaves out whether the records are right: the guards are.
//!
//! Costs one look at every record and, for each bucket, one sum an agent: for the end of
//! an audit, not for every entry.

use super::{
    accounts::{Account, Fund},
    agreement::{Agreement, Progress},
    equation::{BucketDef, BucketId, To},
    split::{Bucket, Point},
    state::{Fate, Income, Lies, State},
    types::*,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};

/// Expected balances.
type Sums = BTreeMap<(Account, Currency), Fixed>;

impl State {
    /// What does not add up, one sentence each; none in any state that `apply` makes.
    pub fn check(&self) -> Vec<String> {
        if self.root.is_none() {
            return Vec::new();
        }
        let mut wrong = Vec::new();
        self.check_zero(&mut wrong);
        self.check_balances(&mut wrong);
        self.check_cash(&mut wrong);
        self.check_funds(&mut wrong);
        self.check_buckets(&mut wrong);
        self.check_points(&mut wrong);
        self.check_payouts(&mut wrong);
        self.incomes.iter().for_each(|income| check_income(income, &mut wrong));
        self.agreements.values().for_each(|a| self.check_agreement(a, &mut wrong));
        wrong
    }

    fn check_zero(&self, wrong: &mut Vec<String>) {
        let mut sums: BTreeMap<Currency, Fixed> = BTreeMap::new();
        for (_, currency, amount) in self.accounts.iter() {
            *sums.entry(currency).or_default() += amount;
        }
        for (currency, sum) in sums {
            same(wrong, || format!("all accounts in {currency}"), &0, &sum);
        }
    }

    /// Every account but cash has the balance that the records give it.
    fn check_balances(&self, wrong: &mut Vec<String>) {
        let expected = if self.root().kind == AgentKind::Commons {
            self.expected_of_commons()
        } else {
            self.expected_of_payer()
        };
        let found: Sums = self.accounts.iter().map(|(a, c, v)| ((a, c), v)).collect();
        for key in expected.keys().chain(found.keys()).collect::<BTreeSet<_>>() {
            if matches!(key.0, Account::Cash(..)) {
                continue; // who holds it depends on the order of events: see check_cash
            }
            let of = |sums: &Sums| sums.get(key).copied().unwrap_or_default();
            same(wrong, || format!("{:?} in {}", key.0, key.1), &of(&expected), &of(&found));
        }
    }

    fn expected_of_commons(&self) -> Sums {
        let mut sums = Sums::new();
        let mut add = |account, currency, amount: Fixed| {
            *sums.entry((account, currency)).or_default() += amount;
        };
        for income in &self.incomes {
            let (payer, currency) = (Account::Receivable(income.payer), income.currency);
            add(payer, currency, standing(income) * Q);
            if income.source.is_none() {
                add(payer, currency, -fixed(income.settled));
            }
            for share in &income.shares {
                let left = share.part - share.reversed;
                match &share.lies {
                    Lies::Held => add(Account::Held(share.bucket), currency, -left),
                    Lies::Spread(id, point) => {
                        let accrued = point.weight * point.standing();
                        add(self.control(&self.buckets[id].def), currency, -accrued);
                        add(Account::Carry(*id), currency, -(left - accrued));
                    }
                }
            }
        }
        for agreement in self.agreements.values().filter(|a| a.progress == Progress::Accepted) {
            if let Ok(payer) = self.find(&agreement.terms.payer_handle) {
                let cash = minor(agreement.cash);
                add(Account::Receivable(payer), agreement.terms.currency, -cash * Q);
            }
        }
        for ((_, currency), drawn) in &self.drawn {
            for (id, amount) in &drawn.buckets {
                add(self.control(&self.buckets[id].def), *currency, *amount);
            }
        }
        for (entry, run) in &self.runs {
            for line in run.lines.iter().filter(|line| line.fate == Fate::Proposed) {
                add(Account::Reserved(*entry), run.currency, -fixed(line.minor));
            }
        }
        sums
    }

    fn expected_of_payer(&self) -> Sums {
        let mut sums = Sums::new();
        let mut add = |account, currency, amount: Fixed| {
            *sums.entry((account, currency)).or_default() += amount;
        };
        for row in self.revenues.values() {
            let gross = Fixed::from(row.net) + Fixed::from(row.tax)
                - Fixed::from(row.net_reversed)
                - Fixed::from(row.tax_reversed);
            add(Account::Till, row.currency, gross * Q);
            add(Account::Revenue, row.currency, -gross * Q);
        }
        for (digest, agreement) in &self.agreements {
            let currency = agreement.terms.currency;
            let due: Fixed = agreement
                .dues
                .items
                .values()
                .map(|item| Fixed::from(item.due) - Fixed::from(item.due_reversed))
                .sum();
            let (cash, settled) = (minor(agreement.cash), minor(agreement.settled));
            add(Account::Revenue, currency, due * Q);
            add(Account::Due(*digest), currency, -due * Q);
            add(Account::Sent(*digest), currency, settled * Q);
            add(Account::Credit(*digest), currency, (cash - settled) * Q);
            add(Account::Till, currency, -cash * Q);
        }
        // A fee leaves no record but its posting, so only till and fees together are known.
        for (account, currency, amount) in self.accounts.iter() {
            if account == Account::Fees {
                add(Account::Fees, currency, amount);
                add(Account::Till, currency, -amount);
            }
        }
        sums
    }

    /// The control account of a bucket, as the table of accounts has it.
    fn control(&self, def: &BucketDef) -> Account {
        let trust = |agent: AgentId| self.agent(agent).kind == AgentKind::Trust;
        match def.to {
            To::Agent(agent) if trust(agent) => Account::Principal(def.id),
            To::Agent(_) | To::Contributors(_) => Account::Bucket(def.id),
        }
    }

    /// All cash together is what came in less what went out.
    fn check_cash(&self, wrong: &mut Vec<String>) {
        if self.root().kind != AgentKind::Commons {
            return;
        }
        let mut expected: BTreeMap<Currency, Fixed> = BTreeMap::new();
        for income in self.incomes.iter().filter(|income| income.source.is_none()) {
            *expected.entry(income.currency).or_default() += fixed(income.settled);
        }
        for agreement in self.agreements.values().filter(|a| a.progress == Progress::Accepted) {
            *expected.entry(agreement.terms.currency).or_default() += minor(agreement.cash) * Q;
        }
        for ((_, currency), drawn) in &self.drawn {
            let paid = fixed(drawn.paid_own) + fixed(drawn.paid_common);
            *expected.entry(*currency).or_default() -= paid;
        }
        for (account, currency, amount) in self.accounts.iter() {
            if matches!(account, Account::Cash(..)) {
                *expected.entry(currency).or_default() -= amount;
            }
        }
        for (currency, rest) in expected {
            same(wrong, || format!("cash in {currency}, less what came and went"), &0, &rest);
        }
    }

    /// The fund of each one-agent bucket's agent holds what is payable to it and not
    /// paid yet: one never pays for another.
    fn check_funds(&self, wrong: &mut Vec<String>) {
        let mut payable: BTreeMap<(AgentId, Currency), Fixed> = BTreeMap::new();
        for bucket in self.buckets.values() {
            let To::Agent(owner) = bucket.def.to else { continue };
            for (currency, _) in bucket.pots() {
                let settled =
                    self.points_in(bucket.def.id, currency).map(Point::settled).sum::<Fixed>();
                *payable.entry((owner, currency)).or_default() += settled;
            }
        }
        for ((owner, currency), settled) in payable {
            let paid = i128::from(self.drawn(owner, currency).paid_own);
            let expected = (whole(settled) - paid).max(0) * Q;
            let funds = self.accounts.iter().filter(|(account, c, _)| {
                *c == currency
                    && matches!(account, Account::Cash(_, Fund::Agent(agent)) if *agent == owner)
            });
            let found: Fixed = funds.map(|(_, _, amount)| amount).sum();
            let what = || format!("the fund of {} in {currency}", self.agent(owner).handle);
            same(wrong, what, &expected, &found);
        }
    }

    /// The points of all incomes that lie in a bucket.
    fn points_in(&self, bucket: BucketId, currency: Currency) -> impl Iterator<Item = &Point> {
        let incomes = self.incomes.iter().filter(move |income| income.currency == currency);
        incomes.flat_map(|income| &income.shares).filter_map(move |share| match &share.lies {
            Lies::Spread(id, point) if *id == bucket => Some(point),
            _ => None,
        })
    }

    /// What agents have by the prefix sums is what each income gave to its points.
    fn check_buckets(&self, wrong: &mut Vec<String>) {
        // One pass over the incomes: (part - reversed, accrued, payable) by bucket.
        let mut given: BTreeMap<(BucketId, Currency), (Fixed, Fixed, Fixed)> = BTreeMap::new();
        for income in &self.incomes {
            for share in &income.shares {
                let Lies::Spread(id, point) = &share.lies else { continue };
                let sums = given.entry((*id, income.currency)).or_default();
                sums.0 += share.part - share.reversed;
                sums.1 += point.weight * point.standing();
                sums.2 += point.weight * point.settled();
            }
        }
        let mut payable: BTreeMap<Currency, Fixed> = BTreeMap::new();
        for ((id, currency), (taken, accrued, settled)) in given {
            let bucket = &self.buckets[&id];
            let name = &bucket.def.name;
            let agents = agents_of(bucket);
            let by_agents = |of: fn(&Bucket, AgentId, Currency) -> Fixed| -> Fixed {
                agents.iter().map(|agent| of(bucket, *agent, currency)).sum()
            };
            let (has, may) = (by_agents(Bucket::accrued), by_agents(Bucket::payable));
            let carry = bucket.pot(currency).map_or(0, |pot| pot.carry);
            same(wrong, || format!("accrued in {name}, {currency}"), &accrued, &has);
            same(wrong, || format!("payable in {name}, {currency}"), &settled, &may);
            let conserved = || format!("accrued and carry in {name}, {currency}");
            same(wrong, conserved, &taken, &(has + carry));
            *payable.entry(currency).or_default() += may;
        }
        for (currency, may) in payable {
            let of_currency = self.incomes.iter().filter(|income| income.currency == currency);
            let settled: Fixed = of_currency.map(|income| fixed(income.settled)).sum();
            if may > settled {
                wrong.push(format!("payable in {currency}: {may} of {settled} settled"));
            }
        }
    }

    /// The points that count in each bucket are those of validated work.
    fn check_points(&self, wrong: &mut Vec<String>) {
        let month = month_of_day(day_of(self.time));
        let mut buckets: Vec<(&Bucket, _, i128)> = Vec::new();
        for bucket in self.buckets.values() {
            if let To::Contributors(filter) = &bucket.def.to {
                buckets.push((bucket, filter, 0));
            }
        }
        let mut stand: Points = 0;
        for work in self.contributions.values() {
            let standing = || work.parts.iter().filter_map(|part| part.standing.as_ref());
            stand += standing().map(|s| s.counted + s.maturing).sum::<Points>();
            for (bucket, filter, weighted) in &mut buckets {
                if filter.matches(&work.kind, work.stream) {
                    let weight = i128::from(bucket.weight_of(month, work.month()));
                    let counted = standing().map(|s| i128::from(s.counted_in(filter.unpaid_only)));
                    *weighted += weight * counted.sum::<i128>();
                }
            }
        }
        same(wrong, || "points that stand".to_owned(), &stand, &self.points);
        for (bucket, _, weighted) in buckets {
            let what = || format!("weighted points in {}", bucket.def.name);
            same(wrong, what, &weighted, &bucket.weight(month));
        }
    }

    /// What agents have drawn, and what is earmarked, is what the runs say.
    fn check_payouts(&self, wrong: &mut Vec<String>) {
        let mut lines: BTreeMap<(AgentId, Currency), (u128, u128)> = BTreeMap::new();
        let mut marks: BTreeMap<(AgentId, Fund, Currency), u128> = BTreeMap::new();
        for run in self.runs.values() {
            for line in &run.lines {
                let sums = lines.entry((line.agent, run.currency)).or_default();
                match line.fate {
                    Fate::Proposed => {
                        sums.0 += u128::from(line.minor);
                        let funds = [
                            (Fund::Agent(line.agent), line.draw.own),
                            (Fund::Contributors, line.draw.common),
                        ];
                        for (fund, amount) in funds {
                            *marks.entry((run.treasurer, fund, run.currency)).or_default() +=
                                u128::from(amount);
                        }
                    }
                    Fate::Paid { .. } => sums.1 += u128::from(line.minor),
                    Fate::Failed { .. } | Fate::Returned { .. } | Fate::Expired => {}
                }
            }
        }
        for ((agent, currency), drawn) in &self.drawn {
            let (reserved, paid) = lines.get(&(*agent, *currency)).copied().unwrap_or_default();
            let handle = &self.agent(*agent).handle;
            let found = u128::from(drawn.reserved_own) + u128::from(drawn.reserved_common);
            same(wrong, || format!("reserved for {handle} in {currency}"), &reserved, &found);
            let found = u128::from(drawn.paid_own) + u128::from(drawn.paid_common);
            let expected = paid + u128::from(drawn.fees);
            same(wrong, || format!("paid to {handle} in {currency}"), &expected, &found);
        }
        for (key, found) in &self.earmarked {
            let expected = marks.get(key).copied().unwrap_or_default();
            let what = || format!("earmarked of {:?} in {}", key.1, key.2);
            same(wrong, what, &expected, &u128::from(*found));
        }
    }

    fn check_agreement(&self, agreement: &Agreement, wrong: &mut Vec<String>) {
        let name = hex::encode(&agreement.terms.digest[..4]);
        for (number, item) in &agreement.dues.items {
            let fits = item.due_reversed <= item.due
                && item.base_reversed <= item.base
                && u128::from(item.sent) + u128::from(item.due_reversed) <= u128::from(item.due);
            if !fits {
                wrong.push(format!("number {number} of agreement {name}: {item:?}"));
            }
        }
        if agreement.cash < agreement.settled {
            let (cash, settled) = (agreement.cash, agreement.settled);
            wrong.push(format!("agreement {name}: {settled} settled of cash {cash}"));
        }
        let settled: u128 = match (agreement.progress, agreement.terms.base) {
            (Progress::Accepted, _) => self.incomes_match(agreement, wrong),
            (_, Base::Payout) => {
                let left = |item: &super::agreement::Item| u128::from(item.due - item.due_reversed);
                agreement.dues.items.values().map(left).sum()
            }
            _ => agreement.dues.items.values().map(|item| u128::from(item.sent)).sum(),
        };
        same(wrong, || format!("settled under agreement {name}"), &settled, &agreement.settled);
    }

    /// In a commons: each share is an income of its amount; returns what is settled.
    fn incomes_match(&self, agreement: &Agreement, wrong: &mut Vec<String>) -> u128 {
        let mut settled = 0;
        for (number, item) in &agreement.dues.items {
            let Ok(income) = self.income(item.income) else {
                wrong.push(format!("number {number}: there is no income {}", item.income));
                continue;
            };
            let what = || format!("income {}, its source, amount and refunds", item.income);
            let source = Some((agreement.terms.digest, *number));
            let expected = (source, item.due, item.due_reversed);
            same(wrong, what, &expected, &(income.source, income.amount, income.refunded));
            settled += u128::from(income.settled);
        }
        settled
    }
}

/// An income by itself: its parts are all of it, and no more is settled than stands.
fn check_income(income: &Income, wrong: &mut Vec<String>) {
    let number = income.number;
    let parts: Fixed = income.shares.iter().map(|share| share.part).sum();
    same(wrong, || format!("parts of income {number}"), &fixed(income.amount), &parts);
    let reversed: Fixed = income.shares.iter().map(|share| share.reversed).sum();
    let expected = fixed(income.refunded) + fixed(income.written_off);
    same(wrong, || format!("reversed parts of income {number}"), &expected, &reversed);
    for share in &income.shares {
        let spread = matches!(share.lies, Lies::Spread(..));
        let what = || format!("whether a part of income {number} is spread");
        same(wrong, what, &spread, &share.spread_at.is_some());
    }
    if Fixed::from(income.settled) > standing(income) {
        let (settled, left) = (income.settled, standing(income));
        wrong.push(format!("income {number}: {settled} settled of {left} that stand"));
    }
}

/// What of an income was not taken back, minor units.
fn standing(income: &Income) -> Fixed {
    Fixed::from(income.amount) - Fixed::from(income.refunded) - Fixed::from(income.written_off)
}

fn agents_of(bucket: &Bucket) -> Vec<AgentId> {
    match bucket.def.to {
        To::Agent(agent) => vec![agent],
        To::Contributors(_) => bucket.members().collect(),
    }
}

/// Cash of an agreement: all of a currency is limited by `MAX_MONEY`, so it always fits.
fn minor(amount: u128) -> Fixed {
    Fixed::try_from(amount).unwrap_or(Fixed::MAX / Q)
}

fn same<T: PartialEq + Debug>(
    wrong: &mut Vec<String>,
    what: impl FnOnce() -> String,
    expected: &T,
    found: &T,
) {
    if expected != found {
        wrong.push(format!("{}: records give {expected:?}, found {found:?}", what()));
    }
}
