//! The table against a sorted map, and the room that it takes.

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
        for agent in agents {
            votes.push(AgentId(agent));
        }
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
        |(quantity, remuneration, votes, since, (counted, counted_unpaid, maturing))| Standing {
            quantity,
            remuneration,
            votes,
            since,
            counted,
            counted_unpaid,
            maturing,
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
    let what = ("[a-z]{1,4}:[a-f0-9]{1,60}", "[a-d]", prop::sample::select(Stream::ALL), closed);
    let numbers = (any::<u32>(), any::<u32>(), any::<u32>(), number(), number());
    let parts = prop_oneof![
        5 => prop::collection::vec(part(), 1),
        1 => prop::collection::vec(part(), 2..64),
    ];
    (what, numbers, parts).prop_map(|((reference, kind, stream, closed), numbers, parts)| {
        let (worked_on, rate, claimant, claimed_at, said) = numbers;
        Contribution {
            reference: Reference::new(&reference).expect("it is made as one"),
            kind: Arc::new(Handle::new(&kind).expect("it is made as one")),
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
        reference: Reference::new(&format!("git:{n:040x}")).expect("a commit"),
        kind: Arc::new(Handle::new("commit").expect("a word")),
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
