//! Keys of agents: added, revoked, recovered; and which one an agent signed with, when.
//!
//! Guarantees that a key belongs to one agent for ever and signs nothing from the entry on
//! that revokes it, and that what it signed before stays signed. Leaves out what becomes of
//! the effects of a revoked key (`freeze`), and the operator's key (`handover`).

use super::{
    agents::possession_text,
    state::{State, Step},
    types::*,
};
use crate::{
    log::{Hash, key::PublicKey},
    reject::{Code, Outcome, Reject, require},
};

/// Keys that one agent has at a time.
pub const MAX_KEYS: usize = 16;

/// That a key signs nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// From when on somebody else may have had it, as who revoked it says.
    pub since: u64,
    /// The entry that revoked it.
    pub entry: u64,
    /// When that was recorded.
    pub at: u64,
}

impl State {
    pub(super) fn check_new_key(&self, key: Hash) -> Outcome {
        PublicKey::admit(&key)?;
        let operator = self.operators.iter().any(|term| term.key == key);
        require(!operator && !self.keys.contains_key(&key), Code::KeyTaken, || hex::encode(key))
    }

    pub(super) fn require_in_use(&self, key: &Hash) -> Outcome {
        let Some(revoked) = self.revoked.get(key) else { return Ok(()) };
        Err(Reject::new(
            Code::KeyRevoked,
            format!("key {}, revoked at entry {}", hex::encode(key), revoked.entry),
        ))
    }

    /// KeyAdd, and what a KeyRecover adds.
    pub(super) fn add_key(&mut self, agent: AgentId, key: Hash, possession: &[u8; 64]) -> Outcome {
        let keys = self.agent(agent).keys.len();
        require(keys < MAX_KEYS, Code::TooManyKeys, || format!("{keys} keys"))?;
        self.check_new_key(key)?;
        let text = possession_text(&self.ledger.0, &self.agent(agent).handle, &key);
        let proven = PublicKey::admit(&key)?.verify(&text, possession);
        require(proven, Code::BadPossession, || hex::encode(key))?;
        self.tell_keys_apart(agent);
        self.keys.insert(key, agent);
        self.change_agent(agent, |a| a.keys.push(key));
        Ok(())
    }

    /// KeyRevoke.
    pub(super) fn revoke_key(&mut self, step: &Step<'_>, key: Hash, since: u64) -> Outcome {
        let unknown = || Reject::new(Code::UnknownKey, hex::encode(key));
        let owner = self.keys.get(&key).copied().ok_or_else(unknown)?;
        let agent = self.agent(owner);
        require(step.quorum || owner == step.author, Code::QuorumRequired, || {
            format!("the key is {}'s", agent.handle)
        })?;
        // Its key is the node's affair; without one no state root is published any more.
        require(!agent.clerk, Code::WrongAgentKind, || "clerk is no person".into())?;
        self.require_in_use(&key)?;
        require(since <= step.at, Code::FutureSince, || {
            format!("at most {}, found {since}", step.at)
        })?;
        if agent.keys.len() == 1 && agent.roles.contains(&Role::Steward) {
            self.require_stewards_without(owner)?;
        }
        self.tell_keys_apart(owner);
        self.revoked.insert(key, Revoked { since, entry: step.entry, at: step.at });
        self.change_agent(owner, |a| {
            a.keys.retain(|k| *k != key);
            a.had_keys = true;
        });
        self.freeze(step, owner, key, since);
        Ok(())
    }

    /// KeyRecover.
    pub(super) fn recover(&mut self, agent: &Handle, key: Hash, possession: &[u8; 64]) -> Outcome {
        let id = self.find(agent)?;
        let a = self.agent(id);
        require(a.kind == AgentKind::Person && !a.clerk, Code::WrongAgentKind, || {
            format!("{agent} is no person")
        })?;
        // A key for somebody whom nobody has claimed would go round the claim and its delay.
        require(!a.is_keyless(), Code::PayeeUnclaimed, || format!("{agent} never had a key"))?;
        self.add_key(id, key, possession)
    }

    /// Begins to note which key an agent signs with, before it has another one.
    pub(super) fn tell_keys_apart(&mut self, agent: AgentId) {
        if !self.signed.contains_key(&agent) {
            let first = self.agent(agent).keys.first().map(|key| (0, *key));
            self.signed.insert(agent, first.into_iter().collect());
        }
    }

    /// Notes that an author changes to another one of their keys.
    pub(super) fn note_key(&mut self, step: &Step<'_>) {
        let Some(uses) = self.signed.get(&step.author) else { return };
        if uses.last().is_none_or(|(_, key)| *key != step.key) {
            let uses = self.signed.get_mut(&step.author).expect("looked up above");
            uses.push_back((step.entry, step.key));
        }
    }

    /// The key with which an agent signed an entry of its own.
    pub(super) fn key_at(&self, agent: AgentId, entry: u64) -> Option<Hash> {
        let Some(uses) = self.signed.get(&agent) else {
            return self.agent(agent).keys.first().copied();
        };
        let n = match uses.binary_search_by_key(&entry, |(from, _)| *from) {
            Ok(n) => n,
            Err(n) => n.checked_sub(1)?,
        };
        uses.get(n).map(|(_, key)| *key)
    }

    /// Whether an agent has ever signed with a key that it has or had.
    pub(super) fn has_signed(&self, agent: AgentId, key: &Hash) -> bool {
        let Some(uses) = self.signed.get(&agent) else { return true };
        uses.iter().any(|(_, used)| used == key)
    }
}
