//! `subak agreement list`: stages and figures.

use super::{figures, offers, what};
use crate::{
    connect,
    context::{Connection, Context},
    counterpart::Elsewhere,
    describe,
    failure::Done,
    money,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use subak_ledger::{
    book::{
        agreement::{Agreement, Progress},
        flight::{self, Flight},
        state::{Income, State},
        types::{DAY_MS, Handle},
    },
    log::{Hash, LedgerId},
};
use subak_node::{Wait, relay::plan::other_side};

pub(super) async fn list(cx: &Context, elsewhere: &Elsewhere) -> Done {
    let open = cx.read().await?;
    let now = cx.at()?;
    let there = elsewhere.reader(cx, &open.connection).await?;
    let book = &open.book;
    let others = others(cx, &there, book).await?;
    let waits = open.connection.ledgers.waiting(open.info.id).await?;
    let waits: BTreeMap<_, _> = waits.into_iter().map(|wait| (wait.agreement, wait)).collect();
    let see = |a| see(book, a, &others, &waits, now);
    let seen: Vec<Seen<'_>> = book.agreements.values().map(|a| see(a)).collect();
    let offered = offers::waiting(book, &others);
    let data = json!({
        "agreements": seen.iter().map(|it| row(book, it)).collect::<Vec<Value>>(),
        "offers": offered.iter().map(offers::row).collect::<Vec<Value>>(),
    });
    let blocks = seen.iter().map(|it| block(cx, book, it));
    let more = offered.iter().map(|it| offers::block(cx, book, elsewhere, it));
    let mut blocks: Vec<String> = blocks.chain(more).collect();
    if blocks.is_empty() {
        blocks.push("no agreements yet: a payer offers one with `subak agreement offer`".into());
    }
    cx.out.result("subak.agreement/1", &data, &blocks.join("\n\n"))
}

/// The books of the other sides, of those that are there; and of who may have an offer.
async fn others(
    cx: &Context,
    there: &Connection,
    book: &State,
) -> Done<BTreeMap<LedgerId, Arc<State>>> {
    let wanted: Vec<LedgerId> = book.agreements.values().map(|a| other_side(a).0).collect();
    let mut found = BTreeMap::new();
    for info in there.ledgers.ledgers().await? {
        if !wanted.contains(&info.id) && !offers::may_offer(book, &info) {
            continue;
        }
        let other = match there.ledgers.book(info.id).await {
            Ok(other) => other,
            // On its way: it says nothing yet.
            Err(error) if error.code() == "copy-incomplete" => continue,
            Err(error) => return Err(error.into()),
        };
        match connect::as_folded(&info, &other, &cx.trust) {
            Ok(_) => drop(found.insert(info.id, other)),
            // Of whom the user does not believe a word, nothing is shown.
            Err(failure) if failure.code == "operator-unexpected" => {}
            Err(lie) => return Err(lie),
        }
    }
    Ok(found)
}

/// An agreement, and what the other side says of it.
struct Seen<'a> {
    a: &'a Agreement,
    stage: String,
    /// When nothing more falls due, if its end is announced; the payer's log says it.
    ends_at: Option<u64>,
    /// None where the other side's ledger is not here.
    flight: Option<Flight>,
    /// As far as it can be said from here.
    overdue: i128,
    /// For what its node waits, by that one's word.
    wait: Option<Wait>,
}

fn see<'a>(
    book: &State,
    a: &'a Agreement,
    others: &BTreeMap<LedgerId, Arc<State>>,
    waits: &BTreeMap<Hash, Wait>,
    now: u64,
) -> Seen<'a> {
    let mine = a.progress == Progress::Accepted;
    let other = others.get(&other_side(a).0);
    let theirs = other.and_then(|it| it.agreements.get(&a.terms.digest));
    let flight = theirs.map(|theirs| {
        let (payer, commons) = if mine { (&**theirs, a) } else { (a, &**theirs) };
        flight::flight(payer, commons, now)
    });
    let overdue = if mine {
        late_incomes(book, a, theirs.map(AsRef::as_ref), now)
    } else {
        to_signed(flight::overdue(a, now))
    };
    let wait = waits.get(&a.terms.digest).cloned();
    // When it is active, and until when, is the payer's to say.
    let (said, time) = match (mine, other, theirs) {
        (true, Some(payer), Some(theirs)) => (&**theirs, payer.time),
        _ => (a, book.time),
    };
    let stage = match a.frozen {
        Some(entry) => format!("frozen by entry {entry}"),
        None if mine && said.progress == Progress::Offered => "accepted".into(),
        None => stage(said, time),
    };
    Seen { a, stage, ends_at: said.ends_at, flight, overdue, wait }
}

fn to_signed(amount: u128) -> i128 {
    i128::try_from(amount).expect("cash is limited by MAX_MONEY")
}

/// What should have come to a commons by now: of incomes what is open, by the day on which it fell
/// due in the payer's log, if that is here; and what is due there and not taken yet.
fn late_incomes(book: &State, a: &Agreement, payer: Option<&Agreement>, now: u64) -> i128 {
    let days = u64::from(a.terms.due_days) * DAY_MS;
    let fell_due = |income: &Income| {
        let number = income.source.map_or(0, |(_, number)| number);
        let item = payer.and_then(|payer| payer.dues.items.get(&number));
        item.map_or(income.recorded_at, |item| item.recorded_at)
    };
    let open = a.open.iter().filter_map(|number| book.income(*number).ok());
    let late = open.filter(|i| fell_due(i).saturating_add(days) < now);
    let taken: i128 = late.map(|i| i128::from(i.open())).sum();
    let beyond = payer.into_iter().flat_map(|payer| payer.dues.items.range(a.dues.last + 1..));
    let late = beyond.filter(|(_, item)| item.recorded_at.saturating_add(days) < now);
    let waiting = late.map(|(_, item)| i128::from(item.due) - i128::from(item.due_reversed));
    taken + waiting.sum::<i128>()
}

/// As a log says it that ends at `time`.
fn stage(a: &Agreement, time: u64) -> String {
    match (a.ends_at, a.progress) {
        (Some(end), _) if time >= end => format!("ended on {}", money::show_date(end)),
        (Some(end), _) => format!("active until {}", money::show_date(end)),
        (None, Progress::Offered) => "offered".into(),
        (None, Progress::Active) => "active".into(),
        (None, Progress::Accepted) => "accepted".into(),
    }
}

fn row(book: &State, seen: &Seen<'_>) -> Value {
    let Seen { a, stage, ends_at, flight, overdue, wait } = seen;
    let (t, f) = (&a.terms, figures(book, a));
    let m = |v| money::json(v, t.currency);
    let here = |value: fn(&Flight) -> i128| flight.as_ref().map(|flight| m(value(flight)));
    json!({
        "agreement": hex::encode(t.digest), "stage": stage,
        "payer": t.payer_handle.as_str(), "commons": t.commons_handle.as_str(),
        "payer_ledger": hex::encode(t.payer), "commons_ledger": hex::encode(t.commons),
        "share_ppm": t.share, "base": t.base.word(), "currency": t.currency.as_str(),
        "product": t.product.as_ref().map(Handle::as_str),
        "due_days": t.due_days, "notice_days": t.notice_days,
        "due": m(f.due), "settled": m(f.settled), "written_off": m(f.written_off),
        "open": m(f.open), "credit": m(f.credit), "last": a.dues.last,
        "frozen": a.frozen.or(flight.and_then(|flight| flight.frozen)),
        "ends_at": ends_at.map(money::show_time),
        "overdue": m(*overdue), "other_side_here": flight.is_some(),
        "due_at_payer": here(|f| f.due), "taken": here(|f| f.taken),
        "in_flight": here(Flight::in_flight),
        "in_flight_numbers": flight.map(|flight| flight.numbers),
        "cash_sent": here(|f| to_signed(f.sent)), "cash_received": here(|f| to_signed(f.arrived)),
        "cash_in_flight": here(Flight::cash),
        "waits": wait.as_ref().map(|w| json!({ "code": w.code, "message": w.message })),
    })
}

fn block(cx: &Context, book: &State, seen: &Seen<'_>) -> String {
    let a = seen.a;
    let (t, f) = (&a.terms, figures(book, a));
    let due = if a.progress == Progress::Accepted { "taken" } else { "due" };
    let mut parts = vec![format!("{due} {}", money::plain(f.due, t.currency))];
    parts.push(format!("settled {}", money::plain(f.settled, t.currency)));
    if f.written_off > 0 {
        parts.push(format!("written off {}", money::plain(f.written_off, t.currency)));
    }
    parts.push(format!("open {}", money::plain(f.open, t.currency)));
    if f.credit > 0 {
        parts.push(format!("credit {}", money::plain(f.credit, t.currency)));
    }
    let stage = if a.frozen.is_some() { cx.out.bad(&seen.stage) } else { seen.stage.clone() };
    let mut last = format!("last number {}", a.dues.last);
    if seen.overdue > 0 {
        let late = format!("overdue {}", money::plain(seen.overdue, t.currency));
        last = format!("{last}, {}", cx.out.bad(&late));
    }
    format!(
        "{}  {} -> {}  {}, {}  {stage}\n          {}\n          {last}\n          {}",
        cx.out.strong(&describe::short(&t.digest)),
        t.payer_handle,
        t.commons_handle,
        what(t),
        t.currency,
        parts.join(", "),
        under_way(cx, seen),
    )
}

/// What is said on one side only.
fn under_way(cx: &Context, seen: &Seen<'_>) -> String {
    let under_way = in_flight(cx, seen);
    match &seen.wait {
        Some(wait) => format!("{under_way}\n          its node waits: {}", wait.message),
        None => under_way,
    }
}

fn in_flight(cx: &Context, seen: &Seen<'_>) -> String {
    let Some(flight) = &seen.flight else { return "other side not here".into() };
    let plain = |v| money::plain(v, seen.a.terms.currency);
    let mut parts = Vec::new();
    if flight.numbers > 0 {
        let numbers = describe::count(flight.numbers, "number");
        parts.push(format!("{} due and not taken ({numbers})", plain(flight.in_flight())));
    }
    match flight.cash() {
        0 => {}
        cash if cash > 0 => parts.push(format!("cash sent and not received {}", plain(cash))),
        cash => parts.push(format!("cash received and not sent {}", plain(-cash))),
    }
    if let (Some(entry), None) = (flight.frozen, seen.a.frozen) {
        parts.push(cx.out.bad(&format!("frozen by the commons, entry {entry}")));
    }
    let what =
        if parts.is_empty() { "nothing".to_owned() } else { parts.join("\n                     ") };
    format!("in flight: {what}")
}
