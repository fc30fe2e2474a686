//! `subak payout propose`: lines, as named or chosen, are reserved.

use super::{
    choose::{Choice, Skipped, choose},
    currency,
};
use crate::{
    commands::{contribute::report, settle::in_currency},
    context::{Context, Open, Texts},
    describe,
    failure::{Done, Failure},
    money, trust,
};
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use subak_ledger::book::types::{Currency, DAY_MS, Handle, Minor};
use subak_proto::v1::{self, event::Kind};

/// Lines that one run may have.
const MOST_LINES: usize = 1_000;

/// Days that a run may stay undecided.
const MOST_DAYS: u64 = 92;

/// Arguments of `payout propose`.
#[derive(Debug, Args)]
pub struct Propose {
    /// Whom, and how much
    #[arg(value_name = "HANDLE=AMOUNT", conflicts_with = "all")]
    lines: Vec<String>,
    /// Everybody with something free, as far as the cash goes, in order of handles
    #[arg(long)]
    all: bool,
    /// Currency [default: the only one there is]
    #[arg(long)]
    currency: Option<String>,
    /// With --all: leave out who has less than this free
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true, requires = "all")]
    min: Option<String>,
    /// Pay from the account of somebody who is treasurer no more
    #[arg(long, value_name = "HANDLE")]
    cash_of: Option<String>,
    /// When undecided lines are released [default: in 30 days; at most 92]
    #[arg(long, value_name = "DATE")]
    expires: Option<String>,
}

impl Propose {
    pub(super) async fn run(self, cx: &Context) -> Done {
        let open = cx.write().await?;
        let currency = currency(&open.book, self.currency.as_deref())?;
        let at = cx.at()?;
        let expires_at = match &self.expires {
            Some(date) => expiry(date, at)?,
            None => at + 30 * DAY_MS,
        };
        let (lines, skipped) = self.lines(cx, &open, currency, at)?;
        let line = lines
            .iter()
            .map(|(agent, minor)| v1::PayoutLine { agent: agent.to_string(), minor: *minor })
            .collect();
        let event = v1::PayoutPropose {
            currency: currency.to_string(),
            line,
            expires_at,
            cash_of: self.cash_of.clone().unwrap_or_default(),
        };
        trust::require_witnessed(cx, &open).await?;
        let appended = cx.say(&open, vec![Kind::PayoutPropose(event)], Texts::default()).await?;
        let sum: i128 = lines.iter().map(|l| i128::from(l.1)).sum();
        let run = appended.entry;
        let rows: Vec<Vec<String>> = lines
            .iter()
            .map(|(agent, minor)| vec![agent.to_string(), money::plain((*minor).into(), currency)])
            .collect();
        let ledger = &open.info.name;
        let text = format!(
            "payout run {run}: {}, {}, reserved until {}\n{}{}\n  next: `subak payout list {run} --csv --ledger {ledger}`, pay, then\n  `subak payout paid {run} --bank TEXT --ledger {ledger}`",
            describe::count(lines.len() as u64, "line"),
            money::show(sum, currency),
            money::show_date(expires_at),
            cx.out.table(&["agent", ">amount"], &rows),
            left_out(&skipped, currency),
        );
        let more = json!({
            "run": run, "currency": currency.as_str(), "total": money::json(sum, currency),
            "expires_at": money::show_time(expires_at),
            "lines": lines.iter().map(|(a, m)| json!({ "agent": a.as_str(), "amount": money::json((*m).into(), currency) })).collect::<Vec<_>>(),
            "skipped": skipped.iter().map(|s| json!({ "agent": s.agent.as_str(), "free": money::json(s.free, currency), "why": s.why })).collect::<Vec<_>>(),
        });
        report(cx, &appended, &more, &text)
    }

    fn lines(&self, cx: &Context, open: &Open, currency: Currency, at: u64) -> Done<Choice> {
        if !self.all {
            return Ok((named(&self.lines, currency)?, Vec::new()));
        }
        let minimum = self.min.as_deref().map_or(Ok(0), |m| in_currency(m, currency))?;
        let treasurer = match &self.cash_of {
            Some(handle) => open.book.find(&Handle::new(handle)?)?,
            None => open.book.find(&cx.author()?)?,
        };
        let (mut lines, mut skipped) = choose(&open.book, treasurer, currency, minimum, at);
        for (agent, minor) in lines.split_off(lines.len().min(MOST_LINES)) {
            let why = format!("a run has {MOST_LINES} lines at most: propose again");
            skipped.push(Skipped { agent, free: minor.into(), why });
        }
        if lines.is_empty() {
            return Err(Failure::refused(
                "nothing-to-pay",
                format!("nobody can be paid now{}", left_out(&skipped, currency)),
                "see `subak balance`; income becomes payable as it is settled",
            ));
        }
        Ok((lines, skipped))
    }
}

/// A date that lines can wait for, as the rules have it; refused in dates.
fn expiry(date: &str, at: u64) -> Done<u64> {
    let expires = money::time(date)?;
    let last = at + MOST_DAYS * DAY_MS;
    if expires > at && expires <= last {
        return Ok(expires);
    }
    Err(Failure::usage(
        format!("--expires {date}: expected after {}", money::show_time(at)),
        format!("name a date up to {}: {MOST_DAYS} days at most", money::show_date(last)),
    ))
}

/// `ana=120.00`, ascending.
fn named(texts: &[String], currency: Currency) -> Done<Vec<(Handle, Minor)>> {
    let mut lines = BTreeMap::new();
    for text in texts {
        let bad = || {
            Failure::usage(
                format!("line {text:?}: expected HANDLE=AMOUNT, each agent once"),
                "write it as in ana=120.00",
            )
        };
        let (agent, amount) = text.split_once('=').ok_or_else(bad)?;
        let minor = in_currency(amount, currency)?;
        if lines.insert(Handle::new(agent)?, minor).is_some() {
            return Err(bad());
        }
    }
    if lines.is_empty() {
        return Err(Failure::usage("whom to pay?", "name HANDLE=AMOUNT, or --all"));
    }
    Ok(lines.into_iter().collect())
}

fn left_out(skipped: &[Skipped], currency: Currency) -> String {
    let line = |s: &Skipped| {
        format!("\n  not paid: {} ({}), {}", s.agent, money::show(s.free, currency), s.why)
    };
    skipped.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_to_come_and_refused_in_dates() {
        let at = money::time("2026-11-21T10:00:00Z").unwrap();
        assert!(expiry("2026-11-22", at).is_ok());
        let past = expiry("2026-11-20", at).unwrap_err();
        assert_eq!(past.message, "--expires 2026-11-20: expected after 2026-11-21T10:00:00Z");
        assert!(expiry("2027-02-22", at).unwrap_err().next.contains("2027-02-21"));
    }

    #[test]
    fn named_lines_are_ascending_and_once() {
        let eur = Currency::new("EUR").unwrap();
        let found = named(&["ben=1.00".into(), "ana=2.00 EUR".into()], eur).unwrap();
        let plain: Vec<_> = found.iter().map(|(h, m)| (h.as_str(), *m)).collect();
        assert_eq!(plain, [("ana", 200), ("ben", 100)]);
        assert!(named(&["ana=1.00".into(), "ana=2.00".into()], eur).is_err());
        assert!(named(&[], eur).is_err());
    }
}
