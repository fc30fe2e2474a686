//! What is under way between the two ledgers of an agreement, in figures.
//!
//! Pure. Amounts are minor units of the agreement's currency. Guarantees that a figure is zero
//! when both ledgers have said all. Leaves out what either side is told about it, and logs that break
//! the rules: of those no book says anything, so the audit counts by itself, statement by statement.

use super::{
    agreement::Agreement,
    types::{DAY_MS, Minor},
};

/// An agreement, seen from both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flight {
    /// Shares that fell due in the payer's ledger, less what was taken back.
    pub due: i128,
    /// Of them, taken by the commons.
    pub taken: i128,
    /// Numbers beyond the commons' last.
    pub numbers: u64,
    /// Cash that has left.
    pub sent: u128,
    /// Cash that has arrived, with fees that a bank kept of it.
    pub arrived: u128,
    /// Of what is taken, settled.
    pub settled: u128,
    /// Due for longer than the agreement's days, and not sent.
    pub overdue: u128,
    /// The commons' entry that froze it.
    pub frozen: Option<u64>,
}

impl Flight {
    /// Due and not taken; below 0 where reversals are under way.
    pub fn in_flight(&self) -> i128 {
        self.due - self.taken
    }

    /// Cash that has left and not arrived; below 0 where more came than was said to be sent.
    pub fn cash(&self) -> i128 {
        signed(self.sent) - signed(self.arrived)
    }
}

/// The figures of an agreement, of which `payer` and `commons` are the two sides, at `now` in
/// milliseconds.
pub fn flight(payer: &Agreement, commons: &Agreement, now: u64) -> Flight {
    Flight {
        due: net(payer),
        taken: net(commons),
        numbers: payer.dues.last.saturating_sub(commons.dues.last),
        sent: payer.cash,
        arrived: commons.arrived,
        settled: commons.settled,
        overdue: overdue(payer, now),
        frozen: commons.frozen,
    }
}

/// Shares less what was taken back.
pub fn net(a: &Agreement) -> i128 {
    let items = a.dues.items.values();
    items.map(|item| i128::from(item.due) - i128::from(item.due_reversed)).sum()
}

/// What of the payer's side has not been sent within the agreement's days.
pub fn overdue(payer: &Agreement, now: u64) -> u128 {
    let days = u64::from(payer.terms.due_days) * DAY_MS;
    let open = payer.open.iter().filter_map(|number| payer.dues.items.get(number));
    let late = open.filter(|item| item.recorded_at.saturating_add(days) < now);
    late.map(|item| u128::from(left(item.due, item.due_reversed, item.sent))).sum()
}

fn left(due: Minor, reversed: Minor, sent: Minor) -> Minor {
    due - reversed - sent
}

fn signed(amount: u128) -> i128 {
    i128::try_from(amount).expect("cash is limited by MAX_MONEY")
}
