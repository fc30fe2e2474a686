//! Refusals of contributions, value equations and held lots.

use super::{Row, row, statement::*};
use crate::kit::*;
use subak_ledger::{
    book::types::DAY_MS,
    reject::{Code, Reject},
};
use subak_proto::v1::{self, event::Kind};

const ALL: (&str, u32, Option<&str>, &[u32]) = ("contributors", 1_000_000, None, &[1]);

pub fn claimed(agent: &str) -> Kind {
    Kind::Contribute(contribution(agent))
}

pub fn span(first: v1::Ref, last: v1::Ref) -> v1::Validate {
    v1::Validate {
        span: vec![v1::Span { first: Some(first), last: Some(last) }],
        remuneration: v1::Remuneration::Unpaid as i32,
        quantity: vec![],
    }
}

pub fn part(agent: &str, quantity: u64) -> v1::Part {
    v1::Part { agent: agent.into(), quantity }
}

fn validate(place: v1::Ref) -> Kind {
    Kind::Validate(span(place, place))
}

fn revise(place: v1::Ref, quantity: u64) -> Kind {
    Kind::Revise(v1::Revise { contribution: Some(place), part: vec![part("ana", quantity)] })
}

fn reject(place: v1::Ref) -> Kind {
    let reason = v1::RejectReason::Withdrawn as i32;
    Kind::RejectContribution(v1::RejectContribution { contribution: Some(place), reason })
}

/// The two contributors, and a claim of ana's that nobody has validated.
fn with_claim() -> (World, v1::Ref) {
    let mut world = two_contributors();
    let entry = world.say("ana", vec![claimed("ana")]).unwrap();
    (world, v1::Ref { entry, event: 0 })
}

/// The same, validated.
fn with_validated() -> (World, v1::Ref) {
    let (mut world, place) = with_claim();
    world.validate("sam", place).unwrap();
    (world, place)
}

fn altered(alter: fn(&mut v1::Contribute)) -> Reject {
    let mut c = contribution("ana");
    alter(&mut c);
    two_contributors().refusal("ana", vec![Kind::Contribute(c)])
}

fn adopt(equation: v1::Equation) -> Reject {
    let adopt = Kind::EquationAdopt(v1::EquationAdopt { equation: Some(equation) });
    two_contributors().refused_decree(adopt)
}

/// A commons where nobody has points, with one gift: held. With its fallback.
fn holding(fallback: &str) -> World {
    let mut equation = equation(1, &[ALL]);
    equation.fallback = fallback.into();
    let mut world = World::commons(equation);
    world.gift(10_000);
    world
}

fn to_fallback(income: u64) -> Kind {
    Kind::HeldFallback(v1::HeldFallback { income, bucket: "contributors".into() })
}

/// One contribution more than a validation may cover.
fn overfull() -> (World, v1::Validate) {
    let mut world = two_contributors();
    let first = world.state.size;
    for batch in 0..101 {
        let claim = |n: u32| {
            let reference = format!("git:{batch}-{n}");
            Kind::Contribute(v1::Contribute { reference, ..contribution("ana") })
        };
        let count = if batch < 100 { 1_000 } else { 1 };
        world.say("ana", (0..count).map(claim).collect()).unwrap();
    }
    let at = |entry| v1::Ref { entry, event: 0 };
    let all = span(at(first), at(world.state.size));
    (world, all)
}

pub const ROWS: &[Row] = &[
    row(Code::UnknownKind, "a kind without a rate", "kind song", || {
        altered(|c| c.kind = "song".into())
    }),
    row(Code::FutureWork, "work of tomorrow", "recorded on day 20454", || {
        altered(|c| c.worked_on += 1)
    }),
    row(Code::DuplicateClaim, "the same work again", "git:abc by ana", || {
        with_claim().0.refusal("ana", vec![claimed("ana")])
    }),
    row(Code::NotOwnClaim, "ana claims for ben", "ana is not among", || {
        two_contributors().refusal("ana", vec![claimed("ben")])
    }),
    row(Code::NotOwnClaim, "sam revises ana's claim", "contribution 7.0", || {
        let (mut world, place) = with_claim();
        world.refusal("sam", vec![revise(place, 2_000)])
    }),
    row(Code::PartsInvalid, "nobody's work", "0 parts", || altered(|c| c.part.clear())),
    row(Code::PartsInvalid, "no work at all", "ana: 0 thousandths", || {
        altered(|c| c.part[0].quantity = 0)
    }),
    row(Code::PartsInvalid, "ana twice", "ana twice", || altered(|c| c.part.push(part("ana", 1)))),
    row(Code::PartsInvalid, "a reading of somebody without a part", "ben has no part", || {
        let (mut world, place) = with_claim();
        let quantity = vec![part("ben", 1)];
        let other = v1::Validate { quantity, ..span(place, place) };
        world.refusal("sam", vec![Kind::Validate(other)])
    }),
    row(Code::UnknownContribution, "a place where nothing is", "contribution 3.9", || {
        let place = v1::Ref { entry: 3, event: 9 };
        two_contributors().refusal("sam", vec![validate(place)])
    }),
    row(Code::ReferenceTaken, "ben claims what is ana's and validated", "git:abc", || {
        with_validated().0.refusal("ben", vec![claimed("ben")])
    }),
    row(Code::ReferenceTaken, "a validation of a second claim to one commit", "git:abc by", || {
        let (mut world, place) = with_claim();
        let entry = world.say("ben", vec![claimed("ben")]).unwrap();
        world.validate("sam", place).unwrap();
        world.refusal("sam", vec![validate(v1::Ref { entry, event: 0 })])
    }),
    row(Code::ContributionClosed, "what is rejected stays so", "contribution 7.0", || {
        let (mut world, place) = with_claim();
        world.say("sam", vec![reject(place)]).unwrap();
        world.refusal("sam", vec![validate(place)])
    }),
    row(Code::AlreadyValidated, "sam again", "contribution 7.0", || {
        let (mut world, place) = with_validated();
        world.refusal("sam", vec![validate(place)])
    }),
    row(Code::AlreadyValidated, "ana revises what stands", "contribution 7.0", || {
        let (mut world, place) = with_validated();
        world.refusal("ana", vec![revise(place, 2_000)])
    }),
    row(Code::AlreadyValidated, "ana withdraws what stands", "ended by maintainers", || {
        let (mut world, place) = with_validated();
        world.refusal("ana", vec![reject(place)])
    }),
    row(Code::RoleRequired, "ben rejects ana's claim", "its claimant", || {
        let (mut world, place) = with_claim();
        world.refusal("ben", vec![reject(place)])
    }),
    row(Code::OwnPart, "sam validates sam", "contribution", || {
        let mut world = two_contributors();
        let place = world.contribute("sam", "commit", 1_000);
        world.refusal("sam", vec![validate(place)])
    }),
    row(Code::BasisRequired, "a validation of no history", "without basis", || {
        let (mut world, place) = with_claim();
        let header = subak_ledger::log::Header { basis: None, ..world.header("sam") };
        let draft = subak_ledger::log::Draft { header, events: vec![encode(validate(place))] };
        world.append(draft.sign(&key("sam"))).unwrap_err()
    }),
    row(Code::NotSeen, "a claim that was revised since", "the author has seen 8 entries", || {
        let (mut world, place) = with_claim();
        let seen = world.header("sam");
        world.say("ana", vec![revise(place, 1_000_000_000)]).unwrap();
        let events = vec![encode(validate(place))];
        let draft = subak_ledger::log::Draft { header: seen, events };
        world.append(draft.sign(&key("sam"))).unwrap_err()
    }),
    row(Code::NothingToValidate, "a range of what came since", "0.0 to", || {
        let mut world = two_contributors();
        let seen = world.header("sam");
        let entry = world.say("ana", vec![claimed("ana")]).unwrap();
        let all = span(v1::Ref { entry: 0, event: 0 }, v1::Ref { entry, event: 0 });
        let events = vec![encode(Kind::Validate(all))];
        let draft = subak_ledger::log::Draft { header: seen, events };
        world.append(draft.sign(&key("sam"))).unwrap_err()
    }),
    row(Code::NothingToValidate, "a range that is done", "0.0 to 7.0", || {
        let (mut world, place) = with_validated();
        let all = span(v1::Ref { entry: 0, event: 0 }, place);
        world.refusal("sam", vec![Kind::Validate(all)])
    }),
    row(Code::SpanTooLarge, "100,001 contributions", "100000", || {
        let (mut world, all) = overfull();
        world.refusal("sam", vec![Kind::Validate(all)])
    }),
    row(Code::NotSingle, "other quantities for a range", "quantities", || {
        let (mut world, place) = with_claim();
        let all = span(v1::Ref { entry: 0, event: 0 }, place);
        let all = v1::Validate { quantity: vec![part("ana", 1)], ..all };
        world.refusal("sam", vec![Kind::Validate(all)])
    }),
    row(Code::LimitExceeded, "more points than a ledger validates", "17592186044416", || {
        let mut world = two_contributors();
        let places: Vec<_> =
            (0..9).map(|_| world.contribute("ana", "hours", 1_000_000_000_000)).collect();
        for place in &places[..8] {
            world.validate("sam", *place).unwrap();
        }
        world.refusal("sam", vec![validate(places[8])])
    }),
    row(Code::EquationInvalid, "shares of 99 %", "990000 ppm", || {
        adopt(equation(2, &[("contributors", 990_000, None, &[1])]))
    }),
    row(
        Code::ExampleFails,
        "an example of other amounts",
        "stated ana 99; computed ana 100",
        || {
            let work = v1::ExampleWork {
                agent: "ana".into(),
                kind: "commit".into(),
                stream: v1::Stream::Love as i32,
                remuneration: v1::Remuneration::Unpaid as i32,
                quantity: 1_000,
                age_months: 0,
            };
            let example = v1::Example {
                income: Some(v1::Amount { currency: EUR.into(), minor: 100 }),
                work: vec![work],
                amount: vec![v1::ExampleAmount { agent: "ana".into(), minor: 99 }],
            };
            adopt(v1::Equation { example: vec![example], ..equation(2, &[ALL]) })
        },
    ),
    row(Code::EquationVersion, "the same version again", "expected version 2, found 1", || {
        adopt(equation(1, &[ALL]))
    }),
    row(Code::WrongAgentKind, "a person as fallback", "fallback ana", || {
        adopt(v1::Equation { fallback: "ana".into(), ..equation(2, &[ALL]) })
    }),
    row(Code::UnknownLot, "a lot that is not held", "income 1, bucket contributors", || {
        let mut world = two_contributors();
        world.gift(10_000);
        world.refusal("sam", vec![to_fallback(1)])
    }),
    row(Code::TooEarly, "a day before its date", "income 1 may go to association", || {
        let mut world = holding("association");
        world.now += 30 * DAY_MS - 1;
        world.refusal("clerk", vec![to_fallback(1)])
    }),
    row(Code::NoFallback, "an equation without a fallback", "equation version 1", || {
        let mut world = holding("");
        world.days(30);
        world.refusal("clerk", vec![to_fallback(1)])
    }),
];
