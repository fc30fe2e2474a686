//! Gaps in invoice series: a number that was skipped may be revenue that was not recorded.
//!
//! Owns the search. Guarantees that each run of missing numbers is told once, and a number that is
//! recorded or void is in none. Leaves out a series' end: nobody can know what comes after it.

use crate::book::{state::State, types::Handle};
use std::{collections::BTreeMap, fmt};

/// Numbers from `first` to `last` of a series that are neither recorded nor void.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gap {
    series: Handle,
    first: u64,
    last: u64,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "series {}, {} to {}", self.series, self.first, self.last)
    }
}

/// All gaps between each series' first and last number, in order.
pub(super) fn missing(state: &State) -> Vec<Gap> {
    let mut numbers: BTreeMap<&Handle, Vec<u64>> = BTreeMap::new();
    let recorded = state.revenues.keys().map(|id| (&id.series, id.number));
    for (series, number) in recorded.chain(state.voids.iter().map(|(series, n)| (series, *n))) {
        numbers.entry(series).or_default().push(number);
    }
    let mut missing = Vec::new();
    for (series, mut numbers) in numbers {
        numbers.sort_unstable();
        let gaps = numbers.windows(2).filter(|pair| pair[1] - pair[0] > 1);
        missing.extend(gaps.map(|pair| {
            let (first, last) = (pair[0] + 1, pair[1] - 1);
            Gap { series: series.clone(), first, last }
        }));
    }
    missing
}
