//! `subak approve`, `withdraw` and `proposals`: the stewards' quorum.
//!
//! What is approved is shown from the bytes that the ledger holds, checked against the
//! chain, and the digest that is signed is that of those bytes.

use super::contribute::report;
use crate::{
    context::{Context, Open, Texts},
    describe,
    failure::{Done, Failure},
    money,
};
use clap::Args;
use serde_json::{Value, json};
use subak_ledger::{
    book::{
        event::Event,
        state::{Proposal, State},
        types::Role,
    },
    log::{Leaf, Statement, Unverified},
};
use subak_node::RawEntry;
use subak_proto::v1::{self, event::Kind};

/// Approve a proposal, or the genesis of a ledger, as a steward.
///
/// Shows what is approved from the ledger's own bytes and signs their digest. The
/// approval that completes the quorum carries the proposal out.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  subak proposals\n  subak approve 17 --as ben\n  subak approve 0 --as ben      # the genesis of a ledger with several stewards"
)]
pub struct Approve {
    /// The proposal's entry; 0 is the genesis
    entry: u64,
}

/// Withdraw a proposal that you made.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  subak withdraw 17 --as ana")]
pub struct Withdraw {
    /// The proposal's entry
    entry: u64,
}

/// List open proposals: who approved, what is missing, until when.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  subak proposals")]
pub struct Proposals;

impl Approve {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let open = cx.write().await?;
        let statement = entry(&open, self.entry).await?;
        let events = proposed_events(&open.book, self.entry, &statement)?;
        let by = &statement.header().author;
        let digest = statement.body_digest();
        cx.out.note(&format!("entry {}, by {by}:", self.entry));
        for event in &events {
            cx.out.note(&describe::wrap(
                &format!("  {}", describe::event(event, Some(&open.book))),
                4,
            ));
        }
        cx.out.note(&format!("  digest {}", hex::encode(digest)));
        let event = Kind::Approve(v1::Approve { entry: self.entry, digest: digest.to_vec() });
        let appended = cx.say(&open, vec![event], Texts::default()).await?;
        let book = open.connection.ledgers.book(open.info.id).await?;
        let missing = missing(&book, self.entry);
        let what = describe_all(&events, &book);
        let text = match &missing {
            None if self.entry == 0 => "the ledger is open".into(),
            None => format!("carried out: {what}"),
            Some(m) => format!("approved; {m}"),
        };
        let data = json!({ "proposal": self.entry, "digest": hex::encode(digest),
                           "carried_out": missing.is_none() });
        report(cx, &appended, &data, &text)
    }
}

impl Withdraw {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let open = cx.write().await?;
        let event = Kind::Withdraw(v1::Withdraw { entry: self.entry });
        let appended = cx.say(&open, vec![event], Texts::default()).await?;
        let text = format!("proposal {} is withdrawn", self.entry);
        report(cx, &appended, &json!({ "proposal": self.entry }), &text)
    }
}

impl Proposals {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let open = cx.read().await?;
        let book = &open.book;
        let mut data: Vec<Value> = Vec::new();
        let mut lines: Vec<String> = Vec::new();
        if !book.is_open() {
            let approved = names(book, book.approvals.iter().copied());
            data.push(json!({ "entry": 0, "by": null, "events": ["Genesis"], "until": null,
                "digest": hex::encode(book.root().digest), "approved": approved,
                "quorum": book.root().quorum, "missing": waiting(book, 0) }));
            lines.push(format!(
                "{}  the genesis of {}",
                cx.out.strong("entry 0"),
                book.root().name
            ));
            lines.push(standing(book, 0, &approved));
            lines.push("  next: `subak approve 0`".into());
        }
        for (entry, p) in &book.proposals {
            let approved = names(book, counting(book, p));
            data.push(json!({
                "entry": entry, "by": book.agent(p.by).handle.as_str(),
                "events": p.events.iter().map(|e| describe::event(e, Some(book))).collect::<Vec<_>>(),
                "digest": hex::encode(p.digest), "approved": approved,
                "quorum": book.root().quorum, "missing": waiting(book, *entry),
                "until": money::show_time(p.expires_at),
            }));
            let head = cx.out.strong(&format!("entry {entry}"));
            let until = money::show_time(p.expires_at);
            lines.push(format!("{head}  by {}, until {until}", book.agent(p.by).handle));
            lines.extend(
                p.events
                    .iter()
                    .map(|e| describe::wrap(&format!("  {}", describe::event(e, Some(book))), 4)),
            );
            lines.push(standing(book, *entry, &approved));
            let name = &book.root().name;
            lines.push(format!("  next: `subak approve {entry} --ledger {name}`"));
        }
        if lines.is_empty() {
            lines.push("no open proposals".into());
        }
        cx.out.result("subak.proposals/1", &json!({ "proposals": data }), &lines.join("\n"))
    }
}

/// Proposes an event that needs the quorum and reports whether it holds already.
/// `done` says what then holds.
pub async fn proposed(cx: &Context, open: &Open, event: Kind, data: &Value, done: &str) -> Done {
    proposed_then(cx, open, event, data, |_| done.to_owned()).await
}

/// As [`proposed`], where what then holds is to be seen in the ledger.
pub async fn proposed_then(
    cx: &Context,
    open: &Open,
    event: Kind,
    data: &Value,
    done: impl FnOnce(&State) -> String,
) -> Done {
    proposed_all(cx, open, vec![event], data, done).await
}

/// As [`proposed_then`], of several events that are carried out together.
pub async fn proposed_all(
    cx: &Context,
    open: &Open,
    events: Vec<Kind>,
    data: &Value,
    done: impl FnOnce(&State) -> String,
) -> Done {
    let appended = cx.propose_all(open, events).await?;
    let book = open.connection.ledgers.book(open.info.id).await?;
    let missing = missing(&book, appended.entry);
    let text = match &missing {
        None => done(&book),
        Some(m) => format!("proposed, open for 30 days; {m}"),
    };
    let mut data = data.clone();
    if let Some(data) = data.as_object_mut() {
        data.insert("proposal".into(), appended.entry.into());
        data.insert("carried_out".into(), missing.is_none().into());
    }
    report(cx, &appended, &data, &text)
}

/// An entry's statement, proven to be the one that the folded chain commits to.
pub async fn entry(open: &Open, seq: u64) -> Done<Statement> {
    let found = open.connection.ledgers.entries(open.info.id, seq, 1).await?;
    let Some(raw) = found.into_iter().find(|e| e.seq == seq) else {
        return Err(Failure::refused(
            "not-found",
            format!("there is no entry {seq}: the ledger has {}", open.book.size),
            "list them: `subak log`",
        ));
    };
    Ok(on_chain(&open.book, &raw)?.1)
}

/// Leaf and statement of a raw entry, held against the chain of `book`.
pub fn on_chain(book: &State, raw: &RawEntry) -> Done<(Leaf, Statement)> {
    let leaf = Leaf::from_bytes(&raw.leaf)?;
    let statement = Unverified::parse(&raw.envelope)?.trust_stored()?;
    let place = usize::try_from(raw.seq).ok().and_then(|n| book.chain.get(n));
    let fits = leaf.seq == raw.seq
        && leaf.envelope == statement.envelope_digest()
        && place == Some(&leaf.chain_hash());
    if fits {
        return Ok((leaf, statement));
    }
    Err(Failure::refused(
        "corrupt",
        format!("entry {}: its bytes are not those that the chain commits to", raw.seq),
        "run `subak audit`; keep the file as it is",
    ))
}

fn proposed_events(book: &State, seq: u64, statement: &Statement) -> Done<Vec<Event>> {
    let events: Vec<Event> =
        statement.events().iter().map(|b| Event::decode(b)).collect::<Result<_, _>>()?;
    if seq == 0 {
        return Ok(events);
    }
    let proposal = events.into_iter().find_map(|e| match e {
        Event::Propose { events } => Some(events),
        _ => None,
    });
    proposal.filter(|_| book.proposals.contains_key(&seq)).ok_or_else(|| {
        Failure::refused(
            "unknown-proposal",
            format!("there is no open proposal at entry {seq}"),
            "list the open ones: `subak proposals`",
        )
    })
}

/// Approvals that count: by those who are stewards still.
fn counting<'a>(
    book: &'a State,
    p: &'a Proposal,
) -> impl Iterator<Item = subak_ledger::book::types::AgentId> + 'a {
    p.approvals.iter().copied().filter(|a| book.agent(*a).roles.contains(&Role::Steward))
}

fn names(
    book: &State,
    agents: impl Iterator<Item = subak_ledger::book::types::AgentId>,
) -> Vec<String> {
    agents.map(|a| book.agent(a).handle.to_string()).collect()
}

/// Stewards whose word is still to come.
fn waiting(book: &State, entry: u64) -> Vec<String> {
    let said: Vec<_> = match book.proposals.get(&entry) {
        Some(p) => p.approvals.clone(),
        None => book.approvals.iter().copied().collect(),
    };
    if entry == 0 {
        let listed = book.root().stewards.iter().copied().filter(|s| !said.contains(s));
        return names(book, listed);
    }
    book.with_role(Role::Steward)
        .filter(|a| !said.contains(&a.id))
        .map(|a| a.handle.to_string())
        .collect()
}

/// What an open proposal lacks; `None` where there is none any more.
fn missing(book: &State, entry: u64) -> Option<String> {
    let count = match (entry, book.proposals.get(&entry)) {
        (0, _) if !book.is_open() => book.approvals.len(),
        (_, Some(p)) => counting(book, p).count(),
        _ => return None,
    };
    let more = (book.root().quorum as usize).saturating_sub(count);
    let who = waiting(book, entry).join(", ");
    let name = &book.root().name;
    Some(format!("{more} more of {who}: `subak approve {entry} --ledger {name}`"))
}

fn standing(book: &State, entry: u64, approved: &[String]) -> String {
    let by = if approved.is_empty() { "nobody yet".into() } else { approved.join(", ") };
    let waiting = waiting(book, entry).join(", ");
    format!(
        "  {} of {} approvals: {by}; still to say: {waiting}",
        approved.len(),
        book.root().quorum
    )
}

fn describe_all(events: &[Event], book: &State) -> String {
    events.iter().map(|e| describe::event(e, Some(book))).collect::<Vec<_>>().join("; ")
}
