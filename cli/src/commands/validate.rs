//! `subak validate`: a maintainer's word that work happened as read.

mod again;

use super::{
    contribute::report,
    places::{self, Range},
};
use crate::{
    context::{Context, Open, Texts},
    describe,
    failure::{Done, Failure},
    money,
};
use clap::Args;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use subak_ledger::book::{
    state::{Contribution, State, WorkPart},
    types::{AgentId, Ref, Reference, Remuneration},
};
use subak_proto::v1::{self, event::Kind};

/// Contributions that one Validate may cover, and the most that one statement of ours
/// does: a node does them in one go.
const CONTRIBUTIONS_AT_MOST: usize = 100_000;
/// Earlier words that are told one by one.
const AGAIN_SHOWN: usize = 10;
/// Spans in one Validate.
const SPANS_AT_MOST: usize = 100;

/// Validate contributions, as a maintainer.
///
/// A place is ENTRY (all contributions in it), ENTRY.EVENT, or a range of them; both
/// ends belong to it. Your own parts are skipped and wait for somebody else, as is what
/// you have validated already in the same words and what is rejected. It counts once as many
/// maintainers as the equation asks agree on the same reading: quantity and remuneration. Other
/// words for what you have validated replace yours; what counts by then goes on to count until
/// as many agree on the new reading.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  subak validate 12 --remuneration unpaid\n  subak validate 12.3 13.0..13.7 --remuneration paid\n  subak validate 12..40 --remuneration unpaid\n  subak validate --all-pending --remuneration unpaid\n  subak validate 12.3 --quantity ana=1.5 --remuneration unpaid"
)]
pub struct Validate {
    /// Places and ranges: 12, 12.3, 12..40, 12.1..40.9
    #[arg(value_name = "PLACE", required_unless_present = "all_pending")]
    places: Vec<String>,
    /// Whether somebody has paid for it already: unpaid, paid or unknown (counts as paid)
    #[arg(long, default_value = "unknown")]
    remuneration: String,
    /// Another quantity than claimed, for exactly one contribution
    #[arg(long = "quantity", value_name = "HANDLE=N", conflicts_with = "all_pending")]
    quantities: Vec<String>,
    /// All that awaits your word, but for claims of newcomers whom nobody has admitted, and
    /// several claims to one work
    #[arg(long, conflicts_with = "places")]
    all_pending: bool,
}

impl Validate {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let remuneration = Remuneration::from_word(&self.remuneration).ok_or_else(|| {
            Failure::usage(
                format!("remuneration {:?}", self.remuneration),
                "use unpaid, paid or unknown",
            )
        })?;
        let ranges: Vec<Range> =
            self.places.iter().map(|text| places::range(text)).collect::<Done<_>>()?;
        let parts = self.quantities.iter().map(|t| part(t)).collect::<Done<Vec<_>>>()?;
        let open = cx.write().await?;
        let author = open.book.find(&cx.author()?)?;
        if self.all_pending {
            let mut all = of_the_admitted(cx, &open.book, pending(&open.book, author));
            let awaited = all.len();
            all.retain(|place| !is_disputed(&open.book, *place));
            if all.len() < awaited {
                cx.out.note(&format!(
                    "left out, as others have said other quantities: {}; `subak contribution list \
                     --pending` shows them, and each is validated by its place",
                    describe::count((awaited - all.len()) as u64, "contribution")
                ));
            }
            let all = uncontested(cx, &open.book, all)?;
            return validate_all(cx, &open, author, remuneration, all).await;
        }
        let named = places::contributions(&open.book, &ranges)?;
        match named.as_slice() {
            // A single one goes as it is: the ledger's answer is about just it.
            [one] => validate_one(cx, &open, *one, remuneration, parts).await,
            _ if !parts.is_empty() => Err(Failure::usage(
                format!("--quantity with {} contributions", named.len()),
                "name exactly one place",
            )),
            _ => validate_all(cx, &open, author, remuneration, named).await,
        }
    }
}

/// `ana=1.5`.
fn part(text: &str) -> Done<v1::Part> {
    let (agent, quantity) = text.split_once('=').ok_or_else(|| {
        Failure::usage(format!("--quantity {text:?}: expected HANDLE=N"), "write it as in ana=1.5")
    })?;
    Ok(v1::Part { agent: agent.into(), quantity: money::quantity(quantity)? })
}

async fn validate_one(
    cx: &Context,
    open: &Open,
    place: Ref,
    remuneration: Remuneration,
    quantity: Vec<v1::Part>,
) -> Done {
    if quantity.is_empty() {
        let author = open.book.find(&cx.author()?)?;
        look_twice(cx, &open.book, &[place], author, remuneration);
    }
    let event = v1::Validate {
        span: vec![span(&(place, place))],
        remuneration: remuneration.to_wire(),
        quantity,
    };
    let appended = cx.say(open, vec![Kind::Validate(event)], Texts::default()).await?;
    let book = open.connection.ledgers.book(open.info.id).await?;
    let c = &book.contributions.at(place);
    let handle = cx.author()?;
    let author = (open.book.find(&handle)?, &handle);
    let again = again::find(open, &book, author, &[place]).await;
    let mut text = format!("contribution {place} ({remuneration}): {}", standing(&book, place, c));
    for it in &again {
        text += &format!("\n  {}", it.text());
    }
    let data = json!({ "contributions": 1, "skipped": 0, "statements": 1,
                       "place": place.to_string(), "standing": standing(&book, place, c),
                       "again": again_data(&again) });
    report(cx, &appended, &data, &text)
}

async fn validate_all(
    cx: &Context,
    open: &Open,
    author: AgentId,
    remuneration: Remuneration,
    named: Vec<Ref>,
) -> Done {
    let total = named.len();
    let book = &open.book;
    let places: Vec<Ref> =
        named.into_iter().filter(|p| counts(book, *p, author, remuneration)).collect();
    let skipped = total - places.len();
    if places.is_empty() {
        return Err(Failure::refused(
            "nothing-to-validate",
            match total {
                0 => "nothing awaits your word".to_owned(),
                n => format!(
                    "none of these {n} awaits your word: yours, rejected, or validated by you"
                ),
            },
            "list what does: `subak contribution list --pending`",
        ));
    }
    look_twice(cx, book, &places, author, remuneration);
    let statements = statements(&places::spans(book, &places), |span| {
        places.partition_point(|p| *p <= span.1) - places.partition_point(|p| *p < span.0)
    });
    let mut last = None;
    for spans in &statements {
        let events = spans
            .iter()
            .map(|spans| {
                Kind::Validate(v1::Validate {
                    span: spans.iter().map(span).collect(),
                    remuneration: remuneration.to_wire(),
                    quantity: Vec::new(),
                })
            })
            .collect();
        last = Some(cx.say(open, events, Texts::default()).await?);
    }
    let appended = last.expect("there is at least one place, so at least one statement");
    let after = open.connection.ledgers.book(open.info.id).await?;
    let hold = places.iter().filter(|p| is_validated(&after.contributions.at(**p))).count();
    let again = again::find(open, &after, (author, &cx.author()?), &places).await;
    let data = json!({ "contributions": places.len(), "skipped": skipped, "validated": hold,
                       "statements": statements.len(), "remuneration": remuneration.word(),
                       "again": again_data(&again) });
    let mut text = summary(places.len(), hold, skipped, remuneration);
    for it in again.iter().take(AGAIN_SHOWN) {
        text += &format!("\n  {}: {}", it.place, it.text());
    }
    if let Some(more) = again.len().checked_sub(AGAIN_SHOWN).filter(|more| *more > 0) {
        text += &format!("\n  and so for {more} more, which you had validated before");
    }
    report(cx, &appended, &data, &text)
}

fn again_data(again: &[again::Again]) -> Vec<serde_json::Value> {
    let one = |it: &again::Again| json!({ "place": it.place.to_string(), "entry": it.entry, "holds": it.holds });
    again.iter().map(one).collect()
}

fn summary(count: usize, hold: usize, skipped: usize, remuneration: Remuneration) -> String {
    let all = describe::count(count as u64, "contribution");
    let mut lines = vec![format!("{all}, your word: {remuneration}")];
    lines.push(match count - hold {
        0 => "  all of it is validated now".to_owned(),
        wait => format!("  {hold} validated now, {wait} wait for another maintainer"),
    });
    if skipped > 0 {
        lines.push(format!("  {skipped} skipped: yours, rejected, or validated by you"));
    }
    lines.join("\n")
}

/// Spans in events, events in statements, each within its limits; `size` counts the
/// contributions of a span.
fn statements(
    spans: &[(Ref, Ref)],
    size: impl Fn(&(Ref, Ref)) -> usize,
) -> Vec<Vec<Vec<(Ref, Ref)>>> {
    let mut statements: Vec<Vec<Vec<(Ref, Ref)>>> = Vec::new();
    let mut room = 0;
    for s in spans {
        let size = size(s);
        if size > room || statements.is_empty() {
            statements.push(Vec::new());
            room = CONTRIBUTIONS_AT_MOST;
        }
        room = room.saturating_sub(size);
        let events = statements.last_mut().expect("just made");
        match events.last_mut() {
            Some(event) if event.len() < SPANS_AT_MOST => event.push(*s),
            _ => events.push(vec![*s]),
        }
    }
    statements
}

fn span((first, last): &(Ref, Ref)) -> v1::Span {
    let place = |r: &Ref| Some(v1::Ref { entry: r.entry, event: r.event });
    v1::Span { first: place(first), last: place(last) }
}

/// Contributions that await a maintainer's word, ascending.
pub fn pending(book: &State, maintainer: AgentId) -> Vec<Ref> {
    let waits = |p: &WorkPart| {
        let settled = p.standing.is_some() && p.votes().is_empty();
        let ending = p.reading().quantity == 0; // that vote is taken by `contribution reject`
        !settled
            && !ending
            && book.person(p.agent) != maintainer
            && !p.votes().contains(&maintainer)
    };
    book.contributions
        .iter()
        .filter(|(place, c)| is_open(book, *place, c) && c.parts.iter().any(waits))
        .map(|(place, _)| place)
        .collect()
}

/// Whether another maintainer has said a quantity of their own: a routine word would only
/// undo theirs, so that such a contribution waits to be named.
fn is_disputed(book: &State, place: Ref) -> bool {
    let other = |p: &WorkPart| !p.votes().is_empty() && p.reading().quantity != confirmed(p);
    book.contributions.at(place).parts.iter().any(other)
}

/// The quantity that a Validate without quantities is about: what stands, or else what is
/// claimed; never what another maintainer has only proposed.
fn confirmed(p: &WorkPart) -> u64 {
    p.standing.as_ref().map_or(p.claimed, |s| s.quantity)
}

/// Whether the maintainer's word for it would change anything.
fn counts(book: &State, place: Ref, maintainer: AgentId, remuneration: Remuneration) -> bool {
    let c = &book.contributions.at(place);
    let part = |p: &WorkPart| {
        let said = |votes: &[AgentId]| votes.contains(&maintainer);
        let stands = p.standing.as_ref().filter(|s| s.remuneration == remuneration);
        let same =
            p.reading().quantity == confirmed(p) && p.reading().remuneration == Some(remuneration);
        book.person(p.agent) != maintainer
            && match stands {
                Some(s) => !said(&s.votes),
                None => !same || !said(p.votes()),
            }
    };
    is_open(book, place, c) && c.parts.iter().any(part)
}

/// Says what a maintainer should see before the word is given: quantities that are not the
/// claimed ones, what others have read otherwise, two claims to one work.
fn look_twice(
    cx: &Context,
    book: &State,
    places: &[Ref],
    author: AgentId,
    remuneration: Remuneration,
) {
    let mut lines = Vec::new();
    for place in places {
        let c = book.contributions.at(*place);
        let others = c.parts.iter().filter(|p| book.person(p.agent) != author);
        lines.extend(others.filter_map(|p| surprise(book, *place, p, remuneration)));
    }
    lines.extend(rivals(book, places).into_iter().map(|(_, line)| line));
    tell(cx, "look twice:", &lines);
}

/// A few lines under a head, if there are any.
fn tell(cx: &Context, head: &str, lines: &[impl AsRef<str>]) {
    const SHOWN: usize = 10;
    if lines.is_empty() {
        return;
    }
    cx.out.note(head);
    for line in lines.iter().take(SHOWN) {
        cx.out.note(&describe::wrap(&format!("  {}", line.as_ref()), 4));
    }
    if lines.len() > SHOWN {
        cx.out.note(&format!("  and {} more", lines.len() - SHOWN));
    }
}

/// What would be confirmed of a part, where that is not simply what was claimed.
fn surprise(book: &State, place: Ref, p: &WorkPart, remuneration: Remuneration) -> Option<String> {
    let q = |thousandths: u64| money::show_thousandths(thousandths.into());
    let mut words = Vec::new();
    if confirmed(p) != p.claimed {
        words.push(format!("{} stands, claimed was {}", q(confirmed(p)), q(p.claimed)));
    }
    let read = p.reading();
    let otherwise = !p.votes().is_empty()
        && (read.quantity != confirmed(p) || read.remuneration != Some(remuneration));
    if otherwise {
        let by: Vec<&str> = p.votes().iter().map(|a| book.agent(*a).handle.as_str()).collect();
        let paid = read.remuneration.map_or(String::new(), |r| format!(", {r}"));
        words.push(format!(
            "{} read it as {}{paid}: with your {}, {remuneration}, the count starts anew",
            by.join(", "),
            q(read.quantity),
            q(confirmed(p)),
        ));
    }
    let whose = &book.agent(p.agent).handle;
    (!words.is_empty()).then(|| format!("{place}, {whose}: {}", words.join("; ")))
}

/// Whether somebody claimed it whom a maintainer has let in. Anyone can claim anything with
/// a key of their own, so that only a word for the claim itself, or for who claims, counts.
fn is_of_the_admitted(book: &State, place: Ref) -> bool {
    book.agent(book.contributions.at(place).claimant).admitted
}

/// Without the claims of those whom nobody has admitted; says how many, and what to do.
fn of_the_admitted(cx: &Context, book: &State, mut pending: Vec<Ref>) -> Vec<Ref> {
    const NAMED: usize = 3;
    let strangers = pending.iter().filter(|p| !is_of_the_admitted(book, **p));
    let claimants: BTreeSet<AgentId> =
        strangers.map(|p| book.contributions.at(*p).claimant).collect();
    let awaited = pending.len();
    pending.retain(|p| is_of_the_admitted(book, *p));
    if !claimants.is_empty() {
        let mut who: Vec<&str> =
            claimants.iter().take(NAMED).map(|a| book.agent(*a).handle.as_str()).collect();
        if claimants.len() > NAMED {
            who.push("others");
        }
        let note = format!(
            "left out, as nobody has admitted who claims ({}): {}; `subak agent admit HANDLE` \
             lets them in, or validate what is right by its place",
            who.join(", "),
            describe::count((awaited - pending.len()) as u64, "contribution"),
        );
        cx.out.note(&describe::wrap(&note, 2));
    }
    pending
}

/// Without those that claim the same work as another: `--all-pending` would give it to
/// whoever claimed first. A newcomer whom nobody has admitted contests nothing.
fn uncontested(cx: &Context, book: &State, mut pending: Vec<Ref>) -> Done<Vec<Ref>> {
    let reference = |place: Ref| book.contributions.at(place).reference;
    let wanted: BTreeSet<Reference> = pending.iter().map(|p| reference(*p)).collect();
    let all = book.contributions.iter().filter(|(place, c)| is_open(book, *place, c));
    let asked: Vec<Ref> = all
        .filter(|(_, c)| wanted.contains(&c.reference))
        .map(|(place, _)| place)
        .filter(|place| is_of_the_admitted(book, *place))
        .collect();
    let lines = rivals(book, &asked);
    if lines.is_empty() {
        return Ok(pending);
    }
    let contested: BTreeSet<&Reference> = lines.iter().map(|(reference, _)| reference).collect();
    pending.retain(|p| !contested.contains(&reference(*p)));
    let said: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
    if pending.is_empty() {
        return Err(Failure::refused(
            "contested",
            format!("all that awaits your word is contested: {}", said.join("; ")),
            "validate the one that is right by its place, and reject the other",
        ));
    }
    tell(cx, "left out, to be decided by its place:", &said);
    Ok(pending)
}

/// Several claims to one work: the first that is validated takes it.
fn rivals(book: &State, places: &[Ref]) -> Vec<(Reference, String)> {
    let mut claims: BTreeMap<Reference, Vec<String>> = BTreeMap::new();
    for place in places {
        let c = book.contributions.at(*place);
        let whose = &book.agent(c.parts[0].agent).handle;
        claims.entry(c.reference).or_default().push(format!("{place} of {whose}"));
    }
    claims.retain(|_, places| places.len() > 1);
    let line = |(reference, places): (Reference, Vec<String>)| {
        let text = format!("{reference} is claimed by {}", places.join(" and "));
        (reference, format!("{text}: the first to be validated takes it"))
    };
    claims.into_iter().map(line).collect()
}

/// Not rejected, and no other contribution has taken its reference.
fn is_open(book: &State, place: Ref, c: &Contribution) -> bool {
    c.closed.is_none()
        && book.references.taken_by(&c.reference).is_none_or(|other| other == place)
        && !book.agent(c.claimant).refused
}

/// Whether all of it is validated.
pub fn is_validated(c: &Contribution) -> bool {
    c.parts.iter().all(|p| p.standing.is_some())
}

/// How far a contribution has come, in words.
pub fn standing(book: &State, place: Ref, c: &Contribution) -> String {
    if let Some(reason) = c.closed {
        return format!("rejected ({reason})");
    }
    if !is_open(book, place, c) {
        let rival = book.references.taken_by(&c.reference).unwrap_or(place);
        return format!("rival of {rival}");
    }
    let needed = book.equation.as_ref().map_or(0, |e| e.validators as usize);
    let mut words: Vec<String> = Vec::new();
    for p in &c.parts {
        let mut votes = format!("{}/{needed}", p.votes().len());
        if !p.votes().is_empty() && ![0, confirmed(p)].contains(&p.reading().quantity) {
            // Not by the way: the quantity column shows what stands or is claimed.
            votes = format!("{votes} as {}", money::show_thousandths(p.reading().quantity.into()));
        }
        let mut word = match &p.standing {
            None => format!("pending {votes}"),
            Some(s) if s.maturing > 0 => format!("maturing, {}", s.remuneration),
            Some(s) if s.quantity == 0 => "ended".to_owned(),
            Some(s) => s.remuneration.to_string(),
        };
        if p.standing.is_some() && !p.votes().is_empty() {
            let what = if p.reading().quantity == 0 { "end" } else { "change" };
            word = format!("{word}, {what} {votes}");
        }
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(entry: u64) -> Ref {
        Ref { entry, event: 0 }
    }

    #[test]
    fn many_spans_are_split_where_the_limits_are() {
        let spans: Vec<_> = (0..250).map(|n| (at(n), at(n))).collect();
        let one = statements(&spans, |_| 1);
        assert_eq!(one.len(), 1);
        assert_eq!(one[0].iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 50]);
        let large = statements(&spans[..5], |_| 40_000);
        assert_eq!(large.iter().map(|s| s[0].len()).collect::<Vec<_>>(), [2, 2, 1]);
        let all: Vec<_> = one.into_iter().flatten().flatten().collect();
        assert_eq!(all, spans);
    }

    #[test]
    fn a_quantity_names_whose() {
        let p = part("ana=1.5").unwrap();
        assert_eq!((p.agent.as_str(), p.quantity), ("ana", 1_500));
        for bad in ["1.5", "ana=", "ana=0", "ana=x"] {
            assert_eq!(part(bad).map_err(|f| f.status), Err(2), "{bad}");
        }
    }
}
