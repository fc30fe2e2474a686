//! State roots and balance proofs: what everybody has, published; what one agent has, proven
//! without a server.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::*;
use sha2::{Digest, Sha256};
use subak_ledger::{
    book::{
        balance_proof::{BalanceProof, FORMAT, ShownBalance},
        state_root::{self, StateLeaf},
    },
    log::{Hash, receipt::Receipt},
    reject::{Code, Reject},
};
use subak_proto::v1;

/// ana and ben have 15 points each and share 100.01 EUR, of which ana was paid 20.00 and 10.00
/// are on the way to ben; aaron, who came last, has 7 points and no money; cy has nothing.
fn world() -> World {
    let mut world = two_contributors();
    world.gift(10_001);
    let run = world.propose(&[("ana", 2_000)]).unwrap();
    world.paid(run, &["ana"]).unwrap();
    world.propose(&[("ben", 1_000)]).unwrap();
    for name in ["cy", "aaron"] {
        world.add_person(name);
    }
    let place = world.contribute("aaron", "commit", 7_000);
    world.validate("sam", place).unwrap();
    world
}

/// Written out by hand, from the table in `state_root.rs`; the half cent that neither ana nor
/// ben has whole is in no leaf.
const AARON: &str = "737562616b2f73746174652d6c6561664076310\
    56161726f6e000000\
    0000000000000000000000000000000000000000000000000000000000000000\
    0000000000001b58";
const ANA: &str = "737562616b2f73746174652d6c6561664076310\
    3616e61455552\
    00000000000013880000000000001388000000000000000000000000000007d0\
    0000000000003a98";
const BEN: &str = "737562616b2f73746174652d6c6561664076310\
    362656e455552\
    0000000000001388000000000000138800000000000003e80000000000000000\
    0000000000003a98";

#[test]
fn the_root_is_that_of_the_leaves_by_hand() {
    let hash = |parts: &[&[u8]]| -> Hash { Sha256::digest(parts.concat()).into() };
    let [aaron, ana, ben] =
        [AARON, ANA, BEN].map(|leaf| hash(&[&[0], &hex::decode(leaf).unwrap()]));
    let left = hash(&[&[1], &aaron, &ana]);
    let by_hand = hash(&[&[1], &left, &ben]);
    // The same from Python's hashlib.
    let known = "d0658d3ea01dfd6ebbbf9c6c332f8304d775517dfe07048e58d5a5b0ea28f411";
    assert_eq!(hex::encode(by_hand), known);
    let world = world();
    assert_eq!(state_root::root(&world.state), (by_hand, 3));
    let shown = state_root::prove(&world.state, &handle("ben"));
    assert_eq!(hex::encode(&shown[0].leaf), BEN);
    assert_eq!((shown.len(), shown[0].index, &shown[0].path[..]), (1, 2, &[left][..]));
    assert_eq!(state_root::prove(&world.state, &handle("cy")), [], "who has nothing");
}

#[test]
fn each_leaf_says_what_the_balance_shows() {
    let world = world();
    let state = &world.state;
    for name in ["ana", "ben"] {
        let [shown] = &state_root::prove(state, &handle(name))[..] else { panic!("one leaf") };
        let leaf = StateLeaf::from_bytes(&shown.leaf).unwrap();
        let balance = state.balance(world.id(name), currency(EUR));
        let figures = [leaf.accrued, leaf.payable, leaf.reserved, leaf.paid].map(i128::from);
        let expected = [balance.accrued, balance.payable, balance.reserved, balance.paid];
        assert_eq!((figures, leaf.points), (expected, state.points(world.id(name))));
    }
}

#[test]
fn an_empty_commons_has_the_empty_root() {
    let mut world = World::commons(for_everybody(1, 0));
    let (root, leaves) = state_root::root(&world.state);
    assert_eq!((root, leaves), (Sha256::digest([]).into(), 0));
    world.state_root().unwrap();
}

/// Points that mature between the entry before and its own are not yet in it; what it says
/// stands for as long as nothing has changed.
#[test]
fn it_is_about_the_state_before_its_own_entry_and_before_its_time() {
    let mut world = with_two(for_everybody(1, 10));
    let place = world.contribute("ana", "commit", 1_000);
    world.validate("sam", place).unwrap();
    assert_eq!(world.state.stated(), None);
    let early = world.state_root().unwrap();
    assert_eq!(world.state.stated(), Some(early));
    let again = world.state_root().unwrap();
    assert_eq!(world.state.stated(), Some(again), "a StateRoot changes nothing");
    world.days(10);
    let (root, leaves) = state_root::root(&world.state);
    assert_eq!(leaves, 0, "nothing is counted until an entry comes");
    world.judge_root(root, leaves).unwrap();
    world.state_root().unwrap();
    assert_eq!(world.state.stated(), None, "its own time has brought ana's points");
    let late = world.state_root().unwrap();
    assert_eq!((state_root::root(&world.state).1, world.state.stated()), (1, Some(late)));
    world.add_person("cy");
    assert_eq!(world.state.stated(), None, "any entry may have changed something");
}

#[test]
fn a_refused_one_leaves_no_trace() {
    let mut world = world();
    let stated = world.state_root().unwrap();
    assert_eq!(world.judge_root([0; 32], 3).unwrap_err().code, Code::StateRootFalse);
    assert_eq!(world.state.stated(), Some(stated));
    let replayed = world.replayed();
    assert_eq!(replayed.stated(), Some(stated), "a mirror knows it too");
}

// ---- the file ----

fn receipt(world: &World, entry: u64) -> Receipt {
    let proof = world.prove(entry);
    Receipt {
        index: entry,
        leaf: proof.leaf,
        envelope: proof.envelope,
        path: proof.path.iter().map(|hash| hash[..].try_into().unwrap()).collect(),
        checkpoint: proof.checkpoint,
    }
}

/// A proof of what ana has, at the last entry.
fn proof(world: &mut World) -> BalanceProof {
    let leaves = state_root::prove(&world.state, &handle("ana"));
    let entry = world.state_root().unwrap();
    BalanceProof { leaves, receipt: receipt(world, entry) }
}

fn read(world: &World, text: &str) -> Result<ShownBalance, Reject> {
    let read = BalanceProof::parse(text)?;
    let proven = read.receipt.verify(world.state.ledger, &world.operator.public())?;
    read.verify(&proven)
}

#[test]
fn the_file_shows_what_was_published() {
    let mut world = world();
    let (root, leaves) = state_root::root(&world.state);
    let text = proof(&mut world).to_text();
    assert!(text.starts_with(&format!("{FORMAT}\nleaf ")) && BalanceProof::is_one(&text));
    let shown = read(&world, &text).unwrap();
    assert_eq!((shown.agent.as_str(), shown.root, shown.of), ("ana", root, leaves));
    let leaf = &shown.leaves[0];
    assert_eq!((leaf.accrued, leaf.paid, leaf.points), (5_000, 2_000, 15_000));
    // What comes later does not touch it.
    world.gift(99_999);
    assert_eq!(read(&world, &text).unwrap(), shown);
}

#[test]
fn all_currencies_of_an_agent_are_in_one_file() {
    let mut world = world();
    let amount = Some(v1::Amount { currency: "CHF".into(), minor: 900 });
    let (payer, bank) = ("phyle-a".into(), "bank:chf".into());
    let income = v1::IncomeRecord { payer, amount, bank, note: vec![] };
    world.say("sam", vec![v1::event::Kind::IncomeRecord(income)]).unwrap();
    let whole = proof(&mut world);
    let shown = read(&world, &whole.to_text()).unwrap();
    let found: Vec<_> =
        shown.leaves.iter().map(|l| (l.currency.unwrap().to_string(), l.accrued)).collect();
    // 37 points stand by then, and ana has 15 of them.
    assert_eq!(found, [("CHF".into(), 364), ("EUR".into(), 5_000)]);
    let turned =
        BalanceProof { leaves: whole.leaves.iter().rev().cloned().collect(), ..whole.clone() };
    assert_eq!(read(&world, &turned.to_text()).unwrap_err().code, Code::ProofInvalid);
    let mut mixed = whole;
    let before = world.twin();
    mixed.leaves[1] = state_root::prove(&before.state, &handle("ben")).remove(1);
    let refused = read(&world, &mixed.to_text()).unwrap_err();
    assert!(refused.detail.contains("one agent's leaves"), "{refused}");
}

#[test]
fn a_byte_changed_anywhere_shows_nothing() {
    let mut world = world();
    let text = proof(&mut world).to_text();
    let holds = |bytes: Vec<u8>| read(&world, &String::from_utf8(bytes).ok()?).ok();
    assert!(holds(text.clone().into_bytes()).is_some(), "the control");
    for place in 0..text.len() {
        for other in [1, 2, 16, 32, 128] {
            let mut bytes = text.clone().into_bytes();
            bytes[place] ^= other;
            assert_eq!(holds(bytes), None, "byte {place} ^ {other}");
        }
        let mut bytes = text.clone().into_bytes();
        bytes.remove(place);
        assert_eq!(holds(bytes), None, "without byte {place}");
    }
}

#[test]
fn there_is_one_spelling_of_it() {
    let mut world = world();
    let text = proof(&mut world).to_text();
    let (head, rest) = text.split_once("\nindex 1\n").unwrap();
    for case in [
        String::new(),
        FORMAT.to_owned(),
        format!("{FORMAT}\n\n{}", text.split_once("\n\n").unwrap().1),
        text.replace(FORMAT, "subak/balance-proof@v2"),
        format!("{head}\nindex 01\n{rest}"),
        format!("{head}\nindex +1\n{rest}"),
        format!("{head}\n{rest}"),
        format!("{head}=\nindex 1\n{rest}"),
        format!("{head}\nindex 1\n{}{rest}", "A".repeat(44) + "\n"),
        text.replace('\n', "\r\n"),
        format!("{text}\n"),
        format!("\n{text}"),
        text.replacen("leaf ", "leaf  ", 1),
        text.replacen("\n\n", "\n\n\n", 1),
        text.split_once("\n\n").unwrap().1.to_owned(),
    ] {
        assert!(read(&world, &case).is_err(), "{case:?}");
    }
    assert_eq!(BalanceProof::parse("subak").unwrap_err().code, Code::BadReceipt);
}

/// A leaf that is sound bytes and in no published tree; a leaf of another root; an entry that
/// publishes nothing.
#[test]
fn leaves_and_entry_belong_together() {
    let mut world = world();
    let sound = proof(&mut world);
    let refused = |proof: &BalanceProof, code: Code, what: &str| {
        let reject = read(&world, &proof.to_text()).unwrap_err();
        assert_eq!(reject.code, code, "{reject}");
        assert!(reject.detail.contains(what), "{reject}");
    };
    let mut richer = sound.clone();
    let mut leaf = StateLeaf::from_bytes(&richer.leaves[0].leaf).unwrap();
    leaf.accrued += 1;
    richer.leaves[0].leaf = leaf.to_bytes();
    refused(&richer, Code::ProofInvalid, "not in the tree");
    let mut elsewhere = sound.clone();
    elsewhere.leaves[0].index = 0;
    refused(&elsewhere, Code::ProofInvalid, "not in the tree");
    let last = world.state.size - 1;
    let other = BalanceProof { receipt: receipt(&world, last - 1), ..sound.clone() };
    refused(&other, Code::ProofIrrelevant, "no StateRoot");
    let mut senseless = sound;
    senseless.leaves[0].leaf.push(0);
    refused(&senseless, Code::ProofInvalid, "not in the tree");
    for cut in 0..leaf.to_bytes().len() {
        let bytes = leaf.to_bytes();
        assert!(StateLeaf::from_bytes(&bytes[..cut]).is_err(), "{cut} bytes");
    }
}
