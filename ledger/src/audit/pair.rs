//! The two sides of one agreement, held against each other.
//!
//! Owns what is found between them. Guarantees that days are counted to the newest entry of the
//! two logs; that a payer's second story under a number, and what its own book refuses, is nothing
//! that could be taken; and that a copy of the payer's log that ends too soon accuses nobody.
//! Amounts are `N minor units of CUR` in every message: how many decimals a currency has is for
//! whoever shows them. Leaves out which copies of the two ledgers count, and their own rules.

use super::{
    finding::{Code, Findings},
    side::{Heard, Known, Share, Side, Stated, Taken},
    table::{Row, Standing},
};
use crate::{
    book::{
        agreement::Progress,
        event::Terms,
        types::{Base, DAY_MS},
    },
    log::Hash,
};
use std::collections::BTreeMap;

/// Both sides of an agreement that is in force in both books, or whose payer's log can at least be
/// read.
pub(super) struct Both<'s> {
    terms: &'s Terms,
    payer: &'s Side,
    /// What the payer's log says, by right or not.
    said: &'s Heard,
    /// What its book makes of it, if that went through.
    owing: Option<&'s Known>,
    heard: &'s Heard,
    taking: &'s Known,
    /// The time of the newest entry of both, ms.
    as_of: u64,
    /// Whether the payer's copy ends before what was taken from it.
    pub(super) behind: bool,
}

impl<'s> Both<'s> {
    /// Of payer and commons: the ledgers, what they say, and what their books make of it.
    pub(super) fn new(
        terms: &'s Terms,
        [payer, commons]: [&'s Side; 2],
        [said, heard]: [&'s Heard; 2],
        owing: Option<&'s Known>,
        taking: &'s Known,
    ) -> Self {
        let short = |seq: Option<u64>| seq.is_some_and(|seq| seq >= payer.size);
        let behind = payer.readable && heard.taken.iter().any(|take| short(take.seq));
        let as_of = payer.time.max(commons.time);
        Self { terms, payer, said, owing, heard, taking, as_of, behind }
    }

    /// Days since then, if the agreement's days are over.
    fn over(&self, at: u64) -> Option<u64> {
        (self.as_of > self.terms.due_by(at)).then(|| (self.as_of - at) / DAY_MS)
    }

    /// Every entry that was taken stands in the payer's log, and its book holds it. Returns
    /// whether none contradicts.
    pub(super) fn sources(&self, findings: &mut Findings) -> bool {
        let (payer, mut matched) = (self.payer, true);
        let mut unjudged = (0u64, None);
        let stated: BTreeMap<u64, Hash> =
            self.said.stated.iter().map(|s| (s.entry, s.digest)).collect();
        // Once stewards have unfrozen it, what they decided against has no part in it any more.
        let counts = |take: &&Taken| self.taking.frozen || !take.second;
        for take in self.heard.taken.iter().filter(counts) {
            let seq = take.seq.expect("the book has checked the proof's leaf");
            if !payer.readable
                || payer.stopped.is_some_and(|(at, rule)| seq > at || (seq == at && !rule))
            {
                unjudged = (unjudged.0 + 1, unjudged.1.or(Some(take.entry)));
            }
            if !payer.readable {
                continue;
            }
            if seq >= payer.size {
                let detail = format!("expected entry {seq}, found {} entries", payer.size);
                findings.add(Code::PayerBehind, Some(take.entry), &detail);
                continue;
            }
            let there = stated.get(&seq);
            let place = format!("entry {seq} of ledger {}", payer.id);
            if take.second {
                if there != Some(&take.digest) {
                    findings.add(Code::SecondStory, Some(take.entry), &place);
                }
            } else if there != Some(&take.digest) {
                let found = there.map_or_else(
                    || "no share there".into(),
                    |digest| format!("envelope {}", hex::encode(digest)),
                );
                let expected = hex::encode(take.digest);
                let detail = format!("{place}: expected envelope {expected}, found {found}");
                findings.add(Code::IncomeUnmatched, Some(take.entry), &detail);
                matched = false;
            } else if payer.stopped == Some((seq, true)) {
                findings.add(Code::IncomeRefused, Some(take.entry), &place);
                matched = false;
            }
        }
        if let (count, Some(first)) = unjudged {
            let detail = format!("{count} entries of {}, ledger {}", payer.name, payer.id);
            findings.add(Code::PayerUnjudged, Some(first), &detail);
        }
        matched
    }

    /// Numbers and amounts are the payer's; what lies beyond the last one taken is in flight.
    /// Returns whether none contradicts.
    pub(super) fn amounts(&self, findings: &mut Findings, row: &mut Row) -> bool {
        if !self.payer.readable {
            return true;
        }
        let last = self.taking.last;
        let mut matched = self.lacking(findings);
        let (mut taken_back, mut flying) = (0u128, Flight::default());
        let mut before = None;
        for stated in &self.said.stated {
            // A second story under one number: the payer's own book refuses it.
            if before.replace(stated.number) == Some(stated.number) {
                continue;
            }
            if stated.number > last {
                // What its book refuses, or comes after that, is nobody's to take.
                if self.payer.stopped.is_none_or(|(at, _)| stated.entry < at) {
                    flying.add(stated);
                }
                continue;
            }
            if stated.back {
                taken_back += u128::from(stated.amount);
            }
            if let Some((entry, detail)) = self.differs(stated) {
                findings.add(Code::IncomeUnmatched, entry, &detail);
                matched = false;
            }
        }
        let reversed: u128 = self.taking.shares.iter().map(|s| u128::from(s.reversed)).sum();
        // A payer's log that ends too soon has been told already.
        let whole = self.said.story(last).is_some();
        if whole && reversed != taken_back {
            let currency = self.terms.currency;
            let detail = format!(
                "expected {taken_back} minor units of {currency} taken back, found {reversed} minor \
                 units of {currency}"
            );
            findings.add(Code::IncomeUnmatched, None, &detail);
            matched = false;
        }
        self.not_taken(&flying, findings);
        row.in_flight = self.owing.map(|_| flying.minor);
        matched
    }

    /// Where the commons has something else under a number: the entry that took it, and what.
    fn differs(&self, stated: &Stated) -> Option<(Option<u64>, String)> {
        let share = self.taking.share(stated.number);
        let (due, back) = share.map_or((stated.amount, true), |share| (share.due, false));
        if (due, back) == (stated.amount, stated.back) {
            return None;
        }
        let currency = self.terms.currency;
        let found = share.map_or_else(
            || "something taken back".to_owned(),
            |share| format!("{} minor units of {currency} due", share.due),
        );
        let word = if stated.back { "taken back" } else { "due" };
        let detail = format!(
            "number {}: expected {} minor units of {currency} {word}, found {found}",
            stated.number, stated.amount
        );
        Some((share.and_then(|share| share.entry), detail))
    }

    /// Every number that was taken is the payer's, where its log is long enough to tell.
    fn lacking(&self, findings: &mut Findings) -> bool {
        if self.behind {
            return true;
        }
        let stated = |share: &&Share| self.said.story(share.number).is_none();
        let mut matched = true;
        for share in self.taking.shares.iter().filter(stated) {
            let (number, currency) = (share.number, self.terms.currency);
            let detail = format!("number {number}, {} minor units of {currency}", share.due);
            findings.add(Code::IncomeWithoutRevenue, share.entry, &detail);
            matched = false;
        }
        matched
    }

    fn not_taken(&self, flying: &Flight, findings: &mut Findings) {
        let Some(oldest) = flying.oldest else { return };
        let terms = self.terms;
        let late = self.over(oldest).map_or_else(String::new, |days| {
            format!(", the oldest for {days} days where {} are agreed", terms.due_days)
        });
        let detail = format!(
            "{} numbers of {}, from {} on, {} minor units of {}{late}",
            flying.count,
            terms.payer_handle,
            self.taking.last + 1,
            flying.minor,
            terms.currency
        );
        findings.add(Code::NotTaken, None, &detail);
    }

    /// Income that was taken later after its revenue than the agreement gives to settle it.
    pub(super) fn late(&self, findings: &mut Findings) {
        let (mut count, mut worst) = (0u64, None);
        for share in &self.taking.shares {
            let Some(stated) = self.said.story(share.number) else { continue };
            if share.at > self.terms.due_by(stated.at) {
                count += 1;
                worst =
                    worst.max(Some(((share.at - stated.at) / DAY_MS, share.number, share.entry)));
            }
        }
        if let Some((days, number, entry)) = worst {
            let detail = format!(
                "{count} numbers of {}, number {number} {days} days after it was recorded, where \
                 {} are agreed",
                self.terms.payer_handle, self.terms.due_days
            );
            findings.add(Code::IncomeLate, entry, &detail);
        }
    }

    /// What is not settled in time, minor units. A share counts from the day on which the payer
    /// recorded it, whenever it was taken; what the payer has taken back since does not.
    pub(super) fn overdue(&self, owing: &Known, findings: &mut Findings) -> i128 {
        let (mut count, mut minor, mut oldest) = (0u64, 0i128, 0);
        for theirs in &owing.shares {
            let Some(days) = self.over(theirs.at) else { continue };
            let open = if let Some(share) = self.taking.share(theirs.number) {
                share.open.saturating_sub(theirs.reversed.saturating_sub(share.reversed))
            } else if theirs.number > self.taking.last {
                theirs.open
            } else {
                0 // the contradiction is told
            };
            if open > 0 {
                (count, minor) = (count + 1, minor + i128::from(open));
                oldest = oldest.max(days);
            }
        }
        let minor = (minor - i128::from(self.taking.credit)).max(0);
        if minor > 0 {
            let terms = self.terms;
            let detail = format!(
                "{count} shares of {}, {minor} minor units of {}, the oldest due for {oldest} days \
                 where {} are agreed",
                terms.payer_handle, terms.currency, terms.due_days
            );
            findings.add(Code::SettlementOverdue, None, &detail);
        }
        minor
    }

    /// Cash that left one ledger arrived in the other. No rule can demand it: cash is on its
    /// way for days, and each ledger's treasurer alone says what the bank has shown.
    pub(super) fn cash(&self, row: &Row, findings: &mut Findings) {
        let (Some(sent), Some(received)) = (row.sent, row.received) else { return };
        if sent == received || self.behind {
            return;
        }
        let terms = self.terms;
        let (payer, currency) = (&terms.payer_handle, terms.currency);
        let detail = format!(
            "{payer} sent {sent} minor units of {currency}, {received} minor units of {currency} were \
             received"
        );
        if received > sent {
            return findings.add(Code::CashNotSent, None, &detail);
        }
        match self.left_at(received).and_then(|at| self.over(at)) {
            Some(days) => {
                let since = format!(
                    "{detail}; the oldest of the rest left {days} days ago, where {} are agreed",
                    terms.due_days
                );
                findings.add(Code::CashNotArrived, None, &since);
            }
            None => findings.add(Code::CashUnmatched, None, &detail),
        }
    }

    /// When the oldest cash left that has not arrived, if what has arrived is what left first.
    fn left_at(&self, received: i128) -> Option<u64> {
        let mut rest = received;
        let mut leaves = |(at, minor): (u64, u64)| {
            rest -= i128::from(minor);
            (rest < 0).then_some(at)
        };
        if self.terms.base == Base::Payout {
            let mut paid: Vec<_> =
                self.owing?.shares.iter().map(|s| (s.at, s.due - s.reversed)).collect();
            paid.sort_unstable();
            paid.into_iter().find_map(&mut leaves)
        } else {
            self.said.sent.iter().copied().find_map(&mut leaves)
        }
    }

    pub(super) fn standing(&self, row: &Row, matched: bool) -> Standing {
        let accepted = self.owing.is_some_and(|k| k.progress == Progress::Offered);
        let flies = |minor: Option<i128>| minor.is_some_and(|minor| minor != 0);
        match (row.unexplained(), row.overdue) {
            _ if self.taking.frozen => Standing::Frozen,
            _ if !matched => Standing::Unmatched,
            _ if self.behind => Standing::PayerBehind,
            (None, _) => Standing::Unjudged,
            (Some(0), _) if accepted => Standing::Pending,
            (Some(0), Some(overdue)) if overdue > 0 => Standing::Overdue,
            (Some(0), _) if row.last_due != row.last_taken || flies(row.cash_in_flight()) => {
                Standing::InFlight
            }
            (Some(0), _) if flies(row.open) => Standing::Open,
            (Some(0), _) => Standing::Settled,
            _ => Standing::Unmatched,
        }
    }
}

/// Numbers beyond the last one taken.
#[derive(Default)]
struct Flight {
    count: u64,
    minor: i128,
    /// `recorded_at` of the oldest of them, ms.
    oldest: Option<u64>,
}

impl Flight {
    fn add(&mut self, stated: &Stated) {
        self.count += 1;
        self.minor += stated.change();
        self.oldest = Some(self.oldest.map_or(stated.at, |at| at.min(stated.at)));
    }
}
