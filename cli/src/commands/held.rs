//! `subak held`: lots that wait because nobody had points in their bucket.

use super::{approve::proposed_then, contribute::report};
use crate::{
    context::{Context, Texts},
    describe,
    failure::Done,
    money,
};
use clap::Subcommand;
use serde_json::{Value, json};
use subak_ledger::{
    book::{
        equation::EquationBucket,
        state::{Income, State},
        types::{DAY_MS, Handle, whole},
    },
    reject::{Code, require},
};
use subak_proto::v1::{self, event::Kind};

/// Lots that are held because nobody had points in their bucket.
#[derive(Debug, Subcommand)]
pub enum Held {
    /// List them: how much, since when, and when anyone may send them to the fallback
    #[command(after_help = "Example:\n  subak held list")]
    List,
    /// Propose to release lots, after notice, to those who then have points
    #[command(after_help = "Example:\n  subak held release 1 2 3 --bucket contributors")]
    Release {
        /// Numbers of the incomes
        #[arg(required = true, value_name = "INCOME")]
        incomes: Vec<u64>,
        /// The bucket
        #[arg(long)]
        bucket: String,
    },
    /// Send a lot to the equation's fallback once its date has come (anyone)
    #[command(after_help = "Example:\n  subak held fallback 1 --bucket contributors")]
    Fallback {
        /// Number of the income
        income: u64,
        /// The bucket
        #[arg(long)]
        bucket: String,
    },
}

impl Held {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        match self {
            Self::List => list(cx).await,
            Self::Release { incomes, bucket } => release(cx, incomes, &bucket).await,
            Self::Fallback { income, bucket } => fallback(cx, income, &bucket).await,
        }
    }
}

/// One held lot, in words.
struct Lot<'a> {
    income: &'a Income,
    bucket: &'a EquationBucket,
    minor: i128,
    fallback_from: u64,
}

fn lots(book: &State) -> Vec<Lot<'_>> {
    book.held
        .iter()
        .filter_map(|(number, id)| {
            let income = book.income(*number).ok()?;
            let share = income.shares.iter().find(|s| s.bucket == *id)?;
            Some(Lot {
                income,
                bucket: income.equation.buckets.iter().find(|b| b.id() == *id)?,
                minor: whole(share.part - share.reversed),
                fallback_from: income.recorded_at + u64::from(income.equation.held_days) * DAY_MS,
            })
        })
        .collect()
}

async fn list(cx: &Context) -> Done {
    let open = cx.read().await?;
    open.of_a_commons("held lots")?;
    let lots = lots(&open.book);
    let to = |l: &Lot<'_>| l.income.equation.fallback.as_ref().map(ToString::to_string);
    let data: Vec<Value> = lots
        .iter()
        .map(|l| {
            json!({
                "income": l.income.number, "bucket": l.bucket.name.as_str(),
                "amount": money::json(l.minor, l.income.currency),
                "currency": l.income.currency.as_str(),
                "since": money::show_time(l.income.recorded_at),
                "fallback": to(l),
                "fallback_from": to(l).map(|_| money::show_time(l.fallback_from)),
            })
        })
        .collect();
    let rows: Vec<Vec<String>> = lots
        .iter()
        .map(|l| {
            let fallback = to(l).map_or_else(
                || "none: only the stewards release".into(),
                |h| format!("{h}, from {}", money::show_date(l.fallback_from)),
            );
            vec![
                l.income.number.to_string(),
                l.bucket.name.to_string(),
                money::show(l.minor, l.income.currency),
                money::show_date(l.income.recorded_at),
                fallback,
            ]
        })
        .collect();
    let text = if rows.is_empty() {
        "nothing is held".into()
    } else {
        cx.out.table(&[">income", "bucket", ">amount", "since", "fallback"], &rows)
    };
    cx.out.result("subak.held/1", &json!({ "held": data }), &text)
}

async fn release(cx: &Context, mut incomes: Vec<u64>, bucket: &str) -> Done {
    let bucket = Handle::new(bucket)?;
    incomes.sort_unstable();
    incomes.dedup();
    let open = cx.write().await?;
    let held = lots(&open.book);
    for income in &incomes {
        let lies = |l: &Lot<'_>| l.income.number == *income && l.bucket.name == bucket;
        // Refused now, not when the last steward approves.
        require(held.iter().any(lies), Code::UnknownLot, || {
            format!("income {income}, bucket {bucket}")
        })?;
    }
    let notice = open.book.equation.as_ref().map_or(0, |e| e.notice_days);
    let event = v1::HeldRelease { income: incomes.clone(), bucket: bucket.to_string() };
    let data = json!({ "incomes": incomes, "bucket": bucket.as_str(), "notice_days": notice });
    let still = |book: &State| {
        let here = |l: &Lot<'_>| incomes.contains(&l.income.number) && l.bucket.name == bucket;
        lots(book).iter().filter(|l| here(l)).count()
    };
    let done = |book: &State| match (notice, still(book)) {
        (0, 0) => format!("released to those who have points in {bucket}"),
        (0, n) => format!(
            "nobody has points in {bucket} yet: {} still held",
            describe::count(n as u64, "lot")
        ),
        (days, _) => format!(
            "to be released in {}, to those who then have points in {bucket}",
            describe::count(days.into(), "day")
        ),
    };
    proposed_then(cx, &open, Kind::HeldRelease(event), &data, done).await
}

async fn fallback(cx: &Context, income: u64, bucket: &str) -> Done {
    let bucket = Handle::new(bucket)?;
    let open = cx.write().await?;
    let event = Kind::HeldFallback(v1::HeldFallback { income, bucket: bucket.to_string() });
    let appended = cx.say(&open, vec![event], Texts::default()).await?;
    let to = open.book.income(income)?.equation.fallback.clone();
    let to = to.map_or_else(|| "the fallback".into(), |h| h.to_string());
    let data = json!({ "income": income, "bucket": bucket.as_str(), "to": to });
    report(cx, &appended, &data, &format!("income {income}, bucket {bucket}: went to {to}"))
}
