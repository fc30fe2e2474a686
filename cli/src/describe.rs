//! An event in one line, from its bytes: what was signed, for people.

use crate::money;
use subak_ledger::{
    book::event::Event,
    log::{Hash, Statement},
};

/// A statement: author, expiry, and its events (at most a dozen lines of them).
pub fn statement(s: &Statement) -> String {
    const SHOWN: usize = 12;
    let header = s.header();
    let mut text = format!(
        "signed as {}, valid until {}:",
        header.author,
        money::show_time(header.expires_at)
    );
    for bytes in s.events().iter().take(SHOWN) {
        let line = Event::decode(bytes).map_or_else(|r| format!("unreadable: {r}"), |e| event(&e));
        text.push_str("\n  ");
        text.push_str(&line);
    }
    if s.events().len() > SHOWN {
        text.push_str(&format!("\n  and {} more", s.events().len() - SHOWN));
    }
    text
}

/// The first 8 hex digits of a hash.
pub fn short(hash: &Hash) -> String {
    hex::encode(&hash[..4])
}

/// One event.
pub fn event(e: &Event) -> String {
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
            "{name}: {} of the {} {}, {} stewards, quorum {}{}",
            "ledger",
            g.kind,
            g.name,
            g.stewards.len(),
            g.quorum,
            if g.sandbox { ", SANDBOX" } else { "" }
        ),
        Event::Approve { entry, digest } => {
            format!("{name}: entry {entry}, digest {}", short(digest))
        }
        Event::Propose { events } => {
            format!("{name}: {}", events.iter().map(event).collect::<Vec<_>>().join("; "))
        }
        Event::Withdraw { entry } => format!("{name}: entry {entry}"),
        Event::AgentJoin { .. } => format!("{name}: the author, as a person"),
        Event::AgentAdd(a) => {
            let key = if a.key.is_some() { "with a key" } else { "without a key" };
            format!("{name}: {} ({}), {key}", a.handle, a.kind)
        }
        Event::AgentAdmit { agent } => format!("{name}: {agent}"),
        Event::AgentClaim { unclaimed } => format!("{name}: {unclaimed} is the author"),
        Event::ClaimAttest { unclaimed, claimant } => format!("{name}: {unclaimed} is {claimant}"),
        Event::KeyAdd { key, .. } => format!("{name}: {}", hex::encode(key)),
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
                format!(" as {}", parts(quantities))
            };
            format!("{name}: {} as {remuneration}{quantities}", spans.join(", "))
        }
        Event::Revise { contribution, parts: p } => {
            format!("{name}: {contribution} to {}", parts(p))
        }
        Event::RejectContribution { contribution, reason } => {
            format!("{name}: {contribution}, {reason}")
        }
        Event::EquationAdopt(q) => format!("{name}: {} version {}", q.name, q.version),
        Event::HeldRelease { incomes, bucket } => {
            format!("{name}: incomes {}, bucket {bucket}", numbers(incomes))
        }
        Event::HeldFallback { income, bucket } => {
            format!("{name}: income {income}, bucket {bucket}")
        }
        Event::AgreementOffer(t) | Event::AgreementAccept { terms: t, .. } => format!(
            "{name}: {} of {} in {}{}, payer {}, agreement {}",
            money::show_share(t.share),
            t.base,
            t.currency,
            t.product.as_ref().map_or_else(String::new, |p| format!(" on {p}")),
            t.payer_handle,
            short(&t.digest)
        ),
        Event::AgreementStage { agreement, stage } => {
            format!("{name}: {} is {stage}", short(agreement))
        }
        Event::AgreementActive { agreement, .. }
        | Event::AgreementEnd { agreement }
        | Event::IncomeTake { agreement, .. } => format!("{name}: agreement {}", short(agreement)),
        Event::IncomeRecord { payer, currency, minor, bank } => {
            format!("{name}: {} from {payer}, {bank}", money::show((*minor).into(), *currency))
        }
        Event::SettlementReceived(s) => format!(
            "{name}: {} minor units under agreement {}, {}{}",
            s.minor,
            short(&s.agreement),
            s.bank,
            s.fee
                .as_ref()
                .map_or_else(String::new, |f| format!(", fee {} borne by {}", f.minor, f.bearer))
        ),
        Event::WriteOff { incomes } => format!("{name}: incomes {}", numbers(incomes)),
        Event::PayoutPropose { currency, lines, .. } => {
            let sum: i128 = lines.iter().map(|l| i128::from(l.1)).sum();
            format!("{name}: {} lines, {}", lines.len(), money::show(sum, *currency))
        }
        Event::PayoutPaid { run, agents, bank, .. } => {
            format!("{name}: run {run}, {} lines ({}), {bank}", agents.len(), handles(agents))
        }
        Event::PayoutFailed { run, agents, reason } => {
            format!("{name}: run {run}, {}, {reason}", handles(agents))
        }
        Event::PayoutReturned { run, agent, reason, bank, .. } => {
            format!("{name}: run {run}, {agent}, {reason}, {bank}")
        }
        Event::RevenueRecord(r) => format!(
            "{name}: invoice {}, net {}, tax {}, {} dues",
            r.invoice,
            money::show(r.net.into(), r.currency),
            money::show(r.tax.into(), r.currency),
            r.due.len()
        ),
        Event::InvoiceVoid { series, number } => format!("{name}: {series}/{number}"),
        Event::RevenueReverse(r) => {
            format!(
                "{name}: invoice {}, net {}, tax {} minor units, {}",
                r.invoice, r.net, r.tax, r.cause
            )
        }
        Event::SettlementSent(s) => {
            format!(
                "{name}: {} minor units under agreement {}, {}",
                s.minor,
                short(&s.agreement),
                s.bank
            )
        }
    }
}
