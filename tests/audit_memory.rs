//! An auditor who comes again: what was seen, what is new, and what does not pass for it.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::*;
use serde_json::Value;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::Duration,
};

/// A commons that is meant, with some work in it.
fn commons() -> Place {
    let place = Place::new();
    place.type_in("key new ana").done();
    place.type_in("commons open ours --steward ana").done();
    place.type_in("contribute 1 --as ana").done();
    place
}

fn codes(audit: &Value) -> Vec<&str> {
    let all = audit["findings"].as_array().unwrap().iter();
    all.filter(|f| f["severity"] != "warning").map(|f| f["code"].as_str().unwrap()).collect()
}

/// The one remembered head in a folder.
fn head_in(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let heads: Vec<_> = files.filter(|p| p.extension().is_some_and(|it| it == "seen")).collect();
    let [head] = &heads[..] else { panic!("{heads:?}") };
    head.clone()
}

/// What `audit` with these words says, and its status.
fn audit(place: &Place, words: &str) -> (i32, Value) {
    let ran = place.type_in(&format!("audit {words} --json"));
    (ran.status, ran.object()["data"].take())
}

#[test]
fn the_second_audit_checks_what_is_new_and_says_so() {
    let place = commons();
    let first = place.type_in("audit").done().out;
    assert!(first.contains("operator not authenticated (pinned now)"), "{first}");
    place.type_in("contribute 2 --as ana").done();
    let second = place.type_in("audit").done().out;
    assert!(second.contains("operator as pinned when it was first seen"), "{second}");
    assert!(
        second.contains("goes on from the 2 entries seen before; 1 of 3 signatures checked now"),
        "{second}"
    );
    let (status, data) = audit(&place, "");
    let ledger = &data["ledgers"][0];
    assert_eq!(
        (status, &ledger["signatures_checked"], &ledger["seen_size"]),
        (0, &0.into(), &3.into())
    );
    let (_, data) = audit(&place, "--full");
    assert_eq!(data["ledgers"][0]["signatures_checked"], 3);
    let (_, data) = audit(&place, "--no-memory");
    let ledger = &data["ledgers"][0];
    assert_eq!((&ledger["signatures_checked"], &ledger["seen_size"]), (&3.into(), &Value::Null));
    let text = place.type_in("audit --no-memory").done().out;
    assert!(
        text.contains("operator not authenticated\n") || text.ends_with("authenticated\n"),
        "{text}"
    );
    // In a folder that is named, nothing is known yet.
    let (_, data) = audit(&place, "--memory elsewhere");
    assert_eq!(data["ledgers"][0]["seen_size"], Value::Null);
    head_in(&place.path().join("elsewhere"));
}

#[test]
fn an_old_copy_does_not_pass_for_what_was_seen() {
    let place = commons();
    let old = place.path().join("old.db");
    place.type_in(&format!("backup {}", old.display())).done();
    place.type_in("contribute 2 --as ana").done();
    place.type_in("audit").done();
    let (status, data) = audit(&place, "old.db");
    assert_eq!((status, codes(&data)), (1, vec!["older-than-seen"]));
    let told = place.type_in("audit old.db").out;
    assert!(told.contains("expected at least 3 entries, found 2"), "{told}");
    assert_eq!(audit(&place, "old.db --no-memory").0, 0, "it is sound in itself");
    // And what was seen stays seen.
    assert_eq!(audit(&place, "old.db").0, 1);
    assert_eq!(audit(&place, "").0, 0);
}

#[test]
fn another_ledger_under_the_name_is_another_operator() {
    let place = commons();
    place.type_in("audit").done();
    fs::rename(place.db(), place.path().join("theirs.db")).unwrap();
    fs::rename(place.path().join("subak.db.keys"), place.path().join("theirs.db.keys")).unwrap();
    let opened = place.data("commons open ours --steward ana");
    let key = opened["operator_key"].as_str().unwrap();
    let (status, data) = audit(&place, "");
    assert_eq!((status, codes(&data)), (1, vec!["operator-changed"]), "{data:#}");
    assert_eq!(audit(&place, &format!("--expect {key}")).0, 0, "who is named decides");
    let vkey = place.type_in("commons show --vkey").done().out;
    fs::write(place.path().join("trust.txt"), format!("{vkey}quorum none\n")).unwrap();
    assert_eq!(audit(&place, "--trust-file trust.txt").0, 0);
    let (status, data) = audit(&place, "theirs.db --trust-file trust.txt");
    assert_eq!((status, codes(&data)), (1, vec!["operator-unexpected"]));
    // A file without the ledger that was in it.
    fs::remove_file(place.db()).unwrap();
    place.type_in("commons open another --steward ana").done();
    let (status, data) = audit(&place, "");
    assert_eq!((status, codes(&data)[0]), (1, "older-than-seen"), "{data:#}");
}

#[test]
fn a_sandbox_that_was_thrown_away_is_not_missed() {
    let place = Place::new();
    place.type_in("key new ana").done();
    for _ in 0..2 {
        place.type_in("commons open ours --steward ana --sandbox").done();
        place.type_in("audit").done();
        fs::remove_file(place.db()).unwrap();
    }
}

#[test]
fn memory_that_was_changed_is_not_gone_by() {
    let place = commons();
    place.type_in("audit").done();
    let folder = place.path().join("home/seen");
    let file = head_in(&folder);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("subak/seen@v1\noperator subak/"), "{text}");
    for altered in [text.replace("\n2\n", "\n1\n"), text.replace("ours", "0urs x"), String::new()] {
        assert_ne!(altered, text);
        fs::write(&file, altered).unwrap();
        let refused = place.type_in("audit");
        assert_eq!(refused.status, 1, "{}", refused.out);
        assert!(refused.err.contains("[memory-damaged]") && refused.err.contains("next: "));
    }
    fs::write(&file, &text).unwrap();
    place.type_in("audit").done();
    fs::write(folder.join("notes.txt"), "mine").unwrap();
    place.type_in("audit").done();
}

#[test]
#[cfg(target_os = "linux")]
fn where_nothing_can_be_kept_the_verdict_stands_and_the_person_is_told() {
    let place = commons();
    let told = place.type_in("audit --memory /proc/nowhere/seen").done();
    assert!(told.err.contains("ours: it could not be remembered"), "{}", told.err);
    assert!(told.out.contains("sound  ours") && !told.out.contains("pinned"), "{}", told.out);
    let refused = place.type_in("audit --memory subak.db");
    assert!(refused.status == 4 && refused.err.contains("subak.db"), "{}", refused.err);
}

#[test]
fn of_two_audits_that_end_at_once_the_newer_head_stays() {
    let place = commons();
    place.type_in("audit").done();
    let folder = place.path().join("home/seen");
    place.type_in(&format!("backup {}", place.path().join("old.db").display())).done();
    place.type_in("contribute 2 --as ana").done();
    place.type_in("audit --memory newer").done();
    // One has judged the older copy, and another, which writes, has the newer.
    let writes = File::options().write(true).open(folder.join("lock")).unwrap();
    writes.lock().unwrap();
    let mut older = place.command();
    older.args(["audit", "old.db"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut older = older.spawn().unwrap();
    thread::sleep(Duration::from_secs(1));
    assert!(older.try_wait().unwrap().is_none(), "it waits for its turn");
    let newer = fs::read(head_in(&place.path().join("newer"))).unwrap();
    fs::write(head_in(&folder), newer).unwrap();
    drop(writes);
    assert!(older.wait().unwrap().success());
    let (status, data) = audit(&place, "old.db");
    assert_eq!((status, codes(&data)), (1, vec!["older-than-seen"]), "{data:#}");
}

#[test]
fn a_node_is_remembered_by_its_url() {
    let place = commons();
    let server = place.serve(&[]);
    let first = place.type_in(&format!("audit {}", server.url)).done().out;
    assert!(first.contains("(pinned now)"), "{first}");
    place.type_in(&format!("contribute 2 --as ana --node {}", server.url)).done();
    let (status, data) = audit(&place, &server.url);
    assert_eq!((status, &data["ledgers"][0]["signatures_checked"]), (0, &1.into()), "{data:#}");
}
