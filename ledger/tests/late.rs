//! Payouts that the bank and the book saw at different times, and treasurers who leave.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::*;
use subak_ledger::{
    book::{
        accounts::{Account, Fund},
        state::Fate,
        types::{DAY_MS, whole},
    },
    reject::Code,
};
use subak_proto::v1::{self, event::Kind};

/// Two contributors with 50.00 payable each, and a run that pays ana 20.00.
fn running() -> (World, u64) {
    let mut world = two_contributors();
    world.gift(10_000);
    let run = world.propose(&[("ana", 2_000)]).unwrap();
    (world, run)
}

fn cash(world: &World, treasurer: &str) -> i128 {
    let account = Account::Cash(world.id(treasurer), Fund::Contributors);
    whole(world.state.accounts.balance(account, currency(EUR)))
}

#[test]
fn what_the_bank_paid_after_the_run_expired_can_still_be_said() {
    let (mut world, run) = running();
    world.now += 30 * DAY_MS + 1;
    world.propose(&[("ana", 3_000)]).unwrap(); // the run is over, 50.00 are payable again
    assert_eq!(world.state.runs[&run].lines[0].fate, Fate::Expired);
    world.paid(run, &["ana"]).unwrap();
    assert!(matches!(world.state.runs[&run].lines[0].fate, Fate::Paid { .. }));
    let balance = world.state.balance(world.id("ana"), currency(EUR));
    assert_eq!((balance.paid, balance.reserved, balance.available), (2_000, 3_000, 0));
    assert_eq!(cash(&world, "sam"), 8_000);
    assert_eq!(world.state.check(), Vec::<String>::new());
    world.returned(run, "ana").unwrap();
    assert_eq!(cash(&world, "sam"), 10_000);
    assert_eq!(world.state.check(), Vec::<String>::new());
}

#[test]
fn a_late_payment_takes_no_cash_that_another_run_has_reserved() {
    let (mut world, run) = running();
    world.now += 30 * DAY_MS + 1;
    world.propose(&[("ana", 1_000), ("ben", 5_000)]).unwrap();
    // 40.00 of ana's are payable, and of the cash 40.00 are free; 15.00 go to the bank.
    let fee = Some(v1::Fee { minor: 2_500, bearer: "ana".into() });
    let (agent, bank) = (vec!["ana".into()], "bank:late".into());
    let paid = v1::PayoutPaid { run, agent, bank, fee, due: vec![] };
    world.refused("sam", vec![Kind::PayoutPaid(paid)], Code::FeeTooLarge);
    world.paid(run, &["ana"]).unwrap();
    assert_eq!(world.state.check(), Vec::<String>::new());
}

#[test]
fn another_treasurer_reports_on_the_run_of_one_who_has_left() {
    let (mut world, run) = running();
    world.grant("ana", v1::Role::Treasurer);
    let due = vec![];
    let (agent, bank) = (vec!["ana".to_owned()], "bank:out".to_owned());
    let fee = Some(v1::Fee { minor: 10, bearer: "ana".into() });
    let paid = Kind::PayoutPaid(v1::PayoutPaid { run, agent, bank, fee, due });
    world.refused("ana", vec![paid.clone()], Code::NotRunTreasurer);
    let revoke = v1::RoleRevoke { agent: "sam".into(), role: v1::Role::Treasurer as i32 };
    world.decree(Kind::RoleRevoke(revoke)).unwrap();
    world.say("ana", vec![paid]).unwrap();
    assert_eq!((cash(&world, "sam"), cash(&world, "ana")), (7_990, 0), "it left sam's account");
    let reason = v1::FailReason::AccountClosed as i32;
    let back = v1::PayoutReturned {
        run,
        agent: "ana".into(),
        reason,
        bank: "bank:back".into(),
        due: vec![],
    };
    world.say("ana", vec![Kind::PayoutReturned(back)]).unwrap();
    assert_eq!((cash(&world, "sam"), cash(&world, "ana")), (9_990, 0), "and came back to it");
    assert_eq!(world.state.check(), Vec::<String>::new());
}
