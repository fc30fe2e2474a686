//! What goes wrong, when: drawn from the seed before a run begins.
//!
//! Also the lies that an operator tells, and the deliberately broken nodes that show that the
//! simulator can fail.

use super::{
    disk,
    disk::HeadFault,
    found::{DAY, EUR, Org, START, handle, key, sign, verified},
    node::Death,
    rng::Rng,
};
use subak_ledger::{
    book::types::Currency,
    log::Header,
    store::{Batch, Head, MemoryStore, NewEntry, Reader as _, Store as _},
};
use subak_node::{
    fold::Folded,
    sequencer::{Sequencer, decode},
};
use subak_proto::v1::{self, event::Kind};

/// What is broken on purpose, in all nodes of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    Nothing,
    /// A receiver whose cursor jumps: it takes last + 2. The rules of the book refuse that, so that
    /// it has to be the book in its memory that is wrong, by one.
    TakesLastPlusTwo,
    /// A receiver that forgets the newest number that it took, with what it knows of it: in its
    /// memory, as if it kept its cursor in a table beside the log and lost a row.
    ForgetsItsCursor,
    /// A follower that believes whatever it is told last: where what it is sent does not go on from
    /// what it has, it takes it all the same.
    BelievesAnything,
    /// A writer that answers before the disk does.
    AcknowledgesFirst,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Crash(usize),
    Disk(usize, disk::Fault),
    Head(usize, HeadFault),
    /// The next commit ends the process.
    Die(usize, Death),
    /// The clock steps by so many milliseconds, from now on.
    Clock(usize, i64),
    Cut(u64),
    Heal,
    Backup(usize),
    /// The backup is put back: of the database, and of the key ring too?
    Restore(usize, bool),
    Lie,
    /// Somebody shows a commons the liar's other story.
    Stranger,
}

/// When a run's faults happen, within `span` milliseconds.
pub fn plan(rng: &mut Rng, nodes: usize, span: u64, liar: bool) -> Vec<(u64, Fault)> {
    let mut all = Vec::new();
    let node = |rng: &mut Rng| usize::try_from(rng.below(nodes as u64)).unwrap();
    for _ in 0..rng.below(4) {
        all.push((rng.below(span), Fault::Crash(node(rng))));
    }
    for _ in 0..rng.below(4) {
        let kind = rng.pick(&[disk::Fault::Before, disk::Fault::After, disk::Fault::Ghost]);
        all.push((rng.below(span), Fault::Disk(node(rng), kind.unwrap())));
    }
    for _ in 0..rng.below(3) {
        let kind = rng.pick(&[HeadFault::Before, HeadFault::Unsynced]).unwrap();
        all.push((rng.below(span), Fault::Head(node(rng), kind)));
    }
    for _ in 0..rng.below(3) {
        let at = rng.pick(&[Death::BeforeStore, Death::AfterStore, Death::AfterHead]).unwrap();
        all.push((rng.below(span), Fault::Die(node(rng), at)));
    }
    for _ in 0..rng.below(4) {
        // Within what is believed, and, rarely, far beyond.
        let most = if rng.permille(700) { 1_900 } else { 15_000 };
        let by = i64::try_from(rng.below(2 * most)).unwrap() - i64::try_from(most).unwrap();
        all.push((rng.below(span), Fault::Clock(node(rng), by)));
    }
    if rng.permille(500) {
        let from = rng.below(span);
        all.push((from, Fault::Cut(rng.next())));
        all.push((from + rng.between(100, span / 2), Fault::Heal));
    }
    if rng.permille(400) {
        let (whose, from) = (node(rng), rng.below(span / 2));
        all.push((from, Fault::Backup(whose)));
        let ring_too = rng.permille(350);
        all.push((from + rng.between(100, span / 2), Fault::Restore(whose, ring_too)));
    }
    if liar {
        let from = rng.between(span / 5, span / 2);
        all.push((from, Fault::Lie));
        all.extend((1..4).map(|n| (from + n * span / 8, Fault::Stranger)));
    }
    all
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// One history to some, another to the rest.
    TwoStories,
    /// The log is forked, and everybody is given the fork.
    Rewrite,
    /// To some, nothing new is shown.
    Withhold,
    /// Now the newest head, now an old one.
    OldHead,
    /// Statements are acknowledged and not recorded.
    FalseAck,
}

pub const LIES: [Lie; 5] =
    [Lie::TwoStories, Lie::Rewrite, Lie::Withhold, Lie::OldHead, Lie::FalseAck];

/// The operator who lies, once it has begun.
pub struct Liar {
    pub org: usize,
    pub lie: Lie,
    /// What it shows to `readers`.
    pub twin: Option<MemoryStore>,
    pub readers: Vec<usize>,
}

/// Another history of a ledger: its first `keep` entries, then something else by its own people, who
/// are in it together with the operator.
pub fn twin(org: &Org, store: &MemoryStore, keep: u64, (now, rng): (u64, &mut Rng)) -> MemoryStore {
    let id = org.ledger;
    let mut folded = Folded::default();
    let (mut entries, mut nodes) = (Vec::new(), Vec::new());
    for entry in store.entries(&id.0, 0, usize::MAX, usize::MAX).unwrap() {
        if entry.seq < keep {
            let statement = verified(&entry.envelope).unwrap();
            nodes.extend(folded.push(id, &entry.leaf, &statement).unwrap());
            entries.push(NewEntry {
                leaf: entry.leaf.clone(),
                envelope: entry.envelope.clone(),
                chain: entry.chain,
            });
        }
    }
    folded.tree.prune();
    let mut twin = MemoryStore::new();
    put(org, &mut twin, Head::EMPTY, (&entries, &nodes), None);
    tell(org, &mut twin, folded, (now, rng));
    twin
}

/// Goes on with another history.
pub fn tell(org: &Org, twin: &mut MemoryStore, folded: Folded, (now, rng): (u64, &mut Rng)) {
    let mut sequencer = Sequencer::new(folded);
    let header = Header {
        ledger: org.ledger,
        author: handle("sam"),
        nonce: rng.nonce(),
        created_at: START + now,
        expires_at: START + now + DAY,
        basis: None,
    };
    let state = sequencer.pending().clone();
    let event = if org.commons {
        let part = vec![v1::Part { agent: "ana".into(), quantity: 1_000 }];
        super::found::contribute(&format!("test:twin-{}", rng.next()), part, START + now - DAY)
    } else {
        let net = rng.between(1, 9_000) * 10;
        let eur = Currency::new(EUR).unwrap();
        Kind::RevenueRecord(v1::RevenueRecord {
            invoice: Some(v1::Invoice {
                series: "twin".into(),
                number: rng.between(1, 1 << 40),
                line: 0,
            }),
            currency: EUR.into(),
            net,
            due: state.dues_of_revenue(None, eur, (net, 0), START + now),
            ..Default::default()
        })
    };
    let envelope = sign(header, &key(&format!("sam of {}", org.name)), vec![event]);
    let statement = verified(&envelope).unwrap();
    let at = (START + now).max(state.time);
    if sequencer.admit(&statement, &decode(&statement), None, at).is_ok() {
        let effects = sequencer.effects().unwrap();
        let note = effects.head.sign(&org.operator);
        put(org, twin, effects.expected, (effects.entries, effects.nodes), Some(&note));
    }
}

fn put(
    org: &Org,
    store: &mut MemoryStore,
    expected: Head,
    (entries, nodes): (&[NewEntry], &[subak_ledger::store::Node]),
    checkpoint: Option<&str>,
) {
    let batch = Batch {
        ledger: org.ledger.0,
        name: &org.name,
        expected,
        entries,
        nodes,
        checkpoint,
        disclosures: &[],
        erasures: &[],
    };
    store.append(&[batch]).unwrap();
}

/// A store as it is, but for one ledger, which is as in another store.
pub fn transplant(into: &MemoryStore, ledger: [u8; 32], from: &MemoryStore) -> MemoryStore {
    let mut made = MemoryStore::new();
    let mut rows = into.ledgers().unwrap();
    if !rows.iter().any(|row| row.id == ledger) {
        rows.extend(from.ledgers().unwrap().into_iter().filter(|row| row.id == ledger));
    }
    for row in rows {
        let source = if row.id == ledger { from } else { into };
        let all = source.entries(&row.id, 0, usize::MAX, usize::MAX).unwrap();
        let entries: Vec<_> = all
            .into_iter()
            .map(|e| NewEntry { leaf: e.leaf, envelope: e.envelope, chain: e.chain })
            .collect();
        let level = |level: u8| {
            let found = source.nodes(&row.id, level, 0, usize::MAX).unwrap();
            found.into_iter().map(move |(index, hash)| (level, index, hash))
        };
        let nodes: Vec<_> = (1..16).flat_map(level).collect();
        let note = source.checkpoint(&row.id).unwrap();
        let batch = Batch {
            ledger: row.id,
            name: &row.name,
            expected: Head::EMPTY,
            entries: &entries,
            nodes: &nodes,
            checkpoint: note.as_deref(),
            disclosures: &[],
            erasures: &[],
        };
        made.append(&[batch]).unwrap();
    }
    made
}
