//! `subak revenue`: what a phyle earned, and what falls due on it.
//!
//! Owns the words for invoices and the list with its gaps. The dues that a statement
//! states are computed from the book it is signed against; if somebody else was faster
//! they are computed once more. Leaves out the arithmetic (`ledger::book::foresee`).

use crate::{
    commands::{agreement::figures, contribute::report},
    context::{Context, Open, Texts},
    counterpart::partner,
    describe,
    failure::{Done, Failure},
    money,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _; // to a String: it cannot fail, hence `let _`
use subak_ledger::{
    book::{
        event::InvoiceId,
        state::{RevenueRow, State},
        types::{Cause, Currency, Handle, Minor},
    },
    log::Hash,
};
use subak_node::Appended;
use subak_proto::v1::{self, event::Kind};

/// Revenue of a phyle: record, reverse, void, list.
#[derive(Debug, Subcommand)]
pub enum Revenue {
    /// Record an invoice, or a line of it; shares fall due under active agreements
    #[command(
        after_help = "Examples:\n  subak revenue record 2026/17 --net \"1200.00 EUR\" --tax \"240.00 EUR\"\n  subak revenue record 2026/18.2 --net \"400.00 EUR\" --product hosting --note \"March\""
    )]
    Record(Record),
    /// Take revenue back, in part or whole: refund, chargeback, credit note, bad debt
    #[command(
        after_help = "Example:\n  subak revenue reverse 2026/17 --net \"200.00 EUR\" --tax \"40.00 EUR\" --cause refund"
    )]
    Reverse(Reverse),
    /// Say that an invoice number will never carry revenue
    #[command(after_help = "Example:\n  subak revenue void 2026/19")]
    Void {
        /// The number, as SERIES/NUMBER
        invoice: String,
    },
    /// List revenue with what fell due on it; names gaps in the numbers
    #[command(after_help = "Example:\n  subak revenue list")]
    List,
}

/// Arguments of `revenue record`.
#[derive(Debug, Args)]
pub struct Record {
    /// The invoice, as SERIES/NUMBER or SERIES/NUMBER.LINE
    invoice: String,
    /// Amount without tax
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    net: String,
    /// Tax on it
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    tax: Option<String>,
    /// What was sold: a tag that agreements can name
    #[arg(long, value_name = "TAG")]
    product: Option<String>,
    /// A note; only a commitment to it enters the log
    #[arg(long)]
    note: Option<String>,
}

/// Arguments of `revenue reverse`.
#[derive(Debug, Args)]
pub struct Reverse {
    /// The invoice, as it was recorded
    invoice: String,
    /// Of the amount without tax
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    net: Option<String>,
    /// Of the tax
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    tax: Option<String>,
    /// refund, chargeback, credit-note or bad-debt
    #[arg(long)]
    cause: String,
    /// A note; only a commitment to it enters the log
    #[arg(long)]
    note: Option<String>,
}

impl Revenue {
    /// The schema of its JSON.
    pub fn schema(&self) -> &'static str {
        if matches!(self, Self::List { .. }) { "subak.revenue/1" } else { "subak.appended/1" }
    }

    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        match self {
            Self::Record(r) => r.run(cx).await,
            Self::Reverse(r) => r.run(cx).await,
            Self::Void { invoice } => void(cx, &invoice).await,
            Self::List => list(cx).await,
        }
    }
}

/// Reads `SERIES/NUMBER` or `SERIES/NUMBER.LINE`.
fn invoice(text: &str) -> Done<InvoiceId> {
    let bad = || {
        Failure::usage(
            format!("invoice {text:?}: expected SERIES/NUMBER or SERIES/NUMBER.LINE"),
            "write it as in 2026/17 or hosting/17.2",
        )
    };
    let (series, rest) = text.split_once('/').ok_or_else(bad)?;
    let (number, line) = rest.split_once('.').map_or((rest, None), |(n, l)| (n, Some(l)));
    let number = number.parse().ok().filter(|n: &u64| *n > 0).ok_or_else(bad)?;
    let line = match line {
        Some(text) => text.parse().ok().filter(|n: &u32| *n > 0).ok_or_else(bad)?,
        None => 0,
    };
    Ok(InvoiceId { series: Handle::new(series).map_err(|_| bad())?, number, line })
}

fn wire(id: &InvoiceId) -> v1::Invoice {
    v1::Invoice { series: id.series.to_string(), number: id.number, line: id.line }
}

/// Net and tax in one currency.
fn amounts(net: Option<&str>, tax: Option<&str>) -> Done<(Minor, Minor, Currency)> {
    let net = net.map(money::read).transpose()?;
    let tax = tax.map(money::read).transpose()?;
    match (net, tax) {
        (Some((_, a)), Some((_, b))) if a != b => Err(Failure::usage(
            format!("net is in {a}, tax in {b}"),
            "record each currency by itself: currencies never convert",
        )),
        (Some((n, c)), t) => Ok((n, t.map_or(0, |t| t.0), c)),
        (None, Some((t, c))) => Ok((0, t, c)),
        (None, None) => Err(Failure::usage("which amount?", "give --net, --tax or both")),
    }
}

fn optional_tag(product: Option<&String>) -> Done<Option<Handle>> {
    Ok(product.map(|p| Handle::new(p)).transpose()?)
}

impl Record {
    async fn run(self, cx: &Context) -> Done {
        let id = invoice(&self.invoice)?;
        let (net, tax, currency) = amounts(Some(&self.net), self.tax.as_deref())?;
        let product = optional_tag(self.product.as_ref())?;
        let mut open = cx.write().await?;
        let before = open.book.clone();
        let (appended, due) = retried(cx, &mut open, self.note.as_deref(), |book, at, note| {
            let due = book.dues_of_revenue(product.as_ref(), currency, (net, tax), at);
            let record = v1::RevenueRecord {
                invoice: Some(wire(&id)),
                product: product.as_ref().map(ToString::to_string).unwrap_or_default(),
                currency: currency.to_string(),
                net,
                tax,
                note,
                due: due.clone(),
            };
            (Kind::RevenueRecord(record), due)
        })
        .await?;
        let what = format!(
            "revenue {id}: {} net{}",
            money::show(net.into(), currency),
            if tax > 0 {
                format!(", {} tax", money::plain(tax.into(), currency))
            } else {
                String::new()
            }
        );
        answer(cx, &mut open, (&before, &appended, &due), &what, "falls due to").await
    }
}

impl Reverse {
    async fn run(self, cx: &Context) -> Done {
        let id = invoice(&self.invoice)?;
        let (net, tax, currency) = amounts(self.net.as_deref(), self.tax.as_deref())?;
        let cause = Cause::from_word(&self.cause).ok_or_else(|| {
            Failure::usage(
                format!("cause {:?}", self.cause),
                "use refund, chargeback, credit-note or bad-debt",
            )
        })?;
        let mut open = cx.write().await?;
        if let Some(row) = open.book.revenues.get(&id)
            && row.currency != currency
        {
            return Err(Failure::usage(
                format!("invoice {id} is in {}, found {currency}", row.currency),
                "reverse it in its own currency",
            ));
        }
        let before = open.book.clone();
        let (appended, due) = retried(cx, &mut open, self.note.as_deref(), |book, _, note| {
            let due = book.dues_of_reversal(&id, net, tax);
            let invoice = Some(wire(&id));
            let cause = cause.to_wire();
            let reverse = v1::RevenueReverse { invoice, net, tax, cause, note, due: due.clone() };
            (Kind::RevenueReverse(reverse), due)
        })
        .await?;
        let what =
            format!("taken back of {id} ({cause}): {}", money::show((net + tax).into(), currency));
        answer(cx, &mut open, (&before, &appended, &due), &what, "is taken back from").await
    }
}

/// How often dues are computed again when somebody else was faster each time.
pub const RETRIES: u32 = 5;

/// Composes against the book and says it; if the dues have changed meanwhile because
/// somebody else was faster, again against a fresh book, [`RETRIES`] times at most.
async fn retried(
    cx: &Context,
    open: &mut Open,
    note: Option<&str>,
    compose: impl Fn(&State, u64, Vec<u8>) -> (Kind, Vec<v1::Due>),
) -> Done<(Appended, Vec<v1::Due>)> {
    let mut attempt = 0;
    loop {
        let mut texts = Texts::default();
        let commitment = match note {
            Some(text) => texts.commit(&open.info.id, &cx.author()?, "note", text)?,
            None => Vec::new(),
        };
        let (event, due) = compose(&open.book, cx.at()?, commitment);
        match cx.say(open, vec![event], texts).await {
            Err(f) if f.code == "due-mismatch" && attempt < RETRIES => {
                attempt += 1;
                cx.out.note("somebody else was faster; the shares are computed again");
                cx.refresh(open).await?;
            }
            Err(f) => return Err(f),
            Ok(appended) => return Ok((appended, due)),
        }
    }
}

/// What the statement made of each agreement: the share, and what is open before and after.
async fn answer(
    cx: &Context,
    open: &mut Open,
    (before, appended, due): (&State, &Appended, &[v1::Due]),
    what: &str,
    verb: &str,
) -> Done {
    cx.refresh(open).await?;
    let mut text = what.to_owned();
    let mut rows = Vec::new();
    for d in due {
        let digest: Hash = d.agreement.as_slice().try_into().expect("the book has made it");
        let a = open.book.agreement(&digest)?;
        let (old, new) = (figures(before, before.agreement(&digest)?), figures(&open.book, a));
        let c = a.terms.currency;
        let _ = write!(
            text,
            "\n  {} {verb} {}: {} of {}, number {}\n    agreement {}, open: {} before, {} now",
            money::show(d.amount.into(), c),
            partner(a),
            money::show_share(a.terms.share),
            a.terms.base,
            d.number,
            describe::short(&digest),
            money::plain(old.open, c),
            money::show(new.open, c)
        );
        rows.push(json!({
            "agreement": hex::encode(digest), "number": d.number, "currency": c.as_str(),
            "amount": money::json(d.amount.into(), c),
            "open_before": money::json(old.open, c), "open": money::json(new.open, c),
        }));
    }
    if due.is_empty() {
        text.push_str("\n  under no agreement: nothing falls due or comes back");
    }
    report(cx, appended, &json!({ "due": rows }), &text)
}

async fn void(cx: &Context, text: &str) -> Done {
    let id = invoice(text)?;
    if id.line > 0 {
        return Err(Failure::usage(
            "a whole invoice number is void, never a line",
            "leave out the line",
        ));
    }
    let open = cx.write().await?;
    let event = v1::InvoiceVoid { series: id.series.to_string(), number: id.number };
    let appended = cx.say(&open, vec![Kind::InvoiceVoid(event)], Texts::default()).await?;
    let more = json!({ "invoice": id.to_string() });
    report(cx, &appended, &more, &format!("invoice {id} is void: it will never carry revenue"))
}

/// Numbers between a series' first and last that are neither recorded nor void, as ranges.
fn gaps<'a>(used: impl Iterator<Item = (&'a Handle, u64)>) -> Vec<(Handle, u64, u64)> {
    let mut series: BTreeMap<&Handle, BTreeSet<u64>> = BTreeMap::new();
    for (name, number) in used {
        series.entry(name).or_default().insert(number);
    }
    let mut gaps = Vec::new();
    for (name, numbers) in series {
        let all: Vec<u64> = numbers.into_iter().collect();
        let holes = all.windows(2).filter(|w| w[1] - w[0] > 1);
        gaps.extend(holes.map(|w| (name.clone(), w[0] + 1, w[1] - 1)));
    }
    gaps
}

/// Of a revenue: what fell due, what of that was taken back, what was sent.
fn sums(book: &State, row: &RevenueRow) -> (i128, i128, i128) {
    let items = row.under.iter().filter_map(|(d, n)| book.agreements.get(d)?.dues.items.get(n));
    items.fold((0, 0, 0), |(due, back, sent), i| {
        (due + i128::from(i.due), back + i128::from(i.due_reversed), sent + i128::from(i.sent))
    })
}

async fn list(cx: &Context) -> Done {
    let open = cx.read().await?;
    open.of_revenue()?;
    let book = &open.book;
    let voids = book.voids.iter().map(|(s, n)| (s, *n));
    let gaps = gaps(book.revenues.keys().map(|id| (&id.series, id.number)).chain(voids));
    let data: Vec<Value> = book.revenues.iter().map(|(id, r)| line(book, id, r)).collect();
    let rows: Vec<Vec<String>> = book.revenues.iter().map(|(id, r)| cells(book, id, r)).collect();
    let mut text = if rows.is_empty() {
        "no revenue yet: `subak revenue record SERIES/NUMBER --net AMOUNT`".to_owned()
    } else {
        cx.out.table(&["invoice", "|recorded", "|", ">net", ">taken back", ">due", ">sent"], &rows)
    };
    if !book.voids.is_empty() {
        let names: Vec<String> = book.voids.iter().map(|(s, n)| format!("{s}/{n}")).collect();
        let _ = write!(text, "\nvoid: {}", names.join(", "));
    }
    for (series, first, last) in &gaps {
        let which = if first == last {
            format!("{series}/{first}")
        } else {
            format!("{series}/{first} to {last}")
        };
        let _ = write!(
            text,
            "\n{}: {which} neither recorded nor void (`subak revenue void`)",
            cx.out.bad("gap")
        );
    }
    let gaps: Vec<Value> = gaps
        .iter()
        .map(|(s, a, b)| json!({ "series": s.as_str(), "first": a, "last": b }))
        .collect();
    let voids: Vec<Value> =
        book.voids.iter().map(|(s, n)| json!({ "series": s.as_str(), "number": n })).collect();
    cx.out.result(
        "subak.revenue/1",
        &json!({ "revenues": data, "void": voids, "gaps": gaps }),
        &text,
    )
}

fn line(book: &State, id: &InvoiceId, r: &RevenueRow) -> Value {
    let m = |v: i128| money::json(v, r.currency);
    let under: Vec<Value> = r
        .under
        .iter()
        .filter_map(|(digest, number)| {
            let item = book.agreements.get(digest)?.dues.items.get(number)?;
            Some(json!({
                "agreement": hex::encode(digest), "number": number, "due": m(item.due.into()),
                "due_reversed": m(item.due_reversed.into()), "sent": m(item.sent.into()),
            }))
        })
        .collect();
    json!({
        "invoice": id.to_string(), "entry": r.place.entry,
        "recorded_at": money::show_time(r.recorded_at),
        "product": r.product.as_ref().map(Handle::as_str), "currency": r.currency.as_str(),
        "net": m(r.net.into()), "tax": m(r.tax.into()),
        "net_reversed": m(r.net_reversed.into()), "tax_reversed": m(r.tax_reversed.into()),
        "under": under,
    })
}

fn cells(book: &State, id: &InvoiceId, r: &RevenueRow) -> Vec<String> {
    let m = |v: i128| if v == 0 { "-".to_owned() } else { money::plain(v, r.currency) };
    let (due, back, sent) = sums(book, r);
    // Tax, which is nobody's share, is in the JSON and in `show`: eight columns do not fit.
    vec![
        r.product.as_ref().map_or_else(|| id.to_string(), |product| format!("{id} {product}")),
        money::show_date(r.recorded_at),
        r.currency.to_string(),
        m(r.net.into()),
        m(i128::from(r.net_reversed) + i128::from(r.tax_reversed)),
        m(due - back),
        m(sent),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invoices_have_one_spelling() {
        let id = invoice("2026/17.2").unwrap();
        assert_eq!((id.series.as_str(), id.number, id.line), ("2026", 17, 2));
        assert_eq!(id.to_string(), "2026/17.2");
        assert_eq!(invoice("a/1").unwrap().line, 0);
        for bad in ["17", "a/0", "a/1.0", "/1", "a/", "A/1", "a/1.2.3", "a/-1"] {
            assert!(invoice(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn gaps_are_ranges_within_a_series() {
        let (a, b) = (Handle::new("a").unwrap(), Handle::new("b").unwrap());
        let used = [(&a, 1), (&a, 2), (&a, 5), (&b, 7), (&a, 5), (&a, 7)];
        assert_eq!(gaps(used.into_iter()), [(a.clone(), 3, 4), (a.clone(), 6, 6)]);
        assert_eq!(gaps([(&b, 9)].into_iter()), []);
    }

    #[test]
    fn net_and_tax_share_a_currency() {
        assert!(amounts(Some("1.00 EUR"), Some("1.00 USD")).is_err());
        assert_eq!(amounts(None, Some("1.00 EUR")).unwrap().1, 100);
        assert!(amounts(None, None).is_err());
    }
}
