//! What people do: treasurers and stewards, each at the node of their organisation.
//!
//! They look at what their node shows, sign a statement, and send it until they get an answer: the
//! same bytes, because a statement is recorded once at most. An answer is believed only where it
//! proves the entry. Between banks cash takes no time and is never lost: what has left one
//! organisation's books can be found at the other.

use super::{
    found::{DAY, Deal, EUR, Founded, START, handle, key, sign},
    net::Appended,
    rng::Rng,
};
use prost::bytes::Bytes;
use subak_ledger::{
    book::{
        event::InvoiceId,
        state::{Fate, State, WorkPart},
        types::{Currency, Handle},
    },
    log::{Basis, Hash, Header, LedgerId, PublicKey, receipt::place},
};
use subak_proto::v1::{self, event::Kind};

/// Of work; the only thing here that must say what its author has seen.
const VALIDATION: &str = "validation";

/// A statement that was sent and is not answered yet.
pub struct Pending {
    pub envelope: Bytes,
    pub what: &'static str,
    /// The question that is open, and since when.
    pub asked: Option<(u64, u64)>,
}

/// A proven answer.
pub struct Receipt {
    pub seq: u64,
    pub leaf: Bytes,
    pub path: Vec<Hash>,
    pub checkpoint: String,
}

#[derive(Default)]
pub struct Person {
    /// Statements that they will still make.
    pub left: u64,
    pub pending: Option<Pending>,
    pub receipts: Vec<Receipt>,
    /// Statements and references so far.
    pub serial: u64,
}

/// What somebody sees when they decide.
pub struct View<'a> {
    pub org: usize,
    pub founded: &'a Founded,
    pub book: &'a State,
    /// Cash that has left payers' books, by agreement.
    pub sent: Vec<u128>,
    /// Whether amounts are multiples of ten cents, so that no share is rounded.
    pub round: bool,
    pub now: u64,
}

fn eur() -> Currency {
    Currency::new(EUR).unwrap()
}

impl Person {
    /// Checks the answer to what was sent.
    pub fn receive(
        &mut self,
        ledger: LedgerId,
        operator: &PublicKey,
        answer: Appended,
    ) -> Result<(), String> {
        let pending = self.pending.take().expect("an answer to what is pending");
        let digest: Hash = blake3::hash(&pending.envelope).into();
        let Appended { entry, leaf, path, checkpoint } = answer;
        let proven = place(ledger, operator, (&leaf, &digest), &path, &checkpoint);
        let (found, _) = proven.map_err(|reject| reject.to_string())?;
        if found.seq != entry {
            return Err(format!("the leaf is entry {}, answered was {entry}", found.seq));
        }
        self.receipts.push(Receipt { seq: entry, leaf, path, checkpoint });
        Ok(())
    }

    /// Signs something that makes sense, if anything does.
    pub fn decide(&mut self, view: &View<'_>, rng: &mut Rng) -> Option<(Bytes, &'static str)> {
        let (what, events) = if view.founded.orgs[view.org].commons {
            self.of_commons(view, rng)?
        } else {
            self.of_phyle(view, rng)?
        };
        let org = &view.founded.orgs[view.org];
        let basis = (what == VALIDATION || rng.permille(500)).then(|| Basis {
            size: view.book.size,
            chain: *view.book.chain.last().expect("there is a genesis"),
        });
        let (created_at, expires_at) = (START + view.now, START + view.now + DAY);
        let (ledger, author, nonce) = (org.ledger, handle("sam"), rng.nonce());
        let header = Header { ledger, author, nonce, created_at, expires_at, basis };
        Some((sign(header, &key(&format!("sam of {}", org.name)), events), what))
    }

    /// A reference that nobody else uses.
    fn reference(&mut self, org: usize) -> String {
        self.serial += 1;
        format!("bank:{org}-{}", self.serial)
    }

    fn of_phyle(&mut self, view: &View<'_>, rng: &mut Rng) -> Option<(&'static str, Vec<Kind>)> {
        match rng.below(10) {
            0..6 => Some(("revenue", self.revenue(view, rng))),
            6..8 => Some(("reversal", vec![reversal(view, rng)?])),
            _ => {
                let deal = rng.pick(&own_deals(view, |deal| deal.payer))?;
                let agreement = &view.book.agreements[&deal.digest];
                let items = agreement.dues.items.values();
                let open = items.map(|item| item.due - item.due_reversed - item.sent).sum::<u64>();
                let minor = if rng.permille(500) { open } else { rng.between(1, open.max(1)) };
                let (agreement, bank) = (deal.digest.to_vec(), self.reference(view.org));
                let sent = v1::SettlementSent { agreement, minor, bank, item: vec![], fee: 0 };
                (minor > 0 && minor <= open).then(|| ("sent", vec![Kind::SettlementSent(sent)]))
            }
        }
    }

    /// One invoice, or several in one statement where no share is rounded.
    fn revenue(&mut self, view: &View<'_>, rng: &mut Rng) -> Vec<Kind> {
        let count = if view.round { rng.between(1, 3) } else { 1 };
        let unit = if view.round { 10 } else { 1 };
        let record = |n: u64, person: &mut Self, rng: &mut Rng| {
            person.serial += 1;
            let net = rng.between(1, 90_000) * unit;
            let mut due = view.book.dues_of_revenue(None, eur(), (net, 0), view.now);
            for due in &mut due {
                due.number += n;
            }
            let number = person.serial;
            let invoice = Some(v1::Invoice { series: "inv".into(), number, line: 0 });
            let currency = EUR.into();
            Kind::RevenueRecord(v1::RevenueRecord {
                invoice,
                currency,
                net,
                due,
                ..Default::default()
            })
        };
        (0..count).map(|n| record(n, self, rng)).collect()
    }

    fn of_commons(&mut self, view: &View<'_>, rng: &mut Rng) -> Option<(&'static str, Vec<Kind>)> {
        match rng.below(12) {
            0..4 => {
                let deal = rng.pick(&own_deals(view, |deal| deal.commons))?;
                let place = view.founded.deals.iter().position(|d| d.digest == deal.digest)?;
                let here = view.book.agreements[&deal.digest].cash;
                let minor = u64::try_from(view.sent[place].saturating_sub(here)).ok()?;
                let (agreement, bank) = (deal.digest.to_vec(), self.reference(view.org));
                let got = v1::SettlementReceived { agreement, minor, bank, ..Default::default() };
                (minor > 0).then(|| ("received", vec![Kind::SettlementReceived(got)]))
            }
            4..6 => Some(("run", vec![run(view)?])),
            6..9 => self.report(view, rng),
            9 => {
                let amount =
                    Some(v1::Amount { currency: EUR.into(), minor: rng.between(1, 9_000) });
                let payer =
                    view.founded.orgs[own_deals(view, |d| d.commons).first()?.payer].name.clone();
                let bank = self.reference(view.org);
                let gift = v1::IncomeRecord { payer, amount, bank, note: vec![] };
                Some(("gift", vec![Kind::IncomeRecord(gift)]))
            }
            10 => {
                let waits = |part: &WorkPart| part.standing.is_none();
                let mut all = view.book.contributions.iter();
                let (open, _) = all.find(|(_, work)| work.parts.iter().any(waits))?;
                Some((VALIDATION, vec![super::found::validate(open.entry)]))
            }
            _ => {
                self.serial += 1;
                let agent = if rng.permille(500) { "ana" } else { "ben" };
                let part =
                    vec![v1::Part { agent: agent.into(), quantity: rng.between(1, 9) * 1_000 }];
                let reference = format!("test:{}-{}", view.org, self.serial);
                let work = super::found::contribute(&reference, part, START + view.now - DAY);
                Some(("work", vec![work]))
            }
        }
    }

    /// What became of a payout run.
    fn report(&mut self, view: &View<'_>, rng: &mut Rng) -> Option<(&'static str, Vec<Kind>)> {
        let runs: Vec<u64> = view.book.runs.keys().copied().collect();
        let run = rng.pick(&runs)?;
        let lines = &view.book.runs[&run].lines;
        let name = |n: usize| view.book.agent(lines[n].agent).handle.clone();
        let of = |fits: fn(&Fate) -> bool| -> Vec<Handle> {
            (0..lines.len()).filter(|n| fits(&lines[*n].fate)).map(name).collect()
        };
        let text = |all: &[Handle]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (open, paid) = (of(|f| *f == Fate::Proposed), of(|f| matches!(f, Fate::Paid { .. })));
        if !open.is_empty() && rng.permille(850) {
            let (due, bank) = (view.book.dues_of_payment(run, &open), self.reference(view.org));
            let agent = text(&open);
            let paid = v1::PayoutPaid { run, agent, bank, fee: None, due };
            return Some(("paid", vec![Kind::PayoutPaid(paid)]));
        }
        let reason = v1::FailReason::Other as i32;
        if let Some(first) = open.first() {
            let agent = text(std::slice::from_ref(first));
            let failed = v1::PayoutFailed { run, agent, reason };
            return Some(("failed", vec![Kind::PayoutFailed(failed)]));
        }
        let back = paid.last().filter(|_| rng.permille(300))?;
        let (due, bank) = (view.book.dues_of_return(run, back), self.reference(view.org));
        let agent = back.to_string();
        let back = v1::PayoutReturned { run, agent, reason, bank, due };
        Some(("returned", vec![Kind::PayoutReturned(back)]))
    }
}

fn own_deals(view: &View<'_>, side: fn(&Deal) -> usize) -> Vec<Deal> {
    view.founded.deals.iter().filter(|deal| side(deal) == view.org).copied().collect()
}

fn reversal(view: &View<'_>, rng: &mut Rng) -> Option<Kind> {
    let open: Vec<&InvoiceId> = view
        .book
        .revenues
        .iter()
        .filter(|(_, r)| r.net > r.net_reversed)
        .map(|(id, _)| id)
        .collect();
    let id = rng.pick(&open)?;
    let row = &view.book.revenues[id];
    let left = row.net - row.net_reversed;
    let net = if rng.permille(300) { left } else { rng.between(1, left) };
    Some(Kind::RevenueReverse(v1::RevenueReverse {
        invoice: Some(v1::Invoice { series: id.series.to_string(), number: id.number, line: 0 }),
        net,
        cause: v1::Cause::Refund as i32,
        due: view.book.dues_of_reversal(id, net, 0),
        ..Default::default()
    }))
}

/// All that can be paid now.
fn run(view: &View<'_>) -> Option<Kind> {
    let line = |(handle, id): (&Handle, &subak_ledger::book::types::AgentId)| {
        let (own, common) = view.book.available(*id, eur());
        let minor = u64::try_from((own + common).max(0)).ok()?;
        (minor > 0).then(|| v1::PayoutLine { agent: handle.to_string(), minor })
    };
    let line: Vec<_> = view.book.handles.iter().filter_map(line).collect();
    let (currency, expires_at) = (EUR.into(), START + view.now + 30 * DAY);
    let run = v1::PayoutPropose { currency, line, expires_at, cash_of: String::new() };
    (!run.line.is_empty()).then_some(Kind::PayoutPropose(run))
}
