//! An equation as TOML: the inverse of [`parse`](super::parse).
//!
//! Owns the layout. Guarantees one text for one equation. Leaves out comments: those
//! of a template or of a person's own file are in that file.

use super::{QUANTITY_PLACES, SHARE_PLACES};
use crate::book::{decimal, horizon::Horizon, types::*};
use std::fmt::Write as _;
use subak_proto::v1;

/// Writes an equation that [`Equation::read`](crate::book::equation::Equation::read)
/// accepts; `exponent` gives the decimals of a currency.
pub fn print(equation: &v1::Equation, exponent: &dyn Fn(Currency) -> u8) -> String {
    let e = equation;
    let mut out = format!(
        "name = \"{}\"\nversion = {}\nvalidators = {}\nmaturity_days = {}\nnotice_days = {}\n\
         claim_delay_days = {}\nheld_days = {}\n",
        e.name,
        e.version,
        e.validators,
        e.maturity_days,
        e.notice_days,
        e.claim_delay_days,
        e.held_days
    );
    if !e.fallback.is_empty() {
        line(&mut out, format_args!("fallback = \"{}\"", e.fallback));
    }
    if !e.minimum_payout.is_empty() {
        out.push_str("\n[minimum_payout]\n");
        for a in &e.minimum_payout {
            line(&mut out, format_args!("{} = \"{}\"", a.currency, money(a, exponent)));
        }
    }
    out.push_str("\n[rates]\n");
    for rate in &e.rate {
        line(&mut out, format_args!("{} = {}", rate.kind, rate.points));
    }
    for bucket in &e.bucket {
        print_bucket(&mut out, bucket);
    }
    for example in &e.example {
        print_example(&mut out, example, exponent);
    }
    out
}

/// `15 %`: parts per million as people write them.
pub fn share(ppm: u32) -> String {
    format!("{} %", decimal::show_short(u64::from(ppm), SHARE_PLACES))
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("a String takes everything");
}

fn money(a: &v1::Amount, exponent: &dyn Fn(Currency) -> u8) -> String {
    let places = Currency::new(&a.currency).map_or(0, exponent);
    decimal::show(a.minor, places)
}

fn quoted<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(", ")
}

fn print_bucket(out: &mut String, bucket: &v1::Bucket) {
    line(out, format_args!("\n[[bucket]]\nname = \"{}\"", bucket.name));
    line(out, format_args!("share = \"{}\"", share(bucket.share)));
    match &bucket.to {
        Some(v1::bucket::To::Agent(agent)) => line(out, format_args!("agent = \"{agent}\"")),
        Some(v1::bucket::To::Contributors(c)) => print_contributors(out, c),
        None => {}
    }
}

fn print_contributors(out: &mut String, c: &v1::Contributors) {
    if !c.kind.is_empty() {
        line(out, format_args!("kinds = [{}]", quoted(c.kind.iter().map(String::as_str))));
    }
    if !c.stream.is_empty() {
        let words = c.stream.iter().filter_map(|s| Stream::from_wire(*s).ok()).map(Stream::word);
        line(out, format_args!("streams = [{}]", quoted(words)));
    }
    if c.unpaid_only {
        line(out, format_args!("unpaid_only = true"));
    }
    if let Some(horizon) = Horizon::of(&c.weight) {
        line(out, format_args!("horizon = \"{horizon}\""));
    } else {
        let weights: Vec<String> = c.weight.iter().map(ToString::to_string).collect();
        line(out, format_args!("weights = [{}]", weights.join(", ")));
    }
}

fn print_example(out: &mut String, example: &v1::Example, exponent: &dyn Fn(Currency) -> u8) {
    let none = v1::Amount::default();
    let income = example.income.as_ref().unwrap_or(&none);
    line(out, format_args!("\n[[example]]"));
    line(out, format_args!("income = \"{} {}\"", money(income, exponent), income.currency));
    line(out, format_args!("work = ["));
    for work in &example.work {
        line(
            out,
            format_args!(
                "  {{ agent = \"{}\", kind = \"{}\", quantity = \"{}\", stream = \"{}\", \
                 remuneration = \"{}\", age_months = {} }},",
                work.agent,
                work.kind,
                decimal::show_short(work.quantity, QUANTITY_PLACES),
                Stream::from_wire(work.stream).map_or("", Stream::word),
                Remuneration::from_wire(work.remuneration).map_or("", Remuneration::word),
                work.age_months
            ),
        );
    }
    line(out, format_args!("]\n{}", amounts(example, exponent)));
}

/// The line `amounts = { … }` of an example.
pub fn amounts(example: &v1::Example, exponent: &dyn Fn(Currency) -> u8) -> String {
    let currency = example.income.as_ref().map_or("", |income| income.currency.as_str());
    let each: Vec<String> = example
        .amount
        .iter()
        .map(|a| {
            let amount = v1::Amount { currency: currency.to_string(), minor: a.minor };
            format!("{} = \"{}\"", a.agent, money(&amount, exponent))
        })
        .collect();
    format!("amounts = {{ {} }}", each.join(", "))
}
