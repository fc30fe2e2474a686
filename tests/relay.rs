//! What is due between two ledgers, as people see it and help it along: a proof in a file, money
//! under way, cash that is said once.

#![allow(clippy::unwrap_used)]

mod kit;

use kit::Place;
use serde_json::Value;
use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// A commons in `subak.db`, and a phyle in `phyle.db` that offers it a tenth; the digest.
fn offered() -> (Place, String) {
    let place = Place::new();
    for line in [
        "key new ana",
        "key new tess",
        "commons open ours --steward ana --phyle our-phyle",
        "phyle open our-phyle --steward tess --commons ours --as tess --db phyle.db",
    ] {
        place.type_in(line).done();
    }
    let offer = "agreement offer --commons-ledger ours --share \"10 %\" --currency EUR --as tess";
    let offered = place.data(&format!("{offer} --db phyle.db --other-db subak.db"));
    let digest = offered["agreement"].as_str().unwrap().to_owned();
    (place, digest)
}

/// As [`offered`], and it is accepted.
fn apart() -> (Place, String) {
    let (place, digest) = offered();
    place.type_in(&format!("agreement accept {digest} --as ana --other-db phyle.db")).done();
    (place, digest)
}

/// An invoice of 1,000.00; the file with the receipt of its entry.
fn earned(place: &Place, number: u64) -> String {
    let record = format!("revenue record a/{number} --net \"1000.00 EUR\" --db phyle.db --as tess");
    let entry = place.data(&record)["entry"].as_u64().unwrap();
    let file = format!("due-{number}.tlog-proof");
    place.type_in(&format!("receipt get {entry} --db phyle.db --out {file}")).done();
    file
}

#[test]
fn who_holds_a_proof_can_relay_it() {
    let (place, digest) = apart();
    let files: Vec<String> = (1..=4).map(|n| earned(&place, n)).collect();
    let relay = |file: &str| place.type_in(&format!("relay {file}"));
    // Not before what comes first, and it says which that is.
    let early = relay(&files[3]);
    assert_eq!(early.status, 1, "{}", early.out);
    early.says(&["numbers 1..3 come first: relay those", "[number-out-of-order]"]);
    relay(&files[1]).says(&["number 1 comes first: relay that"]);
    relay(&files[0]).done().says(&["income 1: 100.00 EUR from our-phyle", "signed as clerk"]);
    // Again is no mistake: it is done.
    let size = |place: &Place| place.data("commons show")["size"].clone();
    let before = size(&place);
    let again = relay(&files[0]).done();
    again.says(&["taken already as income 1"]);
    let told = place.data(&format!("relay {}", files[0]));
    assert_eq!((&told["entry"], &told["incomes"]), (&Value::Null, &serde_json::json!([1])));
    assert_eq!(size(&place), before, "nothing was appended");
    // Signed as whom one names.
    let second = place.type_in(&format!("relay {} --as ana", files[1])).done();
    second.says(&["income 2", "signed as ana"]);
    // What the commons itself says is not for it.
    place.type_in("receipt get 0 --out own.tlog-proof").done();
    let own = relay("own.tlog-proof");
    assert_eq!(own.status, 1, "{}", own.out);
    own.says(&["holds nothing for an agreement of ours", "[not-for-this-ledger]"]);
    // Nor is what holds nothing due.
    place.type_in("receipt get 0 --db phyle.db --out genesis.tlog-proof").done();
    relay("genesis.tlog-proof").says(&["[not-for-this-ledger]"]);
    // A proof that somebody changed is refused: by the rules, and where its number is taken already.
    for (file, why) in [(&files[2], "checkpoint"), (&files[0], "the file is not what was taken")] {
        let text = fs::read_to_string(place.path().join(file)).unwrap();
        let (head, tail) = text.rsplit_once("\n\n").unwrap();
        let head = head.rsplit_once('\n').unwrap().0;
        fs::write(place.path().join("changed.tlog-proof"), format!("{head}\n\n{tail}")).unwrap();
        let changed = relay("changed.tlog-proof");
        assert_eq!(changed.status, 1, "{}", changed.out);
        changed.says(&[why, "[proof-invalid]"]);
    }
    place.type_in("income take --other-db phyle.db").done().says(&["2 incomes taken"]);
    relay(&files[3]).done().says(&["taken already as income 4"]);
    place.type_in(&format!("relay {} --db phyle.db", files[3])).says(&["[not-for-this-ledger]"]);
    assert!(place.type_in("agreement list").done().out.contains(&digest[..8]));
    place.sound(&place.db());
}

#[test]
fn an_acceptance_and_a_handover_are_relayed_as_files_too() {
    let (place, digest) = offered();
    // The commons sees a copy only, so that it cannot make the agreement active there.
    place.type_in("backup copy.db --db phyle.db").done();
    let accepted = place.data(&format!("agreement accept {digest} --as ana --other-db copy.db"));
    let stated = accepted["stated"].as_u64().unwrap();
    place.type_in(&format!("receipt get {stated} --out accepted.tlog-proof")).done();
    let active = place.type_in("relay accepted.tlog-proof --db phyle.db").done();
    active.says(&["is active: shares fall due from now on"]);
    place.type_in("relay accepted.tlog-proof --db phyle.db").done().says(&["is active already"]);
    let moved = place.data("operator rotate --db phyle.db")["entry"].as_u64().unwrap();
    place.type_in(&format!("receipt get {moved} --db phyle.db --out moved.tlog-proof")).done();
    place.type_in("relay moved.tlog-proof").done().says(&["operator is known here now"]);
    place.type_in("relay moved.tlog-proof").done().says(&["known here already"]);
    place.type_in(&format!("relay {}", earned(&place, 1))).done().says(&["income 1: 100.00 EUR"]);
}

#[test]
fn a_second_story_is_kept_as_evidence_by_whoever_relays_it() {
    let (place, _) = apart();
    place.type_in("backup twin.db --db phyle.db").done();
    let told_here = earned(&place, 1);
    place.type_in(&format!("relay {told_here}")).done();
    // The phyle's operator goes on from an old copy, as if nothing had been.
    place.copy_keys("phyle.db", "twin.db");
    let other = "revenue record a/9 --net \"400.00 EUR\" --db twin.db --as tess";
    let entry = place.data(other)["entry"].as_u64().unwrap();
    place.type_in(&format!("receipt get {entry} --db twin.db --out other.tlog-proof")).done();
    let frozen = place.type_in("relay other.tlog-proof").done();
    frozen.says(&["FROZEN", "a second story under an old number"]);
    place.type_in("agreement list").done().says(&["frozen by entry"]);
}

#[test]
fn money_under_way_is_seen_on_both_sides_and_said_once() {
    let (place, digest) = apart();
    earned(&place, 1);
    earned(&place, 2);
    let list = |more: &str| place.data(&format!("agreement list {more}"))["agreements"][0].clone();
    let (commons, phyle) = ("--other-db phyle.db", "--db phyle.db --other-db subak.db");
    for side in [commons, phyle] {
        let row = list(side);
        assert_eq!(row["in_flight"], "200.00", "{row}");
        assert_eq!((&row["in_flight_numbers"], &row["taken"]), (&2.into(), &"0.00".into()));
        let told = place.type_in(&format!("agreement list {side}")).done();
        told.says(&["in flight: 200.00 due and not taken (2 numbers)"]);
    }
    let alone = list("");
    assert_eq!((&alone["other_side_here"], &alone["in_flight"]), (&false.into(), &Value::Null));
    place.type_in("agreement list").done().says(&["other side not here"]);
    place.type_in("income take --other-db phyle.db").done();
    let none = place.type_in(&format!("agreement list {commons}")).done();
    none.says(&["in flight: nothing"]);

    let received = format!("settle received {digest} --sent --bank \"line 1\" --as ana {commons}");
    let early = place.type_in(&received);
    assert_eq!(early.status, 1, "{}", early.out);
    early.says(&["our-phyle has sent 0.00 EUR in all", "[nothing-in-flight]"]);
    let send = format!("settle sent {digest} --amount \"150.00 EUR\" --bank t1 --as tess");
    place.type_in(&format!("{send} --db phyle.db")).done();
    for side in [commons, phyle] {
        assert_eq!(list(side)["cash_in_flight"], "150.00");
        let told = place.type_in(&format!("agreement list {side}")).done();
        told.says(&["cash sent and not received 150.00"]);
    }
    // As much as was sent, and not typed twice; what the bank kept is no cash under way.
    let fee = "--fee \"1.50 EUR\" --fee-by our-phyle";
    let arrived = place.type_in(&format!("{received} {fee}")).done();
    arrived.says(&["150.00 EUR received from our-phyle"]);
    for side in [commons, phyle] {
        let row = list(side);
        assert_eq!(
            (&row["cash_in_flight"], &row["cash_received"]),
            (&"0.00".into(), &"150.00".into())
        );
    }
    place.type_in(&received).says(&["150.00 has arrived here", "nothing is in flight"]);
    let both = place.type_in(&format!("{received} --amount \"1.00 EUR\""));
    assert_eq!(both.status, 2, "one of the two: {}", both.err);
    let neither = format!("settle received {digest} --bank x --as ana");
    assert_eq!(place.type_in(&neither).status, 2);
}

#[test]
fn what_is_late_is_said_by_each_side_for_itself() {
    let place = Place::new();
    for line in [
        "key new ana",
        "key new tess",
        "commons open ours --sandbox --steward ana --phyle our-phyle --at 2026-01-01",
        "phyle open our-phyle --sandbox --steward tess --commons ours --as tess --db phyle.db \
         --at 2026-01-01",
    ] {
        place.type_in(line).done();
    }
    let offer = "agreement offer --commons-ledger ours --share \"10 %\" --currency EUR --as tess \
                 --due-days 30 --db phyle.db --other-db subak.db --at 2026-01-01";
    let digest = place.data(offer)["agreement"].as_str().unwrap().to_owned();
    let accept = format!("agreement accept {digest} --as ana --other-db phyle.db --at 2026-01-01");
    place.type_in(&accept).done();
    let record = "revenue record a/1 --net \"1000.00 EUR\" --db phyle.db --as tess --at 2026-01-02";
    place.type_in(record).done();
    place.type_in("income take --other-db phyle.db --at 2026-01-03").done();
    let overdue = |more: &str, at: &str| {
        let rows = place.data(&format!("agreement list {more} --at {at}"));
        rows["agreements"][0]["overdue"].as_str().unwrap().to_owned()
    };
    for (side, from) in [("--db phyle.db", "2026-02-01"), ("", "2026-02-02")] {
        assert_eq!(overdue(side, "2026-01-31"), "0.00");
        assert_eq!(overdue(side, from), "0.00", "{side}: on the day itself it is not late");
        assert_eq!(overdue(side, "2026-02-03"), "100.00", "{side}");
    }
    // The phyle's log says from when on.
    assert_eq!(overdue("--other-db phyle.db", "2026-02-01T12:00:00Z"), "100.00");
    place.type_in("agreement list --at 2026-02-10").done().says(&["overdue 100.00"]);
}

/// Both ledgers on a node that is served: nobody takes anything by hand.
#[test]
fn a_node_that_is_served_relays_by_itself_unless_it_is_told_not_to() {
    let place = Place::new();
    for line in [
        "key new ana",
        "key new tess",
        "commons open ours --steward ana --phyle our-phyle",
        "phyle open our-phyle --steward tess --commons ours --as tess",
    ] {
        place.type_in(line).done();
    }
    let offer = "agreement offer --ledger our-phyle --commons-ledger ours --share \"10 %\" \
                 --currency EUR --as tess";
    let digest = place.data(offer)["agreement"].as_str().unwrap().to_owned();
    place.type_in(&format!("agreement accept {digest} --ledger ours --as ana")).done();
    let record = |number: u64, url: &str| {
        let line = format!("revenue record a/{number} --net \"1000.00 EUR\" --ledger our-phyle");
        place.type_in(&format!("{line} --as tess --node {url}")).done();
    };
    let numbers = |url: &str| {
        let rows = place.data(&format!("agreement list --ledger ours --node {url}"));
        rows["agreements"][0]["in_flight_numbers"].as_u64().unwrap()
    };
    let mut silent = place.serve(&["--no-relay"]);
    record(1, &silent.url);
    thread::sleep(Duration::from_millis(500));
    assert_eq!(numbers(&silent.url), 1);
    silent.kill();
    // The phyle's operator has another key since: the old one has signed that, so it is followed.
    place.type_in("operator rotate --ledger our-phyle").done();
    let server = place.serve(&[]);
    record(2, &server.url);
    let until = Instant::now() + Duration::from_secs(20);
    while numbers(&server.url) > 0 {
        assert!(Instant::now() < until, "it relays what was there, and what comes");
        thread::sleep(Duration::from_millis(50));
    }
    let take = place.type_in(&format!("income take --ledger ours --node {}", server.url)).done();
    take.says(&["nothing new fell due"]);
    place.sound(&place.db());
}
