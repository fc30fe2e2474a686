//! Every reason for a refusal, reached through signed bytes: one row a code.
//!
//! A row says how the code is provoked and what the message must name. The files of
//! `rejects/` hold the rows; here they are run, and held to the closed list. The
//! order of guards is in `rejects/order.rs`, the published table in `rejects/table.rs`.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test binary exports nothing

#[path = "rejects/agents.rs"]
mod agents;
#[path = "rejects/agreements.rs"]
mod agreements;
#[path = "rejects/forks.rs"]
mod forks;
#[path = "rejects/found.rs"]
mod found;
#[path = "rejects/keys.rs"]
mod keys;
mod kit;
#[path = "rejects/money.rs"]
mod money;
#[path = "rejects/operators.rs"]
mod operators;
#[path = "rejects/order.rs"]
mod order;
#[path = "rejects/payouts.rs"]
mod payouts;
#[path = "rejects/statement.rs"]
mod statement;
#[path = "rejects/table.rs"]
mod table;
#[path = "rejects/work.rs"]
mod work;

use std::collections::BTreeSet;
use subak_ledger::reject::{Code, Reject};

/// One way to be refused.
pub struct Row {
    code: Code,
    how: &'static str,
    /// What the detail must name: where, or what was found.
    names: &'static str,
    provoke: fn() -> Reject,
}

/// A row of the tables.
pub const fn row(
    code: Code,
    how: &'static str,
    names: &'static str,
    provoke: fn() -> Reject,
) -> Row {
    Row { code, how, names, provoke }
}

fn check(rows: &[Row]) {
    for Row { code, how, names, provoke } in rows {
        let reject = provoke();
        assert_eq!(reject.code, *code, "{how}: {reject}");
        assert!(reject.detail.contains(names), "{how}: {names:?} is not in {:?}", reject.detail);
        let text = reject.to_string();
        assert!(text.contains(code.meaning()) && text.contains(code.name()), "{text}");
    }
}

#[test]
fn statements_are_refused() {
    check(statement::ROWS);
}

#[test]
fn what_concerns_agents_is_refused() {
    check(agents::ROWS);
}

#[test]
fn forks_are_refused() {
    check(forks::ROWS);
}

#[test]
fn what_concerns_keys_is_refused() {
    check(keys::ROWS);
}

#[test]
fn handovers_are_refused() {
    check(operators::ROWS);
}

#[test]
fn what_concerns_work_is_refused() {
    check(work::ROWS);
}

#[test]
fn what_concerns_agreements_is_refused() {
    check(agreements::ROWS);
}

#[test]
fn what_concerns_income_and_revenue_is_refused() {
    check(money::ROWS);
}

#[test]
fn what_concerns_payouts_is_refused() {
    check(payouts::ROWS);
}

/// The rows above reach the whole list, so no code is there for nothing.
#[test]
fn every_code_is_reached() {
    let tables = [
        statement::ROWS,
        agents::ROWS,
        keys::ROWS,
        operators::ROWS,
        work::ROWS,
        agreements::ROWS,
        money::ROWS,
        payouts::ROWS,
        forks::ROWS,
    ];
    let reached: BTreeSet<Code> = tables.into_iter().flatten().map(|row| row.code).collect();
    let all: BTreeSet<Code> = Code::ALL.iter().copied().collect();
    let missing: Vec<_> = all.difference(&reached).map(|code| code.name()).collect();
    assert!(missing.is_empty(), "no row reaches {missing:?}");
}
