//! `subak agreement list`: stages and figures.

use super::figures;
use crate::{context::Context, describe, failure::Done, money};
use serde_json::{Value, json};
use subak_ledger::book::{
    agreement::{Agreement, Progress},
    state::State,
    types::{Base, Handle},
};

pub(super) async fn list(cx: &Context) -> Done {
    let open = cx.read().await?;
    let book = &open.book;
    let data: Vec<Value> = book.agreements.values().map(|a| row(book, a)).collect();
    let text = if book.agreements.is_empty() {
        "no agreements yet: a payer offers one with `subak agreement offer`".to_owned()
    } else {
        let blocks: Vec<String> = book.agreements.values().map(|a| block(cx, book, a)).collect();
        blocks.join("\n\n")
    };
    cx.out.result("subak.agreement/1", &json!({ "agreements": data }), &text)
}

fn stage(book: &State, a: &Agreement) -> String {
    match (a.frozen, a.ends_at, a.progress) {
        (Some(entry), ..) => format!("frozen by entry {entry}"),
        (_, Some(end), _) if book.time >= end => format!("ended on {}", money::show_date(end)),
        (_, Some(end), _) => format!("active until {}", money::show_date(end)),
        (.., Progress::Offered) => "offered".into(),
        (.., Progress::Active) => "active".into(),
        (.., Progress::Accepted) => "accepted".into(),
    }
}

fn row(book: &State, a: &Agreement) -> Value {
    let (t, f) = (&a.terms, figures(book, a));
    let m = |v| money::json(v, t.currency);
    json!({
        "agreement": hex::encode(t.digest), "stage": stage(book, a),
        "payer": t.payer_handle.as_str(), "commons": t.commons_handle.as_str(),
        "payer_ledger": hex::encode(t.payer), "commons_ledger": hex::encode(t.commons),
        "share_ppm": t.share, "base": t.base.word(), "currency": t.currency.as_str(),
        "product": t.product.as_ref().map(Handle::as_str),
        "due_days": t.due_days, "notice_days": t.notice_days,
        "due": m(f.due), "settled": m(f.settled), "written_off": m(f.written_off),
        "open": m(f.open), "credit": m(f.credit), "last": a.dues.last,
        "frozen": a.frozen, "ends_at": a.ends_at.map(money::show_time),
    })
}

fn block(cx: &Context, book: &State, a: &Agreement) -> String {
    let (t, f) = (&a.terms, figures(book, a));
    let what = match t.base {
        Base::Payout => "payouts".to_owned(),
        base => format!("{} of {base}", money::show_share(t.share)),
    };
    let on = t.product.as_ref().map_or_else(String::new, |p| format!(" on {p}"));
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
    let mut stage = stage(book, a);
    if a.frozen.is_some() {
        stage = cx.out.bad(&stage);
    }
    format!(
        "{}  {} -> {}  {what}{on}, {}  {stage}\n          {}\n          last number {}",
        cx.out.strong(&describe::short(&t.digest)),
        t.payer_handle,
        t.commons_handle,
        t.currency,
        parts.join(", "),
        a.dues.last,
    )
}
