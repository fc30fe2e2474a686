//! A phyle, a commons and the commons upstream, each with a ledger file of its own: what an auditor
//! of all three is told, and what when one of them is wrong, silent, away or missing.

#![allow(clippy::unwrap_used)]

mod kit;

use kit::{Place, Ran};
use serde_json::{Value, json};
use std::fs;

/// A tenth goes upstream; what is for contributors waits for some.
const EQUATION: &str = r#"
name = "small"
version = 1
validators = 1
maturity_days = 0
notice_days = 0
claim_delay_days = 14
held_days = 365

[rates]
hours = 1

[[bucket]]
name = "upstream"
share = "10 %"
agent = "the-upstream"

[[bucket]]
name = "contributors"
share = "90 %"
horizon = "lifetime"

[[example]]
income = "100.00 EUR"
work = [{ agent = "ana", kind = "hours", quantity = "4" }]
amounts = { ana = "90.00", the-upstream = "10.00" }
"#;

const ALL: &str = "audit phyle.db ours.db up.db --no-memory";

/// The three ledgers, agreed with each other.
struct Scene {
    place: Place,
    /// Of the phyle with the commons.
    below: String,
    /// Of the commons with the one upstream.
    above: String,
}

impl Scene {
    fn new() -> Self {
        let place = Place::new();
        for who in ["sam", "tess", "ulla"] {
            place.type_in(&format!("key new {who}")).done();
        }
        fs::write(place.path().join("eq.toml"), EQUATION).unwrap();
        let scene = Self { place, below: String::new(), above: String::new() };
        scene.sam("01-01", "commons open ours --sandbox --steward sam --equation eq.toml --upstream the-upstream --phyle our-phyle");
        scene.tess("01-01", "phyle open our-phyle --sandbox --steward tess --commons ours");
        scene.ulla("01-01", "commons open the-upstream --sandbox --steward ulla");
        scene.ulla("01-01", "agent add ours --kind commons");
        let offer = "agreement offer --commons-ledger ours --share \"10 %\" --currency EUR --other-db ours.db";
        let below = text(&scene.tess("01-02", offer), "agreement");
        scene.sam("01-02", &format!("agreement accept {below} --other-db phyle.db"));
        let offer = "agreement offer --commons-ledger the-upstream --currency EUR --other-db up.db";
        let above = text(&scene.sam("01-02", offer), "agreement");
        scene.ulla("01-02", &format!("agreement accept {above} --other-db ours.db"));
        Self { below, above, ..scene }
    }

    fn as_on(&self, (who, db): (&str, &str), day: &str, line: &str) -> Value {
        self.place.data(&format!("{line} --as {who} --db {db} --at 2026-{day}"))
    }

    fn tess(&self, day: &str, line: &str) -> Value {
        self.as_on(("tess", "phyle.db"), day, line)
    }

    fn sam(&self, day: &str, line: &str) -> Value {
        self.as_on(("sam", "ours.db"), day, line)
    }

    fn ulla(&self, day: &str, line: &str) -> Value {
        self.as_on(("ulla", "up.db"), day, line)
    }

    /// Revenue of 12,000.00, and what follows from it on all three; the phyle's cash leaves.
    fn earn(&self) {
        self.tess("02-01", "revenue record a/1 --net \"12000.00 EUR\"");
        self.sam("02-02", "income take --other-db phyle.db");
        let below = &self.below;
        self.tess("02-03", &format!("settle sent {below} --amount \"1200.00 EUR\" --bank t1"));
    }

    fn pass_on(&self) {
        let (below, above) = (&self.below, &self.above);
        self.sam("02-04", &format!("settle received {below} --amount \"1200.00 EUR\" --bank s1"));
        let run = self.sam("02-05", "payout propose --all");
        let run = run["run"].as_u64().or(run["entry"].as_u64()).unwrap();
        self.sam("02-06", &format!("payout paid {run} --bank b1"));
        self.ulla("02-07", "income take --other-db ours.db");
        self.ulla("02-08", &format!("settle received {above} --amount \"120.00 EUR\" --bank s1"));
    }
}

#[track_caller]
fn text(data: &Value, field: &str) -> String {
    data[field].as_str().unwrap_or_else(|| panic!("{field} in {data:#}")).to_owned()
}

#[track_caller]
fn says(ran: &Ran, status: i32, what: &[&str]) {
    assert_eq!(ran.status, status, "subak {}\n{}{}", ran.line, ran.out, ran.err);
    ran.says(what);
}

/// Status and data.
fn audit(place: &Place, line: &str) -> (i32, Value) {
    let ran = place.type_in(&format!("{line} --json"));
    (ran.status, ran.object()["data"].take())
}

fn codes(data: &Value) -> Vec<&str> {
    let quiet = ["single-validator"];
    let all = data["findings"].as_array().unwrap().iter().map(|f| f["code"].as_str().unwrap());
    let mut codes: Vec<&str> = all.filter(|code| !quiet.contains(code)).collect();
    codes.sort_unstable(); // agreements have names of chance, and come in their order
    codes
}

/// These fields of the agreement whose payer has this name.
#[track_caller]
fn row(data: &Value, payer: &str, fields: &[&str]) -> Vec<Value> {
    let rows = data["agreements"].as_array().unwrap();
    let row = rows.iter().find(|row| row["payer"] == payer);
    let row = row.unwrap_or_else(|| panic!("{payer} in {data:#}"));
    fields.iter().map(|field| row[*field].clone()).collect()
}

#[test]
fn three_files_reconcile_to_the_cent() {
    let scene = Scene::new();
    scene.earn();
    scene.pass_on();
    let (status, data) = audit(&scene.place, ALL);
    assert_eq!((status, &data["verdict"]), (0, &json!("sound")), "{data:#}");
    assert_eq!(codes(&data), [""; 0]);
    let fields = ["state", "due", "taken", "sent", "received", "in_flight", "open", "unexplained"];
    let settled = |minor: &str| {
        let mut row = vec![json!("settled")];
        row.extend([minor; 4].map(|minor| json!(minor)));
        row.extend(["0.00"; 3].map(|minor| json!(minor)));
        row
    };
    assert_eq!(row(&data, "our-phyle", &fields), settled("1200.00"));
    assert_eq!(row(&data, "ours", &fields), settled("120.00"));
    let total = &data["totals"][0];
    assert_eq!((&total["due"], &total["balanced"]), (&json!("1320.00"), &json!(true)));
    assert_eq!((&total["agreements"], &total["left_out"]), (&json!(2), &json!(0)));
    says(
        &scene.place.type_in(ALL),
        0,
        &[
            "agreements in EUR",
            "our-phyle -> ours: settled",
            "1,200.00",
            "all 2",
            "1,320.00",
            "reconciled:",
        ],
    );
    // The same of a bundle, of two nodes, and of a ledger that is in two of the targets.
    let path = scene.place.path();
    scene.place.type_in("bundle export ours.subak --db ours.db").done();
    fs::copy(path.join("up.db"), path.join("again.db")).unwrap();
    let there = ["phyle", "up"].map(|name| {
        let place = Place::within(path.join(name));
        fs::create_dir(place.path()).unwrap();
        fs::rename(path.join(format!("{name}.db")), place.db()).unwrap();
        fs::rename(path.join(format!("{name}.db.keys")), place.path().join("subak.db.keys"))
            .unwrap();
        place
    });
    let [phyle, up] = there.map(|place| place.serve(&[]));
    let line = format!("audit {} ours.subak {} again.db --no-memory", phyle.url, up.url);
    let (status, mixed) = audit(&scene.place, &line);
    assert_eq!(status, 0, "{mixed:#}");
    for field in ["agreements", "totals", "owed"] {
        assert_eq!(mixed[field], data[field], "{field}");
    }
}

#[test]
fn a_withheld_settlement_is_on_its_way_and_then_overdue() {
    let scene = Scene::new();
    scene.earn();
    let fields = ["state", "sent", "received", "cash_in_flight", "open", "overdue"];
    let (status, data) = audit(&scene.place, ALL);
    assert_eq!((status, codes(&data)), (0, vec!["cash-unmatched"]));
    let expected = ["in-flight", "1200.00", "0.00", "1200.00", "1200.00", "0.00"];
    assert_eq!(row(&data, "our-phyle", &fields), expected);
    // Time is that of the logs: another entry, two months later.
    scene.tess("04-03", "revenue record a/2 --net \"100.00 EUR\"");
    let (status, data) = audit(&scene.place, ALL);
    assert_eq!(status, 0, "late is not false");
    assert_eq!(codes(&data), ["cash-not-arrived", "numbers-not-taken", "settlement-overdue"]);
    let expected = ["overdue", "1200.00", "0.00", "1200.00", "1200.00", "1200.00"];
    assert_eq!(row(&data, "our-phyle", &fields), expected);
    let told = scene.place.type_in(ALL);
    says(
        &told,
        0,
        &["overdue", "our-phyle owes 1,210.00 EUR", "ours is owed 1,210.00 EUR", "in flight"],
    );
}

#[test]
fn an_amount_that_somebody_mistyped_or_invented_stands_out() {
    let scene = Scene::new();
    scene.earn();
    let below = &scene.below;
    let typed = format!("settle received {below} --amount \"1200.01 EUR\" --bank s1 --overpay");
    scene.sam("02-04", &typed);
    let (status, data) = audit(&scene.place, ALL);
    assert_eq!((status, codes(&data)), (0, vec!["cash-not-sent"]));
    let fields = ["cash_in_flight", "open", "credit", "unexplained"];
    assert_eq!(row(&data, "our-phyle", &fields), ["-0.01", "0.00", "0.01", "0.00"]);
    // In the words, and with the sign, of the commons' own list.
    let listed = scene.place.data("agreement list --db ours.db");
    let rows = listed["agreements"].as_array().unwrap();
    let ours = rows.iter().find(|a| a["payer"] == "our-phyle").unwrap();
    assert_eq!((&ours["open"], &ours["credit"]), (&json!("0.00"), &json!("0.01")));
    let said = [
        "our-phyle sent 1,200.00 EUR, 1,200.01 EUR were received",
        "our-phyle has a credit of 0.01 EUR",
        "ours holds a credit of 0.01 EUR",
        "is what is open, less credit",
    ];
    says(&scene.place.type_in(ALL), 0, &said);
}

#[test]
fn a_side_that_is_missing_is_said() {
    let scene = Scene::new();
    scene.earn();
    scene.pass_on();
    let (status, data) = audit(&scene.place, "audit ours.db up.db --no-memory");
    assert_eq!((status, codes(&data)), (0, vec!["other-side-missing"]));
    assert_eq!(
        row(&data, "our-phyle", &["state", "due", "taken"]),
        [json!("payer-missing"), Value::Null, json!("1200.00")]
    );
    assert_eq!(row(&data, "ours", &["state", "due"]), ["settled", "120.00"]);
    assert_eq!(data["totals"][0]["left_out"], 1);
    says(
        &scene.place.type_in("audit ours.db up.db --no-memory"),
        0,
        &["our-phyle -> ours: payer-missing", "?"],
    );
    // One side alone is no table.
    let alone = scene.place.type_in("audit ours.db --no-memory").done();
    alone.says(&["other-side-missing"]);
    assert!(!alone.out.contains("agreements in"), "{}", alone.out);
}

#[test]
fn an_old_copy_of_the_payer_is_a_gap_and_accuses_nobody() {
    let scene = Scene::new();
    scene.place.type_in("backup old.db --db phyle.db").done();
    scene.earn();
    let (status, data) = audit(&scene.place, "audit old.db ours.db --no-memory");
    assert_eq!((status, codes(&data)), (3, vec!["other-side-missing", "payer-behind"]));
    assert_eq!(row(&data, "our-phyle", &["state", "due"]), [json!("payer-behind"), Value::Null]);
    // Beside a newer one, it does no harm.
    let (status, data) = audit(&scene.place, "audit old.db ours.db phyle.db --no-memory");
    assert_eq!((status, codes(&data)), (0, vec!["cash-unmatched", "other-side-missing"]));
}

#[test]
fn a_node_that_is_away_keeps_no_other_from_being_judged() {
    let scene = Scene::new();
    scene.earn();
    scene.pass_on();
    let away = "audit phyle.db http://127.0.0.1:9 ours.db nowhere.db --no-memory";
    let (status, data) = audit(&scene.place, away);
    assert_eq!((status, &data["verdict"]), (4, &json!("gap")), "{data:#}");
    assert_eq!(data["ledgers"].as_array().unwrap().len(), 2);
    assert_eq!(row(&data, "our-phyle", &["state"]), ["settled"]);
    let missed = data["missed"].as_array().unwrap();
    let targets: Vec<&Value> = missed.iter().map(|missed| &missed["target"]).collect();
    assert_eq!(targets, ["http://127.0.0.1:9", "nowhere.db"]);
    assert!(missed.iter().all(|m| m["code"].is_string() && m["next"].is_string()), "{missed:?}");
    says(&scene.place.type_in(away), 4, &["http://127.0.0.1:9: not judged", "reconciled:"]);
    // A fault is a fault, whoever is away; and nothing at all is an error as before.
    let stranger = text(&scene.place.data("key show ulla"), "public");
    let line = format!("audit ours.db http://127.0.0.1:9 --no-memory --expect {stranger}");
    assert_eq!(audit(&scene.place, &line).0, 1);
    let nothing = scene.place.type_in("audit http://127.0.0.1:9 --json");
    assert_eq!(nothing.status, 4);
    assert!(nothing.object()["error"]["code"].is_string(), "{}", nothing.out);
}
