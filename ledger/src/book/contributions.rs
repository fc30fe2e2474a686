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
        for (place, body) in rows {
            write_row(&mut bytes, first, *place, body);
        }
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
mod tests;
