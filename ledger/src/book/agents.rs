//! Agents, roles, and claims to unclaimed agents. Their keys are in `keys`.

use super::{
    event::{AgentAdd, Genesis},
    handover::Tenure,
    state::{Agent, Proposal, RESERVED, Root, State, Step},
    types::*,
};
use crate::{
    log::{Hash, key::PublicKey},
    reject::{Code, Outcome, require},
};
use std::sync::Arc;

/// Agents waiting for admission that a ledger bears.
pub const MAX_WAITING: u32 = 1_000;
/// Events that one agent authors before somebody admits it.
pub const MAX_SPENT: u32 = 100;
/// Events that all agents who wait have authored together.
pub const MAX_SPENT_BY_ALL: u32 = 10_000;

impl State {
    /// Genesis: entry 0, alone.
    pub(super) fn genesis(
        &mut self,
        step: &Step<'_>,
        g: &Genesis,
        author: (&Handle, Hash),
    ) -> Outcome {
        let bad =
            |holds: bool, what: &str| require(holds, Code::GenesisInvalid, || what.to_owned());
        bad(g.kind != AgentKind::Person, "a person keeps no ledger")?;
        bad((1..=99).contains(&g.stewards.len()), "1 to 99 stewards")?;
        bad(
            g.quorum >= 1 && g.quorum as usize <= g.stewards.len(),
            "a quorum of 1 to the number of stewards",
        )?;
        bad(
            g.roles.windows(2).all(|w| w[0] < w[1]) && !g.roles.contains(&Role::Steward),
            "roles besides steward, ascending, each once",
        )?;
        bad(
            g.stewards.iter().any(|(h, k)| h == author.0 && *k == author.1),
            "authored by one of its stewards",
        )?;
        bad(
            g.equation.is_some() == (g.kind == AgentKind::Commons),
            "a commons, and only a commons, opens with a value equation",
        )?;
        bad(g.parent.is_none() || g.equation.is_some(), "only a commons is forked")?;
        PublicKey::admit(&g.operator)?;
        bad(
            g.operator != g.clerk
                && g.stewards.iter().all(|(_, k)| *k != g.operator)
                && g.agents.iter().all(|a| a.key != Some(g.operator)),
            "the operator's key is nobody else's",
        )?;
        let clerk = Handle::new(super::state::CLERK).expect("a constant handle is well-formed");
        let clerk = self.introduce(step, clerk, AgentKind::Person, Some(g.clerk), true)?;
        self.change_agent(clerk, |a| a.clerk = true);
        let mut stewards = imbl::OrdSet::new();
        for (handle, key) in &g.stewards {
            let id = self.add_agent(
                step,
                &AgentAdd {
                    handle: handle.clone(),
                    kind: AgentKind::Person,
                    key: Some(*key),
                    name: None,
                    email: None,
                },
            )?;
            self.change_agent(id, |a| {
                a.roles.push(Role::Steward);
                a.roles.extend(&g.roles);
            });
            stewards.insert(id);
        }
        for agent in &g.agents {
            self.add_agent(step, agent)?;
        }
        let author = self.find(author.0)?;
        self.approvals.insert(author);
        self.rules = 1;
        self.operators.push_back(Tenure::first(g.operator));
        self.root = Some(Arc::new(Root {
            kind: g.kind,
            name: g.name.clone(),
            sandbox: g.sandbox,
            quorum: g.quorum,
            digest: step.digest,
            stewards,
        }));
        if let Some(equation) = &g.equation {
            require(equation.version == 1, Code::EquationVersion, || {
                format!("expected version 1, found {}", equation.version)
            })?;
            self.check_equation_agents(equation)?;
            self.equations.push_back((step.at, equation.clone()));
            self.put_in_force(equation.clone());
        }
        g.parent.as_ref().map_or(Ok(()), |parent| self.cite(parent))
    }

    pub(super) fn introduce(
        &mut self,
        step: &Step<'_>,
        handle: Handle,
        kind: AgentKind,
        key: Option<Hash>,
        admitted: bool,
    ) -> Outcome<AgentId> {
        require(!self.handles.contains_key(&handle), Code::HandleTaken, || handle.to_string())?;
        if let Some(key) = key {
            self.check_new_key(key)?;
        }
        let id =
            AgentId(u32::try_from(self.agents.len()).expect("under 2^32 agents fit in memory"));
        if let Some(key) = key {
            self.keys.insert(key, id);
        }
        self.handles.insert(handle.clone(), id);
        self.agents.push_back(Arc::new(Agent {
            id,
            handle,
            kind,
            admitted,
            clerk: false,
            keys: key.into_iter().collect(),
            had_keys: false,
            roles: Vec::new(),
            name: None,
            email: None,
            alias: None,
            refused: false,
            spent: 0,
            entry: step.entry,
        }));
        Ok(id)
    }

    /// AgentAdd.
    pub(super) fn add_agent(&mut self, step: &Step<'_>, add: &AgentAdd) -> Outcome<AgentId> {
        require(!RESERVED.contains(&add.handle.as_str()), Code::HandleTaken, || {
            format!("{} is reserved", add.handle)
        })?;
        let id = self.introduce(step, add.handle.clone(), add.kind, add.key, true)?;
        self.name_agent(id, add.name, add.email);
        Ok(id)
    }

    /// AgentJoin: the author introduces themself.
    pub(super) fn join(
        &mut self,
        step: &Step<'_>,
        handle: &Handle,
        key: Hash,
        name: Option<Hash>,
        email: Option<Hash>,
    ) -> Outcome<AgentId> {
        require(!RESERVED.contains(&handle.as_str()), Code::HandleTaken, || {
            format!("{handle} is reserved")
        })?;
        require(self.waiting.0 < MAX_WAITING, Code::TooManyUnadmitted, || {
            format!("{MAX_WAITING} newcomers wait already")
        })?;
        let id = self.introduce(step, handle.clone(), AgentKind::Person, Some(key), false)?;
        self.name_agent(id, name, email);
        self.waiting.0 += 1;
        self.spend(id)?;
        Ok(id)
    }

    /// AgentAdmit.
    pub(super) fn admit(&mut self, agent: &Handle) -> Outcome {
        let id = self.find(agent)?;
        require(!self.agent(id).admitted, Code::AlreadyAdmitted, || agent.to_string())?;
        self.wait_no_longer(id);
        self.change_agent(id, |a| (a.admitted, a.refused) = (true, false));
        Ok(())
    }

    /// AgentRefuse.
    pub(super) fn refuse(&mut self, agents: &[Handle]) -> Outcome {
        for agent in agents {
            let id = self.find(agent)?;
            let a = self.agent(id);
            require(!a.admitted, Code::AlreadyAdmitted, || agent.to_string())?;
            require(!a.refused, Code::AgentRefused, || format!("{agent} is refused already"))?;
            self.wait_no_longer(id);
            self.change_agent(id, |a| a.refused = true);
        }
        Ok(())
    }

    /// What it has authored burdens the others who wait no more.
    fn wait_no_longer(&mut self, id: AgentId) {
        let a = self.agent(id);
        if a.refused {
            return; // it left them then
        }
        let spent = a.spent;
        self.waiting.0 -= 1;
        self.waiting.1 -= spent;
        self.change_agent(id, |a| a.spent = 0);
    }

    /// Whoever is not admitted has a few events, so that first key and first claim need
    /// nobody's leave and a stranger fills no ledger.
    pub(super) fn spend(&mut self, author: AgentId) -> Outcome {
        let a = self.agent(author);
        if a.admitted {
            return Ok(());
        }
        require(!a.refused, Code::AgentRefused, || a.handle.to_string())?;
        require(a.spent < MAX_SPENT, Code::TooManyUnadmitted, || {
            format!("{} has authored {MAX_SPENT} events and is not admitted", a.handle)
        })?;
        require(self.waiting.1 < MAX_SPENT_BY_ALL, Code::TooManyUnadmitted, || {
            format!("newcomers who wait have authored {MAX_SPENT_BY_ALL} events")
        })?;
        self.waiting.1 += 1;
        self.change_agent(author, |a| a.spent += 1);
        Ok(())
    }

    /// RoleGrant.
    pub(super) fn grant(&mut self, agent: &Handle, role: Role) -> Outcome {
        let id = self.find(agent)?;
        let a = self.agent(id);
        require(a.kind == AgentKind::Person && !a.clerk, Code::WrongAgentKind, || {
            format!("{agent} is no person")
        })?;
        require(a.admitted, Code::NotAdmitted, || agent.to_string())?;
        require(!a.keys.is_empty(), Code::WrongAgentKind, || format!("{agent} has no key"))?;
        require(!a.roles.contains(&role), Code::RoleUnchanged, || format!("{agent} is {role}"))?;
        self.change_agent(id, |a| {
            a.roles.push(role);
            a.roles.sort_unstable();
        });
        Ok(())
    }

    /// RoleRevoke.
    pub(super) fn revoke(&mut self, agent: &Handle, role: Role) -> Outcome {
        let id = self.find(agent)?;
        let held = self.agent(id).roles.contains(&role);
        require(held, Code::RoleUnchanged, || format!("{agent} is not {role}"))?;
        if role == Role::Steward {
            self.require_stewards_without(id)?;
        }
        self.change_agent(id, |a| a.roles.retain(|r| *r != role));
        if role == Role::Steward {
            self.void_approvals(id);
        }
        Ok(())
    }

    /// Without this one, enough stewards remain who can sign.
    pub(super) fn require_stewards_without(&self, id: AgentId) -> Outcome {
        let able = || self.with_role(Role::Steward).filter(|a| !a.keys.is_empty());
        let remain = able().filter(|a| a.id != id).count();
        require(remain >= self.root().quorum as usize, Code::LastStewards, || {
            format!("{} stewards for a quorum of {}", able().count(), self.root().quorum)
        })
    }

    /// Who is no steward has approved nothing; one who becomes it again approves again.
    pub(super) fn void_approvals(&mut self, agent: AgentId) {
        let approved = |p: &Proposal| p.approvals.contains(&agent);
        let entries: Vec<u64> =
            self.proposals.iter().filter(|(_, p)| approved(p)).map(|(entry, _)| *entry).collect();
        for entry in entries {
            let slot = self.proposals.get_mut(&entry).expect("just listed");
            Arc::make_mut(slot).approvals.retain(|a| *a != agent);
        }
    }

    /// AgentClaim.
    pub(super) fn claim(&mut self, step: &Step<'_>, unclaimed: &Handle) -> Outcome {
        let id = self.find(unclaimed)?;
        let a = self.agent(id);
        let free = a.is_keyless() && a.alias.is_none();
        require(free, Code::NotUnclaimed, || unclaimed.to_string())?;
        let fresh = !self.claims.contains_key(&(id, step.author));
        require(fresh, Code::DuplicateClaim, || format!("{unclaimed} by the same person"))?;
        self.claims.insert((id, step.author), Arc::default());
        Ok(())
    }

    /// ClaimAttest: with enough of them the alias holds.
    pub(super) fn attest(
        &mut self,
        step: &Step<'_>,
        unclaimed: &Handle,
        claimant: &Handle,
    ) -> Outcome {
        let (id, person) = (self.find(unclaimed)?, self.find(claimant)?);
        require(self.agent(id).alias.is_none(), Code::NotUnclaimed, || unclaimed.to_string())?;
        let Some(votes) = self.claims.get(&(id, person)).cloned() else {
            return Err(crate::reject::Reject::new(
                Code::UnknownClaim,
                format!("{claimant} does not claim {unclaimed}"),
            ));
        };
        require(step.author != person, Code::OwnClaim, || claimant.to_string())?;
        self.note_act(step, |acts| &mut acts.voted);
        let mut votes = Arc::unwrap_or_clone(votes);
        // As with votes for work: a word ends with its author's role.
        votes.retain(|v| self.agent(*v).roles.contains(&Role::Maintainer));
        let needed = self.equation().validators as usize;
        let again = votes.contains(&step.author);
        // Under an equation that asks for fewer, what had too few may now have enough.
        require(!again || votes.len() >= needed, Code::AlreadyAttested, || unclaimed.to_string())?;
        require(self.agent(person).admitted, Code::NotAdmitted, || claimant.to_string())?;
        if !again {
            votes.push(step.author);
        }
        if votes.len() >= needed {
            let rivals: Vec<_> = self
                .claims
                .range((id, AgentId(0))..=(id, AgentId(u32::MAX)))
                .map(|(k, _)| *k)
                .collect();
            for rival in rivals {
                self.claims.remove(&rival);
            }
            self.change_agent(id, |a| a.alias = Some((person, step.at)));
            self.drop_votes(step.entry, id, person);
        } else {
            self.claims.insert((id, person), Arc::new(votes));
        }
        Ok(())
    }
}

/// What the new key of a `KeyAdd` or `KeyRecover` signs: see event.proto.
pub fn possession_text(ledger: &Hash, handle: &Handle, key: &Hash) -> Vec<u8> {
    let mut text = b"subak key possession v1".to_vec();
    text.extend_from_slice(ledger);
    text.push(u8::try_from(handle.as_str().len()).expect("a handle has at most 32 bytes"));
    text.extend_from_slice(handle.as_str().as_bytes());
    text.extend_from_slice(key);
    text
}
