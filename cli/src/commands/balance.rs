//! `subak balance`: what has accrued to whom.

use super::frozen;
use crate::{context::Context, describe, failure::Done, money};
use clap::Args;
use serde_json::json;
use std::collections::BTreeSet;
use subak_ledger::book::{
    explain,
    state::State,
    types::{AgentId, Handle, Ref},
};

/// What has accrued to whom, what is payable, what was paid.
///
/// Accrued is owed; payable is the part of it whose own income is settled; free is
/// what a payout could carry now. A negative figure is netted from what comes.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  subak balance\n  subak balance ana\n  subak balance ana --json"
)]
pub struct Balance {
    /// One agent (with the unclaimed agents that are theirs) instead of all
    agent: Option<String>,
    /// Only so many, those with the most accrued first
    #[arg(long, value_name = "N")]
    top: Option<usize>,
}

impl Balance {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let open = cx.read().await?;
        open.of_a_commons("balances")?;
        let book = &open.book;
        if let (Some(text), true) = (&self.agent, book.currencies().is_empty()) {
            let work = Work::of(book, book.find(&Handle::new(text)?)?);
            let data = json!({ "size": book.size, "balances": [], "work": work.json() });
            return cx.out.result("subak.balance/1", &data, &work.text());
        }
        let mut balances: Vec<explain::Balance> = match &self.agent {
            Some(text) => {
                let faces = book.faces(book.find(&Handle::new(text)?)?);
                let currencies = book.currencies();
                faces.iter().flat_map(|a| currencies.iter().map(|c| book.balance(*a, *c))).collect()
            }
            None => book.balances(),
        };
        let all = balances.len();
        if let Some(top) = self.top {
            balances.sort_by_key(|b| std::cmp::Reverse(b.accrued));
            balances.truncate(top);
        }
        let data = json!({
            "size": book.size,
            "balances": balances.iter().map(|b| row(book, b)).collect::<Vec<_>>(),
        });
        let mut shown = text(cx, book, &balances);
        if balances.len() < all {
            shown.push_str(&format!("\n… and {} more", all - balances.len()));
        }
        let agents: BTreeSet<AgentId> = balances.iter().map(|b| b.agent).collect();
        shown.push_str(&frozen::lines(book, agents.into_iter()));
        cx.out.result("subak.balance/1", &data, &shown)
    }
}

/// What somebody has done, where no money has come yet.
pub(super) struct Work {
    handle: String,
    /// Thousandths.
    counted: u64,
    maturing: u64,
    /// Places of claims that nobody has decided.
    pending: Vec<Ref>,
}

impl Work {
    /// Of an agent, with the unclaimed agents that are theirs.
    pub(super) fn of(book: &State, agent: AgentId) -> Self {
        let handle = book.agent(agent).handle.to_string();
        let mut found = Self { handle, counted: 0, maturing: 0, pending: Vec::new() };
        for work in book.faces(agent).iter().flat_map(|face| book.work(*face)) {
            match &work.part.standing {
                Some(s) => {
                    found.counted += s.counted;
                    found.maturing += s.maturing;
                }
                None if work.contribution.closed.is_none() => found.pending.push(work.place),
                None => {}
            }
        }
        found
    }

    /// For programs.
    pub(super) fn json(&self) -> serde_json::Value {
        json!({
            "agent": self.handle, "points": money::show_thousandths(self.counted.into()),
            "maturing": money::show_thousandths(self.maturing.into()),
            "pending": self.pending.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let q = |thousandths: u64| money::show_thousandths(thousandths.into());
        let word = if self.counted == 1_000 { "point" } else { "points" };
        let head = format!(
            "{} has {} {word}; no income has come to this ledger yet, so nothing has accrued",
            self.handle,
            q(self.counted)
        );
        let mut lines = vec![describe::wrap(&head, 2)];
        if self.maturing > 0 {
            lines.push(format!("  maturing: {}", q(self.maturing)));
        }
        if !self.pending.is_empty() {
            let places: Vec<String> =
                self.pending.iter().take(10).map(ToString::to_string).collect();
            let count = describe::count(self.pending.len() as u64, "claim");
            let rest = if self.pending.len() > 10 { " …" } else { "" };
            let text = format!("  {count} to be validated: {}{rest}", places.join(", "));
            lines.push(describe::wrap(&text, 4));
        }
        lines.join("\n")
    }
}

fn row(book: &State, b: &explain::Balance) -> serde_json::Value {
    let m = |v| money::json(v, b.currency);
    json!({
        "agent": book.agent(b.agent).handle.as_str(),
        "currency": b.currency.as_str(),
        "accrued": m(b.accrued),
        "payable": m(b.payable),
        "reserved": m(b.reserved),
        "paid": m(b.paid),
        "free": m(b.available),
        "points": money::show_thousandths(book.points(b.agent).into()),
        "frozen": frozen::why(book, b.agent, b.currency),
    })
}

fn text(cx: &Context, book: &State, balances: &[explain::Balance]) -> String {
    if balances.is_empty() {
        let with = book.agents.iter().filter(|a| book.points(a.id) > 0).count();
        return match with {
            0 => "nothing has accrued to anybody yet: nobody has points".into(),
            n => format!(
                "nothing has accrued yet; {} with points: `subak balance AGENT`",
                describe::count(n as u64, "agent")
            ),
        };
    }
    let rows: Vec<Vec<String>> = balances
        .iter()
        .map(|b| {
            let m = |v| money::plain(v, b.currency);
            vec![
                book.agent(b.agent).handle.to_string(),
                money::show_thousandths(book.points(b.agent).into()),
                b.currency.to_string(),
                m(b.accrued),
                m(b.payable),
                m(b.reserved),
                m(b.paid),
                m(b.available),
            ]
        })
        .collect();
    cx.out.table(
        &["agent", ">points", "", ">accrued", ">payable", ">reserved", ">paid", ">free"],
        &rows,
    )
}
