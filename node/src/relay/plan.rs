//! What is to be appended to a ledger, given its own book and another one's.
//!
//! Pure: no log is read. Guarantees that a plan is empty once all of it is appended, and that its
//! steps stand in an order in which each is admitted after those before it. An agreement's steps
//! depend on nobody else's but on the other operator's handover. Leaves out the entries behind
//! numbers that a book does not know the place of (`proofs`), heads, and whether the other log
//! tells the truth: the rules judge each proof.

use std::{ops::RangeInclusive, sync::Arc};
use subak_ledger::{
    book::{
        agreement::{Agreement, Origin, Progress},
        state::State,
        types::Stage,
    },
    log::{Hash, LedgerId},
};

/// Entries of one agreement in a plan at most: a plan is made again after it is done.
pub const MOST: usize = 256;

/// Something to append to one's own ledger. Entries are those of the other one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// HandoverTake: the other operator has handed over, with consent.
    Handover {
        /// Whose.
        ledger: LedgerId,
        /// The handover.
        entry: u64,
        /// The head of the new operator that shows it.
        under: Under,
    },
    /// AgreementActive.
    Activate {
        /// Its digest.
        agreement: Hash,
        /// The entry that states the acceptance.
        entry: u64,
        /// A head of the operator who is known here.
        under: Under,
    },
    /// IncomeTake, one for each entry.
    Take {
        /// Its digest.
        agreement: Hash,
        /// What is due there and not taken here.
        numbers: RangeInclusive<u64>,
        /// Where it is.
        found: Found,
        /// A head of the operator who is known here.
        under: Under,
    },
}

impl Step {
    /// The agreement that it is about; none for a handover, which is about all with that ledger.
    pub fn agreement(&self) -> Option<Hash> {
        match self {
            Self::Handover { .. } => None,
            Self::Activate { agreement, .. } | Self::Take { agreement, .. } => Some(*agreement),
        }
    }

    /// Whether a step of a plan for the book `before` is still to be done in `now`.
    pub fn is_same_in(&self, before: &State, now: &State) -> bool {
        if let Self::Handover { ledger, .. } = self {
            return before.counterparts.get(&ledger.0) == now.counterparts.get(&ledger.0);
        }
        let in_book = |book: &State| Some(how_far(book.agreements.get(&self.agreement()?)?));
        in_book(before) == in_book(now)
    }
}

/// What of the own side of an agreement a plan depends on: progress, whether it is stated and
/// frozen, and the last number that was taken. What falls due there is the other side's affair.
pub(super) fn how_far(a: &Agreement) -> (Progress, bool, Option<u64>, u64) {
    let taken = if a.progress == Progress::Accepted { a.dues.last } else { 0 };
    (a.progress, a.stated.is_some(), a.frozen, taken)
}

/// Under which head a proof is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Under {
    /// The newest that is relied on.
    Newest,
    /// The one in the handover at this entry, which is also its size: the last of an operator.
    Before(u64),
}

impl Under {
    /// Whether such a head can hold an entry at all.
    pub fn holds(self, entry: u64) -> bool {
        match self {
            Self::Newest => true,
            Self::Before(size) => entry < size,
        }
    }
}

/// The entries that hold numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// These, in order: the book knows the place of an invoice.
    Entries(Vec<u64>),
    /// Somewhere from this entry on: a reversal, or a payout.
    From(u64),
}

/// Why nothing can be appended under an agreement until something else happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// Two stories under one number: the own entry that showed it.
    Frozen(u64),
    /// The other ledger has an operator with this key, without the consent of the one who is
    /// known here: the stewards here decide.
    Quorum(Hash),
    /// The other ledger never had the operator with this key, who is known here.
    Stranger(Hash),
}

/// What is to be done, and what cannot be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub steps: Vec<Step>,
    /// By agreement.
    pub obstacles: Vec<(Hash, Obstacle)>,
}

/// The other ledger of an agreement, and its operator's key in the terms.
pub fn other_side(a: &Agreement) -> (LedgerId, Hash) {
    let t = &a.terms;
    match a.progress {
        Progress::Accepted => (LedgerId(t.payer), t.payer_operator),
        Progress::Offered | Progress::Active => (LedgerId(t.commons), t.commons_operator),
    }
}

/// The agreements of a book with the ledger `other`.
pub(super) fn with(own: &State, other: LedgerId) -> impl Iterator<Item = &Arc<Agreement>> {
    own.agreements.values().filter(move |a| other_side(a).0 == other)
}

/// How far agreements are, as far as the own log does not state it yet: AgreementStage, for which
/// nobody else is needed.
pub fn unstated(own: &State) -> impl Iterator<Item = (Hash, Stage)> {
    own.agreements.values().filter(|a| a.stated.is_none()).filter_map(|a| {
        let stage = match a.progress {
            Progress::Offered => Stage::Offered,
            Progress::Accepted => Stage::Accepted,
            Progress::Active => return None,
        };
        Some((a.terms.digest, stage))
    })
}

/// What is to be relayed from the ledger `other` under all agreements with it.
pub fn plan(own: &State, other: &State) -> Plan {
    let mut plan = Plan::default();
    let mut line = None;
    for a in with(own, other.ledger) {
        let digest = a.terms.digest;
        if let (Progress::Accepted, Some(entry)) = (a.progress, a.frozen) {
            plan.obstacles.push((digest, Obstacle::Frozen(entry)));
            continue;
        }
        let (_, named) = other_side(a);
        // Who is known of a ledger is the same under all agreements once it is met.
        let met = own.counterparts.contains_key(&other.ledger.0);
        let known = if met { own.counterpart(other.ledger.0, named) } else { named };
        let line = match &mut line {
            Some((key, line)) if *key == known => line,
            _ => {
                let new = Line::new(known, other, met);
                plan.steps.extend(new.handovers.iter().cloned());
                &mut line.insert((known, new)).1
            }
        };
        if let Some(obstacle) = &line.obstacle {
            plan.obstacles.push((digest, obstacle.clone()));
        }
        let Some(under) = line.under else { continue };
        plan.steps.extend(of_agreement(a, other, under));
    }
    plan
}

/// The other ledger's operators from the one on who is known here.
struct Line {
    handovers: Vec<Step>,
    /// A head of the last one who is known once those are taken; none if that cannot be.
    under: Option<Under>,
    obstacle: Option<Obstacle>,
}

impl Line {
    fn new(known: Hash, other: &State, met: bool) -> Self {
        let tenures = &other.operators;
        let Some(mut at) = tenures.iter().rposition(|tenure| tenure.key == known) else {
            let obstacle = Some(Obstacle::Stranger(known));
            return Self { handovers: Vec::new(), under: None, obstacle };
        };
        let under = |n: usize| {
            tenures.get(n + 1).map_or(Under::Newest, |next| Under::Before(next.from - 1))
        };
        let mut handovers = Vec::new();
        // What an agreement is not in force with is not met, and then nothing is taken of it.
        while let Some(next) = tenures.get(at + 1).filter(|next| met && next.consented) {
            at += 1;
            let (ledger, entry) = (other.ledger, next.from - 1);
            handovers.push(Step::Handover { ledger, entry, under: under(at) });
        }
        let obstacle = tenures.get(at + 1).map(|next| Obstacle::Quorum(next.key));
        Self { handovers, under: Some(under(at)), obstacle }
    }
}

fn of_agreement(a: &Agreement, other: &State, under: Under) -> Option<Step> {
    let agreement = a.terms.digest;
    let theirs = other.agreements.get(&agreement)?;
    match a.progress {
        Progress::Active => None,
        Progress::Offered => {
            let entry = theirs.stated.filter(|_| theirs.progress == Progress::Accepted)?;
            under.holds(entry).then_some(Step::Activate { agreement, entry, under })
        }
        Progress::Accepted => {
            let (numbers, found) = due(a, other)?;
            let first = match &found {
                Found::Entries(entries) => *entries.first()?,
                Found::From(entry) => *entry,
            };
            under.holds(first).then_some(Step::Take { agreement, numbers, found, under })
        }
    }
}

/// The numbers that the payer's book has and the commons' agreement `a` has not taken, and where
/// they are.
pub fn due(a: &Agreement, payer: &State) -> Option<(RangeInclusive<u64>, Found)> {
    let theirs = payer.agreements.get(&a.terms.digest)?;
    let (taken, last) = (a.dues.last, theirs.dues.last);
    let is_due = last > taken && theirs.progress == Progress::Active;
    is_due.then(|| (taken + 1..=last, find(a, theirs, payer)))
}

/// Where the numbers are that follow the last one that was taken.
fn find(a: &Agreement, theirs: &Agreement, other: &State) -> Found {
    let next = a.dues.last + 1;
    let mut entries: Vec<u64> = Vec::new();
    for (number, (found, item)) in (next..).zip(theirs.dues.items.range(next..)) {
        // A reversal has a number and no item.
        let Origin::Invoice(invoice) = &item.origin else { break };
        let row = other.revenues.get(invoice).filter(|_| number == *found);
        let Some(row) = row else { break };
        if entries.last() != Some(&row.place.entry) {
            if entries.len() == MOST {
                break;
            }
            entries.push(row.place.entry);
        }
    }
    if !entries.is_empty() {
        return Found::Entries(entries);
    }
    // An entry is taken whole, and a run is paid after it is proposed.
    let after = a.taken_from().map_or(0, |entry| entry + 1);
    match theirs.dues.items.get(&next).map(|item| &item.origin) {
        Some(Origin::Payout(run)) => Found::From(after.max(run + 1)),
        _ => Found::From(after),
    }
}
