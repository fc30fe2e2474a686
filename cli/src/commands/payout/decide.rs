//! `subak payout paid`, `failed` and `returned`: what became of lines.

use super::find_run;
use crate::{
    bank,
    commands::{contribute::report, revenue::RETRIES, settle::in_currency},
    context::{Context, Texts},
    describe,
    failure::{Done, Failure},
    money, trust,
};
use clap::Args;
use serde_json::json;
use std::fmt::Write as _; // to a String: it cannot fail, hence `let _`
use subak_ledger::book::{
    state::{Fate, Line, State},
    types::{FailReason, Handle},
};
use subak_proto::v1::{self, event::Kind};

/// Arguments of `payout paid`.
#[derive(Debug, Args)]
pub struct Paid {
    /// Entry of the run
    run: u64,
    /// All undecided lines but this agent's
    #[arg(long, value_name = "HANDLE", conflicts_with = "only")]
    except: Vec<String>,
    /// Only this agent's line
    #[arg(long, value_name = "HANDLE")]
    only: Vec<String>,
    /// What the bank knows the transfer by
    #[arg(long, value_name = "TEXT")]
    bank: String,
    /// What the bank charged on top
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true, requires = "fee_by")]
    fee: Option<String>,
    /// Who bears the fee
    #[arg(long, value_name = "HANDLE", requires = "fee")]
    fee_by: Option<String>,
}

impl Paid {
    pub(super) async fn run(self, cx: &Context) -> Done {
        let mut open = cx.write().await?;
        let bank = bank::reference(&open.info.id, &self.bank)?;
        let currency = find_run(&open.book, self.run)?.currency;
        let agents = self.agents(&open.book)?;
        let fee = match (&self.fee, &self.fee_by) {
            (Some(fee), Some(bearer)) => Some(v1::Fee {
                minor: in_currency(fee, currency)?,
                bearer: Handle::new(bearer)?.to_string(),
            }),
            _ => None,
        };
        trust::require_witnessed(cx, &open).await?;
        let mut attempt = 0;
        let (appended, due) = loop {
            let due = open.book.dues_of_payment(self.run, &agents);
            let event = v1::PayoutPaid {
                run: self.run,
                agent: agents.iter().map(ToString::to_string).collect(),
                bank: bank.clone(),
                fee: fee.clone(),
                due: due.clone(),
            };
            match cx.say(&open, vec![Kind::PayoutPaid(event)], Texts::default()).await {
                Err(f) if f.code == "due-mismatch" && attempt < RETRIES => attempt += 1,
                Err(f) => return Err(f),
                Ok(appended) => break (appended, due),
            }
            cx.refresh(&mut open).await?;
        };
        cx.refresh(&mut open).await?;
        let run = find_run(&open.book, self.run)?;
        let paid = |l: &&Line| agents.contains(&open.book.agent(l.agent).handle);
        let sum: i128 = run.lines.iter().filter(paid).map(|l| i128::from(l.minor)).sum();
        let left = run.lines.iter().filter(|l| l.fate == Fate::Proposed).count();
        let mut text = format!(
            "run {}: {} paid, {} ({bank})",
            self.run,
            describe::count(agents.len() as u64, "line"),
            money::show(sum, currency)
        );
        if left > 0 {
            let _ = write!(
                text,
                "\n  {left} undecided: pay them, or `subak payout failed {}`",
                self.run
            );
        }
        for d in &due {
            let _ = write!(
                text,
                "\n  {} is income of an upstream commons (number {}): it runs `subak income take`",
                money::show(d.amount.into(), currency),
                d.number
            );
        }
        let more = json!({
            "run": self.run, "bank": bank, "agents": agents.iter().map(Handle::as_str).collect::<Vec<_>>(),
            "currency": currency.as_str(), "total": money::json(sum, currency), "undecided": left,
        });
        report(cx, &appended, &more, &text)
    }

    fn agents(&self, book: &State) -> Done<Vec<Handle>> {
        let mut agents = if self.only.is_empty() {
            let run = find_run(book, self.run)?;
            let open = run.lines.iter().filter(|l| l.fate == Fate::Proposed);
            let handles: Vec<Handle> = open.map(|l| book.agent(l.agent).handle.clone()).collect();
            if let Some(stranger) =
                self.except.iter().find(|e| !handles.iter().any(|h| h.as_str() == e.as_str()))
            {
                return Err(Failure::usage(
                    format!("run {} has no undecided line of {stranger}", self.run),
                    format!("look at it: `subak payout list {}`", self.run),
                ));
            }
            handles.into_iter().filter(|h| !self.except.iter().any(|e| e == h.as_str())).collect()
        } else {
            self.only.iter().map(|h| Handle::new(h)).collect::<Result<Vec<_>, _>>()?
        };
        agents.sort();
        agents.dedup();
        if agents.is_empty() {
            return Err(Failure::refused(
                "line-decided",
                format!("run {} has no undecided line left to pay", self.run),
                format!("look at it: `subak payout list {}`", self.run),
            ));
        }
        Ok(agents)
    }
}

fn reason(text: &str) -> Done<FailReason> {
    FailReason::from_word(text).ok_or_else(|| {
        Failure::usage(
            format!("reason {text:?}"),
            "use account-closed, account-unknown, refused-by-bank or other",
        )
    })
}

pub(super) async fn failed(cx: &Context, run: u64, agents: Vec<String>, why: &str) -> Done {
    let reason = reason(why)?;
    let mut agents = agents.iter().map(|h| Handle::new(h)).collect::<Result<Vec<Handle>, _>>()?;
    agents.sort();
    agents.dedup();
    let open = cx.write().await?;
    let agent: Vec<String> = agents.iter().map(ToString::to_string).collect();
    let names = agent.join(", ");
    let more = json!({ "run": run, "agents": agent, "reason": reason.word() });
    let event = v1::PayoutFailed { run, agent, reason: reason.to_wire() };
    let appended = cx.say(&open, vec![Kind::PayoutFailed(event)], Texts::default()).await?;
    report(
        cx,
        &appended,
        &more,
        &format!(
            "run {run}: {names} could not be paid ({reason}); what was reserved is free again"
        ),
    )
}

pub(super) async fn returned(cx: &Context, run: u64, agent: &str, text: &str, why: &str) -> Done {
    let (agent, reason) = (Handle::new(agent)?, reason(why)?);
    let open = cx.write().await?;
    let bank = bank::reference(&open.info.id, text)?;
    let due = open.book.dues_of_return(run, &agent);
    let event = v1::PayoutReturned {
        run,
        agent: agent.to_string(),
        reason: reason.to_wire(),
        bank: bank.clone(),
        due,
    };
    let appended = cx.say(&open, vec![Kind::PayoutReturned(event)], Texts::default()).await?;
    let more =
        json!({ "run": run, "agent": agent.as_str(), "reason": reason.word(), "bank": bank });
    report(
        cx,
        &appended,
        &more,
        &format!("run {run}: {agent}'s line came back ({reason}); it is free again"),
    )
}
