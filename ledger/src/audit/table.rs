//! Who owes whom how much: one row for each agreement, and what follows from all of them.
//!
//! Owns the figures and their sums. Guarantees that each figure comes from the one ledger that
//! decides it (what is due, not taken yet and sent: the payer's; what is taken, received, given up
//! and open: the commons'), so that the sums can fail:
//!
//! ```text
//! open = due - in flight - received + fees - written off        (per row, and per currency)
//! ```
//!
//! and that only rows whose two ledgers were judged enter the sums. Leaves out how it looks.

use crate::{
    book::{event::Terms, types::Currency},
    log::LedgerId,
};
use std::{collections::BTreeMap, sync::Arc};

/// How an agreement stands, seen from both of its ledgers; of several, the first in this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// The payer told two stories under one number.
    Frozen,
    /// The ledgers contradict each other: a fault says where.
    Unmatched,
    /// A book could not be judged to its end, or one ledger does not hold the agreement.
    Unjudged,
    /// The payer's copy ends before what was taken from it.
    PayerBehind,
    /// The payer's ledger is not among the targets.
    PayerMissing,
    /// The commons' ledger is not among the targets.
    CommonsMissing,
    /// Offered or accepted, and nothing falls due yet.
    Pending,
    /// Something is not settled within the agreement's days.
    Overdue,
    /// Numbers are not taken yet, or cash is on its way.
    InFlight,
    /// Something is open, and has time.
    Open,
    /// Both ledgers say the same, and nothing is open.
    Settled,
}

impl Standing {
    /// All of them, in order.
    pub const ALL: [Self; 11] = [
        Self::Frozen,
        Self::Unmatched,
        Self::Unjudged,
        Self::PayerBehind,
        Self::PayerMissing,
        Self::CommonsMissing,
        Self::Pending,
        Self::Overdue,
        Self::InFlight,
        Self::Open,
        Self::Settled,
    ];

    /// The word for people and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unmatched => "unmatched",
            Self::Unjudged => "unjudged",
            Self::PayerBehind => "payer-behind",
            Self::PayerMissing => "payer-missing",
            Self::CommonsMissing => "commons-missing",
            Self::Frozen => "frozen",
            Self::Pending => "pending",
            Self::Overdue => "overdue",
            Self::InFlight => "in-flight",
            Self::Open => "open",
            Self::Settled => "settled",
        }
    }
}

/// One agreement. Amounts are minor units of its currency; none where the ledger that decides is
/// not here, or its book was not judged.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was agreed.
    pub terms: Arc<Terms>,
    /// The payer's name: its ledger's, or as the commons calls it.
    pub payer: String,
    /// The commons' name: its ledger's, or as the payer calls it.
    pub commons: String,
    /// How it stands.
    pub standing: Standing,
    /// Whether both ledgers are among the targets.
    pub both: bool,
    /// What fell due, less what was taken back (payer).
    pub due: Option<i128>,
    /// The last number that fell due (payer).
    pub last_due: Option<u64>,
    /// What was taken as income, less what was taken back (commons).
    pub taken: Option<i128>,
    /// The last number taken (commons).
    pub last_taken: Option<u64>,
    /// Of what is due, under numbers not taken yet (the payer's, after the commons' last);
    /// below zero where what is on its way takes back.
    pub in_flight: Option<i128>,
    /// Cash that left; of payouts, what was paid and did not come back (payer).
    pub sent: Option<i128>,
    /// Cash that arrived, fees included (commons).
    pub received: Option<i128>,
    /// Of the cash that arrived, what the bank kept at the payer's cost (commons).
    pub fees: Option<i128>,
    /// What the commons has given up.
    pub written_off: Option<i128>,
    /// What the commons waits for; below zero where the payer has credit (commons).
    pub open: Option<i128>,
    /// Of what is due, not settled within the agreement's days, as of the newest entry of both.
    pub overdue: Option<i128>,
}

impl Row {
    /// What the commons waits for, and what the payer has paid beyond that: one of them is 0.
    pub fn open_and_credit(&self) -> Option<[i128; 2]> {
        self.open.map(|open| [open.max(0), (-open).max(0)])
    }

    /// Sent and not arrived; below zero where more arrived than was sent.
    pub fn cash_in_flight(&self) -> Option<i128> {
        Some(self.sent? - self.received?)
    }

    /// What the payer owes in the end, in flight or not: `open + in flight`.
    pub fn owed(&self) -> Option<i128> {
        Some(self.open? + self.in_flight?)
    }

    /// By how much the row does not add up; 0 where the two ledgers say the same.
    pub fn unexplained(&self) -> Option<i128> {
        let expected =
            self.due? - self.in_flight? - self.received? + self.fees? - self.written_off?;
        Some(expected - self.open?)
    }
}

/// The sums of all rows of a currency whose two ledgers were judged. Minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    /// Rows in it.
    pub rows: u64,
    /// Rows left out: a ledger is missing, behind, or was not judged.
    pub left_out: u64,
    /// As [`Row::due`].
    pub due: i128,
    /// As [`Row::taken`].
    pub taken: i128,
    /// As [`Row::in_flight`].
    pub in_flight: i128,
    /// As [`Row::sent`].
    pub sent: i128,
    /// As [`Row::received`].
    pub received: i128,
    /// As [`Row::fees`].
    pub fees: i128,
    /// As [`Row::written_off`].
    pub written_off: i128,
    /// As [`Row::open_and_credit`]: what is open.
    pub open: i128,
    /// And the credit: none of it settles what another payer owes.
    pub credit: i128,
    /// As [`Row::overdue`].
    pub overdue: i128,
    /// What all receivables of the commons are other than all dues of the payers, less what is in
    /// flight, received and given up. 0, or a fault says why.
    pub unexplained: i128,
}

impl Total {
    /// Of one row; none where a figure is.
    fn of(row: &Row) -> Option<Self> {
        let [open, credit] = row.open_and_credit()?;
        Some(Self {
            rows: 1,
            left_out: 0,
            due: row.due?,
            taken: row.taken?,
            in_flight: row.in_flight?,
            sent: row.sent?,
            received: row.received?,
            fees: row.fees?,
            written_off: row.written_off?,
            open,
            credit,
            overdue: row.overdue?,
            unexplained: row.unexplained()?,
        })
    }

    fn add(&mut self, more: &Self) {
        self.rows += more.rows;
        self.left_out += more.left_out;
        self.due += more.due;
        self.taken += more.taken;
        self.in_flight += more.in_flight;
        self.sent += more.sent;
        self.received += more.received;
        self.fees += more.fees;
        self.written_off += more.written_off;
        self.open += more.open;
        self.credit += more.credit;
        self.overdue += more.overdue;
        self.unexplained += more.unexplained;
    }
}

/// What one ledger owes and is owed in a currency, over the rows of [`Total`]. Minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owing {
    /// Its name.
    pub name: String,
    /// What it owes as a payer, in flight or not.
    pub owes: i128,
    /// What it is owed as a commons.
    pub owed: i128,
}

/// All agreements that were found.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// By payer, commons and agreement.
    pub rows: Vec<Row>,
    /// The sums.
    pub totals: BTreeMap<Currency, Total>,
    /// What all owe all; over a currency, all that is owed is all that is owing.
    pub parties: BTreeMap<(Currency, LedgerId), Owing>,
}

impl Table {
    pub(super) fn of(mut rows: Vec<Row>) -> Self {
        rows.sort_by(|a, b| key(a).cmp(&key(b)));
        let mut table = Self::default();
        for row in &rows {
            let currency = row.terms.currency;
            let total = table.totals.entry(currency).or_default();
            let Some(figures) = Total::of(row) else {
                total.left_out += 1;
                continue;
            };
            total.add(&figures);
            let owed = figures.open - figures.credit + figures.in_flight;
            let sides = [(row.terms.payer, &row.payer), (row.terms.commons, &row.commons)];
            for ((id, name), owes) in sides.into_iter().zip([true, false]) {
                let party = table.parties.entry((currency, LedgerId(id)));
                let empty = Owing { name: name.clone(), owes: 0, owed: 0 };
                let party = party.or_insert(empty);
                *(if owes { &mut party.owes } else { &mut party.owed }) += owed;
            }
        }
        table.rows = rows;
        table
    }
}

fn key(row: &Row) -> (&str, &str, [u8; 32], [u8; 32], [u8; 32]) {
    let t = &row.terms;
    (&row.payer, &row.commons, t.payer, t.commons, t.digest)
}
