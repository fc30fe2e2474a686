//! Each kind of event from its message. Guarantees what `event` says of every field.

use super::parts::*;
use crate::book::{
    equation::{Equation, ascending},
    event::*,
    types::*,
};
use crate::{
    log::canonical,
    reject::{Code, Outcome, require},
};
use std::sync::Arc;
use subak_proto::v1;

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
    pub(super) fn read(wire: v1::Event, may_nest: bool) -> Outcome<Self> {
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
}
