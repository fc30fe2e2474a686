//! An operator who signs two histories: found, written down, and proven to anybody.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::*;
use std::{fs, path::Path};
use subak_ledger::log::{
    Checkpoint, LedgerId, SecretKey, checkpoint::verifier_key, fraud::FraudProof,
};

/// A ledger, and another history of it in `other.db`; the operator's key.
fn forked(more: [usize; 2]) -> (Place, String) {
    let place = Place::new();
    place.type_in("key new ana").done();
    let opened = place.data("commons open ours --steward ana");
    place.type_in("contribute 1 --as ana").done();
    // Who copies file and keys can keep two histories.
    place.type_in("backup other.db").done();
    place.copy_keys("subak.db", "other.db");
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
    let text = stranger.type_in(&format!("audit their.fraud-proof --expect {other}")).out;
    assert!(text.contains("accuses this key and no other") && text.contains(other), "{text}");
    assert!(text.contains(key) && !text.contains("Nobody here has said so"), "{text}");
    let mut bytes = fs::read(&there).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&there, bytes).unwrap();
    let changed = stranger.type_in(&format!("audit their.fraud-proof --expect {key}"));
    assert_eq!(changed.status, 3, "nobody is at fault by it");
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
        let seen = fs::read_dir(place.path().join("home/seen")).unwrap();
        let names: Vec<_> = seen.map(|file| file.unwrap().path()).collect();
        assert!(names.iter().all(|p| p.extension().is_none_or(|it| it != "seen")), "{names:?}");
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

/// The fault that an audit of one history alone tells, and the file that it names.
#[track_caller]
fn stays_accused(place: &Place, target: &str) -> std::path::PathBuf {
    let told = place.type_in(&format!("audit {target} --json"));
    assert_eq!((told.status, codes(&told)), (1, vec!["split-view".into()]), "{}", told.out);
    let object = told.object();
    let file = object["data"]["fraud_proofs"][0].as_str().unwrap();
    let all = object["data"]["findings"].as_array().unwrap();
    let split = all.iter().find(|f| f["code"] == "split-view").unwrap();
    let message = split["message"].as_str().unwrap();
    assert!(message.contains(file) && message.contains("proven before"), "{message}");
    file.into()
}

#[test]
fn who_was_proven_to_sign_two_histories_stays_accused() {
    let (place, key) = forked([3, 1]);
    assert_eq!(place.type_in("audit subak.db other.db").status, 1);
    fs::remove_file(place.path().join("ours.fraud-proof")).unwrap();
    for alone in ["subak.db", "other.db", &format!("other.db --expect {key}")] {
        stays_accused(&place, alone);
    }
    let file = stays_accused(&place, "other.db");
    // What the fault names is the proof itself, for anybody.
    proves(&file, &key, true);
    let told = place.type_in("audit other.db");
    assert!(told.out.contains("fault  ours") && !told.out.contains("pinned now"), "{}", told.out);
    // The copy of a proof that was changed is no proof, and is not gone by either.
    let proof = fs::read_to_string(&file).unwrap();
    fs::write(&file, proof.replace("index 2", "index 1")).unwrap();
    let damaged = place.type_in("audit other.db");
    assert!(damaged.err.contains("[memory-damaged]"), "{}", damaged.err);
    fs::remove_file(&file).unwrap();
    place.type_in("audit other.db").done();
}

#[test]
fn a_proof_that_somebody_sent_accuses_the_operator_it_is_about_and_nobody_else() {
    let (place, key) = forked([1, 1]);
    assert_eq!(place.type_in("audit subak.db other.db --no-memory --fraud-out sent").status, 1);
    place.type_in("audit subak.db").done();
    assert_eq!(place.type_in("audit sent --no-memory").status, 3);
    place.type_in("audit subak.db").done(); // whose key it was, nobody had said
    assert_eq!(place.type_in(&format!("audit sent --expect {key}")).status, 1);
    stays_accused(&place, "subak.db");
}

/// Two heads of anybody's ledger, signed by somebody whom the auditor trusts for another one.
#[test]
fn nobody_can_frame_an_operator_or_stand_in_for_one() {
    let (place, _) = forked([1, 1]);
    let ledger: LedgerId = {
        let data = place.data("audit subak.db --no-memory");
        LedgerId(
            hex::decode(data["ledgers"][0]["id"].as_str().unwrap()).unwrap().try_into().unwrap(),
        )
    };
    let mallory = SecretKey::from_seed(&[66; 32]);
    let notes = [1, 2].map(|n| Checkpoint { ledger, size: 3, root: [n; 32] }.sign(&mallory));
    let proof = FraudProof::new(ledger, &mallory.public(), [&notes[0], &notes[1]], None).unwrap();
    fs::write(place.path().join("framed"), proof.to_text()).unwrap();
    let key = hex::encode(mallory.public().bytes());
    assert_eq!(place.type_in(&format!("audit framed --expect {key}")).status, 1, "of mallory");
    let vkey = verifier_key(&LedgerId([1; 32]), &mallory.public());
    fs::write(place.path().join("trust.txt"), format!("log {vkey}\nquorum none\n")).unwrap();
    let told = place.type_in("audit framed --trust-file trust.txt");
    assert_eq!(told.status, 3, "mallory is trusted for another ledger: {}", told.out);
    assert!(told.out.contains("names no operator of this ledger"), "{}", told.out);
    place.type_in("audit subak.db").done();
    // And what is true of the operator is remembered beside it.
    assert_eq!(place.type_in("audit subak.db other.db").status, 1);
    stays_accused(&place, "subak.db");
}

#[test]
fn a_remembered_rewrite_accuses_the_operator_of_the_history_that_was_remembered_too() {
    let (place, _) = forked([1, 1]);
    place.type_in("audit subak.db").done();
    assert_eq!(place.type_in("audit other.db").status, 1);
    stays_accused(&place, "subak.db");
}

/// Puts what witnesses have signed of one file into another, as their node would have kept it.
fn seen_by_witnesses(place: &Place, from: &str, into: &str) {
    let open = |name: &str| rusqlite::Connection::open(place.path().join(name)).unwrap();
    let note = "SELECT note FROM checkpoint";
    let note: String = open(from).query_row(note, [], |row| row.get(0)).unwrap();
    let insert = "INSERT OR REPLACE INTO witnessed (ledger, note) SELECT number, ?1 FROM ledger";
    assert_eq!(open(into).execute(insert, [note]).unwrap(), 1);
}

#[test]
fn a_head_that_witnesses_hold_and_the_operator_denies_is_a_proof() {
    for more in [[1, 1], [3, 1]] {
        let (place, key) = forked(more);
        seen_by_witnesses(&place, "other.db", "subak.db");
        let told = place.type_in("audit subak.db --json");
        assert_eq!((told.status, codes(&told)), (1, vec!["witnessed-head".into()]));
        assert_eq!(told.object()["data"]["fraud_proofs"][0], "ours.fraud-proof");
        let stranger = format!("audit ours.fraud-proof --expect {key}");
        let proven = place.type_in(&stranger);
        assert_eq!(proven.status, 1, "{}", proven.out);
        let why = if more == [1, 1] { "their roots differ" } else { "have another root" };
        assert!(proven.out.contains(why), "{}", proven.out);
        // And the history that the witnesses saw is the same operator's.
        stays_accused(&place, "other.db");
    }
}

#[test]
fn a_head_that_witnesses_hold_of_a_longer_log_is_a_fault_and_no_proof() {
    let (place, _) = forked([1, 3]);
    seen_by_witnesses(&place, "other.db", "subak.db");
    let told = place.type_in("audit subak.db --json");
    assert_eq!((told.status, codes(&told)), (1, vec!["witnessed-head".into()]));
    assert!(!place.path().join("ours.fraud-proof").exists());
}
