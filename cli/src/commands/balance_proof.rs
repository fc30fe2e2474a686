//! `subak receipt get --balance`: what was owed to somebody, in a file to keep.
//!
//! Owns the choice of the state root, the book that it is about, and the words for what was
//! shown. Guarantees that what does not hold is not handed out, and that no word says more
//! than was shown: that it was published. Leaves out the format and the judgement
//! (`book::balance_proof`), the receipt of the entry and whom one trusts for it (`receipt`).

use super::{past, receipt};
use crate::{
    context::{Context, Open},
    describe,
    failure::{Done, Failure},
    files, money,
};
use serde_json::{Value, json};
use std::path::Path;
use subak_ledger::{
    book::{
        balance_proof::{BalanceProof, ShownBalance},
        event::Event,
        state::State,
        state_root::{self, Shown, StateLeaf},
        types::{AgentId, Handle},
    },
    log::{PublicKey, Statement, receipt::Proven},
};

/// Of programs and people alike.
const SHOWS: &str = "the proof shows that this was published, not that it is right: whoever \
                     replays the log (`subak audit`) checks that";

/// Writes the proof of what `agent` had: at `entry`, a StateRoot, or now.
pub(super) async fn get(cx: &Context, agent: &str, entry: Option<u64>, out: Option<&Path>) -> Done {
    let mut open = cx.read().await?;
    open.of_a_commons("balances")?;
    let handle = Handle::new(agent)?;
    let id = open.book.find(&handle)?;
    let entry = match entry {
        Some(entry) => entry,
        None => newest(cx, &mut open, id).await?,
    };
    let (receipt, proven, operator) = receipt::of_entry(&open, entry).await?;
    let leaves = leaves(&open, &handle, entry, &proven.statement).await?;
    let text = BalanceProof { leaves, receipt }.to_text();
    // What does not hold is not handed out: the very text is read and judged.
    let shown = BalanceProof::parse(&text)?.verify(&proven)?;
    others(cx, &open.book, id);
    let Some(file) = out else {
        return if cx.out.json {
            let said = data(&shown, &proven, &operator, Some(&text));
            cx.out.result("subak.balance-proof/1", &said, "")
        } else {
            cx.out.line(text.trim_end())
        };
    };
    files::write_new(file, &text)?;
    let mut said = data(&shown, &proven, &operator, None);
    said["file"] = json!(file);
    let text = format!(
        "what {handle} had at entry {entry} of {} is in {}\n{}\n  check it without a server: `subak receipt verify {1} --expect {}`",
        open.info.name,
        file.display(),
        figures(&shown),
        hex::encode(operator.bytes())
    );
    cx.out.result("subak.balance-proof/1", &said, &text)
}

/// The StateRoot that says what is so now; one is published where there is none.
async fn newest(cx: &Context, open: &mut Open, agent: AgentId) -> Done<u64> {
    let book = &open.book;
    let has = |c| {
        let b = book.balance(agent, c);
        (b.accrued, b.payable, b.reserved, b.paid) != (0, 0, 0, 0)
    };
    if book.points(agent) == 0 && !book.currencies().into_iter().any(has) {
        return Err(nothing(&book.agent(agent).handle, "now"));
    }
    if let Some(entry) = book.stated() {
        return Ok(entry);
    }
    // Only who publishes needs the ledger file for itself.
    let connection = cx.writer(false).await?;
    cx.warn_of_forgotten(&connection, &open.info);
    let appended = connection.ledgers.publish_state(open.info.id).await?;
    cx.out.note(&format!("entry {} publishes what everybody has", appended.entry));
    open.connection = connection;
    cx.refresh(open).await?;
    Ok(appended.entry)
}

/// An agent's leaves under the root that an entry states.
async fn leaves(
    open: &Open,
    agent: &Handle,
    entry: u64,
    statement: &Statement,
) -> Done<Vec<Shown>> {
    let [Ok(Event::StateRoot { root, .. })] =
        &statement.events().iter().map(|bytes| Event::decode(bytes)).collect::<Vec<_>>()[..]
    else {
        return Err(Failure::refused(
            "no-state-root",
            format!("entry {entry} does not publish what everybody has"),
            "leave the entry out for what is so now; `subak log` shows where a StateRoot is",
        ));
    };
    let found = if state_root::root(&open.book).0 == *root {
        state_root::prove(&open.book, agent)
    } else {
        state_root::prove(&past::before(open, entry).await?.0, agent)
    };
    if found.is_empty() { Err(nothing(agent, &format!("at entry {entry}"))) } else { Ok(found) }
}

fn nothing(agent: &Handle, when: &str) -> Failure {
    Failure::refused(
        "nothing-owed",
        format!("{agent} has neither money nor points {when}: there is nothing to prove"),
        "look with `subak balance`; `subak receipt get ENTRY` proves a claim",
    )
}

/// A person's unclaimed agents keep their accruals under their own names.
fn others(cx: &Context, book: &State, agent: AgentId) {
    let others = book.faces(agent).into_iter().filter(|face| *face != agent);
    let names: Vec<&str> = others.map(|face| book.agent(face).handle.as_str()).collect();
    if !names.is_empty() {
        let of = &book.agent(agent).handle;
        let text = format!(
            "{of} has claimed {}: what accrued under such a name has a proof of its own",
            names.join(", ")
        );
        cx.out.note(&describe::wrap(&text, 2));
    }
}

/// What was shown, for people: below the lines about the entry.
pub(super) fn told(shown: &ShownBalance) -> String {
    let what = format!(
        "  The operator's node published there that {}, as the entry before had left it, had",
        shown.agent
    );
    format!("{}\n{}\n  {}", describe::wrap(&what, 2), figures(shown), describe::wrap(SHOWS, 2))
}

fn figures(shown: &ShownBalance) -> String {
    let mut lines: Vec<String> = shown.leaves.iter().filter_map(line).collect();
    let points = shown.leaves.first().map_or(0, |leaf| leaf.points);
    let word = if points == 1_000 { "point" } else { "points" };
    lines.push(format!("    {} {word} that count", money::show_thousandths(points.into())));
    lines.join("\n")
}

fn line(leaf: &StateLeaf) -> Option<String> {
    let currency = leaf.currency?;
    let m = |minor: i64| money::show(minor.into(), currency);
    let (accrued, payable) = (m(leaf.accrued), m(leaf.payable));
    let (reserved, paid) = (m(leaf.reserved), m(leaf.paid));
    let free = money::show(free(leaf), currency);
    let text = format!(
        "    accrued {accrued}, payable {payable}, reserved {reserved}, paid {paid}: free {free}"
    );
    Some(describe::wrap(&text, 6))
}

/// What could be paid then; what is to be recouped where it is negative.
fn free(leaf: &StateLeaf) -> i128 {
    i128::from(leaf.payable) - i128::from(leaf.reserved) - i128::from(leaf.paid)
}

/// The same for programs; `text` is the file, where it is printed.
pub(super) fn data(
    shown: &ShownBalance,
    proven: &Proven,
    operator: &PublicKey,
    text: Option<&str>,
) -> Value {
    let balance = |leaf: &StateLeaf| {
        let currency = leaf.currency?;
        let m = |minor: i64| money::json(minor.into(), currency);
        Some(json!({
            "currency": currency.as_str(), "accrued": m(leaf.accrued), "payable": m(leaf.payable),
            "reserved": m(leaf.reserved), "paid": m(leaf.paid),
            "free": money::json(free(leaf), currency),
        }))
    };
    let points = shown.leaves.first().map_or(0, |leaf| leaf.points);
    json!({
        "ledger": proven.leaf.ledger.to_string(), "entry": proven.leaf.seq,
        "recorded_at": money::show_time(proven.leaf.recorded_at),
        "agent": shown.agent.as_str(), "points": money::show_thousandths(points.into()),
        "balances": shown.leaves.iter().filter_map(balance).collect::<Vec<_>>(),
        "state_root": hex::encode(shown.root), "leaves": shown.of,
        "size": proven.head.size, "root": hex::encode(proven.head.root),
        "operator_key": hex::encode(operator.bytes()), "shows": SHOWS, "proof": text,
    })
}
