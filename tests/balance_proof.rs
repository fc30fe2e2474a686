//! What was owed to somebody, in a file to keep: got from a ledger, verified without one.

#![allow(clippy::unwrap_used)]

mod kit;

use kit::Place;
use serde_json::Value;
use std::fs;

/// A commons that has 100.00 EUR, all of it dora's, but for a run of 40.00 that is proposed.
fn commons() -> Place {
    let place = Place::new();
    for who in ["ana", "dora"] {
        place.type_in(&format!("key new {who}")).done();
    }
    for line in [
        "commons open ours --sandbox --steward ana --template solo --phyle our-phyle",
        "contribute 2 --reference pr:1 --as dora --at 2026-03-01",
        "agent admit dora --as ana --at 2026-03-01",
        "validate --all-pending --remuneration unpaid --as ana --at 2026-03-01",
        "income record --payer our-phyle --amount \"100.00 EUR\" --bank A --as ana --at 2026-05-01",
    ] {
        place.type_in(&line.replace("commons open", "--at 2026-02-01 commons open")).done();
    }
    place
}

fn operator(place: &Place) -> String {
    place.data("commons show")["operator_key"].as_str().unwrap().to_owned()
}

fn size(place: &Place) -> u64 {
    place.data("log")["size"].as_u64().unwrap()
}

#[test]
fn what_somebody_has_is_published_proven_and_verified_without_the_ledger() {
    let place = commons();
    let before = size(&place);
    let got = place.type_in("receipt get --balance dora --out dora.balance-proof").done();
    let (entry, owed) = (format!("at entry {before} of ours"), "accrued 100.00 EUR");
    got.says(&["publishes what everybody has", &entry, owed, "receipt verify dora.balance-proof"]);
    // While nothing changes nothing is published, and the text is the same.
    let printed = place.type_in("receipt get --balance dora").done();
    let kept = fs::read_to_string(place.path().join("dora.balance-proof")).unwrap();
    assert_eq!(printed.out.trim_end(), kept.trim_end());
    assert_eq!(size(&place), before + 1);
    place
        .type_in("receipt get --balance dora --out dora.balance-proof")
        .says(&["is not overwritten"]);
    place.sound(&place.db());

    let operator = operator(&place);
    fs::remove_file(place.db()).unwrap();
    let verify = format!("receipt verify dora.balance-proof --expect {operator}");
    let holds = place.type_in(&verify).done();
    holds.says(&[
        &format!("holds: entry {before} of"),
        "recorded 2026-05-01T00:00:00Z",
        "The operator's node published there that dora, as the entry before had left it, had",
        "accrued 100.00 EUR, payable 100.00 EUR, reserved 0.00 EUR, paid 0.00 EUR",
        "points that count",
        "the proof shows that this was published, not that it is right: whoever replays the \
             log (`subak audit`) checks that",
    ]);
    let data = place.data(&verify);
    let expected: Value = serde_json::json!([{
        "currency": "EUR", "accrued": "100.00", "payable": "100.00",
        "reserved": "0.00", "paid": "0.00", "free": "100.00",
    }]);
    assert_eq!((&data["agent"], &data["balances"]), (&"dora".into(), &expected));
    assert_eq!((&data["entry"], &data["leaves"]), (&before.into(), &1.into()));

    // Somebody else's key; a byte more or less; another's name.
    let stranger = format!("receipt verify dora.balance-proof --expect {}", "ab".repeat(32));
    assert_ne!(place.type_in(&stranger).status, 0);
    for (n, (from, to)) in
        [("leaf c", "leaf d"), ("index 0", "index 1"), ("@v1\nleaf", "@v1\n\nleaf")]
            .into_iter()
            .enumerate()
    {
        assert!(kept.contains(from), "{from:?}");
        let name = format!("false-{n}");
        fs::write(place.path().join(&name), kept.replacen(from, to, 1)).unwrap();
        let refused = place.type_in(&format!("receipt verify {name} --expect {operator}"));
        assert_eq!(refused.status, 1, "{from:?}: {}{}", refused.out, refused.err);
    }
}

#[test]
fn each_run_has_a_state_of_its_own_that_can_be_named_later() {
    let place = commons();
    let at = "--as ana --at 2026-05-02";
    let run = place.data(&format!("payout propose --all {at}"))["run"].as_u64().unwrap();
    // The node has published by itself.
    assert_eq!(size(&place), run + 2);
    place.type_in(&format!("payout paid {run} --bank B {at}")).done();
    let now = place.data("receipt get --balance dora");
    let then = place.data(&format!("receipt get {} --balance dora", run + 1));
    let of = |data: &Value, what: &str| data["balances"][0][what].as_str().unwrap().to_owned();
    assert_eq!((of(&then, "reserved"), of(&then, "paid")), ("100.00".into(), "0.00".into()));
    assert_eq!((of(&now, "reserved"), of(&now, "paid")), ("0.00".into(), "100.00".into()));
    let none = place.type_in(&format!("receipt get {run} --balance dora"));
    none.says(&[&format!("entry {run} does not publish what everybody has")]);
    place.type_in("receipt get --balance ana").says(&["neither money nor points now"]);
    place.type_in("receipt get --balance nobody").says(&["no agent nobody"]);
    place.type_in("receipt get").says(&["<ENTRY>"]);
    let shown = place.type_in(&format!("show {}", run + 1)).done();
    shown.says(&["StateRoot: ", "over 1 balance"]);
    place.sound(&place.db());
}

/// Without the file: over the network, with a node that alone may write.
#[test]
fn a_node_publishes_for_whoever_asks() {
    let place = commons();
    let server = place.serve(&[]);
    let got = place.data(&format!("receipt get --balance dora --node {}", server.url));
    assert_eq!(got["balances"][0]["accrued"], "100.00");
    fs::write(place.path().join("proof"), got["proof"].as_str().unwrap()).unwrap();
    let operator = operator(&place);
    place.type_in(&format!("receipt verify proof --expect {operator}")).done();
}
