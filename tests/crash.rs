//! What a node has acknowledged survives `kill -9`, whenever it comes.
//!
//! Clients append through the network, eight statements in flight, until the server is
//! killed at a random moment. After the restart every acknowledged statement must be at
//! the place that was signed for, no statement may be there twice, what the client never
//! got an answer for can be sent again, and the audit must find every byte in order.
//!
//! Killing a process tests what the program does, not what the disk does when the power
//! goes: that rests on SQLite's `synchronous=FULL`, and on the disk.
//!
//! Five rounds; `SUBAK_LONG=1` makes it fifty. `SUBAK_SEED` sets other moments.

#![allow(clippy::unwrap_used)]

mod kit;

use kit::{Author, Dice, Place, append, entries};
use std::{collections::HashMap, time::Duration};
use subak_ledger::log::{Checkpoint, Hash, PublicKey, tree};
use subak_node::{Appended, Ledgers as _, NodeError, client::Remote};

const IN_FLIGHT: usize = 8;

/// What the clients of a round know when the server is gone.
#[derive(Default)]
struct Round {
    acknowledged: Vec<(Vec<u8>, Appended)>,
    /// Sent, and no answer: each may be there or not.
    unknown: Vec<Vec<u8>>,
}

/// One client: appends until its connection breaks. The client itself checks the
/// signature and the inclusion proof of every answer.
async fn client(url: String, author: &Author) -> Round {
    let mut round = Round::default();
    let Ok(remote) = Remote::connect(&url, None).await else { return round };
    loop {
        let envelope = author.hour();
        match remote.append(append(&envelope)).await {
            Ok(appended) => round.acknowledged.push((envelope, appended)),
            Err(NodeError::World { .. }) => {
                round.unknown.push(envelope);
                return round;
            }
            Err(other) => panic!("a sound statement is not taken: {other}"),
        }
    }
}

/// Load on a server until it is killed.
fn round(
    runtime: &tokio::runtime::Runtime,
    place: &Place,
    author: &Author,
    dice: &mut Dice,
) -> Round {
    let mut server = place.serve(&[]);
    let url = server.url.clone();
    let alive = Duration::from_millis(20 + dice.below(700));
    let killer = std::thread::spawn(move || {
        std::thread::sleep(alive);
        server.kill();
    });
    let clients = (0..IN_FLIGHT).map(|_| client(url.clone(), author));
    let rounds = runtime.block_on(futures::future::join_all(clients));
    killer.join().unwrap();
    let mut all = Round::default();
    for round in rounds {
        all.acknowledged.extend(round.acknowledged);
        all.unknown.extend(round.unknown);
    }
    all
}

/// Every acknowledged statement is where it was acknowledged, byte for byte; the newest
/// head that was acknowledged is a beginning of today's.
async fn check(
    remote: &Remote,
    author: &Author,
    operator: &PublicKey,
    acknowledged: &[(Vec<u8>, Appended)],
) {
    let all = entries(remote, author.ledger).await;
    let mut places: HashMap<Hash, u64> = HashMap::new();
    for entry in &all {
        let before = places.insert(*blake3::hash(&entry.envelope).as_bytes(), entry.seq);
        assert_eq!(before, None, "entry {} is there a second time", entry.seq);
    }
    for (envelope, appended) in acknowledged {
        let at = places.get(blake3::hash(envelope).as_bytes());
        assert_eq!(at, Some(&appended.entry), "acknowledged as entry {}", appended.entry);
        let entry = usize::try_from(appended.entry).unwrap();
        assert_eq!(all[entry].leaf, appended.leaf, "the leaf of entry {entry}");
    }
    let open = |text: &str| Checkpoint::open(text, author.ledger, operator).unwrap();
    let heads = acknowledged.iter().map(|(_, appended)| open(&appended.checkpoint));
    let Some(old) = heads.max_by_key(|head| head.size) else { return };
    let new = open(&remote.checkpoint(author.ledger).await.unwrap());
    let path = remote.consistency(author.ledger, old.size, new.size).await.unwrap();
    tree::verify_consistency(old.size, new.size, &old.root, &new.root, &path).unwrap();
}

/// Sends again what had no answer: it is taken now, or was taken then.
async fn again(remote: &Remote, unknown: Vec<Vec<u8>>) -> (u64, u64) {
    let (mut now, mut then) = (0, 0);
    for envelope in unknown {
        match remote.append(append(&envelope)).await {
            Ok(_) => now += 1,
            Err(NodeError::Refused { code, .. }) if code == "replayed" => then += 1,
            Err(other) => panic!("sent again: {other}"),
        }
    }
    (now, then)
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let rounds = if std::env::var_os("SUBAK_LONG").is_some_and(|v| v == "1") { 50 } else { 5 };
    let seed = std::env::var("SUBAK_SEED").ok().map_or(20_261_121, |s| s.parse().unwrap());
    let mut dice = Dice(seed);
    let place = Place::new();
    place.type_in("key new ana").done();
    let opened = place.data("commons open our-commons --steward ana");
    let author = Author::new(&place, &opened);
    let operator = hex::decode(opened["operator_key"].as_str().unwrap()).unwrap();
    let operator = PublicKey::admit(&operator.try_into().unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();

    let mut acknowledged = Vec::new();
    let (mut lost, mut kept) = (0, 0);
    for _ in 0..rounds {
        let round = round(&runtime, &place, &author, &mut dice);
        acknowledged.extend(round.acknowledged);
        // As the crash left it, before a writer puts anything in order.
        place.sound(&place.db());
        let server = place.serve(&[]);
        let (now, then) = runtime.block_on(async {
            let remote = Remote::connect(&server.url, None).await.unwrap();
            check(&remote, &author, &operator, &acknowledged).await;
            let sent = again(&remote, round.unknown).await;
            check(&remote, &author, &operator, &acknowledged).await;
            sent
        });
        (lost, kept) = (lost + now, kept + then);
    }
    place.sound(&place.db());
    println!(
        "seed {seed}: {rounds} rounds of kill -9, {} statements acknowledged, all there; \
         {} without an answer: {kept} had been stored, {lost} not",
        acknowledged.len(),
        lost + kept
    );
    assert!(acknowledged.len() > rounds, "the server was killed before it did anything");
}
