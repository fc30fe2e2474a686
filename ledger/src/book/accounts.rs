//! Accounts and postings: every movement of money, balanced.
//!
//! Guarantees that what is posted for an event sums to zero in its currency, and so
//! that all accounts of a currency sum to zero at every entry. Debits are positive,
//! credits negative, in 64-bit fixed point; and that payout runs which are decided leave no
//! account behind, so that no walk over the accounts grows with them. Leaves out which
//! event posts what: `proto/EVENTS.md` is the table.

use super::{
    equation::BucketId,
    types::{AgentId, Currency, Fixed},
};
use crate::log::Hash;
use imbl::OrdMap;

/// Whose cash it is, within what a treasurer holds: one never pays for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fund {
    /// The contributors', and whatever is not yet anybody's (carry, held, credit).
    Contributors,
    /// That of the agent of a one-agent bucket: an association, a trust, an upstream commons.
    Agent(AgentId),
}

/// An account of either kind of ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// What a payer owes the commons; a credit balance is the payer's credit.
    Receivable(AgentId),
    /// Cash in a treasurer's hands, by fund.
    Cash(AgentId, Fund),
    /// What a bucket's agents have accrued and not drawn: their control account.
    Bucket(BucketId),
    /// A trust's principal: credits only, but for reversals of what built it.
    Principal(BucketId),
    /// Reserved for a payout run (its entry).
    Reserved(u64),
    /// Held lots of a bucket without points.
    Held(BucketId),
    /// What a bucket could not divide yet.
    Carry(BucketId),
    /// Bank fees; in a contribution ledger they pass through to their bearer.
    Fees,
    /// Write-offs pass through here, for their turnover to be seen.
    WriteOff,
    /// Revenue ledger: what was earned.
    Revenue,
    /// Revenue ledger: what is due under an agreement, net of reversals.
    Due(Hash),
    /// Revenue ledger: what of it has been sent.
    Sent(Hash),
    /// Revenue ledger: sent beyond what is due, to be netted.
    Credit(Hash),
    /// Revenue ledger: cash, one account.
    Till,
}

/// One line of a movement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posting {
    /// Event within the entry that moved it; `None`: time did (an expiry, a release).
    pub event: Option<u32>,
    /// Account.
    pub account: Account,
    /// Currency.
    pub currency: Currency,
    /// Debit positive, credit negative.
    pub amount: Fixed,
}

/// All balances.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    balances: OrdMap<(Account, Currency), Fixed>,
}

impl Accounts {
    /// Posts one balanced movement and appends it to `journal`.
    pub fn post(
        &mut self,
        journal: &mut Vec<Posting>,
        event: Option<u32>,
        currency: Currency,
        lines: &[(Account, Fixed)],
    ) {
        let sum: Fixed = lines.iter().map(|l| l.1).sum();
        assert_eq!(sum, 0, "every movement balances: {lines:?}");
        for &(account, amount) in lines.iter().filter(|l| l.1 != 0) {
            let balance = self.balances.entry((account, currency)).or_insert(0);
            *balance += amount;
            // There is one for each run ever proposed, and a decided one says nothing.
            if *balance == 0 && matches!(account, Account::Reserved(_)) {
                self.balances.remove(&(account, currency));
            }
            journal.push(Posting { event, account, currency, amount });
        }
    }

    /// The balance of one account.
    pub fn balance(&self, account: Account, currency: Currency) -> Fixed {
        self.balances.get(&(account, currency)).copied().unwrap_or(0)
    }

    /// All cash in a currency, by treasurer and fund: a walk over the cash accounts only,
    /// from `treasurer` on.
    pub fn cash_from(
        &self,
        treasurer: AgentId,
        currency: Currency,
    ) -> impl Iterator<Item = (AgentId, Fund, Fixed)> + '_ {
        let first = (Account::Cash(treasurer, Fund::Contributors), currency);
        self.balances
            .range(first..)
            .map_while(|((account, c), balance)| match account {
                Account::Cash(holder, fund) => Some((*c, *holder, *fund, *balance)),
                _ => None,
            })
            .filter_map(move |(c, holder, fund, balance)| {
                (c == currency).then_some((holder, fund, balance))
            })
    }

    /// All accounts that were ever posted to, in order, but for runs that are decided.
    pub fn iter(&self) -> impl Iterator<Item = (Account, Currency, Fixed)> + '_ {
        self.balances.iter().map(|((a, c), v)| (*a, *c, *v))
    }
}
