//! Income of a commons: taken from a payer's ledger with proof, or recorded as a
//! gift; settled, taken back, written off, reinstated.
//!
//! All of it is one function, `refresh`: an income has a refunded, a written-off and
//! a settled amount, and whenever one of them changes its parts are brought in line.
//! Each event moves cash between funds once, when all its incomes are.

use super::{
    accounts::Account,
    agreement::{Origin, base_of, check_proof},
    equation::EquationBucket,
    event::{Due, Event, Proof, Settlement, Terms},
    lots::number_index,
    split,
    state::{Income, Lies, Share, State, Step},
    types::*,
};
use crate::{
    log::Hash,
    reject::{Code, Outcome, Reject, require},
};
use std::{collections::BTreeSet, sync::Arc};

impl State {
    /// IncomeTake: every number that the proven entry holds for the agreement.
    pub(super) fn take_income(
        &mut self,
        step: &mut Step<'_>,
        digest: &Hash,
        proof: &Proof,
    ) -> Outcome {
        let agreement = self.agreement(digest)?.clone();
        let accepted = agreement.progress == super::agreement::Progress::Accepted;
        require(accepted, Code::AgreementStageWrong, || {
            "income is taken in the commons' ledger".into()
        })?;
        require(agreement.frozen.is_none(), Code::AgreementFrozen, || hex::encode(digest))?;
        let terms = agreement.terms.clone();
        let operator = self.counterpart(terms.payer, terms.payer_operator);
        let proven = check_proof(proof, terms.payer, operator)?;
        let mut taken = 0;
        let mut seen = agreement.dues.last;
        for bytes in proven.statement.events() {
            // Only what states dues is read: the rest is of the payer's book, and may be costly.
            let wire = Event::wire(bytes)?;
            if !Event::may_state_dues(&wire) {
                continue;
            }
            let event = Event::from_wire(wire)?;
            for due in event.dues().iter().filter(|d| d.agreement == *digest) {
                if taken == 0 && due.number <= seen {
                    return self.second_story(step, digest, due, proven.digest);
                }
                require(due.number == seen + 1, Code::NumberOutOfOrder, || {
                    format!("expected number {}, found {}", seen + 1, due.number)
                })?;
                self.take_effect(step, &terms, &event, *due)?;
                self.change_agreement(digest, |a| {
                    a.sources.insert(due.number, proven.digest);
                });
                (seen, taken) = (due.number, taken + 1);
            }
        }
        require(taken > 0, Code::ProofIrrelevant, || "it holds nothing for this agreement".into())?;
        self.change_agreement(digest, |a| a.taken_from = Some(proven.seq));
        self.absorb_credit(step, digest);
        self.rebalance(step, terms.currency, None);
        Ok(())
    }

    /// A number that was taken before: by the same entry it is old news, by another
    /// one it is a second story, and the agreement freezes with both in the log.
    fn second_story(&mut self, step: &Step<'_>, digest: &Hash, due: &Due, source: Hash) -> Outcome {
        let known = self.agreement(digest)?.sources.get(&due.number).copied();
        require(known != Some(source), Code::NumberOutOfOrder, || {
            format!("number {} is taken already, from this very entry", due.number)
        })?;
        self.change_agreement(digest, |a| a.frozen = Some(step.entry));
        Ok(())
    }

    fn take_effect(
        &mut self,
        step: &mut Step<'_>,
        terms: &Arc<Terms>,
        event: &Event,
        due: Due,
    ) -> Outcome {
        let wrong = |expected: Option<Minor>| {
            let detail =
                format!("number {}: expected {expected:?}, stated {}", due.number, due.amount);
            Reject::new(Code::DueMismatch, detail)
        };
        let irrelevant = || Reject::new(Code::ProofIrrelevant, format!("number {}", due.number));
        let dues = &self.agreement(&terms.digest)?.dues;
        match event {
            Event::RevenueRecord(r) => {
                let matches = r.currency == terms.currency
                    && terms.base != Base::Payout
                    && (terms.product.is_none() || terms.product == r.product);
                require(matches, Code::ProofIrrelevant, || format!("invoice {}", r.invoice))?;
                let base = base_of(terms, r.net, r.tax);
                let expected = dues.next_due(base, terms.share);
                if expected != due.amount {
                    return Err(wrong(Some(expected)));
                }
                self.new_due_income(
                    step,
                    terms,
                    Origin::Invoice(r.invoice.clone()),
                    base,
                    due.amount,
                )
            }
            Event::RevenueReverse(r) => {
                let base = base_of(terms, r.net, r.tax);
                self.take_back(step, terms, &Origin::Invoice(r.invoice.clone()), base, due)
            }
            Event::PayoutPaid { run, agents, .. } => {
                let ours = agents.contains(&terms.commons_handle) && terms.base == Base::Payout;
                if !ours {
                    return Err(irrelevant());
                }
                if amount(due.amount, "due").is_err() {
                    return Err(wrong(None)); // no line of a run is 0
                }
                self.new_due_income(step, terms, Origin::Payout(*run), due.amount, due.amount)
            }
            Event::PayoutReturned { run, agent, .. } => {
                let origin = Origin::Payout(*run);
                let item = dues.origins.get(&origin).map(|number| &dues.items[number]);
                let Some(item) = item.filter(|_| *agent == terms.commons_handle) else {
                    return Err(irrelevant());
                };
                // A line comes back whole.
                self.take_back(step, terms, &origin, item.base, due)
            }
            _ => Err(irrelevant()),
        }
    }

    fn new_due_income(
        &mut self,
        step: &mut Step<'_>,
        terms: &Arc<Terms>,
        origin: Origin,
        base: Minor,
        due: Minor,
    ) -> Outcome {
        let known = self.agreement(&terms.digest)?.dues.origins.contains_key(&origin);
        require(!known, Code::ProofIrrelevant, || format!("{origin:?} fell due before"))?;
        let payer = self.find(&terms.payer_handle)?;
        let number = self.incomes.len() as u64 + 1;
        let n = self.add_due(&terms.digest, origin, base, due, step.at, number);
        self.new_income(step, payer, terms.currency, due, Some((terms.digest, n)))?;
        self.change_agreement(&terms.digest, |a| {
            if due > 0 {
                a.open.insert(number);
            }
        });
        Ok(())
    }

    fn take_back(
        &mut self,
        step: &mut Step<'_>,
        terms: &Arc<Terms>,
        origin: &Origin,
        base: Minor,
        due: Due,
    ) -> Outcome {
        require(base > 0, Code::ProofIrrelevant, || {
            format!("number {}: nothing that the share is taken of is reversed", due.number)
        })?;
        let dues = &self.agreement(&terms.digest)?.dues;
        let Some(number) = dues.origins.get(origin).copied() else {
            return Err(Reject::new(Code::ProofIrrelevant, format!("{origin:?} never fell due")));
        };
        let expected = dues.next_reversal(number, base);
        let income = dues.items[&number].income;
        require(expected == Some(due.amount), Code::DueMismatch, || {
            format!("number {}: expected {expected:?}, stated {}", due.number, due.amount)
        })?;
        self.reverse_due(&terms.digest, number, base, due.amount);
        let mut row = self.incomes[number_index(income)].as_ref().clone();
        row.refunded += due.amount;
        // What was given up is taken back first; what was paid beyond the rest is credit.
        row.settled = row.settled.min(row.amount - row.refunded);
        row.written_off = row.written_off.min(row.amount - row.refunded - row.settled);
        self.refresh(step, row);
        Ok(())
    }

    /// IncomeRecord: a gift, settled as it comes.
    pub(super) fn record_gift(
        &mut self,
        step: &mut Step<'_>,
        payer: &Handle,
        currency: Currency,
        minor: Minor,
        bank: &Reference,
    ) -> Outcome {
        let payer = self.find(payer)?;
        self.use_bank(bank)?;
        self.note_cash(step, currency);
        self.new_income(step, payer, currency, minor, None)?;
        let mut row = self.incomes.last().expect("just recorded").as_ref().clone();
        row.settled = minor;
        self.receive_cash(step, payer, currency, minor, 0);
        self.refresh(step, row);
        self.rebalance(step, currency, Some(step.author));
        Ok(())
    }

    /// One allocation of one income, by the equation in force.
    fn new_income(
        &mut self,
        step: &mut Step<'_>,
        payer: AgentId,
        currency: Currency,
        amount: Minor,
        source: Option<(Hash, u64)>,
    ) -> Outcome {
        let total = self.income_total.get(&currency).copied().unwrap_or(0) + u128::from(amount);
        // Less what was reversed: nobody can use the limit up with income that is none. What a
        // late settlement reinstates is bounded by the limit of cash.
        require(total <= u128::from(MAX_MONEY), Code::LimitExceeded, || {
            format!("income in {currency}: at most {MAX_MONEY} minor units, would be {total}")
        })?;
        self.income_total.insert(currency, total);
        let equation = self.equation().clone();
        let number = self.incomes.len() as u64 + 1;
        let month = month_of_day(day_of(step.at));
        let mut shares = Vec::new();
        let mut lines = vec![(Account::Receivable(payer), fixed(amount))];
        let parts = if amount == 0 { Vec::new() } else { split::parts(amount, &equation.shares()) };
        for (part, spec) in parts.into_iter().zip(&equation.buckets) {
            let id = EquationBucket::id(spec);
            let bucket = self.buckets.get_mut(&id).expect("an equation in force has its buckets");
            let spread = bucket.weight(month) > 0;
            let lies = if spread {
                require(bucket.has_room(), Code::LimitExceeded, || {
                    format!("bucket {}: points times incomes of an agent", spec.name)
                })?;
                let (point, moved) = bucket.spread(currency, month, part, amount);
                let def = bucket.def.clone();
                lines.push((self.bucket_account(&def), -moved.accrued));
                lines.push((Account::Carry(id), -moved.carry));
                Lies::Spread(id, point)
            } else {
                self.held.insert((number, id));
                lines.push((Account::Held(id), -part));
                Lies::Held
            };
            let spread_at = spread.then_some((step.entry, step.event));
            shares.push(Share { bucket: id, part, reversed: 0, lies, spread_at });
        }
        self.post(step, currency, &lines);
        self.incomes.push_back(Arc::new(Income {
            number,
            place: step.place(),
            recorded_at: step.at,
            payer,
            source,
            currency,
            amount,
            equation,
            shares,
            refunded: 0,
            written_off: 0,
            settled: 0,
        }));
        Ok(())
    }

    /// Brings an income's parts, its agreement and the accounts in line with its
    /// refunded, written-off and settled amounts. The caller rebalances when all its
    /// incomes are.
    fn refresh(&mut self, step: &mut Step<'_>, mut income: Income) {
        let before = self.incomes[number_index(income.number)].clone();
        let reversed = income.refunded + income.written_off;
        assert!(reversed + income.settled <= income.amount, "settled <= income - reversed");
        let change = Fixed::from(reversed) - Fixed::from(before.refunded + before.written_off);
        let total = self.income_total.get_mut(&income.currency).expect("it holds this income");
        *total = *total + u128::from(before.refunded + before.written_off) - u128::from(reversed);
        let written = Fixed::from(income.written_off) - Fixed::from(before.written_off);
        let mut rest = fixed(reversed);
        let last = income.shares.len().saturating_sub(1);
        let mut lines = vec![(Account::Receivable(income.payer), -change * Q)];
        for (n, share) in income.shares.iter_mut().enumerate() {
            let part =
                if n == last { rest } else { split::scale(share.part, reversed, income.amount) };
            rest -= part;
            let more = part - share.reversed;
            share.reversed = part;
            match &mut share.lies {
                Lies::Held => lines.push((Account::Held(share.bucket), more)),
                Lies::Spread(id, point) => {
                    let bucket = self.buckets.get_mut(id).expect("a part lies in a bucket");
                    let moved = bucket.reverse_to(income.currency, point, reversed, part);
                    bucket.settle_to(income.currency, point, income.settled);
                    let def = bucket.def.clone();
                    lines.push((self.bucket_account(&def), -moved.accrued));
                    lines.push((Account::Carry(*id), -moved.carry));
                }
            }
        }
        // A write-off passes through its own account, to show its turnover.
        lines.push((Account::WriteOff, written * Q));
        lines.push((Account::WriteOff, -written * Q));
        self.post(step, income.currency, &lines);
        if let Some((digest, _)) = income.source {
            let (number, open, off) = (income.number, income.open(), income.written_off);
            let settled = u128::from(income.settled);
            self.change_agreement(&digest, |a| {
                a.settled = a.settled + settled - u128::from(before.settled);
                if open > 0 {
                    a.open.insert(number)
                } else {
                    a.open.remove(&number)
                };
                if off > 0 {
                    a.written_off.insert(number)
                } else {
                    a.written_off.remove(&number)
                };
            });
        }
        self.incomes.set(number_index(income.number), Arc::new(income));
    }

    fn receive_cash(
        &mut self,
        step: &mut Step<'_>,
        payer: AgentId,
        currency: Currency,
        minor: Minor,
        fee: Minor,
    ) {
        let cash = Account::Cash(step.author, super::accounts::Fund::Contributors);
        self.post(
            step,
            currency,
            &[
                (cash, fixed(minor) - fixed(fee)),
                (Account::Fees, fixed(fee)),
                (Account::Receivable(payer), -fixed(minor)),
            ],
        );
    }

    /// SettlementReceived.
    pub(super) fn receive(&mut self, step: &mut Step<'_>, s: &Settlement) -> Outcome {
        let agreement = self.agreement(&s.agreement)?.clone();
        let accepted = agreement.progress == super::agreement::Progress::Accepted;
        require(accepted, Code::AgreementStageWrong, || {
            "cash arrives in the commons' ledger".into()
        })?;
        let currency = agreement.terms.currency;
        // All of this currency together, as income is limited: the sums of accounts are what
        // must fit. What this commons itself pays on to others came in before.
        let received = self.agreements.values().filter(|a| {
            a.terms.currency == currency && a.progress == super::agreement::Progress::Accepted
        });
        let cash = received.map(|a| a.cash).sum::<u128>() + u128::from(s.minor);
        require(cash <= u128::from(MAX_MONEY), Code::LimitExceeded, || {
            format!("cash in {currency}: at most {MAX_MONEY} minor units, would be {cash}")
        })?;
        self.use_bank(&s.bank)?;
        self.note_cash(step, currency);
        let payer = self.find(&agreement.terms.payer_handle)?;
        let fee = s.fee.as_ref().map_or(0, |f| f.minor);
        require(fee < s.minor, Code::FeeTooLarge, || format!("fee {fee} of {}", s.minor))?;
        self.receive_cash(step, payer, currency, s.minor, fee);
        // A fee that the payer bears is not settled: it stays receivable.
        let bearer = s.fee.as_ref().map(|f| self.find(&f.bearer)).transpose()?;
        let settles = if bearer == Some(payer) {
            self.post(
                step,
                currency,
                &[(Account::Receivable(payer), fixed(fee)), (Account::Fees, -fixed(fee))],
            );
            s.minor - fee
        } else {
            s.minor
        };
        self.change_agreement(&s.agreement, |a| {
            a.cash += u128::from(settles);
            a.arrived += u128::from(s.minor);
        });
        let items: u128 = s.items.iter().map(|i| u128::from(i.1)).sum();
        require(items <= u128::from(settles), Code::SettlesTooMuch, || {
            format!("items of {items}, cash of {settles}")
        })?;
        for (number, minor) in &s.items {
            let income = self.income(*number)?;
            let ours = income.source.is_some_and(|(digest, _)| digest == s.agreement);
            require(ours, Code::UnknownIncome, || format!("income {number} of this agreement"))?;
            let room = income.open() + income.written_off;
            require(*minor <= room, Code::SettlesTooMuch, || {
                format!("income {number}: {minor} of {room} open")
            })?;
            self.settle_income(step, *number, *minor);
        }
        self.absorb_credit(step, &s.agreement);
        if let (Some(f), Some(bearer)) = (&s.fee, bearer.filter(|b| *b != payer)) {
            self.require_bearer(bearer, &[])?;
            self.charge(step, bearer, currency, f.minor, None)?;
        }
        self.rebalance(step, currency, Some(step.author));
        Ok(())
    }

    /// Settles `minor` of an income; what it lacks in open amount is reinstated from
    /// what was written off.
    fn settle_income(&mut self, step: &mut Step<'_>, number: u64, minor: Minor) {
        let mut row = self.incomes[number_index(number)].as_ref().clone();
        row.written_off -= minor.saturating_sub(row.open());
        row.settled += minor;
        self.refresh(step, row);
    }

    /// The payer's credit settles its oldest open incomes, then reinstates.
    fn absorb_credit(&mut self, step: &mut Step<'_>, digest: &Hash) {
        loop {
            let a = &self.agreements[digest];
            let credit = a.credit();
            let Some(number) = a.open.get_min().or_else(|| a.written_off.get_min()).copied() else {
                break;
            };
            if credit == 0 {
                break;
            }
            let row = &self.incomes[number_index(number)];
            let room = if row.open() > 0 { row.open() } else { row.written_off };
            self.settle_income(step, number, room.min(credit));
        }
    }

    /// WriteOff: by quorum; the open rest of each income.
    pub(super) fn write_off(&mut self, step: &mut Step<'_>, incomes: &[u64]) -> Outcome {
        let mut currencies = BTreeSet::new();
        for number in incomes {
            let mut row = self.income(*number)?.as_ref().clone();
            let open = row.open();
            require(open > 0, Code::NothingOpen, || format!("income {number}"))?;
            row.written_off += open;
            currencies.insert(row.currency);
            self.refresh(step, row);
        }
        for currency in currencies {
            self.rebalance(step, currency, None);
        }
        Ok(())
    }
}
