//! A ledger's operator changes: its key, or the whole ledger to another machine; and what people
//! see who trusted the one before.

#![allow(clippy::unwrap_used)]

mod kit;

use kit::{Place, Ran};
use std::{fs, path::Path};
use subak_ledger::log::{Checkpoint, LedgerId, fraud::FraudProof};
use subak_node::ring::{Ring, Use};

#[track_caller]
fn says(ran: &Ran, status: i32, what: &[&str]) {
    assert_eq!(ran.status, status, "subak {}\n{}{}", ran.line, ran.out, ran.err);
    ran.says(what);
}

fn text(data: &serde_json::Value, field: &str) -> String {
    data[field].as_str().unwrap_or_else(|| panic!("{field} in {data:#}")).to_owned()
}

/// Sam and mia govern, both are a quorum; ana works.
fn commons() -> Place {
    let place = Place::new();
    for who in ["sam", "mia", "ana"] {
        place.type_in(&format!("key new {who}")).done();
    }
    place.type_in("commons open ours --steward sam --steward mia --quorum 2 --as sam").done();
    place.type_in("approve 0 --as mia").done();
    let key = text(&place.data("key show ana"), "public");
    place.type_in(&format!("agent add ana --key-of {key} --as sam")).done();
    work(&place, "");
    place
}

fn work(place: &Place, more: &str) {
    place.type_in(&format!("contribute 1 --as ana {more}")).done();
}

fn operator(place: &Place) -> String {
    text(&place.data("commons show"), "operator_key")
}

/// A key that operates nothing.
fn stranger(place: &Place) -> String {
    text(&place.data("key show ana"), "public")
}

/// Puts an older ledger file back; the key ring stays as it is.
fn put_back(place: &Place, older: &Path) {
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(place.path().join(format!("subak.db{suffix}")));
    }
    fs::copy(older, place.db()).unwrap();
}

#[test]
fn an_operator_changes_its_key() {
    let place = commons();
    let first = operator(&place);
    place.type_in("backup before.db").done();
    place.type_in("receipt get 3 --out before.tlog-proof").done();
    let rotated = place.data("operator rotate");
    let next = text(&rotated, "operator_key");
    assert_eq!(rotated["entry"], 4);
    assert_eq!(operator(&place), next);
    work(&place, "");
    // Whoever trusted the first one need not have heard of it.
    for trusted in [&first, &next] {
        let audit = place.data(&format!("audit subak.db --no-memory --expect {trusted}"));
        let ledger = &audit["ledgers"][0];
        assert_eq!((&ledger["verdict"], &ledger["size"]), (&"sound".into(), &6.into()));
        assert_eq!(ledger["operators"], serde_json::json!([next, first]));
        assert_eq!(ledger["operator_authenticated"], true);
        place.type_in(&format!("balance ana --expect {trusted}")).done();
    }
    says(
        &place.type_in(&format!("balance ana --expect {}", stranger(&place))),
        1,
        &["operator-unexpected"],
    );
    let shown = place.type_in("audit subak.db --no-memory").done();
    says(&shown, 0, &[&format!("operator {next} handed over by {first}")]);
    // Receipts from before and after: both lines are for the trust file.
    let lines = place.type_in("commons show --vkey").done().out;
    let [former, newest] = &lines.lines().collect::<Vec<_>>()[..] else { panic!("{lines}") };
    let former = former.strip_prefix("# for heads of up to 4 entries: ").unwrap();
    let trust = format!("{former}\n{newest}\nquorum none\n");
    fs::write(place.path().join("trust.txt"), trust).unwrap();
    place.type_in("receipt get 5 --out after.tlog-proof").done();
    for receipt in ["before", "after"] {
        let verify = format!("receipt verify {receipt}.tlog-proof --trust-file trust.txt");
        place.type_in(&verify).done();
    }
    let unknown = place.type_in(&format!("receipt verify after.tlog-proof --expect {first}"));
    says(&unknown, 1, &["operator-unexpected"]);
    // The copy from before is an old one, whichever key it names.
    put_back(&place, &place.path().join("before.db"));
    let old = place.type_in("contribute 1 --as ana");
    says(&old, 1, &["older-database", "its operator has signed 6"]);
    // Also where the next one's head file is gone.
    fs::remove_file(place.path().join(format!("subak.db.keys/{next}.head"))).unwrap();
    let old = place.type_in("contribute 1 --as ana");
    says(&old, 1, &["older-database", "has handed over to another key"]);
}

#[test]
fn a_crash_between_the_entry_and_the_key_files_costs_nothing() {
    let place = commons();
    let first = operator(&place);
    let next = text(&place.data("operator rotate"), "operator_key");
    let ring = place.path().join("subak.db.keys");
    let file = |key: &str, kind: &str| ring.join(format!("{key}.{kind}"));
    fs::rename(file(&next, "operator"), file(&next, "successor")).unwrap();
    fs::remove_file(file(&first, "retired")).unwrap();
    fs::write(file(&first, "operator"), "the key that is not removed yet").unwrap();
    fs::remove_file(file(&next, "head")).unwrap();
    work(&place, "");
    assert!(file(&next, "operator").exists() && file(&next, "head").exists());
    assert!(file(&first, "retired").exists() && !file(&first, "operator").exists());
    place.sound(&place.db());
}

#[test]
fn stewards_move_a_ledger_to_another_machine() {
    let place = commons();
    let first = operator(&place);
    fs::create_dir(place.path().join("there")).unwrap();
    place.type_in("backup there/copy.db").done();
    // What the operator signs from here on is no part of what goes on there.
    work(&place, "");
    let there = "--db there/copy.db";
    says(&place.type_in(&format!("contribute 1 --as ana {there}")), 4, &["operator-key-missing"]);
    let offered = place.data(&format!("operator offer ours.handover {there}"));
    assert_eq!((&offered["size"], &offered["before"]), (&4.into(), &first.as_str().into()));
    let again = place.type_in(&format!("operator offer ours.handover {there}"));
    says(&again, 1, &["file-exists"]);
    let take = format!("operator take ours.handover --as sam {there}");
    says(&place.type_in(&take), 1, &["quorum-required", "expected 2 stewards to have signed"]);
    let signed = place.type_in("operator sign ours.handover --as sam").done();
    says(&signed, 0, &[&format!("from operator {first}"), "at 4 entries", "1 signature in it"]);
    place.type_in("operator sign ours.handover --as sam").done();
    says(&place.type_in(&take), 1, &["quorum-required", "found sam"]);
    // Somebody who is no steward signs too: that spoils nothing.
    place.type_in("operator sign ours.handover --as ana").done();
    place.type_in("operator sign ours.handover --as mia").done();
    let waiting = place.type_in(&format!("contribute 1 --as ana {there}"));
    says(&waiting, 4, &["operator-key-missing"]);
    says(&place.type_in(&take), 0, &["is no steward's: left out", "is operated from here"]);
    work(&place, there);
    let audit = place.data(&format!("audit there/copy.db --no-memory --expect {first}"));
    assert_eq!(audit["ledgers"][0]["operator_key"], offered["operator_key"]);
    // It happens once.
    says(&place.type_in(&take), 1, &["taken-already"]);
    // The clerk there speaks for it; and it is served, to who trusts the first operator.
    let validate = "validate --all-pending --remuneration unpaid --as sam";
    place.type_in(&format!("{validate} {there}")).done();
    place.type_in(&format!("receipt get --balance ana --out ana.tlog-proof {there}")).done();
    let server = place.serve(&["--db", "there/copy.db"]);
    let node = format!("--node {} --expect {first}", server.url);
    work(&place, &node);
    place.type_in(&format!("balance ana {node}")).done();
    place.type_in(&format!("audit {} --no-memory --expect {first}", server.url)).done();
    let stranger = format!("--node {} --expect {}", server.url, stranger(&place));
    says(&place.type_in(&format!("balance ana {stranger}")), 1, &["operator"]);
    // The old operator, who goes on with what was left behind, keeps a log of its own: an auditor
    // who has seen one is told of the other.
    place.sound(&place.db());
    let other = place.type_in("audit there/copy.db");
    says(&other, 1, &["rewritten-since-seen"]);
}

#[test]
fn a_file_that_was_tampered_with_is_nobodys_word() {
    let place = commons();
    fs::create_dir(place.path().join("there")).unwrap();
    place.type_in("backup there/copy.db").done();
    place.type_in("operator offer ours.handover --db there/copy.db").done();
    for who in ["sam", "mia"] {
        place.type_in(&format!("operator sign ours.handover --as {who}")).done();
    }
    let path = place.path().join("ours.handover");
    let sound = fs::read_to_string(&path).unwrap();
    let take = "operator take ours.handover --as sam --db there/copy.db";
    let key = text(&place.data("key show ana"), "public");
    let of = |name: &str| sound.lines().find(|line| line.starts_with(name)).unwrap();
    let altered = [
        (sound.replace(of("clerk"), &format!("clerk {key}")), "bad-possession"),
        (sound.replace(of("to"), &format!("to {key}")), "offer-elsewhere"),
        (sound.replace(of("before"), &format!("before {key}")), "bad-handover"),
        (sound.replace("\n4\n", "\n5\n"), "bad-handover"),
        (sound.replace("subak/handover@v1", "subak/handover@v2"), "bad-handover"),
        (sound[..sound.len() / 2].to_owned(), "bad-handover"),
        (String::new(), "bad-handover"),
    ];
    for (text, code) in altered {
        fs::write(&path, &text).unwrap();
        says(&place.type_in(take), 1, &[code]);
    }
    fs::write(&path, sound).unwrap();
    place.type_in(take).done();
}

/// One key signed two histories, and then handed over: in one of them, by a head of that history.
#[test]
fn nobody_signs_two_histories_and_is_rid_of_it_by_another_key() {
    let place = commons();
    let first = operator(&place);
    let other = place.path().join("other");
    fs::create_dir(&other).unwrap();
    place.type_in("backup other/subak.db").done();
    fs::create_dir(other.join("subak.db.keys")).unwrap();
    let ring = place.path().join("subak.db.keys");
    for file in fs::read_dir(&ring).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), other.join("subak.db.keys").join(file.file_name())).unwrap();
    }
    work(&place, "--db other/subak.db");
    work(&place, "");
    place.type_in("operator rotate").done();
    work(&place, "");
    let both = place.type_in("audit subak.db other/subak.db --no-memory");
    says(&both, 1, &["split-view", "the fraud proof is in ours.fraud-proof"]);
    let proof = place.type_in(&format!("audit ours.fraud-proof --no-memory --expect {first}"));
    says(&proof, 1, &["It is the operator's key that you trust"]);
    // Whoever has seen the one and meets the other makes the proof alone.
    place.type_in("audit other/subak.db").done();
    says(&place.type_in("audit subak.db"), 1, &["rewritten-since-seen", "the fraud proof is in"]);
}

/// Whoever was replaced still has a key, and can sign two heads of nothing with it: that accuses
/// them, and no ledger that they have no say in.
#[test]
fn what_a_former_operator_makes_up_accuses_no_ledger() {
    let place = commons();
    let ring = Ring::beside(&place.db());
    let mut key = [0; 32];
    hex::decode_to_slice(operator(&place), &mut key).unwrap();
    let before = ring.find(&key, Use::Operator).unwrap().unwrap();
    let shown = place.data("commons show");
    let ledger = LedgerId::from_hex(shown["id"].as_str().unwrap()).unwrap();
    place.type_in("operator rotate").done();
    work(&place, "");
    let proof = |size, file: &str| {
        let note = |byte| Checkpoint { ledger, size, root: [byte; 32] }.sign(&before);
        let notes = [note(1), note(2)];
        let proof = FraudProof::new(ledger, &before.public(), [&notes[0], &notes[1]], None);
        fs::write(place.path().join(file), proof.unwrap().to_text()).unwrap();
        let accused = format!("audit {file} --expect {}", hex::encode(before.public().bytes()));
        says(&place.type_in(&accused), 1, &["It is the operator's key that you trust"]);
    };
    proof(1_000_000, "late.fraud-proof");
    place.sound(&place.db());
    fs::remove_dir_all(place.path().join("home/seen")).unwrap();
    // Within its time it is this ledger's: it handed over itself, and does not shed it so.
    proof(3, "early.fraud-proof");
    says(&place.type_in("audit subak.db"), 1, &["split-view", "it was proven before"]);
}

/// After a handover each operator signs a history of its own: nobody lies by that alone, and still
/// both cannot be the ledger.
#[test]
fn two_histories_under_two_operators_are_told_apart() {
    let place = commons();
    let other = place.path().join("other");
    fs::create_dir(&other).unwrap();
    place.type_in("backup other/subak.db").done();
    place.type_in("operator offer ours.handover --db other/subak.db").done();
    for who in ["sam", "mia"] {
        place.type_in(&format!("operator sign ours.handover --as {who}")).done();
    }
    place.type_in("operator take ours.handover --db other/subak.db --as sam").done();
    work(&place, "");
    work(&place, "");
    let both = place.type_in("audit subak.db other/subak.db --no-memory");
    says(&both, 1, &["histories-part", "no proof that stands alone"]);
    // A copy that a stranger has made says nothing of the honest one.
    place.sound(&place.db());
}

/// A phyle's operator changes: the commons takes what it earned under the new key once it has the
/// proof of the change.
#[test]
fn the_other_side_of_an_agreement_follows() {
    let place = Place::new();
    for who in ["sam", "tess"] {
        place.type_in(&format!("key new {who}")).done();
    }
    let at = "--at 2026-01-01";
    place
        .type_in(&format!(
            "commons open ours --sandbox --steward sam --phyle our-phyle --as sam {at}"
        ))
        .done();
    let open =
        "phyle open our-phyle --sandbox --steward tess --commons ours --as tess --db phyle.db";
    place.type_in(&format!("{open} {at}")).done();
    let other = "--db phyle.db --other-db subak.db --as tess";
    let offer = format!(
        "agreement offer --commons-ledger ours --share \"10 %\" --currency EUR {other} {at}"
    );
    let digest = text(&place.data(&offer), "agreement");
    let accept = format!("agreement accept {digest} --as sam --other-db phyle.db {at}");
    place.type_in(&accept).done();
    place.type_in("operator rotate --db phyle.db --at 2026-01-02").done();
    place.type_in("operator rotate --db phyle.db --at 2026-01-02").done();
    let earn = "revenue record 2026/1 --net \"100.00 EUR\" --db phyle.db --as tess --at 2026-01-03";
    place.type_in(earn).done();
    let take = "income take --other-db phyle.db --as sam --at 2026-01-03";
    says(&place.type_in(take), 1, &["proof-invalid"]);
    let follow =
        format!("agreement handover {digest} --other-db phyle.db --as sam --at 2026-01-03");
    let followed = place.data(&follow);
    let newest = text(&place.data("phyle show --db phyle.db"), "operator_key");
    assert_eq!(text(&followed, "operator_key"), newest);
    assert_eq!(followed["waits"], false);
    says(&place.type_in(&follow), 1, &["nothing-new"]);
    place.type_in(take).done();
    place.sound(&place.db());
    place.type_in("audit subak.db phyle.db --no-memory").done();
    // A thief of the newest key hands a copy over to one of their own, and shows that first.
    fs::create_dir(place.path().join("thief")).unwrap();
    fs::create_dir(place.path().join("real")).unwrap();
    for there in ["thief", "real"] {
        place.type_in(&format!("backup {there}/phyle.db --db phyle.db")).done();
    }
    let ring = place.path().join("thief/phyle.db.keys");
    fs::create_dir(&ring).unwrap();
    for file in fs::read_dir(place.path().join("phyle.db.keys")).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), ring.join(file.file_name())).unwrap();
    }
    place.type_in("operator rotate --db thief/phyle.db --at 2026-01-04").done();
    let from = |there: &str| {
        format!("agreement handover {digest} --other-db {there}/phyle.db --as sam --at 2026-01-04")
    };
    place.type_in(&from("thief")).done();
    // The phyle's stewards move the real one; those of the commons say whom they follow.
    let at = "--db real/phyle.db --at 2026-01-04";
    place.type_in(&format!("operator offer phyle.handover {at}")).done();
    place.type_in("operator sign phyle.handover --as tess").done();
    place.type_in(&format!("operator take phyle.handover --as tess {at}")).done();
    let followed = place.data(&from("real"));
    let real = text(&place.data("phyle show --db real/phyle.db"), "operator_key");
    assert_eq!((text(&followed, "operator_key"), &followed["waits"]), (real, &false.into()));
    place.sound(&place.db());
}
