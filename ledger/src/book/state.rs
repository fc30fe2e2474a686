//! Everything that is folded from a log, and nothing else.
//!
//! Owns the shape of the state and the few look-ups that all guards share. A clone
//! is cheap (persistent maps): that is how a refused statement changes nothing, how
//! a failed commit is undone, and how readers get a steady snapshot.
//! Leaves out all rules.

pub use super::rows::*;
use super::{
    accounts::{Account, Accounts, Fund},
    agreement::Agreement,
    chain::Chain,
    contributions::Contributions,
    equation::{BucketDef, BucketId, Equation},
    erasure::Erasure,
    event::InvoiceId,
    fork::Fork,
    freeze::{Acts, Doubt},
    handover::Tenure,
    keys::Revoked,
    references::References,
    split::Bucket,
    types::*,
};
use crate::{
    log::{Hash, LedgerId, ReplayWindow},
    reject::{Code, Outcome, Reject, require},
};
use imbl::{OrdMap, OrdSet, Vector};
use std::sync::Arc;

/// The handle of the clerk's agent.
pub const CLERK: &str = "clerk";
/// Handles that nobody may take.
pub const RESERVED: [&str; 3] = [CLERK, "operator", "contributors"];

/// A ledger, folded.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Its id; all zeros before the genesis.
    pub ledger: LedgerId,
    /// Entries so far.
    pub size: u64,
    /// Chain hash of each entry.
    pub chain: Chain,
    /// `recorded_at` of the last entry.
    pub time: u64,
    /// Digests of bodies that have not expired.
    pub replay: ReplayWindow,
    /// The version of the rules in force; 0 before the genesis.
    pub rules: u32,
    /// What the genesis fixed.
    pub root: Option<Arc<Root>>,
    /// Who signs heads, from which on; the first from the genesis on.
    pub operators: Vector<Tenure>,
    /// Who signs the heads of ledgers that agreements are in force with, where it was proven: the
    /// one who does now is the last.
    pub counterparts: OrdMap<Hash, Vector<Hash>>,
    /// Stewards who approved the genesis; the ledger is open from the quorum on.
    pub approvals: OrdSet<AgentId>,
    /// Agents by number.
    pub agents: Vector<Arc<Agent>>,
    /// Agents by handle.
    pub handles: OrdMap<Handle, AgentId>,
    /// Agents by key, revoked ones included: nobody has such a key ever again.
    pub keys: OrdMap<Hash, AgentId>,
    /// Keys that sign nothing any more.
    pub revoked: OrdMap<Hash, Revoked>,
    /// With which key an agent has signed, from which entry on: of those only who have had
    /// more than one key, or have one no more. All others sign with the one they have.
    pub signed: OrdMap<AgentId, Vector<(u64, Hash)>>,
    /// What each key was last used for that leads to money. See [`super::freeze`].
    pub acts: OrdMap<Hash, Acts>,
    /// What revoked keys have signed and nobody has confirmed yet, by their agent and key.
    pub doubts: OrdMap<(AgentId, Hash), Doubt>,
    /// Agents who wait for admission, and the events that they have authored.
    pub waiting: (u32, u32),
    /// Claims to unclaimed agents: (unclaimed, claimant) to maintainers who attested.
    pub claims: OrdMap<(AgentId, AgentId), Arc<Vec<AgentId>>>,
    /// Who was introduced first with a commitment to a name or e-mail.
    pub named: OrdMap<Hash, AgentId>,
    /// What was erased: (commitment, who erased it). See [`super::erasure`].
    pub erased: OrdMap<(Hash, AgentId), Erasure>,
    /// Open proposals by entry.
    pub proposals: OrdMap<u64, Arc<Proposal>>,
    /// What time will bring: by (date, entry, number).
    pub agenda: OrdMap<(u64, u64, u64), Task>,
    /// Handed out so far, so that keys of the agenda are unique.
    pub tasks: u64,

    /// The equation in force.
    pub equation: Option<Arc<Equation>>,
    /// All that were adopted, with the time from which they are in force.
    pub equations: Vector<(u64, Arc<Equation>)>,
    /// Every bucket that an equation has ever named.
    pub buckets: OrdMap<BucketId, Bucket>,

    /// Contributions by place.
    pub contributions: Contributions,
    /// What becomes of each reference that is claimed and not rejected.
    pub references: References,
    /// Contributions of each agent, in order.
    pub work_of: OrdMap<AgentId, Vector<Packed>>,
    /// All points that stand, matured or not.
    pub points: Points,

    /// Agreements by digest of their terms.
    pub agreements: OrdMap<Hash, Arc<Agreement>>,
    /// Incomes, numbered from 1.
    pub incomes: Vector<Arc<Income>>,
    /// Lots that are held: (income, bucket).
    pub held: OrdSet<(u64, BucketId)>,
    /// Income so far by currency, for the limit.
    pub income_total: OrdMap<Currency, u128>,
    /// What agents have drawn or reserved.
    pub drawn: OrdMap<(AgentId, Currency), Drawn>,
    /// Cash that payout runs have reserved.
    pub earmarked: OrdMap<(AgentId, Fund, Currency), Minor>,
    /// Payout runs by entry.
    pub runs: OrdMap<u64, Arc<Run>>,
    /// Bank references, each used once.
    pub bank: OrdSet<Reference>,

    /// Revenue by invoice.
    pub revenues: OrdMap<InvoiceId, Arc<RevenueRow>>,
    /// Void invoice numbers.
    pub voids: OrdSet<(Handle, u64)>,
    /// Gross revenue so far by currency, for the limit.
    pub revenue_total: OrdMap<Currency, u128>,

    /// Balances.
    pub accounts: Accounts,

    /// What it is a fork of, if it is one.
    pub fork: Option<Fork>,

    /// The newest StateRoot.
    pub published: Option<Published>,
}
impl State {
    /// What the genesis fixed; there is one once anything is applied.
    pub fn root(&self) -> &Root {
        self.root.as_deref().expect("apply admits only a genesis before there is a root")
    }

    /// Whether enough stewards have approved the genesis.
    pub fn is_open(&self) -> bool {
        self.root.as_ref().is_some_and(|r| self.approvals.len() >= r.quorum as usize)
    }

    /// The agent with this number.
    pub fn agent(&self, id: AgentId) -> &Agent {
        self.agents.get(id.0 as usize).expect("agent numbers are handed out by this state")
    }

    /// The agent with this handle.
    pub fn find(&self, handle: &Handle) -> Outcome<AgentId> {
        self.handles
            .get(handle)
            .copied()
            .ok_or_else(|| Reject::new(Code::UnknownAgent, format!("no agent {handle}")))
    }

    /// Changes an agent.
    pub fn change_agent(&mut self, id: AgentId, change: impl FnOnce(&mut Agent)) {
        let slot = self.agents.get_mut(id.0 as usize).expect("see State::agent");
        change(Arc::make_mut(slot));
    }

    /// The person behind an agent: itself, or who has claimed it.
    pub fn person(&self, id: AgentId) -> AgentId {
        self.agent(id).alias.map_or(id, |(person, _)| person)
    }

    /// Agents with a role, in order.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = &Agent> {
        self.agents.iter().map(AsRef::as_ref).filter(move |a| a.roles.contains(&role))
    }

    /// The equation in force; a contribution ledger has one from its genesis on.
    pub fn equation(&self) -> &Arc<Equation> {
        self.equation.as_ref().expect("the genesis of a commons carries an equation")
    }

    /// Where contributions are in which an agent has a part, in order.
    pub fn places_of(&self, agent: AgentId) -> impl Iterator<Item = Ref> {
        self.work_of.get(&agent).into_iter().flatten().map(|place| (*place).into())
    }

    /// Puts something on the agenda.
    pub fn schedule(&mut self, due: u64, entry: u64, task: Task) {
        self.agenda.insert((due, entry, self.tasks), task);
        self.tasks += 1;
    }

    /// Posts one balanced movement.
    pub fn post(&mut self, step: &mut Step<'_>, currency: Currency, lines: &[(Account, Fixed)]) {
        self.accounts.post(step.journal, step.event, currency, lines);
    }

    /// Takes a bank reference, once.
    pub fn use_bank(&mut self, bank: &Reference) -> Outcome {
        let fresh = self.bank.insert(bank.clone()).is_none();
        require(fresh, Code::BankReferenceUsed, || bank.to_string())
    }

    /// The control account of a bucket's agents.
    pub fn bucket_account(&self, def: &BucketDef) -> Account {
        match def.to {
            super::equation::To::Agent(a) if self.agent(a).kind == AgentKind::Trust => {
                Account::Principal(def.id)
            }
            _ => Account::Bucket(def.id),
        }
    }

    /// The StateRoot that says what is so now, if there is one.
    pub fn stated(&self) -> Option<u64> {
        self.published.filter(|last| last.holds).map(|last| last.entry)
    }

    /// An income by number.
    pub fn income(&self, number: u64) -> Outcome<&Arc<Income>> {
        usize::try_from(number)
            .ok()
            .and_then(|n| n.checked_sub(1))
            .and_then(|n| self.incomes.get(n))
            .ok_or_else(|| Reject::new(Code::UnknownIncome, format!("income {number}")))
    }
}
