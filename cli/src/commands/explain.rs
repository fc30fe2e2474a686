//! `subak explain`: why somebody has what they have, down to the single contribution.
//!
//! Owns the order of the reasons and their lines. Guarantees that the lines are those
//! that the ledger's split used and that they sum to the total, which it says; a line
//! that cannot be traced to contributions is named as such. Leaves out the arithmetic
//! (`ledger::book::{split, explain}`).

use crate::{
    commands::{balance::Work, log::Show, payout},
    context::{Context, Open},
    describe,
    failure::{Done, Failure},
    money,
};
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _; // to a String: it cannot fail, hence `let _`
use subak_ledger::{
    book::{
        equation::To,
        explain::{Balance, Reason},
        split::{Bucket, Point},
        state::{Income, Lies, State},
        types::{AgentId, AgentKind, Currency, Fixed, Handle, Q, Ref, whole},
    },
    log::{Leaf, Unverified},
};

/// Contributions of a kind and month that are listed one by one.
const LISTED: usize = 12;

/// Why somebody has what they have.
///
/// First the total; then by income one line: income x bucket's share x your points /
/// all points = what accrued. With --income the chain goes on to each contribution:
/// who validated it, at which rate, with which weight at that age. The lines sum to the
/// total, exactly; amounts are shown with four more decimals than the currency has.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  subak explain ana\n  subak explain ana --income 3\n  subak explain ana --income 3 --all --json\n  subak explain 57"
)]
pub struct Explain {
    /// Whose accruals; or the number of an entry, for what it did
    #[arg(value_name = "AGENT|ENTRY")]
    agent: String,
    /// The chain of reasons of this income
    #[arg(long, value_name = "N")]
    income: Option<u64>,
    /// Currency [default: the only one there is]
    #[arg(long)]
    currency: Option<String>,
    /// Every contribution by itself, however many
    #[arg(long)]
    all: bool,
}

impl Explain {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let connection = cx.reader().await?;
        let info = cx.choose(&connection, cx.global.ledger.as_deref()).await?;
        let handle = Handle::new(&self.agent)?;
        if let Ok(entry) = self.agent.parse() {
            // A handle may consist of digits too, and then it is meant.
            let book = connection.ledgers.book(info.id).await?;
            if !book.handles.contains_key(&handle) {
                return Show { entry, all: self.all }.run(cx).await;
            }
        }
        let open = cx.open_ledger(connection, info).await?;
        let agent = open.book.find(&handle)?;
        open.of_a_commons("balances")?;
        match self.income {
            Some(number) => one_income(cx, &open, agent, number, self.all).await,
            None => total(cx, &open.book, agent, self.currency.as_deref()),
        }
    }
}

/// One face of a person: its reasons, and what the ledger says they sum to.
struct Face {
    agent: AgentId,
    reasons: Vec<Reason>,
    accrued: Fixed,
}

impl Face {
    fn sum(&self) -> Fixed {
        self.reasons.iter().map(|r| r.accrued).sum()
    }
}

fn total(cx: &Context, book: &State, agent: AgentId, said: Option<&str>) -> Done {
    if said.is_none() && book.currencies().is_empty() {
        let work = Work::of(book, agent);
        let data = json!({ "agent": book.agent(agent).handle.as_str(), "currency": null,
                           "faces": [], "work": work.json() });
        return cx.out.result("subak.explain/1", &data, &work.text());
    }
    let currency = payout::currency(book, said)?;
    let faces: Vec<Face> = book
        .faces(agent)
        .into_iter()
        .map(|agent| Face {
            agent,
            reasons: book.reasons(agent, currency),
            accrued: book.accrued(agent, currency),
        })
        .collect();
    for face in &faces {
        reconcile(book, face)?;
    }
    let balances: Vec<Balance> = faces.iter().map(|f| book.balance(f.agent, currency)).collect();
    let mut text = summary(cx, book, agent, currency, &balances);
    for face in &faces {
        text.push_str("\n\n");
        text.push_str(&face_text(book, face, agent, currency));
    }
    let exact: Fixed = faces.iter().map(|f| f.accrued).sum();
    let shown: i128 = balances.iter().map(|b| b.accrued).sum();
    let _ = write!(text, "\n\n{}", rounding(exact, shown, currency));
    cx.out.result("subak.explain/1", &data(book, agent, currency, &faces, &balances), &text)
}

/// Reasons and total come from two computations: the points of each income, and the
/// prefix sums. They are equal, or one of them is not to be believed.
fn reconcile(book: &State, face: &Face) -> Done {
    if face.sum() == face.accrued {
        return Ok(());
    }
    Err(Failure::gap(
        "not-reconciled",
        format!(
            "{}: the reasons sum to {} / 2^64 minor units, the ledger says {}",
            book.agent(face.agent).handle,
            face.sum(),
            face.accrued
        ),
        "run `subak audit`, and report this",
    ))
}

fn summary(
    cx: &Context,
    book: &State,
    agent: AgentId,
    currency: Currency,
    balances: &[Balance],
) -> String {
    let sum = |f: fn(&Balance) -> i128| -> i128 { balances.iter().map(f).sum() };
    let head = format!(
        "{} has accrued {}",
        book.agent(agent).handle,
        money::show(sum(|b| b.accrued), currency)
    );
    let rows = [
        ("payable", sum(|b| b.payable), "of it, the part whose own income is settled"),
        ("reserved", sum(|b| b.reserved), "in payout runs that are not decided"),
        ("paid", sum(|b| b.paid), "over all time, fees included"),
        ("free", sum(|b| b.available), "a payout could carry it now"),
    ];
    let width = rows.iter().map(|r| money::plain(r.1, currency).len()).max().unwrap_or(0);
    let mut text = cx.out.strong(&head);
    for (name, minor, what) in rows {
        let what = match name {
            "free" if minor < 0 => "netted from what comes",
            "free" if book.agent(agent).kind == AgentKind::Trust => {
                "principal: it stays, no payout carries it"
            }
            _ => what,
        };
        let _ = write!(text, "\n  {name:8}  {:>width$}  {what}", money::plain(minor, currency));
    }
    text
}

/// Fixed point for people, cut after the last decimal but for 2^-24 of a minor unit, so
/// that half of 100.00 is 50.000000 although flooring per point leaves a trace less.
fn shown(v: Fixed, currency: Currency) -> String {
    money::show_fixed(v + (1 << 40), currency)
}

/// Points for people: thousandths without zeros at the end.
fn points(p: i128) -> String {
    money::show_thousandths(p)
}

/// The columns of a reason, as text.
struct Cells {
    number: String,
    income: String,
    share: String,
    yours: String,
    all: String,
    accrued: String,
    more: Vec<String>,
}

fn cells(book: &State, r: &Reason, currency: Currency) -> Cells {
    let income = book.income(r.income).expect("a reason names an income of this book");
    let (bucket, _) = place(book, income, r);
    // The one agent of a bucket has one point of one.
    let count = |p| if is_one_agents(bucket) { "1".to_owned() } else { points(p) };
    Cells {
        number: r.income.to_string(),
        income: money::plain(standing(income).into(), currency),
        share: format!("{} {}", money::show_share(r.share), r.bucket),
        yours: count(r.points),
        all: count(r.all_points),
        accrued: shown(r.accrued, currency),
        more: remarks(income, r, currency),
    }
}

fn is_one_agents(bucket: &Bucket) -> bool {
    matches!(bucket.def.to, To::Agent(_))
}

/// What is left of an income after all that was taken back or given up.
fn standing(income: &Income) -> u64 {
    income.amount - income.refunded - income.written_off
}

/// What stands behind a line's figures.
fn remarks(income: &Income, r: &Reason, currency: Currency) -> Vec<String> {
    let m = |v: u64| money::plain(v.into(), currency);
    let mut more = Vec::new();
    if income.refunded > 0 {
        more.push(format!("of {}, {} was taken back", m(income.amount), m(income.refunded)));
    }
    if income.written_off > 0 {
        more.push(format!("of {}, {} was written off", m(income.amount), m(income.written_off)));
    }
    if income.open() > 0 && income.settled == 0 {
        more.push("none of it is settled yet".into());
    } else if income.open() > 0 {
        let payable = shown(r.payable, currency);
        more.push(format!("{} of it is settled: {payable} payable", m(income.settled)));
    }
    if r.was_held {
        more.push("held at first for want of points, spread later".into());
    }
    more
}

/// `  1   100.00 x 70 % contributors x 15 / 30 = 35.000000`, in columns.
fn lines(rows: &[Cells]) -> String {
    let width = |f: fn(&Cells) -> &str| rows.iter().map(|c| f(c).len()).max().unwrap_or(0);
    let (number, income) = (width(|c| &c.number), width(|c| &c.income));
    let (share, yours) = (width(|c| &c.share), width(|c| &c.yours));
    let (all, accrued) = (width(|c| &c.all), width(|c| &c.accrued));
    let mut text = String::new();
    for c in rows {
        let _ = write!(
            text,
            "\n  {:>number$}  {:>income$} x {:share$} x {:>yours$} / {:all$} = {:>accrued$}",
            c.number, c.income, c.share, c.yours, c.all, c.accrued
        );
        for more in &c.more {
            let _ = write!(text, "\n  {:number$}  {more}", "");
        }
    }
    text
}

fn face_text(book: &State, face: &Face, person: AgentId, currency: Currency) -> String {
    let whose = if face.agent == person {
        String::new()
    } else {
        format!("as {}, whom they have claimed\n", book.agent(face.agent).handle)
    };
    if face.reasons.is_empty() {
        return format!("{whose}no income has met points of {}", book.agent(face.agent).handle);
    }
    let rows: Vec<Cells> = face.reasons.iter().map(|r| cells(book, r, currency)).collect();
    format!(
        "{whose}income x share of the bucket x points / all points (by age) = accrued{}\n  sum of {}: {}",
        lines(&rows),
        describe::count(rows.len() as u64, "line"),
        shown(face.sum(), currency),
    )
}

/// The lines carry 64 fractional bits; what is paid is whole. This says the difference.
fn rounding(exact: Fixed, total: i128, currency: Currency) -> String {
    let rest = exact - total * Q;
    let text = if rest == 0 {
        "exactly".to_owned()
    } else if rest.abs() <= 1 << 48 {
        "but for a trace under 2^-16 of a minor unit".to_owned()
    } else {
        format!("and {} that waits for a whole unit", shown(rest, currency))
    };
    format!("the lines sum to {}, {text}", money::show(total, currency))
}

fn data(
    book: &State,
    agent: AgentId,
    currency: Currency,
    faces: &[Face],
    balances: &[Balance],
) -> Value {
    let m = |v| money::json(v, currency);
    let f = |v| shown(v, currency);
    let sum = |f: fn(&Balance) -> i128| m(balances.iter().map(f).sum());
    let faces: Vec<Value> = faces
        .iter()
        .map(|face| {
            let reasons: Vec<Value> =
                face.reasons.iter().map(|r| reason(book, r, currency)).collect();
            json!({
                "agent": book.agent(face.agent).handle.as_str(), "reasons": reasons,
                "sum": f(face.sum()), "sum_q64": face.sum().to_string(),
            })
        })
        .collect();
    json!({
        "agent": book.agent(agent).handle.as_str(), "currency": currency.as_str(),
        "accrued": sum(|b| b.accrued), "payable": sum(|b| b.payable),
        "reserved": sum(|b| b.reserved), "paid": sum(|b| b.paid),
        "free": sum(|b| b.available), "faces": faces,
    })
}

fn reason(book: &State, r: &Reason, currency: Currency) -> Value {
    let income = book.income(r.income).expect("a reason names an income of this book");
    let m = |v: u64| money::json(v.into(), currency);
    let f = |v| shown(v, currency);
    json!({
        "income": r.income, "amount": m(income.amount), "reversed": m(income.refunded),
        "written_off": m(income.written_off), "settled": m(income.settled),
        "bucket": r.bucket.as_str(), "share_ppm": r.share, "part": f(r.part),
        "points": points(r.points), "all_points": points(r.all_points),
        "accrued": f(r.accrued), "payable": f(r.payable), "was_held": r.was_held,
    })
}

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
            let weight = bucket.weight_of(point.month, c.month);
            let counts = s.counted > 0 && weight > 0;
            (counts && filter.matches(&c.kind, c.stream, s.remuneration)).then(|| Counted {
                place: w.place,
                reference: c.reference.to_string(),
                kind: c.kind.clone(),
                worked_on: c.worked_on,
                month: c.month,
                quantity: s.quantity,
                rate: c.rate,
                weight,
                points: i128::from(s.counted) * i128::from(weight),
                validators: s.votes.iter().map(|v| then.agent(*v).handle.clone()).collect(),
                since: s.since,
            })
        })
        .collect()
}

/// The book right after an entry: the log folded once more, each entry checked against
/// the chain of the book that is known already.
async fn book_at(open: &Open, entry: u64) -> Done<State> {
    const PAGE: u64 = 1_000;
    let mut state = State::default();
    let mut journal = Vec::new();
    while state.size <= entry {
        let limit = PAGE.min(entry + 1 - state.size);
        let page = open.connection.ledgers.entries(open.info.id, state.size, limit).await?;
        if page.is_empty() {
            return Err(Failure::world(
                "short-answer",
                "entries are missing in the answer",
                "try again",
            ));
        }
        for raw in page {
            let leaf = Leaf::from_bytes(&raw.leaf)?;
            let chain = leaf.chain_hash();
            let index = usize::try_from(state.size).unwrap_or(usize::MAX);
            let known = open.book.chain.get(index) == Some(&chain);
            if !known || leaf.envelope != *blake3::hash(&raw.envelope).as_bytes() {
                return Err(Failure::refused(
                    "corrupt",
                    format!("entry {} is not the one that the book was made of", state.size),
                    "run `subak audit`",
                ));
            }
            let statement = Unverified::parse(&raw.envelope)?.trust_stored()?;
            state.replay_statement(&statement, leaf.recorded_at, &mut journal)?;
            state.seal(chain);
            journal.clear();
        }
    }
    Ok(state)
}

async fn one_income(cx: &Context, open: &Open, agent: AgentId, number: u64, all: bool) -> Done {
    let book = &open.book;
    let income = book.income(number)?.clone();
    let currency = income.currency;
    let then = book_at(open, income.place.entry).await?;
    let mut text = income_head(cx, book, &income);
    let mut data = Vec::new();
    let mut exact = 0;
    for face in book.faces(agent) {
        for r in book.reasons(face, currency).iter().filter(|r| r.income == number) {
            // Points of a lot that was held are those of its release: the book now knows them best.
            let at = if r.was_held { book.as_ref() } else { &then };
            let (bucket, point) = place(book, &income, r);
            let work = counted(at, bucket, point, face);
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

/// Where a reason lies.
fn place<'a>(book: &'a State, income: &'a Income, r: &Reason) -> (&'a Bucket, &'a Point) {
    let named = income.shares.iter().zip(&income.equation.buckets);
    let found = named.filter(|(_, spec)| spec.name == r.bucket).find_map(|(s, _)| match &s.lies {
        Lies::Spread(id, point) => Some((&book.buckets[id], point)),
        Lies::Held => None,
    });
    found.expect("a reason comes from a part that was spread")
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
            "\n  {} points more cannot be traced: their contributions changed in that entry or since",
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

    fn eur() -> Currency {
        Currency::new("EUR").unwrap()
    }

    #[test]
    fn the_rounding_line_says_what_is_left_over() {
        let third = Q * 100 / 3;
        assert_eq!(
            rounding(third, whole(third), eur()),
            "the lines sum to 0.33 EUR, and 0.003333 that waits for a whole unit"
        );
        assert!(rounding(50 * Q, 50, eur()).ends_with("0.50 EUR, exactly"));
        // What lacks a trace through flooring is shown whole, and said to be.
        let trace = 50 * Q - 1;
        assert_eq!(whole(trace), 50);
        assert_eq!(shown(trace, eur()), "0.500000");
        assert!(rounding(trace, 50, eur()).contains("but for a trace"));
    }

    #[test]
    fn lines_stand_in_columns() {
        let cell = |number: &str, income: &str, yours: &str| Cells {
            number: number.into(),
            income: income.into(),
            share: "70 % contributors".into(),
            yours: yours.into(),
            all: "30".into(),
            accrued: "35.000000".into(),
            more: vec![],
        };
        let text = lines(&[cell("1", "100.00", "15"), cell("12", "1,100.00", "1.5")]);
        assert_eq!(
            text,
            "\n   1    100.00 x 70 % contributors x  15 / 30 = 35.000000\
             \n  12  1,100.00 x 70 % contributors x 1.5 / 30 = 35.000000"
        );
    }

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
