//! Receipts: whatever is changed in one, it proves nothing any more.

#![allow(clippy::unwrap_used)]

mod kit;

use kit::*;
use subak_ledger::{
    log::{
        LEAF_LEN, LedgerId, PublicKey,
        receipt::{FORMAT, Receipt},
    },
    reject::Code,
};

fn world() -> World {
    let mut world = with_two(for_everybody(1, 0));
    for n in 0..9 {
        world.contribute(if n % 2 == 0 { "ana" } else { "ben" }, "commit", 1_000);
    }
    world
}

fn receipt(world: &World, seq: u64) -> Receipt {
    let proof = world.prove(seq);
    Receipt {
        index: seq,
        leaf: proof.leaf,
        envelope: proof.envelope,
        path: proof.path.iter().map(|hash| hash[..].try_into().unwrap()).collect(),
        checkpoint: proof.checkpoint,
    }
}

fn trust(world: &World) -> (LedgerId, PublicKey) {
    (world.state.ledger, world.operator.public())
}

#[test]
fn every_entry_has_one_and_it_shows_what_was_said() {
    let world = world();
    let (ledger, operator) = trust(&world);
    for seq in 0..world.state.size {
        let text = receipt(&world, seq).to_text();
        assert!(text.starts_with(&format!("{FORMAT}\nextra ")));
        let read = Receipt::parse(&text).unwrap();
        assert_eq!(read, receipt(&world, seq));
        let proven = read.verify(ledger, &operator).unwrap();
        assert_eq!((proven.leaf.seq, proven.head.size), (seq, world.state.size));
        assert_eq!(proven.statement.envelope(), &read.envelope[..]);
    }
}

/// Each byte in turn, altered or left out: no other text proves anything, nor the same thing
/// in another spelling.
#[test]
fn a_byte_changed_anywhere_proves_nothing() {
    let world = world();
    let (ledger, operator) = trust(&world);
    let text = receipt(&world, 6).to_text();
    let holds = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).ok()?;
        Receipt::parse(&text).and_then(|read| read.verify(ledger, &operator)).ok()
    };
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
fn it_is_of_one_ledger_one_operator_one_place() {
    let world = world();
    let (ledger, operator) = trust(&world);
    let sound = receipt(&world, 6);
    let refused = |receipt: &Receipt, what: &str| {
        let reject = receipt.verify(ledger, &operator).unwrap_err();
        assert_eq!(reject.code, Code::ProofInvalid);
        assert!(reject.detail.contains(what), "{what}: {}", reject.detail);
    };
    refused(&Receipt { index: 5, ..sound.clone() }, "the index is 5, the leaf says entry 6");
    let other = receipt(&world, 5);
    refused(&Receipt { envelope: other.envelope, ..sound.clone() }, "of another envelope");
    refused(&Receipt { path: other.path, ..sound.clone() }, "not in the checkpoint's tree");
    let mut shorter = sound.clone();
    shorter.path.pop();
    refused(&shorter, "not in the checkpoint's tree");
    let stranger = sound.verify(ledger, &key("stranger").public()).unwrap_err();
    assert!(stranger.detail.contains("checkpoint"), "{}", stranger.detail);
    let elsewhere = sound.verify(LedgerId([9; 32]), &operator).unwrap_err();
    assert!(elsewhere.detail.contains("another ledger"), "{}", elsewhere.detail);
}

#[test]
fn there_is_one_spelling_of_it() {
    let text = receipt(&world(), 6).to_text();
    let no_extra: Vec<&str> = text.lines().filter(|line| !line.starts_with("extra")).collect();
    let short = base64_of(&[0; LEAF_LEN - 1]);
    let cases = [
        String::new(),
        text.replace(FORMAT, "c2sp.org/tlog-proof@v2"),
        text.replace("index 6", "index 06"),
        text.replace("index 6", "index +6"),
        text.replace("index 6", "index  6"),
        text.replace("index 6", "index 99999999999999999999"),
        text.replace("\n\n", "\n\n\n"),
        text.replace('\n', "\r\n"),
        format!("\n{text}"),
        format!("{text}\n"),
        no_extra.join("\n"),
        format!("{FORMAT}\nextra {short}\nindex 0\n\nx\n"),
    ];
    for case in cases {
        let world = world();
        let (ledger, operator) = trust(&world);
        let verdict = Receipt::parse(&case).and_then(|r| r.verify(ledger, &operator));
        assert!(verdict.is_err(), "{case:?}");
    }
    assert_eq!(Receipt::parse("c2sp.org").unwrap_err().code, Code::BadReceipt);
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    BASE64_STANDARD.encode(bytes)
}
