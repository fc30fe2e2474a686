//! Buckets by hand: three agents, euros, and no ledger around them.

use std::{collections::BTreeSet, sync::Arc};
use subak_ledger::{
    book::{equation::*, split::*, types::*},
    log::handle::Handle,
};

pub(crate) fn eur() -> Currency {
    Currency::new("EUR").unwrap()
}

pub(crate) fn def(to: To) -> Arc<BucketDef> {
    Arc::new(BucketDef { name: Handle::new("bucket").unwrap(), id: [0; 32], to })
}

pub(crate) fn contributors(weight: &[u32]) -> Bucket {
    Bucket::new(def(To::Contributors(Filter {
        kinds: BTreeSet::new(),
        streams: BTreeSet::new(),
        unpaid_only: false,
        weight: weight.to_vec(),
    })))
}

pub(crate) const A: AgentId = AgentId(0);
pub(crate) const B: AgentId = AgentId(1);
pub(crate) const C: AgentId = AgentId(2);

/// Spreads whole minor units of EUR.
pub(crate) fn spread(bucket: &mut Bucket, month: u32, minor: Minor) -> Point {
    bucket.spread(eur(), month, fixed(minor), minor).0
}
