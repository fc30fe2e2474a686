//! What a witness has signed binds it after `kill -9`, whenever it comes.
//!
//! A log with two histories asks with both, over several connections, until the witness is killed
//! at a random moment. After the restart all that was ever signed must be of one history, the
//! witness must stand at or beyond the largest head that was signed, refuse the other history, and
//! go on. Where it stands beyond, the kill came between commit and reply, or just after.
//!
//! Killing a process tests what the program does, not what the disk does when the power goes:
//! that rests on SQLite's `synchronous=FULL`, and on the disk.
//!
//! Five rounds; `SUBAK_LONG=1` makes it fifty. `SUBAK_SEED` sets other moments.

#![allow(clippy::unwrap_used)]

mod kit;
#[path = "../node/tests/witness_kit/mod.rs"]
mod witness_kit;

use kit::{Dice, Place};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Stdio},
    sync::Mutex,
    time::Duration,
};
use subak_ledger::log::{Hash, cosignature::CosignerKey, note::Note, submission::Submission};
use witness_kit::{Client, Log, Reply};

const CLIENTS: u64 = 4;

/// A running witness; killed when dropped.
struct Server {
    child: Child,
    address: SocketAddr,
    told: Value,
}

impl Server {
    fn new(place: &Place) -> Self {
        let words = ["witness", "serve", "--json", "--trust-file", "logs.txt", "--listen"];
        let mut command = place.command();
        command.args(words).arg("127.0.0.1:0").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told = serde_json::from_str::<Value>(&line).unwrap()["data"].take();
        let address = told["url"].as_str().unwrap().strip_prefix("http://").unwrap();
        Self { address: address.parse().unwrap(), child, told }
    }

    fn ask(&self, request: &str) -> Reply {
        let mut client = Client::connect(self.address).unwrap();
        client.ask("POST", "/add-checkpoint", request.as_bytes()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A head that was signed, and when.
#[derive(Clone, Copy)]
struct Signed {
    size: u64,
    root: Hash,
    time: u64,
}

/// The cosignature in a 200, which must hold over this head.
fn signed(witness: &CosignerKey, log: &Log, size: u64, reply: &Reply) -> Signed {
    let note = format!("{}\n{}", log.body(size), reply.body);
    let time = witness.cosigned(&Note::parse(&note).unwrap()).expect("a cosignature that holds");
    Signed { size, root: log.root(size), time }
}

/// Asks for heads of both histories until the connection breaks.
fn client(
    address: SocketAddr,
    witness: &CosignerKey,
    stories: &[Log; 2],
    from: u64,
    dice: &mut Dice,
    all: &Mutex<Vec<Signed>>,
) {
    let Ok(mut client) = Client::connect(address) else { return };
    let mut old = from;
    loop {
        let log = &stories[usize::try_from(dice.below(2)).unwrap()];
        let size = old + dice.below(3);
        let request = log.request(old, size);
        match client.ask("POST", "/add-checkpoint", request.as_bytes()) {
            Ok(reply) if reply.status == 200 => {
                let head = signed(witness, log, size, &reply);
                all.lock().unwrap().push(head);
                old = size;
            }
            Ok(reply) if reply.status == 409 => old = reply.body.trim_end().parse().unwrap(),
            Ok(reply) if reply.status == 422 => {}
            Ok(other) => panic!("{other:?}"),
            Err(_) => return,
        }
    }
}

/// Load on a witness until it is killed.
fn round(
    mut server: Server,
    witness: &CosignerKey,
    stories: &[Log; 2],
    from: u64,
    dice: &mut Dice,
) -> Vec<Signed> {
    let all = Mutex::new(Vec::new());
    let alive = Duration::from_millis(20 + dice.below(500));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let (address, all, mut dice) = (server.address, &all, Dice(dice.below(u64::MAX)));
            scope.spawn(move || client(address, witness, stories, from, &mut dice, all));
        }
        std::thread::sleep(alive);
        server.child.kill().unwrap();
        server.child.wait().unwrap();
    });
    all.into_inner().unwrap()
}

/// A folder with a witness, its verifier key, and a trust file of one log.
fn place(log: &Log) -> (Place, CosignerKey) {
    let place = Place::new();
    let made = place.data("witness new w1 --name witness.example/w1");
    let witness = CosignerKey::parse(made["vkey"].as_str().unwrap()).unwrap();
    assert_eq!(witness.name(), "witness.example/w1");
    let trust = format!("# mine\nlog {} https://log.example/\nquorum none\n", log.verifier());
    fs::write(place.path().join("logs.txt"), trust).unwrap();
    (place, witness)
}

#[test]
fn what_was_signed_binds_after_kill_9() {
    let rounds = if std::env::var_os("SUBAK_LONG").is_some_and(|v| v == "1") { 50 } else { 5 };
    let seed = std::env::var("SUBAK_SEED").ok().map_or(20_261_121, |s| s.parse().unwrap());
    let mut dice = Dice(seed);
    let mut log = Log::new("log.example", 2, 10, 10, "");
    let (place, witness) = place(&log);
    let mut all: Vec<Signed> = Vec::new();
    let (mut at, mut beyond) = (0, 0);
    for number in 0..rounds {
        let fork = at + 2 + dice.below(3);
        let stories =
            ["rice", "tea"].map(|s| log.branch(fork, fork + 3_000, &format!("{s} {number}")));
        all.extend(round(Server::new(&place), &witness, &stories, at, &mut dice));

        let server = Server::new(&place);
        let largest = all.iter().map(|head| head.size).max().unwrap_or(0);
        // Of which size it is: asked from a size that it cannot have.
        let reply = server.ask(&stories[0].request(fork + 2_998, fork + 2_999));
        assert_eq!((reply.status, reply.content_type.as_deref()), (409, Some("text/x.tlog.size")));
        at = reply.body.trim_end().parse().unwrap();
        assert!(at >= largest, "round {number}: {largest} was signed, and {at} is known");
        beyond += u64::from(at > largest);

        // It signs that head again, of one history; and nothing of the other.
        let replies = [0, 1].map(|n| server.ask(&stories[n].request(at, at)));
        let shared = at <= fork;
        let truth = usize::from(replies[0].status != 200);
        assert_eq!(replies[truth].status, 200, "round {number}: {replies:?}");
        assert_eq!(replies[1].status == 200, shared || truth == 1, "round {number}: {replies:?}");
        let [one, other] = [&stories[truth], &stories[1 - truth]];
        for head in &all {
            assert_eq!(
                one.root(head.size),
                head.root,
                "round {number}: a second history is signed"
            );
        }
        if !shared {
            assert_eq!(server.ask(&other.request(at, at)).status, 409);
            assert_eq!(server.ask(&other.request(at, at + 5)).status, 422);
        }
        for old in [0, at / 2, at.saturating_sub(1)] {
            if old < at {
                let smaller = Submission::write(old, &one.proof(old, at - 1), &one.note(at - 1));
                let reply = server.ask(&smaller);
                assert_eq!((reply.status, reply.body), (409, format!("{at}\n")), "round {number}");
            }
        }

        // And it goes on, later than it ever signed.
        let reply = server.ask(&one.request(at, at + 5));
        let next = signed(&witness, one, at + 5, &reply);
        assert!(all.iter().all(|head| head.time <= next.time), "round {number}: time went back");
        all.push(next);
        at += 5;
        log = one.branch(at, at + 10, "");
    }
    println!(
        "seed {seed}: {rounds} rounds of kill -9, {} heads signed, all of one history to size {at}; \
         in {beyond} rounds a head was kept that nobody got the signature of",
        all.len()
    );
    assert!(all.len() > rounds * 2, "the witness was killed before it did anything");
}

#[test]
fn keys_and_stores_are_each_for_one_use() {
    let log = Log::new("log.example", 2, 9, 9, "");
    let (place, witness) = place(&log);
    let refused = |line: &str, code: &str| {
        let ran = place.type_in(&format!("{line} --json"));
        assert_eq!(ran.object()["error"]["code"], code, "{line}: {}{}", ran.out, ran.err);
    };
    place.type_in("key new ana").done();
    let serve = "witness serve --listen 127.0.0.1:0 --trust-file logs.txt";
    refused(&format!("{serve} --key home/keys/ana.key"), "not-a-witness-key");
    refused(&format!("{serve} --name witness.example/w2"), "other-name");
    refused(&format!("{serve} --store typo.db"), "missing");
    assert!(!place.path().join("typo.db").exists(), "nothing is begun anew by mistake");
    refused("commons open rice --steward ana --as ana --key home/keys/w1.witness", "witness-key");
    refused("witness new w1 --name witness.example/w1 --store other.db", "key-exists");
    refused("witness new w2 --name witness.example/w2", "exists");
    assert!(!place.key("w2").with_extension("witness").exists(), "no key without a store");
    refused("witness new w2 --name words --store w2.db --out logs.txt", "key-exists");
    place.type_in("witness new w2 --name witness.example/w2 --store w2.db").done();
    refused(serve, "usage"); // which of the two keys?
    refused(&format!("{serve} --as w2"), "other-store");
    fs::write(place.path().join("nobody.txt"), "quorum none\n").unwrap();
    refused("witness serve --as w1 --trust-file nobody.txt", "no-log");
    fs::write(place.path().join("broken.txt"), "log nonsense\n").unwrap();
    refused("witness serve --as w1 --trust-file broken.txt", "bad-policy");
    assert_eq!(place.data("witness show --as w1")["vkey"], witness.to_string());
}

#[test]
#[cfg(unix)]
fn a_witness_tells_what_it_is_and_what_it_was_shown_and_ends_when_asked_to() {
    let log = Log::new("log.example", 2, 9, 4, "rice");
    let other = Log::new("log.example", 2, 9, 4, "tea");
    let (place, witness) = place(&log);
    let mut server = Server::new(&place);
    assert_eq!(server.told["vkey"], witness.to_string());
    assert_eq!(server.told["logs"], serde_json::json!(["log.example"]));
    assert_eq!(server.ask(&log.request(0, 6)).status, 200);
    assert_eq!(server.ask(&other.request(6, 6)).status, 409);
    let busy = place.type_in("witness serve --trust-file logs.txt --listen 127.0.0.1:0 --json");
    assert_eq!((busy.status, &busy.object()["error"]["code"]), (4, &Value::from("locked")));

    // Beside the witness that runs.
    let evidence = place.data("witness evidence")["evidence"].take();
    assert_eq!(evidence.as_array().unwrap().len(), 1, "{evidence}");
    assert_eq!((&evidence[0]["kind"], &evidence[0]["size"]), (&"root".into(), &6.into()));
    for (field, note) in [("kept", log.note(6)), ("shown", other.note(6))] {
        assert_eq!(evidence[0][field], note);
        log.verifier().verify(&Note::parse(&note).unwrap()).unwrap();
        let printed = place.type_in("witness evidence").done().out;
        assert!(printed.contains(&note), "{printed}");
    }

    let pid = server.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}
