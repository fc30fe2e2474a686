//! Which commits revert which, and which of them cancel.
//!
//! Owns the reading of `This reverts commit <hash>` and the rule. Guarantees that
//! the outcome is a function of the history in its topological order. Leaves out
//! reverts that name no commit (a pull request's number): they are ordinary work.
//!
//! The rule: a revert is *in effect* unless a later revert in effect reverts it. A
//! commit that a revert in effect names does not count, and neither does any commit
//! that reverts one of the history. So a commit and its revert cancel; a revert of
//! the revert restores the commit and vanishes with it; and so on to any depth. It
//! is decided from the newest commit to the oldest, in one pass, because only newer
//! commits bear on older ones. A revert that names no commit of the history read
//! (another branch's, a rebased one's, beyond a shallow boundary) is ordinary work.
//! A revert of a merge does not count either; what the merge brought in still does,
//! since which of it was undone cannot be told from the message.

use super::commit::Hash;

/// The words that git and the forges write, at the start of a line.
const WORDS: &[u8] = b"This reverts commit ";

/// The fewest hex digits that name a commit: git's own default for abbreviations.
const DIGITS_AT_LEAST: usize = 7;

/// The hashes, abbreviated or not, in either case, that a message says it reverts.
pub fn named(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    message.split(|&b| b == b'\n').filter_map(|line| {
        let rest = line.strip_prefix(WORDS)?;
        let digits = rest.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let ends = rest.get(digits).is_none_or(|b| !b.is_ascii_alphanumeric());
        (ends && (DIGITS_AT_LEAST..=64).contains(&digits)).then(|| &rest[..digits])
    })
}

/// The hashes of a history, for finding one by its beginning.
pub struct Prefixes(Vec<(Hash, u32)>);

impl Prefixes {
    /// An index of `hashes`, each known by its place among them.
    pub fn new(hashes: impl Iterator<Item = Hash>) -> Self {
        let mut all: Vec<_> = hashes.zip(0..).collect();
        all.sort_unstable();
        Self(all)
    }

    /// The place of the one commit whose hash begins with `digits`; none if there
    /// are several, since a guess would take somebody's work away.
    pub fn find(&self, digits: &[u8]) -> Option<u32> {
        let mut low = [b'0'; 64];
        low.get_mut(..digits.len())?.copy_from_slice(digits);
        let low = Hash::from_hex(&low)?;
        let from = self.0.partition_point(|(hash, _)| hash.padded() < low.padded());
        let mut matching = self.0[from..].iter().take_while(|(hash, _)| hash.starts_with(digits));
        let (_, place) = matching.next()?;
        matching.next().is_none().then_some(*place)
    }
}

/// What the reverts of a history come to, by the places of its commits.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the commit reverts one of the history: it does not count.
    pub reverting: Vec<bool>,
    /// The revert in effect that names the commit, if any: it does not count. Of
    /// several, the newest.
    pub undone_by: Vec<Option<u32>>,
}

/// Decides over `commits` commits, oldest first. `reverts` are pairs (reverting,
/// reverted) sorted by the first; pairs that point forward are ignored, since what
/// is reverted must have been there.
pub fn decide(commits: usize, reverts: &[(u32, u32)]) -> Outcome {
    let mut out = Outcome { reverting: vec![false; commits], undone_by: vec![None; commits] };
    for &(by, target) in reverts.iter().rev() {
        if target >= by {
            continue;
        }
        out.reverting[by as usize] = true;
        if out.undone_by[by as usize].is_none() {
            out.undone_by[target as usize].get_or_insert(by);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting(commits: usize, reverts: &[(u32, u32)]) -> Vec<usize> {
        let out = decide(commits, reverts);
        (0..commits).filter(|&c| !out.reverting[c] && out.undone_by[c].is_none()).collect()
    }

    #[test]
    fn a_commit_and_its_revert_cancel_and_a_revert_of_that_restores() {
        assert_eq!(counting(3, &[(2, 0)]), [1]);
        assert_eq!(counting(3, &[(1, 0), (2, 1)]), [0]);
        assert_eq!(counting(4, &[(1, 0), (2, 1), (3, 2)]), [] as [usize; 0]);
        assert_eq!(counting(5, &[(1, 0), (2, 1), (3, 2), (4, 3)]), [0]);
    }

    #[test]
    fn one_revert_may_name_several_and_several_may_name_one() {
        assert_eq!(counting(4, &[(3, 0), (3, 2)]), [1]);
        assert_eq!(counting(4, &[(1, 0), (2, 0)]), [3]);
        // Undoing one of two reverts of the same commit leaves the other in effect.
        assert_eq!(counting(5, &[(1, 0), (2, 0), (3, 2)]), [4]);
    }

    #[test]
    fn a_commit_cannot_revert_itself_or_a_later_one() {
        assert_eq!(counting(2, &[(0, 0), (0, 1)]), [0, 1]);
    }

    fn found(message: &str) -> Vec<String> {
        named(message.as_bytes()).map(|d| String::from_utf8(d.to_vec()).unwrap()).collect()
    }

    #[test]
    fn the_words_count_at_the_start_of_a_line_with_enough_digits() {
        let hash = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(found(&format!("Revert \"x\"\n\nThis reverts commit {hash}.\n")), [hash]);
        assert_eq!(
            found(&format!("R\n\nThis reverts commit {hash}, reversing\nchanges made to 1.\n")),
            [hash]
        );
        assert_eq!(
            found("R\n\nThis reverts commit abcdef1.\nThis reverts commit ABCDEF2"),
            ["abcdef1", "ABCDEF2"]
        );
        for none in [
            "R\n\nThis reverts commit abcdef.",
            "R\n\n> This reverts commit abcdef1.",
            "R\n\nThis reverts commit abcdef1xyz.",
            "R\n\nThis reverts commit abcdef1q",
            &format!("R\n\nThis reverts commit {hash}{hash}."),
        ] {
            assert_eq!(found(none), [] as [String; 0], "{none}");
        }
    }

    #[test]
    fn an_abbreviation_must_name_one_commit_only() {
        let hash = |text: &str| Hash::from_hex(format!("{text:0<40}").as_bytes()).unwrap();
        let index =
            Prefixes::new([hash("abcdef12"), hash("abcdef13"), hash("1234567")].into_iter());
        assert_eq!(index.find(b"abcdef1"), None, "two begin so");
        assert_eq!(index.find(b"abcdef13"), Some(1));
        assert_eq!(index.find(b"ABCDEF12"), Some(0));
        assert_eq!(index.find(b"1234567"), Some(2));
        assert_eq!(index.find(b"7654321"), None);
        assert_eq!(index.find(b"fffffff"), None);
    }
}
