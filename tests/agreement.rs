//! What the two sides of an agreement are told, on nodes of their own: which offers wait for whom, and
//! how far an agreement is where it is decided.

#![allow(clippy::unwrap_used)]

mod kit;

use kit::{Place, Ran};
use serde_json::Value;
use std::{
    thread,
    time::{Duration, Instant},
};

/// Runs a command until it shows what is expected.
#[track_caller]
fn until(place: &Place, line: &str, what: &[&str]) -> Ran {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let ran = place.type_in(line).done();
        let flat = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        if what.iter().all(|what| flat.contains(what)) {
            return ran;
        }
        assert!(Instant::now() < end, "{what:?} in {}", ran.out);
        thread::sleep(Duration::from_millis(50));
    }
}

fn digest(offered: &Value) -> (String, String) {
    let digest = offered["agreement"].as_str().unwrap().to_owned();
    (digest[..16].to_owned(), digest)
}

#[test]
fn stewards_see_the_offers_that_their_node_has_copied_and_when_they_are_active() {
    let (ours, theirs) = (Place::new(), Place::new());
    ours.type_in("key new ana").done();
    theirs.type_in("key new tess").done();
    ours.type_in("commons open ours --steward ana --phyle our-phyle").done();
    theirs.type_in("phyle open our-phyle --steward tess --commons ours").done();
    let (here, there) = (ours.serve(&[]), theirs.serve(&[]));
    ours.type_in(&format!("peer add {} --all", there.url)).done();
    let list = format!("agreement list --node {} --ledger ours", here.url);
    ours.type_in(&list).done().says(&["no agreements yet"]);

    let offer = format!(
        "agreement offer --commons-ledger ours --currency EUR --as tess --node {} --other-node {}",
        there.url, here.url
    );
    let (short, all) = digest(&theirs.data(&format!("{offer} --share \"10 %\"")));
    let line = format!("{offer} --share \"2.5 %\" --product hosting");
    let (second, hosting) = digest(&theirs.data(&line));
    let next = |short: &str| format!("next: `subak agreement accept {short} --ledger ours`");
    let what = ["our-phyle -> ours 10 % of net, EUR offered to you", &next(&short), &next(&second)];
    until(&ours, &list, &what);
    let offers = ours.data(&list)["offers"].take();
    let found: Vec<&str> =
        offers.as_array().unwrap().iter().map(|o| o["agreement"].as_str().unwrap()).collect();
    assert!(found.len() == 2 && [&*all, &*hosting].iter().all(|d| found.contains(d)), "{offers}");

    // The phyle does not follow the commons yet, so nobody there knows of it.
    let accept = format!("agreement accept --ledger ours --as ana --node {}", here.url);
    let told = ours.type_in(&format!("{accept} {all}")).done();
    told.says(&["is accepted", "not active yet: only a copy of ledger our-phyle is here"]);
    told.says(&["next, the payer's node, by itself if it follows this one"]);
    let told = ours.type_in(&format!("{accept} {hosting} --other-node {}", there.url)).done();
    told.says(&[
        "not active yet: ana is no agent of our-phyle, and the key of its clerk is not here",
    ]);
    let listed = ours.data(&list);
    assert_eq!(listed["offers"], serde_json::json!([]));
    for row in listed["agreements"].as_array().unwrap() {
        assert_eq!(row["stage"], "accepted", "{row}");
    }

    theirs.type_in(&format!("peer add {}", here.url)).done();
    for what in ["10 % of net, EUR active", "2.5 % of net on hosting, EUR active"] {
        until(&ours, &list, &[what]);
    }
    // Its end is said in the payer's log, and seen here.
    let end = format!("agreement end {hosting} --as tess --node {}", there.url);
    theirs.type_in(&end).done();
    until(&ours, &list, &["on hosting, EUR active until"]);
}

#[test]
fn an_offer_whose_acceptance_waits_for_the_quorum_says_for_what() {
    let place = Place::new();
    for line in [
        "key new ana",
        "key new ben",
        "key new tess",
        "commons open ours --steward ana --steward ben --quorum 2 --phyle our-phyle --as ana",
        "approve 0 --as ben",
        "phyle open our-phyle --steward tess --commons ours --as tess --db phyle.db",
    ] {
        place.type_in(line).done();
    }
    let offer = "agreement offer --commons-ledger ours --share \"10 %\" --currency EUR --as tess";
    let (short, digest) =
        digest(&place.data(&format!("{offer} --db phyle.db --other-db subak.db")));
    let list = "agreement list --other-db phyle.db";
    let told = place.type_in(list).done();
    told.says(&[&format!(
        "next: `subak agreement accept {short} --ledger ours --other-db phyle.db`"
    )]);
    // Without the payer's log there is nothing to see.
    place.type_in("agreement list").done().says(&["no agreements yet"]);
    let accept = format!("agreement accept {digest} --as ana --other-db phyle.db");
    let entry = place.data(&accept)["entry"].as_u64().unwrap();
    let told = place.type_in(list).done();
    told.says(&[&format!("its acceptance waits for 1 more approval: `subak approve {entry}")]);
    assert_eq!(place.data(list)["offers"][0]["proposed"], entry);
    place.type_in(&format!("approve {entry} --as ben")).done();
    let row = place.data(list)["agreements"][0].take();
    assert_eq!(row["stage"], "accepted", "{row}");
}
