//! Whom a node follows, by the command line: what is said adds up, what contradicts is refused, and
//! what is there is shown, from one node to the next.

#![allow(clippy::unwrap_used)]

mod kit;

use kit::{Place, Ran, Server};
use serde_json::{Value, json};
use std::{fs, net::TcpListener, thread, time::Instant};
use subak_ledger::log::{LedgerId, SecretKey, checkpoint::verifier_key};

/// Nobody listens there.
const AWAY: &str = "http://127.0.0.1:9";

/// A commons in `subak.db` and a phyle in `phyle.db`.
fn apart() -> Place {
    let place = Place::new();
    for line in [
        "key new ana",
        "key new tess",
        "commons open ours --steward ana --phyle our-phyle",
        "phyle open our-phyle --steward tess --commons ours --as tess --db phyle.db",
    ] {
        place.type_in(line).done();
    }
    place
}

fn phyle_served(place: &Place) -> Server {
    place.serve(&["--db", "phyle.db"])
}

/// The newest operator's verifier key.
fn vkey(place: &Place, line: &str) -> String {
    let told = place.type_in(&format!("{line} show --vkey")).done().out;
    let line = told.lines().find_map(|line| line.strip_prefix("log ")).unwrap();
    line.split_whitespace().next().unwrap().to_owned()
}

fn phyle_id(place: &Place) -> LedgerId {
    let told = place.data("phyle show --db phyle.db");
    let mut id = [0; 32];
    hex::decode_to_slice(told["id"].as_str().unwrap(), &mut id).unwrap();
    LedgerId(id)
}

fn peers_file(place: &Place) -> String {
    fs::read_to_string(place.path().join("subak.db.peers")).unwrap_or_default()
}

/// Refused, and nothing is written.
#[track_caller]
fn refused(place: &Place, line: &str, status: i32, says: &[&str]) -> Ran {
    let before = peers_file(place);
    let ran = place.type_in(line);
    assert_eq!(ran.status, status, "subak {line}\n{}{}", ran.out, ran.err);
    ran.says(says);
    assert_eq!(peers_file(place), before, "subak {line}");
    ran
}

#[test]
fn what_is_said_of_a_peer_adds_to_what_was_said() {
    let place = apart();
    let (phyle, id) = (vkey(&place, "phyle --db phyle.db"), phyle_id(&place).to_string());
    let server = phyle_served(&place);
    let url = &server.url;
    let odd = url.replace("http://", "HTTP://") + "/";
    let first = place.data(&format!("peer add {odd}"));
    assert_eq!(
        (&first["url"], &first["before"], &first["ledgers"]),
        (&json!(url), &Value::Null, &json!([id]))
    );
    let named = place.type_in(&format!("peer add {url} --vkey {phyle}")).done();
    named.says(&["is followed; changed in subak.db.peers", "copied from there: our-phyle, and"]);
    let again = place.type_in(&format!("peer add {url} --vkey {phyle}")).done();
    again.says(&["is followed already, and nothing changes", "it has our-phyle"]);
    let without_scheme = url.strip_prefix("http://").unwrap();
    let all = place.data(&format!("peer add {without_scheme} --all"));
    assert_eq!(
        (&all["changed"], &all["follow"], &all["all"], &all["before"]["all"]),
        (&json!(true), &json!([phyle]), &json!(true), &json!(false))
    );
    let listed = place.data("peer list")["peers"].clone();
    let expected = json!([{ "url": url, "follow": [phyle], "all": true, "away": null }]);
    assert_eq!(listed, expected, "once, with all of it");
    refused(
        &place,
        "peer remove http://127.0.0.1:2",
        1,
        &["[unknown-peer]", &format!("followed: {url}")],
    );
    place.type_in(&format!("peer remove {odd}")).done().says(&["is not followed any more"]);
    assert_eq!(place.data("peer list")["peers"], json!([]));
}

#[test]
fn what_contradicts_the_node_that_is_meant_is_refused_and_not_written() {
    let place = apart();
    let (ours, id) = (vkey(&place, "commons"), phyle_id(&place));
    let before = vkey(&place, "phyle --db phyle.db");
    place.type_in("operator rotate --db phyle.db").done();
    let stranger = verifier_key(&id, &SecretKey::from_seed(&[7; 32]).public());
    let server = phyle_served(&place);
    let add = format!("peer add {}", server.url);
    refused(
        &place,
        &format!("{add} --vkey {ours}"),
        1,
        &["does not have ledger", "it has our-phyle"],
    );
    refused(
        &place,
        &format!("{add} --vkey {stranger}"),
        1,
        &["[operator-unexpected]", "it never was"],
    );
    refused(&place, &format!("{add} --vkey {}", &before[..70]), 1, &["[bad-note]"]);
    for url in ["phyle.example", "ftp://phyle.example:1", "http://phyle.example:1/tiles"] {
        refused(&place, &format!("peer add {url}"), 2, &["expected http://HOST:PORT"]);
    }
    let own = place.serve(&[]);
    refused(&place, &format!("peer add {}", own.url), 1, &["[own-node]", "it signs for ours"]);
    // A key from before a handover is one that it has had.
    place.type_in(&format!("{add} --vkey {before}")).done().says(&["our-phyle"]);
    // Of a node that is away nothing can be found out: it is said, and written.
    let away = place.type_in(&format!("peer add {AWAY} --vkey {stranger}")).done();
    away.says(&["it could not be asked now, and nothing is checked", "[node-away]"]);
    assert_eq!(place.data("peer list")["peers"][1]["follow"], json!([stranger]));
}

#[test]
fn a_certificate_is_looked_at_before_it_is_written() {
    let place = apart();
    let certificate = "certificate 127.0.0.1 --tls-cert";
    for name in ["one", "two"] {
        place.type_in(&format!("{certificate} {name}.pem --tls-key {name}.key")).done();
    }
    let add = "peer add https://127.0.0.1:9 --node-ca";
    refused(&place, &format!("{add} none.pem"), 4, &["none.pem", "check the path"]);
    refused(&place, &format!("{add} one.key"), 4, &["one.key", "a certificate"]);
    refused(&place, &format!("peer add {AWAY} --node-ca one.pem"), 2, &["is for a node in TLS"]);
    place.type_in(&format!("{add} one.pem")).done().says(&["believed by the certificate in"]);
    let changed = place.type_in(&format!("{add} two.pem")).done();
    changed.says(&["two.pem alone", "no more by that in", "one.pem"]);
    // It stays where none is said, and the way without TLS needs none.
    let same = place.data("peer add https://127.0.0.1:9 --all");
    assert!(same["ca"].as_str().unwrap().ends_with("two.pem"), "{same}");
    let plain = place.data(&format!("peer add {AWAY}"));
    assert_eq!(
        (&plain["ca"], &plain["before"]["url"]),
        (&Value::Null, &json!("https://127.0.0.1:9"))
    );
    assert_eq!(place.data("peer list")["peers"].as_array().unwrap().len(), 1);
}

#[test]
fn of_several_peers_that_are_added_at_once_none_is_lost() {
    let place = apart();
    let urls: Vec<String> = (1..=8).map(|port| format!("http://127.0.0.1:{port}")).collect();
    thread::scope(|scope| {
        let place = &place;
        for url in &urls {
            scope.spawn(move || place.type_in(&format!("peer add {url}")).done());
        }
    });
    let listed = place.data("peer list")["peers"].clone();
    let mut listed: Vec<&str> =
        listed.as_array().unwrap().iter().map(|peer| peer["url"].as_str().unwrap()).collect();
    listed.sort_unstable();
    assert_eq!(listed, urls);
}

#[test]
fn a_mistake_in_the_peers_file_is_named_with_its_line() {
    let place = apart();
    let file = place.path().join("subak.db.peers");
    fs::write(file, "# Ours.\n[[peer]]\nurl = \"http://127.0.0.1:1\"\nfolow = []\n").unwrap();
    let says = ["subak.db.peers, line 4: unknown field `folow`", "mend that line in an editor"];
    for line in ["peer list", "peer add http://127.0.0.1:2", "peer remove http://127.0.0.1:1"] {
        refused(&place, line, 1, &says);
    }
}

/// Somebody who takes connections and says nothing.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[test]
fn copies_are_listed_while_their_peers_are_away_or_silent() {
    let place = apart();
    place.type_in("backup copy.db --db phyle.db").done();
    let size = place.data("phyle show --db phyle.db")["size"].clone();
    let copies = || place.data("peer list --db copy.db")["copies"].clone();
    // As a mirror's file is, whose sources stand on its command line.
    let mirror = place.type_in("peer list --db copy.db").done();
    mirror
        .says(&["copy.db.peers names nobody, and 1 ledger of others is copied here", "our-phyle"]);
    assert_eq!((&copies()[0]["here"], &copies()[0]["peer"]), (&size, &Value::Null));
    let silent: Vec<_> = (0..4).map(|_| silent()).collect();
    let peers = silent.iter().map(|(_, url)| format!("[[peer]]\nurl = \"{url}\"\n"));
    fs::write(place.path().join("copy.db.peers"), peers.collect::<String>()).unwrap();
    let since = Instant::now();
    let told = place.data("peer list --db copy.db");
    assert!(since.elapsed().as_secs() < 12, "all are asked at once");
    let urls: Vec<&Value> = told["peers"].as_array().unwrap().iter().map(|p| &p["url"]).collect();
    assert_eq!(urls, silent.iter().map(|(_, url)| url).collect::<Vec<_>>(), "in order of the file");
    let copy = &told["copies"][0];
    assert_eq!((&copy["ledger"], &copy["here"]), (&json!("our-phyle"), &size));
    assert_eq!((&copy["lag"], &copy["peer"]), (&Value::Null, &Value::Null));
    // One that answers says how far it is.
    let server = phyle_served(&place);
    fs::remove_file(place.path().join("copy.db.peers")).unwrap();
    place.type_in(&format!("peer add {} --db copy.db", server.url)).done();
    let copy = &copies()[0];
    assert_eq!((&copy["lag"], &copy["peer"]), (&json!(0), &json!(server.url)));
}

#[test]
fn the_network_is_walked_and_says_how_far_each_agreement_is() {
    let place = apart();
    let offer = "agreement offer --commons-ledger ours --share \"10 %\" --currency EUR --as tess";
    let offered = place.data(&format!("{offer} --db phyle.db --other-db subak.db"));
    let digest = offered["agreement"].as_str().unwrap().to_owned();
    let (mut commons, mut phyle) = (place.serve(&["--no-relay"]), phyle_served(&place));
    let flow = |line: &str| place.data(line)["flows"][0].clone();
    let both = |one: &Server, two: &Server| format!("network {} {}/", one.url, two.url);
    assert_eq!(flow(&both(&commons, &phyle))["state"], "offered");
    place.type_in(&both(&commons, &phyle)).done().says(&["offered, not accepted yet"]);
    let alone = format!("network --node {}", phyle.url);
    assert_eq!(flow(&alone)["state"], "commons-not-found");
    commons.kill();
    phyle.kill();
    place.type_in(&format!("agreement accept {digest} --as ana --other-db phyle.db")).done();
    place.type_in("backup old.db --db phyle.db").done();
    let record = "revenue record a/1 --net \"1000.00 EUR\" --db phyle.db --as tess";
    place.type_in(record).done();
    let (commons, phyle) = (place.serve(&["--no-relay"]), phyle_served(&place));
    let walked = flow(&both(&commons, &phyle));
    assert_eq!((&walked["state"], &walked["in_flight"]), (&json!("in-flight"), &json!(1)));

    // Of several copies of a ledger the longest is used, whichever is read first.
    let old = place.serve(&["--db", "old.db"]);
    let size = place.data("phyle show --db phyle.db")["size"].clone();
    for line in [both(&old, &phyle), both(&phyle, &old)] {
        let ledger = place.data(&line)["ledgers"][0].clone();
        assert_eq!((&ledger["size"], &ledger["read_at"]), (&size, &json!(phyle.url)), "{line}");
    }

    // A node says with whom its ledgers have agreements; a name where it knows one.
    let kept = place.data(&format!("ledger list --node {}", commons.url))["ledgers"][0].clone();
    let with = json!([{ "id": phyle_id(&place).to_string(), "ledger": null }]);
    assert_eq!(kept["agreements"], json!({ "count": 1, "with": with }));
    let listed = place.type_in(&format!("ledger list --node {}", commons.url)).done();
    let short = &phyle_id(&place).to_string()[..16];
    listed.says(&[&format!("ours has 1 agreement with {short}")]);
    let here = place.data("ledger list")["ledgers"][0]["agreements"].clone();
    assert_eq!(here, Value::Null, "nothing is folded for a list");

    // Begun at a ledger file, it goes on to its peers, who need not name one another.
    place.type_in(&format!("peer add {}", phyle.url)).done();
    let home = place.data("network --db subak.db");
    let urls: Vec<&Value> = home["nodes"].as_array().unwrap().iter().map(|n| &n["url"]).collect();
    assert_eq!(urls, [&json!("subak.db"), &json!(phyle.url)]);
    assert_eq!(home["flows"][0]["in_flight"], 1);
    assert_eq!(place.data("network")["flows"], home["flows"], "the file that is here");

    // Who expects one operator believes no other.
    let key = place.data("commons show")["operator_key"].as_str().unwrap().to_owned();
    let line = format!("{} --expect {key} --json", both(&commons, &phyle));
    let strict = place.type_in(&line);
    assert_eq!(strict.status, 1, "{}{}", strict.out, strict.err);
    let strict = strict.object()["data"].clone();
    assert_eq!(strict["not_verified"][0]["code"], "operator-unexpected");
    let names: Vec<&Value> =
        strict["ledgers"].as_array().unwrap().iter().map(|l| &l["ledger"]).collect();
    assert_eq!(names, ["ours"]);
    assert_eq!(strict["flows"][0]["state"], "payer-not-found");
    let nowhere = Place::new().type_in("network");
    assert_eq!(nowhere.status, 2);
    nowhere.says(&["a walk begins at a node"]);
}
