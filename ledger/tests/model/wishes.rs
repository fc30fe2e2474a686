//! The wishes of a history that concern money, and random equations.
//!
//! Owns what an operation asks for, given what there is; whether that is admitted is
//! for the model and the ledger to say. Most wishes are sensible, some are not.

use super::{
    book::*,
    facts::*,
    money::*,
    payout::Payment,
    script::{AMOUNTS, Draft, Op, Plan, at, say},
    stage::Stage,
};
use std::rc::Rc;
use subak_proto::v1;

/// A random equation: which buckets, which shares, how many validators, which delays.
pub fn rules(version: u32, a: u32, b: u32) -> Rc<Rules> {
    use v1::{Contributors, Stream::*, bucket::To};
    let table = |weight: &[u32]| Contributors { weight: weight.to_vec(), ..Default::default() };
    let to = |c| To::Contributors(c);
    let all: [(&str, To); 10] = [
        ("contributors", to(table(&[1]))),
        ("association", To::Agent("association".into())),
        ("code", to(Contributors { kind: vec!["commit".into()], ..table(&[1]) })),
        (
            "care",
            to(Contributors {
                stream: vec![Love as i32, Care as i32],
                unpaid_only: true,
                ..table(&[2])
            }),
        ),
        ("decay", to(table(&[8, 4, 2, 1, 0]))),
        ("year", to(table(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]))),
        ("trust", To::Agent("trust".into())),
        ("upstream", To::Agent("upstream".into())),
        ("ana", To::Agent("ana".into())),
        // Same name as the first, another definition: another bucket.
        ("contributors", to(Contributors { unpaid_only: true, ..table(&[3, 1]) })),
    ];
    let mut chosen: Vec<(&str, To)> =
        all.into_iter().enumerate().filter(|(n, _)| a >> n & 1 == 1).map(|(_, x)| x).collect();
    if chosen.len() > 1 && chosen[0].0 == "contributors" && chosen.last().unwrap().0 == chosen[0].0
    {
        chosen.pop();
    }
    if chosen.is_empty() {
        chosen.push(("contributors", to(table(&[1]))));
    }
    let len = chosen.len();
    chosen.rotate_left((a >> 10) as usize % len);
    let mut rest = 1_000_000;
    let bucket = chosen
        .into_iter()
        .enumerate()
        .map(|(n, (name, to))| {
            let after = u32::try_from(len - n - 1).unwrap();
            let most = rest - after;
            let share = if after == 0 { rest } else { 1 + (b.rotate_left(7 * after) % most) / 2 };
            rest -= share;
            v1::Bucket { name: name.into(), share, to: Some(to) }
        })
        .collect();
    let hours = v1::Rate { kind: "hours".into(), points: at(&[2, 1, 50], b) };
    let least = v1::Amount { currency: "EUR".into(), minor: 50 };
    Rules::new(v1::Equation {
        name: "random".into(),
        version,
        rate: if b % 7 == 6 {
            vec![v1::Rate { kind: "commit".into(), points: 3 }]
        } else {
            vec![v1::Rate { kind: "commit".into(), points: 1 }, hours]
        },
        bucket,
        validators: at(&[1, 1, 1, 2], a >> 14),
        maturity_days: at(&[0, 0, 5, 40], a >> 16),
        notice_days: at(&[0, 0, 10], a >> 18),
        claim_delay_days: at(&[0, 5], a >> 20),
        held_days: at(&[0, 30], a >> 21),
        fallback: at(&["association", "", "trust"], a >> 22).into(),
        minimum_payout: if a >> 25 & 3 == 3 { vec![least] } else { vec![] },
        example: vec![],
    })
}

pub fn lot(seen: &Model, op: &Op, release: bool) -> Plan {
    let (_, a, b, ..) = *op;
    let mut lots: Vec<(u64, String)> = Vec::new();
    for (n, i) in seen.incomes.iter().enumerate() {
        for s in i.shares.iter().filter(|s| s.spread.is_none() || b % 16 == 1) {
            let def = &i.rules.buckets.iter().find(|x| x.0 == s.bucket).unwrap().2;
            lots.push((n as u64 + 1, def.name.clone()));
        }
    }
    if lots.is_empty() {
        return Plan::Nothing;
    }
    let (income, bucket) = lots[a as usize % lots.len()].clone();
    if !release {
        return say(if b % 2 == 0 { 0 } else { 9 }, Fact::Fallback { income, bucket });
    }
    let same = lots.iter().filter(|l| l.1 == bucket).map(|l| l.0);
    let mut incomes: Vec<u64> = if b % 3 == 0 { same.collect() } else { vec![income] };
    incomes.dedup();
    say(1, Fact::Decree(vec![Decree::Release { incomes, bucket }]))
}

pub fn earn(a: u32, b: u32, c: u32, d: u32) -> Plan {
    let payer = (a % 2) as usize;
    let product = at(&["", "seeds", "tools"], a >> 1);
    let money = if payer == 1 && a >> 4 & 1 == 1 { Money::Usd } else { Money::Eur };
    let count = at(&[1, 1, 2, 3], b);
    let amounts: Vec<(u64, u64)> = (0..count)
        .map(|k| (at(&AMOUNTS, c.rotate_left(k * 5)), at(&[0, 19, 2_000], (c >> 8) + k)))
        .collect();
    Plan::World(Box::new(move |s| {
        let entry = s.earn(payer, product, money, &amounts);
        if d % 8 != 1 {
            take_all(s, payer, entry);
        }
    }))
}

fn take_all(s: &mut Stage, payer: usize, entry: u64) {
    for agreement in 0..s.model.agreements.len() {
        let effects = s.effects_of(agreement, entry);
        if s.model.agreements[agreement].payer == payer + 7 && !effects.is_empty() {
            let source = s.source_of(agreement, entry);
            s.say(0, &[Fact::Take { agreement, entry, effects, source }]);
        }
    }
}

pub fn reverse(stage: &Stage, op: &Op) -> Plan {
    let (_, a, b, c, d) = *op;
    let payer = (a % 2) as usize;
    let invoices = &stage.payers[payer].invoices;
    if invoices.is_empty() {
        return Plan::Nothing;
    }
    let n = b as usize % invoices.len();
    let i = &invoices[n];
    let left = (i.net - i.reversed.0, i.tax - i.reversed.1);
    let some = |left: u64| at(&[left, left / 2, left.min(1), left / 3, 0], c);
    let (net, tax) = (some(left.0), some(left.1));
    if net + tax == 0 {
        return Plan::Nothing;
    }
    Plan::World(Box::new(move |s| {
        let entry = s.reverse(payer, n, net, tax);
        if d % 8 != 1 {
            take_all(s, payer, entry);
        }
    }))
}

/// The next entry of an agreement that was not taken, or any other one.
pub fn take(stage: &Stage, seen: &Model, op: &Op) -> Plan {
    let (_, a, b, c, _) = *op;
    let agreement = a as usize % seen.agreements.len();
    let entries = &stage.payer_of(agreement).effects;
    let next = seen.agreements[agreement].taken.len() as u64 + 1;
    let is_next = |e: &&u64| stage.effects_of(agreement, **e).iter().any(|x| x.number == next);
    let any = entries.keys().nth(b as usize % entries.len().max(1));
    let entry = if c % 4 == 1 { any } else { entries.keys().find(is_next).or(any) };
    let Some(&entry) = entry else { return Plan::Nothing };
    let effects = stage.effects_of(agreement, entry);
    let source = stage.source_of(agreement, entry);
    say(at(&[0, 1, 9], c), Fact::Take { agreement, entry, effects, source })
}

/// A payer's operator keeps two logs: what is said in each, and which is shown when.
pub fn stories(stage: &Stage, op: &Op) -> Plan {
    let (_, a, b, c, d) = *op;
    let payer = (a % 2) as usize;
    let known = (0..stage.others.len()).rev().find(|n| stage.others[*n].0 == payer);
    let minor = at(&AMOUNTS, b);
    Plan::World(Box::new(move |s| {
        let there = match known {
            // It comes back to a log that it left; not for ever, or there is no end of them.
            Some(n) if c % 4 == 1 || s.others.len() > 2 => n,
            _ => s.part(payer),
        };
        // What one log says the other does not: or else they say the same.
        let money = if payer == 1 && c >> 2 & 1 == 1 { Money::Usd } else { Money::Eur };
        let product = at(&["", "seeds"], c >> 3);
        let told = |s: &mut Stage, minor: u64| {
            let n = s.payers[payer].invoices.len();
            let last = s.payers[payer].invoices.last().filter(|_| c >> 5 & 3 == 1);
            let left = last.map(|i| (i.net - i.reversed.0) / 2).filter(|left| *left > 0);
            match left {
                Some(left) => s.reverse(payer, n - 1, left, 0),
                None => s.earn(payer, product, money, &[(minor, 0)]),
            }
        };
        for k in 0..at(&[1_u64, 0, 2, 3], c >> 7) {
            let entry = told(s, minor + k);
            take_all(s, payer, entry);
        }
        s.swap(there);
        for k in 0..at(&[1_u64, 2, 0, 3], c >> 9) {
            let entry = told(s, minor / 2 + 7 + k);
            if d >> 4 & 1 == 1 {
                take_all(s, payer, entry);
            }
        }
    }))
}

/// The stewards decide; mostly for a number that fits.
pub fn unfreeze(seen: &Model, op: &Op) -> Plan {
    let (_, a, b, _, d) = *op;
    let first = a as usize % seen.agreements.len();
    let mut places = (0..4).map(|k| (first + k) % 4);
    let frozen = places.find_map(|n| Some((n, seen.agreements[n].frozen?)));
    let Some((agreement, (entry, number, _))) = frozen else { return Plan::Nothing };
    let last = seen.agreements[agreement].taken.len() as u64;
    let back_to = at(&[number - 1, number - 1, last, number - 1, 0, last / 2, last + 1], b);
    let entry = entry + u64::from(d % 64 == 14);
    say(1, Fact::Decree(vec![Decree::Unfreeze { agreement, entry, back_to }]))
}

pub fn settle(seen: &Model, op: &Op, treasurer: Agent, bank: String) -> Plan {
    let (_, a, b, c, d) = *op;
    let of = |n: usize| {
        let ours = move |x: &(u64, &Income)| x.1.source.is_some_and(|s| s.0 == n);
        (1..).zip(&seen.incomes).filter(ours).collect::<Vec<_>>()
    };
    let open = |n: usize| of(n).iter().map(|i| i.1.open() + i.1.written_off).sum::<u64>();
    // Mostly an agreement with something open.
    let first = a as usize % seen.agreements.len();
    let agreement = (0..4).map(|k| (first + k) % 4).find(|n| open(*n) > 0).unwrap_or(first);
    let all = open(agreement);
    let minor = at(&[all, all / 2, all + 1_000, all / 3, 1, all], b).max(1);
    let mut items = Vec::new();
    if c % 3 == 1 {
        let mut left = minor;
        for (number, i) in of(agreement).iter().rev().take(at(&[1, 2, 3], c >> 2)) {
            let room = i.open() + i.written_off;
            let some = at(&[room, room / 2, room + 1], c >> 4).min(left + u64::from(c % 64 == 1));
            left = left.saturating_sub(some);
            if some > 0 {
                items.push((*number, some));
            }
        }
        if c % 32 == 4 {
            items.push((seen.incomes.len() as u64, 1));
        }
        items.sort_unstable();
        items.dedup_by_key(|i| i.0);
    }
    let payer = seen.agreements[agreement].payer;
    let fee = at(&[0, 0, 0, 0, 1, 7, 250], d >> 3);
    let bearer =
        at(&[payer, bearer(seen, seen.agreements[agreement].money, d), payer, 3, 4], d >> 8);
    let fee = (fee > 0 && (fee < minor || c % 16 == 3)).then_some((fee, bearer));
    say(treasurer, Fact::Settle(Cash { agreement, minor, bank, items, fee }))
}

pub fn write_off(seen: &Model, op: &Op) -> Plan {
    let (_, a, b, ..) = *op;
    let open: Vec<u64> = (1..)
        .zip(&seen.incomes)
        .filter(|(_, i)| i.open() > 0 || b % 16 == 1)
        .map(|(n, _)| n)
        .collect();
    if open.is_empty() {
        return Plan::Nothing;
    }
    let mut incomes = vec![open[a as usize % open.len()], open[b as usize % open.len()]];
    incomes.sort_unstable();
    incomes.dedup();
    say(1, Fact::Decree(vec![Decree::WriteOff { incomes }]))
}

pub fn propose(
    stage: &Stage,
    seen: &Model,
    draft: &Draft,
    op: &Op,
    payer: (Agent, String),
) -> Plan {
    let (treasurer, bank) = payer;
    let (_, a, b, c, _) = *op;
    let money = at(&[Money::Eur, Money::Eur, Money::Eur, Money::Usd], b);
    let mut lines = Vec::new();
    for (agent, (name, kind, key)) in ROSTER.iter().enumerate() {
        let (own, common) = seen.available(agent, money);
        let free = u64::try_from((own + common).max(0)).unwrap();
        let wanted = if free > 0 { a >> agent & 3 != 0 } else { a >> agent & 31 == 31 };
        let trust = *name == "trust" && c % 16 != 1;
        let ghost = !key
            && *kind == v1::AgentKind::Person
            && !seen.aliases.contains_key(&agent)
            && c % 16 != 2;
        if wanted && !trust && !ghost {
            let more = u64::from(b % 16 == 9);
            let turn = (c >> 4) + u32::try_from(agent).unwrap();
            let minor = at(&[free, free, free / 2, 1, free / 3], turn) + more;
            lines.push((agent, minor.max(1)));
        }
    }
    lines.sort_by_key(|l| ROSTER[l.0].0);
    if lines.is_empty() {
        return Plan::Nothing;
    }
    let expires_at = seen.at + at(&[30, 7, 92, 30, 7, 92, 30, 93], c >> 8) * DAY;
    let mut facts = vec![Fact::Propose { money, lines: lines.clone(), expires_at }];
    if c >> 12 & 1 == 1 && draft.facts.is_empty() {
        // Paid in the very statement that proposes it; what goes upstream falls due.
        let run = stage.commons.state.size;
        let agents: Vec<Agent> = lines.iter().map(|l| l.0).collect();
        let upstream = lines.iter().find(|l| ROSTER[l.0].0 == "upstream" && money == Money::Eur);
        let due = upstream.map(|l| (seen.upstream.1 + 1, l.1));
        facts.push(Fact::Paid(Payment { run, agents, bank, fee: None, due }));
    }
    Plan::Say(treasurer, facts)
}

/// Mostly somebody who can bear a fee.
fn bearer(seen: &Model, money: Money, n: u32) -> Agent {
    let can = |a: &Agent| {
        let (own, common) = seen.available(*a, money);
        own + common > 0 && ROSTER[*a].0 != "trust"
    };
    let able: Vec<Agent> = (0..ROSTER.len()).filter(can).collect();
    able.get(n as usize % (able.len() + 1)).copied().unwrap_or(9)
}

/// Something becomes of lines of a run.
pub fn line(seen: &Model, op: &Op, treasurer: Agent, bank: String) -> Plan {
    let (code, a, b, c, d) = *op;
    let fate = if code % 64 > 61 { Fate::Paid } else { Fate::Proposed };
    let late = |x: &Drawn| x.fate == Fate::Expired && b % 8 == 3;
    let fits = |x: &&Drawn| x.run.is_some() && (x.fate == fate || late(x) || b % 32 == 7);
    let lines: Vec<&Drawn> = seen.drawn.iter().filter(fits).collect();
    if lines.is_empty() {
        return Plan::Nothing;
    }
    let first = lines[a as usize % lines.len()];
    let run = first.run.unwrap();
    let author = if d % 32 == 8 { treasurer } else { first.treasurer };
    let more = lines.iter().filter(|l| l.run == Some(run) && b % 4 != 0);
    let mut agents: Vec<Agent> = more.map(|l| l.agent).chain([first.agent]).collect();
    agents.sort_by_key(|x| ROSTER[*x].0);
    agents.dedup();
    match code % 64 {
        61 => say(author, Fact::Failed { run, agents }),
        62..=63 => {
            let due = seen.due_of_return(run, first.agent);
            say(author, Fact::Returned { run, agent: first.agent, bank, due })
        }
        _ => {
            let fee = at(&[0, 0, 0, 0, 1, 25], c);
            let bearer = at(&[first.agent, bearer(seen, first.money, c), 4], c >> 4);
            let fee = (fee > 0).then_some((fee, bearer));
            let due = seen.due_of_payment(run, &agents).filter(|_| d % 32 != 9);
            say(author, Fact::Paid(Payment { run, agents, bank, fee, due }))
        }
    }
}
