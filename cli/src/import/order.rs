//! The order of a history: parents before children, otherwise by commit time.
//!
//! Owns that one order. Guarantees that it depends on the commits alone, not on the
//! way they were found or packed, so two machines list the same works alike. Leaves
//! out merging of clocks: a commit that claims to be older than its parents still
//! comes after them.

use super::commit::Hash;
use std::{cmp::Reverse, collections::BinaryHeap};

/// What the order depends on.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    /// Settles ties of time.
    pub hash: Hash,
    /// Seconds since 1970-01-01 UTC by the committer's clock.
    pub committed: i64,
    /// The places of the parents that were read.
    pub parents: &'a [u32],
}

/// The places `0..count` in order. `node` must answer for each of them.
pub fn oldest_first<'a>(count: u32, node: impl Fn(u32) -> Node<'a>) -> Vec<u32> {
    let children = Children::new(count, &node);
    let mut missing: Vec<u32> =
        (0..count).map(|at| u32::try_from(node(at).parents.len()).unwrap_or(u32::MAX)).collect();
    let rank = |at: u32| {
        let node = node(at);
        Reverse((node.committed, node.hash, at))
    };
    let mut ready: BinaryHeap<_> =
        (0..count).filter(|&at| missing[at as usize] == 0).map(rank).collect();
    let mut order = Vec::with_capacity(missing.len());
    while let Some(Reverse((_, _, at))) = ready.pop() {
        order.push(at);
        for &child in children.of(at) {
            missing[child as usize] -= 1;
            if missing[child as usize] == 0 {
                ready.push(rank(child));
            }
        }
    }
    // Hashes forbid circles, but a repository's replacement refs can feign one. Its
    // commits come last: listed, not lost.
    order.extend((0..count).filter(|&at| missing[at as usize] > 0));
    order
}

/// For every place the places of its children, in one allocation each for all.
struct Children {
    from: Vec<u32>,
    list: Vec<u32>,
}

impl Children {
    fn new<'a>(count: u32, node: impl Fn(u32) -> Node<'a>) -> Self {
        let mut from = vec![0_u32; count as usize + 1];
        for parent in (0..count).flat_map(|at| node(at).parents) {
            from[*parent as usize + 1] += 1;
        }
        for at in 0..count as usize {
            from[at + 1] += from[at];
        }
        let mut next = from.clone();
        let mut list = vec![0; from[count as usize] as usize];
        for at in 0..count {
            for &parent in node(at).parents {
                list[next[parent as usize] as usize] = at;
                next[parent as usize] += 1;
            }
        }
        Self { from, list }
    }

    fn of(&self, at: u32) -> &[u32] {
        let at = at as usize;
        &self.list[self.from[at] as usize..self.from[at + 1] as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Orders commits given as (time, parents); the hash is the place.
    fn order(commits: &[(i64, &[u32])]) -> Vec<u32> {
        oldest_first(u32::try_from(commits.len()).unwrap(), |at| Node {
            hash: Hash::from_bytes(&[u8::try_from(at).unwrap(); 20]).unwrap(),
            committed: commits[at as usize].0,
            parents: commits[at as usize].1,
        })
    }

    #[test]
    fn by_time_but_never_before_a_parent() {
        // Found newest first: a merge (0) of 1 and 2, both on 3.
        assert_eq!(order(&[(40, &[1, 2]), (30, &[3]), (20, &[3]), (10, &[])]), [3, 2, 1, 0]);
        // The child's clock is behind its parent's.
        assert_eq!(order(&[(5, &[1]), (50, &[])]), [1, 0]);
    }

    #[test]
    fn equal_times_are_settled_by_hash_and_a_parent_may_be_named_twice() {
        assert_eq!(order(&[(9, &[2, 2]), (9, &[2]), (9, &[])]), [2, 0, 1]);
    }

    #[test]
    fn a_feigned_circle_loses_nothing() {
        assert_eq!(order(&[(1, &[1]), (2, &[0]), (3, &[])]), [2, 0, 1]);
    }
}
