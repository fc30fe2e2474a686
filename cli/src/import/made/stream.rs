//! The `git fast-import` stream of a made repository, with books of what is in it.
//!
//! Owns the making. Guarantees that the books are kept by the maker's knowledge of
//! what it meant (it never parses its own text), so that they can judge the import.
//! Leaves out realism in the trees: every commit has the one that holds the mailmap,
//! which lets the hashes be computed here, for reverts to name.

use super::{Dice, Expected, Spec, place};
use crate::import::{WHOLE, commit::Hash};
use gix::objs::{Kind, compute_hash};
use std::{
    collections::BTreeSet,
    io::{self, Write},
};

const MAILMAP_MARK: u32 = 1;
/// Only commits this recent are reverted, as in life.
const REVERT_WITHIN: usize = 60;
const SECONDS_A_DAY: u64 = 86_400;

/// What a commit turned out to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Merge,
    Program,
    Counts,
    Reverted,
    Reverts(usize),
    Vanished,
}

struct Commit {
    hash: Hash,
    fate: Fate,
    /// Who shares it, author first, each once.
    people: Vec<u64>,
    programs: u64,
    future: bool,
}

/// Somebody as one commit spells them.
struct Spelled {
    name: Vec<u8>,
    email: String,
    /// The number of the person whose name is not UTF-8 here.
    odd: Option<u64>,
}

/// One repository in the making.
pub(super) struct Maker {
    spec: Spec,
    dice: Dice,
    commits: Vec<Commit>,
    main: Option<u32>,
    /// The tip of the side branch, and how many commits it still gets.
    side: Option<(u32, u64)>,
    tree: String,
    odd_spellings: BTreeSet<u64>,
    malformed: u64,
}

impl Maker {
    pub(super) fn new(spec: Spec) -> Self {
        Self {
            spec,
            dice: Dice(spec.seed),
            commits: Vec::new(),
            main: None,
            side: None,
            tree: String::new(),
            odd_spellings: BTreeSet::new(),
            malformed: 0,
        }
    }

    pub(super) fn write(mut self, out: &mut impl Write) -> io::Result<Expected> {
        let mailmap = self.mailmap();
        write!(out, "blob\nmark :{MAILMAP_MARK}\ndata {}\n{mailmap}\n", mailmap.len())?;
        self.tree = tree_with(&mailmap);
        for _ in 0..self.spec.commits {
            self.commit(out)?;
        }
        writeln!(out, "done")?;
        Ok(self.books())
    }

    fn mailmap(&self) -> String {
        let mut text = String::new();
        for p in (1..=self.spec.people).filter(|p| has_old_address(u64::from(*p))) {
            let line = format!(
                "Sample Contributor {p} <contributor-{p}@example.org> <c{p}@OLD.example.org>\n"
            );
            text.push_str(&line);
        }
        text
    }

    fn commit(&mut self, out: &mut impl Write) -> io::Result<()> {
        let number = self.commits.len();
        let mark = mark(number);
        let last = number + 1 == self.spec.commits as usize;
        let merging = self.side.filter(|(_, left)| *left == 0 || last);
        let on_side = merging.is_none() && self.side.is_some() && self.dice.one_in(2);
        let from = if on_side { self.side.map(|(tip, _)| tip) } else { self.main };

        let (author, message, commit) = self.content(number, merging.is_some());
        if commit.fate != Fate::Merge {
            self.odd_spellings.extend(author.odd);
        }
        let time = self.time(number);
        let tomorrow = (u64::from(self.spec.last_day) + 1) * SECONDS_A_DAY;
        let author_time = if commit.future { tomorrow } else { time };
        let mut who = b"author ".to_vec();
        who.extend_from_slice(&author.name);
        who.extend(format!(" <{}> {author_time} +0200\n", author.email).bytes());
        who.extend(format!("committer Sample Forge <forge@example.org> {time} +0000\n").bytes());

        let branch = if on_side { "side" } else { "main" };
        write!(out, "commit refs/heads/{branch}\nmark :{mark}\n")?;
        out.write_all(&who)?;
        writeln!(out, "data {}", message.len())?;
        out.write_all(message.as_bytes())?;
        writeln!(out)?;
        let parents: Vec<u32> = from.into_iter().chain(merging.map(|(tip, _)| tip)).collect();
        for (word, parent) in ["from", "merge"].iter().zip(&parents) {
            writeln!(out, "{word} :{parent}")?;
        }
        if number == 0 {
            writeln!(out, "M 100644 :{MAILMAP_MARK} .mailmap")?;
        }

        let hash = self.hash(&parents, &who, &message);
        self.commits.push(Commit { hash, ..commit });
        self.advance(mark, on_side, merging.is_some());
        Ok(())
    }

    fn advance(&mut self, mark: u32, on_side: bool, merged: bool) {
        if on_side {
            self.side = self.side.map(|(_, left)| (mark, left.saturating_sub(1)));
            return;
        }
        self.main = Some(mark);
        if merged {
            self.side = None;
        } else if self.side.is_none() && self.dice.one_in(8) {
            // The branch begins at this commit; its first own commit moves the tip.
            self.side = Some((mark, 1 + self.dice.below(6)));
        }
    }

    /// Commit times rise strictly, so the order of the history is that of the making.
    fn time(&self, number: usize) -> u64 {
        let (first, days) = (self.spec.last_day - self.spec.days, u64::from(self.spec.days));
        let span = (days * SECONDS_A_DAY + SECONDS_A_DAY - 1).max(u64::from(self.spec.commits));
        u64::from(first) * SECONDS_A_DAY + (number as u64 + 1) * span / u64::from(self.spec.commits)
    }

    fn content(&mut self, number: usize, merge: bool) -> (Spelled, String, Commit) {
        let author = self.dice.skewed(u64::from(self.spec.people));
        let spelled = self.spell(author);
        let mut commit = Commit {
            hash: Hash::from_bytes(&[0; 20]).expect("20 bytes are a hash"),
            fate: Fate::Counts,
            people: vec![author],
            programs: 0,
            future: false,
        };
        let mut message = format!("Change number {number}\n\n");
        if merge {
            commit.fate = Fate::Merge;
            return (spelled, format!("Merge branch 'side' ({number})\n"), commit);
        }
        if self.dice.one_in(25) {
            commit.fate = Fate::Program;
            let program = Spelled {
                name: b"dependabot[bot]".to_vec(),
                email: "support@example.com".into(),
                odd: None,
            };
            return (program, format!("{message}Bumps something from 1 to 2.\n"), commit);
        }
        if self.dice.one_in(60)
            && let Some(target) = self.revertable()
        {
            commit.fate = self.revert(target);
            let digits = if self.dice.one_in(3) { 16 } else { 40 };
            let hash = &self.commits[target].hash.to_string()[..digits];
            message = format!("Revert number {target}\n\nThis reverts commit {hash}.\n");
            return (spelled, message, commit);
        }
        commit.future = self.dice.one_in(1_000);
        for _ in 0..=self.dice.below(5) {
            message.push_str("What was done, why it was done, and what it means for others.\n");
        }
        if self.dice.one_in(6) {
            message.push('\n');
            self.trailers(&mut message, &mut commit);
        }
        (spelled, message, commit)
    }

    /// The author's own spelling: some people have an old address, some of its names
    /// are not UTF-8.
    fn spell(&mut self, person: u64) -> Spelled {
        let n = person + 1;
        let mut spelled = Spelled {
            name: format!("Sample Contributor {n}").into_bytes(),
            email: format!("contributor-{n}@example.org"),
            odd: None,
        };
        if has_old_address(n) && self.dice.one_in(3) {
            spelled.email = format!("c{n}@old.example.org");
        } else if n.is_multiple_of(7) && self.dice.one_in(3) {
            spelled.name = format!("Sample Contribut\u{f6}r {n}").chars().map(to_latin1).collect();
            spelled.odd = Some(n);
        }
        spelled
    }

    /// A recent commit in effect; every third time a revert, if there is one, since
    /// chance alone would hardly ever pick it.
    fn revertable(&mut self) -> Option<usize> {
        let reverts_only = self.dice.one_in(3);
        let from = self.commits.len().saturating_sub(REVERT_WITHIN);
        let candidates: Vec<usize> = (from..self.commits.len())
            .filter(|&at| match self.commits[at].fate {
                Fate::Reverts(_) => true,
                Fate::Counts => !reverts_only,
                _ => false,
            })
            .collect();
        let pick = self.dice.below(candidates.len() as u64);
        candidates.get(place(pick)).copied()
    }

    /// Reverts `target` in the books; gives the fate of the reverting commit.
    fn revert(&mut self, target: usize) -> Fate {
        if let Fate::Reverts(original) = self.commits[target].fate {
            self.commits[original].fate = Fate::Counts;
            self.commits[target].fate = Fate::Vanished;
            return Fate::Vanished;
        }
        self.commits[target].fate = Fate::Reverted;
        Fate::Reverts(target)
    }

    fn trailers(&mut self, message: &mut String, commit: &mut Commit) {
        for _ in 0..=self.dice.below(3) {
            let person = self.dice.skewed(u64::from(self.spec.people));
            let n = person + 1;
            let key = ["Co-authored-by", "co-authored-by", "CO-AUTHORED-BY", "Co-Authored-By"]
                [place(self.dice.below(4))];
            let fold = if self.dice.one_in(10) { "\n  " } else { " " };
            let line =
                format!("{key}: Sample Contributor{fold}{n} <contributor-{n}@Example.org>\n");
            message.push_str(&line);
            if self.dice.one_in(10) {
                message.push_str(&line);
            }
            if !commit.people.contains(&person) {
                commit.people.push(person);
            }
        }
        if self.dice.one_in(30) {
            message.push_str("Co-authored-by: Sample Contributor without an address\n");
            self.malformed += 1;
        }
        if self.dice.one_in(30) {
            message.push_str("Co-authored-by: Sample Program[bot] <program@example.org>\n");
            commit.programs += 1;
        }
    }

    fn hash(&self, parents: &[u32], who: &[u8], message: &str) -> Hash {
        let mut text = format!("tree {}\n", self.tree).into_bytes();
        for parent in parents {
            let hash = self.commits[*parent as usize - mark(0) as usize].hash;
            text.extend(format!("parent {hash}\n").bytes());
        }
        text.extend_from_slice(who);
        text.push(b'\n');
        text.extend_from_slice(message.as_bytes());
        object_hash(Kind::Commit, &text)
    }

    fn books(self) -> Expected {
        let mut books = Expected {
            malformed: self.malformed + self.odd_spellings.len() as u64,
            thousandths: vec![0; self.spec.people as usize],
            ..Expected::default()
        };
        for commit in &self.commits {
            match commit.fate {
                Fate::Merge => books.merges += 1,
                Fate::Program => books.excluded += 1,
                Fate::Reverted | Fate::Reverts(_) | Fate::Vanished => books.reverted += 1,
                Fate::Counts => {
                    let count = commit.people.len() as u64;
                    for (at, person) in (0_u64..).zip(&commit.people) {
                        let remainder = if at == 0 { WHOLE % count } else { 0 };
                        books.thousandths[place(*person)] += WHOLE / count + remainder;
                    }
                    books.coauthors_left_out += commit.programs;
                    books.clipped += u64::from(commit.future);
                }
            }
        }
        books
    }
}

fn mark(number: usize) -> u32 {
    u32::try_from(number).expect("a spec counts in 32 bits") + MAILMAP_MARK + 1
}

fn has_old_address(person: u64) -> bool {
    person.is_multiple_of(5)
}

fn to_latin1(c: char) -> u8 {
    u8::try_from(c).unwrap_or(b'?')
}

fn object_hash(kind: Kind, data: &[u8]) -> Hash {
    let id = compute_hash(gix::hash::Kind::Sha1, kind, data)
        .expect("only crafted collisions fail to hash");
    Hash::from_bytes(id.as_slice()).expect("SHA-1 has 20 bytes")
}

fn tree_with(mailmap: &str) -> String {
    let blob = object_hash(Kind::Blob, mailmap.as_bytes());
    let mut entry = b"100644 .mailmap\0".to_vec();
    entry.extend_from_slice(blob.bytes());
    object_hash(Kind::Tree, &entry).to_string()
}
