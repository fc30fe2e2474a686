//! Made histories: sample data for the demo and for tests, plainly recognisable.
//!
//! Owns [`made_history`], for showing Subak where there is no git, and
//! [`fast_import_stream`], a repository of any size with everything in it that the
//! import has a rule for, and what must come of it. Guarantees that both are
//! functions of their arguments. Leaves out any pretence: names say `Sample`, the
//! e-mails end in `example.org`, and the hashes of [`made_history`] are made up.

use super::{History, Person, Summary, WHOLE, Work};

/// People in the sample history.
const PEOPLE: u64 = 12;
/// Works in the sample history.
const WORKS: u64 = 400;
/// Days that the sample history spans: three years.
const DAYS: u64 = 3 * 365;

/// A sample history of 12 people and 400 works over the three years that end on
/// `last_day` (days since 1970-01-01; at least three years).
///
/// Its hashes are made: the first 40 hex digits of the BLAKE3 hash of a line that
/// says so, with the seed and the work's number. No such commits exist.
pub fn made_history(seed: u64, last_day: u32) -> History {
    let mut dice = Dice(seed);
    let people = (1..=PEOPLE)
        .map(|n| Person {
            name: format!("Sample Contributor {n}"),
            email: format!("contributor-{n}@example.org"),
        })
        .collect();
    let works = (0..WORKS)
        .map(|n| {
            let back = u32::try_from((WORKS - 1 - n) * DAYS / (WORKS - 1)).unwrap_or(u32::MAX);
            let line = format!("subak sample commit, made up, seed {seed}, number {n}");
            let hash = blake3::hash(line.as_bytes()).to_hex();
            Work {
                hash: hash[..40].to_owned(),
                day: last_day.saturating_sub(back),
                parts: sample_parts(n, &mut dice),
            }
        })
        .collect();
    let summary = Summary {
        commits: WORKS,
        contributions: WORKS,
        agents: PEOPLE,
        warnings: vec![
            "this is a made-up sample history; its people and commits do not exist".into(),
        ],
        ..Summary::default()
    };
    History { kind: "commit".into(), people, works, cancelled: Vec::new(), summary }
}

/// One author, and in every sixth work a second one. The first works introduce the
/// people in order, as [`History::people`] promises.
fn sample_parts(number: u64, dice: &mut Dice) -> Vec<(usize, u64)> {
    if number < PEOPLE {
        return vec![(place(number), WHOLE)];
    }
    let author = dice.skewed(PEOPLE);
    let other = dice.skewed(PEOPLE);
    if dice.below(6) > 0 || other == author {
        return vec![(place(author), WHOLE)];
    }
    vec![(place(author), WHOLE / 2), (place(other), WHOLE / 2)]
}

fn place(number: u64) -> usize {
    usize::try_from(number).expect("sample numbers are small")
}

/// SplitMix64 (Steele, Lea and Flood 2014): repeatable, and unfit for secrets.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `bound` - 1, evenly enough for samples.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// 0 to `bound` - 1, small numbers more often, as few people do most commits.
    fn skewed(&mut self, bound: u64) -> u64 {
        let first = self.below(bound);
        self.below(first + 1)
    }

    #[cfg(feature = "git")]
    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// What repository to make.
#[cfg(feature = "git")]
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Where the dice start.
    pub seed: u64,
    /// Commits in all, merges included; at least 1.
    pub commits: u32,
    /// People, without programs; at least 1.
    pub people: u32,
    /// The day of the last commit, in days since 1970-01-01.
    pub last_day: u32,
    /// The days that the history spans, at most `last_day`.
    pub days: u32,
}

/// What the import must find in the repository, by the generator's own books.
#[cfg(feature = "git")]
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// [`Summary::merges`].
    pub merges: u64,
    /// [`Summary::excluded`].
    pub excluded: u64,
    /// [`Summary::coauthors_left_out`], over all commits that count.
    pub coauthors_left_out: u64,
    /// [`Summary::reverted`].
    pub reverted: u64,
    /// `Summary::malformed`.
    pub malformed: u64,
    /// [`Summary::clipped`], where `last_day` is today.
    pub clipped: u64,
    /// The thousandths of every person, by their number in the e-mail less one.
    pub thousandths: Vec<u64>,
}

/// Writes a repository as `git fast-import` reads it, on `refs/heads/main`.
///
/// It has side branches and merges; a mailmap with old addresses; co-authors in
/// every spelling of the trailer, repeated, naming the author, malformed, and a
/// program; programs as authors; reverts, also of reverts and abbreviated; names
/// that are not UTF-8; author dates in the future. Commits are SHA-1.
#[cfg(feature = "git")]
pub fn fast_import_stream(spec: &Spec, out: &mut impl std::io::Write) -> std::io::Result<Expected> {
    stream::Maker::new(*spec).write(out)
}

#[cfg(feature = "git")]
mod stream;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_sample_is_repeatable_whole_and_plainly_a_sample() {
        let history = made_history(7, 20_500);
        assert_eq!(history, made_history(7, 20_500));
        assert_ne!(history.works, made_history(8, 20_500).works);
        let hashes: BTreeSet<_> = history.works.iter().map(|work| &work.hash).collect();
        assert_eq!((history.works.len(), hashes.len(), history.people.len()), (400, 400, 12));
        assert!(history.people.iter().all(|p| p.name.starts_with("Sample ")));
        assert!(history.works.iter().all(|w| w.parts.iter().map(|p| p.1).sum::<u64>() == WHOLE));
        assert!(history.works.is_sorted_by_key(|work| work.day));
        let ends = (history.works[0].day, history.works[399].day);
        assert_eq!(ends, (20_500 - 1_095, 20_500));
    }
}
