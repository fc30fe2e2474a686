//! `subak payout list`: runs, the lines of one, and the bank's CSV.

use super::find_run;
use crate::{context::Context, describe, failure::Done, money, trust};
use serde_json::{Value, json};
use subak_ledger::book::{
    state::{Fate, Run, State},
    types::Handle,
};

pub(super) async fn list(cx: &Context, wanted: Option<u64>, csv: bool, decided: bool) -> Done {
    let open = cx.read().await?;
    open.of_a_commons("payouts")?;
    let book = &open.book;
    let runs: Vec<(u64, &Run)> = match wanted {
        Some(n) => vec![(n, find_run(book, n)?)],
        None => book.runs.iter().map(|(n, r)| (*n, r.as_ref())).collect(),
    };
    let name = open.info.name.as_str();
    if csv {
        // It goes to the bank: as much must be seen by witnesses as for what moves money here.
        trust::require_witnessed(cx, &open).await?;
    }
    if csv && !cx.out.json {
        let rows = runs.iter().flat_map(|(n, r)| csv_rows(book, name, *n, r, decided));
        return cx.out.line(to_csv(rows).trim_end());
    }
    let data: Vec<Value> = runs.iter().map(|(n, r)| row(book, name, *n, r)).collect();
    let text = match (wanted, runs.as_slice()) {
        (Some(n), [(_, run)]) => one(cx, book, n, run),
        (_, []) => "no payout runs yet: `subak payout propose --all`".into(),
        _ => table(cx, book, &runs),
    };
    cx.out.result("subak.payout/1", &json!({ "runs": data }), &text)
}

/// The word for a line's fate.
fn fate(f: &Fate) -> &'static str {
    f.word()
}

/// What the payee reads on the bank's statement.
fn payment_text(ledger: &str, run: u64, agent: &Handle) -> String {
    format!("subak {ledger} {run} {agent}")
}

fn csv_rows(book: &State, ledger: &str, n: u64, run: &Run, decided: bool) -> Vec<[String; 6]> {
    run.lines
        .iter()
        .filter(|l| decided || l.fate == Fate::Proposed)
        .map(|l| {
            let agent = &book.agent(l.agent).handle;
            [
                n.to_string(),
                agent.to_string(),
                money::json(l.minor.into(), run.currency),
                run.currency.to_string(),
                payment_text(ledger, n, agent),
                fate(&l.fate).to_owned(),
            ]
        })
        .collect()
}

/// RFC 4180, with a header.
fn to_csv(rows: impl Iterator<Item = [String; 6]>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let head = ["run", "agent", "amount", "currency", "reference", "status"].map(str::to_owned);
    for row in std::iter::once(head).chain(rows) {
        writer.write_record(&row).expect("a Vec takes everything");
    }
    let bytes = writer.into_inner().expect("a Vec takes everything");
    String::from_utf8(bytes).expect("made of strings")
}

fn row(book: &State, ledger: &str, n: u64, run: &Run) -> Value {
    let lines: Vec<Value> = run
        .lines
        .iter()
        .map(|l| {
            let agent = &book.agent(l.agent).handle;
            let (bank, reason) = match &l.fate {
                Fate::Paid { bank, .. } => (Some(bank.as_str()), None),
                Fate::Returned { reason, bank } => (Some(bank.as_str()), Some(reason.word())),
                Fate::Failed { reason } => (None, Some(reason.word())),
                Fate::Proposed | Fate::Expired => (None, None),
            };
            json!({
                "agent": agent.as_str(), "amount": money::json(l.minor.into(), run.currency),
                "reference": payment_text(ledger, n, agent), "status": fate(&l.fate),
                "bank": bank, "reason": reason,
            })
        })
        .collect();
    json!({
        "run": n, "treasurer": book.agent(run.treasurer).handle.as_str(),
        "currency": run.currency.as_str(), "proposed_at": money::show_time(run.proposed_at),
        "expires_at": money::show_time(run.expires_at), "lines": lines,
    })
}

fn sum_of(run: &Run, fits: impl Fn(&Fate) -> bool) -> i128 {
    run.lines.iter().filter(|l| fits(&l.fate)).map(|l| i128::from(l.minor)).sum()
}

fn table(cx: &Context, book: &State, runs: &[(u64, &Run)]) -> String {
    let rows: Vec<Vec<String>> = runs
        .iter()
        .map(|(n, r)| {
            let m = |v| if v == 0 { "-".into() } else { money::plain(v, r.currency) };
            vec![
                n.to_string(),
                money::show_date(r.proposed_at),
                book.agent(r.treasurer).handle.to_string(),
                r.lines.len().to_string(),
                r.currency.to_string(),
                m(sum_of(r, |_| true)),
                m(sum_of(r, |f| matches!(f, Fate::Paid { .. }))),
                m(sum_of(r, |f| *f == Fate::Proposed)),
            ]
        })
        .collect();
    cx.out.table(
        &[">run", "proposed", "treasurer", ">lines", "", ">amount", ">paid", ">undecided"],
        &rows,
    )
}

fn one(cx: &Context, book: &State, n: u64, run: &Run) -> String {
    let head = format!(
        "run {n} of {} by {}, {}; undecided lines are released after {}",
        money::show_date(run.proposed_at),
        book.agent(run.treasurer).handle,
        money::show(sum_of(run, |_| true), run.currency),
        money::show_date(run.expires_at)
    );
    let detail = |f: &Fate| match f {
        Fate::Paid { bank, at } => format!("{}, {bank}", money::show_date(*at)),
        Fate::Failed { reason } => reason.to_string(),
        Fate::Returned { reason, bank } => format!("{reason}, {bank}"),
        Fate::Proposed | Fate::Expired => String::new(),
    };
    let rows: Vec<Vec<String>> = run
        .lines
        .iter()
        .map(|l| {
            vec![
                book.agent(l.agent).handle.to_string(),
                money::plain(l.minor.into(), run.currency),
                fate(&l.fate).into(),
                detail(&l.fate),
            ]
        })
        .collect();
    format!(
        "{}\n{}",
        describe::wrap(&head, 2),
        cx.out.table(&["agent", ">amount", "status", ""], &rows)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banks_csv_has_plain_amounts() {
        let row = ["57", "ana", "1200.50", "EUR", "subak our-commons 57 ana", "proposed"];
        let text = to_csv(std::iter::once(row.map(str::to_owned)));
        assert_eq!(
            text,
            "run,agent,amount,currency,reference,status\n57,ana,1200.50,EUR,subak our-commons 57 ana,proposed\n"
        );
    }
}
