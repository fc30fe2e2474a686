//! The lines of an explanation: income x share x points / all points = accrued.
//!
//! Pure. Guarantees that figures of one list stand in columns.

use crate::money;
use serde_json::{Value, json};
use std::fmt::Write as _; // to a String: it cannot fail, hence `let _`
use subak_ledger::book::{
    equation::To,
    explain::Reason,
    split::{Bucket, Point},
    state::{Income, Lies, State},
    types::{Currency, Fixed},
};

/// Fixed point for people, cut after the last decimal but for 2^-24 of a minor unit, so
/// that half of 100.00 is 50.000000 although flooring per point leaves a trace less.
pub(super) fn shown(v: Fixed, currency: Currency) -> String {
    money::show_fixed(v + (1 << 40), currency)
}

/// Points for people: thousandths without zeros at the end.
pub(super) fn points(p: i128) -> String {
    money::show_thousandths(p)
}

/// The columns of a reason, as text.
pub(super) struct Cells {
    number: String,
    income: String,
    share: String,
    yours: String,
    all: String,
    accrued: String,
    more: Vec<String>,
}

pub(super) fn cells(book: &State, r: &Reason, currency: Currency) -> Cells {
    let income = book.income(r.income).expect("a reason names an income of this book");
    let (bucket, _) = place(book, income, r);
    // The one agent of a bucket has one point of one.
    let count = |p| if is_one_agents(bucket) { "1".to_owned() } else { points(p) };
    Cells {
        number: r.income.to_string(),
        income: money::plain(standing(income).into(), currency),
        share: format!("{} {}", money::show_share(r.share), r.bucket),
        yours: count(r.points),
        all: count(r.all_points),
        accrued: shown(r.accrued, currency),
        more: remarks(income, r, currency),
    }
}

pub(super) fn is_one_agents(bucket: &Bucket) -> bool {
    matches!(bucket.def.to, To::Agent(_))
}

/// What is left of an income after all that was taken back or given up.
fn standing(income: &Income) -> u64 {
    income.amount - income.refunded - income.written_off
}

/// What stands behind a line's figures.
fn remarks(income: &Income, r: &Reason, currency: Currency) -> Vec<String> {
    let m = |v: u64| money::plain(v.into(), currency);
    let mut more = Vec::new();
    if income.refunded > 0 {
        more.push(format!("of {}, {} was taken back", m(income.amount), m(income.refunded)));
    }
    if income.written_off > 0 {
        more.push(format!("of {}, {} was written off", m(income.amount), m(income.written_off)));
    }
    if income.open() > 0 && income.settled == 0 {
        more.push("none of it is settled yet".into());
    } else if income.open() > 0 {
        let payable = shown(r.payable, currency);
        more.push(format!("{} of it is settled: {payable} payable", m(income.settled)));
    }
    if r.was_held {
        more.push("held at first for want of points, spread later".into());
    }
    more
}

/// `  1   100.00 x 70 % contributors x 15 / 30 = 35.000000`, in columns.
pub(super) fn lines(rows: &[Cells]) -> String {
    let width = |f: fn(&Cells) -> &str| rows.iter().map(|c| f(c).len()).max().unwrap_or(0);
    let (number, income) = (width(|c| &c.number), width(|c| &c.income));
    let (share, yours) = (width(|c| &c.share), width(|c| &c.yours));
    let (all, accrued) = (width(|c| &c.all), width(|c| &c.accrued));
    let mut text = String::new();
    for c in rows {
        let _ = write!(
            text,
            "\n  {:>number$}  {:>income$} x {:share$} x {:>yours$} / {:all$} = {:>accrued$}",
            c.number, c.income, c.share, c.yours, c.all, c.accrued
        );
        for more in &c.more {
            let _ = write!(text, "\n  {:number$}  {more}", "");
        }
    }
    text
}

/// Where a reason lies.
pub(super) fn place<'a>(
    book: &'a State,
    income: &'a Income,
    r: &Reason,
) -> (&'a Bucket, &'a Point) {
    let named = income.shares.iter().zip(&income.equation.buckets);
    let found = named.filter(|(_, spec)| spec.name == r.bucket).find_map(|(s, _)| match &s.lies {
        Lies::Spread(id, point) => Some((&book.buckets[id], point)),
        Lies::Held => None,
    });
    found.expect("a reason comes from a part that was spread")
}

/// A reason for programs.
pub(super) fn reason(book: &State, r: &Reason, currency: Currency) -> Value {
    let income = book.income(r.income).expect("a reason names an income of this book");
    let m = |v: u64| money::json(v.into(), currency);
    let f = |v| shown(v, currency);
    json!({
        "income": r.income, "amount": m(income.amount), "reversed": m(income.refunded),
        "written_off": m(income.written_off), "settled": m(income.settled),
        "bucket": r.bucket.as_str(), "share_ppm": r.share, "part": f(r.part),
        "points": points(r.points), "all_points": points(r.all_points),
        "accrued": f(r.accrued), "payable": f(r.payable), "was_held": r.was_held,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_in_columns() {
        let cell = |number: &str, income: &str, yours: &str| Cells {
            number: number.into(),
            income: income.into(),
            share: "70 % contributors".into(),
            yours: yours.into(),
            all: "30".into(),
            accrued: "35.000000".into(),
            more: vec![],
        };
        let text = lines(&[cell("1", "100.00", "15"), cell("12", "1,100.00", "1.5")]);
        assert_eq!(
            text,
            "\n   1    100.00 x 70 % contributors x  15 / 30 = 35.000000\
             \n  12  1,100.00 x 70 % contributors x 1.5 / 30 = 35.000000"
        );
    }
}
