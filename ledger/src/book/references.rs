//! Who claims which reference, and which claim has been validated.
//!
//! Owns the look-up by reference. Guarantees that an agent claims a reference once at most
//! at a time, and that one contribution at most is validated under it. The usual claim, one
//! agent's, is stored in the map itself: a claim costs one insertion.
//! Leaves out the contributions themselves, and who may claim what (`work`).

use super::types::{AgentId, Packed, Ref, Reference};
use crate::dense::DenseMap;
use std::sync::Arc;

/// The open claims to references. A clone is cheap.
#[derive(Debug, Clone, Default)]
pub struct References(DenseMap<Reference, Claims>);

/// Claims to one reference: for whom, and where. The author's own part is claimed, and
/// every part where a maintainer claims.
#[derive(Debug, Clone)]
enum Claims {
    One { agent: AgentId, taken: bool, at: Packed },
    Several(Arc<Several>),
}

#[derive(Debug)]
struct Several {
    by: Vec<(AgentId, Ref)>,
    taken: Option<Ref>,
}

impl Claims {
    fn several(by: Vec<(AgentId, Ref)>, taken: Option<Ref>) -> Self {
        Self::Several(Arc::new(Several { by, taken }))
    }

    fn by(&self) -> impl Iterator<Item = (AgentId, Ref)> {
        let (one, several) = match self {
            Self::One { agent, at, .. } => (Some((*agent, (*at).into())), &[][..]),
            Self::Several(several) => (None, &several.by[..]),
        };
        one.into_iter().chain(several.iter().copied())
    }

    fn taken(&self) -> Option<Ref> {
        match self {
            Self::One { taken, at, .. } => taken.then_some((*at).into()),
            Self::Several(several) => several.taken,
        }
    }
}

impl References {
    /// The validated contribution that has taken a reference.
    pub fn taken_by(&self, reference: &Reference) -> Option<Ref> {
        self.0.get(reference).and_then(Claims::taken)
    }

    /// For whom a reference is claimed, and where, in the order of the claims.
    pub fn claims(&self, reference: &Reference) -> impl Iterator<Item = (AgentId, Ref)> {
        self.0.get(reference).into_iter().flat_map(Claims::by)
    }

    /// Whether both are the same without a look at them.
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.0.ptr_eq(&other.0)
    }

    /// The contribution at `place` claims a reference for these agents. After an error these
    /// references are spent.
    pub(super) fn claim(
        &mut self,
        reference: &Reference,
        agents: &[AgentId],
        place: Ref,
    ) -> Result<(), Hindrance> {
        let rows = agents.iter().map(|agent| (*agent, place));
        let claims = match agents {
            [agent] => Claims::One { agent: *agent, taken: false, at: place.into() },
            _ => Claims::several(rows.clone().collect(), None),
        };
        let Some(before) = self.0.insert(reference.clone(), claims) else { return Ok(()) };
        if before.taken().is_some() {
            return Err(Hindrance::Taken);
        }
        if let Some((agent, _)) = before.by().find(|(agent, _)| agents.contains(agent)) {
            return Err(Hindrance::Claimed(agent));
        }
        let all = before.by().chain(rows).collect();
        self.0.insert(reference.clone(), Claims::several(all, None));
        Ok(())
    }

    /// The contribution at `place` is validated.
    pub(super) fn take(&mut self, reference: &Reference, place: Ref) {
        let claims = self.0.get_mut(reference).expect("an open claim is listed");
        let listed = claims.by().any(|(_, at)| at == place);
        assert!(listed, "an open claim is listed by its place");
        assert!(claims.taken().is_none_or(|at| at == place), "a rival is refused before");
        match claims {
            Claims::One { taken, .. } => *taken = true,
            Claims::Several(several) => *claims = Claims::several(several.by.clone(), Some(place)),
        }
    }

    /// The contribution at `place` has ended.
    pub(super) fn free(&mut self, reference: &Reference, place: Ref) {
        let claims = self.0.get(reference).expect("an open claim is listed");
        let left: Vec<_> = claims.by().filter(|(_, at)| *at != place).collect();
        let taken = claims.taken().filter(|at| *at != place);
        if left.is_empty() {
            self.0.remove(reference);
        } else {
            self.0.insert(reference.clone(), Claims::several(left, taken));
        }
    }
}

/// Why a reference cannot be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hindrance {
    /// A claim to it has been validated.
    Taken,
    /// This agent claims it already.
    Claimed(AgentId),
}
