//! A person's keys, as people meet them: changed, added, lost, stolen, given back; and the
//! three errors that are easily taken for one another.

#![allow(clippy::unwrap_used)]

mod kit;

use kit::{Place, Ran, words};
use std::fs;

#[track_caller]
fn refused(place: &Place, line: &str, what: &[&str]) {
    let ran = place.type_in(line);
    assert_eq!(ran.status, 1, "subak {line}\n{}{}", ran.out, ran.err);
    assert!(ran.err.contains("  next: "), "{}", ran.err);
    ran.says(what);
}

/// The public half of the key in a person's file.
fn public(place: &Place, handle: &str) -> String {
    place.data(&format!("key show {handle}"))["public"].as_str().unwrap().to_owned()
}

/// Sam and mia are stewards, maintainers and treasurers, one of them is a quorum; ana and ben
/// contribute.
fn commons() -> Place {
    let place = Place::new();
    for who in ["sam", "mia", "ana", "ben"] {
        place.type_in(&format!("key new {who}")).done();
    }
    let open = "commons open ours --sandbox --steward sam --steward mia --quorum 1";
    place.type_in(&format!("{open} --phyle our-phyle --template hours --at 2026-01-01")).done();
    for who in ["ana", "ben"] {
        let key = public(&place, who);
        place.type_in(&format!("agent add {who} --key-of {key} --as sam --at 2026-01-01")).done();
    }
    place
}

/// An hour that counts, claimed by its agent.
fn work(place: &Place, who: &str, at: &str) {
    place.type_in(&format!("contribute 1 --as {who} --on 2026-01-01 --at {at}")).done();
    let validate = "validate --all-pending --remuneration unpaid";
    for maintainer in ["mia", "sam"] {
        let ran = place.type_in(&format!("{validate} --as {maintainer} --at {at}"));
        assert!(ran.status == 0 || ran.err.contains("nothing awaits"), "{}", ran.err);
    }
}

fn income(place: &Place, bank: &str, at: &str) {
    let record = "income record --payer our-phyle --amount \"100.00 EUR\"";
    place.type_in(&format!("{record} --bank {bank} --as sam --at {at}")).done();
}

/// A lost passphrase, somebody else's key, a revoked key: three codes, three ways out.
#[test]
fn a_lost_passphrase_a_wrong_key_and_a_revoked_key_are_three_errors() {
    let place = commons();
    let with = |passphrase: Option<&str>, line: &str| {
        let mut command = place.command();
        if let Some(text) = passphrase {
            command.env("SUBAK_PASSPHRASE", text);
        }
        let ran = command.args(words(line)).output().unwrap();
        Ran::new(line.to_owned(), ran)
    };
    with(Some("padi"), "key new carla").done();
    let claim = "contribute 1 --as carla";
    let needed = with(None, claim);
    needed.says(&["carla.key: it is protected by a passphrase", "passphrase-needed"]);
    needed.says(&["next: set SUBAK_PASSPHRASE"]);
    let lost = with(Some("jagung"), claim);
    lost.says(&["carla.key: the passphrase does not open it", "wrong-passphrase"]);
    lost.says(&["where it is lost, so is the key", "subak agent recover"]);

    let bens = place.key("ben").display().to_string();
    let wrong = format!("contribute 1 --as ana --key {bens}");
    refused(&place, &wrong, &["the key does not belong to the author: ana", "key-not-of-author"]);
    refused(&place, &wrong, &["next: sign with a key of that agent"]);

    let key = public(&place, "ana");
    place.type_in(&format!("key revoke {} --as ana", &key[..12])).done();
    let revoked = "contribute 1 --as ana";
    refused(&place, revoked, &["the key is revoked", &key, "at entry 3", "key-revoked"]);
    refused(&place, revoked, &["next: sign with a key that the agent still has"]);
    for ran in [needed, lost] {
        assert_eq!(ran.status, 1, "{}", ran.err);
    }
    place.sound(&place.db());
}

#[test]
fn a_key_is_changed_in_every_ledger_and_nothing_is_frozen() {
    let place = commons();
    work(&place, "ana", "2026-01-02");
    place.type_in("commons open second --steward ana").done();
    let old = public(&place, "ana");
    let changed = place.type_in("key rotate --as ana").done();
    changed.says(&["ana signs with", "in ours, second", "ana.key.old"]);
    let new = public(&place, "ana");
    assert_ne!(old, new);
    assert!(!place.path().join("home/keys/ana.key.new").exists());
    for ledger in ["ours", "second"] {
        let claim = format!("contribute 1 --as ana --ledger {ledger}");
        place.type_in(&claim).done();
        let kept = place.path().join("home/keys/ana.key.old");
        refused(&place, &format!("{claim} --key {}", kept.display()), &["key-revoked", &old]);
    }
    let list = place.data("agent list --ledger ours");
    let ana = list["agents"].as_array().unwrap().iter().find(|a| a["handle"] == "ana").unwrap();
    assert_eq!((&ana["keys"], &ana["frozen"]), (&serde_json::json!([new]), &().into()));
    assert_eq!(ana["revoked_keys"], serde_json::json!([old]));
    // Again: the first old key keeps its file.
    place.type_in("key rotate --as ana").done();
    assert!(place.path().join("home/keys/ana.key.old2").exists());
    place.type_in("contribute 1 --as ana --ledger second").done();
    place.sound(&place.db());
}

/// The machine stops after the key file is written, or after the first of two ledgers.
#[test]
fn a_change_of_key_that_was_interrupted_goes_on() {
    let place = commons();
    place.type_in("commons open second --steward ana").done();
    let file = place.key("ana");
    let (new, old) = (file.with_extension("key.new"), fs::read(&file).unwrap());
    // Done in the first ledger only, as if stopped there.
    place.type_in(&format!("key new ana --out {}", new.display())).done();
    let proof = place.data(&format!("key possess {} --as ana --ledger ours", new.display()));
    let part = |name: &str| proof[name].as_str().unwrap().to_owned();
    let (key, possession) = (part("public"), part("possession"));
    let before = public(&place, "ana");
    place
        .type_in(&format!("key add {key} --possession {possession} --as ana --ledger ours"))
        .done();
    place.type_in(&format!("key revoke {before} --as ana --ledger ours")).done();
    assert_eq!(fs::read(&file).unwrap(), old);

    let went_on = place.type_in("key rotate --as ana").done();
    went_on.says(&[&key, "in ours, second"]);
    assert_eq!(public(&place, "ana"), key);
    for ledger in ["ours", "second"] {
        place.type_in(&format!("contribute 1 --as ana --ledger {ledger}")).done();
    }
    place.sound(&place.db());
}

#[test]
fn what_a_stolen_key_has_brought_about_is_frozen_until_stewards_have_looked() {
    let place = commons();
    work(&place, "ben", "2026-01-02");
    work(&place, "ana", "2026-02-02"); // the thief's, with ana's key
    income(&place, "b1", "2026-03-01");
    let stolen = public(&place, "ana");
    let revoke = format!("key revoke {stolen} --since 2026-02-01 --as ana --at 2026-03-02");
    let told = place.type_in(&revoke).done();
    told.says(&["signs nothing any more", "ana has no key left", "frozen: ana: contribution"]);
    told.says(&[&format!("subak key confirm {stolen}")]);

    refused(
        &place,
        "payout propose ana=10.00 --as sam --at 2026-03-03",
        &["what this would pay rests on a key that was revoked", "frozen", "subak key confirm"],
    );
    let all = place.type_in("payout propose --all --as sam --at 2026-03-03").done();
    all.says(&["ana", "frozen: contribution", "ana's revoked key"]);
    place.type_in("agent list").done().says(&["key revoked", "frozen: ana: contribution"]);
    place.type_in("balance").done().says(&["frozen: ana: contribution"]);
    let balance = place.data("balance ana");
    assert!(balance["balances"][0]["frozen"].as_str().unwrap().contains(&stolen), "{balance:#}");
    assert_eq!(place.data("balance ben")["balances"][0]["frozen"], serde_json::Value::Null);
    assert_eq!(
        balance["balances"][0]["accrued"],
        place.data("balance ben")["balances"][0]["accrued"]
    );

    let confirmed = place.type_in(&format!("key confirm {stolen} --as sam --at 2026-03-04")).done();
    confirmed.says(&["nothing that it has signed is frozen any more"]);
    place.type_in("payout propose ana=10.00 --as sam --at 2026-03-04").done();
    refused(&place, &format!("key confirm {stolen} --as sam"), &["nothing-frozen"]);
    place.sound(&place.db());
}

#[test]
fn who_has_lost_the_key_makes_another_and_the_stewards_give_it() {
    let place = commons();
    let lost = public(&place, "ana");
    fs::remove_file(place.key("ana")).unwrap();
    let none = place.type_in("contribute 1 --as ana");
    assert_eq!(none.status, 4, "{}", none.err);
    none.says(&["no key of ana"]);
    place.type_in("key new ana").done();
    refused(&place, "contribute 1 --as ana", &["key-not-of-author"]);
    let shown = place.type_in("key possess --as ana").done();
    let line = shown.out.lines().find(|l| l.contains("subak agent recover")).unwrap();
    let line = line.trim().strip_prefix("subak ").unwrap();
    refused(&place, &format!("{line} --as ben"), &["role-required"]);
    let given = place.type_in(&format!("{line} --revoke {lost} --as mia")).done();
    given.says(&["ana may now sign with", &format!("key {lost} signs nothing any more")]);
    given.says(&["nothing is frozen"]);
    place.type_in("contribute 1 --as ana").done();
    refused(&place, &format!("key revoke {lost} --as mia"), &["key-revoked"]);
    refused(&place, "key revoke 00000000 --as mia", &["nobody here has a key 00000000"]);
    place.sound(&place.db());
}

#[test]
fn a_device_has_a_key_of_its_own_and_its_file_stays_there() {
    let place = commons();
    place.type_in("key new ana --out phone.key").done();
    let shown = place.type_in("key possess phone.key --as ana").done();
    let line = shown.out.lines().find(|l| l.contains("subak key add")).unwrap();
    let line = line.trim().strip_prefix("subak ").unwrap();
    place.type_in(&format!("{line} --as ana")).done();
    place.type_in("contribute 1 --as ana --key phone.key").done();
    // The proof is for ana: to ben it gives nothing.
    place.type_in("key new ben --out other.key").done();
    let other = place.data("key possess other.key --as ana");
    let add = |name: &str| other[name].as_str().unwrap().to_owned();
    let line = format!("key add {} --possession {} --as ben", add("public"), add("possession"));
    refused(&place, &line, &["bad-possession"]);
    // Lost: the other one goes on.
    let phone = place.data("agent list")["agents"].clone();
    let ana = phone.as_array().unwrap().iter().find(|a| a["handle"] == "ana").unwrap().clone();
    let phone = ana["keys"][1].as_str().unwrap().to_owned();
    let told = place.type_in(&format!("key revoke {phone} --as ana")).done();
    told.says(&["ana still signs with", ana["keys"][0].as_str().unwrap()]);
    refused(&place, "contribute 1 --as ana --key phone.key", &["key-revoked"]);
    place.type_in("contribute 1 --as ana").done();
}
