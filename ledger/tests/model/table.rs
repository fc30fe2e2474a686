//! The auditor's table against the model: who owes whom how much, after a whole history.
//!
//! Owns the comparison of all four ledgers, each in a store of its own, and the identity that the
//! table promises: nothing is lost between what falls due and what is open.

use super::{book::Money, stage::Stage};
use crate::{audit_support::*, kit::currency};
use subak_ledger::{
    audit::{Audit, Options, Row, Verdict, audit, reconcile},
    book::{accounts::Account, types::Q},
};

pub fn agrees(stage: &Stage) {
    let worlds = [&stage.commons, &stage.payers[0].world, &stage.payers[1].world, &stage.upstream];
    let found = worlds.map(|world| {
        let options = Options { threads: 1, several_stores: true, ..Options::default() };
        audit(&in_memory(&[RawLog::of(world, vec![])]), &options).unwrap()
    });
    let mut audits: Vec<Audit> = found.into();
    let table = reconcile(&mut audits);
    for found in &audits {
        assert_eq!(found.verdict, Verdict::Sound, "{:#?}", found.findings);
    }
    let m = &stage.model;
    for (n, a) in m.agreements.iter().enumerate() {
        let row = table.rows.iter().find(|row| row.terms.digest == a.digest).unwrap();
        let fell = stage.payer_of(n).invoices.iter().flat_map(|i| &i.under).filter(|u| u.0 == n);
        let due = fell.map(|(.., due, back)| i128::from(*due) - i128::from(*back)).sum::<i128>();
        assert_eq!(row.due, Some(due), "due under agreement {n}");
        let incomes = || m.incomes.iter().filter(|i| i.source.is_some_and(|(of, _)| of == n));
        let sum = |of: fn(&super::book::Income) -> u64| incomes().map(|i| i128::from(of(i))).sum();
        assert_eq!(row.taken, Some(sum(|i| i.amount - i.refunded)), "taken");
        assert_eq!(row.written_off, Some(sum(|i| i.written_off)), "given up");
        let open: i128 = sum(|i| i.amount - i.reversed() - i.settled);
        assert_eq!(row.open, Some(open - i128::from(m.credit(n))), "open");
        let kept = row.received.unwrap() - row.fees.unwrap();
        assert_eq!(kept, i128::try_from(u128::from(a.cash)).unwrap(), "received");
        assert_eq!(row.unexplained(), Some(0), "agreement {n}");
    }
    for money in Money::ALL {
        let money = currency(money.text());
        let Some(total) = table.totals.get(&money) else { continue };
        assert_eq!((total.left_out, total.unexplained), (0, 0));
        let receivables = table.rows.iter().filter(|row| row.terms.currency == money);
        let open = receivables.map(|row| row.open.unwrap()).sum::<i128>();
        assert_eq!(open, booked(&worlds, money), "the accounts of all commons");
        let parties = table.parties.iter().filter(|((of, _), _)| *of == money);
        let net = parties.map(|(_, it)| it.owed - it.owes).sum::<i128>();
        assert_eq!(net, 0, "what all owe all");
    }
    assert_eq!(table.rows.iter().map(Row::unexplained).max(), Some(Some(0)));
}

/// What all ledgers book as receivable.
fn booked(worlds: &[&crate::kit::World], money: subak_ledger::book::types::Currency) -> i128 {
    let accounts = worlds.iter().flat_map(|world| world.state.accounts.iter());
    let of =
        accounts.filter(|(account, c, _)| matches!(account, Account::Receivable(_)) && *c == money);
    of.map(|(_, _, v)| v).sum::<i128>() / Q
}
