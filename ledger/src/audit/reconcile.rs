//! Ledgers against each other, wherever they were found: what a commons took, and what its
//! payer's log holds; what left, and what arrived.
//!
//! Owns which copy of a ledger counts, which ledgers have to do with each other, and the row that
//! each agreement has in the table. Guarantees that a ledger counts once, however many targets
//! have it; that what cannot be compared is said; and that the cost is that of one look-up for
//! each take and one for each number. Leaves out what is found between two sides (`pair`), and
//! proofs and each ledger's own rules, which its book has checked.

use super::{
    Audit,
    finding::{Code, Findings, Severity},
    pair::Both,
    side::{Heard, Known, Side},
    table::{Row, Standing, Table},
    verdict,
};
use crate::{
    book::{agreement::Progress, event::Terms, types::Base},
    log::{Hash, LedgerId},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Compares all ledgers of all audits with each other, once: adds what is found to the audit whose
/// copy of the ledger counts, and returns who owes whom how much. Takes the [`Audit::sides`].
pub fn reconcile(audits: &mut [Audit]) -> Table {
    let chosen = choose(audits);
    let sides: BTreeMap<Hash, &Side> = chosen.iter().map(|(id, (_, s))| (*id, s)).collect();
    let mut findings: BTreeMap<Hash, Findings> =
        sides.keys().map(|id| (*id, Findings::new(Some(LedgerId(*id))))).collect();
    let mut terms: BTreeMap<Hash, &Arc<Terms>> = BTreeMap::new();
    for (digest, known) in sides.values().flat_map(|side| &side.known) {
        terms.entry(*digest).or_insert(&known.terms);
    }
    let mut told = BTreeSet::new();
    let rows = terms.into_values().map(|terms| {
        let side = |id: &Hash| sides.get(id).copied();
        let pair = Pair { terms, payer: side(&terms.payer), commons: side(&terms.commons) };
        pair.missing(&mut findings, &mut told);
        pair.operators(&mut findings, &mut told);
        pair.row(&mut findings)
    });
    let table = Table::of(rows.collect());
    for (id, found) in findings {
        let audit = &mut audits[chosen[&id].0];
        audit.findings.extend(found.close());
        audit.verdict = verdict(&audit.findings);
    }
    table
}

/// Of each ledger the copy that counts: a sound one before one at fault, one whose book was judged
/// before others, of those the longest; and where it is.
fn choose(audits: &mut [Audit]) -> BTreeMap<Hash, (usize, Side)> {
    let mut chosen: BTreeMap<Hash, Best> = BTreeMap::new();
    for (place, audit) in audits.iter_mut().enumerate() {
        for side in std::mem::take(&mut audit.sides) {
            let fault =
                |f: &super::Finding| f.ledger == Some(side.id) && f.severity == Severity::Fault;
            let rank = (!audit.findings.iter().any(fault), side.is_judged(), side.size);
            if chosen.get(&side.id.0).is_none_or(|best| rank > best.rank) {
                chosen.insert(side.id.0, Best { rank, place, side });
            }
        }
    }
    chosen.into_iter().map(|(id, copy)| (id, (copy.place, copy.side))).collect()
}

/// One copy of a ledger.
struct Best {
    /// Without a fault, judged to its end, its size: more is better, and the first of equals counts.
    rank: (bool, bool, u64),
    /// Of its audit.
    place: usize,
    side: Side,
}

/// An agreement, and its two ledgers as far as they are here.
struct Pair<'s> {
    terms: &'s Arc<Terms>,
    payer: Option<&'s Side>,
    commons: Option<&'s Side>,
}

/// Of a log that says nothing under an agreement.
static NOTHING: Heard =
    Heard { stated: Vec::new(), taken: Vec::new(), sent: Vec::new(), received: 0 };

fn heard<'s>(side: &'s Side, terms: &Terms) -> &'s Heard {
    side.heard.get(&terms.digest).unwrap_or(&NOTHING)
}

fn known<'s>(side: Option<&'s Side>, terms: &Terms) -> Option<&'s Known> {
    side?.known.get(&terms.digest)
}

/// Where the findings of a ledger go. It has a place, being among the targets.
fn of<'f>(findings: &'f mut BTreeMap<Hash, Findings>, side: &Side) -> &'f mut Findings {
    findings.get_mut(&side.id.0).expect("each side that counts was given a list")
}

impl Pair<'_> {
    /// A ledger that is not here is mentioned once by each that has to do with it.
    fn missing(&self, findings: &mut BTreeMap<Hash, Findings>, told: &mut BTreeSet<(Hash, Hash)>) {
        let t = self.terms;
        let (here, word, handle, other) = match (self.payer, self.commons) {
            (Some(payer), None) => (payer, "commons", &t.commons_handle, t.commons),
            (None, Some(commons)) => (commons, "payer", &t.payer_handle, t.payer),
            _ => return,
        };
        let offered = known(Some(here), t).is_none_or(|k| k.progress == Progress::Offered);
        if !offered && told.insert((here.id.0, other)) {
            let detail = format!("{word} {handle}, ledger {}", hex::encode(other));
            of(findings, here).add(Code::OtherSideMissing, None, &detail);
        }
    }

    /// Whom each side takes for the other's operator is whom the other's log names.
    fn operators(
        &self,
        findings: &mut BTreeMap<Hash, Findings>,
        told: &mut BTreeSet<(Hash, Hash)>,
    ) {
        let (Some(payer), Some(commons)) = (self.payer, self.commons) else { return };
        for (side, other) in [(commons, payer), (payer, commons)] {
            // An offer is made anew where an operator has changed since.
            let known = known(Some(side), self.terms);
            let Some(known) = known.filter(|k| k.progress != Progress::Offered) else { continue };
            let known = known.counterpart;
            let newest = other.operator.is_none_or(|key| key == known);
            if newest || !told.insert((side.id.0, other.id.0)) {
                continue;
            }
            let code = if other.named.contains(&known) {
                Code::CounterpartBehind
            } else {
                Code::CounterpartUnknown
            };
            let names = other.operator.map(hex::encode).unwrap_or_default();
            let detail = format!(
                "{}, ledger {}: expected {names}, found {}",
                other.name,
                other.id,
                hex::encode(known)
            );
            of(findings, side).add(code, None, &detail);
        }
    }

    /// The comparison, and the figures of both sides.
    fn row(&self, findings: &mut BTreeMap<Hash, Findings>) -> Row {
        let mut row = self.figures();
        let (Some(payer), Some(commons)) = (self.payer, self.commons) else { return row };
        let (owing, taking) = (known(Some(payer), self.terms), known(Some(commons), self.terms));
        let lacks = |side: &Side, has: Option<&Known>| side.is_judged() && has.is_none();
        match (owing, taking) {
            (Some(a), None) if a.progress == Progress::Active && lacks(commons, None) => {
                let detail =
                    format!("{} as the payer, {} as the commons", payer.name, commons.name);
                of(findings, payer).add(Code::AgreementUnmatched, None, &detail);
            }
            (None, Some(_)) if lacks(payer, None) => {
                let detail =
                    format!("{} as the payer, {} as the commons", payer.name, commons.name);
                of(findings, commons).add(Code::AgreementUnmatched, None, &detail);
            }
            _ => {}
        }
        let Some(taking) = taking else { return row };
        let said = [heard(payer, self.terms), heard(commons, self.terms)];
        let both = Both::new(self.terms, [payer, commons], said, owing, taking);
        let matched = both.sources(of(findings, commons));
        let amounts = both.amounts(of(findings, commons), &mut row);
        if both.behind {
            (row.due, row.in_flight) = (None, None);
        }
        row.overdue = owing.map(|owing| both.overdue(owing, of(findings, commons)));
        both.late(of(findings, commons));
        both.cash(&row, of(findings, commons));
        if row.unexplained().is_some_and(|by| by != 0) && amounts {
            let by = row.unexplained().unwrap_or_default();
            let currency = self.terms.currency;
            let detail =
                format!("what is due and what is open differ by {by} minor units of {currency}");
            of(findings, commons).add(Code::IncomeUnmatched, None, &detail);
        }
        row.standing = both.standing(&row, matched && amounts);
        row
    }

    /// What each side says by itself.
    fn figures(&self) -> Row {
        let t = self.terms;
        let (owing, taking) = (known(self.payer, t), known(self.commons, t));
        let name = |side: Option<&Side>, handle: &str| {
            side.map_or_else(|| handle.to_owned(), |side| side.name.clone())
        };
        let received = self.commons.filter(|_| taking.is_some()).map(|c| heard(c, t).received);
        let cash = taking.map(|k| k.cash);
        let open = |k: &Known| k.shares.iter().map(|s| i128::from(s.open)).sum::<i128>();
        let standing = match (self.payer, self.commons, owing, taking) {
            (None, ..) => Standing::PayerMissing,
            (Some(_), _, Some(k), None) if k.progress == Progress::Offered => Standing::Pending,
            (_, None, ..) => Standing::CommonsMissing,
            _ => Standing::Unjudged,
        };
        Row {
            terms: t.clone(),
            payer: name(self.payer, t.payer_handle.as_str()),
            commons: name(self.commons, t.commons_handle.as_str()),
            standing,
            both: self.payer.is_some() && self.commons.is_some(),
            due: owing.map(Known::net),
            last_due: owing.map(|k| k.last),
            taken: taking.map(Known::net),
            last_taken: taking.map(|k| k.last),
            in_flight: None,
            sent: owing.map(|k| sent(t, k)),
            received: received.map(signed),
            fees: received.zip(cash).map(|(all, settles)| signed(all - settles)),
            written_off: taking.map(|k| signed(k.written_off)),
            open: taking.map(|k| open(k) - i128::from(k.credit)),
            overdue: None,
        }
    }
}

/// Sums of money are far below 2^127.
fn signed(minor: u128) -> i128 {
    i128::try_from(minor).unwrap_or(i128::MAX)
}

/// A payout is passed on as it is paid: nothing else is sent.
fn sent(terms: &Terms, owing: &Known) -> i128 {
    if terms.base == Base::Payout { owing.net() } else { signed(owing.cash) }
}
