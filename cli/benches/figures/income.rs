//! Recording an income and asking for a balance, with few contributors and with many.

use crate::{
    report::{Report, Round, Row, Unit, median},
    world::{Book, gift},
};
use std::{collections::HashMap, hint::black_box, time::Instant};
use subak_ledger::{
    book::types::{AgentId, Currency, Handle},
    log::Statement,
};

const SIZES: [usize; 3] = [100, 10_000, 1_000_000];
/// Interleaved runs, and what one of them times.
const RUNS: usize = 21;
const A_RUN: usize = 16;

struct Case {
    contributors: usize,
    book: Book,
    incomes: Vec<Statement>,
    /// The peer: what a ledger keeps that visits everybody.
    points: Vec<u64>,
    accrued: Vec<i128>,
}

pub fn figures(report: &mut Report) {
    let name = |what: &str, n: usize| format!("{what}, {n} contributors");
    let flat = "income, 1000000 against 100 contributors";
    let asked = SIZES
        .iter()
        .any(|n| report.wants(&name("income", *n)) || report.wants(&name("balance", *n)));
    if !asked && !report.wants(flat) {
        return;
    }
    let largest = report.size(SIZES[2], 100_000);
    let mut cases: Vec<Case> = [SIZES[0], SIZES[1], largest].into_iter().map(Case::new).collect();
    let mut rounds: Vec<Vec<Round>> = vec![Vec::new(); cases.len()];
    for run in 0..RUNS {
        for (case, rounds) in cases.iter_mut().zip(&mut rounds) {
            rounds.push(Round { limit: case.loop_over_all(), figure: case.record(run) });
        }
    }
    for (case, rounds) in cases.iter().zip(&rounds) {
        let row = Row {
            name: name("income", case.contributors),
            unit: Unit::Nanoseconds,
            limit: "a product and a sum for each contributor".into(),
            target: None,
        };
        report.add(&row, rounds.clone());
    }
    let of = |n: usize| median(rounds[n].iter().map(|r| r.figure).collect());
    let row = Row {
        name: format!("income, {largest} against 100 contributors"),
        unit: Unit::Nanoseconds,
        limit: "the same with 100, medians of 21 interleaved runs".into(),
        target: None,
    };
    report.add(&row, vec![Round { figure: of(2), limit: of(0) }]);
    for case in &cases {
        let row = Row {
            name: name("balance", case.contributors),
            unit: Unit::Nanoseconds,
            limit: "look-up in a HashMap of finished balances".into(),
            target: None,
        };
        report.add(&row, case.balances());
    }
}

impl Case {
    fn new(contributors: usize) -> Self {
        let mut book = Book::of_contributors(contributors);
        let incomes = (0..RUNS * A_RUN).map(|n| book.sign(vec![gift(n)])).collect();
        let (points, accrued) = (vec![1_000; contributors], vec![0; contributors]);
        Self { contributors, book, incomes, points, accrued }
    }

    /// Nanoseconds an income, as a node applies it: guards, split, postings, chain.
    fn record(&mut self, run: usize) -> f64 {
        let begun = Instant::now();
        for statement in &self.incomes[run * A_RUN..(run + 1) * A_RUN] {
            self.book.apply(statement);
        }
        nanoseconds(begun, A_RUN)
    }

    /// Nanoseconds for one income's division alone.
    fn loop_over_all(&mut self) -> f64 {
        let total: u64 = self.points.iter().sum();
        let begun = Instant::now();
        let each = black_box((98_765_i128 << 64) / i128::from(total));
        for (accrued, points) in self.accrued.iter_mut().zip(&self.points) {
            *accrued += each * i128::from(*points);
        }
        black_box(&self.accrued);
        nanoseconds(begun, 1)
    }

    /// Everybody's balance, or a spread of ten thousand.
    fn balances(&self) -> Vec<Round> {
        let euro = Currency::new("EUR").unwrap();
        let state = &self.book.state;
        let step = (self.contributors / 10_000).max(1);
        // A stride that is prime to the count: neighbours are not asked one after another.
        let asked: Vec<AgentId> = (0..self.contributors / step)
            .map(|n| n * step * 7_919 % self.contributors)
            .map(|n| state.find(&Handle::new(&format!("person-{n}")).unwrap()).unwrap())
            .collect();
        let all: HashMap<AgentId, i128> =
            state.agents.iter().map(|a| (a.id, state.accrued(a.id, euro))).collect();
        (0..RUNS)
            .map(|_| {
                let begun = Instant::now();
                let known: i128 = asked.iter().map(|id| all[black_box(id)]).sum();
                let limit = nanoseconds(begun, asked.len());
                let begun = Instant::now();
                let found: i128 = asked.iter().map(|id| state.accrued(*black_box(id), euro)).sum();
                let figure = nanoseconds(begun, asked.len());
                assert_eq!(known, found);
                Round { figure, limit }
            })
            .collect()
    }
}

fn nanoseconds(begun: Instant, count: usize) -> f64 {
    begun.elapsed().as_secs_f64() * 1e9 / count as f64
}
