//! What events are made of, from their messages: lists of bounded length, in order, each field in its
//! form.

use crate::book::{
    equation::{Equation, ascending},
    event::*,
    fork::MAX_COPIED,
    handover::MAX_CONSENTS,
    keys::MAX_KEYS,
    types::*,
};
use crate::{
    log::{Hash, canonical},
    reject::{Code, Outcome, Reject, require},
};
use std::sync::Arc;
use subak_proto::v1;

pub(super) fn malformed(detail: impl Into<String>) -> Reject {
    Reject::new(Code::Malformed, detail)
}

pub(super) fn hash(bytes: &[u8], field: &str) -> Outcome<Hash> {
    canonical::hash32(bytes, field)
}

pub(super) fn maybe(bytes: &[u8], field: &str) -> Outcome<Option<Hash>> {
    if bytes.is_empty() { Ok(None) } else { hash(bytes, field).map(Some) }
}

pub(super) fn present<T>(field: Option<T>, name: &str) -> Outcome<T> {
    field.ok_or_else(|| malformed(format!("{name}: required, found none")))
}

pub(super) fn listed(len: usize, most: usize, what: &str) -> Outcome {
    require((1..=most).contains(&len), Code::Malformed, || {
        format!("{what}: expected 1 to {most}, found {len}")
    })
}

pub(super) fn erased(commitments: &[Vec<u8>]) -> Outcome<Vec<Hash>> {
    listed(commitments.len(), MAX_ERASED, "commitments")?;
    let commitments: Vec<Hash> =
        commitments.iter().map(|c| hash(c, "commitment")).collect::<Outcome<_>>()?;
    ascending(&commitments, "commitments")?;
    require(commitments[0] != [0; 32], Code::Malformed, || "a commitment of zeros is none".into())?;
    Ok(commitments)
}

pub(super) fn possession(bytes: &[u8]) -> Outcome<[u8; 64]> {
    bytes.try_into().map_err(|_| malformed("possession: expected 64 bytes"))
}

pub(super) fn handover(h: v1::Handover) -> Outcome<Handover> {
    listed(h.consent.len(), MAX_CONSENTS, "consents")?;
    let signed = |c: &v1::Consent| Ok((hash(&c.key, "consent key")?, possession(&c.signature)?));
    let consent: Vec<_> = h.consent.iter().map(signed).collect::<Outcome<_>>()?;
    require(consent.windows(2).all(|w| w[0].0 < w[1].0), Code::Malformed, || {
        "consents: expected ascending by key, each once".into()
    })?;
    Ok(Handover {
        key: hash(&h.key, "key")?,
        clerk: hash(&h.clerk, "clerk")?,
        checkpoint: h.checkpoint,
        possession: possession(&h.possession)?,
        consent,
        expires_at: h.expires_at,
    })
}

pub(super) fn confirmed(agents: &[String]) -> Outcome<Vec<Handle>> {
    require(agents.len() <= MAX_CONFIRMED, Code::Malformed, || {
        format!("agents: at most {MAX_CONFIRMED}, found {}", agents.len())
    })?;
    let agents: Vec<Handle> = agents.iter().map(|a| Handle::new(a)).collect::<Outcome<_>>()?;
    ascending(&agents, "agents")?;
    Ok(agents)
}

pub(super) fn nested(events: &[Vec<u8>], may_nest: bool) -> Outcome<Vec<Event>> {
    require(may_nest, Code::NotProposable, || "a proposal within a proposal".into())?;
    listed(events.len(), 100, "proposed events")?;
    events.iter().map(|bytes| Event::read(Event::wire(bytes)?, false)).collect()
}

pub(super) fn genesis(g: v1::Genesis) -> Outcome<Genesis> {
    hash(&g.random, "random")?;
    Ok(Genesis {
        kind: AgentKind::from_wire(g.kind)?,
        name: Handle::new(&g.name)?,
        sandbox: g.sandbox,
        stewards: g
            .steward
            .iter()
            .map(|s| Ok((Handle::new(&s.agent)?, hash(&s.key, "steward key")?)))
            .collect::<Outcome<_>>()?,
        roles: g.steward_role.iter().map(|r| Role::from_wire(*r)).collect::<Outcome<_>>()?,
        quorum: g.quorum,
        clerk: hash(&g.clerk_key, "clerk_key")?,
        operator: hash(&g.operator_key, "operator_key")?,
        agents: g.agent.iter().map(agent_add).collect::<Outcome<_>>()?,
        equation: g.equation.map(|e| Equation::from_wire(e).map(Arc::new)).transpose()?,
        parent: g.parent.map(|p| parent(p).map(Arc::new)).transpose()?,
    })
}

pub(super) fn parent(p: v1::Parent) -> Outcome<Parent> {
    require(p.size > 0, Code::Malformed, || "parent: expected entries, found 0".into())?;
    require(p.path.len() <= 64, Code::Malformed, || "a path has at most 64 hashes".into())?;
    Ok(Parent {
        ledger: hash(&p.ledger, "parent ledger")?,
        size: p.size,
        root: hash(&p.root, "parent root")?,
        operator: hash(&p.operator, "parent operator")?,
        path: p.path.iter().map(|h| hash(h, "path")).collect::<Outcome<_>>()?,
        checkpoint: p.checkpoint,
        copy: hash(&p.copy, "copy")?,
    })
}

pub(super) fn fork_copy(c: &v1::ForkCopy) -> Outcome<ForkCopy> {
    let rows = c.agent.len() + c.work.len();
    require(rows > 0, Code::Malformed, || "a part of a copy has agents or work".into())?;
    require(c.work.len() <= MAX_COPIED, Code::Malformed, || {
        format!("work: at most {MAX_COPIED} pieces in a part, found {}", c.work.len())
    })?;
    Ok(ForkCopy {
        digest: crate::book::fork::digest_of(c),
        agents: c.agent.iter().map(fork_agent).collect::<Outcome<_>>()?,
        works: c.work.iter().map(fork_work).collect::<Outcome<_>>()?,
        next: maybe(&c.next, "next")?,
    })
}

/// A date of the parent's: no rule that adds days to it wraps.
pub(super) fn past(what: &str, ms: u64) -> Outcome {
    require(ms <= LAST_TIME, Code::Malformed, || format!("{what}: at most {LAST_TIME}, found {ms}"))
}

pub(super) fn fork_agent(a: &v1::ForkAgent) -> Outcome<ForkAgent> {
    let keys = |keys: &[Vec<u8>]| keys.iter().map(|key| hash(key, "key")).collect::<Outcome<_>>();
    let revoked: Vec<Hash> = keys(&a.revoked)?;
    ascending(&revoked, "revoked keys")?;
    require(a.key.len() <= MAX_KEYS, Code::Malformed, || {
        format!("{}: at most {MAX_KEYS} keys, found {}", a.handle, a.key.len())
    })?;
    require(a.alias.is_empty() == (a.alias_since == 0), Code::Malformed, || {
        "an alias, and since when, or neither".into()
    })?;
    past("alias_since", a.alias_since)?;
    let alias = (!a.alias.is_empty()).then(|| Handle::new(&a.alias)).transpose()?;
    Ok(ForkAgent {
        handle: Handle::new(&a.handle)?,
        kind: AgentKind::from_wire(a.kind)?,
        keys: keys(&a.key)?,
        revoked,
        admitted: a.admitted,
        alias: alias.map(|person| (person, a.alias_since)),
    })
}

pub(super) fn fork_work(w: &v1::ForkWork) -> Outcome<ForkWork> {
    listed(w.part.len(), 64, "parts")?;
    past("claimed_at", w.claimed_at)?;
    Ok(ForkWork {
        reference: Reference::new(&w.reference)?,
        kind: Handle::new(&w.kind)?,
        stream: Stream::from_wire(w.stream)?,
        worked_on: w.worked_on,
        rate: w.rate,
        claimant: Handle::new(&w.claimant)?,
        claimed_at: w.claimed_at,
        parts: w.part.iter().map(fork_part).collect::<Outcome<_>>()?,
    })
}

pub(super) fn fork_part(p: &v1::ForkPart) -> Outcome<ForkPart> {
    past("matures_at", p.matures_at)?;
    past("since", p.since)?;
    Ok(ForkPart {
        agent: Handle::new(&p.agent)?,
        quantity: p.quantity,
        remuneration: Remuneration::from_wire(p.remuneration)?,
        votes: p.vote.iter().map(|v| Handle::new(v)).collect::<Outcome<_>>()?,
        since: p.since,
        counted: p.counted,
        counted_unpaid: p.counted_unpaid,
        maturing: p.maturing,
        matures_at: p.matures_at,
    })
}

pub(super) fn agent_add(a: &v1::AgentAdd) -> Outcome<AgentAdd> {
    Ok(AgentAdd {
        handle: Handle::new(&a.handle)?,
        kind: AgentKind::from_wire(a.kind)?,
        key: maybe(&a.key, "key")?,
        name: maybe(&a.name, "name")?,
        email: maybe(&a.email, "email")?,
    })
}

pub(super) fn contribute(c: &v1::Contribute) -> Outcome<Contribute> {
    Ok(Contribute {
        reference: Reference::new(&c.reference)?,
        kind: Handle::new(&c.kind)?,
        stream: Stream::from_wire(c.stream)?,
        worked_on: c.worked_on,
        parts: quantities(&c.part)?,
        evidence: maybe(&c.evidence, "evidence")?,
    })
}

pub(super) fn quantities(parts: &[v1::Part]) -> Outcome<Quantities> {
    parts.iter().map(|p| Ok((Handle::new(&p.agent)?, p.quantity))).collect()
}

pub(super) fn place(r: Option<&v1::Ref>) -> Outcome<Ref> {
    let r = r.ok_or_else(|| malformed("a reference to a contribution is absent"))?;
    Ok(Ref { entry: r.entry, event: r.event })
}

pub(super) fn spans(spans: &[v1::Span]) -> Outcome<Vec<(Ref, Ref)>> {
    listed(spans.len(), 100, "spans")?;
    let spans: Vec<(Ref, Ref)> = spans
        .iter()
        .map(|s| Ok((place(s.first.as_ref())?, place(s.last.as_ref())?)))
        .collect::<Outcome<_>>()?;
    let ordered = spans.iter().all(|(a, b)| a <= b) && spans.windows(2).all(|w| w[0].1 < w[1].0);
    require(ordered, Code::Malformed, || "spans: expected ascending, without overlap".into())?;
    Ok(spans)
}

pub(super) fn terms(t: &v1::Terms) -> Outcome<Terms> {
    use prost::Message as _;
    require(t.random.len() == 16, Code::Malformed, || "terms: random has 16 bytes".into())?;
    Ok(Terms {
        digest: blake3::derive_key("subak 2026 agreement terms v1", &t.encode_to_vec()),
        payer: hash(&t.payer, "payer")?,
        payer_operator: hash(&t.payer_operator, "payer_operator")?,
        commons: hash(&t.commons, "commons")?,
        commons_operator: hash(&t.commons_operator, "commons_operator")?,
        payer_handle: Handle::new(&t.payer_handle)?,
        commons_handle: Handle::new(&t.commons_handle)?,
        share: t.share,
        base: Base::from_wire(t.base)?,
        currency: Currency::new(&t.currency)?,
        due_days: t.due_days,
        notice_days: t.notice_days,
        product: if t.product.is_empty() { None } else { Some(Handle::new(&t.product)?) },
    })
}

/// The digest that names an agreement, from its wire form.
pub fn terms_digest(t: &v1::Terms) -> Outcome<Hash> {
    terms(t).map(|t| t.digest)
}

pub(super) fn proof(p: Option<v1::Proof>) -> Outcome<Proof> {
    let p = present(p, "proof")?;
    require(p.path.len() <= 64, Code::Malformed, || "a path has at most 64 hashes".into())?;
    Ok(Proof {
        path: p.path.iter().map(|h| hash(h, "path")).collect::<Outcome<_>>()?,
        envelope: p.envelope,
        leaf: p.leaf,
        checkpoint: p.checkpoint,
    })
}

pub(super) fn dues(due: &[v1::Due]) -> Outcome<Vec<Due>> {
    let due: Vec<Due> = due
        .iter()
        .map(|d| {
            require(d.number > 0, Code::Malformed, || "dues: numbers begin at 1".into())?;
            Ok(Due {
                agreement: hash(&d.agreement, "agreement")?,
                number: d.number,
                amount: d.amount,
            })
        })
        .collect::<Outcome<_>>()?;
    ascending(&due.iter().map(|d| d.agreement).collect::<Vec<_>>(), "dues")?;
    Ok(due)
}

pub(super) fn items(items: &[v1::SettleItem]) -> Outcome<Vec<(u64, Minor)>> {
    require(items.len() <= 1_000, Code::Malformed, || "at most 1,000 items".into())?;
    ascending(&items.iter().map(|i| i.income).collect::<Vec<_>>(), "items")?;
    items.iter().map(|i| Ok((i.income, amount(i.minor, "item")?))).collect()
}

pub(super) fn fee(f: v1::Fee) -> Outcome<Fee> {
    Ok(Fee { minor: amount(f.minor, "fee")?, bearer: Handle::new(&f.bearer)? })
}

pub(super) fn handles_in_order(handles: &[Handle]) -> Outcome {
    let fits = (1..=1_000).contains(&handles.len()) && handles.windows(2).all(|w| w[0] < w[1]);
    require(fits, Code::LinesInvalid, || format!("found {} lines", handles.len()))
}

pub(super) fn line_agents(agents: &[String]) -> Outcome<Vec<Handle>> {
    let handles: Vec<Handle> = agents.iter().map(|a| Handle::new(a)).collect::<Outcome<_>>()?;
    handles_in_order(&handles)?;
    Ok(handles)
}

pub(super) fn invoice(i: Option<v1::Invoice>) -> Outcome<InvoiceId> {
    let i = present(i, "invoice")?;
    require(i.number > 0, Code::Malformed, || "an invoice number begins at 1".into())?;
    Ok(InvoiceId { series: Handle::new(&i.series)?, number: i.number, line: i.line })
}
