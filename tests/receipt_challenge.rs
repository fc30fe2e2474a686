//! Somebody holds a receipt, and the node has another past: kept, proven, or a gap that is told.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::*;
use std::fs;

/// A commons of ana's with two entries, put aside as `older.db`; then two claims more, and the receipt of the
/// first of them. The operator's key.
fn held() -> (Place, String) {
    let place = Place::new();
    place.type_in("key new ana").done();
    let opened = place.data("commons open ours --steward ana");
    place.type_in("contribute 1 --as ana").done();
    place.type_in("backup older.db").done();
    for hours in [2, 3] {
        place.type_in(&format!("contribute {hours} --as ana")).done();
    }
    place.type_in("receipt get 2 --out claim.tlog-proof").done();
    place.copy_keys("subak.db", "older.db");
    (place, opened["operator_key"].as_str().unwrap().to_owned())
}

#[track_caller]
fn challenge(place: &Place, key: &str, more: &str, status: i32, says: &[&str]) -> Ran {
    let ran = place.type_in(&format!("receipt challenge claim.tlog-proof --expect {key} {more}"));
    assert_eq!(ran.status, status, "{}{}", ran.out, ran.err);
    ran.says(says);
    ran
}

#[test]
fn a_node_that_was_put_back_and_went_on_is_proven_to_have_signed_two_histories() {
    let (place, key) = held();
    let node = place.serve(&[]);
    let at = format!("--node {}", node.url);
    challenge(&place, &key, &at, 0, &["kept: entry 2, under the head of 4 entries"]);
    drop(node);
    // An older copy is a gap; the node that is shown the head appends nothing more.
    let less = "ends after 2 entries, before entry 2; its operator has signed 4";
    let node = place.serve(&["--db", "older.db"]);
    let at = format!("--node {}", node.url);
    let told = challenge(
        &place,
        &key,
        &at,
        3,
        &[less, "the node's answer", "keep the receipt, and ask again"],
    );
    assert!(!told.out.contains("fraud"), "{}", told.out);
    let halted = place.type_in(&format!("contribute 9 --as ana {at}"));
    assert_ne!(halted.status, 0, "{}", halted.out);
    drop(node);
    // An operator who wants to goes on all the same: without the memory of its key.
    fs::remove_dir_all(place.path().join("older.db.keys")).unwrap();
    place.copy_keys("subak.db", "older.db");
    let _ = fs::remove_file(place.path().join("older.db.keys/halted"));
    for hours in [20, 30, 40] {
        place.type_in(&format!("contribute {hours} --as ana --db older.db")).done();
    }
    let node = place.serve(&["--db", "older.db"]);
    let at = format!("--node {}", node.url);
    let says = ["not kept: entry 2 of ours", "a head of 4 entries", "one of 5"];
    challenge(&place, &key, &format!("{at} --fraud-out unkept.fraud-proof"), 1, &says);
    let stranger = Place::new();
    let [here, there] = [&place, &stranger].map(|it| it.path().join("unkept.fraud-proof"));
    fs::copy(here, there).unwrap();
    let judged = stranger.type_in(&format!("audit unkept.fraud-proof --expect {key}"));
    assert_eq!(judged.status, 1, "{}{}", judged.out, judged.err);
    judged.says(&["fault two histories of one ledger", "Entry 2 is another one under each"]);
    // The same again is the same file; another file is not overwritten, and is nobody's guilt.
    challenge(&place, &key, &format!("{at} --fraud-out unkept.fraud-proof"), 1, &says);
    challenge(&place, &key, &format!("{at} --fraud-out claim.tlog-proof"), 3, &["exists"]);
    let told = challenge(&place, &key, &format!("{at} --json"), 1, &[]).object()["data"].take();
    assert_eq!((&told["verdict"], &told["size"]), (&"fault".into(), &5.into()), "{told}");
    assert!(place.path().join(told["fraud_proof"].as_str().unwrap()).exists());
}

#[test]
fn what_a_file_shows_is_judged_too_and_what_proves_nothing_accuses_nobody() {
    let (place, key) = held();
    // The entry before is kept; the head that it was shown under is not.
    fs::remove_file(place.path().join("claim.tlog-proof")).unwrap();
    place.type_in("receipt get 1 --out claim.tlog-proof").done();
    let there = "--db older.db";
    let less = "entry 1 is there, but the log that is shown ends after 2 entries";
    challenge(&place, &key, there, 3, &[less]);
    for hours in [20, 30] {
        place.type_in(&format!("contribute {hours} --as ana {there}")).done();
    }
    challenge(&place, &key, there, 1, &["not kept: entry 1 of ours", "fraud-proof"]);
    challenge(&place, &key, "", 0, &["kept: entry 1, under the head of 4 entries"]);
    // Whose word is believed, is said; other keys, files and ledgers are nobody's guilt.
    let other = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    challenge(&place, other, there, 3, &["signed by no key that you trust"]);
    assert_eq!(place.type_in("receipt challenge claim.tlog-proof").status, 2);
    place.type_in("commons open theirs --steward ana --db theirs.db").done();
    challenge(&place, &key, "--db theirs.db", 3, &["[no-ledger]"]);
    challenge(&place, &key, "--node http://127.0.0.1:1", 4, &["[node-away]"]);
    let text = fs::read_to_string(place.path().join("claim.tlog-proof")).unwrap();
    fs::write(place.path().join("claim.tlog-proof"), text.replace("index 1", "index 2")).unwrap();
    challenge(&place, &key, there, 3, &["[proof-invalid]"]);
}
