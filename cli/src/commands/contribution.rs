//! `subak contribution`: list, revise and reject claimed work.

use super::{contribute::report, places, validate};
use crate::{
    context::{Context, Open, Texts},
    describe,
    failure::{Done, Failure},
    money,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use subak_ledger::book::{
    state::{self, State},
    types::{AgentId, Handle, Ref, RejectReason, Remuneration, Role},
};
use subak_proto::v1::{self, event::Kind};

/// List, revise and reject claimed work.
#[derive(Debug, Subcommand)]
pub enum Contribution {
    /// List contributions, the newest last
    #[command(
        after_help = "Examples:\n  subak contribution list\n  subak contribution list --pending --as ben\n  subak contribution list --agent ana --from 2026-01-01 --limit 500"
    )]
    List(List),
    /// Correct the quantities of your own claim, while nothing of it is validated
    #[command(
        after_help = "Examples:\n  subak contribution revise 12.0 --quantity 1.5\n  subak contribution revise 12.0 --quantity ana=1.5 --quantity ben=0.5\n\nWhat somebody else claimed, a maintainer corrects with `subak validate --quantity`."
    )]
    Revise {
        /// Its place
        place: String,
        /// The new quantity, of one agent where there are several
        #[arg(long = "quantity", required = true, value_name = "[HANDLE=]N")]
        quantities: Vec<String>,
    },
    /// End a claim: your own, or as a maintainer
    #[command(
        after_help = "Examples:\n  subak contribution reject 12.0 --reason duplicate\n  subak contribution reject 12.0 --reason withdrawn --as ana\n\nWhat is validated stops counting, for income to come, once as many maintainers ask\nfor it as the equation wants."
    )]
    Reject {
        /// Its place
        place: String,
        /// not-done, duplicate, not-useful, wrong-agent or withdrawn
        #[arg(long)]
        reason: String,
    },
}

/// What to list.
#[derive(Debug, Args)]
pub struct List {
    /// Only what awaits a validation; with --as, by that maintainer
    #[arg(long)]
    pending: bool,
    /// Only parts of this agent, and of the unclaimed agents that are theirs
    #[arg(long, value_name = "HANDLE")]
    agent: Option<String>,
    /// Only what was claimed from this date on
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// At most so many, the newest
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
}

impl Contribution {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        match self {
            Self::List(list) => list.run(cx).await,
            Self::Revise { place, quantities } => revise(cx, &place, &quantities).await,
            Self::Reject { place, reason } => reject(cx, &place, &reason).await,
        }
    }
}

impl List {
    async fn run(self, cx: &Context) -> Done {
        let from = self.from.as_deref().map(money::time).transpose()?;
        let open = cx.read().await?;
        open.of_a_commons("contributions")?;
        let book = &open.book;
        let mut places = match &self.agent {
            Some(text) => of_agent(book, book.find(&Handle::new(text)?)?),
            None => book.contributions.places(..).collect::<Vec<_>>(),
        };
        if self.pending {
            let waiting: BTreeSet<Ref> =
                validate::pending(book, reader(cx, book)?).into_iter().collect();
            places.retain(|p| waiting.contains(p));
        }
        if let Some(from) = from {
            places.retain(|p| book.contributions.at(*p).claimed_at >= from);
        }
        let total = places.len();
        let shown = &places[total.saturating_sub(self.limit)..];
        let data = json!({
            "total": total,
            "contributions": shown.iter().map(|p| row_json(book, *p)).collect::<Vec<_>>(),
        });
        let rows: Vec<Vec<String>> = shown.iter().map(|p| row(book, *p)).collect();
        let mut text = if rows.is_empty() {
            "no contributions".to_owned()
        } else {
            cx.out.table(&["place", "worked", "kind", ">quantity", "who", "standing"], &rows)
        };
        if shown.len() < total {
            let shown = shown.len();
            text = format!("{text}\nthe newest {shown} of {total}; --limit {total} shows all");
        }
        cx.out.result("subak.contribution/1", &data, &text)
    }
}

/// Whose word is asked for: the one whom --as names; else anybody's.
fn reader(cx: &Context, book: &State) -> Done<AgentId> {
    match &cx.global.author {
        Some(text) => Ok(book.find(&Handle::new(text)?)?),
        None => Ok(AgentId(u32::MAX)), // nobody: has no parts and has said nothing
    }
}

fn of_agent(book: &State, agent: AgentId) -> Vec<Ref> {
    let faces = book.faces(agent);
    let places: BTreeSet<Ref> = faces.iter().flat_map(|a| book.work(*a).map(|w| w.place)).collect();
    places.into_iter().collect()
}

fn row(book: &State, place: Ref) -> Vec<String> {
    let c = &book.contributions.at(place);
    let holds = |p: &state::WorkPart| p.standing.as_ref().map_or(p.claimed, |s| s.quantity);
    let quantity: i128 = c.parts.iter().map(|p| i128::from(holds(p))).sum();
    let first = &book.agent(c.parts[0].agent).handle;
    let who = match c.parts.len() {
        1 => first.to_string(),
        n => format!("{first} +{}", n - 1),
    };
    vec![
        place.to_string(),
        money::show_day(c.worked_on),
        c.kind.to_string(),
        money::show_thousandths(quantity),
        who,
        validate::standing(book, place, c),
    ]
}

/// A contribution with all that is known of it.
pub fn row_json(book: &State, place: Ref) -> Value {
    let c = &book.contributions.at(place);
    let handle = |a: AgentId| book.agent(a).handle.to_string();
    let handles = |v: &[AgentId]| v.iter().map(|a| handle(*a)).collect::<Vec<_>>();
    let q = |v: u64| money::show_thousandths(v.into());
    let parts: Vec<Value> = c
        .parts
        .iter()
        .map(|p| {
            let standing = p.standing.as_ref().map(|s| {
                json!({ "quantity": q(s.quantity), "remuneration": s.remuneration.word(),
                        "validated_by": handles(&s.votes), "since": money::show_time(s.since),
                        "points": q(s.counted), "maturing": q(s.maturing) })
            });
            json!({
                "agent": handle(p.agent), "person": handle(book.person(p.agent)),
                "claimed": q(p.claimed), "standing": standing,
                "reading": { "quantity": q(p.reading().quantity),
                             "remuneration": p.reading().remuneration.map(Remuneration::word),
                             "by": handles(p.votes()) },
            })
        })
        .collect();
    json!({
        "place": place.to_string(), "entry": place.entry, "event": place.event,
        "reference": c.reference.as_str(), "kind": c.kind.as_str(), "stream": c.stream.word(),
        "worked_on": money::show_day(c.worked_on), "claimed_by": handle(c.claimant),
        "claimed_at": money::show_time(c.claimed_at), "rate": c.rate,
        "rejected": c.closed.map(RejectReason::word),
        "standing": validate::standing(book, place, c), "parts": parts,
    })
}

/// The contribution at a place that somebody wrote.
fn find(open: &Open, text: &str) -> Done<(Ref, state::Contribution)> {
    let place = places::contribution(&open.book, text)?;
    Ok((place, open.book.contributions.at(place)))
}

async fn revise(cx: &Context, place: &str, quantities: &[String]) -> Done {
    let open = cx.write().await?;
    let (place, c) = find(&open, place)?;
    let part = new_parts(&open.book, &c, quantities)?;
    let shown: Vec<String> = part
        .iter()
        .map(|p| format!("{} {}", p.agent, money::show_thousandths(p.quantity.into())))
        .collect();
    let event = v1::Revise { contribution: Some(wire(place)), part };
    let appended = cx.say(&open, vec![Kind::Revise(event)], Texts::default()).await?;
    let text = format!("contribution {place} is now {}", shown.join(", "));
    report(cx, &appended, &json!({ "contribution": place.to_string(), "parts": shown }), &text)
}

/// All parts, those that are named with their new quantity.
fn new_parts(book: &State, c: &state::Contribution, quantities: &[String]) -> Done<Vec<v1::Part>> {
    let mut parts: Vec<v1::Part> = c
        .parts
        .iter()
        .map(|p| v1::Part {
            agent: book.agent(p.agent).handle.to_string(),
            quantity: p.claimed, // not what a maintainer has read of it
        })
        .collect();
    for text in quantities {
        let (whose, quantity) = match text.split_once('=') {
            Some((whose, quantity)) => (Some(whose), quantity),
            None => (None, text.as_str()),
        };
        let quantity = money::quantity(quantity)?;
        let named = match whose {
            Some(whose) => parts.iter_mut().find(|p| p.agent == whose),
            None if parts.len() == 1 => parts.first_mut(),
            None => None,
        };
        let Some(part) = named else {
            let all: Vec<_> =
                c.parts.iter().map(|p| book.agent(p.agent).handle.to_string()).collect();
            return Err(Failure::usage(
                format!("--quantity {text:?}: the parts are of {}", all.join(", ")),
                format!("write it as in {}=1.5", all[0]),
            ));
        };
        part.quantity = quantity;
    }
    Ok(parts)
}

async fn reject(cx: &Context, place: &str, reason: &str) -> Done {
    let word = RejectReason::from_word(reason).ok_or_else(|| {
        let all: Vec<_> = RejectReason::ALL.iter().map(|r| r.word()).collect();
        Failure::usage(format!("reason {reason:?}"), format!("use {}", all.join(", ")))
    })?;
    let open = cx.write().await?;
    let (place, _) = find(&open, place)?;
    let event = v1::RejectContribution { contribution: Some(wire(place)), reason: word.to_wire() };
    let appended = cx.say(&open, vec![Kind::RejectContribution(event)], Texts::default()).await?;
    let book = open.connection.ledgers.book(open.info.id).await?;
    let ended = book.contributions.at(place).closed.is_some();
    let needed = book.equation().validators;
    let text = if ended {
        format!("contribution {place} is ended ({reason})")
    } else {
        let others: Vec<_> = book.with_role(Role::Maintainer).map(|a| a.handle.as_str()).collect();
        format!(
            "asked; {place} is validated, so {} must ask ({})",
            describe::count(needed.into(), "maintainer"),
            others.join(", ")
        )
    };
    let data = json!({ "contribution": place.to_string(), "reason": reason, "ended": ended });
    report(cx, &appended, &data, &text)
}

fn wire(place: Ref) -> v1::Ref {
    v1::Ref { entry: place.entry, event: place.event }
}
