//! What a statement of a history says: for the model to judge, and on the wire for
//! the ledger.
//!
//! Owns the two readings of each fact, side by side, so that both are of the same
//! thing. Leaves out which facts a history consists of (`script`).

use super::{book::*, money::*, payout::Payment, stage::Stage, work::Claim};
use std::rc::Rc;
use subak_ledger::reject::Code;
use subak_proto::v1::{self, event::Kind};

#[derive(Clone)]
pub enum Fact {
    Contribute(Claim),
    Validate {
        spans: Vec<(Place, Place)>,
        paid: v1::Remuneration,
        quantities: Vec<(Agent, u64)>,
    },
    Revise {
        place: Place,
        parts: Vec<(Agent, u64)>,
    },
    Reject {
        place: Place,
        /// By somebody who says that the work was not done; else a withdrawal.
        judged: bool,
    },
    Claim {
        unclaimed: Agent,
    },
    Attest {
        unclaimed: Agent,
        claimant: Agent,
    },
    Take {
        agreement: usize,
        entry: u64,
        effects: Vec<Effect>,
        source: Source,
    },
    Gift {
        payer: Agent,
        money: Money,
        minor: u64,
        bank: String,
    },
    Settle(Cash),
    Propose {
        money: Money,
        lines: Vec<(Agent, u64)>,
        expires_at: u64,
    },
    Paid(Payment),
    Failed {
        run: u64,
        agents: Vec<Agent>,
    },
    Returned {
        run: u64,
        agent: Agent,
        bank: String,
        due: Option<(u64, u64)>,
    },
    Fallback {
        income: u64,
        bucket: String,
    },
    /// Through the quorum of one.
    Decree(Vec<Decree>),
}

#[derive(Clone)]
pub enum Decree {
    Adopt(Rc<Rules>),
    Release { incomes: Vec<u64>, bucket: String },
    WriteOff { incomes: Vec<u64> },
    Unfreeze { agreement: usize, entry: u64, back_to: u64 },
}

impl Fact {
    pub fn name(&self) -> &'static str {
        match self {
            Fact::Contribute(c) if c.parts.len() > 1 => "Contribute together",
            Fact::Contribute(_) => "Contribute",
            Fact::Validate { quantities, .. } if !quantities.is_empty() => "Validate other",
            Fact::Validate { .. } => "Validate",
            Fact::Revise { .. } => "Revise",
            Fact::Reject { .. } => "Reject",
            Fact::Claim { .. } => "Claim",
            Fact::Attest { .. } => "Attest",
            Fact::Take { effects, .. } if effects.iter().any(|e| e.reverses) => "Take back",
            Fact::Take { .. } => "Take",
            Fact::Gift { .. } => "Gift",
            Fact::Settle(s) if s.fee.is_some() => "Settle with fee",
            Fact::Settle(s) if !s.items.is_empty() => "Settle items",
            Fact::Settle(_) => "Settle",
            Fact::Propose { .. } => "Propose",
            Fact::Paid(p) if p.fee.is_some() => "Paid with fee",
            Fact::Paid(p) if p.due.is_some() => "Paid upstream",
            Fact::Paid(_) => "Paid",
            Fact::Failed { .. } => "Failed",
            Fact::Returned { due: Some(_), .. } => "Returned from upstream",
            Fact::Returned { .. } => "Returned",
            Fact::Fallback { .. } => "Fallback",
            Fact::Decree(all) => match all[0] {
                Decree::Adopt(_) => "Adopt",
                Decree::Release { .. } => "Release",
                Decree::WriteOff { .. } => "Write off",
                Decree::Unfreeze { .. } => "Unfreeze",
            },
        }
    }

    fn needs(&self) -> Option<&'static str> {
        match self {
            Fact::Validate { .. } | Fact::Attest { .. } => Some("maintainer"),
            Fact::Gift { .. }
            | Fact::Settle(_)
            | Fact::Propose { .. }
            | Fact::Paid(_)
            | Fact::Failed { .. }
            | Fact::Returned { .. } => Some("treasurer"),
            Fact::Decree(_) => Some("steward"),
            _ => None,
        }
    }
}

impl Model {
    /// Whether the rules admit a fact; then what it does.
    pub fn run(&mut self, author: Agent, event: u32, fact: &Fact) -> Verdict {
        let holds = match fact.needs() {
            Some("maintainer") => self.maintainers.contains(&author),
            Some(_) => [1, 2].contains(&author),
            None => true,
        };
        if !holds {
            return Err(Code::RoleRequired);
        }
        match fact {
            Fact::Contribute(c) => self.contribute(author, event, c),
            Fact::Validate { spans, paid, quantities } => {
                self.validate(author, spans, *paid, quantities)
            }
            Fact::Revise { place, parts } => self.revise(author, *place, parts),
            Fact::Reject { place, judged } => self.reject(author, *place, *judged),
            Fact::Claim { unclaimed } => self.claim(author, *unclaimed),
            Fact::Attest { unclaimed, claimant } => self.attest(author, *unclaimed, *claimant),
            Fact::Take { agreement, effects, source, .. } => {
                self.take(*agreement, effects, *source)
            }
            Fact::Gift { payer, money, minor, bank } => {
                self.gift(author, *payer, *money, *minor, bank)
            }
            Fact::Settle(s) => self.settle(author, s),
            Fact::Propose { money, lines, expires_at } => {
                self.propose(author, *money, lines, *expires_at)
            }
            Fact::Paid(p) => self.paid(author, p),
            Fact::Failed { run, agents } => self.failed(author, *run, agents),
            Fact::Returned { run, agent, bank, .. } => self.returned(author, *run, *agent, bank),
            Fact::Fallback { income, bucket } => self.fallback(*income, bucket),
            Fact::Decree(all) => all.iter().try_for_each(|d| match d {
                Decree::Adopt(rules) => self.adopt(rules),
                Decree::Release { incomes, bucket } => self.release(incomes, bucket),
                Decree::WriteOff { incomes } => self.write_off(incomes),
                Decree::Unfreeze { agreement, entry, back_to } => {
                    self.unfreeze(*agreement, *entry, *back_to)
                }
            }),
        }
    }
}

fn name(agent: Agent) -> String {
    ROSTER[agent].0.to_owned()
}

fn names(agents: &[Agent]) -> Vec<String> {
    agents.iter().map(|a| name(*a)).collect()
}

#[allow(clippy::unnecessary_wraps)] // as the messages have it
fn place(p: Place) -> Option<v1::Ref> {
    Some(v1::Ref { entry: p.0, event: p.1 })
}

fn parts(parts: &[(Agent, u64)]) -> Vec<v1::Part> {
    parts.iter().map(|p| v1::Part { agent: name(p.0), quantity: p.1 }).collect()
}

fn fee(fee: Option<(u64, Agent)>) -> Option<v1::Fee> {
    fee.map(|(minor, bearer)| v1::Fee { minor, bearer: name(bearer) })
}

/// A fact on the wire.
pub fn wire(stage: &Stage, fact: &Fact) -> Kind {
    let digest = |agreement: usize| stage.model.agreements[agreement].digest.to_vec();
    let due = |due: &Option<(u64, u64)>| -> Vec<v1::Due> {
        let agreement = stage.upstream_agreement.to_vec();
        due.iter()
            .map(|(number, amount)| v1::Due {
                agreement: agreement.clone(),
                number: *number,
                amount: *amount,
            })
            .collect()
    };
    match fact {
        Fact::Contribute(c) => Kind::Contribute(v1::Contribute {
            reference: c.reference.clone(),
            kind: c.kind.clone(),
            stream: c.stream as i32,
            worked_on: c.day,
            part: parts(&c.parts),
            evidence: vec![],
        }),
        Fact::Validate { spans, paid, quantities } => Kind::Validate(v1::Validate {
            span: spans.iter().map(|s| v1::Span { first: place(s.0), last: place(s.1) }).collect(),
            remuneration: *paid as i32,
            quantity: parts(quantities),
        }),
        Fact::Revise { place: p, parts: q } => {
            Kind::Revise(v1::Revise { contribution: place(*p), part: parts(q) })
        }
        Fact::Reject { place: p, judged } => {
            let reason =
                if *judged { v1::RejectReason::NotDone } else { v1::RejectReason::Withdrawn };
            let (contribution, reason) = (place(*p), reason as i32);
            Kind::RejectContribution(v1::RejectContribution { contribution, reason })
        }
        Fact::Claim { unclaimed } => {
            Kind::AgentClaim(v1::AgentClaim { unclaimed: name(*unclaimed), evidence: vec![] })
        }
        Fact::Attest { unclaimed, claimant } => Kind::ClaimAttest(v1::ClaimAttest {
            unclaimed: name(*unclaimed),
            claimant: name(*claimant),
        }),
        Fact::Take { agreement, entry, .. } => Kind::IncomeTake(v1::IncomeTake {
            agreement: digest(*agreement),
            proof: Some(stage.payer_of(*agreement).world.prove(*entry)),
        }),
        Fact::Gift { payer, money, minor, bank } => Kind::IncomeRecord(v1::IncomeRecord {
            payer: name(*payer),
            amount: Some(v1::Amount { currency: money.text().into(), minor: *minor }),
            bank: bank.clone(),
            note: vec![],
        }),
        Fact::Settle(s) => Kind::SettlementReceived(v1::SettlementReceived {
            agreement: digest(s.agreement),
            minor: s.minor,
            bank: s.bank.clone(),
            item: s.items.iter().map(|i| v1::SettleItem { income: i.0, minor: i.1 }).collect(),
            fee: fee(s.fee),
        }),
        Fact::Propose { money, lines, expires_at } => Kind::PayoutPropose(v1::PayoutPropose {
            currency: money.text().into(),
            line: lines.iter().map(|l| v1::PayoutLine { agent: name(l.0), minor: l.1 }).collect(),
            expires_at: *expires_at,
            cash_of: String::new(),
        }),
        Fact::Paid(p) => Kind::PayoutPaid(v1::PayoutPaid {
            run: p.run,
            agent: names(&p.agents),
            bank: p.bank.clone(),
            fee: fee(p.fee),
            due: due(&p.due),
        }),
        Fact::Failed { run, agents } => Kind::PayoutFailed(v1::PayoutFailed {
            run: *run,
            agent: names(agents),
            reason: v1::FailReason::AccountClosed as i32,
        }),
        Fact::Returned { run, agent, bank, due: d } => Kind::PayoutReturned(v1::PayoutReturned {
            run: *run,
            agent: name(*agent),
            reason: v1::FailReason::Other as i32,
            bank: bank.clone(),
            due: due(d),
        }),
        Fact::Fallback { income, bucket } => {
            Kind::HeldFallback(v1::HeldFallback { income: *income, bucket: bucket.clone() })
        }
        Fact::Decree(all) => {
            let event = all.iter().map(|d| crate::kit::encode(decree(stage, d))).collect();
            Kind::Propose(v1::Propose { event })
        }
    }
}

fn decree(stage: &Stage, d: &Decree) -> Kind {
    match d {
        Decree::Adopt(rules) => {
            Kind::EquationAdopt(v1::EquationAdopt { equation: Some(rules.wire.clone()) })
        }
        Decree::Release { incomes, bucket } => {
            Kind::HeldRelease(v1::HeldRelease { income: incomes.clone(), bucket: bucket.clone() })
        }
        Decree::WriteOff { incomes } => Kind::WriteOff(v1::WriteOff { income: incomes.clone() }),
        Decree::Unfreeze { agreement, entry, back_to } => {
            Kind::AgreementUnfreeze(v1::AgreementUnfreeze {
                agreement: stage.model.agreements[*agreement].digest.to_vec(),
                entry: *entry,
                back_to: *back_to,
            })
        }
    }
}
