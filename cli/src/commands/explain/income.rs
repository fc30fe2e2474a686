//! `subak explain AGENT --income N`: down to each contribution.
//!
//! Owns the book as it was when the income came. Guarantees that points which cannot be
//! traced to contributions are named as such.

use super::lines::{is_one_agents, place, points, reason, shown};
use crate::{
    commands::past,
    context::{Context, Open},
    describe,
    failure::Done,
    money,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, btree_map::Entry};
use std::fmt::Write as _; // to a String: it cannot fail, hence `let _`
use subak_ledger::book::{
    equation::To,
    explain::Reason,
    split::{Bucket, Point},
    state::{Income, State},
    types::{AgentId, Currency, Handle, Ref, whole},
};

/// Contributions of a kind and month that are listed one by one.
const LISTED: usize = 12;

/// A contribution as an income met it.
#[derive(Debug, Clone)]
struct Counted {
    place: Ref,
    reference: String,
    kind: Handle,
    worked_on: u32,
    month: u32,
    quantity: u64,
    rate: u64,
    weight: u32,
    points: i128,
    validators: Vec<Handle>,
    since: u64,
}

/// The contributions behind an agent's points at a point of a bucket, in `then`, the
/// book as it was.
fn counted(then: &State, bucket: &Bucket, point: &Point, agent: AgentId) -> Vec<Counted> {
    let To::Contributors(filter) = &bucket.def.to else { return Vec::new() };
    then.work(agent)
        .filter_map(|w| {
            let s = w.part.standing.as_ref()?;
            let c = &w.contribution;
            let weight = bucket.weight_of(point.month, c.month());
            let points = s.counted_in(filter.unpaid_only);
            let counts = points > 0 && weight > 0;
            (counts && filter.matches(&c.kind, c.stream)).then(|| Counted {
                place: w.place,
                reference: c.reference.to_string(),
                kind: c.kind.as_ref().clone(),
                worked_on: c.worked_on,
                month: c.month(),
                quantity: s.quantity,
                rate: c.rate.into(),
                weight,
                points: i128::from(points) * i128::from(weight),
                validators: s.votes.iter().map(|v| then.agent(*v).handle.clone()).collect(),
                since: s.since,
            })
        })
        .collect()
}

/// The book right after an event of an entry, or after what time brought about before
/// them: the log folded once more, each entry checked against the chain of the book that
/// is known already.
async fn book_at(open: &Open, (entry, event): (u64, Option<u32>)) -> Done<State> {
    let (mut state, leaf, statement) = past::before(open, entry).await?;
    state.replay_until(&statement, leaf.recorded_at, event)?;
    Ok(state)
}

pub(super) async fn one_income(
    cx: &Context,
    open: &Open,
    agent: AgentId,
    number: u64,
    all: bool,
) -> Done {
    let book = &open.book;
    let income = book.income(number)?.clone();
    let currency = income.currency;
    let mut books: BTreeMap<(u64, Option<u32>), State> = BTreeMap::new();
    let mut text = income_head(cx, book, &income);
    let mut data = Vec::new();
    let mut exact = 0;
    for face in book.faces(agent) {
        for r in book.reasons(face, currency).iter().filter(|r| r.income == number) {
            // Points of a lot that was held are those of its release.
            let then = match books.entry(r.spread_at) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(book_at(open, r.spread_at).await?),
            };
            let (bucket, point) = place(book, &income, r);
            let work = counted(then, bucket, point, face);
            text.push_str(&chain(book, face, r, (&income, bucket), &work, all));
            data.push(chain_data(book, face, r, &work, currency));
            exact += r.accrued;
        }
    }
    if data.is_empty() {
        let _ = write!(
            text,
            "\n\n{} had no points that count in any bucket of it",
            book.agent(agent).handle
        );
    }
    let _ = write!(
        text,
        "\n\nof income {number}, {} has accrued {}",
        book.agent(agent).handle,
        cx.out.strong(&format!("{} {currency}", shown(exact, currency)))
    );
    let whole = money::json(whole(exact), currency);
    let text: Vec<String> = text.lines().map(|line| describe::wrap(line, 6)).collect();
    let text = text.join("\n");
    cx.out.result(
        "subak.explain/1",
        &json!({
            "agent": book.agent(agent).handle.as_str(), "income": number,
            "currency": currency.as_str(), "entry": income.place.entry,
            "equation": format!("{} {}", income.equation.name, income.equation.version),
            "accrued": whole, "accrued_exact": shown(exact, currency), "chain": data,
        }),
        &text,
    )
}

fn income_head(cx: &Context, book: &State, i: &Income) -> String {
    let m = |v: u64| money::plain(v.into(), i.currency);
    let mut text = cx.out.strong(&format!(
        "income {}: {} from {} on {}",
        i.number,
        money::show(i.amount.into(), i.currency),
        book.agent(i.payer).handle,
        money::show_date(i.recorded_at)
    ));
    let source = i.source.map_or_else(
        || "a gift".to_owned(),
        |(digest, n)| format!("number {n} of agreement {}", describe::short(&digest)),
    );
    let _ = write!(
        text,
        "\n  entry {}, {source}; split by equation {} version {}",
        i.place, i.equation.name, i.equation.version
    );
    let _ = write!(text, "\n  settled {}, open {}", m(i.settled), m(i.open()));
    if i.refunded + i.written_off > 0 {
        let _ = write!(text, ", taken back {}, written off {}", m(i.refunded), m(i.written_off));
    }
    if let Some(entry) = i.undone {
        let _ = write!(text, "\n  undone by entry {entry}: the stewards decided for another story");
    }
    text
}

fn chain(
    book: &State,
    agent: AgentId,
    r: &Reason,
    (income, bucket): (&Income, &Bucket),
    work: &[Counted],
    all: bool,
) -> String {
    let (handle, currency) = (&book.agent(agent).handle, income.currency);
    let spec = income.equation.buckets.iter().position(|b| b.name == r.bucket);
    let back = spec.and_then(|n| income.shares.get(n)).map_or(0, |s| s.reversed);
    let part = shown(r.part - back, currency);
    let mut text =
        format!("\n\nbucket {} has {} of it: {part}", r.bucket, money::show_share(r.share));
    if back > 0 {
        let _ = write!(text, " (of {}, the rest was taken back)", shown(r.part, currency));
    }
    if is_one_agents(bucket) {
        let _ = write!(text, "\n  all of it is {handle}'s: {}", shown(r.accrued, currency));
        return text;
    }
    text.push_str(&work_lines(work, all));
    let traced: i128 = work.iter().map(|w| w.points).sum();
    if traced != r.points {
        let _ = write!(
            text,
            "\n  {} points more cannot be traced: their contributions changed before the next entry",
            points(r.points - traced)
        );
    }
    let _ = write!(
        text,
        "\n  {handle} has {} of {} points: {part} x {} / {} = {}",
        points(r.points),
        points(r.all_points),
        points(r.points),
        points(r.all_points),
        shown(r.accrued, currency)
    );
    if r.payable != r.accrued {
        let _ = write!(text, "\n  payable of it: {}", shown(r.payable, currency));
    }
    text
}

/// One line for each contribution; many of a kind and month become one line, and of a
/// long list only the newest months are told one by one.
fn work_lines(work: &[Counted], all: bool) -> String {
    let mut groups: BTreeMap<(Handle, u32), Vec<&Counted>> = BTreeMap::new();
    for w in work {
        groups.entry((w.kind.clone(), w.month)).or_default().push(w);
    }
    let newest = groups.keys().map(|(_, month)| *month).max().unwrap_or(0);
    let long = work.len() > 2 * LISTED;
    let mut text = String::new();
    for ((kind, month), group) in groups {
        let folded = group.len() > LISTED || (long && month + 2 < newest);
        if !all && folded {
            text.push_str(&group_line(&kind, &group));
        } else {
            for w in &group {
                text.push_str(&work_line(w));
            }
        }
    }
    text
}

fn weighed(weight: u32) -> String {
    if weight == 1 { String::new() } else { format!(" x weight {weight}") }
}

fn group_line(kind: &Handle, group: &[&Counted]) -> String {
    let quantity: i128 = group.iter().map(|w| i128::from(w.quantity)).sum();
    let all: i128 = group.iter().map(|w| w.points).sum();
    let rate = group[0].rate;
    let same = group.iter().all(|w| w.rate == rate);
    let rated = if same && rate > 1 { format!(" x {rate} points") } else { String::new() };
    format!(
        "\n  {} {} of {}: {} units{rated}{} = {} points (--all lists them)",
        group.len(),
        kind,
        &money::show_day(group[0].worked_on)[..7],
        points(quantity),
        weighed(group[0].weight),
        points(all)
    )
}

fn work_line(w: &Counted) -> String {
    let validators: Vec<String> = w.validators.iter().map(ToString::to_string).collect();
    format!(
        "\n  {} {} {} on {}: {} x {} point{}{} = {}\n      validated by {} on {}",
        w.place,
        w.kind,
        w.reference,
        money::show_day(w.worked_on),
        points(w.quantity.into()),
        w.rate,
        if w.rate == 1 { "" } else { "s" },
        weighed(w.weight),
        points(w.points),
        validators.join(", "),
        money::show_date(w.since)
    )
}

fn chain_data(
    book: &State,
    agent: AgentId,
    r: &Reason,
    work: &[Counted],
    currency: Currency,
) -> Value {
    let contributions: Vec<Value> = work
        .iter()
        .map(|w| {
            json!({
                "contribution": w.place.to_string(), "reference": w.reference,
                "kind": w.kind.as_str(), "worked_on": money::show_day(w.worked_on),
                "quantity": points(w.quantity.into()), "rate": w.rate, "weight": w.weight,
                "points": points(w.points),
                "validated_by": w.validators.iter().map(Handle::as_str).collect::<Vec<_>>(),
                "validated_at": money::show_time(w.since),
            })
        })
        .collect();
    let traced: i128 = work.iter().map(|w| w.points).sum();
    let mut data = reason(book, r, currency);
    data["agent"] = book.agent(agent).handle.as_str().into();
    data["contributions"] = contributions.into();
    data["traced_points"] = points(traced).into();
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_of_a_month_become_one_line() {
        let one = |n: u32| Counted {
            place: Ref { entry: n.into(), event: 0 },
            reference: format!("git:{n}"),
            kind: Handle::new("commit").unwrap(),
            worked_on: 20_778,
            month: 682,
            quantity: 1_000,
            rate: 2,
            weight: 1,
            points: 2_000,
            validators: vec![Handle::new("ben").unwrap()],
            since: 0,
        };
        let many: Vec<Counted> = (0..13).map(one).collect();
        assert_eq!(
            work_lines(&many, false),
            "\n  13 commit of 2026-11: 13 units x 2 points = 26 points (--all lists them)"
        );
        assert_eq!(work_lines(&many, true).lines().filter(|l| l.contains("git:")).count(), 13);
        assert_eq!(
            work_lines(&many[..12], false).lines().filter(|l| l.contains("git:")).count(),
            12
        );
    }
}
