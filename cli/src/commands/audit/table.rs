//! Who owes whom how much, over all targets: for people, and for programs.
//!
//! Owns the words and fields around `subak_ledger::audit::Table`. Guarantees that figures that
//! nobody could judge are shown as such, never as 0, and that a long table is cut with a count in
//! text and whole in JSON. Leaves out the figures.

use crate::{context::Context, money};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use subak_ledger::{
    audit::{Owing, Row, Table, Total},
    book::types::Currency,
    log::LedgerId,
};

/// Rows of a currency that are shown in text, and as many of its parties.
const SHOWN: usize = 20;

/// The fields that `subak.audit/1` has for it: `agreements`, `totals`, `owed`. Amounts are strings
/// in units of the currency, null where the ledger that decides is missing or was not judged.
pub(super) fn data(table: &Table) -> [Value; 3] {
    let totals = table.totals.iter().map(|(currency, total)| total_data(*currency, total));
    let owed = table.parties.iter().map(|((currency, ledger), it)| {
        let m = |minor| money::json(minor, *currency);
        json!({
            "currency": currency.as_str(), "ledger": ledger.to_string(), "name": it.name,
            "owes": m(it.owes), "owed": m(it.owed), "net": m(it.owed - it.owes),
        })
    });
    [table.rows.iter().map(row_data).collect(), totals.collect(), owed.collect()]
}

fn row_data(row: &Row) -> Value {
    let t = &row.terms;
    let m = |minor: Option<i128>| minor.map(|minor| money::json(minor, t.currency));
    let [open, credit] = split(row);
    json!({
        "agreement": hex::encode(t.digest), "state": row.standing.word(), "both": row.both,
        "payer": row.payer, "payer_ledger": hex::encode(t.payer),
        "commons": row.commons, "commons_ledger": hex::encode(t.commons),
        "currency": t.currency.as_str(), "share_ppm": t.share, "base": t.base.word(),
        "due_days": t.due_days, "last_due": row.last_due, "last_taken": row.last_taken,
        "due": m(row.due), "taken": m(row.taken), "in_flight": m(row.in_flight),
        "sent": m(row.sent), "received": m(row.received),
        "cash_in_flight": m(row.cash_in_flight()), "fees": m(row.fees),
        "written_off": m(row.written_off), "open": m(open), "credit": m(credit),
        "overdue": m(row.overdue), "unexplained": m(row.unexplained()),
    })
}

fn total_data(currency: Currency, total: &Total) -> Value {
    let m = |minor| money::json(minor, currency);
    json!({
        "currency": currency.as_str(), "agreements": total.rows, "left_out": total.left_out,
        "due": m(total.due), "taken": m(total.taken), "in_flight": m(total.in_flight),
        "sent": m(total.sent), "received": m(total.received), "fees": m(total.fees),
        "written_off": m(total.written_off), "open": m(total.open), "credit": m(total.credit),
        "overdue": m(total.overdue), "unexplained": m(total.unexplained), "balanced": total.unexplained == 0,
    })
}

/// A table for each currency, if both ledgers of any agreement are here.
pub(super) fn text(cx: &Context, table: &Table) -> Option<String> {
    if !table.rows.iter().any(|row| row.both) {
        return None;
    }
    let currencies: BTreeSet<Currency> = table.rows.iter().map(|r| r.terms.currency).collect();
    let parts: Vec<String> = currencies.into_iter().map(|c| of_currency(cx, table, c)).collect();
    Some(parts.join("\n\n"))
}

/// A column: its head, its figure in a row, and in the sum.
type Column = (&'static str, fn(&Row) -> Option<i128>, fn(&Total) -> i128);

/// `due`, `received` and `open` are shown always, others where they say something.
const COLUMNS: [Column; 10] = [
    ("due", |r| r.due, |t| t.due),
    ("taken", |r| r.taken, |t| t.taken),
    ("in flight", |r| r.in_flight, |t| t.in_flight),
    ("sent", |r| r.sent, |t| t.sent),
    ("received", |r| r.received, |t| t.received),
    ("fees", |r| r.fees, |t| t.fees),
    ("given up", |r| r.written_off, |t| t.written_off),
    ("open", |r| split(r)[0], |t| t.open),
    ("credit", |r| split(r)[1], |t| t.credit),
    ("overdue", |r| r.overdue, |t| t.overdue),
];

fn split(row: &Row) -> [Option<i128>; 2] {
    row.open_and_credit().map_or([None; 2], |both| both.map(Some))
}

fn is_shown(head: &str, rows: &[&Row]) -> bool {
    let any = |says: fn(&Row) -> bool| rows.iter().any(|row| says(row));
    match head {
        "taken" => any(|r| r.due != r.taken),
        "in flight" => any(|r| r.in_flight.is_some_and(|it| it != 0)),
        "sent" => any(|r| r.sent != r.received),
        "fees" => any(|r| r.fees.is_some_and(|it| it != 0)),
        "given up" => any(|r| r.written_off.is_some_and(|it| it != 0)),
        "credit" => any(|r| split(r)[1].is_some_and(|it| it != 0)),
        "overdue" => any(|r| r.overdue.is_some_and(|it| it != 0)),
        _ => true,
    }
}

fn of_currency(cx: &Context, table: &Table, currency: Currency) -> String {
    let rows: Vec<&Row> = table.rows.iter().filter(|r| r.terms.currency == currency).collect();
    let total = table.totals.get(&currency).copied().unwrap_or_default();
    let columns: Vec<&Column> = COLUMNS.iter().filter(|(head, ..)| is_shown(head, &rows)).collect();
    let shown = |minor: Option<i128>| minor.map_or("?".into(), |m| money::plain(m, currency));
    let mut blocks: Vec<(String, Vec<String>)> = vec![(
        cx.out.strong(&format!("agreements in {currency}")),
        columns.iter().map(|(head, ..)| (*head).to_owned()).collect(),
    )];
    for row in rows.iter().take(SHOWN) {
        let title = format!("{} -> {}: {}", row.payer, row.commons, row.standing.word());
        blocks.push((title, columns.iter().map(|(_, figure, _)| shown(figure(row))).collect()));
    }
    if total.rows > 1 {
        let sums = columns.iter().map(|(.., sum)| shown(Some(sum(&total)))).collect();
        blocks.push((format!("all {}", total.rows), sums));
    }
    let mut text = aligned(&blocks);
    if rows.len() > SHOWN {
        text += &format!("\nand {} more: `--json` has all", rows.len() - SHOWN);
    }
    if total.left_out > 0 {
        text += &format!("\nin no sum: {}, not judged on both sides", total.left_out);
    }
    text + &parties(table, currency) + &balance(cx, &total, currency)
}

/// Titles, and under each its figures in columns: names of any length leave them their room.
fn aligned(blocks: &[(String, Vec<String>)]) -> String {
    let columns = blocks.first().map_or(0, |(_, cells)| cells.len());
    let width = |n: usize| blocks.iter().map(|(_, cells)| cells[n].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|n| width(n).unwrap_or_default()).collect();
    let lines = blocks.iter().map(|(title, cells)| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("  {cell:>width$}"));
        format!("{title}\n{}", cells.collect::<String>())
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What each ledger owes and is owed, in flight or not.
fn parties(table: &Table, currency: Currency) -> String {
    let range = (currency, LedgerId([0; 32]))..=(currency, LedgerId([255; 32]));
    let all: Vec<&Owing> = table.parties.range(range).map(|(_, it)| it).collect();
    let m = |minor| money::show(minor, currency);
    let mut text = String::new();
    for it in all.iter().filter(|it| it.owes != 0 || it.owed != 0).take(SHOWN) {
        let owes = said(it.owes, ["owes", "has a credit of"], &m);
        let owed = said(it.owed, ["is owed", "holds a credit of"], &m);
        text += &format!("\n{} ", it.name);
        text += &match (owes, owed) {
            (Some(owes), Some(owed)) => {
                format!("{owes} and {owed}: {} in all", m(it.owed - it.owes))
            }
            (one, other) => one.or(other).unwrap_or_default(),
        };
    }
    if all.len() > SHOWN {
        text += &format!("\nand {} more: `--json` has all", all.len() - SHOWN);
    }
    text
}

/// An amount with the words for above and below zero; nothing of nothing.
fn said(minor: i128, words: [&str; 2], show: &dyn Fn(i128) -> String) -> Option<String> {
    let word = words[usize::from(minor < 0)];
    (minor != 0).then(|| format!("{word} {}", show(minor.abs())))
}

fn balance(cx: &Context, total: &Total, currency: Currency) -> String {
    let open = if total.credit == 0 { "what is open" } else { "what is open, less credit" };
    let rest = "what is due, less what is in flight, received and given up, is";
    match total.unexplained {
        _ if total.rows == 0 => String::new(),
        0 => format!("\n{}: {rest} {open}", cx.out.good("reconciled")),
        by => format!(
            "\n{}: {rest} {} other than {open}",
            cx.out.bad("not reconciled"),
            money::show(by, currency)
        ),
    }
}
