//! From bytes to facts: each event decoded totally, once, at the edge.
//!
//! Guarantees that an [`Event`] is the only reading of its bytes (canonical check)
//! and that every field has the form the schema promises. Leaves out whether the
//! fact may be recorded: that is for the guards.

use super::{
    equation::{Equation, ascending},
    fork::MAX_COPIED,
    handover::MAX_CONSENTS,
    keys::MAX_KEYS,
    types::*,
};
use crate::{
    log::{Hash, canonical},
    reject::{Code, Outcome, Reject, require},
};
use smallvec::SmallVec;
use std::sync::Arc;
use subak_proto::v1;

/// Commitments that one event erases.
pub const MAX_ERASED: usize = 100;
/// Agents that one EffectsConfirm names.
pub const MAX_CONFIRMED: usize = 100;

/// One fact, checked in form.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // each variant is the message of the same name in event.proto
pub enum Event {
    Genesis(Box<Genesis>),
    Approve {
        entry: u64,
        digest: Hash,
    },
    Propose {
        events: Vec<Event>,
    },
    Withdraw {
        entry: u64,
    },
    AgentJoin {
        name: Option<Hash>,
        email: Option<Hash>,
    },
    AgentAdd(AgentAdd),
    AgentAdmit {
        agent: Handle,
    },
    AgentRefuse {
        agents: Vec<Handle>,
    },
    Erase {
        commitments: Vec<Hash>,
    },
    AgentClaim {
        unclaimed: Handle,
    },
    ClaimAttest {
        unclaimed: Handle,
        claimant: Handle,
    },
    KeyAdd {
        key: Hash,
        possession: [u8; 64],
    },
    KeyRevoke {
        key: Hash,
        since: u64,
    },
    KeyRecover {
        agent: Handle,
        key: Hash,
        possession: [u8; 64],
    },
    EffectsConfirm {
        key: Hash,
        agents: Vec<Handle>,
    },
    RoleGrant {
        agent: Handle,
        role: Role,
    },
    RoleRevoke {
        agent: Handle,
        role: Role,
    },
    Contribute(Contribute),
    Validate {
        spans: Vec<(Ref, Ref)>,
        remuneration: Remuneration,
        quantities: Quantities,
    },
    Revise {
        contribution: Ref,
        parts: Quantities,
    },
    RejectContribution {
        contribution: Ref,
        reason: RejectReason,
    },
    EquationAdopt(Arc<Equation>),
    HeldRelease {
        incomes: Vec<u64>,
        bucket: Handle,
    },
    HeldFallback {
        income: u64,
        bucket: Handle,
    },
    AgreementOffer(Arc<Terms>),
    AgreementAccept {
        terms: Arc<Terms>,
        proof: Proof,
    },
    AgreementStage {
        agreement: Hash,
        stage: Stage,
    },
    AgreementActive {
        agreement: Hash,
        proof: Proof,
    },
    AgreementEnd {
        agreement: Hash,
    },
    AgreementUnfreeze {
        agreement: Hash,
        entry: u64,
        back_to: u64,
    },
    IncomeTake {
        agreement: Hash,
        proof: Proof,
    },
    IncomeRecord {
        payer: Handle,
        currency: Currency,
        minor: Minor,
        bank: Reference,
    },
    SettlementReceived(Settlement),
    WriteOff {
        incomes: Vec<u64>,
    },
    PayoutPropose {
        currency: Currency,
        lines: Vec<(Handle, Minor)>,
        expires_at: u64,
        cash_of: Option<Handle>,
    },
    PayoutPaid {
        run: u64,
        agents: Vec<Handle>,
        bank: Reference,
        fee: Option<Fee>,
        due: Vec<Due>,
    },
    PayoutFailed {
        run: u64,
        agents: Vec<Handle>,
        reason: FailReason,
    },
    PayoutReturned {
        run: u64,
        agent: Handle,
        reason: FailReason,
        bank: Reference,
        due: Vec<Due>,
    },
    RevenueRecord(Revenue),
    InvoiceVoid {
        series: Handle,
        number: u64,
    },
    RevenueReverse(RevenueReverse),
    SettlementSent(Sending),
    StateRoot {
        root: Hash,
        leaves: u64,
    },
    Handover(Handover),
    HandoverTake {
        ledger: Hash,
        proof: Proof,
    },
    RulesVersion {
        version: u32,
    },
    ForkCopy(Box<ForkCopy>),
}

/// See `Genesis` in event.proto.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Genesis {
    pub kind: AgentKind,
    pub name: Handle,
    pub sandbox: bool,
    pub stewards: Vec<(Handle, Hash)>,
    pub roles: Vec<Role>,
    pub quorum: u32,
    pub clerk: Hash,
    pub operator: Hash,
    pub agents: Vec<AgentAdd>,
    pub equation: Option<Arc<Equation>>,
    pub parent: Option<Arc<Parent>>,
}

/// See `Parent` in event.proto.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Parent {
    pub ledger: Hash,
    pub size: u64,
    pub root: Hash,
    pub operator: Hash,
    pub checkpoint: String,
    pub path: Vec<Hash>,
    pub copy: Hash,
}

/// See `ForkCopy` in event.proto.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct ForkCopy {
    /// By which the genesis, or the part before it, names it.
    pub digest: Hash,
    pub agents: Vec<ForkAgent>,
    pub works: Vec<ForkWork>,
    pub next: Option<Hash>,
}

/// See `ForkAgent` in event.proto.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct ForkAgent {
    pub handle: Handle,
    pub kind: AgentKind,
    pub keys: Vec<Hash>,
    pub revoked: Vec<Hash>,
    pub admitted: bool,
    pub alias: Option<(Handle, u64)>,
}

/// See `ForkWork` in event.proto.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct ForkWork {
    pub reference: Reference,
    pub kind: Handle,
    pub stream: Stream,
    pub worked_on: u32,
    pub rate: u32,
    pub claimant: Handle,
    pub claimed_at: u64,
    pub parts: Vec<ForkPart>,
}

/// See `ForkPart` in event.proto.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct ForkPart {
    pub agent: Handle,
    pub quantity: u64,
    pub remuneration: Remuneration,
    pub votes: Vec<Handle>,
    pub since: u64,
    pub counted: Points,
    pub counted_unpaid: Points,
    pub maturing: Points,
    pub matures_at: u64,
}

/// See `AgentAdd` in event.proto.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct AgentAdd {
    pub handle: Handle,
    pub kind: AgentKind,
    pub key: Option<Hash>,
    pub name: Option<Hash>,
    pub email: Option<Hash>,
}

/// Agents and how much of each, in thousandths: one, mostly.
pub type Quantities = SmallVec<[(Handle, u64); 1]>;

/// See `Contribute` in event.proto.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Contribute {
    pub reference: Reference,
    pub kind: Handle,
    pub stream: Stream,
    pub worked_on: u32,
    pub parts: Quantities,
    pub evidence: Option<Hash>,
}

/// An agreement's terms: see `Terms` in event.proto.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Terms {
    /// BLAKE3 derive_key over the canonical encoding: the agreement's name.
    pub digest: Hash,
    pub payer: Hash,
    pub payer_operator: Hash,
    pub commons: Hash,
    pub commons_operator: Hash,
    pub payer_handle: Handle,
    pub commons_handle: Handle,
    pub share: u32,
    pub base: Base,
    pub currency: Currency,
    pub due_days: u32,
    pub notice_days: u32,
    /// None: every revenue in the currency.
    pub product: Option<Handle>,
}

impl Terms {
    /// The last moment, ms, at which what was recorded at `at` is not overdue.
    pub fn due_by(&self, at: u64) -> u64 {
        at.saturating_add(u64::from(self.due_days) * DAY_MS)
    }
}

/// An entry of another ledger with its proof, not yet checked.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Proof {
    pub envelope: Vec<u8>,
    pub leaf: Vec<u8>,
    pub path: Vec<Hash>,
    pub checkpoint: String,
}

/// See `Handover` in event.proto.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Handover {
    pub key: Hash,
    pub clerk: Hash,
    pub checkpoint: String,
    pub possession: [u8; 64],
    /// Keys, and what they have signed; ascending by key.
    pub consent: Vec<(Hash, [u8; 64])>,
    pub expires_at: u64,
}

/// What an event produces under an agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Due {
    pub agreement: Hash,
    pub number: u64,
    pub amount: Minor,
}

/// A bank's fee and who bears it.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Fee {
    pub minor: Minor,
    pub bearer: Handle,
}

/// See `SettlementReceived` in event.proto.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Settlement {
    pub agreement: Hash,
    pub minor: Minor,
    pub bank: Reference,
    pub items: Vec<(u64, Minor)>,
    pub fee: Option<Fee>,
}

/// An invoice or one line of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct InvoiceId {
    pub series: Handle,
    pub number: u64,
    pub line: u32,
}

impl std::fmt::Display for InvoiceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.series, self.number)?;
        if self.line > 0 { write!(f, ".{}", self.line) } else { Ok(()) }
    }
}

/// See `RevenueRecord` in event.proto.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Revenue {
    pub invoice: InvoiceId,
    pub product: Option<Handle>,
    pub currency: Currency,
    pub net: Minor,
    pub tax: Minor,
    pub due: Vec<Due>,
}

/// See `RevenueReverse` in event.proto.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct RevenueReverse {
    pub invoice: InvoiceId,
    pub net: Minor,
    pub tax: Minor,
    pub cause: Cause,
    pub due: Vec<Due>,
}

/// See `SettlementSent` in event.proto.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Sending {
    pub agreement: Hash,
    pub minor: Minor,
    pub bank: Reference,
    pub items: Vec<(u64, Minor)>,
    pub fee: Minor,
}

impl Event {
    /// Decodes one event (`malformed`, `too-large` and what its fields' types refuse).
    pub fn decode(bytes: &[u8]) -> Outcome<Self> {
        Self::from_wire(Self::wire(bytes)?)
    }

    /// The message in `bytes`, held to the canonical form (`malformed`).
    pub fn wire(bytes: &[u8]) -> Outcome<v1::Event> {
        canonical::decode(bytes, "event")
    }

    /// The fact that a message states, which must be in canonical form: see [`Event::wire`].
    pub fn from_wire(wire: v1::Event) -> Outcome<Self> {
        Self::read(wire, true)
    }

    /// `may_nest` is false only inside a proposal.
    fn read(wire: v1::Event, may_nest: bool) -> Outcome<Self> {
        use v1::event::Kind as K;
        let kind = wire.kind.ok_or_else(|| malformed("event: its kind is absent or unknown"))?;
        Ok(match kind {
            K::Genesis(g) => Self::Genesis(Box::new(genesis(g)?)),
            K::Approve(a) => Self::Approve { entry: a.entry, digest: hash(&a.digest, "digest")? },
            K::Propose(p) => Self::Propose { events: nested(&p.event, may_nest)? },
            K::Withdraw(w) => Self::Withdraw { entry: w.entry },
            K::AgentJoin(j) => {
                Self::AgentJoin { name: maybe(&j.name, "name")?, email: maybe(&j.email, "email")? }
            }
            K::AgentAdd(a) => Self::AgentAdd(agent_add(&a)?),
            K::AgentAdmit(a) => Self::AgentAdmit { agent: Handle::new(&a.agent)? },
            K::AgentRefuse(a) => {
                listed(a.agent.len(), 1_000, "agents")?;
                let agents = a.agent.iter().map(|h| Handle::new(h)).collect::<Outcome<Vec<_>>>()?;
                Self::AgentRefuse { agents }
            }
            K::Erase(e) => Self::Erase { commitments: erased(&e.commitment)? },
            K::AgentClaim(c) => {
                maybe(&c.evidence, "evidence")?;
                Self::AgentClaim { unclaimed: Handle::new(&c.unclaimed)? }
            }
            K::ClaimAttest(c) => Self::ClaimAttest {
                unclaimed: Handle::new(&c.unclaimed)?,
                claimant: Handle::new(&c.claimant)?,
            },
            K::KeyAdd(k) => {
                Self::KeyAdd { key: hash(&k.key, "key")?, possession: possession(&k.possession)? }
            }
            K::KeyRevoke(k) => {
                require(k.since > 0, Code::Malformed, || "since: expected a time, found 0".into())?;
                Self::KeyRevoke { key: hash(&k.key, "key")?, since: k.since }
            }
            K::KeyRecover(k) => Self::KeyRecover {
                agent: Handle::new(&k.agent)?,
                key: hash(&k.key, "key")?,
                possession: possession(&k.possession)?,
            },
            K::EffectsConfirm(e) => {
                Self::EffectsConfirm { key: hash(&e.key, "key")?, agents: confirmed(&e.agent)? }
            }
            K::RoleGrant(r) => {
                Self::RoleGrant { agent: Handle::new(&r.agent)?, role: Role::from_wire(r.role)? }
            }
            K::RoleRevoke(r) => {
                Self::RoleRevoke { agent: Handle::new(&r.agent)?, role: Role::from_wire(r.role)? }
            }
            K::Contribute(c) => Self::Contribute(contribute(&c)?),
            K::Validate(v) => Self::Validate {
                spans: spans(&v.span)?,
                remuneration: Remuneration::from_wire(v.remuneration)?,
                quantities: quantities(&v.quantity)?,
            },
            K::Revise(r) => Self::Revise {
                contribution: place(r.contribution.as_ref())?,
                parts: quantities(&r.part)?,
            },
            K::RejectContribution(r) => Self::RejectContribution {
                contribution: place(r.contribution.as_ref())?,
                reason: RejectReason::from_wire(r.reason)?,
            },
            K::EquationAdopt(e) => Self::EquationAdopt(Arc::new(Equation::from_wire(present(
                e.equation, "equation",
            )?)?)),
            K::HeldRelease(h) => {
                listed(h.income.len(), 1_000, "incomes")?;
                ascending(&h.income, "incomes")?;
                Self::HeldRelease { incomes: h.income, bucket: Handle::new(&h.bucket)? }
            }
            K::HeldFallback(h) => {
                Self::HeldFallback { income: h.income, bucket: Handle::new(&h.bucket)? }
            }
            K::AgreementOffer(a) => {
                Self::AgreementOffer(Arc::new(terms(&present(a.terms, "terms")?)?))
            }
            K::AgreementAccept(a) => Self::AgreementAccept {
                terms: Arc::new(terms(&present(a.terms, "terms")?)?),
                proof: proof(a.proof)?,
            },
            K::AgreementStage(a) => Self::AgreementStage {
                agreement: hash(&a.agreement, "agreement")?,
                stage: Stage::from_wire(a.stage)?,
            },
            K::AgreementActive(a) => Self::AgreementActive {
                agreement: hash(&a.agreement, "agreement")?,
                proof: proof(a.proof)?,
            },
            K::AgreementEnd(a) => {
                Self::AgreementEnd { agreement: hash(&a.agreement, "agreement")? }
            }
            K::AgreementUnfreeze(a) => Self::AgreementUnfreeze {
                agreement: hash(&a.agreement, "agreement")?,
                entry: a.entry,
                back_to: a.back_to,
            },
            K::IncomeTake(i) => Self::IncomeTake {
                agreement: hash(&i.agreement, "agreement")?,
                proof: proof(i.proof)?,
            },
            K::IncomeRecord(i) => {
                maybe(&i.note, "note")?;
                let money = present(i.amount, "amount")?;
                Self::IncomeRecord {
                    payer: Handle::new(&i.payer)?,
                    currency: Currency::new(&money.currency)?,
                    minor: amount(money.minor, "amount")?,
                    bank: Reference::bank(&i.bank)?,
                }
            }
            K::SettlementReceived(s) => Self::SettlementReceived(Settlement {
                agreement: hash(&s.agreement, "agreement")?,
                minor: amount(s.minor, "settlement")?,
                bank: Reference::bank(&s.bank)?,
                items: items(&s.item)?,
                fee: s.fee.map(fee).transpose()?,
            }),
            K::WriteOff(w) => {
                listed(w.income.len(), 1_000, "incomes")?;
                ascending(&w.income, "incomes")?;
                Self::WriteOff { incomes: w.income }
            }
            K::PayoutPropose(p) => {
                let lines = p
                    .line
                    .iter()
                    .map(|l| Ok((Handle::new(&l.agent)?, amount(l.minor, "line")?)))
                    .collect::<Outcome<Vec<_>>>()?;
                handles_in_order(&lines.iter().map(|l| l.0.clone()).collect::<Vec<_>>())?;
                let currency = Currency::new(&p.currency)?;
                let cash_of = (!p.cash_of.is_empty()).then(|| Handle::new(&p.cash_of));
                let (expires_at, cash_of) = (p.expires_at, cash_of.transpose()?);
                Self::PayoutPropose { currency, lines, expires_at, cash_of }
            }
            K::PayoutPaid(p) => Self::PayoutPaid {
                run: p.run,
                agents: line_agents(&p.agent)?,
                bank: Reference::bank(&p.bank)?,
                fee: p.fee.map(fee).transpose()?,
                due: dues(&p.due)?,
            },
            K::PayoutFailed(p) => Self::PayoutFailed {
                run: p.run,
                agents: line_agents(&p.agent)?,
                reason: FailReason::from_wire(p.reason)?,
            },
            K::PayoutReturned(p) => Self::PayoutReturned {
                run: p.run,
                agent: Handle::new(&p.agent)?,
                reason: FailReason::from_wire(p.reason)?,
                bank: Reference::bank(&p.bank)?,
                due: dues(&p.due)?,
            },
            K::RevenueRecord(r) => {
                maybe(&r.note, "note")?;
                Self::RevenueRecord(Revenue {
                    invoice: invoice(r.invoice)?,
                    product: if r.product.is_empty() {
                        None
                    } else {
                        Some(Handle::new(&r.product)?)
                    },
                    currency: Currency::new(&r.currency)?,
                    net: amount(r.net, "net")?,
                    tax: if r.tax == 0 { 0 } else { amount(r.tax, "tax")? },
                    due: dues(&r.due)?,
                })
            }
            K::InvoiceVoid(v) => {
                let id =
                    invoice(Some(v1::Invoice { series: v.series, number: v.number, line: 0 }))?;
                Self::InvoiceVoid { series: id.series, number: id.number }
            }
            K::RevenueReverse(r) => {
                maybe(&r.note, "note")?;
                amount(r.net.saturating_add(r.tax), "reversal")?;
                Self::RevenueReverse(RevenueReverse {
                    invoice: invoice(r.invoice)?,
                    net: r.net,
                    tax: r.tax,
                    cause: Cause::from_wire(r.cause)?,
                    due: dues(&r.due)?,
                })
            }
            K::SettlementSent(s) => Self::SettlementSent(Sending {
                agreement: hash(&s.agreement, "agreement")?,
                minor: amount(s.minor, "settlement")?,
                bank: Reference::bank(&s.bank)?,
                items: items(&s.item)?,
                fee: if s.fee == 0 { 0 } else { amount(s.fee, "fee")? },
            }),
            K::StateRoot(s) => Self::StateRoot { root: hash(&s.root, "root")?, leaves: s.leaves },
            K::Handover(h) => Self::Handover(handover(h)?),
            K::HandoverTake(t) => {
                Self::HandoverTake { ledger: hash(&t.ledger, "ledger")?, proof: proof(t.proof)? }
            }
            K::ForkCopy(c) => Self::ForkCopy(Box::new(fork_copy(&c)?)),
            K::RulesVersion(v1::RulesVersion { version }) => {
                require(version >= 2, Code::Malformed, || {
                    format!("rules version: expected at least 2, found {version}")
                })?;
                Self::RulesVersion { version }
            }
        })
    }

    /// The event's name, as in event.proto and on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Genesis(_) => "Genesis",
            Self::Approve { .. } => "Approve",
            Self::Propose { .. } => "Propose",
            Self::Withdraw { .. } => "Withdraw",
            Self::AgentJoin { .. } => "AgentJoin",
            Self::AgentAdd(_) => "AgentAdd",
            Self::AgentAdmit { .. } => "AgentAdmit",
            Self::AgentRefuse { .. } => "AgentRefuse",
            Self::Erase { .. } => "Erase",
            Self::AgentClaim { .. } => "AgentClaim",
            Self::ClaimAttest { .. } => "ClaimAttest",
            Self::KeyAdd { .. } => "KeyAdd",
            Self::KeyRevoke { .. } => "KeyRevoke",
            Self::KeyRecover { .. } => "KeyRecover",
            Self::EffectsConfirm { .. } => "EffectsConfirm",
            Self::RoleGrant { .. } => "RoleGrant",
            Self::RoleRevoke { .. } => "RoleRevoke",
            Self::Contribute(_) => "Contribute",
            Self::Validate { .. } => "Validate",
            Self::Revise { .. } => "Revise",
            Self::RejectContribution { .. } => "RejectContribution",
            Self::EquationAdopt(_) => "EquationAdopt",
            Self::HeldRelease { .. } => "HeldRelease",
            Self::HeldFallback { .. } => "HeldFallback",
            Self::AgreementOffer(_) => "AgreementOffer",
            Self::AgreementAccept { .. } => "AgreementAccept",
            Self::AgreementStage { .. } => "AgreementStage",
            Self::AgreementActive { .. } => "AgreementActive",
            Self::AgreementEnd { .. } => "AgreementEnd",
            Self::AgreementUnfreeze { .. } => "AgreementUnfreeze",
            Self::IncomeTake { .. } => "IncomeTake",
            Self::IncomeRecord { .. } => "IncomeRecord",
            Self::SettlementReceived(_) => "SettlementReceived",
            Self::WriteOff { .. } => "WriteOff",
            Self::PayoutPropose { .. } => "PayoutPropose",
            Self::PayoutPaid { .. } => "PayoutPaid",
            Self::PayoutFailed { .. } => "PayoutFailed",
            Self::PayoutReturned { .. } => "PayoutReturned",
            Self::RevenueRecord(_) => "RevenueRecord",
            Self::InvoiceVoid { .. } => "InvoiceVoid",
            Self::RevenueReverse(_) => "RevenueReverse",
            Self::SettlementSent(_) => "SettlementSent",
            Self::StateRoot { .. } => "StateRoot",
            Self::Handover(_) => "Handover",
            Self::HandoverTake { .. } => "HandoverTake",
            Self::RulesVersion { .. } => "RulesVersion",
            Self::ForkCopy(_) => "ForkCopy",
        }
    }

    /// The dues that the event states for other ledgers.
    pub fn dues(&self) -> &[Due] {
        match self {
            Self::RevenueRecord(r) => &r.due,
            Self::RevenueReverse(r) => &r.due,
            Self::PayoutPaid { due, .. } | Self::PayoutReturned { due, .. } => due,
            _ => &[],
        }
    }
}

impl Event {
    /// What an event of a kind that can state dues states, and whether that takes back; none of
    /// other kinds.
    pub fn wire_dues(kind: &v1::event::Kind) -> Option<(&[v1::Due], bool)> {
        use v1::event::Kind as K;
        match kind {
            K::RevenueRecord(r) => Some((&r.due, false)),
            K::RevenueReverse(r) => Some((&r.due, true)),
            K::PayoutPaid(p) => Some((&p.due, false)),
            K::PayoutReturned(p) => Some((&p.due, true)),
            _ => None,
        }
    }

    /// Whether an event of this kind can state dues; [`Event::dues`] says which it does.
    pub fn may_state_dues(wire: &v1::Event) -> bool {
        wire.kind.as_ref().and_then(Self::wire_dues).is_some()
    }
}

fn malformed(detail: impl Into<String>) -> Reject {
    Reject::new(Code::Malformed, detail)
}

fn hash(bytes: &[u8], field: &str) -> Outcome<Hash> {
    canonical::hash32(bytes, field)
}

fn maybe(bytes: &[u8], field: &str) -> Outcome<Option<Hash>> {
    if bytes.is_empty() { Ok(None) } else { hash(bytes, field).map(Some) }
}

fn present<T>(field: Option<T>, name: &str) -> Outcome<T> {
    field.ok_or_else(|| malformed(format!("{name}: required, found none")))
}

fn listed(len: usize, most: usize, what: &str) -> Outcome {
    require((1..=most).contains(&len), Code::Malformed, || {
        format!("{what}: expected 1 to {most}, found {len}")
    })
}

fn erased(commitments: &[Vec<u8>]) -> Outcome<Vec<Hash>> {
    listed(commitments.len(), MAX_ERASED, "commitments")?;
    let commitments: Vec<Hash> =
        commitments.iter().map(|c| hash(c, "commitment")).collect::<Outcome<_>>()?;
    ascending(&commitments, "commitments")?;
    require(commitments[0] != [0; 32], Code::Malformed, || "a commitment of zeros is none".into())?;
    Ok(commitments)
}

fn possession(bytes: &[u8]) -> Outcome<[u8; 64]> {
    bytes.try_into().map_err(|_| malformed("possession: expected 64 bytes"))
}

fn handover(h: v1::Handover) -> Outcome<Handover> {
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

fn confirmed(agents: &[String]) -> Outcome<Vec<Handle>> {
    require(agents.len() <= MAX_CONFIRMED, Code::Malformed, || {
        format!("agents: at most {MAX_CONFIRMED}, found {}", agents.len())
    })?;
    let agents: Vec<Handle> = agents.iter().map(|a| Handle::new(a)).collect::<Outcome<_>>()?;
    ascending(&agents, "agents")?;
    Ok(agents)
}

fn nested(events: &[Vec<u8>], may_nest: bool) -> Outcome<Vec<Event>> {
    require(may_nest, Code::NotProposable, || "a proposal within a proposal".into())?;
    listed(events.len(), 100, "proposed events")?;
    events.iter().map(|bytes| Event::read(Event::wire(bytes)?, false)).collect()
}

fn genesis(g: v1::Genesis) -> Outcome<Genesis> {
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

fn parent(p: v1::Parent) -> Outcome<Parent> {
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

fn fork_copy(c: &v1::ForkCopy) -> Outcome<ForkCopy> {
    let rows = c.agent.len() + c.work.len();
    require(rows > 0, Code::Malformed, || "a part of a copy has agents or work".into())?;
    require(c.work.len() <= MAX_COPIED, Code::Malformed, || {
        format!("work: at most {MAX_COPIED} pieces in a part, found {}", c.work.len())
    })?;
    Ok(ForkCopy {
        digest: super::fork::digest_of(c),
        agents: c.agent.iter().map(fork_agent).collect::<Outcome<_>>()?,
        works: c.work.iter().map(fork_work).collect::<Outcome<_>>()?,
        next: maybe(&c.next, "next")?,
    })
}

/// A date of the parent's: no rule that adds days to it wraps.
fn past(what: &str, ms: u64) -> Outcome {
    require(ms <= LAST_TIME, Code::Malformed, || format!("{what}: at most {LAST_TIME}, found {ms}"))
}

fn fork_agent(a: &v1::ForkAgent) -> Outcome<ForkAgent> {
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

fn fork_work(w: &v1::ForkWork) -> Outcome<ForkWork> {
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

fn fork_part(p: &v1::ForkPart) -> Outcome<ForkPart> {
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

fn agent_add(a: &v1::AgentAdd) -> Outcome<AgentAdd> {
    Ok(AgentAdd {
        handle: Handle::new(&a.handle)?,
        kind: AgentKind::from_wire(a.kind)?,
        key: maybe(&a.key, "key")?,
        name: maybe(&a.name, "name")?,
        email: maybe(&a.email, "email")?,
    })
}

fn contribute(c: &v1::Contribute) -> Outcome<Contribute> {
    Ok(Contribute {
        reference: Reference::new(&c.reference)?,
        kind: Handle::new(&c.kind)?,
        stream: Stream::from_wire(c.stream)?,
        worked_on: c.worked_on,
        parts: quantities(&c.part)?,
        evidence: maybe(&c.evidence, "evidence")?,
    })
}

fn quantities(parts: &[v1::Part]) -> Outcome<Quantities> {
    parts.iter().map(|p| Ok((Handle::new(&p.agent)?, p.quantity))).collect()
}

fn place(r: Option<&v1::Ref>) -> Outcome<Ref> {
    let r = r.ok_or_else(|| malformed("a reference to a contribution is absent"))?;
    Ok(Ref { entry: r.entry, event: r.event })
}

fn spans(spans: &[v1::Span]) -> Outcome<Vec<(Ref, Ref)>> {
    listed(spans.len(), 100, "spans")?;
    let spans: Vec<(Ref, Ref)> = spans
        .iter()
        .map(|s| Ok((place(s.first.as_ref())?, place(s.last.as_ref())?)))
        .collect::<Outcome<_>>()?;
    let ordered = spans.iter().all(|(a, b)| a <= b) && spans.windows(2).all(|w| w[0].1 < w[1].0);
    require(ordered, Code::Malformed, || "spans: expected ascending, without overlap".into())?;
    Ok(spans)
}

fn terms(t: &v1::Terms) -> Outcome<Terms> {
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

fn proof(p: Option<v1::Proof>) -> Outcome<Proof> {
    let p = present(p, "proof")?;
    require(p.path.len() <= 64, Code::Malformed, || "a path has at most 64 hashes".into())?;
    Ok(Proof {
        path: p.path.iter().map(|h| hash(h, "path")).collect::<Outcome<_>>()?,
        envelope: p.envelope,
        leaf: p.leaf,
        checkpoint: p.checkpoint,
    })
}

fn dues(due: &[v1::Due]) -> Outcome<Vec<Due>> {
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

fn items(items: &[v1::SettleItem]) -> Outcome<Vec<(u64, Minor)>> {
    require(items.len() <= 1_000, Code::Malformed, || "at most 1,000 items".into())?;
    ascending(&items.iter().map(|i| i.income).collect::<Vec<_>>(), "items")?;
    items.iter().map(|i| Ok((i.income, amount(i.minor, "item")?))).collect()
}

fn fee(f: v1::Fee) -> Outcome<Fee> {
    Ok(Fee { minor: amount(f.minor, "fee")?, bearer: Handle::new(&f.bearer)? })
}

fn handles_in_order(handles: &[Handle]) -> Outcome {
    let fits = (1..=1_000).contains(&handles.len()) && handles.windows(2).all(|w| w[0] < w[1]);
    require(fits, Code::LinesInvalid, || format!("found {} lines", handles.len()))
}

fn line_agents(agents: &[String]) -> Outcome<Vec<Handle>> {
    let handles: Vec<Handle> = agents.iter().map(|a| Handle::new(a)).collect::<Outcome<_>>()?;
    handles_in_order(&handles)?;
    Ok(handles)
}

fn invoice(i: Option<v1::Invoice>) -> Outcome<InvoiceId> {
    let i = present(i, "invoice")?;
    require(i.number > 0, Code::Malformed, || "an invoice number begins at 1".into())?;
    Ok(InvoiceId { series: Handle::new(&i.series)?, number: i.number, line: i.line })
}
