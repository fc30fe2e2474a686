//! A revenue ledger: invoices, what falls due on them, what is sent.

use super::{
    accounts::Account,
    agreement::{Origin, Progress, base_of},
    event::{Due, Revenue, RevenueReverse, Sending},
    payout::require_dues,
    state::{RevenueRow, State, Step},
    types::*,
};
use crate::{
    log::Hash,
    reject::{Code, Outcome, Reject, require},
};
use std::sync::Arc;

impl State {
    /// RevenueRecord.
    pub(super) fn record_revenue(&mut self, step: &mut Step<'_>, r: &Revenue) -> Outcome {
        let id = &r.invoice;
        let void = self.voids.contains(&(id.series.clone(), id.number));
        let taken = void || self.revenues.contains_key(id) || self.recorded_otherwise(r);
        require(!taken, Code::InvoiceTaken, || id.to_string())?;
        let gross = r.net + r.tax;
        let total = self.revenue_total.get(&r.currency).copied().unwrap_or(0) + u128::from(gross);
        require(total <= u128::from(MAX_MONEY), Code::LimitExceeded, || {
            format!("revenue in {}: at most {MAX_MONEY} minor units, would be {total}", r.currency)
        })?;
        self.revenue_total.insert(r.currency, total);
        let mut expected = Vec::new();
        let mut lines = vec![(Account::Till, fixed(gross)), (Account::Revenue, -fixed(gross))];
        for digest in self.matching(r.product.as_ref(), r.currency, step.at) {
            let agreement = &self.agreements[&digest];
            let base = base_of(&agreement.terms, r.net, r.tax);
            let due = agreement.dues.next_due(base, agreement.terms.share);
            let number = self.add_due(&digest, Origin::Invoice(id.clone()), base, due, step.at, 0);
            self.refresh_open(&digest, number);
            expected.push(Due { agreement: digest, number, amount: due });
            lines.push((Account::Revenue, fixed(due)));
            lines.push((Account::Due(digest), -fixed(due)));
        }
        require_dues(expected.clone(), &r.due)?;
        self.post(step, r.currency, &lines);
        let under: Vec<(Hash, u64)> = expected.iter().map(|d| (d.agreement, d.number)).collect();
        for (digest, _) in &under {
            self.net_credit(step, digest, r.currency);
        }
        self.revenues.insert(
            id.clone(),
            Arc::new(RevenueRow {
                place: step.place(),
                recorded_at: step.at,
                product: r.product.clone(),
                currency: r.currency,
                net: r.net,
                tax: r.tax,
                net_reversed: 0,
                tax_reversed: 0,
                under,
            }),
        );
        Ok(())
    }

    /// An invoice is recorded whole (line 0) or by its lines, not both.
    fn recorded_otherwise(&self, r: &Revenue) -> bool {
        let at = |line| super::event::InvoiceId { line, ..r.invoice.clone() };
        if r.invoice.line == 0 {
            self.revenues.range(at(1)..=at(u32::MAX)).next().is_some()
        } else {
            self.revenues.contains_key(&at(0))
        }
    }

    /// InvoiceVoid.
    pub(super) fn void(&mut self, series: &Handle, number: u64) -> Outcome {
        let at = |line| super::event::InvoiceId { series: series.clone(), number, line };
        let recorded = self.revenues.range(at(0)..=at(u32::MAX)).next().is_some();
        let fresh = !recorded && self.voids.insert((series.clone(), number)).is_none();
        require(fresh, Code::InvoiceTaken, || format!("{series}/{number}"))
    }

    /// RevenueReverse.
    pub(super) fn reverse_revenue(&mut self, step: &mut Step<'_>, r: &RevenueReverse) -> Outcome {
        let Some(row) = self.revenues.get(&r.invoice).cloned() else {
            return Err(Reject::new(Code::UnknownInvoice, r.invoice.to_string()));
        };
        let left = (row.net - row.net_reversed, row.tax - row.tax_reversed);
        require(r.net <= left.0 && r.tax <= left.1, Code::ReversesTooMuch, || {
            format!("{}: net {} of {}, tax {} of {}", r.invoice, r.net, left.0, r.tax, left.1)
        })?;
        let gross = r.net + r.tax;
        let mut expected = Vec::new();
        let mut lines = vec![(Account::Till, -fixed(gross)), (Account::Revenue, fixed(gross))];
        for (digest, number) in &row.under {
            let agreement = &self.agreements[digest];
            let base = base_of(&agreement.terms, r.net, r.tax);
            if base == 0 {
                continue; // only tax is reversed, and the share is of the net
            }
            let back = agreement
                .dues
                .next_reversal(*number, base)
                .expect("the base reversed is within what was recorded, checked above");
            self.reverse_due(digest, *number, base, back);
            self.refresh_open(digest, *number);
            let last = self.agreements[digest].dues.last;
            expected.push(Due { agreement: *digest, number: last, amount: back });
            lines.push((Account::Revenue, -fixed(back)));
            lines.push((Account::Due(*digest), fixed(back)));
        }
        require_dues(expected, &r.due)?;
        self.post(step, row.currency, &lines);
        for (digest, _) in &row.under {
            self.net_credit(step, digest, row.currency);
        }
        let mut row = Arc::unwrap_or_clone(row);
        row.net_reversed += r.net;
        row.tax_reversed += r.tax;
        let total = self.revenue_total.get_mut(&row.currency).expect("it holds this revenue");
        *total -= u128::from(gross);
        self.revenues.insert(r.invoice.clone(), Arc::new(row));
        Ok(())
    }

    /// SettlementSent.
    pub(super) fn send(&mut self, step: &mut Step<'_>, s: &Sending) -> Outcome {
        let agreement = self.agreement(&s.agreement)?.clone();
        let pays = agreement.progress == Progress::Active && agreement.terms.base != Base::Payout;
        require(pays, Code::AgreementStageWrong, || {
            "cash is sent under an active agreement".into()
        })?;
        let fees = whole(self.accounts.balance(Account::Fees, agreement.terms.currency));
        let fees = fees + i128::from(s.fee);
        require(fees <= i128::from(MAX_MONEY), Code::LimitExceeded, || {
            format!("fees in all: at most {MAX_MONEY} minor units, would be {fees}")
        })?;
        self.use_bank(&s.bank)?;
        let items: u128 = s.items.iter().map(|i| u128::from(i.1)).sum();
        require(items <= u128::from(s.minor), Code::SendsTooMuch, || {
            format!("items of {items}, cash of {}", s.minor)
        })?;
        for (number, minor) in &s.items {
            let item = agreement.dues.items.get(number).ok_or_else(|| {
                Reject::new(Code::UnknownIncome, format!("number {number} of this agreement"))
            })?;
            let open = (item.due - item.due_reversed).saturating_sub(item.sent);
            require(*minor <= open, Code::SendsTooMuch, || {
                format!("number {number}: {minor} of {open}")
            })?;
            self.send_item(&s.agreement, *number, *minor);
        }
        self.change_agreement(&s.agreement, |a| a.cash += u128::from(s.minor));
        let left = self.net_items(&s.agreement);
        require(left == 0, Code::SendsTooMuch, || format!("{left} more than is due"))?;
        let currency = agreement.terms.currency;
        self.post(
            step,
            currency,
            &[
                (Account::Sent(s.agreement), fixed(s.minor)),
                (Account::Fees, fixed(s.fee)),
                (Account::Till, -fixed(s.minor) - fixed(s.fee)),
            ],
        );
        Ok(())
    }

    fn send_item(&mut self, digest: &Hash, number: u64, minor: Minor) {
        self.change_agreement(digest, |a| {
            let item = a.dues.items.get_mut(&number).expect("the caller found it");
            item.sent += minor;
            a.settled += u128::from(minor);
        });
        self.refresh_open(digest, number);
    }

    /// Keeps the open numbers current; what was sent beyond a reversed share becomes
    /// credit.
    fn refresh_open(&mut self, digest: &Hash, number: u64) {
        self.change_agreement(digest, |a| {
            let item = a.dues.items.get_mut(&number).expect("the caller found it");
            let due = item.due - item.due_reversed;
            let excess = item.sent.saturating_sub(due);
            item.sent -= excess;
            a.settled -= u128::from(excess);
            if item.sent < due {
                a.open.insert(number)
            } else {
                a.open.remove(&number)
            };
        });
    }

    /// Cash that settles nothing yet goes to the oldest open numbers; returns the rest.
    fn net_items(&mut self, digest: &Hash) -> Minor {
        loop {
            let a = &self.agreements[digest];
            let credit = a.credit();
            let Some(number) = a.open.get_min().copied().filter(|_| credit > 0) else {
                return credit;
            };
            let item = &a.dues.items[&number];
            let open = item.due - item.due_reversed - item.sent;
            self.send_item(digest, number, open.min(credit));
        }
    }

    /// Brings the credit account in line with what was sent beyond what is due.
    fn net_credit(&mut self, step: &mut Step<'_>, digest: &Hash, currency: Currency) {
        let credit = self.net_items(digest);
        let booked = self.accounts.balance(Account::Credit(*digest), currency);
        let change = fixed(credit) - booked;
        self.post(
            step,
            currency,
            &[(Account::Credit(*digest), change), (Account::Sent(*digest), -change)],
        );
    }
}
