//! A maintainer's second word for a contribution: what became of the first.
//!
//! Owns how that is told, with the entry of the first. Leaves out the rule (`ledger::book::work`).

use crate::{commands::past, context::Open, failure::Done};
use std::collections::{BTreeMap, BTreeSet};
use subak_ledger::{
    book::{
        event::Event,
        state::{State, WorkPart},
        types::{AgentId, Ref},
    },
    log::Handle,
};

/// Entries asked for at a time.
const PAGE: u64 = 1_000;

/// A contribution for which the maintainer had given a word before.
pub(super) struct Again {
    /// Which.
    pub place: Ref,
    /// The entry of the earlier word, if it was found.
    pub entry: Option<u64>,
    /// What was validated by it holds until enough maintainers say the new one.
    pub holds: bool,
}

impl Again {
    /// In words, of one contribution.
    pub fn text(&self) -> String {
        let word = match self.entry {
            Some(entry) => format!("your word of entry {entry}"),
            None => "your earlier word".to_owned(),
        };
        if self.holds {
            format!("what holds by {word} holds until as many maintainers agree on this one")
        } else {
            format!("it replaces {word}")
        }
    }
}

/// Those of `places` for which `author` had said something else in the book that is open than is
/// said `after`.
pub(super) async fn find(
    open: &Open,
    after: &State,
    (author, handle): (AgentId, &Handle),
    places: &[Ref],
) -> Vec<Again> {
    let mut again = Vec::new();
    for place in places {
        let (before, after) =
            (&open.book.contributions.at(*place), &after.contributions.at(*place));
        let parts = before.parts.iter().zip(&after.parts);
        let mut became = parts.filter_map(|(before, after)| holds(before, after, author));
        if let Some(first) = became.next() {
            let holds = first && became.all(|holds| holds);
            again.push(Again { place: *place, entry: None, holds });
        }
    }
    let wanted: BTreeSet<Ref> = again.iter().map(|it| it.place).collect();
    // It is recorded already: that the log cannot be read now is no failure of it.
    let entries = words(open, handle, &wanted).await.unwrap_or_default();
    for it in &mut again {
        it.entry = entries.get(&it.place).copied();
    }
    again
}

/// Whether the maintainer's earlier word for a part goes on to hold beside the new one, or is
/// replaced; none where there was none, or nothing new is said.
fn holds(before: &WorkPart, after: &WorkPart, author: AgentId) -> Option<bool> {
    let stood = before.standing.as_ref().filter(|s| s.votes.contains(&author));
    let asked = before.votes().contains(&author);
    let asks = after.votes().contains(&author);
    let same_pending = asked && asks && before.reading() == after.reading();
    let holds = stood.is_some_and(|s| {
        after.standing.as_ref().is_some_and(|now| {
            (now.quantity, now.remuneration) == (s.quantity, s.remuneration)
                && now.votes.contains(&author)
        })
    });
    if same_pending || stood.is_none() && !asked {
        return None;
    }
    // What was asked for before, and has come to hold by it, is no other word.
    let granted = asked && !asks && after.reading() == before.reading();
    (!granted && (asks || !holds)).then_some(holds && !asked)
}

/// The last entry in which `author` validated each of `places`, in the book that is open.
async fn words(open: &Open, author: &Handle, places: &BTreeSet<Ref>) -> Done<BTreeMap<Ref, u64>> {
    let mut found = BTreeMap::new();
    let Some(first) = places.first() else { return Ok(found) };
    let mut at = first.entry;
    while at < open.book.size {
        let limit = PAGE.min(open.book.size - at);
        let page = open.connection.ledgers.entries(open.info.id, at, limit).await?;
        if page.is_empty() {
            break;
        }
        for raw in page {
            let (_, statement) = past::known(open, at, &raw)?;
            if statement.header().author == *author {
                for event in statement.events() {
                    let Ok(Event::Validate { spans, .. }) = Event::decode(event) else { continue };
                    for (first, last) in spans {
                        found.extend(places.range(first..=last).map(|place| (*place, at)));
                    }
                }
            }
            at += 1;
        }
    }
    Ok(found)
}
