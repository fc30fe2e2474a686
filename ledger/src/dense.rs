//! A persistent sorted map without empty room.
//!
//! Owns [`DenseMap`], for the few tables that have a row for every entry of a log. Guarantees
//! the order of the keys, clones that cost nothing and share what they can, and changes that
//! copy some dozens of rows at most, whatever the keys are. The nodes of `imbl::OrdMap` have room for 16 rows
//! each, and where keys come in order half of it stays empty for ever: here the rows lie in
//! vectors of the size that they need, and only those are in an `OrdMap`.
//! Leaves out everything that the tables do not use.

use imbl::OrdMap;
use std::{
    ops::{Bound, Index, RangeBounds},
    sync::Arc,
};

/// Rows that lie together at most: enough that what a vector costs beside its rows is little,
/// few enough to be copied where they are shared. And so many rows of 32 bytes, as digests and
/// references are, fill a piece of 768, a size that the allocator has.
const MOST: usize = 24;
/// Room for new rows that a vector gets at once.
const ROOM: usize = 4;

/// Rows that lie together, in order.
type Leaf<K, V> = Arc<Vec<(K, V)>>;

/// A sorted map. A clone is cheap.
#[derive(Debug, Clone)]
pub struct DenseMap<K: Ord, V> {
    /// By a key that is no later than the first of theirs, and later than all before them. None
    /// is empty.
    leaves: OrdMap<K, Leaf<K, V>>,
    len: usize,
}

impl<K: Ord, V> Default for DenseMap<K, V> {
    fn default() -> Self {
        Self { leaves: OrdMap::new(), len: 0 }
    }
}

impl<K: Ord + Clone, V: Clone> DenseMap<K, V> {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether both are the same without a look at them.
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.leaves.ptr_eq(&other.leaves)
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        let (_, leaf) = self.leaves.get_prev(key)?;
        let at = find(leaf, key).ok()?;
        Some(&leaf[at].1)
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (_, leaf) = self.leaves.get_prev_mut(key)?;
        let at = find(leaf, key).ok()?;
        Some(&mut Arc::make_mut(leaf)[at].1)
    }

    /// Sets the value of a key; returns the one before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let Some((_, leaf)) = self.leaves.get_prev_mut(&key) else {
            // Before all others: with the first of them.
            let first = self.leaves.get_min().map(|(first, _)| first.clone());
            let leaf = first.and_then(|first| self.leaves.remove(&first)).unwrap_or_default();
            self.leaves.insert(key.clone(), leaf);
            return self.insert(key, value);
        };
        let at = match find(leaf, &key) {
            Ok(at) => return Some(std::mem::replace(&mut Arc::make_mut(leaf)[at].1, value)),
            Err(at) => at,
        };
        let rows = Arc::make_mut(leaf);
        self.len += 1;
        if rows.len() < MOST {
            put(rows, at, (key, value));
            return None;
        }
        // Where keys come in order, what is full stays full.
        let middle = if at == MOST { MOST } else { MOST / 2 };
        let mut later = rows.split_off(middle);
        rows.shrink_to_fit();
        let half = if at < middle { rows } else { &mut later };
        put(half, if at < middle { at } else { at - middle }, (key, value));
        self.leaves.insert(later[0].0.clone(), Arc::new(later));
        None
    }

    /// Takes a key out; returns its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (first, leaf) = self.leaves.get_prev_mut(key)?;
        let at = find(leaf, key).ok()?;
        let (_, value) = Arc::make_mut(leaf).remove(at);
        self.len -= 1;
        if leaf.is_empty() {
            let first = first.clone();
            self.leaves.remove(&first);
        }
        Some(value)
    }

    /// All rows, by key ascending.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.leaves.values().flat_map(|leaf| leaf.iter()).map(|(key, value)| (key, value))
    }

    /// All keys, ascending.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// All values, by key ascending.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// The rows whose keys are in a range, ascending.
    pub fn range(&self, range: impl RangeBounds<K>) -> impl Iterator<Item = (&K, &V)> {
        let from = match range.start_bound() {
            Bound::Included(key) | Bound::Excluded(key) => self.leaves.get_prev(key),
            Bound::Unbounded => None,
        };
        let from = from.map_or(Bound::Unbounded, |(first, _)| Bound::Included(first.clone()));
        let leaves = self.leaves.range::<_, K>((from, Bound::Unbounded));
        let rows = leaves.flat_map(|(_, leaf)| leaf.iter()).map(|(key, value)| (key, value));
        let (start, end) = (range.start_bound().cloned(), range.end_bound().cloned());
        rows.skip_while(move |(key, _)| !(start.clone(), Bound::Unbounded).contains(*key))
            .take_while(move |(key, _)| (Bound::Unbounded, end.clone()).contains(*key))
    }
}

impl<K: Ord + Clone, V: Clone> Index<&K> for DenseMap<K, V> {
    type Output = V;
    fn index(&self, key: &K) -> &V {
        self.get(key).expect("whoever indexes knows that the key is there")
    }
}

fn find<K: Ord, V>(rows: &[(K, V)], key: &K) -> Result<usize, usize> {
    rows.binary_search_by(|(other, _)| other.cmp(key))
}

fn put<T>(rows: &mut Vec<T>, at: usize, row: T) {
    if rows.len() == rows.capacity() {
        rows.reserve_exact(ROOM);
    }
    rows.insert(at, row);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u16, u8),
        /// As many as come in order.
        Fill(u16, u8),
        Change(u16),
        Remove(u16),
        /// From here on the map is shared.
        Keep,
    }

    fn step() -> impl Strategy<Value = Step> {
        let key = 0u16..400;
        prop_oneof![
            4 => (key.clone(), any::<u8>()).prop_map(|(k, v)| Step::Insert(k, v)),
            1 => (key.clone(), 1u8..100).prop_map(|(k, n)| Step::Fill(k, n)),
            1 => key.clone().prop_map(Step::Change),
            3 => key.prop_map(Step::Remove),
            1 => Just(Step::Keep),
        ]
    }

    /// The map, its model, and what both were when it was shared.
    #[derive(Default, Clone)]
    struct Two {
        map: DenseMap<u16, u8>,
        model: BTreeMap<u16, u8>,
    }

    impl Two {
        fn run(&mut self, step: &Step) {
            match *step {
                Step::Insert(k, v) => assert_eq!(self.map.insert(k, v), self.model.insert(k, v)),
                Step::Fill(k, n) => {
                    for k in k..k + u16::from(n) {
                        assert_eq!(self.map.insert(k, n), self.model.insert(k, n));
                    }
                }
                Step::Change(k) => {
                    let (one, other) = (self.map.get_mut(&k), self.model.get_mut(&k));
                    assert_eq!(one, other);
                    one.into_iter().chain(other).for_each(|v| *v = v.wrapping_add(1));
                }
                Step::Remove(k) => assert_eq!(self.map.remove(&k), self.model.remove(&k)),
                Step::Keep => {}
            }
        }

        fn check(&self, a: u16, b: u16) {
            assert!(self.map.iter().eq(self.model.iter()));
            assert_eq!(self.map.len(), self.model.len());
            assert_eq!(self.map.is_empty(), self.model.is_empty());
            assert_eq!(self.map.get(&a), self.model.get(&a));
            let (a, b) = (a.min(b), a.max(b));
            assert!(self.map.range(a..).eq(self.model.range(a..)));
            assert!(self.map.range(a..b).eq(self.model.range(a..b)));
            assert!(self.map.range(a..=b).eq(self.model.range(a..=b)));
            assert!(self.map.range(..b).eq(self.model.range(..b)));
            for leaf in self.map.leaves.values() {
                assert!((1..=MOST).contains(&leaf.len()));
            }
        }
    }

    proptest! {
        /// Against the standard library's map, and none of it shows in a clone from before.
        #[test]
        fn it_is_a_sorted_map(
            steps in prop::collection::vec(step(), 1..300), a in 0u16..400, b in 0u16..400
        ) {
            let mut it = Two::default();
            let mut kept = Vec::new();
            for step in &steps {
                it.run(step);
                if matches!(step, Step::Keep) {
                    it.check(a, b);
                    kept.push(it.clone());
                }
            }
            kept.iter().chain([&it]).for_each(|two| two.check(a, b));
        }
    }

    /// What it is for: no room is left empty where keys come in order, and little where not.
    #[test]
    fn rows_lie_close_together() {
        let room = |keys: &mut dyn Iterator<Item = u32>| {
            let mut map = DenseMap::default();
            keys.for_each(|key| assert!(map.insert(key, ()).is_none()));
            let room: usize = map.leaves.values().map(|leaf| leaf.capacity()).sum();
            (room * 100 / map.len(), map.len() / map.leaves.len())
        };
        assert_eq!(room(&mut (0..2_400)), (100, MOST));
        assert_eq!(room(&mut (0..2_400).rev()), (100, MOST / 2));
        let (room, rows) = room(&mut (0..2_400u32).map(|n| n.wrapping_mul(2_654_435_761)));
        assert!(room < 115 && rows > MOST / 2, "{room} {rows}");
    }
}
