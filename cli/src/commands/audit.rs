//! `subak audit`: everything that a ledger file or a node holds, judged from raw bytes.
//!
//! Owns targets, trust given on the command line, and how the verdict is said. A node is
//! not believed: its entries are copied into memory and pass the same layers as a
//! file's. Leaves out the audit itself (`ledger::audit`).

use crate::{
    connect,
    context::Context,
    describe,
    failure::{Done, Failure},
    money,
};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};
use subak_ledger::{
    audit::{self, Audit as Found, Disclosures, Finding, LedgerReport, Options, Severity, Verdict},
    book::types::AgentKind,
    log::{Frontier, LEAF_LEN, LedgerId, PublicKey, entry::chain_hash, tree::leaf_hash},
    store::{Batch, Head, MemoryStore, NewEntry, Node, Reader, SqliteReader, Store as _},
};
use subak_node::{LedgerInfo, Ledgers};

/// Entries that are asked of a node at a time.
const PAGE: u64 = 1_000;

/// Verify every byte, signature, rule and cent.
///
/// A target is a ledger file or a node's URL. A fault is a broken rule; a gap is
/// something that could not be judged; neither is silent. Without --expect a sound
/// ledger is consistent in itself, its operator is not authenticated, and a ledger that
/// was taken out whole is not missed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  subak audit subak.db\n  subak audit http://commons.example:7117 --expect <operator's public key>\n  subak audit subak.db --json\n\nExit status: 0 sound, 1 fault, 3 gap."
)]
pub struct Audit {
    /// Ledger files, or nodes' URLs [default: what --db or --node names]
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

impl Audit {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let targets = if self.targets.is_empty() {
            vec![cx.global.node.clone().unwrap_or_else(|| cx.db().display().to_string())]
        } else {
            self.targets
        };
        let mut all = Vec::new();
        for target in targets {
            let found = audit_one(cx, &target).await?;
            all.push((target, found));
        }
        // An operator's ledger may be in any of the targets: only all of them can lack it.
        let ledgers = all.iter().flat_map(|(_, found): &(_, Found)| &found.ledgers);
        let missing = audit::operators(ledgers, cx.trust.keys());
        if let Some((_, last)) = all.last_mut() {
            last.findings.extend(missing);
            last.verdict = audit::verdict(&last.findings);
        }
        let verdict = all.iter().map(|(_, a)| a.verdict).max().unwrap_or(Verdict::Sound);
        cx.out.result("subak.audit/1", &data(verdict, &all), &text(cx, &all))?;
        match verdict {
            Verdict::Sound => Ok(()),
            Verdict::Gap => Err(Failure::told(3)),
            Verdict::Fault => Err(Failure::told(1)),
        }
    }
}

fn bar(shown: bool) -> ProgressBar {
    if !shown || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} entries, {eta} left");
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

async fn audit_one(cx: &Context, target: &str) -> Done<Found> {
    let (expect, bar) = (cx.trust.keys().to_vec(), bar(!cx.out.json));
    if target.starts_with("http://") || target.starts_with("https://") {
        // Any operator: one that is not expected is a finding, among the others.
        let remote = connect::remote(target, None, cx.node_ca()).await?;
        let store = copy(&remote, &bar).await?;
        return judged(move || Ok(store), expect, bar).await;
    }
    let path = PathBuf::from(target);
    judged(move || open(&path), expect, bar).await
}

/// One state throughout, whatever a writer does meanwhile.
fn open(path: &Path) -> Done<SqliteReader> {
    let reader = SqliteReader::open(path)?;
    reader.freeze()?;
    Ok(reader)
}

async fn judged<R: Reader>(
    open: impl FnOnce() -> Done<R> + Send + 'static,
    expect: Vec<PublicKey>,
    bar: ProgressBar,
) -> Done<Found> {
    let work = move || -> Done<Found> {
        let reader = open()?;
        let progress = |done: u64, all: u64| {
            bar.set_length(all);
            bar.set_position(done);
        };
        let options = Options {
            expect_operator: expect,
            several_stores: true,
            progress: &progress,
            ..Options::default()
        };
        let found = audit::audit(&reader, &options)?;
        bar.finish_and_clear();
        Ok(found)
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Failure::world("audit", format!("the audit broke off: {e}"), "report this"))?
}

/// All that a node serves, as bytes, in memory.
async fn copy(node: &dyn Ledgers, bar: &ProgressBar) -> Done<MemoryStore> {
    let mut store = MemoryStore::new();
    let all = node.ledgers().await?;
    bar.set_length(all.iter().map(|l| l.size).sum());
    for info in all {
        copy_ledger(node, &info, &mut store, bar).await?;
    }
    Ok(store)
}

async fn copy_ledger(
    node: &dyn Ledgers,
    info: &LedgerInfo,
    store: &mut MemoryStore,
    bar: &ProgressBar,
) -> Done {
    let mut tree = Frontier::default();
    let mut head = Head::EMPTY;
    // The checkpoint last: what is signed then covers at least what was fetched before.
    loop {
        let page = node.entries(info.id, head.size, PAGE).await?;
        if page.is_empty() {
            break;
        }
        let mut entries = Vec::new();
        let mut nodes: Vec<Node> = Vec::new();
        for raw in page {
            let chain = raw.leaf[..].try_into().map_or([0; 32], |l: &[u8; LEAF_LEN]| chain_hash(l));
            let completed = tree.push(leaf_hash(&raw.leaf)).into_iter();
            nodes.extend(completed.filter_map(|(l, i, h)| Some((u8::try_from(l).ok()?, i, h))));
            entries.push(NewEntry { leaf: raw.leaf, envelope: raw.envelope, chain });
        }
        let batch = Batch { entries: &entries, nodes: &nodes, ..nothing(info, head) };
        store.append(&[batch])?;
        head = store.head(&info.id.0)?;
        bar.set_position(bar.position() + entries.len() as u64);
    }
    let checkpoint = node.checkpoint(info.id).await?;
    let signed = checkpoint.lines().nth(1).and_then(|l| l.parse::<u64>().ok());
    if signed.is_some_and(|size| size > head.size) {
        return Err(Failure::world(
            "moving",
            format!("ledger {} grew while it was fetched", info.name),
            "run the audit again",
        ));
    }
    let disclosures = node.disclosures(info.id).await?;
    let batch =
        Batch { checkpoint: Some(&checkpoint), disclosures: &disclosures, ..nothing(info, head) };
    Ok(store.append(&[batch])?)
}

fn nothing(info: &LedgerInfo, expected: Head) -> Batch<'_> {
    Batch {
        ledger: info.id.0,
        name: &info.name,
        expected,
        entries: &[],
        nodes: &[],
        checkpoint: None,
        disclosures: &[],
        erasures: &[],
    }
}

fn verdict_of(findings: &[Finding], ledger: Option<LedgerId>) -> Verdict {
    let own = findings.iter().filter(|f| f.ledger == ledger).map(|f| f.severity);
    match own.max() {
        Some(Severity::Fault) => Verdict::Fault,
        Some(Severity::Gap) => Verdict::Gap,
        Some(Severity::Warning) | None => Verdict::Sound,
    }
}

fn data(verdict: Verdict, all: &[(String, Found)]) -> Value {
    let mut ledgers = Vec::new();
    let mut findings = Vec::new();
    for (target, audit) in all {
        ledgers.extend(audit.ledgers.iter().map(|l| ledger_data(target, audit, l)));
        findings.extend(audit.findings.iter().map(|f| {
            json!({
                "target": target, "code": f.code.name(), "severity": f.severity.word(),
                "rule": f.rule.map(subak_ledger::reject::Code::name),
                "ledger": f.ledger.map(|l| l.to_string()), "entry": f.entry,
                "message": f.message,
            })
        }));
    }
    json!({ "verdict": verdict.word(), "ledgers": ledgers, "findings": findings })
}

fn ledger_data(target: &str, audit: &Found, l: &LedgerReport) -> Value {
    json!({
        "target": target, "id": l.id.to_string(), "name": l.name,
        "verdict": verdict_of(&audit.findings, Some(l.id)).word(),
        "kind": l.kind.map(AgentKind::word), "size": l.size, "head": hex::encode(l.head),
        "root": hex::encode(l.root), "checkpoint_size": l.checkpoint_size,
        "recorded_at": l.recorded_at.map(money::show_time), "sandbox": l.sandbox,
        "operator_key": l.operator.as_ref().map(|o| hex::encode(o.bytes())),
        "operator_authenticated": l.operator_authenticated,
        "disclosed": l.disclosures.disclosed, "undisclosed": l.disclosures.undisclosed,
        "erased": l.disclosures.erased,
        "book_judged_to": l.stopped_book_at,
    })
}

fn text(cx: &Context, all: &[(String, Found)]) -> String {
    let mut lines = Vec::new();
    for (target, audit) in all {
        if all.len() > 1 {
            lines.push(format!("{target}:"));
        }
        for l in &audit.ledgers {
            lines.push(ledger_text(cx, audit, l));
        }
        for f in &audit.findings {
            lines.push(finding_text(cx, audit, f));
        }
    }
    lines.join("\n")
}

fn painted(cx: &Context, verdict: Verdict) -> String {
    match verdict {
        Verdict::Sound => cx.out.good(verdict.word()),
        Verdict::Gap | Verdict::Fault => cx.out.bad(verdict.word()),
    }
}

fn ledger_text(cx: &Context, audit: &Found, l: &LedgerReport) -> String {
    let operator = if l.operator_authenticated {
        "operator authenticated"
    } else {
        "internally consistent, operator not authenticated"
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
        format!("\n       operator {key}\n       {operator}")
    };
    let hidden = hidden(&l.disclosures);
    format!(
        "{}{:gap$}{}: {}{}{}\n       root {}{trust}{hidden}{book}",
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
    let (what, next) = f.message.split_once("; next: ").unwrap_or((&f.message, ""));
    let next = if next.is_empty() { String::new() } else { format!("\n  next: {next}") };
    format!("{word}  {name} [{}]\n  {what}{next}", f.code.name())
}
