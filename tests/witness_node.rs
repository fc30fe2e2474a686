//! A node, and two witnesses that run: what they saw goes into receipts, audits, bundles and
//! payouts, what they have not seen keeps income from other ledgers waiting, and what they remember
//! stops an old copy.
//!
//! All of it in real programs. What a witness says that is not ours is scripted elsewhere
//! (`node/tests/submit.rs`), and that it keeps its word after a crash is `witness_crash`.

#![allow(clippy::unwrap_used)]

mod kit;

use kit::{Place, Server};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A witness that runs at its own place; killed when dropped.
struct Witness {
    child: Child,
    _place: Place,
    /// `NAME VKEY URL`, as a trust file has it.
    line: String,
}

impl Witness {
    fn new(name: &str, log: &str) -> Self {
        let place = Place::new();
        let made = place.data(&format!("witness new w --name witness.example/{name}"));
        fs::write(place.path().join("logs.txt"), format!("{log}\nquorum none\n")).unwrap();
        let words = ["witness", "serve", "--json", "--trust-file", "logs.txt", "--listen"];
        let mut command = place.command();
        command.args(words).arg("127.0.0.1:0").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut told = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut told).unwrap();
        let told: Value = serde_json::from_str(&told).unwrap();
        let [key, url] = [&made["vkey"], &told["data"]["url"]].map(|v| v.as_str().unwrap());
        Self { line: format!("witness {name} {key} {url}\n"), child, _place: place }
    }

    /// SIGSTOP, SIGCONT.
    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A commons in which cleo can be paid, and two witnesses who know of it.
struct Scene {
    place: Place,
    witnesses: Vec<Witness>,
    /// As `commons show --vkey` prints it for a trust file.
    log: String,
}

const SERVED: [&str; 2] = ["--witnesses", "trust.txt"];

impl Scene {
    fn new() -> Self {
        let place = Place::new();
        for line in [
            "key new ana",
            "key new cleo",
            "commons open our-commons --steward ana --phyle our-phyle",
            "contribute 3 --kind hours --as cleo",
            "agent admit cleo --as ana",
            "validate --all-pending --remuneration unpaid --as ana",
            "income record --payer our-phyle --amount \"900.00 EUR\" --bank t-1 --as ana",
        ] {
            place.type_in(line).done();
        }
        let log = place.type_in("commons show --vkey").done().out.trim().to_owned();
        let witnesses: Vec<_> = ["W1", "W2"].iter().map(|name| Witness::new(name, &log)).collect();
        let scene = Self { place, witnesses, log };
        scene.write("trust.txt", "group BOTH all W1 W2\nquorum BOTH\n");
        scene
    }

    /// A trust file with the log, both witnesses, and what else is said.
    fn write(&self, file: &str, more: &str) {
        let witnesses: String = self.witnesses.iter().map(|w| w.line.as_str()).collect();
        let text = format!("{}\n{witnesses}{more}", self.log);
        fs::write(self.place.path().join(file), text).unwrap();
    }

    /// Waits until both have signed the newest head; its size.
    fn seen_by_both(&self, server: &Server) -> u64 {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let newest = self.data(&format!("checkpoint get --node {}", server.url));
            let line = format!("checkpoint get --witnessed --node {} --json", server.url);
            let ran = self.place.type_in(&line);
            if ran.status == 0 {
                let seen = ran.object()["data"].take();
                let note = seen["checkpoint"].as_str().unwrap().to_owned();
                let both =
                    ["W1", "W2"].iter().all(|w| note.contains(&format!("witness.example/{w} ")));
                if both && seen["size"] == newest["size"] {
                    return seen["size"].as_u64().unwrap();
                }
            }
            assert!(Instant::now() < until, "the witnesses sign in time: {}{}", ran.out, ran.err);
            thread::sleep(Duration::from_millis(100));
        }
    }

    #[track_caller]
    fn data(&self, line: &str) -> Value {
        self.place.data(line)
    }

    /// That a line is refused with this status and code; the error.
    #[track_caller]
    fn refused(&self, line: &str, status: i32, code: &str) -> Value {
        let ran = self.place.type_in(&format!("{line} --json"));
        assert_eq!(ran.status, status, "subak {line}\n{}{}", ran.out, ran.err);
        let error = ran.object()["error"].take();
        assert_eq!(error["code"], code, "subak {line}: {error}");
        error
    }

    /// Puts an older copy of the database in the place of the newest; without the head file,
    /// unless it is to be kept.
    fn put_back(&self, older: &str, keep_head: bool) {
        for file in ["subak.db", "subak.db-wal", "subak.db-shm"] {
            let _ = fs::remove_file(self.place.path().join(file));
        }
        fs::copy(self.place.path().join(older), self.place.db()).unwrap();
        for file in fs::read_dir(self.place.path().join("subak.db.keys")).unwrap() {
            let path = file.unwrap().path();
            if !keep_head && path.extension().is_some_and(|e| e == "head") {
                fs::remove_file(path).unwrap();
            }
        }
    }
}

fn names(witnessed: &Value) -> Vec<&str> {
    let by = witnessed.as_array().unwrap().iter();
    by.map(|w| w["witness"].as_str().unwrap()).collect()
}

#[test]
fn what_witnesses_saw_is_in_receipts_audits_and_bundles() {
    let scene = Scene::new();
    let server = scene.place.serve(&SERVED);
    let size = scene.seen_by_both(&server);
    let url = &server.url;

    // A receipt bears their word, to those who trust them.
    scene.data(&format!("receipt get 1 --out claim.tlog-proof --node {url}"));
    let holds = scene.data("receipt verify claim.tlog-proof --trust-file trust.txt");
    assert_eq!(names(&holds["witnessed"]), ["W1", "W2"], "{holds}");
    let receipt = fs::read_to_string(scene.place.path().join("claim.tlog-proof")).unwrap();
    let without = |dropped: &str| -> String {
        receipt.split_inclusive('\n').filter(|line| !line.contains(dropped)).collect()
    };
    for dropped in ["witness.example/", "witness.example/W2"] {
        fs::write(scene.place.path().join("fewer.tlog-proof"), without(dropped)).unwrap();
        scene.refused("receipt verify fewer.tlog-proof --trust-file trust.txt", 1, "unwitnessed");
    }

    // So does the ledger, from its file, from the node, and from a bundle.
    scene.data(&format!("bundle export file.subak --node {url}"));
    scene.data("bundle export node.subak");
    for target in ["subak.db", url, "file.subak", "node.subak"] {
        let line = format!("audit {target} --trust-file trust.txt --no-memory");
        let audit = scene.data(&line);
        let ledger = &audit["ledgers"][0];
        assert_eq!(audit["verdict"], "sound", "{line}: {audit:#}");
        assert_eq!(ledger["witnessed"]["size"], size, "{line}");
        assert_eq!(names(&ledger["witnessed"]["by"]), ["W1", "W2"], "{line}");
        let text = scene.place.type_in(&line).done().out;
        assert!(text.contains("W1") && text.contains("W2"), "{line}: {text}");

        // Who asks for a third witness, whose word nobody has, cannot be served by those two.
        let stranger = Place::new().data("witness new w --name witness.example/W3");
        let more = format!(
            "witness W3 {}\ngroup ALL all W1 W2 W3\nquorum ALL\n",
            stranger["vkey"].as_str().unwrap()
        );
        scene.write("third.txt", &more);
        let ran = scene
            .place
            .type_in(&format!("audit {target} --trust-file third.txt --no-memory --json"));
        assert_eq!(ran.status, 3, "{target}: {}{}", ran.out, ran.err);
        let audit = ran.object()["data"].take();
        assert_eq!(audit["verdict"], "gap", "{target}: {audit:#}");
        let findings = audit["findings"].to_string();
        assert!(findings.contains("unwitnessed"), "{target}: {findings}");
    }
}

#[test]
fn nobody_is_paid_from_a_history_that_witnesses_have_not_seen() {
    let mut scene = Scene::new();
    let server = scene.place.serve(&SERVED);
    let at = format!("--node {} --trust-file trust.txt", server.url);
    // The node has grown just now: they are waited for.
    scene.data(&format!("contribute 1 --kind hours --as cleo {at}"));
    let run = scene.data(&format!("payout propose cleo=100.00 --as ana {at}"));
    let size = scene.data(&format!("checkpoint get {at}"))["size"].as_u64().unwrap();
    assert!(run["entry"].as_u64().unwrap() < size, "{run}");
    scene.seen_by_both(&server);
    // What goes to the bank, likewise.
    let csv = format!("payout list {} --csv {at}", run["entry"]);
    assert!(scene.place.type_in(&csv).done().out.contains("cleo"));

    drop(scene.witnesses.pop());
    // Appends go on without it,
    let claimed = scene.data(&format!("contribute 1 --kind hours --as cleo {at}"));
    assert_eq!(claimed["entry"], size);
    // and no money moves.
    let line = format!("payout propose cleo=100.00 --as ana {at}");
    let error = scene.refused(&line, 1, "unwitnessed");
    assert!(error["next"].as_str().is_some_and(|next| !next.is_empty()), "{error}");
    let after = scene.data(&format!("checkpoint get {at}"));
    assert_eq!(after["size"], size + 1, "nothing of it is recorded");
    let bank = scene.place.type_in(&csv);
    assert_eq!((bank.status, bank.out.as_str()), (1, ""), "no line for the bank: {}", bank.err);
    assert!(bank.err.contains("[unwitnessed]"), "{}", bank.err);
    scene.place.type_in(&csv.replace("--csv ", "")).done(); // to look at it costs nothing
    scene.data(&format!("contribute 1 --kind hours --as cleo {at}"));
}

/// A phyle whose heads both witnesses sign, and a commons, on another node, that believes no other.
#[test]
fn income_waits_for_the_late_witness_and_then_comes_by_itself() {
    let (ours, theirs) = (Place::new(), Place::new());
    ours.type_in("key new ana").done();
    theirs.type_in("key new tess").done();
    ours.type_in("commons open ours --steward ana --phyle our-phyle").done();
    theirs.type_in("phyle open our-phyle --steward tess --commons ours").done();
    let offer = "agreement offer --commons-ledger ours --share \"10 %\" --currency EUR --other-db";
    let offered = theirs.data(&format!("{offer} {}", ours.db().display()));
    let digest = offered["agreement"].as_str().unwrap();
    let payer = theirs.db();
    ours.type_in(&format!("agreement accept {digest} --other-db {}", payer.display())).done();

    let vkey = |place: &Place, what: &str| {
        place.type_in(&format!("{what} show --vkey")).done().out.trim().to_owned()
    };
    let (own, log) = (vkey(&ours, "commons"), vkey(&theirs, "phyle"));
    let [first, late] = ["W1", "W2"].map(|name| Witness::new(name, &log));
    let quorum = "group BOTH all W1 W2\nquorum BOTH\n";
    let trust = format!("{own}\n{log}\n{}{}{quorum}", first.line, late.line);
    for place in [&ours, &theirs] {
        fs::write(place.path().join("trust.txt"), &trust).unwrap();
    }
    let there = theirs.serve(&SERVED);
    let here = ours.serve(&["--trust-file", "trust.txt"]);
    ours.type_in(&format!("peer add {}", there.url)).done();
    let list = format!("agreement list --node {}", here.url);
    let until = |what: &str, so: &dyn Fn(&Value) -> bool| {
        let end = Instant::now() + Duration::from_mins(1);
        loop {
            let row = ours.data(&list)["agreements"][0].take();
            if so(&row) {
                return row;
            }
            assert!(Instant::now() < end, "{what}: {row:#}");
            thread::sleep(Duration::from_millis(100));
        }
    };
    let record = |number: u64| {
        let line = format!("revenue record a/{number} --net \"1000.00 EUR\" --node {}", there.url);
        theirs.data(&line)["entry"].as_u64().unwrap()
    };
    record(1);
    until("both sign", &|row| row["taken"] == "100.00");

    late.signal("STOP");
    let entry = record(2);
    let row = until("the node says that it waits", &|row| !row["waits"].is_null());
    assert_eq!((&row["taken"], &row["in_flight"]), (&"100.00".into(), &"100.00".into()), "{row}");
    assert_eq!(row["waits"]["code"], "unwitnessed");
    let who = row["waits"]["message"].as_str().unwrap().split_once("not here: ").unwrap().1;
    assert!(who.split(", ").any(|name| name == "W2"), "{who}");
    let said =
        format!("its node waits: entries {entry} to {entry} wait for a head that is signed by");
    ours.type_in(&list).done().says(&["100.00 due and not taken (1 number)", &said, "W2"]);

    late.signal("CONT");
    let row = until("it comes", &|row| row["taken"] == "200.00" && row["waits"].is_null());
    assert_eq!(row["in_flight"], "0.00", "{row}");
    drop((there, here));
    ours.sound(&ours.db());
}

#[test]
fn an_older_copy_is_not_served() {
    let scene = Scene::new();
    scene.data("backup older.db");
    scene.data("contribute 1 --kind hours --as cleo");
    let mut server = scene.place.serve(&SERVED);
    scene.seen_by_both(&server);
    server.kill();
    drop(server);

    // Of this node's own memory nothing is left: the witnesses remember.
    scene.put_back("older.db", false);
    let line = "serve --listen 127.0.0.1:0 --witnesses trust.txt";
    let error = scene.refused(line, 1, "older-database");
    assert!(error["message"].as_str().unwrap().contains("witness W"), "{error}");
    assert!(error["next"].as_str().unwrap().contains("newest copy"), "{error}");
    // That stays known where nobody asks them again.
    for line in ["serve --listen 127.0.0.1:0", "contribute 1 --kind hours --as cleo"] {
        let error = scene.refused(line, 1, "older-database");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("witness W") && message.contains("halted"), "{error}");
    }
}

#[test]
fn beside_its_head_file_an_older_copy_needs_no_witness_to_be_told() {
    let scene = Scene::new();
    scene.data("backup older.db");
    scene.data("contribute 1 --kind hours --as cleo");
    scene.put_back("older.db", true);
    for more in ["", " --witnesses trust.txt"] {
        let error =
            scene.refused(&format!("serve --listen 127.0.0.1:0{more}"), 1, "older-database");
        assert!(error["next"].as_str().unwrap().contains("newest copy"), "{error}");
    }
}

#[test]
fn a_head_that_somebody_kept_stops_an_older_copy_for_good() {
    let scene = Scene::new();
    scene.data("backup older.db");
    scene.data("contribute 1 --kind hours --as cleo");
    scene.data("checkpoint get --out kept.checkpoint");
    scene.put_back("older.db", false);
    let mut server = scene.place.serve(&[]);
    let at = format!("--node {}", server.url);
    let claim = "contribute 1 --kind hours --as cleo";
    let size = scene.data(&format!("{claim} {at}"))["entry"].as_u64().unwrap();
    // One entry of the new history is as many as there were: it is the root that differs.
    scene.refused(&format!("checkpoint challenge kept.checkpoint {at}"), 1, "older-database");
    scene.refused(&format!("{claim} {at}"), 1, "older-database");
    let now = scene.data(&format!("checkpoint get {at}"))["size"].as_u64().unwrap();
    assert_eq!(now, size + 1, "nothing more is appended");
    server.kill();
    drop(server);
    // It is marked beside the keys, until a person takes the mark away.
    scene.refused("serve --listen 127.0.0.1:0", 1, "older-database");
    scene.refused(claim, 1, "older-database");
    fs::remove_file(scene.place.path().join("subak.db.keys/halted")).unwrap();

    // And where the copy is only shorter, its operator's own file remembers it from then on.
    scene.put_back("older.db", false);
    let mut server = scene.place.serve(&[]);
    let at = format!("--node {}", server.url);
    scene.refused(&format!("checkpoint challenge kept.checkpoint {at}"), 1, "older-database");
    scene.refused(&format!("{claim} {at}"), 1, "older-database");
    server.kill();
    drop(server);
    scene.refused("serve --listen 127.0.0.1:0", 1, "older-database");
    scene.refused(claim, 1, "older-database");
}
