//! An operator who signs two histories: found, written down, and proven to anybody.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::*;
use std::{fs, path::Path};

/// Copies a ledger file and the operator's keys: what makes a second history possible.
fn fork(place: &Place, to: &Path) {
    fs::create_dir_all(to.join("other.db.keys")).unwrap();
    place.type_in(&format!("backup {}", to.join("other.db").display())).done();
    for file in fs::read_dir(place.path().join("subak.db.keys")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join("other.db.keys").join(file.file_name())).unwrap();
    }
}

/// A ledger, and another history of it in `other.db`; the operator's key.
fn forked(more: [usize; 2]) -> (Place, String) {
    let place = Place::new();
    place.type_in("key new ana").done();
    let opened = place.data("commons open ours --steward ana");
    place.type_in("contribute 1 --as ana").done();
    fork(&place, place.path());
    for n in 0..more[0] {
        place.type_in(&format!("contribute {} --as ana", 2 + n)).done();
    }
    for n in 0..more[1] {
        place.type_in(&format!("contribute {} --as ana --db other.db", 20 + n)).done();
    }
    (place, opened["operator_key"].as_str().unwrap().to_owned())
}

fn codes(ran: &Ran) -> Vec<String> {
    let object = ran.object();
    let all = object["data"]["findings"].as_array().unwrap().iter();
    let faults = all.filter(|f| f["severity"] == "fault");
    faults.map(|f| f["code"].as_str().unwrap().to_owned()).collect()
}

/// The proof stands without any ledger: whoever has the key alone gets the same answer.
#[track_caller]
fn proves(file: &Path, key: &str, size_differs: bool) {
    let stranger = Place::new();
    let there = stranger.path().join("their.fraud-proof");
    fs::copy(file, &there).unwrap();
    let told = stranger.type_in(&format!("audit their.fraud-proof --expect {key}"));
    assert_eq!(told.status, 1, "{}{}", told.out, told.err);
    assert!(told.out.starts_with("fault  two histories of one ledger"), "{}", told.out);
    assert!(told.out.contains(key), "{}", told.out);
    let said = if size_differs { "Entry 2 is another one" } else { "their roots differ" };
    assert!(told.out.contains(said), "{}", told.out);
    // Nobody has said whose key that is.
    let unknown = stranger.type_in("audit their.fraud-proof");
    assert_eq!(unknown.status, 3, "{}", unknown.out);
    assert!(unknown.out.contains("name the key that you trust"), "{}", unknown.out);
    let other = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let another = stranger.type_in(&format!("audit their.fraud-proof --expect {other} --json"));
    assert_eq!(another.status, 3, "{}", another.out);
    assert_eq!(another.object()["data"]["proven"]["operator_authenticated"], false);
    let mut bytes = fs::read(&there).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&there, bytes).unwrap();
    let changed = stranger.type_in(&format!("audit their.fraud-proof --expect {key}"));
    assert_eq!(changed.status, 1);
    assert!(changed.out.is_empty() && changed.err.contains("bad-fraud-proof"), "{}", changed.err);
}

#[test]
fn two_copies_that_part_are_a_proof() {
    for (more, differs) in [([1, 1], false), ([3, 1], true), ([1, 2], true)] {
        let (place, key) = forked(more);
        let told = place.type_in("audit subak.db other.db --json");
        assert_eq!(told.status, 1, "{}", told.err);
        assert_eq!(codes(&told), ["split-view", "split-view"], "{}", told.out);
        let object = told.object();
        let all = object["data"]["findings"].as_array().unwrap();
        let split = all.iter().find(|f| f["code"] == "split-view").unwrap();
        assert_eq!(split["entry"], 2, "where they part: {object:#}");
        assert_eq!(object["data"]["fraud_proofs"][0], "ours.fraud-proof");
        proves(&place.path().join("ours.fraud-proof"), &key, differs);
        // The same finding again is the same file, and another's file is let be.
        place.type_in("audit subak.db other.db");
        assert!(!place.path().join("ours-2.fraud-proof").exists());
        fs::write(place.path().join("mine"), "mine").unwrap();
        place.type_in("audit subak.db other.db --fraud-out mine");
        assert_eq!(fs::read(place.path().join("mine")).unwrap(), b"mine");
        // Neither history is remembered as the sound one.
        assert!(!place.path().join("home/seen").exists());
    }
}

#[test]
fn one_log_and_a_part_of_it_are_no_fraud() {
    let (place, _) = forked([2, 0]);
    place.type_in("audit subak.db other.db").done();
    place.type_in("audit other.db subak.db --no-memory").done();
    assert!(!place.path().join("ours.fraud-proof").exists());
}

#[test]
fn a_history_that_is_not_the_remembered_one_is_a_proof() {
    for (more, differs) in [([1, 1], false), ([1, 3], true)] {
        let (place, key) = forked(more);
        place.type_in("audit subak.db").done();
        let told = place.type_in("audit other.db --fraud-out found --json");
        assert_eq!((told.status, codes(&told)), (1, vec!["rewritten-since-seen".into()]));
        proves(&place.path().join("found"), &key, differs);
        // The pinned key is one that the auditor knows.
        let pinned = place.type_in("audit found");
        assert_eq!(pinned.status, 1, "{}", pinned.out);
        assert_eq!(place.type_in("audit found --no-memory").status, 3);
    }
}

#[test]
fn a_node_and_a_bundle_are_held_against_a_file() {
    let (place, key) = forked([2, 1]);
    place.type_in("bundle export other.subak --db other.db").done();
    let server = place.serve(&[]);
    let told = place.type_in(&format!("audit other.subak {} --json", server.url));
    assert_eq!((told.status, codes(&told).len()), (1, 2), "{}", told.err);
    proves(&place.path().join("ours.fraud-proof"), &key, true);
    let two = place.type_in("audit ours.fraud-proof subak.db");
    assert_eq!(two.status, 2, "a proof is judged alone: {}", two.err);
}
