//! The TOML form of a value equation: what people write, read and adopt.
//!
//! Owns the keys, their units and the faults with line numbers. Guarantees that
//! [`parse`] and [`print`] are inverse on every equation that
//! [`Equation::from_wire`](super::equation::Equation::from_wire) accepts, without a
//! float anywhere: percentages, amounts and quantities are decimals in quotation
//! marks. Leaves out whether the worked examples come out (`from_wire`) and the
//! agents of a ledger (`state`).
//!
//! ```toml
//! name = "points-with-decay"   # handle
//! version = 1                  # 1, then one more with each adoption
//! validators = 2               # maintainers a validation needs
//! maturity_days = 14           # from validation until points count
//! notice_days = 30             # until the next equation is in force
//! claim_delay_days = 14        # from an attested claim to the first payout
//! held_days = 365              # until anyone may send a held lot to the fallback
//! fallback = "association"     # may be absent: only the stewards release
//! [minimum_payout]             # may be absent
//! EUR = "10.00"
//! [rates]                      # points per unit of a kind
//! commit = 1
//! hours = 2
//! [[bucket]]
//! name = "association"
//! share = "15 %"               # at most 4 decimals; or ppm = 150000
//! agent = "association"        # one agent's, or:
//! [[bucket]]
//! name = "contributors"
//! share = "85 %"
//! kinds = ["commit", "hours"]  # may be absent: every kind
//! streams = ["care"]           # may be absent: every stream
//! unpaid_only = false          # may be absent
//! horizon = "half-life:24"     # lifetime, last-year, half-life:MONTHS; or weights = [3, 2, 1]
//! [[example]]
//! income = "1000.00 EUR"
//! work = [                     # stream livelihood, unpaid and age 0 where absent
//!   { agent = "ana", kind = "commit", quantity = "15", stream = "love", remuneration = "paid", age_months = 2 },
//! ]
//! amounts = { ana = "850.00", association = "150.00" }  # all who receive something
//! ```

mod print;
mod reader;

use super::{decimal, equation::*, horizon::*, types::*};
use reader::{Read, Table, Value};
use std::collections::{BTreeMap, BTreeSet};
use subak_proto::v1;

pub use print::{amounts, print, share};
pub use reader::TomlFault;

/// Decimals of a share in percent: 0.0001 % is one part per million.
const SHARE_PLACES: u8 = 4;
/// Decimals of a quantity.
const QUANTITY_PLACES: u8 = 3;

/// Reads an equation. `exponent` gives the decimals of a currency (ISO 4217).
pub fn parse(text: &str, exponent: &dyn Fn(Currency) -> u8) -> Read<v1::Equation> {
    let mut top = Table::document(text)?;
    let days = |top: &mut Table<'_>, key, example| top.need(key, example)?.small(0..=MAX_DAYS);
    let name = top.need("name", "name = \"our-equation\"")?.handle()?;
    let version = top.need("version", "version = 1")?.small(1..=u32::MAX)?;
    let validators = top.need("validators", "validators = 2")?.small(1..=MAX_VALIDATORS)?;
    let maturity_days = days(&mut top, "maturity_days", "maturity_days = 14")?;
    let notice_days = days(&mut top, "notice_days", "notice_days = 30")?;
    let claim_delay_days = days(&mut top, "claim_delay_days", "claim_delay_days = 14")?;
    let held_days = days(&mut top, "held_days", "held_days = 365")?;
    let fallback = top.take("fallback").map(|v| v.handle()).transpose()?;
    let minimum_payout = match top.take("minimum_payout") {
        Some(value) => minimum(value, exponent)?,
        None => Vec::new(),
    };
    let rate = rates(top.need("rates", "[rates]` with `hours = 1")?)?;
    let kinds: BTreeSet<&str> = rate.iter().map(|r| r.kind.as_str()).collect();
    let bucket = buckets(top.need("bucket", "[[bucket]]` with its name and share")?, &kinds)?;
    let example = match top.take("example") {
        Some(value) => value
            .list("[[example]] tables", "head each one with [[example]]")?
            .into_iter()
            .map(|v| example(v, &kinds, exponent))
            .collect::<Read<_>>()?,
        None => Vec::new(),
    };
    top.finish()?;
    let wire = v1::Equation {
        name: name.to_string(),
        version,
        rate,
        bucket,
        validators,
        maturity_days,
        notice_days,
        claim_delay_days,
        held_days,
        fallback: fallback.map(|h| h.to_string()).unwrap_or_default(),
        minimum_payout,
        example,
    };
    // Limits without a line of their own, such as the number of buckets.
    Equation::read(wire.clone()).map_err(|reject| TomlFault {
        line: 1,
        key: String::new(),
        expected: "an equation within the limits".into(),
        found: reject.detail,
        next: reject.code.next().into(),
    })?;
    Ok(wire)
}

fn minimum(value: Value<'_>, exponent: &dyn Fn(Currency) -> u8) -> Read<Vec<v1::Amount>> {
    value
        .table("head it with [minimum_payout]")?
        .entries()
        .map(|(key, value)| {
            let currency = Currency::new(&key).map_err(|reject| {
                value.fault_found(
                    "a currency",
                    format!("`{}`", clip(&key)),
                    format!("{}; correct the key", reject.detail),
                )
            })?;
            Ok(v1::Amount { currency: key, minor: money(&value, None, currency, exponent)? })
        })
        .collect()
}

/// A decimal of a currency, as the value or as `text` within it.
fn money(
    value: &Value<'_>,
    text: Option<&str>,
    currency: Currency,
    exponent: &dyn Fn(Currency) -> u8,
) -> Read<Minor> {
    let places = exponent(currency);
    let most = decimal::show(MAX_MONEY, places);
    let least = decimal::show(1, places);
    let expected = format!("an amount of {currency} from \"{least}\" to \"{most}\"");
    let text = match text {
        Some(text) => text,
        None => value.text(&expected)?,
    };
    decimal::read(text, places).filter(|minor| (1..=MAX_MONEY).contains(minor)).ok_or_else(|| {
        value.fault(&expected, format!("write digits, a point and at most {places} decimals"))
    })
}

fn rates(value: Value<'_>) -> Read<Vec<v1::Rate>> {
    value
        .table("head it with [rates]")?
        .entries()
        .map(|(key, value)| {
            Handle::new(&key).map_err(|reject| {
                value.fault_found("a kind", format!("`{}`", clip(&key)), reject.detail)
            })?;
            Ok(v1::Rate { kind: key, points: value.integer(1..=MAX_RATE)? })
        })
        .collect()
}

fn buckets(value: Value<'_>, kinds: &BTreeSet<&str>) -> Read<Vec<v1::Bucket>> {
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let line = value.line;
    let mut buckets = Vec::new();
    for item in value.list("[[bucket]] tables", "head each one with [[bucket]]")? {
        let mut table = item.table("head it with [[bucket]]")?;
        let name = table.need("name", "name = \"contributors\"")?;
        if let Some(line) = names.insert(name.handle()?.to_string(), name.line) {
            let next = format!("line {line} has it already; rename one");
            return Err(name.fault("a name that no other bucket has", next));
        }
        buckets.push(v1::Bucket {
            name: name.handle()?.to_string(),
            share: take_share(&mut table)?,
            to: Some(take_to(&mut table, kinds)?),
        });
        table.finish()?;
    }
    check_sum(&buckets, line)?;
    Ok(buckets)
}

fn check_sum(buckets: &[v1::Bucket], line: usize) -> Read {
    const ALL: u64 = 1_000_000;
    let sum: u64 = buckets.iter().map(|b| u64::from(b.share)).sum();
    let percent = |ppm| format!("{} %", decimal::show_short(ppm, SHARE_PLACES));
    let next = match sum {
        ALL => return Ok(()),
        0..ALL => format!("add the missing {} to a bucket", percent(ALL - sum)),
        _ => format!("take {} off a bucket", percent(sum - ALL)),
    };
    let each: Vec<String> =
        buckets.iter().map(|b| format!("{} {}", b.name, share(b.share))).collect();
    Err(TomlFault {
        line,
        key: "bucket.share".into(),
        expected: "shares that sum to exactly 100 %".into(),
        found: format!("{}: {}", percent(sum), each.join(", ")),
        next,
    })
}

fn take_share(table: &mut Table<'_>) -> Read<u32> {
    let expected = "a share from \"0.0001 %\" to \"100 %\"";
    match (table.take("share"), table.take("ppm")) {
        (Some(share), None) => share.parsed(
            expected,
            "write digits, at most 4 decimals and the sign, as in \"12.5 %\"",
            |text| {
                let number = text.strip_suffix('%')?.trim_end_matches(' ');
                let ppm = u32::try_from(decimal::read(number, SHARE_PLACES)?).ok()?;
                (1..=1_000_000).contains(&ppm).then_some(ppm)
            },
        ),
        (None, Some(ppm)) => ppm.small(1..=1_000_000),
        (Some(_), Some(ppm)) => {
            Err(ppm.fault_found("`share` or `ppm`", "both", "remove one of them"))
        }
        (None, None) => {
            Err(table.fault("share", expected, "nothing", "add for example `share = \"15 %\"`"))
        }
    }
}

fn take_to(table: &mut Table<'_>, rated: &BTreeSet<&str>) -> Read<v1::bucket::To> {
    if let Some(agent) = table.take("agent") {
        return Ok(v1::bucket::To::Agent(agent.handle()?.to_string()));
    }
    let kinds = match table.take("kinds") {
        None => BTreeSet::new(),
        Some(value) => once_each(value, "kinds", |v| kind(v, rated))?,
    };
    let streams = match table.take("streams") {
        None => BTreeSet::new(),
        Some(value) => once_each(value, "streams", stream)?,
    };
    let unpaid_only = match table.take("unpaid_only") {
        None => false,
        Some(value) => value.boolean()?,
    };
    Ok(v1::bucket::To::Contributors(v1::Contributors {
        kind: kinds.into_iter().collect(),
        stream: streams.into_iter().map(Stream::to_wire).collect(),
        unpaid_only,
        weight: take_weights(table)?,
    }))
}

fn once_each<T: Ord>(
    value: Value<'_>,
    what: &str,
    read: impl Fn(&Value<'_>) -> Read<T>,
) -> Read<BTreeSet<T>> {
    let mut set = BTreeSet::new();
    for item in value.list(&format!("a list of {what}"), "write it as [\"one\", \"two\"]")? {
        if !set.insert(read(&item)?) {
            return Err(item.fault(format!("each of the {what} once"), "remove the second"));
        }
    }
    Ok(set)
}

fn kind(value: &Value<'_>, rated: &BTreeSet<&str>) -> Read<String> {
    let kind = value.handle()?.to_string();
    if rated.contains(kind.as_str()) {
        return Ok(kind);
    }
    let known: Vec<&str> = rated.iter().copied().collect();
    let next = format!("add it under [rates], or use one of {}", known.join(", "));
    Err(value.fault("a kind that has a rate", next))
}

fn word<T: Copy>(value: &Value<'_>, all: &[T], spell: fn(T) -> &'static str) -> Read<T> {
    let words: Vec<String> = all.iter().map(|x| format!("\"{}\"", spell(*x))).collect();
    value.parsed(&words.join(" or "), "write one of these words", |text| {
        all.iter().copied().find(|x| spell(*x) == text)
    })
}

fn stream(value: &Value<'_>) -> Read<Stream> {
    word(value, Stream::ALL, Stream::word)
}

fn take_weights(table: &mut Table<'_>) -> Read<Vec<u32>> {
    let expected = format!(
        "\"lifetime\", \"last-year\" or \"half-life:MONTHS\" with 1 to {MAX_HALF_LIFE} months"
    );
    match (table.take("horizon"), table.take("weights")) {
        (Some(horizon), None) => horizon
            .parsed(&expected, "name one of these, or write `weights`", Horizon::from_word)
            .map(Horizon::weights),
        (None, Some(weights)) => weight_table(weights),
        (Some(_), Some(weights)) => {
            Err(weights.fault_found("`horizon` or `weights`", "both", "remove one of them"))
        }
        (None, None) => Err(table.fault(
            "horizon",
            expected,
            "nothing",
            "add for example `horizon = \"lifetime\"`, or `agent` for a bucket of one agent",
        )),
    }
}

fn weight_table(value: Value<'_>) -> Read<Vec<u32>> {
    let expected = format!("1 to {MAX_TABLE} weights by age in months, at least one above 0");
    let next = "write it as [3, 2, 1]; the last repeats for ever";
    let none = value.fault_found(&expected, "none above 0", next);
    let length = value.fault_found(&expected, "another number of them", next);
    let items = value.list(&expected, next)?;
    if !(1..=MAX_TABLE).contains(&items.len()) {
        return Err(TomlFault { found: items.len().to_string(), ..length });
    }
    let weights: Vec<u32> =
        items.iter().map(|v| v.small(0..=WEIGHT_END - 1)).collect::<Read<_>>()?;
    if weights.iter().all(|w| *w == 0) { Err(none) } else { Ok(weights) }
}

fn example(
    value: Value<'_>,
    kinds: &BTreeSet<&str>,
    exponent: &dyn Fn(Currency) -> u8,
) -> Read<v1::Example> {
    let mut table = value.table("head it with [[example]]")?;
    let income = table.need("income", "income = \"1000.00 EUR\"")?;
    let expected = "an amount and its currency, as in \"1000.00 EUR\"";
    let (number, code) = income.parsed(expected, "put one space between the two", |text| {
        text.split_once(' ').map(|(n, c)| (n.to_string(), c.to_string()))
    })?;
    let currency = income.checked(expected, |_| Currency::new(&code))?;
    let minor = money(&income, Some(&number), currency, exponent)?;
    let work = table
        .need("work", "work = [{ agent = \"ana\", kind = \"hours\", quantity = \"1\" }]")?
        .list("a list of work", "write it as [{ agent = …, kind = …, quantity = … }]")?
        .into_iter()
        .map(|v| work(v, kinds))
        .collect::<Read<_>>()?;
    let amount = match table.take("amounts") {
        // None stated: checking the equation then shows what comes out.
        None => Vec::new(),
        Some(amounts) => amounts
            .table("write it as { ana = \"10.00\" }")?
            .entries()
            .map(|(key, value)| {
                Handle::new(&key).map_err(|reject| {
                    value.fault_found("an agent", format!("`{}`", clip(&key)), reject.detail)
                })?;
                Ok(v1::ExampleAmount {
                    agent: key,
                    minor: money(&value, None, currency, exponent)?,
                })
            })
            .collect::<Read<_>>()?,
    };
    table.finish()?;
    Ok(v1::Example { income: Some(v1::Amount { currency: code, minor }), work, amount })
}

fn work(value: Value<'_>, kinds: &BTreeSet<&str>) -> Read<v1::ExampleWork> {
    let mut table = value.table("write it as { agent = …, kind = …, quantity = … }")?;
    let agent = table.need("agent", "agent = \"ana\"")?.handle()?.to_string();
    let kind = kind(&table.need("kind", "kind = \"hours\"")?, kinds)?;
    let quantity = table.need("quantity", "quantity = \"1.5\"")?.parsed(
        "a quantity from \"0.001\" to \"1000000\"",
        "write digits and at most 3 decimals in quotation marks",
        |text| {
            decimal::read(text, QUANTITY_PLACES).filter(|q| (1..=MAX_EXAMPLE_QUANTITY).contains(q))
        },
    )?;
    let stream = match table.take("stream") {
        None => Stream::Livelihood,
        Some(value) => stream(&value)?,
    };
    let remuneration = match table.take("remuneration") {
        None => Remuneration::Unpaid,
        Some(value) => word(&value, Remuneration::ALL, Remuneration::word)?,
    };
    let age_months = match table.take("age_months") {
        None => 0,
        Some(value) => value.small(0..=EXAMPLE_MONTH - 1)?,
    };
    table.finish()?;
    Ok(v1::ExampleWork {
        agent,
        kind,
        stream: stream.to_wire(),
        remuneration: remuneration.to_wire(),
        quantity,
        age_months,
    })
}
