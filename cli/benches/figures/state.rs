//! The state root: working it out, checking it in `apply`, proving one agent's part.

use crate::{
    report::{Report, Round, Row, Unit},
    world::{Book, encode, gift, key, now, statement},
};
use std::{hint::black_box, time::Instant};
use subak_ledger::{
    book::{apply::apply, state::CLERK, state_root, types::Handle},
    log::{
        Draft, Hash, Header, Statement,
        tree::{leaf_hash, node_hash},
    },
};
use subak_proto::v1::{self, event::Kind};

const DAY_MS: u64 = 86_400_000;
const ROUNDS: usize = 5;
/// Incomes that everybody has a part of.
const INCOMES: usize = 12;

pub fn figures(report: &mut Report) {
    let agents = report.size(1_000_000, 100_000);
    let root = format!("state root over {agents} agents");
    let check = "state root, its check in apply";
    let proof = "state root, a balance proof from it";
    if ![&root[..], check, proof].into_iter().any(|name| report.wants(name)) {
        return;
    }
    let mut book = Book::of_contributors(agents);
    for n in 0..INCOMES {
        book.say(vec![gift(n)]);
    }
    let state = &book.state;
    let stated = state_root::root(state);
    let spoken = clerks(&book, stated);
    let someone = Handle::new(&format!("person-{}", agents / 2)).unwrap();
    let leaf = state_root::prove(state, &someone).remove(0).leaf;
    let limit = || nanoseconds(|| hashes(&leaf, stated.1));
    let mut row = |name: &str, figure: &dyn Fn()| {
        let row = Row {
            name: name.into(),
            unit: Unit::Nanoseconds,
            limit: format!("SHA-256 of as many leaves of {} bytes, and nodes", leaf.len()),
            target: None,
        };
        let round = |_| Round { limit: limit(), figure: nanoseconds(figure) };
        report.add(&row, (0..ROUNDS).map(round).collect());
    };
    row(&root, &|| assert_eq!(state_root::root(black_box(state)), stated));
    row(check, &|| drop(apply(black_box(state), &spoken, now()).unwrap()));
    row(proof, &|| assert_eq!(state_root::prove(black_box(state), &someone).len(), 1));
}

/// The clerk's statement of a root.
fn clerks(book: &Book, (root, leaves): (Hash, u64)) -> Statement {
    let header = Header {
        ledger: book.state.ledger,
        author: Handle::new(CLERK).unwrap(),
        nonce: [7; 16],
        created_at: now(),
        expires_at: now() + DAY_MS,
        basis: None,
    };
    let event = encode(Kind::StateRoot(v1::StateRoot { root: root.to_vec(), leaves }));
    statement(&Draft { header, events: vec![event] }.sign(&key("clerk")))
}

/// What any such tree costs: each leaf and each node hashed once.
fn hashes(leaf: &[u8], leaves: u64) {
    let mut last = [0; 32];
    for n in 0..leaves {
        last = black_box(leaf_hash(black_box(leaf)));
        if n > 0 {
            last = black_box(node_hash(black_box(&last), &last));
        }
    }
    black_box(last);
}

fn nanoseconds(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_secs_f64() * 1e9
}
