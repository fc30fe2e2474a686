//! Refusals of payout runs.

use super::{Row, agents, row};
use crate::kit::*;
use subak_ledger::{
    book::types::DAY_MS,
    reject::{Code, Reject},
};
use subak_proto::v1::{self, event::Kind};

/// Half to the contributors, half to an association and a trust; 100.00 of cash.
fn funded() -> World {
    let mut equation = equation(
        1,
        &[
            ("association", 250_000, Some("association"), &[]),
            ("trust", 250_000, Some("trust"), &[]),
            ("contributors", 500_000, None, &[1]),
        ],
    );
    equation.minimum_payout = vec![v1::Amount { currency: EUR.into(), minor: 100 }];
    equation.claim_delay_days = 14;
    let mut world = World::commons(equation);
    world.add_person("ana");
    world.add_unclaimed("git-7");
    for who in ["ana", "git-7"] {
        let place = world.contribute(who, "commit", 15_000);
        world.validate("sam", place).unwrap();
    }
    world.gift(10_000);
    world
}

fn run(lines: &[(&str, u64)]) -> v1::PayoutPropose {
    let line =
        |(agent, minor): &(&str, u64)| v1::PayoutLine { agent: (*agent).into(), minor: *minor };
    let line = lines.iter().map(line).collect();
    v1::PayoutPropose {
        currency: EUR.into(),
        line,
        expires_at: START + 30 * DAY_MS,
        cash_of: String::new(),
    }
}

fn proposed(author: &str, lines: &[(&str, u64)]) -> Reject {
    funded().refusal(author, vec![Kind::PayoutPropose(run(lines))])
}

fn paid(run: u64, agent: &str) -> Kind {
    let (agent, bank) = (vec![agent.into()], "bank:out".into());
    Kind::PayoutPaid(v1::PayoutPaid { run, agent, bank, ..Default::default() })
}

/// With a run that pays ana 20.00.
fn running() -> (World, u64) {
    let mut world = funded();
    let run = world.propose(&[("ana", 2_000)]).unwrap();
    (world, run)
}

pub const ROWS: &[Row] = &[
    row(Code::LinesInvalid, "no line", "0 lines", || proposed("sam", &[])),
    row(Code::LinesInvalid, "lines out of order", "2 lines", || {
        proposed("sam", &[("sam", 100), ("ana", 100)])
    }),
    row(Code::LinesInvalid, "a run that stays open for 93 days", "92 days", || {
        let late = v1::PayoutPropose { expires_at: START + 93 * DAY_MS, ..run(&[("ana", 100)]) };
        funded().refusal("sam", vec![Kind::PayoutPropose(late)])
    }),
    row(Code::Unpayable, "a cent more than is payable", "ana: 2501 of 2500 payable", || {
        proposed("sam", &[("ana", 2_501)])
    }),
    row(Code::NoCash, "the cash is sam's", "ana: needs 100, free 0", || {
        proposed("mia", &[("ana", 100)])
    }),
    row(Code::BelowMinimum, "99 cents", "ana: 99 of at least 100", || {
        proposed("sam", &[("ana", 99)])
    }),
    row(Code::PayeeUnclaimed, "somebody without a person", "git-7", || {
        proposed("sam", &[("git-7", 100)])
    }),
    row(
        Code::ClaimTooFresh,
        "a day before the delay is over",
        "git-7: payable from day 20468",
        || {
            let mut world = funded();
            world.say("ana", vec![agents::claim("git-7")]).unwrap();
            world.say("sam", vec![agents::attest("git-7", "ana")]).unwrap();
            world.days(13);
            world.refusal("sam", vec![Kind::PayoutPropose(run(&[("git-7", 100)]))])
        },
    ),
    row(Code::NotAdmitted, "a newcomer", "new", || {
        let mut world = funded();
        world.say("new", vec![agents::join()]).unwrap();
        world.refusal("sam", vec![Kind::PayoutPropose(run(&[("new", 100)]))])
    }),
    row(Code::PrincipalStays, "a trust", "trust", || proposed("sam", &[("trust", 100)])),
    row(Code::UnknownPayout, "a run that is not there", "run 3", || {
        funded().refusal("sam", vec![paid(3, "ana")])
    }),
    row(Code::UnknownPayout, "a line that is not in it", "line association", || {
        let (mut world, run) = running();
        world.refusal("sam", vec![paid(run, "association")])
    }),
    row(Code::LineDecided, "paid twice", "paid", || {
        let (mut world, run) = running();
        world.paid(run, &["ana"]).unwrap();
        world.refusal("sam", vec![paid(run, "ana")])
    }),
    row(Code::Unpayable, "paid late, after the next run took it", "ana: 2000 of 500", || {
        let (mut world, run) = running();
        world.now += 30 * DAY_MS + 1;
        world.propose(&[("ana", 2_000)]).unwrap();
        world.refusal("sam", vec![paid(run, "ana")])
    }),
    row(Code::LineDecided, "failed after it expired", "expired", || {
        let (mut world, run) = running();
        world.now += 30 * DAY_MS + 1;
        let reason = v1::FailReason::Other as i32;
        let failed = v1::PayoutFailed { run, agent: vec!["ana".into()], reason };
        world.refusal("sam", vec![Kind::PayoutFailed(failed)])
    }),
    row(Code::LineDecided, "a return of what was not paid", "proposed", || {
        let (mut world, run) = running();
        let (agent, bank) = ("ana".into(), "bank:back".into());
        let reason = v1::FailReason::Other as i32;
        let back = v1::PayoutReturned { run, agent, reason, bank, due: vec![] };
        world.refusal("sam", vec![Kind::PayoutReturned(back)])
    }),
    row(Code::NotRunTreasurer, "ana, a treasurer too, reports on sam's run", "sam's", || {
        let (mut world, run) = running();
        world.grant("ana", v1::Role::Treasurer);
        world.refusal("ana", vec![paid(run, "ana")])
    }),
    row(Code::NotRunTreasurer, "mia reports on sam's run", "sam's", || {
        let (mut world, run) = running();
        world.refusal("mia", vec![paid(run, "ana")])
    }),
];
