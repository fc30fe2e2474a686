//! A year's steps of a commons and a phyle, each as somebody types it, through a server.
//!
//! Nobody here has the ledger file: keys stay in their owners' homes, statements go to
//! the node, and what is shown was folded from what the node sent. Only the end looks
//! into the file, as an auditor. The README's tours are these commands.

#![allow(clippy::unwrap_used)]

mod kit;

use kit::{DAY_MS, Place, Ran, Server, now};
use serde_json::Value;
use std::time::{Duration, Instant};
use subak_cli::money::show_time;

/// People at their own machine, and a server elsewhere.
struct Scene {
    people: Place,
    server: Server,
    start: u64,
}

impl Scene {
    fn line(&self, day: u64, line: &str) -> String {
        let at = show_time(self.start + day * DAY_MS);
        format!("{line} --node {} --at {at}", self.server.url)
    }

    /// Types a line on a day of the story; what it answers to programs.
    #[track_caller]
    fn on(&self, day: u64, line: &str) -> Value {
        self.people.data(&self.line(day, line))
    }

    /// The same, as a person sees it.
    #[track_caller]
    fn see(&self, line: &str) -> Ran {
        self.people.type_in(&format!("{line} --node {}", self.server.url)).done()
    }
}

#[track_caller]
fn text(data: &Value, field: &str) -> String {
    data[field].as_str().unwrap_or_else(|| panic!("{field} in {data}")).to_owned()
}

/// Two stewards open a commons, two people work for it, both stewards validate it.
fn a_commons_with_work(scene: &Scene) {
    for who in ["ana", "ben", "cleo", "dora", "tess"] {
        scene.people.type_in(&format!("key new {who}")).done();
    }
    let opened = scene.on(
        0,
        "commons open our-commons --sandbox --steward ana --steward ben --quorum 2 --template equal \
         --phyle our-phyle",
    );
    assert_eq!(opened["open"], false, "it waits for ben: {opened}");
    scene.on(0, "approve 0 --as ben");
    let cleo = scene.on(2, "contribute 3 --kind hours --note workshop --as cleo");
    scene.on(2, "contribute 1 --kind review --reference pr:412 --as dora");
    scene.on(3, "agent admit cleo --as ana");
    scene.on(3, "agent admit dora --as ben");
    let pending = scene.see("contribution list --pending");
    assert_eq!(pending.out.matches("pending 0/2").count(), 2, "{}", pending.out);
    scene
        .on(3, &format!("validate {} --remuneration unpaid --as ana", text(&cleo, "contribution")));
    scene.on(3, "validate --all-pending --remuneration unpaid --as ana");
    scene.on(4, "validate --all-pending --remuneration unpaid --as ben");
    assert!(!scene.see("contribution list").out.contains("pending"), "both have seen both");
}

/// A phyle opens, offers a tenth of its revenue, and both sides agree.
fn an_agreement(scene: &Scene) -> String {
    scene.on(5, "phyle open our-phyle --sandbox --steward tess --commons our-commons --as tess");
    let offer = scene.on(
        5,
        "agreement offer --ledger our-phyle --commons-ledger our-commons --share \"10 %\" --currency EUR --as tess",
    );
    let digest = text(&offer, "agreement");
    let accept = scene.on(6, &format!("agreement accept {digest} --ledger our-commons --as ana"));
    let waiting = scene.see("proposals --ledger our-commons").out;
    assert!(waiting.contains("AgreementAccept") && waiting.contains("ben"), "{waiting}");
    scene.on(6, &format!("approve {} --ledger our-commons --as ben", accept["entry"]));
    scene.on(6, &format!("agreement state {digest} --ledger our-commons --as ana"));
    scene.on(7, &format!("agreement activate {digest} --ledger our-phyle --as tess"));
    let list = scene.see("agreement list --ledger our-phyle").out;
    assert!(list.contains("active"), "{list}");
    digest
}

/// Revenue falls due, becomes income, is settled and paid out.
fn money_comes_and_goes(scene: &Scene, digest: &str) {
    scene.on(
        60,
        "revenue record a/1 --net \"12000.00 EUR\" --tax \"2400.00 EUR\" --ledger our-phyle --as tess",
    );
    scene.on(60, "income take --ledger our-commons --as ana");
    scene.on(
        65,
        &format!(
            "settle sent {digest} --amount \"1200.00 EUR\" --bank \"our transfer 77\" --ledger our-phyle --as tess"
        ),
    );
    scene.on(
        66,
        &format!(
            "settle received {digest} --amount \"1200.00 EUR\" --bank \"statement 4, line 2\" --ledger our-commons --as ana"
        ),
    );
    let run = scene.on(70, "payout propose --all --ledger our-commons --as ana");
    let run = run["run"].as_u64().or(run["entry"].as_u64()).unwrap();
    let csv = scene.see(&format!("payout list {run} --csv --ledger our-commons")).out;
    assert!(csv.contains("cleo") && csv.contains("900.00") && csv.contains("300.00"), "{csv}");
    scene.on(
        72,
        &format!(
            "payout paid {run} --except dora --bank \"batch 9\" --ledger our-commons --as ana"
        ),
    );
}

#[test]
fn the_whole_cycle_through_a_server() {
    let keeper = Place::new();
    let server = keeper.serve(&["--new-ledgers"]);
    let scene = Scene { people: Place::new(), server, start: now() - 100 * DAY_MS };
    a_commons_with_work(&scene);
    let digest = an_agreement(&scene);
    money_comes_and_goes(&scene, &digest);

    // Cleo gave three of four points: three quarters of 10 % of 12,000.
    let balance = scene.see("balance cleo --ledger our-commons").out;
    assert!(balance.contains("900.00"), "{balance}");
    let why = scene.see("explain cleo --ledger our-commons").out;
    assert!(why.contains("1,200.00") && why.contains("3 / 4 = 900.000000"), "{why}");
    let down = scene.see("explain cleo --income 1 --ledger our-commons").out;
    assert!(down.contains("hours") && down.contains("ben"), "who validated what: {down}");
    let dora = scene.see("balance dora --ledger our-commons").out;
    assert!(dora.contains("300.00"), "{dora}");
    assert!(!scene.people.db().exists(), "nothing was kept where the people are");

    let from_afar = scene.people.run(&["audit", &scene.server.url, "--json"]).data();
    assert_eq!(from_afar["verdict"], "sound", "{from_afar:#}");
    let Scene { mut server, .. } = scene;
    server.kill();
    let in_the_file = keeper.sound(&keeper.db());
    let roots = |audit: &Value| -> Vec<Value> {
        audit["ledgers"].as_array().unwrap().iter().map(|l| l["root"].clone()).collect()
    };
    assert_eq!(roots(&from_afar), roots(&in_the_file));
    assert_eq!(roots(&in_the_file).len(), 2);
}

#[test]
fn a_server_for_its_own_ledgers_lets_nobody_open_more() {
    let keeper = Place::new();
    keeper.type_in("key new ana").done();
    keeper.type_in("commons open our-commons --steward ana").done();
    let server = keeper.serve(&[]);
    let line = format!("commons open another --steward ana --node {}", server.url);
    let refused = keeper.type_in(&line);
    assert_eq!(refused.status, 1, "{}{}", refused.out, refused.err);
    assert!(refused.err.contains("next: "), "{}", refused.err);
    // Contributing needs nobody's leave.
    let stranger = Place::new();
    stranger.type_in("key new cleo").done();
    stranger.type_in(&format!("contribute 2 --node {}", server.url)).done();
    let list = stranger.type_in(&format!("contribution list --node {}", server.url)).done();
    assert!(list.out.contains("cleo"), "{}", list.out);
}

#[test]
fn an_audit_of_a_copy_says_that_it_is_one_and_from_where() {
    let [keeper, copier] = [Place::new(), Place::new()];
    keeper.type_in("key new ana").done();
    keeper.type_in("commons open our-commons --steward ana").done();
    let server = keeper.serve(&[]);
    copier.type_in(&format!("peer add {} --all", server.url)).done();
    let copy = copier.serve(&["--new-ledgers"]);
    let until = Instant::now() + Duration::from_secs(20);
    let told = loop {
        let told = copier.type_in(&format!("audit {} --no-memory --json", copy.url));
        if told.status == 0 {
            break told;
        }
        assert!(Instant::now() < until, "{}{}", told.out, told.err);
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(told.data()["ledgers"][0]["copied_from"], server.url.as_str());
    let read = copier.type_in(&format!("audit {} --no-memory", copy.url)).done();
    read.says(&[&format!("a copy of {}", server.url)]);
    let own = copier.data(&format!("audit {} --no-memory", server.url));
    assert_eq!(own["ledgers"][0]["copied_from"], Value::Null);
}
