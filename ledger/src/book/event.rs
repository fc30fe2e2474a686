//! From bytes to facts: each event decoded totally, once, at the edge.
//!
//! Guarantees that an [`Event`] is the only reading of its bytes (canonical check)
//! and that every field has the form the schema promises. Leaves out whether the
//! fact may be recorded: that is for the guards.

mod decode;
mod parts;

pub use parts::terms_digest;

use super::{equation::Equation, types::*};
use crate::log::Hash;
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
