//! What must hold of the three nodes when all is quiet again.
//!
//! Owns the checks, made from outside, of the bytes that the nodes show: an acknowledged statement at
//! its place, each signed head on the way to the last, each number taken once, the same sums on
//! both sides, each copy like its source, the audit. Panics where one does not hold.

use crate::{
    kit::entries,
    load::{HANDS, Kept},
    world::{Member, NAMES, WAYS, World},
};
use prost::Message as _;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use subak_ledger::{
    book::{flight::net, state::State},
    log::{Checkpoint, Hash, LedgerId, PublicKey, Unverified, tree, tree::Frontier},
};
use subak_node::{Ledgers as _, RawEntry, client::Remote};
use subak_proto::v1::{self, event::Kind};

/// How long it may take until all is quiet: a follower that was cut off asks again after a minute
/// at most.
const QUIET: Duration = Duration::from_mins(3);

pub async fn connect(url: &str) -> Remote {
    let since = Instant::now();
    loop {
        match Remote::connect(url, None).await {
            Ok(remote) => return remote,
            Err(error) => assert!(since.elapsed() < QUIET, "{url}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Waits until every copy is whole and every number is taken; how long that was.
pub async fn quiet(world: &World) -> Duration {
    let since = Instant::now();
    let mut nodes = Vec::new();
    for member in &world.members {
        nodes.push(connect(&member.url()).await);
    }
    loop {
        let Err(why) = is_quiet(world, &nodes).await else { return since.elapsed() };
        assert!(since.elapsed() < QUIET, "it does not become quiet: {why}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn is_quiet(world: &World, nodes: &[Remote]) -> Result<(), String> {
    let mut lists = Vec::new();
    for node in nodes {
        lists.push(node.ledgers().await.map_err(|error| error.to_string())?);
    }
    let find = |at: usize, ledger| lists[at].iter().find(move |info| info.id == ledger);
    for (follower, source) in WAYS {
        let ledger = world.members[source].ledger;
        let (copy, own) = (find(follower, ledger), find(source, ledger));
        if copy.map(|copy| copy.size) != own.map(|own| own.size) {
            return Err(format!("{} of {}: {copy:?} {own:?}", NAMES[follower], NAMES[source]));
        }
    }
    for (payer, digest) in world.agreements.iter().enumerate() {
        let last = |book: &State| book.agreements[digest].dues.last;
        let mut lasts = Vec::new();
        for who in [payer, payer + 1] {
            let book = nodes[who].book(world.members[who].ledger).await;
            lasts.push(last(&*book.map_err(|error| error.to_string())?));
        }
        if lasts[0] != lasts[1] {
            return Err(format!("{} of {}'s numbers are taken", lasts[1], lasts[0]));
        }
    }
    Ok(())
}

/// The log of a member, under its newest head: the entries, and the root after each number of them.
struct Log {
    ledger: LedgerId,
    operator: PublicKey,
    entries: Vec<RawEntry>,
    roots: Vec<Hash>,
}

impl Log {
    async fn read(remote: &Remote, ledger: LedgerId) -> Self {
        let entries = entries(remote, ledger).await;
        let mut frontier = Frontier::default();
        let mut roots = vec![frontier.root()];
        for entry in &entries {
            frontier.push(tree::leaf_hash(&entry.leaf));
            roots.push(frontier.root());
        }
        let book = remote.book(ledger).await.unwrap();
        let operator = PublicKey::admit(&book.operator_of(book.size)).unwrap();
        let log = Self { ledger, operator, entries, roots };
        let size = log.contains(&remote.checkpoint(ledger).await.unwrap());
        assert_eq!(size, log.entries.len(), "the newest head is of all entries");
        log
    }

    /// That a signed head is one of this log: how many entries it has.
    fn contains(&self, note: &str) -> usize {
        let head = Checkpoint::open(note, self.ledger, &self.operator).unwrap();
        let size = usize::try_from(head.size).unwrap();
        let root = self.roots.get(size);
        assert_eq!(root, Some(&head.root), "a head of {size} entries was signed, {}", self.ledger);
        size
    }

    /// Entries by the digests of what was said; nothing is there twice.
    fn places(&self) -> HashMap<Hash, u64> {
        let mut places = HashMap::new();
        for entry in &self.entries {
            let before = places.insert(*blake3::hash(&entry.envelope).as_bytes(), entry.seq);
            assert_eq!(before, None, "entry {} is there a second time", entry.seq);
        }
        places
    }

    /// Every acknowledged statement is where it was acknowledged, and every head that was shown
    /// with one is of this log.
    fn holds(&self, kept: &Kept, places: &HashMap<Hash, u64>) {
        for (digest, appended) in &kept.acknowledged {
            let at = places.get(digest);
            assert_eq!(at, Some(&appended.entry), "acknowledged as entry {}", appended.entry);
            let entry = &self.entries[usize::try_from(appended.entry).unwrap()];
            assert_eq!(entry.leaf, appended.leaf, "the leaf of entry {}", appended.entry);
            assert!(self.contains(&appended.checkpoint) > usize::try_from(appended.entry).unwrap());
        }
        for digest in &kept.found {
            assert!(places.contains_key(digest), "it was said to be there already");
        }
    }

    fn events(&self) -> impl Iterator<Item = Kind> {
        self.entries.iter().flat_map(|entry| kinds(&entry.envelope))
    }
}

/// The events of an envelope.
fn kinds(envelope: &[u8]) -> Vec<Kind> {
    let statement = Unverified::parse(envelope).unwrap().trust_stored().unwrap();
    let events = statement.events().iter();
    events.filter_map(|event| v1::Event::decode(&event[..]).unwrap().kind).collect()
}

/// What an event says to fall due, or to be taken back.
fn dues(kind: Kind) -> Vec<v1::Due> {
    match kind {
        Kind::RevenueRecord(event) => event.due,
        Kind::RevenueReverse(event) => event.due,
        Kind::PayoutPaid(event) => event.due,
        Kind::PayoutReturned(event) => event.due,
        _ => Vec::new(),
    }
}

/// Numbers 1..n of an agreement are given out once and taken once, in order, and mean the same:
/// how many.
fn once(digest: &Hash, payer: &Log, commons: &Log) -> u64 {
    let mine = |due: &v1::Due| due.agreement == digest;
    let given: Vec<v1::Due> = payer.events().flat_map(dues).filter(mine).collect();
    let takes = commons.events().filter_map(|kind| match kind {
        Kind::IncomeTake(take) if take.agreement == digest => take.proof,
        _ => None,
    });
    let taken: Vec<v1::Due> =
        takes.flat_map(|proof| kinds(&proof.envelope)).flat_map(dues).filter(mine).collect();
    let numbers: Vec<u64> = taken.iter().map(|due| due.number).collect();
    assert_eq!(numbers, (1..=given.len() as u64).collect::<Vec<_>>(), "each number once, in order");
    assert_eq!(given, taken, "what was given out is what was taken");
    given.len() as u64
}

/// All of it; how many incomes were relayed.
pub async fn all(world: &World, kept: &[Kept]) -> u64 {
    let (mut logs, mut books, mut nodes) = (Vec::new(), Vec::new(), Vec::new());
    for (member, kept) in world.members.iter().zip(kept.chunks(HANDS)) {
        let remote = connect(&member.url()).await;
        let log = Log::read(&remote, member.ledger).await;
        let places = log.places();
        for kept in kept {
            log.holds(kept, &places);
        }
        books.push(remote.book(member.ledger).await.unwrap());
        logs.push(log);
        nodes.push(remote);
    }
    let mut incomes = 0;
    for (payer, digest) in world.agreements.iter().enumerate() {
        incomes += once(digest, &logs[payer], &logs[payer + 1]);
        let [due, taken] = [payer, payer + 1].map(|who| &books[who].agreements[digest]);
        assert_eq!(net(due), net(taken), "what is due is what was taken, to the cent");
        assert_eq!(due.cash, taken.arrived, "cash that left has arrived");
        assert_eq!(taken.frozen, None);
    }
    for (follower, source) in WAYS {
        let (ledger, log) = (world.members[source].ledger, &logs[source]);
        let copy = entries(&nodes[follower], ledger).await;
        assert!(copy == log.entries, "{} has another {}", NAMES[follower], NAMES[source]);
        log.contains(&nodes[follower].checkpoint(ledger).await.unwrap());
    }
    world.members.iter().for_each(accuses_nobody);
    incomes
}

/// No node has broken down by itself, or has found two histories.
fn accuses_nobody(member: &Member) {
    let log = std::fs::read_to_string(member.path("node.log")).unwrap();
    assert!(!log.contains("panicked at"), "{log}");
    let evidence = std::fs::read_dir(member.path("subak.db.evidence"));
    assert_eq!(evidence.map_or(0, Iterator::count), 0, "{log}");
}

/// Over the network, believing nobody: sound, and it all adds up.
pub fn audit(world: &World) {
    let urls: Vec<String> = world.members.iter().map(Member::url).collect();
    let line = format!("audit {} --no-memory", urls.join(" "));
    let data = world.members[0].place.data(&line);
    assert_eq!(data["verdict"], "sound", "{data:#}");
    let total = &data["totals"][0];
    assert_eq!((&total["agreements"], &total["left_out"]), (&2.into(), &0.into()), "{data:#}");
    assert_eq!(total["balanced"], true, "{data:#}");
    for row in data["agreements"].as_array().unwrap() {
        for field in ["in_flight", "cash_in_flight", "unexplained"] {
            assert_eq!(row[field], "0.00", "{field} in {data:#}");
        }
    }
}
