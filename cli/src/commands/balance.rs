//! `subak balance`: what has accrued to whom.

use crate::{context::Context, failure::Done, money};
use clap::Args;
use serde_json::json;
use subak_ledger::book::{explain, state::State, types::Handle};

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
        let book = &open.book;
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
        cx.out.result("subak.balance/1", &data, &shown)
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
    })
}

fn text(cx: &Context, book: &State, balances: &[explain::Balance]) -> String {
    if balances.is_empty() {
        return "nothing has accrued to anybody yet".into();
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
