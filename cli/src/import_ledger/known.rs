//! What a ledger knows already of work and people from elsewhere.
//!
//! No state is kept beside the ledger: a work is known by its reference, and who is who
//! is learnt again from known works, or from disclosures. Guarantees that nobody slips
//! into another's place: only claims that a maintainer made or the maintainers
//! validated, and only agents without a key of their own, tell who somebody is. What
//! people say of themselves (a name, an e-mail, a claim) never does; nor does a claim that
//! anyone can make keep an import from claiming the same work for whose it is.

use crate::{context::Open, describe, failure::Done, import::Person};
use serde::Serialize;
use std::collections::HashMap;
use subak_ledger::{
    book::{
        state::{Contribution, State},
        types::{AgentId, Ref, RejectReason, Role},
    },
    log::Hash,
};

/// How a reference stands in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Claimed by a maintainer, or validated, and ended as not done, not useful or a
    /// duplicate: not to come back.
    Ended,
    /// Claimed by a maintainer, as an import does.
    Claimed,
    /// Validated.
    Validated,
}

/// A claim to a reference: the weightiest, where there are several.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Where.
    pub place: Ref,
    /// What.
    pub contribution: Contribution,
    /// How it stands.
    pub standing: Standing,
    /// Whether its parts tell who people are.
    pub trusted: bool,
}

/// A claim that somebody made who is no maintainer, and that nobody has judged yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rival {
    /// What it claims.
    pub reference: String,
    /// The contribution.
    pub contribution: String,
    /// Who claimed.
    pub claimed_by: String,
    /// Whether the import claims beside it; else it names the same person, and stays alone.
    pub beside: bool,
}

/// Claims by reference.
pub struct Claims {
    weightiest: HashMap<String, Claim>,
    by_hand: HashMap<String, Vec<(Ref, Contribution)>>,
}

impl Claims {
    /// One pass over the contributions; `wanted` chooses references.
    pub fn of(book: &State, wanted: impl Fn(&str) -> bool) -> Self {
        let mut claims = Self { weightiest: HashMap::new(), by_hand: HashMap::new() };
        let all = book.contributions.iter();
        for (place, c) in all.filter(|(_, c)| wanted(c.reference.as_str())) {
            let reference = c.reference.as_str();
            let Some(standing) = standing(book, place, &c) else {
                if c.closed.is_none() {
                    claims.by_hand.entry(reference.to_owned()).or_default().push((place, c));
                }
                continue;
            };
            let known = claims.weightiest.get(reference);
            if known.is_none_or(|known| known.standing < standing) {
                let trusted = standing == Standing::Validated || by_maintainer(book, &c);
                let reference = reference.to_owned();
                let claim = Claim { place, contribution: c, standing, trusted };
                claims.weightiest.insert(reference, claim);
            }
        }
        claims
    }

    /// The claim to a reference: made or judged by maintainers.
    pub fn get(&self, reference: &str) -> Option<&Claim> {
        self.weightiest.get(reference)
    }

    /// Whether one of these people claimed the reference by hand: the rules let an agent
    /// claim it once. As the rules count: whom a stranger gave a part in their own claim has
    /// claimed nothing, or a thousandth for the author would keep the import from the rest.
    pub fn claimed_for(&self, book: &State, reference: &str, people: &[AgentId]) -> bool {
        let one_of_them = |agent| people.iter().any(|a| book.person(*a) == book.person(agent));
        self.by_hand(reference).any(|(place, c)| {
            let mut claims = book.references.claims(&c.reference);
            claims.any(|(agent, at)| at == *place && one_of_them(agent))
        })
    }

    /// The claims to a reference that were made by hand, for people to look at.
    pub fn rivals(&self, book: &State, reference: &str, beside: bool) -> Vec<Rival> {
        let rival = |(place, c): &(Ref, Contribution)| Rival {
            reference: reference.to_owned(),
            contribution: place.to_string(),
            claimed_by: book.agent(c.claimant).handle.to_string(),
            beside,
        };
        self.by_hand(reference).map(rival).collect()
    }

    fn by_hand(&self, reference: &str) -> impl Iterator<Item = &(Ref, Contribution)> {
        self.by_hand.get(reference).into_iter().flatten()
    }
}

/// None: withdrawn, or for the wrong person, so that it may be claimed anew; or made by no
/// maintainer and never validated, which says nothing of the work: anyone can claim what
/// will be rejected, and must not bar its author by it.
fn standing(book: &State, place: Ref, c: &Contribution) -> Option<Standing> {
    match c.closed {
        Some(RejectReason::WrongAgent | RejectReason::Withdrawn) => None,
        Some(_) if for_others(book, c) || by_maintainer(book, c) || was_validated(c) => {
            Some(Standing::Ended)
        }
        Some(_) => None,
        None if book.references.taken_by(&c.reference) == Some(place) => Some(Standing::Validated),
        None if by_maintainer(book, c) => Some(Standing::Claimed),
        None => None,
    }
}

fn by_maintainer(book: &State, c: &Contribution) -> bool {
    book.agent(c.claimant).roles.contains(&Role::Maintainer)
}

/// Without a part of the claimant's own, as only maintainers may claim: so that what one of
/// them imported is known also when they are maintainer no more.
fn for_others(book: &State, c: &Contribution) -> bool {
    c.parts.iter().all(|p| book.person(p.agent) != c.claimant)
}

fn was_validated(c: &Contribution) -> bool {
    c.parts.iter().any(|p| p.standing.is_some())
}

/// A person without a key: made by somebody else, as by an import. (With a key of
/// their own people speak for themselves, and go by their handle.)
pub fn keyless(book: &State, agent: AgentId) -> bool {
    let a = book.agent(agent);
    a.is_keyless() && !a.clerk
}

impl Claim {
    /// Whose the parts are, in their order, where that is to be believed and there are
    /// as many as expected.
    pub fn people<'s>(
        &'s self,
        book: &'s State,
        count: usize,
    ) -> impl Iterator<Item = Option<AgentId>> + 's {
        let believed = self.trusted && self.contribution.parts.len() == count;
        self.contribution
            .parts
            .iter()
            .filter(move |_| believed)
            .map(|p| Some(p.agent).filter(|a| keyless(book, *a)))
    }
}

/// People by what was disclosed of unclaimed agents.
#[derive(Debug, Default)]
pub struct Register {
    by_identity: HashMap<String, AgentId>,
    by_name: HashMap<String, Vec<AgentId>>,
}

impl Register {
    /// Reads the disclosures, if any agent could be recognised by one.
    pub async fn load(open: &Open) -> Done<Self> {
        let book = &open.book;
        let candidates: Vec<_> = book
            .agents
            .iter()
            .filter(|a| keyless(book, a.id) && (a.name.is_some() || a.email.is_some()))
            .collect();
        if candidates.is_empty() {
            return Ok(Self::default());
        }
        let disclosures = open.connection.ledgers.disclosures(open.info.id).await?;
        let texts: HashMap<Hash, String> = disclosures
            .iter()
            .filter(|d| describe::opens(&open.info.id, d))
            .filter_map(|d| Some((d.commitment, String::from_utf8(d.bytes.clone()).ok()?)))
            .collect();
        let mut register = Self::default();
        for agent in candidates {
            let text = |c: Option<Hash>| c.and_then(|c| texts.get(&c)).cloned();
            let person = Person {
                name: text(agent.name).unwrap_or_default(),
                email: text(agent.email).unwrap_or_default(),
            };
            register.add(agent.id, agent.email.is_some(), &person);
        }
        Ok(register)
    }

    fn add(&mut self, agent: AgentId, has_email: bool, person: &Person) {
        // With the e-mail erased, the name alone is not the identity.
        if !person.email.is_empty() || (!has_email && !person.name.is_empty()) {
            self.by_identity.entry(person.identity()).or_insert(agent);
        }
        if !person.name.is_empty() {
            self.by_name.entry(person.name.clone()).or_default().push(agent);
        }
    }

    /// The agent with the person's identity.
    pub fn find(&self, person: &Person) -> Option<AgentId> {
        self.by_identity.get(&person.identity()).copied()
    }

    /// The agents who were disclosed under a name.
    pub fn named(&self, name: &str) -> &[AgentId] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str, email: &str) -> Person {
        Person { name: name.into(), email: email.into() }
    }

    #[test]
    fn people_are_found_by_identity_and_by_name() {
        let mut r = Register::default();
        r.add(AgentId(5), true, &person("Ana", "Ana@Example.org"));
        r.add(AgentId(6), true, &person("Ana", "other@example.org"));
        r.add(AgentId(7), false, &person("Ben", ""));
        r.add(AgentId(8), true, &person("Cyn", "")); // the e-mail is erased
        assert_eq!(r.find(&person("whoever", "ana@example.org")), Some(AgentId(5)));
        assert_eq!(r.find(&person("Ben", "")), Some(AgentId(7)));
        assert_eq!(r.find(&person("Cyn", "")), None);
        assert_eq!(r.named("Ana"), [AgentId(5), AgentId(6)]);
        assert_eq!(r.named("Cyn"), [AgentId(8)]);
    }
}
