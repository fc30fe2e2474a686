//! All contributions by place, in little room.
//!
//! Owns [`Contributions`], the table with a row for nearly every entry of a log. It keeps them
//! as bytes ([`super::compact`]), some dozen together in a leaf: a quarter of what they are
//! where a program can change them, so that a million of them fit beside everything else that an auditor holds.
//! Guarantees the order of the places, and clones that cost nothing and share what they can: a
//! leaf is never changed, only replaced.
//! Leaves out what a contribution may say (`work`).

use super::{
    compact::{self, Bytes},
    state::{Contribution, WorkPart},
    types::{Handle, Packed, Ref},
};
use imbl::{OrdMap, Vector};
use std::{
    ops::{Bound, Range, RangeBounds},
    sync::Arc,
};

/// Bytes of a leaf at most, if it has several rows: with the two counters before it, a size that the
/// allocator has.
const MOST: usize = 1024 - 16;
/// With so many, a leaf gets no new rows: what is said later of those it has finds room.
const FULL: usize = MOST * 3 / 4;

/// The most that stands before a row: two numbers of 64 bits and one of 32.
const HEAD: usize = 25;

/// Contributions by place, ascending. A clone is cheap.
#[derive(Debug, Clone, Default)]
pub struct Contributions {
    /// By the place of the first of theirs. None is empty.
    leaves: OrdMap<Packed, Arc<[u8]>>,
    newest: Newest,
    /// The place after which contributions come in order.
    last: Option<Ref>,
    len: usize,
    /// The kinds that contributions are of, by number, and their numbers.
    kinds: Vector<Arc<Handle>>,
    numbers: OrdMap<Arc<Handle>, u64>,
}

/// The leaf after all others, which grows; may be empty.
#[derive(Debug, Clone)]
struct Newest {
    first: Ref,
    rows: Arc<Vec<u8>>,
}

impl Default for Newest {
    fn default() -> Self {
        let rows = Arc::new(Vec::with_capacity(MOST));
        Self { first: Ref { entry: 0, event: 0 }, rows }
    }
}

impl Contributions {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether both are the same without a look at them.
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.leaves.ptr_eq(&other.leaves) && Arc::ptr_eq(&self.newest.rows, &other.newest.rows)
    }

    /// The contribution at a place.
    pub fn get(&self, place: Ref) -> Option<Contribution> {
        let row = self.leaf_of(place)?.locate(place).ok()?;
        Some(self.read(&row))
    }

    /// The contribution at a place where there is one.
    pub fn at(&self, place: Ref) -> Contribution {
        self.get(place).expect("whoever names a place so knows that a contribution is there")
    }

    /// All, by place.
    pub fn iter(&self) -> impl Iterator<Item = (Ref, Contribution)> {
        self.range(..)
    }

    /// All, without their places.
    pub fn values(&self) -> impl Iterator<Item = Contribution> {
        self.iter().map(|(_, c)| c)
    }

    /// All their parts; cheaper than these.
    pub fn parts(&self) -> impl Iterator<Item = WorkPart> {
        self.rows(..).flat_map(|row| Bytes(row.body).parts())
    }

    /// Those whose places are in a range.
    pub fn range(&self, range: impl RangeBounds<Ref>) -> impl Iterator<Item = (Ref, Contribution)> {
        self.rows(range).map(|row| (row.place, self.read(&row)))
    }

    /// The places in a range at which there are contributions; cheaper than these.
    pub fn places(&self, range: impl RangeBounds<Ref>) -> impl Iterator<Item = Ref> {
        self.rows(range).map(|row| row.place)
    }

    fn rows(&self, range: impl RangeBounds<Ref>) -> impl Iterator<Item = Row<'_>> {
        let from = match range.start_bound() {
            Bound::Included(place) | Bound::Excluded(place) => self.leaf_of(*place),
            Bound::Unbounded => None,
        };
        let from = match from {
            Some(leaf) => Bound::Included(Packed::from(leaf.first)),
            None => Bound::Unbounded,
        };
        let leaves = self.leaves.range::<_, Packed>((from, Bound::Unbounded));
        let leaves = leaves.map(|(first, leaf)| Rows::of((*first).into(), leaf));
        let (start, end) = (range.start_bound().cloned(), range.end_bound().cloned());
        leaves
            .chain([Rows::of(self.newest.first, &self.newest.rows)])
            .flatten()
            .skip_while(move |row| !(start, Bound::Unbounded).contains(&row.place))
            .take_while(move |row| (Bound::Unbounded, end).contains(&row.place))
    }

    fn is_in_newest(&self, place: Ref) -> bool {
        place >= self.newest.first && !self.newest.rows.is_empty()
    }

    /// The leaf in which a place is, if it is in one.
    fn leaf_of(&self, place: Ref) -> Option<Rows<'_>> {
        if self.is_in_newest(place) {
            return Some(Rows::of(self.newest.first, &self.newest.rows));
        }
        let (first, leaf) = self.leaves.get_prev(&Packed::from(place))?;
        Some(Rows::of((*first).into(), leaf))
    }

    fn read(&self, row: &Row<'_>) -> Contribution {
        let kind = |n| usize::try_from(n).ok().and_then(|n| self.kinds.get(n)).cloned();
        Bytes(row.body).contribution(row.place, |n| kind(n).expect("numbers are handed out here"))
    }

    /// Changes the contribution at a place where there is one.
    pub fn change(&mut self, place: Ref, change: impl FnOnce(&mut Contribution)) {
        let mut c = self.at(place);
        change(&mut c);
        self.put(place, &c);
    }

    /// Sets the contribution at a place, be there one or not.
    pub(super) fn put(&mut self, place: Ref, c: &Contribution) {
        let mut body = Vec::with_capacity(128);
        compact::write(&mut body, place, self.number(&c.kind), c);
        if self.last.is_none_or(|last| last < place) {
            self.append(place, &body);
        } else if self.is_in_newest(place) {
            let Newest { first, rows } = &mut self.newest;
            let (bytes, added) = with_row(Rows::of(*first, rows), place, &body);
            *rows = Arc::new(bytes);
            self.len += usize::from(added);
            if rows.len() > MOST {
                let Newest { first, rows } = std::mem::take(&mut self.newest);
                self.lay(&Rows::of(first, &rows).pairs());
            }
        } else if let Some((first, leaf)) = self.leaves.get_prev_mut(&Packed::from(place)) {
            let first = Ref::from(*first);
            let (bytes, added) = with_row(Rows::of(first, leaf), place, &body);
            self.len += usize::from(added);
            if bytes.len() <= MOST {
                *leaf = bytes.into();
            } else {
                self.lay(&Rows::of(first, &bytes).pairs());
            }
        } else {
            self.len += 1;
            self.lay(&[(place, &body)]);
        }
    }

    /// A contribution after all others, as nearly all are that are not there yet.
    fn append(&mut self, place: Ref, body: &[u8]) {
        let held = self.newest.rows.len();
        if held >= FULL || held > 0 && held + HEAD + body.len() > MOST {
            let full = std::mem::take(&mut self.newest);
            self.leaves.insert(full.first.into(), full.rows[..].into());
        }
        let Newest { first, rows } = &mut self.newest;
        if rows.is_empty() {
            *first = place;
        }
        write_row(Arc::make_mut(rows), *first, place, body);
        self.last = Some(place);
        self.len += 1;
    }

    /// Makes a leaf of these rows, or several where they are too long for one.
    fn lay(&mut self, rows: &[(Ref, &[u8])]) {
        let Some((first, _)) = rows.first().copied() else { return };
        let mut bytes = Vec::with_capacity(MOST);
        rows.iter().for_each(|(place, body)| write_row(&mut bytes, first, *place, body));
        if rows.len() == 1 || bytes.len() <= MOST {
            self.leaves.insert(first.into(), bytes.into());
            return;
        }
        let until = |n: usize| rows[..n].iter().map(|row| row.1.len()).sum::<usize>();
        let middle = (1..rows.len()).find(|n| until(*n) >= bytes.len() / 2);
        let (one, other) = rows.split_at(middle.unwrap_or(rows.len() - 1));
        self.lay(one);
        self.lay(other);
    }

    fn number(&mut self, kind: &Arc<Handle>) -> u64 {
        if let Some(number) = self.numbers.get(kind) {
            return *number;
        }
        let number = self.kinds.len() as u64;
        self.kinds.push_back(Arc::clone(kind));
        self.numbers.insert(Arc::clone(kind), number);
        number
    }
}

/// A row: how many entries after the leaf's first, the event, the length of the rest.
fn write_row(out: &mut Vec<u8>, first: Ref, place: Ref, body: &[u8]) {
    compact::number(out, place.entry - first.entry);
    compact::number(out, place.event.into());
    compact::number(out, body.len() as u64);
    out.extend_from_slice(body);
}

/// A leaf with a row set, and whether the row is new.
fn with_row(leaf: Rows<'_>, place: Ref, body: &[u8]) -> (Vec<u8>, bool) {
    let (first, all) = (leaf.first, leaf.all);
    let (span, added) = match leaf.locate(place) {
        Ok(row) => (row.span, false),
        Err(at) => (at..at, true),
    };
    let mut bytes = Vec::with_capacity(all.len() + HEAD + body.len());
    bytes.extend_from_slice(&all[..span.start]);
    write_row(&mut bytes, first, place, body);
    bytes.extend_from_slice(&all[span.end..]);
    (bytes, added)
}

struct Row<'l> {
    place: Ref,
    /// Of the leaf, where it lies.
    span: Range<usize>,
    body: &'l [u8],
}

/// The rows of a leaf.
struct Rows<'l> {
    first: Ref,
    all: &'l [u8],
    rest: Bytes<'l>,
}

impl<'l> Rows<'l> {
    fn of(first: Ref, leaf: &'l [u8]) -> Self {
        Self { first, all: leaf, rest: Bytes(leaf) }
    }

    fn pairs(self) -> Vec<(Ref, &'l [u8])> {
        self.map(|row| (row.place, row.body)).collect()
    }

    /// The row of a place, or else where it would lie.
    fn locate(mut self, place: Ref) -> Result<Row<'l>, usize> {
        match self.find(|row| row.place >= place) {
            Some(row) if row.place == place => Ok(row),
            Some(row) => Err(row.span.start),
            None => Err(self.all.len()),
        }
    }
}

impl<'l> Iterator for Rows<'l> {
    type Item = Row<'l>;
    fn next(&mut self) -> Option<Row<'l>> {
        let start = self.all.len() - self.rest.0.len();
        if self.rest.0.is_empty() {
            return None;
        }
        let entry = self.first.entry + self.rest.number();
        let event = u32::try_from(self.rest.number()).expect("it was written from 32 bits");
        let length = usize::try_from(self.rest.number()).expect("it was the length of a row");
        let body = self.rest.slice(length);
        let span = start..self.all.len() - self.rest.0.len();
        Some(Row { place: Ref { entry, event }, span, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::{
        state::{Pending, Reading, Standing},
        types::*,
        votes::Votes,
    };
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Small numbers, and any.
    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![0u64..300, any::<u64>()]
    }

    fn votes() -> impl Strategy<Value = Votes> {
        prop::collection::vec(any::<u32>(), 0..6).prop_map(|agents| {
            let mut votes = Votes::default();
            agents.into_iter().for_each(|agent| votes.push(AgentId(agent)));
            votes
        })
    }

    fn pending() -> impl Strategy<Value = Pending> {
        let paid = prop::option::of(prop::sample::select(Remuneration::ALL));
        (number(), paid, votes()).prop_map(|(quantity, remuneration, votes)| Pending {
            reading: Reading { quantity, remuneration },
            votes,
        })
    }

    fn standing() -> impl Strategy<Value = Standing> {
        let paid = prop::sample::select(Remuneration::ALL);
        let points = (number(), number(), number());
        (number(), paid, votes(), number(), points).prop_map(
            |(quantity, remuneration, votes, since, (counted, counted_unpaid, maturing))| {
                Standing { quantity, remuneration, votes, since, counted, counted_unpaid, maturing }
            },
        )
    }

    fn part() -> impl Strategy<Value = WorkPart> {
        let (pending, standing) = (prop::option::of(pending()), prop::option::of(standing()));
        (any::<u32>(), number(), pending, standing, any::<u32>()).prop_map(
            |(agent, claimed, pending, standing, generation)| WorkPart {
                agent: AgentId(agent),
                claimed,
                pending: pending.map(Box::new),
                standing,
                generation,
            },
        )
    }

    fn contribution() -> impl Strategy<Value = Contribution> {
        let closed = prop::option::of(prop::sample::select(RejectReason::ALL));
        let what =
            ("[a-z]{1,4}:[a-f0-9]{1,60}", "[a-d]", prop::sample::select(Stream::ALL), closed);
        let numbers = (any::<u32>(), any::<u32>(), any::<u32>(), number(), number());
        let parts = prop_oneof![
            5 => prop::collection::vec(part(), 1),
            1 => prop::collection::vec(part(), 2..64),
        ];
        (what, numbers, parts).prop_map(|((reference, kind, stream, closed), numbers, parts)| {
            let (worked_on, rate, claimant, claimed_at, said) = numbers;
            Contribution {
                reference: Reference::new(&reference).unwrap(),
                kind: Arc::new(Handle::new(&kind).unwrap()),
                stream,
                worked_on,
                rate,
                claimant: AgentId(claimant),
                claimed_at,
                said,
                closed,
                parts: parts.into_iter().collect(),
            }
        })
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// The next one, so many entries and events later.
        Claim(u64, u32),
        /// Anywhere.
        Put(Ref),
        /// One that is there.
        Change(prop::sample::Index),
        /// From here on the table is shared.
        Keep,
    }

    fn place() -> impl Strategy<Value = Ref> {
        (0u64..40, 0u32..20).prop_map(|(entry, event)| Ref { entry, event })
    }

    fn step() -> impl Strategy<Value = (Step, Contribution)> {
        let step = prop_oneof![
            6 => (0u64..3, 0u32..4).prop_map(|(entries, events)| Step::Claim(entries, events)),
            1 => place().prop_map(Step::Put),
            4 => any::<prop::sample::Index>().prop_map(Step::Change),
            1 => Just(Step::Keep),
        ];
        (step, contribution())
    }

    /// The table, and its model.
    #[derive(Default, Clone)]
    struct Two {
        table: Contributions,
        model: BTreeMap<Ref, Contribution>,
    }

    impl Two {
        fn run(&mut self, step: &Step, c: &Contribution) {
            let place = match step {
                Step::Claim(entries, events) => {
                    let last = self.model.last_key_value().map(|(last, _)| *last);
                    let last = last.unwrap_or(Ref { entry: 0, event: 0 });
                    let event = if *entries == 0 { last.event + events } else { *events };
                    Ref { entry: last.entry + entries, event: event.min(1_000) }
                }
                Step::Put(place) => *place,
                Step::Change(index) if !self.model.is_empty() => {
                    let places: Vec<Ref> = self.model.keys().copied().collect();
                    let place = *index.get(&places);
                    self.table.change(place, |changed| *changed = c.clone());
                    self.model.insert(place, c.clone());
                    return;
                }
                Step::Change(_) | Step::Keep => return,
            };
            self.table.put(place, c);
            self.model.insert(place, c.clone());
        }

        fn check(&self, a: Ref, b: Ref) {
            // All fields show in this.
            let text = |(place, c): (Ref, Contribution)| format!("{place} {c:?}");
            let model = || self.model.iter().map(|(place, c)| (*place, c.clone()));
            assert!(self.table.iter().map(text).eq(model().map(text)));
            let parts = |parts: Vec<WorkPart>| format!("{parts:?}");
            let all = self.model.values().flat_map(|c| c.parts.clone()).collect();
            assert_eq!(parts(self.table.parts().collect()), parts(all));
            assert_eq!(self.table.len(), self.model.len());
            assert_eq!(self.table.is_empty(), self.model.is_empty());
            let one = |c: Contribution| format!("{c:?}");
            assert_eq!(self.table.get(a).map(one), self.model.get(&a).cloned().map(one));
            let (a, b) = (a.min(b), a.max(b));
            let keys = |range: (Bound<Ref>, Bound<Ref>)| {
                let there: Vec<Ref> = self.table.places(range).collect();
                assert_eq!(there, self.model.range(range).map(|(p, _)| *p).collect::<Vec<_>>());
            };
            keys((Bound::Included(a), Bound::Unbounded));
            keys((Bound::Included(a), Bound::Included(b)));
            keys((Bound::Unbounded, Bound::Included(b)));
            for (first, leaf) in &self.table.leaves {
                let rows = Rows::of((*first).into(), leaf).count();
                assert!(rows == 1 || (rows > 1 && leaf.len() <= MOST), "{rows}, {}", leaf.len());
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Against the standard library's map, and none of it shows in a clone from before.
        #[test]
        fn it_is_a_map_by_place(
            steps in prop::collection::vec(step(), 1..120), a in place(), b in place()
        ) {
            let mut it = Two::default();
            let mut kept = Vec::new();
            for (step, c) in &steps {
                it.run(step, c);
                if matches!(step, Step::Keep) {
                    kept.push(it.clone());
                }
            }
            kept.iter().chain([&it]).for_each(|two| two.check(a, b));
        }
    }

    /// What it is for: a commit's claim, validated, in about as many bytes as it has to say.
    #[test]
    fn a_validated_claim_takes_little_more_than_its_text() {
        let mut votes = Votes::default();
        votes.push(AgentId(3));
        let claim = |n: u64| Contribution {
            reference: Reference::new(&format!("git:{n:040x}")).unwrap(),
            kind: Arc::new(Handle::new("commit").unwrap()),
            stream: Stream::Love,
            worked_on: 20_778,
            rate: 1,
            claimant: AgentId(3),
            claimed_at: 1_795_000_000_000 + n * 1_000,
            said: n,
            closed: None,
            parts: [WorkPart {
                agent: AgentId(40),
                claimed: 1_000,
                pending: None,
                standing: None,
                generation: 0,
            }]
            .into_iter()
            .collect(),
        };
        let mut table = Contributions::default();
        let places = || (0..5_000).map(|entry| Ref { entry, event: 0 });
        places().for_each(|place| table.put(place, &claim(place.entry)));
        for place in places() {
            table.change(place, |c| {
                c.parts[0].standing = Some(Standing {
                    quantity: 1_000,
                    remuneration: Remuneration::Unpaid,
                    votes: votes.clone(),
                    since: c.claimed_at + 600_000,
                    counted: 1_000,
                    counted_unpaid: 1_000,
                    maturing: 0,
                });
            });
        }
        let leaves = (table.leaves.len() + 1) * (MOST + 16);
        let each = leaves / table.len();
        assert!(each < 110, "{each} bytes a claim, of which its reference has 44");
    }
}
