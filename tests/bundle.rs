//! Bundles from outside: exported from a file or a node, audited elsewhere.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::*;
use std::fs;

fn two_ledgers() -> Place {
    let place = Place::new();
    place.type_in("key new ana").done();
    place.type_in("commons open ours --steward ana").done();
    place.type_in("phyle open our-phyle --steward ana --commons ours").done();
    place.type_in("contribute 1 --as ana --note tea --ledger ours").done();
    place
}

#[test]
fn what_is_exported_is_audited_elsewhere_with_keys_alone() {
    let place = two_ledgers();
    let out = place.type_in("bundle export all.subak").done().out;
    assert!(out.contains("ours, our-phyle") && out.contains("no disclosed texts"), "{out}");
    let there = Place::new();
    for name in ["all.subak", "ours.subak"] {
        if name == "ours.subak" {
            place.type_in("bundle export ours.subak --ledger ours --with-disclosures").done();
        }
        fs::copy(place.path().join(name), there.path().join(name)).unwrap();
    }
    let here = place.sound(&place.db());
    let all = there.sound(&there.path().join("all.subak"));
    for n in 0..2 {
        for field in ["id", "name", "root", "head", "size", "operator_key", "verdict"] {
            assert_eq!(all["ledgers"][n][field], here["ledgers"][n][field], "{field}");
        }
    }
    assert_eq!(all["ledgers"][0]["undisclosed"], 1);
    let key = here["ledgers"][0]["operator_key"].as_str().unwrap();
    let ours = there.data(&format!("audit ours.subak --expect {key} --no-memory"));
    assert_eq!(ours["ledgers"].as_array().unwrap().len(), 1);
    assert_eq!(ours["ledgers"][0]["operator_authenticated"], true);
    assert_eq!(
        (&ours["ledgers"][0]["disclosed"], &ours["ledgers"][0]["undisclosed"]),
        (&1.into(), &0.into())
    );
    assert!(!there.path().join("subak.db").exists());
}

#[test]
fn a_node_is_bundled_like_its_file() {
    let place = two_ledgers();
    place.type_in("bundle export file.subak --with-disclosures").done();
    let server = place.serve(&[]);
    let line = format!("bundle export node.subak --with-disclosures --node {}", server.url);
    place.type_in(&line).done();
    let read = |name: &str| fs::read(place.path().join(name)).unwrap();
    assert_eq!(read("file.subak"), read("node.subak"));
}

#[test]
fn what_cannot_be_done_is_said() {
    let place = two_ledgers();
    place.type_in("bundle export all.subak").done();
    let fails = |line: &str, status: i32, says: &str| {
        let ran = place.type_in(line);
        assert_eq!(ran.status, status, "subak {line}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(says) && ran.err.contains("next: "), "subak {line}: {}", ran.err);
    };
    fails("bundle export all.subak", 1, "it exists and is not overwritten");
    fails("bundle export x.subak --ledger theirs", 1, "there are: ours, our-phyle");
    fails("bundle export x.subak --db nowhere.db", 4, "nowhere.db");
    fails("bundle export no/such/folder.subak", 4, "folder.subak");
    let mut bytes = fs::read(place.path().join("all.subak")).unwrap();
    bytes[22] = b'9';
    fs::write(place.path().join("later.subak"), &bytes).unwrap();
    fails("audit later.subak", 3, "its format is version 9, this program knows 1");
    bytes[22] = b'1';
    let middle = bytes.len() / 2;
    bytes.truncate(middle);
    fs::write(place.path().join("half.subak"), &bytes).unwrap();
    let half = place.type_in("audit half.subak");
    assert_eq!(half.status, 1, "{}{}", half.out, half.err);
}
