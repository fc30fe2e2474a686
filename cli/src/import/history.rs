//! From the commits of a repository to works with shares.
//!
//! Owns the rules of the import: what counts, for whom, on which day. Guarantees
//! that every commit read ends in exactly one line of the [`Summary`], that the
//! thousandths of a work add up to [`WHOLE`], and that the result is a function of
//! the commits, the options and the mailmap. Leaves out the repository
//! (`repository`), and the parts with a rule of their own (`trailers`, `reverts`,
//! `order`, `people`, `bots`).
//!
//! A commit counts unless, in this order: it is a merge; it cancelled; its author
//! or date cannot be read; its work date is outside the limits; the bot list holds
//! all its people. Where the list holds only some, the others share: work that a
//! person did on a program's commit is theirs.
//!
//! The shares: everybody gets `floor(1000 / n)` thousandths, the first one (the
//! author, unless left out) takes the remainder.

use super::{
    Cancelled, History, ImportError, Options, PARTS_AT_MOST, PersonIndex, Summary, WHOLE, Work,
    bots::List,
    commit::{self, Hash, Raw},
    order::{self, Node},
    people::{self, Mailmap, Register, Spelling},
    reverts::{self, Prefixes},
    trailers::{self, Coauthor},
};
use std::{collections::HashMap, ops::Range};

const SECONDS_A_DAY: i64 = 86_400;

/// What is kept of a commit: numbers only, since a history has many.
struct Record {
    hash: Hash,
    /// The author's spelling, if there is one.
    author: Option<u32>,
    /// The author date, or failing that the committer's.
    seconds: Option<i64>,
    committed: i64,
    merge: bool,
    parents: Range<u32>,
    coauthors: Range<u32>,
}

/// Takes the commits of a history one by one, in any order.
pub struct Reader<'o> {
    options: &'o Options,
    mailmap: &'o dyn Mailmap,
    list: List,
    register: Register,
    /// Every commit known of, in the order of discovery.
    discovered: Vec<Hash>,
    places: HashMap<Hash, u32>,
    /// Those read so far: the first ones of `discovered`.
    records: Vec<Record>,
    parents: Vec<u32>,
    coauthors: Vec<u32>,
    /// Place of a commit and the digits that it says it reverts.
    reverts: Vec<(u32, Vec<u8>)>,
    summary: Summary,
    parent_hashes: Vec<Hash>,
}

impl<'o> Reader<'o> {
    /// A reader that starts at `tip`.
    pub fn new(
        options: &'o Options,
        mailmap: &'o dyn Mailmap,
        tip: Hash,
    ) -> Result<Self, ImportError> {
        let mut reader = Self {
            options,
            mailmap,
            list: List::new(options.exclude_bots, &options.extra_bots)?,
            register: Register::default(),
            discovered: Vec::new(),
            places: HashMap::new(),
            records: Vec::new(),
            parents: Vec::new(),
            coauthors: Vec::new(),
            reverts: Vec::new(),
            summary: Summary::default(),
            parent_hashes: Vec::new(),
        };
        reader.discover(tip);
        Ok(reader)
    }

    /// The commit to read next; `None` when all are read.
    pub fn wanted(&self) -> Option<Hash> {
        self.discovered.get(self.records.len()).copied()
    }

    /// What is said about the reading as a whole.
    pub fn summary(&mut self) -> &mut Summary {
        &mut self.summary
    }

    fn discover(&mut self, hash: Hash) -> u32 {
        let place = number(self.discovered.len());
        let known = *self.places.entry(hash).or_insert(place);
        if known == place {
            self.discovered.push(hash);
        }
        known
    }

    /// Reads the text of [`Self::wanted`]. `boundary`: its parents are not to be had
    /// (the edge of a shallow clone).
    pub fn read(&mut self, text: &[u8], boundary: bool) {
        let place = number(self.records.len());
        let hash = self.discovered[place as usize];
        let mut parent_hashes = std::mem::take(&mut self.parent_hashes);
        parent_hashes.clear();
        let raw = commit::parse(text, &mut parent_hashes);
        // By its own text, a merge stays one at the edge of a shallow clone.
        let merge = parent_hashes.len() > 1;
        let first_parent = number(self.parents.len());
        if !boundary {
            for &parent in &parent_hashes {
                let parent = self.discover(parent);
                self.parents.push(parent);
            }
        }
        self.parent_hashes = parent_hashes;
        let committer = raw.committer.and_then(commit::signature);
        let mut record = Record {
            hash,
            author: None,
            seconds: None,
            committed: committer.and_then(|c| c.seconds).unwrap_or(0),
            merge,
            parents: first_parent..number(self.parents.len()),
            coauthors: 0..0,
        };
        if !merge {
            self.read_author(&raw, &mut record);
            self.read_message(&raw, &mut record, place);
        }
        self.records.push(record);
    }

    fn read_author(&mut self, raw: &Raw<'_>, record: &mut Record) {
        let Some(author) = raw.author.and_then(commit::signature) else {
            self.summary.malformed(&record.hash, || {
                "the author line has no `Name <email>`; the commit counts for nobody".into()
            });
            return;
        };
        if author.name.is_empty() && author.email.is_empty() {
            self.summary.malformed(&record.hash, || {
                "the author has neither name nor e-mail; the commit counts for nobody".into()
            });
            return;
        }
        record.author = Some(self.number(raw, (author.name, author.email), &record.hash));
        record.seconds = author.seconds;
        if author.seconds.is_none() {
            record.seconds = raw.committer.and_then(commit::signature).and_then(|c| c.seconds);
            self.summary.malformed(&record.hash, || match record.seconds {
                Some(_) => "the author date is no date; the committer's is taken".into(),
                None => "neither author nor committer has a date; the commit does not count".into(),
            });
        }
    }

    fn read_message(&mut self, raw: &Raw<'_>, record: &mut Record, place: u32) {
        if !self.options.keep_reverts {
            self.reverts.extend(reverts::named(raw.message).map(|digits| (place, digits.to_vec())));
        }
        let first = number(self.coauthors.len());
        let found =
            if self.options.coauthors { trailers::coauthors(raw.message) } else { Vec::new() };
        for coauthor in found {
            match coauthor {
                Coauthor::Named { name, email } => {
                    let number = self.number(raw, (&name, &email), &record.hash);
                    self.coauthors.push(number);
                }
                Coauthor::Malformed(value) => self.summary.malformed(&record.hash, || {
                    let value: String = people::clean(&value).0.chars().take(100).collect();
                    format!("the co-author {value:?} is not `Name <email>`; it is left out")
                }),
            }
        }
        record.coauthors = first..number(self.coauthors.len());
    }

    fn number(&mut self, raw: &Raw<'_>, (name, email): Spelling<'_>, hash: &Hash) -> u32 {
        let (name, email) = (raw.transcode(name), raw.transcode(email));
        let (number, new) = self.register.number((&name, &email), self.mailmap, &self.list);
        let known = self.register.get(number);
        if new && known.escaped {
            self.summary.malformed(hash, || {
                let person = &known.person;
                format!("not UTF-8 text, read as {} <{}>; reported once", person.name, person.email)
            });
        }
        number
    }

    /// Puts the works together once all commits are read.
    pub fn finish(mut self) -> History {
        let count = number(self.records.len());
        let order = order::oldest_first(count, |at| {
            let record = &self.records[at as usize];
            let parents = record.parents.start as usize..record.parents.end as usize;
            Node { hash: record.hash, committed: record.committed, parents: &self.parents[parents] }
        });
        let outcome = self.decide_reverts(&order);
        let mut cancelled = Vec::new();
        let mut drafts = Vec::new();
        for (at, &place) in order.iter().enumerate() {
            let record = &self.records[place as usize];
            self.summary.commits += 1;
            if record.merge {
                self.summary.merges += 1;
            } else if outcome.reverting[at] || outcome.undone_by[at].is_some() {
                self.summary.reverted += 1;
                let by = outcome.undone_by[at].filter(|_| !outcome.reverting[at]);
                cancelled.extend(by.map(|by| Cancelled {
                    hash: record.hash.to_string(),
                    by: self.records[order[by as usize] as usize].hash.to_string(),
                }));
            } else {
                drafts.extend(self.draft(place));
            }
        }
        let (people, works) = self.name(drafts);
        self.summary.contributions = works.len() as u64;
        self.summary.agents = people.len() as u64;
        History { kind: self.options.kind.clone(), people, works, cancelled, summary: self.summary }
    }

    /// The rule of `reverts`, by positions in `order`.
    fn decide_reverts(&mut self, order: &[u32]) -> reverts::Outcome {
        let mut position = vec![0_u32; order.len()];
        for (at, &place) in order.iter().enumerate() {
            position[place as usize] = number(at);
        }
        let mut prefixes = None;
        let mut pairs = Vec::new();
        for (by, digits) in std::mem::take(&mut self.reverts) {
            let whole = Hash::from_hex(&digits).and_then(|hash| self.places.get(&hash).copied());
            let target = whole.or_else(|| {
                let all = || Prefixes::new(self.discovered.iter().copied());
                prefixes.get_or_insert_with(all).find(&digits)
            });
            if let Some(target) = target {
                pairs.push((position[by as usize], position[target as usize]));
            }
        }
        pairs.sort_unstable();
        let merge = |at: u32| self.records[order[at as usize] as usize].merge;
        let mut of_merges: Vec<_> =
            pairs.iter().filter(|(by, of)| of < by && merge(*of)).map(|(by, _)| by).collect();
        of_merges.dedup();
        self.summary.reverted_merges = of_merges.len() as u64;
        reverts::decide(order.len(), &pairs)
    }

    /// The work of a commit, with spellings in the place of people; `None` if it
    /// does not count, which the summary then says.
    fn draft(&mut self, place: u32) -> Option<Draft> {
        let record = &self.records[place as usize];
        let (Some(author), Some(seconds)) = (record.author, record.seconds) else {
            self.summary.unattributed += 1;
            return None;
        };
        let (day, clipped) = work_day(seconds, self.options.now_day);
        let late = self.options.since_day.is_none_or(|since| day >= since);
        let early = self.options.until_day.is_none_or(|until| day <= until);
        if !(late && early) {
            self.summary.outside_dates += 1;
            return None;
        }
        let coauthors = record.coauthors.start as usize..record.coauthors.end as usize;
        let mut people: Vec<u32> = Vec::with_capacity(1 + coauthors.len());
        for &spelling in std::iter::once(&author).chain(&self.coauthors[coauthors]) {
            let identity = self.register.get(spelling).identity;
            if !people.iter().any(|&p| self.register.get(p).identity == identity) {
                people.push(spelling);
            }
        }
        let hash = record.hash;
        self.leave_out_listed(&mut people);
        if people.is_empty() {
            self.summary.excluded += 1;
            return None;
        }
        if people.len() > PARTS_AT_MOST {
            self.summary.malformed(&hash, || {
                format!("{} people; the first {PARTS_AT_MOST} share the commit", people.len())
            });
            people.truncate(PARTS_AT_MOST);
        }
        self.summary.clipped += u64::from(clipped);
        Some(Draft { hash, day, people })
    }

    fn leave_out_listed(&mut self, people: &mut Vec<u32>) {
        let author = people[0];
        people.retain(|&spelling| {
            let known = self.register.get(spelling);
            if known.listed {
                let person = &known.person;
                let name = if person.name.is_empty() { &person.email } else { &person.name };
                *self.summary.excluded_names.entry(name.clone()).or_default() += 1;
                self.summary.coauthors_left_out += u64::from(spelling != author);
            }
            !known.listed
        });
    }

    /// From spellings to people: in the order of their first work, under the name
    /// and e-mail that their newest work carries.
    fn name(&self, drafts: Vec<Draft>) -> (Vec<super::Person>, Vec<Work>) {
        let mut index_of: Vec<Option<PersonIndex>> = vec![None; self.register.identities()];
        let mut newest: Vec<u32> = Vec::new();
        let mut works = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let shares = shares(draft.people.len());
            let mut parts = Vec::with_capacity(draft.people.len());
            for (spelling, share) in draft.people.into_iter().zip(shares) {
                let index = &mut index_of[self.register.get(spelling).identity as usize];
                let index = *index.get_or_insert_with(|| {
                    newest.push(spelling);
                    newest.len() - 1
                });
                newest[index] = spelling;
                parts.push((index, share));
            }
            works.push(Work { hash: draft.hash.to_string(), day: draft.day, parts });
        }
        let people = newest.into_iter().map(|s| self.register.get(s).person.clone()).collect();
        (people, works)
    }
}

/// A work whose people are spellings still.
struct Draft {
    hash: Hash,
    day: u32,
    people: Vec<u32>,
}

/// [`WHOLE`] in equal shares for `people`, the first with the remainder.
fn shares(people: usize) -> impl Iterator<Item = u64> {
    let count = people as u64;
    let each = WHOLE / count;
    std::iter::once(WHOLE - each * (count - 1)).chain(std::iter::repeat_n(each, people - 1))
}

/// The day of an instant in UTC, kept between 1970-01-01 and today, and whether it
/// had to be.
fn work_day(seconds: i64, now_day: u32) -> (u32, bool) {
    match u32::try_from(seconds.div_euclid(SECONDS_A_DAY)) {
        Ok(day) if day <= now_day => (day, false),
        Err(_) if seconds < 0 => (0, true),
        _ => (now_day, true),
    }
}

fn number(len: usize) -> u32 {
    u32::try_from(len).expect("a history has fewer than 2^32 commits: each takes bytes in memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_equal_and_the_first_takes_the_remainder() {
        assert_eq!(shares(1).collect::<Vec<_>>(), [1000]);
        assert_eq!(shares(3).collect::<Vec<_>>(), [334, 333, 333]);
        for people in 1..=PARTS_AT_MOST {
            assert_eq!(shares(people).sum::<u64>(), WHOLE);
            assert!(shares(people).all(|share| share >= 15));
        }
    }

    #[test]
    fn work_days_are_utc_and_clipped() {
        assert_eq!(work_day(0, 10), (0, false));
        assert_eq!(work_day(86_399, 10), (0, false));
        assert_eq!(work_day(86_400 * 11 - 1, 10), (10, false));
        assert_eq!(work_day(86_400 * 11, 10), (10, true));
        assert_eq!(work_day(-1, 10), (0, true));
        assert_eq!(work_day(i64::MAX, 10), (10, true));
        assert_eq!(work_day(i64::MIN, 10), (0, true));
    }

    fn read(commits: &[(&str, String)], options: &Options) -> History {
        let texts: HashMap<_, _> =
            commits.iter().map(|(id, text)| (hash(id), text.as_bytes())).collect();
        let mut reader = Reader::new(options, &(), hash(commits[0].0)).unwrap();
        while let Some(next) = reader.wanted() {
            reader.read(texts[&next], false);
        }
        reader.finish()
    }

    fn hash(id: &str) -> Hash {
        Hash::from_hex(format!("{id:0>40}").as_bytes()).unwrap()
    }

    fn commit(parent: Option<&str>, author: &str, day: i64, message: &str) -> String {
        let parent = parent.map_or(String::new(), |id| format!("parent {}\n", hash(id)));
        let time = day * SECONDS_A_DAY;
        format!(
            "tree 0\n{parent}author {author} {time} +0000\ncommitter C <c@x> {time} +0000\n\n{message}\n"
        )
    }

    #[test]
    fn more_people_than_a_contribution_can_carry_are_cut_and_reported() {
        let trailers: Vec<String> =
            (0..70).map(|n| format!("Co-authored-by: P{n} <p{n}@example.org>\n")).collect();
        let trailers = trailers.concat();
        let text = commit(None, "Ana <ana@x>", 1, &format!("S\n\n{trailers}"));
        let history = read(&[("1", text)], &Options::new(10));
        assert_eq!(history.works[0].parts.len(), PARTS_AT_MOST);
        assert_eq!(history.works[0].parts.iter().map(|p| p.1).sum::<u64>(), WHOLE);
        assert_eq!(history.summary.malformed, 1);
    }

    #[test]
    fn commits_without_an_author_or_a_date_are_counted_and_reported() {
        let history = read(
            &[
                ("4", commit(Some("3"), "Ana <ana@x>", 4, "S")),
                ("3", commit(Some("2"), "no brackets", 3, "S")),
                ("2", commit(Some("1"), "<>", 2, "S")),
                ("1", "author Ana <ana@x> soon\ncommitter C <c@x> later\n\nS".into()),
            ],
            &Options::new(10),
        );
        assert_eq!((history.summary.unattributed, history.summary.malformed), (3, 3));
        assert_eq!(history.works.len(), 1);
    }

    #[test]
    fn findings_are_bounded_but_counted() {
        let bad: String = (0..1_500).map(|_| "Co-authored-by: nobody\n").collect();
        let history =
            read(&[("1", commit(None, "A <a@x>", 1, &format!("S\n\n{bad}")))], &Options::new(9));
        assert_eq!(history.summary.malformed, 1_500);
        assert_eq!(history.summary.findings.len(), crate::import::FINDINGS_KEPT);
    }
}
