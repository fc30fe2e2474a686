//! Histories: small numbered operations, resolved against what there is.
//!
//! An operation is a code and four numbers, so that a failing history shrinks by
//! dropping operations and lowering numbers. Owns what each of them means.

use super::{
    book::*,
    check,
    facts::*,
    fork,
    stage::Stage,
    table,
    wishes::{self, rules},
    work::Claim,
};
use subak_proto::v1;

/// Code and four numbers.
pub type Op = (u8, u32, u32, u32, u32);

pub fn at<T: Copy>(list: &[T], n: u32) -> T {
    list[n as usize % list.len()]
}

const PEOPLE: [Agent; 7] = [9, 10, 11, 12, 13, 1, 2];
const MAINTAINERS: [Agent; 10] = [1, 2, 11, 1, 2, 11, 1, 2, 11, 9];
const QUANTITIES: [u64; 8] = [1_000, 3, 500, 1, 7_000, 15_000, 1_000_000, 123_456_789];
pub const AMOUNTS: [u64; 9] =
    [10_000, 1, 3, 99, 100, 12_345, 999_999, 123_456_789, 1_000_000_000_000];
const PAID: [v1::Remuneration; 4] = {
    use v1::Remuneration::*;
    [Unpaid, Unpaid, Paid, Unknown]
};

/// Who keeps the ledger's genesis does not know her yet.
const BUCKET_OF_ANA: u32 = 1 << 8;

/// One statement that grows while operations join it.
#[derive(Default)]
pub struct Draft {
    author: Agent,
    pub facts: Vec<Fact>,
}

pub fn play(start: (u32, u32), ops: &[Op]) -> Stage {
    let mut stage = Stage::new(rules(1, start.0 & !BUCKET_OF_ANA, start.1));
    let mut draft = Draft::default();
    for (n, op) in ops.iter().enumerate() {
        let joins = op.4 % 4 == 3;
        if !joins {
            flush(&mut stage, &mut draft);
        }
        let (seen, _) = stage.foresee(draft.author, &draft.facts);
        match plan(&stage, &seen, &draft, op, n) {
            Plan::Say(author, facts) => {
                let full = draft.facts.len() + facts.len() > 6;
                let decree = |f: &Fact| matches!(f, Fact::Decree(_));
                let run = |f: &Fact| matches!(f, Fact::Propose { .. });
                let last = draft.facts.last().is_some_and(decree);
                let clash = facts.iter().any(run) && draft.facts.iter().any(run)
                    || facts.iter().any(decree) && !last && draft.facts.iter().any(decree);
                if author != draft.author || full || clash {
                    flush(&mut stage, &mut draft);
                    draft.author = author;
                }
                for fact in facts {
                    match (draft.facts.last_mut(), fact) {
                        // One statement carries one proposal, of several events.
                        (Some(Fact::Decree(all)), Fact::Decree(more)) => all.extend(more),
                        (_, fact) => draft.facts.push(fact),
                    }
                }
                if stage.foresee(draft.author, &draft.facts).1.is_err() {
                    flush(&mut stage, &mut draft);
                }
            }
            Plan::World(act) => {
                flush(&mut stage, &mut draft);
                act(&mut stage);
            }
            Plan::Nothing => {}
        }
    }
    flush(&mut stage, &mut draft);
    check::ideal(&stage.model, &stage.commons);
    check::replays(&stage.commons);
    // Of a payer with two logs each one contradicts what was taken from the other.
    if stage.others.is_empty() {
        table::agrees(&stage);
        stage.count("table");
    }
    let rules = stage.model.rules.clone();
    fork::agree(&mut stage.commons, &rules.wire);
    stage
}

fn flush(stage: &mut Stage, draft: &mut Draft) {
    if !draft.facts.is_empty() {
        stage.say(draft.author, &draft.facts);
    }
    *draft = Draft::default();
}

/// What an operation comes to.
pub enum Plan {
    Say(Agent, Vec<Fact>),
    World(Box<dyn FnOnce(&mut Stage)>),
    Nothing,
}

pub fn say(author: Agent, fact: Fact) -> Plan {
    Plan::Say(author, vec![fact])
}

fn plan(stage: &Stage, seen: &Model, draft: &Draft, op: &Op, n: usize) -> Plan {
    let (code, a, b, c, d) = *op;
    // Mostly one treasurer: then the model knows what is free of every fund.
    let treasurer = if d % 64 == 33 { 2 } else { 1 };
    // One in 32 uses a reference that was used before.
    let bank = if d % 32 == 5 { "bank:0".to_owned() } else { format!("bank:{n}") };
    match code % 64 {
        3..=4 if d % 4 != 3 && d & 4 == 0 => wishes::stories(stage, op),
        39..=40 if d % 2 == 0 => wishes::unfreeze(seen, op),
        0..=4 => {
            let days = at(&[1, 0, 2, 6, 10, 31, 45, 100, 400], a % 11);
            Plan::World(Box::new(move |s| s.wait(days * DAY + u64::from(b % 1_000))))
        }
        5..=11 => contribute(stage, seen, draft, op, n),
        12..=18 => validate(seen, op),
        19 => work_range(seen, op),
        20 => revise(seen, op),
        21 if seen.work.is_empty() => Plan::Nothing,
        21 => {
            let w = &seen.work[a as usize % seen.work.len()];
            let author = at(&[1, 2, w.claimant, 11], b);
            say(author, Fact::Reject { place: w.place, judged: c % 2 == 0 })
        }
        22..=23 => {
            let unclaimed = at(&[12, 13, 12, 9], b);
            // Often somebody whose own validation of it then falls.
            let parts = seen.work.iter().flat_map(|w| &w.parts);
            let standing =
                parts.filter(|p| p.agent == unclaimed).filter_map(|p| p.standing.as_ref());
            let voter = standing.flat_map(|s| &s.votes).next().filter(|_| c % 2 == 0);
            say(*voter.unwrap_or(&at(&[9, 11, 1, 2, 10], a)), Fact::Claim { unclaimed })
        }
        24..=25 => {
            let claim = seen.claims.keys().nth(a as usize % seen.claims.len().max(1)).copied();
            let (unclaimed, claimant) = claim.unwrap_or((12, 9));
            say(at(&MAINTAINERS, b), Fact::Attest { unclaimed, claimant })
        }
        26..=27 => {
            let version = seen.adopted.last().unwrap().1.wire.version + 1 + u32::from(d % 16 == 1);
            say(1, Fact::Decree(vec![Decree::Adopt(rules(version, a, b))]))
        }
        28 => wishes::lot(seen, op, true),
        29 => wishes::lot(seen, op, false),
        30..=35 => wishes::earn(a, b, c, d),
        36..=38 => wishes::reverse(stage, op),
        39..=40 => wishes::take(stage, seen, op),
        41..=43 => {
            let (money, minor) = (at(&[Money::Eur, Money::Eur, Money::Usd], b), at(&AMOUNTS, a));
            say(treasurer, Fact::Gift { payer: at(&[7, 8, 9], c), money, minor, bank })
        }
        44..=49 => wishes::settle(seen, op, treasurer, bank),
        50..=51 => wishes::write_off(seen, op),
        52..=55 => wishes::propose(stage, seen, draft, op, (treasurer, bank)),
        _ => wishes::line(seen, op, treasurer, bank),
    }
}

fn contribute(stage: &Stage, seen: &Model, draft: &Draft, op: &Op, n: usize) -> Plan {
    let (_, a, b, c, d) = *op;
    let count: u32 = at(&[1, 1, 2, 3], b);
    let mut parts: Vec<(Agent, u64)> = (0..count)
        .map(|k| (PEOPLE[(a as usize + k as usize) % 7], at(&QUANTITIES, (a >> 8) + k)))
        .collect();
    if d % 64 == 9 {
        parts.push(parts[0]);
    }
    let author = if b % 16 < 14 { 1 } else { at(&[parts[0].0, 9, 2], b >> 4) };
    let author = if ROSTER[author].2 { author } else { 11 };
    let today = u32::try_from(seen.at / DAY).unwrap();
    let aged = at(&[0, 1, 20, 40, 100, 400], c);
    let claim = Claim {
        reference: format!("git:{}", if c % 8 == 1 { 0 } else { n }),
        kind: at(&["commit", "hours", "commit", "hours", "commit", "review"], (c >> 3) % 23).into(),
        stream: at(&[v1::Stream::Livelihood, v1::Stream::Love, v1::Stream::Care], c >> 6),
        day: if d % 64 == 10 { today + 1 } else { today - aged },
        parts,
    };
    let mut facts = vec![Fact::Contribute(claim)];
    if b >> 9 & 1 == 1 {
        // Validated in the very statement that claims it.
        let joined = draft.author == author && !draft.facts.is_empty() && draft.facts.len() < 5;
        let event = if joined { u32::try_from(draft.facts.len()).unwrap() } else { 0 };
        let entry = if !joined && !draft.facts.is_empty() {
            stage.commons.state.size + 1
        } else {
            stage.commons.state.size
        };
        let spans = vec![((entry, event), (entry, event))];
        facts.push(Fact::Validate { spans, paid: at(&PAID, b >> 10), quantities: vec![] });
    }
    Plan::Say(author, facts)
}

fn validate(seen: &Model, op: &Op) -> Plan {
    let (_, a, b, c, _) = *op;
    if seen.work.is_empty() {
        return Plan::Nothing;
    }
    let w = &seen.work[a as usize % seen.work.len()];
    let quantities =
        if c % 5 == 1 { vec![(w.parts[0].agent, at(&QUANTITIES, c >> 3))] } else { vec![] };
    let paid = at(&PAID, b >> 4);
    say(at(&MAINTAINERS, b), Fact::Validate { spans: vec![(w.place, w.place)], paid, quantities })
}

fn work_range(seen: &Model, op: &Op) -> Plan {
    let (_, a, b, ..) = *op;
    if seen.work.is_empty() {
        return Plan::Nothing;
    }
    let first = seen.work[a as usize % seen.work.len()].place;
    let spans = vec![(first, (seen.entry + 1, 0))];
    let paid = at(&PAID, b >> 4);
    say(at(&MAINTAINERS, b), Fact::Validate { spans, paid, quantities: vec![] })
}

fn revise(seen: &Model, op: &Op) -> Plan {
    let (_, a, b, c, _) = *op;
    if seen.work.is_empty() {
        return Plan::Nothing;
    }
    let w = &seen.work[a as usize % seen.work.len()];
    let mut parts: Vec<_> = w.parts.iter().map(|p| (p.agent, at(&QUANTITIES, b))).collect();
    if c % 9 == 1 {
        parts.pop();
    }
    say(if c % 5 == 1 { 9 } else { w.claimant }, Fact::Revise { place: w.place, parts })
}
