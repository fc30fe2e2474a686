//! What an audit found, for people and for programs.
//!
//! Owns the words around the findings, which bring their own. Leaves out the exit status.

use super::{Judged, table};
use crate::{context::Context, describe, money};
use serde_json::{Value, json};
use subak_ledger::{
    audit::{
        Audit as Found, Disclosures, Finding, LedgerReport, Severity, Verdict, Witnessed, verdict,
    },
    book::types::{AgentKind, Currency},
    log::LedgerId,
};

/// What the auditor's memory holds of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pinned {
    /// It was seen before.
    Before,
    /// This was the first time.
    Now,
    /// Nothing is remembered.
    No,
}

pub(super) fn verdict_of(findings: &[Finding], ledger: Option<LedgerId>) -> Verdict {
    verdict(findings.iter().filter(|f| f.ledger == ledger))
}

pub(super) fn data(verdict: Verdict, all: &[(String, Found)], judged: &Judged) -> Value {
    let mut ledgers = Vec::new();
    let mut findings = Vec::new();
    for ((target, audit), copies) in all.iter().zip(&judged.copies) {
        let data = |l: &LedgerReport| ledger_data(target, audit, l, copies.get(&l.id));
        ledgers.extend(audit.ledgers.iter().map(data));
        findings.extend(audit.findings.iter().map(|f| {
            json!({
                "target": target, "code": f.code.name(), "severity": f.severity.word(),
                "rule": f.rule.map(subak_ledger::reject::Code::name),
                "ledger": f.ledger.map(|l| l.to_string()), "entry": f.entry,
                "message": with_amounts(&f.message),
            })
        }));
    }
    let missed = judged.missed.iter().map(|(target, f)| {
        json!({
            "target": target.to_string(), "code": f.code, "message": f.message, "next": f.next,
        })
    });
    let [agreements, totals, owed] = table::data(&judged.table);
    json!({
        "verdict": verdict.word(), "ledgers": ledgers, "findings": findings,
        "fraud_proofs": judged.proofs.files, "missed": missed.collect::<Vec<_>>(),
        "agreements": agreements, "totals": totals, "owed": owed,
    })
}

fn ledger_data(target: &str, audit: &Found, l: &LedgerReport, source: Option<&String>) -> Value {
    json!({
        "target": target, "copied_from": source, "id": l.id.to_string(), "name": l.name,
        "verdict": verdict_of(&audit.findings, Some(l.id)).word(),
        "kind": l.kind.map(AgentKind::word), "size": l.size, "head": hex::encode(l.head),
        "root": hex::encode(l.root), "checkpoint_size": l.checkpoint_size,
        "recorded_at": l.recorded_at.map(money::show_time), "sandbox": l.sandbox,
        "operator_key": l.operator.as_ref().map(|o| hex::encode(o.bytes())),
        "operator_authenticated": l.operator_authenticated,
        "operators": l.operators.iter().map(|o| hex::encode(o.key)).collect::<Vec<_>>(),
        "disclosed": l.disclosures.disclosed, "undisclosed": l.disclosures.undisclosed,
        "erased": l.disclosures.erased,
        "book_judged_to": l.stopped_book_at, "signatures_checked": l.signatures_checked,
        "seen_size": l.seen,
        "witnessed": l.witnessed.as_ref().map(|w| json!({
            "size": w.size,
            "by": w.by.iter().map(|(name, at)| json!({
                "witness": name, "at": money::show_time(at.saturating_mul(1_000)),
            })).collect::<Vec<_>>(),
        })),
    })
}

pub(super) fn text(
    cx: &Context,
    all: &[(String, Found)],
    judged: &Judged,
    pinned: &dyn Fn(LedgerId) -> Pinned,
) -> String {
    let mut lines = Vec::new();
    for ((target, audit), copies) in all.iter().zip(&judged.copies) {
        if all.len() + judged.missed.len() > 1 {
            lines.push(format!("{target}:"));
        }
        for l in &audit.ledgers {
            let copy = copies.get(&l.id).map_or_else(String::new, |source| match &source[..] {
                "" => "\n       a copy".to_owned(),
                source => format!("\n       a copy of {source}"),
            });
            lines.push(ledger_text(cx, audit, l, pinned(l.id)) + &copy);
        }
        for f in &audit.findings {
            lines.push(finding_text(cx, audit, f));
        }
    }
    for (target, failure) in &judged.missed {
        let word = cx.out.bad("not judged");
        lines.push(format!("{target}:\n{word}  {failure}\n  next: {}", failure.next));
    }
    for file in &judged.proofs.files {
        lines.push(format!(
            "the fraud proof is in {0}\n  next: pass it on; whoever has the operator's key checks it: `subak audit {0} --expect KEY`",
            file.display()
        ));
    }
    lines.extend(table::text(cx, &judged.table).map(|table| format!("\n{table}")));
    lines.join("\n")
}

fn painted(cx: &Context, verdict: Verdict) -> String {
    match verdict {
        Verdict::Sound => cx.out.good(verdict.word()),
        Verdict::Gap | Verdict::Fault => cx.out.bad(verdict.word()),
    }
}

fn ledger_text(cx: &Context, audit: &Found, l: &LedgerReport, pinned: Pinned) -> String {
    let operator = match (l.operator_authenticated, pinned) {
        (true, _) => "operator authenticated",
        (false, Pinned::Before) => "operator as pinned when it was first seen, not authenticated",
        (false, Pinned::Now) => "internally consistent, operator not authenticated (pinned now)",
        (false, Pinned::No) => "internally consistent, operator not authenticated",
    };
    let verdict = verdict_of(&audit.findings, Some(l.id));
    let book = l
        .stopped_book_at
        .map_or_else(String::new, |n| format!("\n       the book is not judged from entry {n} on"));
    // Who signs an unsound log does not matter.
    let key = l.operator.as_ref().map(|key| hex::encode(key.bytes())).unwrap_or_default();
    let trust = if verdict == Verdict::Fault {
        String::new()
    } else {
        let before = l.operators.iter().skip(1).map(|it| hex::encode(it.key));
        let before = before.fold(String::new(), |all, key| all + "\n       handed over by " + &key);
        format!("\n       operator {key}{before}\n       {operator}")
    };
    let hidden = hidden(&l.disclosures);
    let seen = l.seen.map_or_else(String::new, |size| {
        let (checked, all) = (l.signatures_checked, l.size);
        let spared = if checked < all {
            format!("; {checked} of {} checked now", describe::count(all, "signature"))
        } else {
            String::new()
        };
        format!("\n       goes on from the {} seen before{spared}", describe::entries(size))
    });
    let witnessed = l.witnessed.as_ref().map_or_else(String::new, witnessed);
    format!(
        "{}{:gap$}{}: {}{}{}\n       root {}{trust}{witnessed}{seen}{hidden}{book}",
        painted(cx, verdict),
        "",
        cx.out.strong(&l.name),
        describe::entries(l.size),
        l.recorded_at.map_or_else(String::new, |t| format!(" to {}", money::show_time(t))),
        if l.sandbox { ", SANDBOX" } else { "" },
        hex::encode(l.root),
        gap = 7 - verdict.word().len(),
    )
}

/// Who of the trust file's witnesses has signed how much, and the newest of them when.
fn witnessed(w: &Witnessed) -> String {
    let newest = w.by.iter().map(|(_, at)| *at).max().unwrap_or_default();
    let names: Vec<&str> = w.by.iter().map(|(name, _)| name.as_str()).collect();
    let at = money::show_time(newest.saturating_mul(1_000));
    format!("\n       the first {} seen by {}, {at}", describe::entries(w.size), names.join(", "))
}

/// Committed texts that are not there; nothing where all are.
fn hidden(d: &Disclosures) -> String {
    let all = describe::count(d.disclosed + d.erased + d.undisclosed, "committed text");
    match (d.undisclosed, d.erased) {
        (0, 0) => String::new(),
        (n, 0) => format!("\n       {n} of {all} not disclosed"),
        (0, e) => format!("\n       {e} of {all} erased"),
        (n, e) => format!("\n       {n} of {all} not disclosed, {e} erased"),
    }
}

/// The message carries place, expected, found and next step; here it is laid out.
fn finding_text(cx: &Context, audit: &Found, f: &Finding) -> String {
    let name = f.ledger.map_or_else(
        || "the file".to_owned(),
        |id| {
            audit
                .ledgers
                .iter()
                .find(|l| l.id == id)
                .map_or_else(|| id.to_string(), |l| l.name.clone())
        },
    );
    let word = match f.severity {
        Severity::Warning => f.severity.word().to_owned(),
        Severity::Gap | Severity::Fault => cx.out.bad(f.severity.word()),
    };
    let message = with_amounts(&f.message);
    let (what, next) = message.split_once("; next: ").unwrap_or((&message, ""));
    let next = if next.is_empty() { String::new() } else { format!("\n  next: {next}") };
    format!("{word}  {name} [{}]\n  {what}{next}", f.code.name())
}

/// A finding counts in minor units, whatever the currency; here they are shown as everywhere else.
fn with_amounts(message: &str) -> String {
    let mut parts = message.split(" minor units of ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let start = text.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-').len();
        let minor = text[start..].parse::<i128>();
        let currency = part.get(..3).and_then(|code| Currency::new(code).ok());
        if let (Ok(minor), Some(currency)) = (minor, currency) {
            text.truncate(start);
            text += &money::plain(minor, currency);
            text += " ";
        } else {
            text += " minor units of ";
        }
        text += part;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_in_findings_have_the_decimals_of_their_currency() {
        for (message, shown) in [
            (
                "a sent 120000 minor units of EUR, 5 minor units of EUR were",
                "a sent 1,200.00 EUR, 0.05 EUR were",
            ),
            ("differ by -1234 minor units of JPY", "differ by -1,234 JPY"),
            ("7 minor units of EUR", "0.07 EUR"),
            ("no minor units of account", "no minor units of account"),
            ("nothing of it", "nothing of it"),
        ] {
            assert_eq!(with_amounts(message), shown);
        }
    }
}
