//! Who is not content with how a commons is kept goes on with its agents and points elsewhere.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::*;
use serde_json::Value;

fn text(data: &Value, field: &str) -> String {
    data[field].as_str().unwrap_or_else(|| panic!("{field} in {data:#}")).to_owned()
}

#[track_caller]
fn judged(place: &Place, line: &str, status: i32, what: &[&str]) {
    let ran = place.type_in(line);
    assert_eq!(ran.status, status, "{line}\n{}{}", ran.out, ran.err);
    ran.says(what);
}

/// A commons in which ana's work of 3 hours counts, and one more hour waits; its operator.
fn commons() -> (Place, String) {
    let place = Place::new();
    for who in ["sam", "mia", "ana"] {
        place.type_in(&format!("key new {who}")).done();
    }
    let opened =
        place.data("commons open ours --steward sam --association assoc --phyle our-phyle");
    let key = text(&place.data("key show ana"), "public");
    place.type_in(&format!("agent add ana --key-of {key} --as sam")).done();
    place.type_in("contribute 3 --as ana").done();
    place.type_in("validate 2 --as sam").done();
    place.type_in("contribute 1 --as ana").done();
    (place, text(&opened, "operator_key"))
}

fn points(place: &Place, db: &str) -> Value {
    let agents = place.data(&format!("agent list --db {db}"));
    let all = agents["agents"].as_array().unwrap().iter();
    all.into_iter().find(|agent| agent["handle"] == "ana").unwrap()["points"].clone()
}

#[test]
fn a_fork_has_the_points_of_its_parent_and_anybody_checks_it() {
    let (place, _) = commons();
    let made = place.data("fork ours --name new-commons --steward ana --to-db new.db --as ana");
    assert_eq!((&made["agents"], &made["contributions"]), (&4.into(), &1.into()), "{made:#}");
    assert_eq!((&made["open"], &made["whole"]), (&true.into(), &true.into()));
    assert_eq!(points(&place, "new.db"), points(&place, "subak.db"));
    judged(&place, "audit subak.db new.db --no-memory", 0, &["sound"]);
    judged(&place, "audit new.db --no-memory", 3, &["parent-missing"]);
    judged(&place, "show 0 --db new.db", 0, &["a fork of ledger"]);
    judged(&place, "show 1 --db new.db", 0, &["ForkCopy", "the last part"]);
    // Only who was named governs, and its parent goes on as if nothing was.
    judged(&place, "role grant sam maintainer --db new.db --as sam", 1, &["role-required"]);
    place.type_in("contribute 2 --as ana").done();
    place.type_in("contribute 5 --as sam --db new.db").done();
    judged(&place, "audit subak.db new.db --no-memory", 0, &["sound"]);
    // A copy of the parent that was altered is no parent of it.
    judged(&place, "fork ours --steward ana --db new.db --as ana", 1, &["no-ledger"]);
}

#[test]
fn an_earlier_head_is_forked_from_a_node_and_opened_by_a_quorum() {
    let (place, operator) = commons();
    let server = place.serve(&[]);
    let elsewhere = Place::within(place.path().to_path_buf());
    let from = format!("fork ours --node {} --expect {operator} --to-db new.db", server.url);
    let fork = format!("{from} --at 3 --steward sam --steward ana --quorum 2 --as sam");
    let made = elsewhere.data(&fork);
    // Before the validation nothing stood.
    assert_eq!((&made["contributions"], &made["parent_size"]), (&0.into(), &3.into()), "{made:#}");
    assert_eq!((&made["open"], &made["whole"]), (&false.into(), &false.into()));
    judged(&place, "contribute 1 --as ana --db new.db", 1, &["not-open"]);
    place.type_in("approve 0 --as ana --db new.db").done();
    judged(&place, "contribute 1 --as ana --db new.db", 1, &["fork-incomplete", "--continue"]);
    let carry_on = format!("{from} --continue ours-fork --as sam");
    judged(&place, &carry_on, 0, &["goes on from ours at 3 entries"]);
    place.type_in("contribute 1 --as ana --db new.db").done();
    judged(&place, &format!("audit new.db {} --no-memory", server.url), 0, &["sound"]);
}

#[test]
fn what_cannot_be_forked_says_why() {
    let (place, _) = commons();
    judged(&place, "fork ours --at 99 --steward ana --as ana", 2, &["entries"]);
    judged(&place, "fork nobodys --steward ana --as ana", 1, &["no-ledger"]);
    let key = text(&place.data("key show mia"), "public");
    // Whoever takes ana's name has not ana's key.
    let line = format!("fork ours --steward sam --steward ana={key} --as sam");
    judged(&place, &line, 1, &["handle-taken", "are not one's"]);
    place.type_in("phyle open our-phyle --steward sam --db phyle.db").done();
    judged(&place, "fork our-phyle --steward sam --db phyle.db --as sam", 1, &["no points"]);
}
