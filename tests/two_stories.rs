//! A payer tells two stories: frozen, written down, judged by a stranger, decided by stewards.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::*;
use serde_json::Value;
use std::{fs, path::Path};

const AT: &str = "--at 2026-01-02";

fn text(data: &Value, field: &str) -> String {
    data[field].as_str().unwrap_or_else(|| panic!("{field} in {data:#}")).to_owned()
}

/// A commons that took 10.00 and 6.00 EUR of a phyle, of whose ledger another history tells 2.00 EUR
/// in the first one's place: in `phyle.db` and `other.db`. The agreement's digest, and the key of
/// the phyle's operator.
fn parted() -> (Place, String, String) {
    let place = Place::new();
    for who in ["sam", "tess"] {
        place.type_in(&format!("key new {who}")).done();
    }
    let open = "commons open ours --sandbox --steward sam --phyle our-phyle --as sam";
    place.type_in(&format!("{open} {AT}")).done();
    let open = "phyle open our-phyle --sandbox --steward tess --commons ours --as tess";
    let opened = place.data(&format!("{open} --db phyle.db {AT}"));
    let other = "--db phyle.db --other-db subak.db --as tess";
    let offer = format!(
        "agreement offer --commons-ledger ours --share \"10 %\" --currency EUR {other} {AT}"
    );
    let digest = text(&place.data(&offer), "agreement");
    place.type_in(&format!("agreement accept {digest} --as sam --other-db phyle.db {AT}")).done();
    // Who copies file and keys can keep two histories.
    place.type_in("backup other.db --db phyle.db").done();
    place.copy_keys("phyle.db", "other.db");
    for (db, number, net) in
        [("phyle.db", 1, "100.00"), ("phyle.db", 2, "60.00"), ("other.db", 1, "20.00")]
    {
        let earn = format!("revenue record 2026/{number} --net \"{net} EUR\"");
        place.type_in(&format!("{earn} --db {db} --as tess {AT}")).done();
    }
    place.type_in(&format!("income take --other-db phyle.db --as sam {AT}")).done();
    (place, digest, text(&opened, "operator_key"))
}

/// The commons is shown the other history.
fn freeze(place: &Place) {
    let shown = place.type_in(&format!("income take --other-db other.db --as sam {AT}"));
    assert_eq!(shown.status, 1, "{}{}", shown.out, shown.err);
    shown.says(&["is frozen", "another story of number 1", "subak agreement evidence"]);
}

#[track_caller]
fn judged(place: &Place, line: &str, status: i32, what: &[&str]) {
    let ran = place.type_in(line);
    assert_eq!(ran.status, status, "{line}\n{}{}", ran.out, ran.err);
    ran.says(what);
}

#[test]
fn a_stranger_judges_both_stories_by_the_payers_key_alone() {
    let (place, digest, key) = parted();
    judged(
        &place,
        &format!("agreement evidence {digest} --out none"),
        1,
        &["agreement-not-frozen"],
    );
    freeze(&place);
    // Both files or none.
    let (evidence, there) = (format!("agreement evidence {digest}"), place.path());
    fs::write(there.join("there.fraud-proof"), "mine").unwrap();
    judged(
        &place,
        &format!("{evidence} --out there.two-stories"),
        1,
        &["there.fraud-proof", "exists"],
    );
    judged(&place, &format!("{evidence} --out new.fraud-proof"), 2, &["FILE.two-stories"]);
    assert!(!there.join("there.two-stories").exists() && !there.join("new.fraud-proof").exists());
    let listed = place.type_in("agreement list").done();
    listed.says(&["frozen by entry"]);
    let made = place.data(&format!("agreement evidence {digest} --out phyle.two-stories"));
    assert_eq!(
        (&made["number"], text(&made, "fraud_proof")),
        (&1.into(), "phyle.fraud-proof".into())
    );
    judged(&place, &format!("{evidence} --out phyle.two-stories"), 1, &["exists"]);
    judged(&place, &format!("{evidence} --out shown.two-stories"), 0, &["10.00 EUR", "2.00 EUR"]);
    let stranger = Place::new();
    for file in ["phyle.two-stories", "phyle.fraud-proof"] {
        fs::copy(place.path().join(file), stranger.path().join(file)).unwrap();
    }
    let audit = "audit phyle.two-stories";
    let said =
        ["fault", "given out twice", "1000 minor units", "200 minor units", "No log holds both"];
    judged(&stranger, &format!("{audit} --expect {key}"), 1, &said);
    judged(&stranger, &format!("audit phyle.fraud-proof --expect {key}"), 1, &["two histories"]);
    judged(&stranger, &format!("{audit} --no-memory"), 3, &["gap", "name the key that you trust"]);
    let other = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let json = stranger.type_in(&format!("{audit} --expect {other} --json"));
    assert_eq!(json.status, 3);
    let told = &json.object()["data"]["two_stories"];
    assert_eq!(told["told"][0]["operator_authenticated"], false, "{told:#}");
    assert_eq!((&told["one_operator"], &told["two_histories"]), (&true.into(), &true.into()));
    judged(&stranger, "audit phyle.two-stories phyle.fraud-proof", 2, &["judged by itself"]);
    change(&stranger.path().join("phyle.two-stories"));
    judged(&stranger, &format!("{audit} --expect {key}"), 3, &["bad-evidence", "of nobody"]);
}

fn change(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[test]
fn the_stewards_go_back_and_take_the_other_history() {
    let (place, digest, _) = parted();
    let unfreeze = format!("agreement unfreeze {digest} --as sam {AT}");
    judged(&place, &unfreeze, 1, &["agreement-not-frozen"]);
    freeze(&place);
    let blocked = place
        .type_in(&format!("income take --agreement {digest} --other-db phyle.db --as sam {AT}"));
    assert!(blocked.out.contains("nothing new") || blocked.status == 1, "{}", blocked.out);
    judged(&place, &format!("{unfreeze} --back-to 7"), 1, &["number-not-taken"]);
    let gone = ["goes on from number 1", "above 0 is undone", "2 incomes", "16.00 EUR"];
    judged(&place, &format!("{unfreeze} --back-to 0"), 0, &gone);
    judged(&place, &format!("income take --other-db other.db --as sam {AT}"), 0, &["2.00 EUR"]);
    judged(&place, "income list", 0, &["undone"]);
    // What was decided against stays out, and the whole is sound.
    let refused = format!("income take --other-db phyle.db --as sam {AT}");
    judged(&place, &refused, 1, &["story-refused"]);
    place.sound(&place.db());
    place.type_in("audit subak.db other.db --no-memory").done();
    // The evidence can still be written, for whoever wants it later.
    let frozen = place.type_in("log --json").object();
    assert!(frozen.to_string().contains("AgreementUnfreeze"), "{frozen}");
    let entry = (0..20).find(|entry| {
        let line = format!("agreement evidence {digest} --entry {entry} --out late.two-stories");
        place.type_in(&line).status == 0
    });
    assert!(entry.is_some(), "an entry showed it");
}

#[test]
fn the_stewards_keep_what_was_taken() {
    let (place, digest, _) = parted();
    freeze(&place);
    let kept = ["goes on from number 3", "all that was taken is kept"];
    judged(&place, &format!("agreement unfreeze {digest} --as sam {AT}"), 0, &kept);
    let earn = format!("revenue record 2026/3 --net \"10.00 EUR\" --db phyle.db --as tess {AT}");
    place.type_in(&earn).done();
    judged(&place, &format!("income take --other-db phyle.db --as sam {AT}"), 0, &["1.00 EUR"]);
    judged(
        &place,
        &format!("income take --other-db other.db --as sam {AT}"),
        1,
        &["story-refused"],
    );
    place.sound(&place.db());
    place.type_in("audit subak.db phyle.db --no-memory").done();
}
