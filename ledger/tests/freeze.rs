//! Random histories of keys against a list of who signed what, when, with which key.
//!
//! The list is searched from its beginning for each question. Whatever it calls doubtful must
//! be refused a payout; where no vote is in question the ledger must agree exactly; and who
//! had nothing to do with a revoked key is paid.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use subak_ledger::reject::Code;
use subak_proto::v1::{self, event::Kind};

const PEOPLE: [&str; 4] = ["ana", "ben", "sam", "mia"];

/// One statement that concerns a contribution.
struct Said {
    key: String,
    at: u64,
    work: usize,
    what: What,
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    Claim,
    /// A vote that changed what stands.
    Vote,
    /// One more who answers for what stands: nothing rests on it.
    Yes,
}

/// A contribution: where, whose, claimed at which entry.
struct Work {
    place: v1::Ref,
    whose: usize,
    quantity: u64,
    stands: Option<u64>,
}

struct Revocation {
    key: String,
    since: u64,
    released: BTreeSet<usize>,
}

struct History {
    world: World,
    /// Keys that each person has; the last is the one in use.
    keys: Vec<Vec<String>>,
    said: Vec<Said>,
    work: Vec<Work>,
    revoked: Vec<Revocation>,
    made: u32,
    tally: BTreeMap<&'static str, u32>,
}

impl History {
    fn new() -> Self {
        let world = with_two(for_everybody(1, 0));
        let keys = PEOPLE.iter().map(|who| vec![(*who).to_owned()]).collect();
        let (said, work, revoked) = (Vec::new(), Vec::new(), Vec::new());
        Self { world, keys, said, work, revoked, made: 0, tally: BTreeMap::new() }
    }

    fn say(&mut self, who: usize, event: Kind) -> Result<u64, Code> {
        self.world.sign_with(PEOPLE[who], self.keys[who].last().unwrap());
        self.world.say(PEOPLE[who], vec![event]).map_err(|reject| reject.code)
    }

    fn note(&mut self, who: usize, work: usize, what: What) {
        let key = self.keys[who].last().unwrap().clone();
        self.said.push(Said { key, at: self.world.now, work, what });
    }

    fn step(&mut self, (code, a, b, c): (u8, usize, usize, usize)) {
        let who = a % PEOPLE.len();
        match code % 12 {
            0 => self.world.now += [1, 1_000, 86_400_000][b % 3],
            1..=3 => self.claim(who, b % PEOPLE.len(), c),
            4..=6 if !self.work.is_empty() => self.vote(2 + a % 2, b % self.work.len(), c),
            7 => self.add(who),
            8 => {
                let keys = self.keys[who].len();
                self.keys[who].rotate_left(b % keys);
            }
            9 => self.revoke(who, b, c),
            10 if !self.revoked.is_empty() => self.release(a % self.revoked.len(), b),
            _ => self.check(),
        }
    }

    /// Own work; of a maintainer's also somebody else's.
    fn claim(&mut self, who: usize, whose: usize, c: usize) {
        let whose = if who < 2 { who } else { whose };
        let quantity = 1_000 + c as u64 % 3 * 1_000;
        self.made += 1;
        let claim = v1::Contribute {
            reference: format!("git:{}", self.made),
            kind: "commit".into(),
            stream: v1::Stream::Love as i32,
            worked_on: 0,
            part: vec![v1::Part { agent: PEOPLE[whose].into(), quantity }],
            evidence: vec![],
        };
        let entry = self.say(who, Kind::Contribute(claim)).unwrap();
        self.work.push(Work { place: v1::Ref { entry, event: 0 }, whose, quantity, stands: None });
        self.note(who, self.work.len() - 1, What::Claim);
    }

    fn vote(&mut self, who: usize, n: usize, c: usize) {
        let Work { place, whose, quantity, stands } = self.work[n];
        let reading = [500, 700, stands.unwrap_or(quantity)][c % 3];
        let said = self.say(who, requantify(place, PEOPLE[whose], reading));
        if whose == who {
            assert_eq!(said, Err(Code::OwnPart));
        } else if stands == Some(reading) {
            match said {
                Ok(_) => self.note(who, n, What::Yes),
                Err(code) => assert_eq!(code, Code::AlreadyValidated),
            }
        } else {
            said.unwrap();
            self.work[n].stands = Some(reading);
            self.note(who, n, What::Vote);
        }
    }

    fn add(&mut self, who: usize) {
        if self.keys[who].len() < 4 {
            self.made += 1;
            let name = format!("{}'s {}", PEOPLE[who], self.made);
            let add = self.world.key_add(PEOPLE[who], &name);
            self.say(who, add).unwrap();
            self.keys[who].push(name);
        }
    }

    fn revoke(&mut self, who: usize, b: usize, c: usize) {
        if self.keys[who].len() == 1 {
            return;
        }
        let lost = b % self.keys[who].len();
        let key = self.keys[who][lost].clone();
        let ago = [0, 500, 90_000_000, 900_000_000][c % 4];
        let since = (self.world.now - ago.min(self.world.now - START)).max(START);
        // By the key itself, or by another device.
        self.say(who, key_revoke(&key, since)).unwrap();
        self.keys[who].remove(lost);
        self.revoked.push(Revocation { key, since, released: BTreeSet::new() });
        self.check();
    }

    fn release(&mut self, n: usize, b: usize) {
        let whom = b % (PEOPLE.len() * 2);
        let agents: Vec<usize> =
            if whom < PEOPLE.len() { vec![whom] } else { (0..PEOPLE.len()).collect() };
        let names: Vec<&str> = if whom < PEOPLE.len() { vec![PEOPLE[whom]] } else { Vec::new() };
        let confirm = encode(effects_confirm(&self.revoked[n].key, &names));
        match self.say(2, Kind::Propose(v1::Propose { event: vec![confirm] })) {
            Ok(_) => self.revoked[n].released.extend(agents),
            Err(code) => assert_eq!(code, Code::NothingFrozen),
        }
        self.check();
    }

    /// What a revoked key has signed since then that somebody has points by, or had: by a
    /// claim; by a vote.
    fn doubtful(&self, whose: usize) -> (bool, bool) {
        let open = |said: &Said| {
            let by = |r: &&Revocation| r.key == said.key && said.at >= r.since;
            self.revoked.iter().find(by).is_some_and(|r| !r.released.contains(&whose))
        };
        let work = |said: &&Said| {
            let work = &self.work[said.work];
            work.whose == whose && work.stands.is_some()
        };
        let doubtful: Vec<&Said> = self.said.iter().filter(work).filter(|s| open(s)).collect();
        let any = |what| doubtful.iter().any(|s| s.what == what);
        (any(What::Claim), any(What::Vote))
    }

    /// Whether a revoked key has voted at all since then: of votes the ledger knows less.
    fn any_vote(&self, whose: usize) -> bool {
        let voted = |r: &Revocation| {
            self.said.iter().any(|s| s.what != What::Claim && s.key == r.key && s.at >= r.since)
        };
        self.revoked.iter().any(|r| !r.released.contains(&whose) && voted(r))
    }

    fn check(&mut self) {
        for (whose, name) in PEOPLE.iter().enumerate() {
            let frozen = self.world.state.frozen(self.world.id(name)).is_some();
            let (claims, votes) = self.doubtful(whose);
            assert!(frozen || !(claims || votes), "{name}: {claims} {votes}, and not frozen");
            let what = match (frozen, self.any_vote(whose)) {
                (true, false) => "frozen by a claim",
                (true, true) if claims || votes => "frozen by a vote",
                (true, true) => "frozen though it need not be",
                (false, true) => "free beside a vote",
                (false, false) if self.revoked.is_empty() => "free",
                (false, false) => "free after a revocation",
            };
            *self.tally.entry(what).or_default() += 1;
            if what == "frozen by a claim" {
                assert!(claims, "{name} is frozen, and no key has claimed or voted");
            }
        }
    }
}

#[test]
fn nothing_doubtful_is_missed_and_what_no_vote_blurs_is_exact() {
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let config = Config { cases: 150, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let op = (any::<u8>(), 0..64_usize, 0..64_usize, 0..64_usize);
    let tally = std::cell::RefCell::new(BTreeMap::<&str, u32>::new());
    let run = TestRunner::new_with_rng(config, rng).run(&prop::collection::vec(op, 0..60), |ops| {
        let mut history = History::new();
        for op in ops {
            history.step(op);
        }
        history.check();
        let (folded, state) = (history.world.replayed(), &history.world.state);
        assert_eq!((&folded.doubts, &folded.signed), (&state.doubts, &state.signed));
        for (what, times) in history.tally {
            *tally.borrow_mut().entry(what).or_default() += times;
        }
        Ok(())
    });
    run.unwrap();
    println!("{:#?}", tally.borrow());
    for what in [
        "frozen by a claim",
        "frozen by a vote",
        "frozen though it need not be",
        "free beside a vote",
        "free after a revocation",
    ] {
        assert!(tally.borrow().contains_key(what), "no history came to: {what}");
    }
}
