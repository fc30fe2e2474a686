//! The state root, the naive way: every leaf written out by hand from the model's figures,
//! and the tree as RFC 6962 defines it, by recursion.
//!
//! Takes nothing of the ledger's `state_root`: neither the bytes nor the order nor the tree.

use super::{book::*, money::whole};
use crate::kit::{World, handle};
use sha2::{Digest, Sha256};
use subak_ledger::{
    book::state_root,
    log::{Hash, tree},
    reject::Code,
};

/// The leaves that the model's figures make, in order, each with its agent.
fn leaves(model: &Model) -> Vec<(&'static str, Vec<u8>)> {
    let mut leaves = Vec::new();
    let mut names: Vec<&str> = ROSTER.iter().map(|row| row.0).collect();
    names.sort_unstable();
    for name in names {
        let who = agent(name).unwrap();
        let parts = model.work.iter().flat_map(|w| &w.parts).filter(|p| p.agent == who);
        let points: u64 = parts.filter_map(|p| p.standing.as_ref()).map(|s| s.counted).sum();
        let before = leaves.len();
        for money in Money::ALL {
            let figures = figures(model, who, money);
            if figures != [0; 4] {
                leaves.push((name, leaf(name, money.text().as_bytes(), figures, points)));
            }
        }
        if leaves.len() == before && points > 0 {
            leaves.push((name, leaf(name, &[0; 3], [0; 4], points)));
        }
    }
    leaves
}

/// Accrued, payable, reserved, paid.
fn figures(model: &Model, who: Agent, money: Money) -> [i128; 4] {
    let owed = |own: Option<bool>| {
        let pick = |b: &_| own.is_none_or(|own| model.buckets[b].owner().is_some() == own);
        model.owed(who, money, pick)
    };
    let drawn = |fate: Fate| -> i128 {
        let of = |d: &&Drawn| d.agent == who && d.money == money && d.fate == fate;
        model.drawn.iter().filter(of).map(|d| i128::from(d.own + d.common)).sum()
    };
    let payable = whole(&owed(Some(true)).1) + whole(&owed(Some(false)).1);
    [whole(&owed(None).0), payable, drawn(Fate::Proposed), drawn(Fate::Paid)]
}

fn leaf(name: &str, currency: &[u8], figures: [i128; 4], points: u64) -> Vec<u8> {
    let mut leaf = b"subak/state-leaf@v1".to_vec();
    leaf.push(u8::try_from(name.len()).unwrap());
    leaf.extend(name.bytes());
    leaf.extend(currency);
    for figure in figures {
        leaf.extend(i64::try_from(figure).unwrap().to_be_bytes());
    }
    leaf.extend(points.to_be_bytes());
    leaf
}

/// RFC 6962, 2.1.
fn root(leaves: &[Vec<u8>]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [one] => Sha256::digest([&[0], &one[..]].concat()).into(),
        more => {
            let (left, right) = more.split_at(more.len().next_power_of_two() / 2);
            Sha256::digest([&[1], &root(left)[..], &root(right)[..]].concat()).into()
        }
    }
}

/// Whether the ledger's root, what `apply` admits, and every agent's proof are the model's.
pub fn agree(model: &Model, world: &World) {
    let leaves = leaves(model);
    let all: Vec<Vec<u8>> = leaves.iter().map(|(_, leaf)| leaf.clone()).collect();
    let (root, count) = (root(&all), all.len() as u64);
    assert_eq!(state_root::root(&world.state), (root, count), "the state's root");
    world.judge_root(root, count).unwrap();
    let mut other = root;
    other[31] ^= 1;
    assert_eq!(world.judge_root(other, count).unwrap_err().code, Code::StateRootFalse);
    assert_eq!(world.judge_root(root, count + 1).unwrap_err().code, Code::StateRootFalse);
    for (name, ..) in &ROSTER {
        let shown = state_root::prove(&world.state, &handle(name));
        let own: Vec<&Vec<u8>> =
            leaves.iter().filter(|(of, _)| of == name).map(|(_, leaf)| leaf).collect();
        assert_eq!(shown.iter().map(|s| &s.leaf).collect::<Vec<_>>(), own, "leaves of {name}");
        for s in shown {
            let holds = |leaf: &[u8]| {
                let hash = tree::leaf_hash(leaf);
                tree::verify_inclusion(s.index, count, &root, &hash, &s.path).is_ok()
            };
            assert!(holds(&s.leaf), "leaf {} of {name}", s.index);
            let mut richer = s.leaf.clone();
            *richer.last_mut().unwrap() ^= 1;
            assert!(!holds(&richer), "a thousandth of a point more or less");
        }
    }
}
