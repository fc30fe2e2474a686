//! `apply`: one statement on a state, all of its events or none.
//!
//! Guarantees the order of judgement: form of every event, ledger, replay, basis; then
//! what time has brought about; then author and key; then each event in turn, first
//! whether its author may say it here (open, place, role), then its own guards, then
//! its effects. Leaves out the signature, which a [`Statement`] has passed by its type.

use super::{
    accounts::Posting,
    event::Event,
    state::{Before, Proposal, State, Step, Task},
    types::*,
};
use crate::{
    log::{Hash, LedgerId, entry::ledger_id_of_genesis, statement::Statement},
    reject::{Code, Outcome, Reject, require},
};
use std::sync::Arc;

/// What a statement did: the next state and how money moved.
#[derive(Debug)]
pub struct Delta {
    /// The state after it.
    pub next: State,
    /// The movements, in order; each balanced.
    pub postings: Vec<Posting>,
}

/// Which ledgers an event belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// Kept by a commons.
    Contribution,
    /// Kept by who handles money.
    Revenue,
    /// Both.
    Both,
}

/// Who may author an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Entry 0 only.
    Genesis,
    /// A newcomer, about themself.
    Newcomer,
    /// Every agent, the clerk included.
    Anyone,
    /// Every agent with a key but the clerk, admitted or not.
    Member,
    /// The node's key alone.
    Clerk,
    /// An agent with one of these roles.
    Roles(&'static [Role]),
    /// Nobody alone: the stewards' quorum, through a proposal.
    Quorum,
    /// Either: what a member may say of themself alone, the quorum of anybody.
    MemberOrQuorum,
    /// Either: what anyone may say if it is proven, the quorum without that.
    AnyoneOrQuorum,
}

/// The table of `proto/EVENTS.md`: where an event belongs and who may author it.
pub fn rule(event: &Event) -> (Where, Who) {
    use Role::*;
    use Where::*;
    use Who::*;
    match event {
        Event::Genesis(_) => (Both, Genesis),
        Event::Approve { .. } | Event::Propose { .. } | Event::Withdraw { .. } => {
            (Both, Roles(&[Steward]))
        }
        Event::AgentJoin { .. } => (Both, Newcomer),
        Event::AgentAdd(_) | Event::AgentAdmit { .. } | Event::AgentRefuse { .. } => {
            (Both, Roles(&[Steward, Maintainer]))
        }
        Event::Erase { .. } => (Both, Member),
        Event::AgentClaim { .. } => (Contribution, Member),
        Event::ClaimAttest { .. } => (Contribution, Roles(&[Maintainer])),
        Event::KeyAdd { .. } => (Both, Member),
        Event::KeyRevoke { .. } => (Both, MemberOrQuorum),
        Event::KeyRecover { .. } => (Both, Quorum),
        Event::EffectsConfirm { .. } => (Contribution, Quorum),
        Event::RoleGrant { .. } | Event::RoleRevoke { .. } => (Both, Quorum),
        Event::Contribute(_) | Event::Revise { .. } | Event::RejectContribution { .. } => {
            (Contribution, Member)
        }
        Event::Validate { .. } => (Contribution, Roles(&[Maintainer])),
        Event::EquationAdopt(_) | Event::HeldRelease { .. } => (Contribution, Quorum),
        Event::HeldFallback { .. } => (Contribution, Anyone),
        Event::AgreementOffer(_) | Event::AgreementEnd { .. } => (Both, Quorum),
        Event::AgreementAccept { .. } | Event::AgreementUnfreeze { .. } => (Contribution, Quorum),
        Event::AgreementStage { .. } | Event::AgreementActive { .. } => (Both, Anyone),
        Event::IncomeTake { .. } => (Contribution, Anyone),
        Event::WriteOff { .. } => (Contribution, Quorum),
        Event::IncomeRecord { .. }
        | Event::SettlementReceived(_)
        | Event::PayoutPropose { .. }
        | Event::PayoutPaid { .. }
        | Event::PayoutFailed { .. }
        | Event::PayoutReturned { .. } => (Contribution, Roles(&[Treasurer])),
        Event::RevenueRecord(_)
        | Event::InvoiceVoid { .. }
        | Event::RevenueReverse(_)
        | Event::SettlementSent(_) => (Revenue, Roles(&[Treasurer])),
        Event::StateRoot { .. } => (Contribution, Clerk),
        Event::ForkCopy(_) => (Contribution, Anyone),
        Event::Handover(_) => (Both, Anyone),
        Event::HandoverTake { .. } => (Both, AnyoneOrQuorum),
        Event::RulesVersion { .. } => (Both, Quorum),
    }
}

/// Applies a statement recorded at `at`; on refusal nothing has changed.
pub fn apply(state: &State, statement: &Statement, at: u64) -> Outcome<Delta> {
    let mut next = state.clone();
    let mut postings = Vec::new();
    next.replay_statement(statement, at, &mut postings)?;
    Ok(Delta { next, postings })
}

/// As [`apply`], for whoever has decoded the statement's events, all of them and in order,
/// on another core.
pub fn apply_events(
    state: &State,
    statement: &Statement,
    events: &[Event],
    at: u64,
) -> Outcome<Delta> {
    let mut next = state.clone();
    let mut postings = Vec::new();
    next.replay_events(statement, events, at, &mut postings)?;
    Ok(Delta { next, postings })
}

impl State {
    /// As [`apply`], in place and faster, for whoever reads a log that was admitted.
    ///
    /// After an error the state is spent: it may hold half a statement.
    pub fn replay_statement(
        &mut self,
        statement: &Statement,
        at: u64,
        journal: &mut Vec<Posting>,
    ) -> Outcome {
        let events: Vec<Event> =
            statement.events().iter().map(|b| Event::decode(b)).collect::<Outcome<_>>()?;
        self.replay_events(statement, &events, at, journal)
    }

    /// As [`State::replay_statement`], for whoever has decoded the statement's events, all
    /// of them and in order, on another core.
    pub fn replay_events(
        &mut self,
        statement: &Statement,
        events: &[Event],
        at: u64,
        journal: &mut Vec<Posting>,
    ) -> Outcome {
        if events.iter().any(|e| !e.dues().is_empty()) {
            let most = crate::log::statement::MAX_EFFECT_ENVELOPE;
            require(statement.envelope().len() <= most, Code::TooLarge, || {
                format!(
                    "at most {most} bytes where shares fall due, found {}",
                    statement.envelope().len()
                )
            })?;
        }
        let header = statement.header();
        // It bounds `at` too, which is never later: no date that a rule adds days to wraps.
        require(header.expires_at <= LAST_TIME, Code::Malformed, || {
            format!("expires_at: at most {LAST_TIME}, found {}", header.expires_at)
        })?;
        if self.root.is_some() {
            require(header.ledger == self.ledger, Code::WrongLedger, || {
                format!("expected {}, found {}", self.ledger, header.ledger)
            })?;
        } else {
            self.begin(statement, events)?;
        }
        self.replay.admit(statement.body_digest(), header.expires_at, at)?;
        if let Some(basis) = &header.basis {
            let known = usize::try_from(basis.size - 1).ok().and_then(|n| self.chain.get(n));
            require(known == Some(&basis.chain), Code::BasisOffChain, || {
                format!("basis of {} entries, this ledger has {}", basis.size, self.size)
            })?;
        }
        // Maps are shared, so this costs the same with a million agents.
        let before = matches!(events, [Event::StateRoot { .. }]).then(|| self.clone());
        self.time = at;
        let mut step = Step {
            at,
            entry: self.size,
            event: None,
            author: AgentId(0),
            key: statement.key(),
            quorum: false,
            expires_at: header.expires_at,
            digest: statement.body_digest(),
            seen: header.basis.as_ref().map(|basis| basis.size),
            alone: events.len() == 1,
            before: None,
            journal,
        };
        let still = !self.advance(&mut step);
        step.before = before.as_ref().map(|state| Before { state, still });
        if let Some(last) = &mut self.published {
            last.holds &= still && before.is_some();
        }
        if self.root.is_none() {
            let [Event::Genesis(genesis)] = events else {
                unreachable!("`begin` has refused everything else")
            };
            step.event = Some(0);
            return self.genesis(&step, genesis, (&header.author, statement.key()));
        }
        let mut numbered = (0..).zip(events).peekable();
        if let Some((0, Event::AgentJoin { name, email })) = numbered.peek()
            && !self.handles.contains_key(&header.author)
        {
            self.require_open()?;
            self.require_whole()?;
            step.event = Some(0);
            step.author = self.join(&step, &header.author, statement.key(), *name, *email)?;
            numbered.next();
        } else {
            step.author = self.author(&header.author, &statement.key())?;
            self.note_key(&step);
        }
        numbered.try_for_each(|(n, event)| {
            step.event = Some(n);
            self.run(&mut step, event)
        })
    }

    /// Notes the entry that a statement became: its place on the chain.
    pub fn seal(&mut self, chain: Hash) {
        self.chain.push(chain);
        self.size += 1;
    }

    fn begin(&mut self, statement: &Statement, events: &[Event]) -> Outcome {
        let alone = matches!(events, [Event::Genesis(_)]);
        require(alone && self.size == 0, Code::GenesisMisplaced, || {
            "expected a genesis alone at entry 0".into()
        })?;
        require(statement.header().ledger == LedgerId::ZERO, Code::WrongLedger, || {
            "a genesis carries a ledger id of zeros".into()
        })?;
        self.ledger = ledger_id_of_genesis(statement.body());
        Ok(())
    }

    fn author(&self, handle: &Handle, key: &Hash) -> Outcome<AgentId> {
        let id = self
            .handles
            .get(handle)
            .copied()
            .ok_or_else(|| Reject::new(Code::UnknownAuthor, handle.to_string()))?;
        require(self.keys.get(key) == Some(&id), Code::KeyNotOfAuthor, || {
            format!("{handle}, key {}", hex::encode(key))
        })?;
        self.require_in_use(key)?;
        Ok(id)
    }

    fn require_open(&self) -> Outcome {
        require(self.is_open(), Code::NotOpen, || {
            format!("{} of {} approvals", self.approvals.len(), self.root().quorum)
        })
    }

    /// Whether the author may say this here; then says it.
    fn run(&mut self, step: &mut Step<'_>, event: &Event) -> Outcome {
        if !matches!(event, Event::Approve { entry: 0, .. }) {
            self.require_open()?;
            if !matches!(event, Event::ForkCopy(_)) {
                self.require_whole()?;
            }
        }
        // An event before it in the statement may have revoked it.
        self.require_in_use(&step.key)?;
        let (place, who) = rule(event);
        self.require_place(place, event)?;
        self.spend(step.author)?;
        let author = self.agent(step.author);
        match who {
            Who::Genesis => {
                return Err(Reject::new(Code::GenesisMisplaced, "this ledger has one".to_owned()));
            }
            Who::Newcomer => return Err(Reject::new(Code::HandleTaken, author.handle.to_string())),
            Who::Quorum => {
                return Err(Reject::new(Code::QuorumRequired, event.name().to_owned()));
            }
            Who::Anyone | Who::AnyoneOrQuorum => {}
            Who::Clerk => require(author.clerk, Code::RoleRequired, || {
                format!("{} needs the clerk, {} is not", event.name(), author.handle)
            })?,
            Who::Member | Who::MemberOrQuorum | Who::Roles(_) if author.clerk => {
                return Err(Reject::new(Code::ClerkMayNot, event.name().to_owned()));
            }
            Who::Member | Who::MemberOrQuorum => {}
            Who::Roles(roles) => {
                let has = roles.iter().any(|r| author.roles.contains(r));
                require(has, Code::RoleRequired, || {
                    let names: Vec<_> = roles.iter().map(|r| r.word()).collect();
                    format!(
                        "{} needs {}, {} is not",
                        event.name(),
                        names.join(" or "),
                        author.handle
                    )
                })?;
            }
        }
        self.effect(step, event)
    }

    fn require_place(&self, place: Where, event: &Event) -> Outcome {
        let commons = self.root().kind == AgentKind::Commons;
        let fits = match place {
            Where::Both => true,
            Where::Contribution => commons,
            Where::Revenue => !commons,
        };
        require(fits, Code::WrongLedgerKind, || {
            format!("{} in the ledger of a {}", event.name(), self.root().kind)
        })
    }

    fn effect(&mut self, step: &mut Step<'_>, event: &Event) -> Outcome {
        match event {
            Event::Genesis(_) | Event::AgentJoin { .. } => {
                unreachable!("`run` has refused it: it stands first in its statement or nowhere")
            }
            Event::Approve { entry, digest } => self.approve(step, *entry, digest),
            Event::Propose { events } => self.propose(step, events),
            Event::Withdraw { entry } => self.withdraw(step, *entry),
            Event::AgentAdd(a) => self.add_agent(step, a).map(|_| ()),
            Event::AgentAdmit { agent } => self.admit(agent),
            Event::AgentRefuse { agents } => self.refuse(agents),
            Event::Erase { commitments } => self.erase(step, commitments),
            Event::AgentClaim { unclaimed } => self.claim(step, unclaimed),
            Event::ClaimAttest { unclaimed, claimant } => self.attest(step, unclaimed, claimant),
            Event::KeyAdd { key, possession } => self.add_key(step.author, *key, possession),
            Event::KeyRevoke { key, since } => self.revoke_key(step, *key, *since),
            Event::KeyRecover { agent, key, possession } => self.recover(agent, *key, possession),
            Event::EffectsConfirm { key, agents } => self.confirm(key, agents),
            Event::RoleGrant { agent, role } => self.grant(agent, *role),
            Event::RoleRevoke { agent, role } => self.revoke(agent, *role),
            Event::Contribute(c) => self.contribute(step, c),
            Event::Validate { spans, remuneration, quantities } => {
                self.validate(step, spans, *remuneration, quantities)
            }
            Event::Revise { contribution, parts } => self.revise(step, *contribution, parts),
            Event::RejectContribution { contribution, reason } => {
                self.reject(step, *contribution, *reason)
            }
            Event::EquationAdopt(e) => self.adopt(step, e),
            Event::HeldRelease { incomes, bucket } => self.release_held(step, incomes, bucket),
            Event::HeldFallback { income, bucket } => self.send_to_fallback(step, *income, bucket),
            Event::AgreementOffer(terms) => self.offer(terms),
            Event::AgreementAccept { terms, proof } => self.accept(terms, proof),
            Event::AgreementStage { agreement, stage } => self.state_stage(step, agreement, *stage),
            Event::AgreementActive { agreement, proof } => self.activate(agreement, proof),
            Event::AgreementEnd { agreement } => self.end(step, agreement),
            Event::AgreementUnfreeze { agreement, entry, back_to } => {
                self.unfreeze(step, agreement, *entry, *back_to)
            }
            Event::IncomeTake { agreement, proof } => self.take_income(step, agreement, proof),
            Event::IncomeRecord { payer, currency, minor, bank } => {
                self.record_gift(step, payer, *currency, *minor, bank)
            }
            Event::SettlementReceived(s) => self.receive(step, s),
            Event::WriteOff { incomes } => self.write_off(step, incomes),
            Event::PayoutPropose { currency, lines, expires_at, cash_of } => {
                self.propose_payout(step, *currency, lines, *expires_at, cash_of.as_ref())
            }
            Event::PayoutPaid { run, agents, bank, fee, due } => {
                self.pay(step, *run, agents, bank, fee.as_ref(), due)
            }
            Event::PayoutFailed { run, agents, reason } => self.fail(step, *run, agents, *reason),
            Event::PayoutReturned { run, agent, reason, bank, due } => {
                self.give_back(step, *run, agent, *reason, bank, due)
            }
            Event::RevenueRecord(r) => self.record_revenue(step, r),
            Event::InvoiceVoid { series, number } => self.void(series, *number),
            Event::RevenueReverse(r) => self.reverse_revenue(step, r),
            Event::SettlementSent(s) => self.send(step, s),
            Event::StateRoot { root, leaves } => self.publish(step, (*root, *leaves)),
            Event::Handover(h) => self.hand_over(step, h),
            Event::HandoverTake { ledger, proof } => self.take_handover(step, *ledger, proof),
            Event::RulesVersion { version } => self.adopt_rules(*version),
            Event::ForkCopy(part) => self.copy_part(step, part),
        }
    }

    /// What the time up to the entry brings about, in (date, entry) order and each at
    /// its own date, so that nobody gains by when the next entry comes. Returns whether
    /// there was anything.
    fn advance(&mut self, step: &mut Step<'_>) -> bool {
        let now = step.at;
        let mut any = false;
        self.replay.advance(now);
        while let Some(key) = self.agenda.get_min().map(|(key, _)| *key).filter(|k| k.0 <= now) {
            let task = self.agenda.remove(&key).expect("it is the first");
            any = true;
            step.at = key.0;
            match task {
                Task::Mature { contribution, part, generation } => {
                    self.mature(contribution, part, generation);
                }
                Task::InForce(equation) => self.put_in_force(equation),
                Task::Release { incomes, bucket } => self.run_release(step, &incomes, bucket),
                Task::CloseProposal(entry) => {
                    self.proposals.remove(&entry);
                }
                Task::ExpireRun(run) => self.expire_run(step, run),
            }
        }
        step.at = now;
        any
    }
}

// Quorum: proposals and approvals.
impl State {
    fn propose(&mut self, step: &mut Step<'_>, events: &[Event]) -> Outcome {
        for event in events {
            let (place, who) = rule(event);
            let proposable = matches!(who, Who::Quorum | Who::MemberOrQuorum | Who::AnyoneOrQuorum);
            require(proposable, Code::NotProposable, || event.name().to_owned())?;
            self.require_place(place, event)?;
        }
        let fresh = !self.proposals.contains_key(&step.entry);
        require(fresh, Code::NotProposable, || "a statement carries one proposal".into())?;
        let proposal = Proposal {
            by: step.author,
            digest: step.digest,
            events: Arc::new(events.to_vec()),
            approvals: Vec::new(),
            expires_at: step.expires_at,
        };
        self.proposals.insert(step.entry, Arc::new(proposal));
        self.schedule(step.expires_at + 1, step.entry, Task::CloseProposal(step.entry));
        self.count_approval(step, step.entry)
    }

    fn approve(&mut self, step: &mut Step<'_>, entry: u64, digest: &Hash) -> Outcome {
        let (expected, approvers) = if entry == 0 {
            let root = self.root();
            let listed = root.stewards.contains(&step.author) && !self.is_open();
            require(listed, Code::UnknownProposal, || {
                "the genesis awaits its own stewards only".into()
            })?;
            (root.digest, self.approvals.iter().copied().collect())
        } else {
            let proposal = self
                .proposals
                .get(&entry)
                .ok_or_else(|| Reject::new(Code::UnknownProposal, format!("entry {entry}")))?;
            (proposal.digest, proposal.approvals.clone())
        };
        require(expected == *digest, Code::WrongDigest, || {
            format!("expected {}, found {}", hex::encode(expected), hex::encode(digest))
        })?;
        require(!approvers.contains(&step.author), Code::AlreadyApproved, || {
            format!("entry {entry}")
        })?;
        if entry == 0 {
            self.approvals.insert(step.author);
            return Ok(());
        }
        self.count_approval(step, entry)
    }

    /// The approval that completes the quorum runs the events; if a guard refuses one,
    /// that approval is refused, and the proposal stays open.
    fn count_approval(&mut self, step: &mut Step<'_>, entry: u64) -> Outcome {
        self.note_act(step, |acts| &mut acts.governed);
        let mut proposal = self.proposals[&entry].as_ref().clone();
        proposal.approvals.push(step.author);
        if proposal.approvals.len() < self.root().quorum as usize {
            self.proposals.insert(entry, Arc::new(proposal));
            return Ok(());
        }
        self.proposals.remove(&entry);
        step.quorum = true;
        let ran = proposal.events.iter().try_for_each(|event| self.effect(step, event));
        step.quorum = false;
        ran
    }

    fn withdraw(&mut self, step: &Step<'_>, entry: u64) -> Outcome {
        let proposal = self
            .proposals
            .get(&entry)
            .ok_or_else(|| Reject::new(Code::UnknownProposal, format!("entry {entry}")))?;
        require(proposal.by == step.author, Code::NotProposer, || format!("entry {entry}"))?;
        self.proposals.remove(&entry);
        Ok(())
    }
}
