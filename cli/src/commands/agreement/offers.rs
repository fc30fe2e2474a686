//! Offers to a commons that its stewards have not accepted, as they stand in its payers' logs.
//!
//! Owns how they are found and shown. Leaves out accepting one (`accept`).

use super::{approvals, what};
use crate::{context::Context, counterpart::Elsewhere, describe};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use subak_ledger::{
    book::{
        agreement::{Agreement, Progress},
        event::Event,
        state::State,
        types::{AgentKind, Handle},
    },
    log::{Hash, LedgerId},
};
use subak_node::LedgerInfo;

/// What a payer's book has under terms with the commons `mine`.
pub(super) fn to(payer: &State, mine: LedgerId) -> impl Iterator<Item = &Arc<Agreement>> {
    let ours =
        move |a: &&Arc<Agreement>| a.terms.commons == mine.0 && a.terms.payer == payer.ledger.0;
    payer.agreements.values().filter(ours)
}

/// Whether a ledger may have an offer for this commons: one that an agent here is called after. Not
/// every copy that a node keeps is folded for a list.
pub(super) fn may_offer(book: &State, info: &LedgerInfo) -> bool {
    let agent = Handle::new(&info.name).ok().and_then(|name| book.find(&name).ok());
    let kind = agent.map(|id| book.agent(id).kind);
    book.root().kind == AgentKind::Commons
        && info.id != book.ledger
        && matches!(kind, Some(AgentKind::Phyle | AgentKind::Commons))
}

/// An offer, and the entry here that proposes to accept it, where one does.
pub(super) struct Offer<'a> {
    a: &'a Agreement,
    proposed: Option<u64>,
}

/// The offers in other ledgers' books that are not accepted in this one.
pub(super) fn waiting<'a>(
    book: &State,
    others: &'a BTreeMap<LedgerId, Arc<State>>,
) -> Vec<Offer<'a>> {
    let open = |a: &&Arc<Agreement>| {
        let known = book.agreements.contains_key(&a.terms.digest);
        a.progress == Progress::Offered && a.ends_at.is_none() && !known
    };
    let all = others.values().flat_map(|payer| to(payer, book.ledger)).filter(open);
    all.map(|a| Offer { a, proposed: proposed(book, &a.terms.digest) }).collect()
}

fn proposed(book: &State, digest: &Hash) -> Option<u64> {
    let accepts =
        |e: &Event| matches!(e, Event::AgreementAccept { terms, .. } if terms.digest == *digest);
    let mut all = book.proposals.iter();
    all.find(|(_, proposal)| proposal.events.iter().any(accepts)).map(|(entry, _)| *entry)
}

pub(super) fn row(offer: &Offer<'_>) -> Value {
    let t = &offer.a.terms;
    json!({
        "agreement": hex::encode(t.digest), "payer": t.payer_handle.as_str(),
        "payer_ledger": hex::encode(t.payer), "share_ppm": t.share, "base": t.base.word(),
        "currency": t.currency.as_str(), "product": t.product.as_ref().map(Handle::as_str),
        "due_days": t.due_days, "notice_days": t.notice_days, "proposed": offer.proposed,
    })
}

pub(super) fn block(
    cx: &Context,
    book: &State,
    elsewhere: &Elsewhere,
    offer: &Offer<'_>,
) -> String {
    let (t, short) = (&offer.a.terms, describe::short(&offer.a.terms.digest));
    let next = if let Some(entry) = offer.proposed {
        format!("its acceptance waits for {}", approvals(book, entry))
    } else {
        let (name, there) = (&book.root().name, elsewhere.again());
        format!("next: `subak agreement accept {short} --ledger {name}{there}`")
    };
    format!(
        "{}  {} -> {}  {}, {}  offered to you\n          to be paid within {}; ends {} after notice\n          {next}",
        cx.out.strong(&short),
        t.payer_handle,
        t.commons_handle,
        what(t),
        t.currency,
        describe::count(t.due_days.into(), "day"),
        describe::count(t.notice_days.into(), "day"),
    )
}
