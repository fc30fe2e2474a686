//! Whether texts open commitments of the statement that they came with.
//!
//! Guarantees that nothing is kept beside the log that its author did not commit to: a
//! node is no place for strangers' bytes. Leaves out reading them back and erasing them.

use crate::refusal::Refusal;
use prost::Message as _;
use std::collections::BTreeSet;
use subak_ledger::{
    log::{Handle, Hash, LedgerId, Statement, commit::commitment, statement::MAX_ENVELOPE},
    store::Disclosure,
};
use subak_proto::v1::{self, event::Kind};

/// The disclosures with their commitments recomputed, if each opens one that is in
/// `statement`; the commitments that came with them are not read.
pub(crate) fn check(
    statement: &Statement,
    given: Vec<Disclosure>,
) -> Result<Vec<Disclosure>, Refusal> {
    let found = given.iter().map(|d| d.bytes.len() + d.tag.len() + d.field.len()).sum();
    if found > MAX_ENVELOPE {
        return Err(Refusal::DisclosuresTooLarge { most: MAX_ENVELOPE, found });
    }
    if given.is_empty() {
        return Ok(given);
    }
    let committed = commitments(statement);
    let open = |mut d: Disclosure| {
        // In a genesis the header's ledger is zeros, as in its commitments.
        let opened = recompute(&d, &statement.header().ledger).filter(|c| committed.contains(c));
        let Some(commitment) = opened else {
            return Err(Refusal::DisclosureMismatch { tag: d.tag, field: d.field });
        };
        d.commitment = commitment;
        Ok(d)
    };
    given.into_iter().map(open).collect()
}

/// The commitment that a disclosure opens in `ledger`; none if its author is no handle.
pub(crate) fn recompute(d: &Disclosure, ledger: &LedgerId) -> Option<Hash> {
    let author = Handle::new(&d.author).ok()?;
    Some(commitment(&d.salt, &d.tag, ledger, &author, &d.field, &d.bytes))
}

/// Every commitment in a statement's events.
pub(crate) fn commitments(statement: &Statement) -> BTreeSet<Hash> {
    let decoded = statement.events().iter().filter_map(|b| v1::Event::decode(&b[..]).ok());
    let mut all = BTreeSet::new();
    let mut note = |bytes: &[u8]| all.extend(<Hash>::try_from(bytes));
    // A proposal's events are of kinds that carry none.
    for kind in decoded.filter_map(|event| event.kind) {
        match kind {
            Kind::Genesis(e) => e.agent.iter().for_each(|a| {
                note(&a.name);
                note(&a.email);
            }),
            Kind::AgentJoin(e) => {
                note(&e.name);
                note(&e.email);
            }
            Kind::AgentAdd(e) => {
                note(&e.name);
                note(&e.email);
            }
            Kind::AgentClaim(e) => note(&e.evidence),
            Kind::Contribute(e) => note(&e.evidence),
            Kind::IncomeRecord(e) => note(&e.note),
            Kind::RevenueRecord(e) => note(&e.note),
            Kind::RevenueReverse(e) => note(&e.note),
            _ => {}
        }
    }
    all
}
