//! `subak explain`: why somebody has what they have, down to the single contribution.
//!
//! Owns the order of the reasons and their lines. Guarantees that the lines are those
//! that the ledger's split used and that they sum to the total, which it says; a line
//! that cannot be traced to contributions is named as such. Leaves out the arithmetic
//! (`ledger::book::{split, explain}`).

mod income;
mod lines;

use crate::{
    commands::{
        balance::Work,
        log::Show,
        payout::{self, choose::barred},
    },
    context::Context,
    describe,
    failure::{Done, Failure},
    money,
};
use clap::Args;
use lines::{Cells, cells, lines, reason, shown};
use serde_json::{Value, json};
use std::fmt::Write as _; // to a String: it cannot fail, hence `let _`
use subak_ledger::book::{
    explain::{Balance, Reason},
    state::State,
    types::{AgentId, AgentKind, Currency, Fixed, Handle, Q},
};

/// Why somebody has what they have.
///
/// First the total; then by income one line: income x bucket's share x your points /
/// all points = what accrued. With --income the chain goes on to each contribution:
/// who validated it, at which rate, with which weight at that age. The lines sum to the
/// total, exactly; amounts are shown with four more decimals than the currency has.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  subak explain ana\n  subak explain ana --income 3\n  subak explain ana --income 3 --all --json\n  subak explain 57"
)]
pub struct Explain {
    /// Whose accruals; or the number of an entry, for what it did
    #[arg(value_name = "AGENT|ENTRY")]
    agent: String,
    /// The chain of reasons of this income
    #[arg(long, value_name = "N")]
    income: Option<u64>,
    /// Currency [default: the only one there is]
    #[arg(long)]
    currency: Option<String>,
    /// Every contribution by itself, however many
    #[arg(long)]
    all: bool,
}

impl Explain {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let connection = cx.reader().await?;
        let info = cx.choose(&connection, cx.global.ledger.as_deref()).await?;
        let handle = Handle::new(&self.agent)?;
        if let Ok(entry) = self.agent.parse() {
            // A handle may consist of digits too, and then it is meant.
            let book = connection.ledgers.book(info.id).await?;
            if !book.handles.contains_key(&handle) {
                return Show { entry, all: self.all }.run(cx).await;
            }
        }
        let open = cx.open_ledger(connection, info).await?;
        let agent = open.book.find(&handle)?;
        open.of_a_commons("balances")?;
        match self.income {
            Some(number) => income::one_income(cx, &open, agent, number, self.all).await,
            None => total(cx, &open.book, agent, self.currency.as_deref()),
        }
    }
}

/// One face of a person: its reasons, and what the ledger says they sum to.
struct Face {
    agent: AgentId,
    reasons: Vec<Reason>,
    accrued: Fixed,
}

impl Face {
    fn sum(&self) -> Fixed {
        self.reasons.iter().map(|r| r.accrued).sum()
    }
}

fn total(cx: &Context, book: &State, agent: AgentId, said: Option<&str>) -> Done {
    if said.is_none() && book.currencies().is_empty() {
        let work = Work::of(book, agent);
        let data = json!({ "agent": book.agent(agent).handle.as_str(), "currency": null,
                           "faces": [], "work": work.json() });
        return cx.out.result("subak.explain/1", &data, &work.text());
    }
    let currency = payout::currency(book, said)?;
    let faces: Vec<Face> = book
        .faces(agent)
        .into_iter()
        .map(|agent| Face {
            agent,
            reasons: book.reasons(agent, currency),
            accrued: book.accrued(agent, currency),
        })
        .collect();
    for face in &faces {
        reconcile(book, face)?;
    }
    let balances: Vec<Balance> = faces.iter().map(|f| book.balance(f.agent, currency)).collect();
    let mut text = summary(cx, book, agent, currency, &balances, cx.at()?);
    for face in &faces {
        text.push_str("\n\n");
        text.push_str(&face_text(book, face, agent, currency));
    }
    let exact: Fixed = faces.iter().map(|f| f.accrued).sum();
    let shown: i128 = balances.iter().map(|b| b.accrued).sum();
    let _ = write!(text, "\n\n{}", rounding(exact, shown, currency));
    cx.out.result("subak.explain/1", &data(book, agent, currency, &faces, &balances), &text)
}

/// Reasons and total come from two computations: the points of each income, and the
/// prefix sums. They are equal, or one of them is not to be believed.
fn reconcile(book: &State, face: &Face) -> Done {
    if face.sum() == face.accrued {
        return Ok(());
    }
    Err(Failure::gap(
        "not-reconciled",
        format!(
            "{}: the reasons sum to {} / 2^64 minor units, the ledger says {}",
            book.agent(face.agent).handle,
            face.sum(),
            face.accrued
        ),
        "run `subak audit`, and report this",
    ))
}

fn summary(
    cx: &Context,
    book: &State,
    agent: AgentId,
    currency: Currency,
    balances: &[Balance],
    at: u64,
) -> String {
    let sum = |f: fn(&Balance) -> i128| -> i128 { balances.iter().map(f).sum() };
    let head = format!(
        "{} has accrued {}",
        book.agent(agent).handle,
        money::show(sum(|b| b.accrued), currency)
    );
    let rows = [
        ("payable", sum(|b| b.payable), "of it, the part whose own income is settled"),
        ("reserved", sum(|b| b.reserved), "in payout runs that are not decided"),
        ("paid", sum(|b| b.paid), "over all time, fees included"),
        ("free", sum(|b| b.available), "a payout could carry it now"),
    ];
    // As a payout run would leave it out.
    let waits: Vec<(i128, String)> = balances
        .iter()
        .filter(|b| b.available > 0 && book.agent(agent).kind != AgentKind::Trust)
        .filter_map(|b| Some((b.available, barred(book, b.agent, at)?)))
        .collect();
    let width = rows.iter().map(|r| money::plain(r.1, currency).len()).max().unwrap_or(0);
    let mut text = cx.out.strong(&head);
    for (name, minor, what) in rows {
        let what = match name {
            "free" if minor < 0 => "netted from what comes",
            "free" if book.agent(agent).kind == AgentKind::Trust => {
                "principal: it stays, no payout carries it"
            }
            "free" if !waits.is_empty() => "of it a payout carries what does not wait:",
            _ => what,
        };
        let _ = write!(text, "\n  {name:8}  {:>width$}  {what}", money::plain(minor, currency));
    }
    for (minor, why) in waits {
        let _ = write!(text, "\n            {:>width$}  {why}", money::plain(minor, currency));
    }
    text
}

fn face_text(book: &State, face: &Face, person: AgentId, currency: Currency) -> String {
    let whose = if face.agent == person {
        String::new()
    } else {
        format!("as {}, whom they have claimed\n", book.agent(face.agent).handle)
    };
    if face.reasons.is_empty() {
        return format!("{whose}no income has met points of {}", book.agent(face.agent).handle);
    }
    let rows: Vec<Cells> = face.reasons.iter().map(|r| cells(book, r, currency)).collect();
    format!(
        "{whose}income x share of the bucket x points / all points (by age) = accrued{}\n  sum of {}: {}",
        lines(&rows),
        describe::count(rows.len() as u64, "line"),
        shown(face.sum(), currency),
    )
}

/// The lines carry 64 fractional bits; what is paid is whole. This says the difference.
fn rounding(exact: Fixed, total: i128, currency: Currency) -> String {
    let rest = exact - total * Q;
    let text = if rest == 0 {
        "exactly".to_owned()
    } else if rest.abs() <= 1 << 48 {
        "but for a trace under 2^-16 of a minor unit".to_owned()
    } else {
        format!("and {} that waits for a whole unit", shown(rest, currency))
    };
    format!("the lines sum to {}, {text}", money::show(total, currency))
}

fn data(
    book: &State,
    agent: AgentId,
    currency: Currency,
    faces: &[Face],
    balances: &[Balance],
) -> Value {
    let m = |v| money::json(v, currency);
    let f = |v| shown(v, currency);
    let sum = |f: fn(&Balance) -> i128| m(balances.iter().map(f).sum());
    let faces: Vec<Value> = faces
        .iter()
        .map(|face| {
            let reasons: Vec<Value> =
                face.reasons.iter().map(|r| reason(book, r, currency)).collect();
            json!({
                "agent": book.agent(face.agent).handle.as_str(), "reasons": reasons,
                "sum": f(face.sum()), "sum_q64": face.sum().to_string(),
            })
        })
        .collect();
    json!({
        "agent": book.agent(agent).handle.as_str(), "currency": currency.as_str(),
        "accrued": sum(|b| b.accrued), "payable": sum(|b| b.payable),
        "reserved": sum(|b| b.reserved), "paid": sum(|b| b.paid),
        "free": sum(|b| b.available), "faces": faces,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use subak_ledger::book::types::whole;

    fn eur() -> Currency {
        Currency::new("EUR").unwrap()
    }

    #[test]
    fn the_rounding_line_says_what_is_left_over() {
        let third = Q * 100 / 3;
        assert_eq!(
            rounding(third, whole(third), eur()),
            "the lines sum to 0.33 EUR, and 0.003333 that waits for a whole unit"
        );
        assert!(rounding(50 * Q, 50, eur()).ends_with("0.50 EUR, exactly"));
        // What lacks a trace through flooring is shown whole, and said to be.
        let trace = 50 * Q - 1;
        assert_eq!(whole(trace), 50);
        assert_eq!(shown(trace, eur()), "0.500000");
        assert!(rounding(trace, 50, eur()).contains("but for a trace"));
    }
}
