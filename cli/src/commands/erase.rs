//! `subak erase`: texts behind commitments are to be gone.
//!
//! Owns the choice of what a person means: an agent, a commitment, a place. Guarantees that
//! what is erased is listed before it is signed, without the texts themselves, and that the
//! texts which an agent wrote about somebody else are not meant with that agent. Leaves out
//! who may (the node refuses) and the removal (the store).

use super::{approve::on_chain, places};
use crate::{
    context::{Context, Open, Texts},
    describe,
    failure::{Done, Failure},
};
use clap::Args;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use subak_ledger::{
    book::{
        event::MAX_ERASED,
        state::State,
        types::{Handle, Ref},
    },
    log::Hash,
    store::Disclosure,
};
use subak_proto::v1::{self, event::Kind};

/// Events in one statement: 5,000 commitments take some 170 of the 256 KiB.
const EVENTS: usize = 50;
/// Entries asked for at a time.
const BATCH: u64 = 256;
/// Hex digits that name a commitment.
const DIGITS: usize = 8;

/// Erase texts that are kept beside the log: of an agent, or one of them.
///
/// The entry that says so stays, and so do chain, tree, receipts and audit. Text and salt
/// are overwritten in the ledger file and its journal before the answer comes. Copies and
/// backups that were made before still hold them.
///
/// A steward may erase any text; others what they disclosed, and their own name and e-mail.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  subak erase ana          # name, e-mail and all that ana disclosed\n  subak erase 12.0         # the texts of one event\n  subak erase 3f9c21ab     # the text behind a commitment: `subak show 12 --json` has it\n\nWhat an agent disclosed about somebody else, such as the name of a person whose work\nwas imported, is erased with that other agent."
)]
pub struct Erase {
    /// An agent, a commitment (8 hex digits or more) or a place (ENTRY.EVENT)
    #[arg(value_name = "AGENT|DISCLOSURE")]
    what: String,
}

/// What was meant.
#[derive(Default)]
struct Meant {
    erased: Vec<Disclosure>,
    /// By the agent, about others.
    left: usize,
}

impl Erase {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let open = cx.write().await?;
        let kept = open.connection.ledgers.disclosures(open.info.id).await?;
        let meant = self.meant(&open, kept).await?;
        let places = places_of(&open, &meant.erased).await?;
        cx.out.note(&listed(cx, &meant, &places));
        let (mut entries, mut lingers) = (Vec::new(), false);
        for events in events(&meant.erased).chunks(EVENTS) {
            let appended = cx.say(&open, events.to_vec(), Texts::default()).await?;
            entries.push(appended.entry);
            lingers |= appended.erased_text_lingers;
        }
        cx.out.result(
            "subak.erase/1",
            &data(&open, &meant, &places, &entries, lingers),
            &told(&meant, &entries, lingers),
        )
    }

    async fn meant(&self, open: &Open, kept: Vec<Disclosure>) -> Done<Meant> {
        let what = self.what.as_str();
        let named = Handle::new(what).ok().filter(|h| open.book.handles.contains_key(h));
        if let Some(handle) = named {
            return of_agent(&open.book, &handle, kept);
        }
        let erased = if what.contains('.') {
            at_place(open, what, kept).await?
        } else {
            of_commitment(&open.book, what, kept)?
        };
        Ok(Meant { erased, left: 0 })
    }
}

/// What an agent, with the unclaimed agents that are theirs, disclosed or is named by.
fn of_agent(book: &State, handle: &Handle, kept: Vec<Disclosure>) -> Done<Meant> {
    let faces = book.faces(book.find(handle)?);
    let handles: BTreeSet<&str> = faces.iter().map(|a| book.agent(*a).handle.as_str()).collect();
    let names = |own: bool| -> BTreeSet<Hash> {
        let agents = book.agents.iter().filter(|a| faces.contains(&a.id) == own);
        agents.flat_map(|a| [a.name, a.email]).flatten().collect()
    };
    let (own, others) = (names(true), names(false));
    let mut meant = Meant::default();
    for d in kept {
        if own.contains(&d.commitment) {
            meant.erased.push(d);
        } else if handles.contains(d.author.as_str()) {
            if others.contains(&d.commitment) {
                meant.left += 1;
            } else {
                meant.erased.push(d);
            }
        }
    }
    if meant.erased.is_empty() {
        return Err(Failure::refused(
            "unknown-disclosure",
            format!("nothing is disclosed by {handle}, nor as their name or e-mail"),
            "look at an entry: `subak show ENTRY` tells what is disclosed there",
        ));
    }
    Ok(meant)
}

fn of_commitment(book: &State, what: &str, kept: Vec<Disclosure>) -> Done<Vec<Disclosure>> {
    let digits = what.to_ascii_lowercase();
    let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_hex || !(DIGITS..=64).contains(&digits.len()) {
        return Err(Failure::refused(
            "unknown-agent",
            format!(
                "{what:?} is no agent here, no place (ENTRY.EVENT) and no commitment (8 to 64 hex digits)"
            ),
            "`subak agent list` has the agents, `subak show ENTRY --json` the commitments",
        ));
    }
    let fits = |commitment: &Hash| hex::encode(commitment).starts_with(&digits);
    let found: Vec<_> = kept.into_iter().filter(|d| fits(&d.commitment)).collect();
    match found.len() {
        1 => Ok(found),
        0 => Err(not_there(book, what, &fits)),
        n => Err(Failure::usage(
            format!("{n} disclosed commitments begin with {what}"),
            "give more of its digits",
        )),
    }
}

fn not_there(book: &State, what: &str, fits: &dyn Fn(&Hash) -> bool) -> Failure {
    let erased = book.erased.iter().find(|((commitment, _), _)| fits(commitment));
    match erased {
        Some((_, erasure)) => Failure::refused(
            "already-erased",
            format!("the text behind {what} is erased at entry {}", erasure.entry),
            "nothing: go on",
        ),
        None => Failure::refused(
            "unknown-disclosure",
            format!("no text is kept here behind a commitment that begins with {what}"),
            "look at an entry: `subak show ENTRY --json` has the commitments",
        ),
    }
}

async fn at_place(open: &Open, what: &str, kept: Vec<Disclosure>) -> Done<Vec<Disclosure>> {
    let place = *places::range(what)?.start();
    let committed = committed_at(open, place).await?;
    let found: Vec<_> = kept.into_iter().filter(|d| committed.contains(&d.commitment)).collect();
    if found.is_empty() {
        let fits = |commitment: &Hash| committed.contains(commitment);
        return Err(not_there(&open.book, what, &fits));
    }
    Ok(found)
}

async fn committed_at(open: &Open, place: Ref) -> Done<BTreeSet<Hash>> {
    let raw = open.connection.ledgers.entries(open.info.id, place.entry, 1).await?;
    let missing = || {
        Failure::refused(
            "not-found",
            format!("there is no event at {place}"),
            "list the entries: `subak log`",
        )
    };
    let raw = raw.iter().find(|raw| raw.seq == place.entry).ok_or_else(missing)?;
    let (_, statement) = on_chain(&open.book, raw)?;
    let events = statement.events();
    let event = usize::try_from(place.event).ok().and_then(|n| events.get(n));
    let commitments = describe::commitments(event.ok_or_else(missing)?);
    Ok(commitments.into_iter().map(|(_, commitment)| commitment).collect())
}

/// Where each commitment first stands in the log.
async fn places_of(open: &Open, erased: &[Disclosure]) -> Done<BTreeMap<Hash, Ref>> {
    let wanted: BTreeSet<Hash> = erased.iter().map(|d| d.commitment).collect();
    let mut places = BTreeMap::new();
    let mut next = 0;
    while next < open.book.size && places.len() < wanted.len() {
        let found = open.connection.ledgers.entries(open.info.id, next, BATCH).await?;
        let Some(last) = found.last() else { break };
        next = last.seq.saturating_add(1);
        for raw in &found {
            let (_, statement) = on_chain(&open.book, raw)?;
            for (event, bytes) in (0..).zip(statement.events()) {
                for (_, commitment) in describe::commitments(bytes) {
                    if wanted.contains(&commitment) {
                        places.entry(commitment).or_insert(Ref { entry: raw.seq, event });
                    }
                }
            }
        }
    }
    Ok(places)
}

fn events(erased: &[Disclosure]) -> Vec<Kind> {
    let mut commitments: Vec<Hash> = erased.iter().map(|d| d.commitment).collect();
    commitments.sort_unstable();
    commitments.dedup();
    let event = |some: &[Hash]| {
        let commitment = some.iter().map(|c| c.to_vec()).collect();
        Kind::Erase(v1::Erase { commitment })
    };
    commitments.chunks(MAX_ERASED).map(event).collect()
}

/// Which texts, by everything but what they say.
fn listed(cx: &Context, meant: &Meant, places: &BTreeMap<Hash, Ref>) -> String {
    let row = |d: &Disclosure| {
        let place = places.get(&d.commitment).map_or_else(|| "?".into(), ToString::to_string);
        let length = describe::count(d.bytes.len() as u64, "byte");
        vec![place, d.field.clone(), d.author.clone(), length, describe::short(&d.commitment)]
    };
    let rows: Vec<_> = meant.erased.iter().map(row).collect();
    let heads = ["|place", "field", "|by", ">length", "|commitment"];
    format!("to be erased:\n{}", cx.out.table(&heads, &rows))
}

fn told(meant: &Meant, entries: &[u64], lingers: bool) -> String {
    let count = describe::count(meant.erased.len() as u64, "text");
    let entries: Vec<_> = entries.iter().map(ToString::to_string).collect();
    let mut text = format!("entry {}: {count} erased", entries.join(", "));
    if meant.left > 0 {
        let left = describe::count(meant.left as u64, "text");
        text.push_str(&format!(
            "\n  left: {left} about other agents, to be erased with them (`subak erase AGENT`)"
        ));
    }
    if lingers {
        text.push_str(
            "\n  not gone yet: a program that reads the ledger file (a backup, an audit) holds \
             on\n  to its journal; it is emptied when that one ends, or when the file is next opened",
        );
    }
    text.push_str("\n  backups and copies from before still hold the texts: replace them");
    text
}

fn data(
    open: &Open,
    meant: &Meant,
    places: &BTreeMap<Hash, Ref>,
    entries: &[u64],
    lingers: bool,
) -> Value {
    let row = |d: &Disclosure| {
        json!({
            "commitment": hex::encode(d.commitment), "field": d.field, "author": d.author,
            "place": places.get(&d.commitment).map(ToString::to_string),
        })
    };
    json!({
        "ledger": open.info.id.to_string(), "entries": entries, "lingers": lingers,
        "erased": meant.erased.iter().map(row).collect::<Vec<_>>(),
        "left_about_others": meant.left,
    })
}
