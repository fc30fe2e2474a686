//! An event in one line, from its bytes: what was signed, for people.

use crate::money;
use std::collections::BTreeMap;
use subak_ledger::{
    book::{
        accounts::{Account, Fund},
        equation::{Equation, EquationBucket, Whose},
        event::{Event, Terms},
        state::State,
        types::Currency,
    },
    log::{Hash, LedgerId, Statement, commit},
    store::Disclosure,
};
use subak_node::Mirror;

/// A statement: author, expiry, and its events (at most a dozen lines of them). Where it has
/// amounts without a currency, `book` tells which.
pub fn statement(s: &Statement, book: Option<&State>) -> String {
    const SHOWN: usize = 12;
    let header = s.header();
    let mut text = format!(
        "signed as {}, valid until {}:",
        header.author,
        money::show_time(header.expires_at)
    );
    for bytes in s.events().iter().take(SHOWN) {
        let line =
            Event::decode(bytes).map_or_else(|r| format!("unreadable: {r}"), |e| event(&e, book));
        text.push('\n');
        text.push_str(&wrap(&format!("  {line}"), 4));
    }
    if s.events().len() > SHOWN {
        text.push_str(&format!("\n  and {} more", s.events().len() - SHOWN));
    }
    text
}

/// Several events in one line: the event itself, or how many of which kind.
pub fn events(events: &[Event], book: Option<&State>) -> String {
    if let [one] = events {
        return event(one, book);
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for e in events {
        *counts.entry(e.name()).or_default() += 1;
    }
    let counts = counts.iter().map(|(name, n)| match n {
        1 => (*name).to_owned(),
        n => format!("{n} x {name}"),
    });
    counts.collect::<Vec<_>>().join(", ")
}

/// An account, as `cash:tess/contributors`: its kind, whose it is, of what.
pub fn account(book: &State, account: &Account) -> String {
    let handle = |a| book.agent(a).handle.as_str();
    let bucket = |id| book.buckets.get(id).map_or_else(|| short(id), |b| b.def.name.to_string());
    match account {
        Account::Receivable(a) => format!("receivable:{}", handle(*a)),
        Account::Cash(a, Fund::Contributors) => format!("cash:{}/contributors", handle(*a)),
        Account::Cash(a, Fund::Agent(of)) => format!("cash:{}/{}", handle(*a), handle(*of)),
        Account::Bucket(id) => format!("bucket:{}", bucket(id)),
        Account::Principal(id) => format!("principal:{}", bucket(id)),
        Account::Reserved(run) => format!("reserved:{run}"),
        Account::Held(id) => format!("held:{}", bucket(id)),
        Account::Carry(id) => format!("carry:{}", bucket(id)),
        Account::Fees => "fees".into(),
        Account::WriteOff => "writeoff".into(),
        Account::Revenue => "revenue".into(),
        Account::Due(agreement) => format!("due:{}", short(agreement)),
        Account::Sent(agreement) => format!("sent:{}", short(agreement)),
        Account::Credit(agreement) => format!("credit:{}", short(agreement)),
        Account::Till => "cash".into(),
    }
}

/// The commitments in an event, with what each is to; none where it does not decode.
pub fn commitments(event: &[u8]) -> Vec<(&'static str, Hash)> {
    use prost::Message as _;
    use subak_proto::v1::{self, event::Kind};
    let kind = v1::Event::decode(event).ok().and_then(|e| e.kind);
    let found: Vec<(&'static str, Vec<u8>)> = match kind {
        Some(Kind::Genesis(g)) => {
            g.agent.into_iter().flat_map(|a| [("name", a.name), ("email", a.email)]).collect()
        }
        Some(Kind::AgentJoin(a)) => vec![("name", a.name), ("email", a.email)],
        Some(Kind::AgentAdd(a)) => vec![("name", a.name), ("email", a.email)],
        Some(Kind::AgentClaim(c)) => vec![("evidence", c.evidence)],
        Some(Kind::Contribute(c)) => vec![("evidence", c.evidence)],
        Some(Kind::IncomeRecord(i)) => vec![("note", i.note)],
        Some(Kind::RevenueRecord(r)) => vec![("note", r.note)],
        Some(Kind::RevenueReverse(r)) => vec![("note", r.note)],
        _ => Vec::new(),
    };
    let hash = |bytes: Vec<u8>| Hash::try_from(bytes).ok(); // empty: nothing committed to
    found.into_iter().filter_map(|(field, bytes)| Some((field, hash(bytes)?))).collect()
}

/// Whether a disclosure opens the commitment that it is kept under: nobody's word is
/// taken for it.
pub fn opens(ledger: &LedgerId, d: &Disclosure) -> bool {
    let Ok(author) = subak_ledger::log::Handle::new(&d.author) else { return false };
    let of = |ledger: &LedgerId| {
        commit::commitment(&d.salt, &d.tag, ledger, &author, &d.field, &d.bytes) == d.commitment
    };
    of(ledger) || of(&LedgerId::ZERO) // in a genesis the id is not known yet
}

/// Text in lines of at most 80 columns where it has spaces, those after the first
/// indented by `indent`.
pub fn wrap(text: &str, indent: usize) -> String {
    const WIDTH: usize = 80;
    let mut out = String::new();
    let mut column = 0;
    for (n, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if column > indent && column + 1 + length > WIDTH {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = indent;
        } else if n > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

/// `1 commit`, `2 commits`.
pub fn count(n: u64, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

/// The first 16 hex digits of a hash, as a node names agreements, too.
pub fn short(hash: &Hash) -> String {
    hex::encode(&hash[..8])
}

/// `1 entry`, `2 entries`.
pub fn entries(n: u64) -> String {
    if n == 1 { "1 entry".to_owned() } else { format!("{n} entries") }
}

/// An amount whose currency stands elsewhere in the ledger.
pub fn amount(minor: u64, currency: Option<Currency>) -> String {
    currency.map_or_else(|| format!("{minor} minor units"), |c| money::show(minor.into(), c))
}

/// One event; `book` knows the currencies of agreements and invoices.
pub fn event(e: &Event, book: Option<&State>) -> String {
    let agreed = |digest: &Hash| {
        let agreement = book.and_then(|b| b.agreements.get(digest));
        agreement.map(|a| a.terms.currency)
    };
    let parts = |parts: &[(subak_ledger::log::Handle, u64)]| {
        parts
            .iter()
            .map(|(h, q)| format!("{h} {}", money::show_thousandths((*q).into())))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let numbers = |n: &[u64]| n.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let handles = |h: &[subak_ledger::log::Handle]| {
        h.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let name = e.name();
    match e {
        Event::Genesis(g) => format!(
            "{name}: {} of the {} {}, stewards {}, quorum {}{}{}",
            "ledger",
            g.kind,
            g.name,
            handles(&g.stewards.iter().map(|s| s.0.clone()).collect::<Vec<_>>()),
            g.quorum,
            if g.sandbox { ", SANDBOX" } else { "" },
            g.parent.as_ref().map_or_else(String::new, |p| {
                format!(", a fork of ledger {} at {}", hex::encode(p.ledger), entries(p.size))
            })
        ),
        Event::ForkCopy(part) => format!(
            "{name}: {}, {}{}",
            count(part.agents.len() as u64, "agent"),
            count(part.works.len() as u64, "contribution"),
            if part.next.is_none() { ", the last part" } else { "" }
        ),
        Event::Approve { entry, digest } => {
            format!("{name}: entry {entry}, digest {}", short(digest))
        }
        Event::Propose { events } => {
            format!(
                "{name}: {}",
                events.iter().map(|e| event(e, book)).collect::<Vec<_>>().join("; ")
            )
        }
        Event::Withdraw { entry } => format!("{name}: entry {entry}"),
        Event::AgentJoin { .. } => format!("{name}: the author, as a person"),
        Event::AgentAdd(a) => {
            let key = if a.key.is_some() { "with a key" } else { "without a key" };
            format!("{name}: {} ({}), {key}", a.handle, a.kind)
        }
        Event::AgentAdmit { agent } => format!("{name}: {agent}"),
        Event::AgentRefuse { agents } => {
            let names: Vec<_> = agents.iter().map(ToString::to_string).collect();
            format!("{name}: {}", names.join(", "))
        }
        Event::Erase { commitments } => {
            let all: Vec<_> = commitments.iter().map(short).collect();
            let texts = count(all.len() as u64, "text");
            format!("{name}: {texts}, behind {}", all.join(", "))
        }
        Event::AgentClaim { unclaimed } => format!("{name}: {unclaimed} is the author"),
        Event::ClaimAttest { unclaimed, claimant } => format!("{name}: {unclaimed} is {claimant}"),
        Event::KeyAdd { key, .. } => format!("{name}: {}", hex::encode(key)),
        Event::KeyRevoke { key, since } => {
            let whose = book.and_then(|b| Some(&b.agent(*b.keys.get(key)?).handle));
            let whose = whose.map_or_else(String::new, |handle| format!(" of {handle}"));
            format!("{name}: {}{whose}, since {}", hex::encode(key), money::show_time(*since))
        }
        Event::KeyRecover { agent, key, .. } => format!("{name}: {agent}, {}", hex::encode(key)),
        Event::EffectsConfirm { key, agents } => {
            let what = if agents.is_empty() {
                "everything that it has signed".into()
            } else {
                format!("what is owed to {}", handles(agents))
            };
            format!("{name}: {}, {what}", hex::encode(key))
        }
        Event::RoleGrant { agent, role } | Event::RoleRevoke { agent, role } => {
            format!("{name}: {role}, {agent}")
        }
        Event::Contribute(c) => format!(
            "{name}: {} on {} ({}, {}): {}",
            c.kind,
            money::show_day(c.worked_on),
            c.stream,
            c.reference,
            parts(&c.parts)
        ),
        Event::Validate { spans, remuneration, quantities } => {
            let spans: Vec<String> = spans
                .iter()
                .map(|(a, b)| if a == b { a.to_string() } else { format!("{a} to {b}") })
                .collect();
            let quantities = if quantities.is_empty() {
                String::new()
            } else {
                format!(", with {}", parts(quantities))
            };
            format!("{name}: {} as {remuneration}{quantities}", spans.join(", "))
        }
        Event::Revise { contribution, parts: p } => {
            format!("{name}: {contribution} to {}", parts(p))
        }
        Event::RejectContribution { contribution, reason } => {
            format!("{name}: {contribution}, {reason}")
        }
        Event::EquationAdopt(q) => equation(name, q),
        Event::HeldRelease { incomes, bucket } => {
            format!("{name}: incomes {}, bucket {bucket}", numbers(incomes))
        }
        Event::HeldFallback { income, bucket } => {
            format!("{name}: income {income}, bucket {bucket}")
        }
        Event::AgreementOffer(t) | Event::AgreementAccept { terms: t, .. } => terms(name, t),
        Event::AgreementStage { agreement, stage } => {
            format!("{name}: {} is {stage}", short(agreement))
        }
        Event::AgreementActive { agreement, .. }
        | Event::AgreementEnd { agreement }
        | Event::IncomeTake { agreement, .. } => format!("{name}: agreement {}", short(agreement)),
        Event::AgreementUnfreeze { agreement, entry, back_to } => {
            let what = match book.and_then(|book| book.agreement(agreement).ok()) {
                Some(a) if a.dues.last == *back_to => "all that was taken is kept".to_owned(),
                _ if *back_to == 0 => "all that was taken is undone".to_owned(),
                _ => format!("what is numbered above {back_to} is undone"),
            };
            format!("{name}: agreement {}, frozen by entry {entry}; {what}", short(agreement))
        }
        Event::IncomeRecord { payer, currency, minor, bank } => {
            format!("{name}: {} from {payer}, {bank}", money::show((*minor).into(), *currency))
        }
        Event::SettlementReceived(s) => format!(
            "{name}: {} under agreement {}, {}{}",
            amount(s.minor, agreed(&s.agreement)),
            short(&s.agreement),
            s.bank,
            s.fee.as_ref().map_or_else(String::new, |f| {
                let fee = amount(f.minor, agreed(&s.agreement));
                format!(", fee {fee} borne by {}", f.bearer)
            })
        ),
        Event::WriteOff { incomes } => format!("{name}: incomes {}", numbers(incomes)),
        Event::PayoutPropose { currency, lines, .. } => {
            let sum: i128 = lines.iter().map(|l| i128::from(l.1)).sum();
            let each: Vec<String> = lines
                .iter()
                .map(|(h, minor)| format!("{h} {}", money::plain((*minor).into(), *currency)))
                .collect();
            format!("{name}: {}: {}", money::show(sum, *currency), each.join(", "))
        }
        Event::PayoutPaid { run, agents, bank, .. } => {
            let lines = count(agents.len() as u64, "line");
            format!("{name}: run {run}, {lines} ({}), {bank}", handles(agents))
        }
        Event::PayoutFailed { run, agents, reason } => {
            format!("{name}: run {run}, {}, {reason}", handles(agents))
        }
        Event::PayoutReturned { run, agent, reason, bank, .. } => {
            format!("{name}: run {run}, {agent}, {reason}, {bank}")
        }
        Event::RevenueRecord(r) => format!(
            "{name}: invoice {}, net {}, tax {}, {}",
            r.invoice,
            money::show(r.net.into(), r.currency),
            money::show(r.tax.into(), r.currency),
            count(r.due.len() as u64, "due")
        ),
        Event::InvoiceVoid { series, number } => format!("{name}: {series}/{number}"),
        Event::RevenueReverse(r) => {
            let currency = book.and_then(|b| b.revenues.get(&r.invoice)).map(|row| row.currency);
            let (net, tax) = (amount(r.net, currency), amount(r.tax, currency));
            format!("{name}: invoice {}, net {net}, tax {tax}, {}", r.invoice, r.cause)
        }
        Event::SettlementSent(s) => {
            format!(
                "{name}: {} under agreement {}, {}",
                amount(s.minor, agreed(&s.agreement)),
                short(&s.agreement),
                s.bank
            )
        }
        Event::Handover(h) => {
            let by: Vec<_> = h.consent.iter().map(|(key, _)| signer(*key, book)).collect();
            let (key, clerk) = (hex::encode(h.key), hex::encode(h.clerk));
            format!("{name}: to operator {key}, clerk {clerk}; by {}", by.join(", "))
        }
        Event::HandoverTake { ledger, .. } => {
            format!("{name}: ledger {} has another operator", hex::encode(ledger))
        }
        Event::RulesVersion { version } => format!("{name}: {version}"),
        Event::StateRoot { root, leaves } => {
            format!("{name}: {} over {}", hex::encode(root), count(*leaves, "balance"))
        }
    }
}

/// Whose key it is.
fn signer(key: Hash, book: Option<&State>) -> String {
    let owner = book.and_then(|b| Some(b.agent(*b.keys.get(&key)?).handle.to_string()));
    let operator = book.is_some_and(|b| b.operators.iter().any(|term| term.key == key));
    owner.unwrap_or_else(|| if operator { "the operator" } else { "a key" }.to_owned())
}

/// All that an equation decides: nobody approves a name.
fn equation(name: &str, q: &Equation) -> String {
    let whose = |b: &EquationBucket| match &b.to {
        Whose::Agent(h) => h.to_string(),
        Whose::Contributors(f) => {
            let only = if f.unpaid_only { ", unpaid work only" } else { "" };
            let list =
                |names: Vec<String>| if names.is_empty() { "all".into() } else { names.join(" ") };
            let kinds = list(f.kinds.iter().map(ToString::to_string).collect());
            let streams = list(f.streams.iter().map(ToString::to_string).collect());
            let weights: Vec<String> = f.weight.iter().map(ToString::to_string).collect();
            format!(
                "contributors (kinds {kinds}, streams {streams}{only}, weights by month {})",
                weights.join(" ")
            )
        }
    };
    let buckets: Vec<String> = q
        .buckets
        .iter()
        .map(|b| format!("{} {} to {}", b.name, money::show_share(b.share), whose(b)))
        .collect();
    let rates: Vec<String> = q.rates.iter().map(|(k, r)| format!("{k} {r}")).collect();
    let minimum: Vec<String> =
        q.minimum_payout.iter().map(|(c, m)| money::show((*m).into(), *c)).collect();
    format!(
        "{name}: {} version {}; buckets: {}; rates: {}; validators {}; days of maturity {}, notice {}, claim delay {}, holding {}; fallback {}; minimum payout {}",
        q.name,
        q.version,
        buckets.join("; "),
        rates.join(", "),
        q.validators,
        q.maturity_days,
        q.notice_days,
        q.claim_delay_days,
        q.held_days,
        q.fallback.as_ref().map_or("none", |f| f.as_str()),
        if minimum.is_empty() { "none".into() } else { minimum.join(", ") }
    )
}

/// All that terms decide, the ledgers and operators by their whole ids and keys.
fn terms(name: &str, t: &Terms) -> String {
    format!(
        "{name}: {} of {} in {}{}; due after {} days, {} days of notice; payer {} (ledger {}, operator {}); commons {} (ledger {}, operator {}); agreement {}",
        money::show_share(t.share),
        t.base,
        t.currency,
        t.product.as_ref().map_or_else(String::new, |p| format!(" on {p}")),
        t.due_days,
        t.notice_days,
        t.payer_handle,
        hex::encode(t.payer),
        hex::encode(t.payer_operator),
        t.commons_handle,
        hex::encode(t.commons),
        hex::encode(t.commons_operator),
        hex::encode(t.digest)
    )
}

/// How far a copy is, in one line.
pub fn copy_of(name: &str, size: u64, mirror: &Mirror) -> String {
    let Mirror { source, size: there, heard_at, trouble } = mirror;
    let lag = match (heard_at, there.saturating_sub(size)) {
        (0, _) => "which has not answered yet".to_owned(),
        (at, 0) => format!("whole as of {}", money::show_time(*at)),
        (at, lag) => format!("{} behind as of {}", entries(lag), money::show_time(*at)),
    };
    if source.is_empty() {
        return format!("ledger {name} is read from a copy: {trouble}");
    }
    let trouble = if trouble.is_empty() { String::new() } else { format!("; {trouble}") };
    format!("ledger {name} is read from a copy of {source}, {lag}{trouble}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_have_the_names_of_the_table_of_rules() {
        let book = State::default();
        assert_eq!(account(&book, &Account::Till), "cash");
        let due = account(&book, &Account::Due([0xab; 32]));
        assert_eq!(due, "due:abababababababab");
    }

    #[test]
    fn long_lines_are_wrapped_between_words() {
        assert_eq!(wrap("  short", 4), "  short");
        let long = wrap(&format!("  {}", ["word"; 40].join(" ")), 4);
        assert!(long.lines().all(|l| l.chars().count() <= 80));
        assert!(long.lines().skip(1).all(|l| l.starts_with("    word")));
        assert_eq!(long.split_whitespace().count(), 40);
        let hash = "f".repeat(100);
        assert_eq!(
            wrap(&format!("  digest {hash} then"), 4),
            format!("  digest\n    {hash}\n    then")
        );
    }
}
