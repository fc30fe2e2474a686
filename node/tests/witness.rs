//! A witness as logs meet it: every answer of the protocol, and no second history, whoever asks
//! at the same moment and whatever fails.

#![allow(clippy::unwrap_used)]

mod witness_kit;

use std::{
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use subak_ledger::{
    log::{
        SecretKey, cosignature::CosignerKey, head::Head, note::Note, submission::MAX_SUBMISSION,
        submission::Submission, tree,
    },
    store::{
        Result as Stored, StoreError, WitnessFile, WitnessReader,
        witness::{Advance, Contradiction, Evidence, Kept, Step, WitnessStore},
    },
};
use subak_node::witness::{Answer, Logs, Witness, serve::serve};
use tokio::{net::TcpListener, sync::oneshot};
use witness_kit::{Client, Log};

const NAME: &str = "witness.example/w1";
const TEXT: &str = "text/plain; charset=utf-8";

fn key() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

fn cosigner() -> CosignerKey {
    CosignerKey::new(NAME, key().public()).unwrap()
}

fn store(dir: &Path) -> WitnessFile {
    WitnessFile::create(&dir.join("w.db"), NAME, &key().public().bytes()).unwrap()
}

fn witness(logs: &[&Log], store: impl WitnessStore + 'static) -> Witness {
    let logs = Logs::new(logs.iter().map(|log| log.verifier()));
    Witness::new(NAME, key(), logs, Box::new(store)).unwrap()
}

/// When the witness has signed this head; `line` is all that it answered.
fn cosigned(checkpoint: &str, line: &str) -> Option<u64> {
    let text = Note::parse(checkpoint).unwrap().text;
    cosigner().cosigned(&Note::parse(&format!("{text}\n{line}")).ok()?)
}

/// A witness on a port; ends in order when dropped.
struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    ended: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    fn new(witness: Witness) -> Self {
        let (told, address) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let ended = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                told.send(listener.local_addr().unwrap()).unwrap();
                serve(Arc::new(witness), listener, async { drop(stopped.await) }).await;
            });
        });
        Self { address: address.recv().unwrap(), stop: Some(stop), ended: Some(ended) }
    }

    fn client(&self) -> Client {
        Client::connect(self.address).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.ended.take().unwrap().join().unwrap();
    }
}

/// What the body of an answer is.
enum Form {
    /// A line that tells a person why.
    Words(&'static str),
    /// The size of the last head that was cosigned.
    Size(u64),
    /// A cosignature of this checkpoint.
    Line(String),
    Nothing,
}
use Form::{Line, Nothing, Size, Words};

/// What is wrong or right, method, path, body; status, and form of the answer.
type Row = (&'static str, &'static str, &'static str, Vec<u8>, u16, Form);

#[test]
fn every_answer_of_the_protocol() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new("example.com/behind-the-sofa", 2, 40, 10, "");
    let other = Log::new("example.com/behind-the-sofa", 2, 40, 10, "another story");
    let renewed = Log::new("example.com/behind-the-sofa", 3, 40, 10, "");
    let stranger = Log::new("example.com/behind-the-sofa", 9, 40, 10, "");
    let foreign = Log::new("example.com/foreign", 5, 3, 3, "");
    let server = Server::new(witness(&[&log, &renewed], store(dir.path())));

    let extended = log.sign(&format!("{}an extension\n", log.body(21)));
    let both = {
        // Signed by the old key and the new one, and by somebody unknown.
        let (old, new) = (log.note(22), renewed.note(22));
        let line = new.split_once("\n\n").unwrap().1;
        format!("{old}{line}— unknown.example AAAAAAECAwQ=\n")
    };
    let hash = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n";
    let false_proof: Vec<_> = log.proof(20, 30).into_iter().rev().collect();
    let unsigned = log.body(20) + "\n— example.com/behind-the-sofa AAAAAAECAwQ=\n";
    let altered = log.note(20).replace("\n20\n", "\n21\n");
    let empty = log.note(0);
    let of = Submission::write;
    let post = |what, body: String, status, form| -> Row {
        (what, "POST", "/add-checkpoint", body.into_bytes(), status, form)
    };
    // In order: what was cosigned by one row is known in the next.
    let table: Vec<Row> = vec![
        ("another path", "POST", "/add", log.request(0, 5).into(), 404, Words("GET /")),
        ("another method", "GET", "/add-checkpoint", vec![], 405, Nothing),
        ("another method", "PUT", "/add-checkpoint", log.request(0, 5).into(), 405, Nothing),
        ("another method", "POST", "/", vec![], 405, Nothing),
        ("too large", "POST", "/add-checkpoint", vec![b'x'; MAX_SUBMISSION + 1], 413, Words("")),
        post("nothing", String::new(), 400, Words("blank line")),
        ("no text", "POST", "/add-checkpoint", b"old 0\n\n\xff\n".into(), 400, Words("UTF-8")),
        post("no old size", log.note(5), 400, Words("line 1")),
        post("another spelling", log.request(0, 5).replace("old 0", "old 00"), 400, Words("old")),
        post("no blank line", format!("old 0\n{}", log.body(5)), 400, Words("blank line")),
        post(
            "proof in another form",
            of(1, &[], &log.note(5)).replacen('\n', "\nx\n", 1),
            400,
            Words("base64"),
        ),
        post("64 lines", format!("old 5\n{}\n{}", hash.repeat(64), log.note(20)), 400, Words("63")),
        post("no note", "old 0\n\nnonsense\n".into(), 400, Words("note")),
        post("no checkpoint", of(0, &[], &log.sign("nonsense\n")), 400, Words("checkpoint")),
        post(
            "a size with a zero before it",
            of(0, &[], &log.sign(&log.body_of("05", &[9; 32]))),
            400,
            Words("size"),
        ),
        post("old size larger than the head", of(6, &[], &log.note(5)), 400, Words("at most")),
        post("an unknown origin", foreign.request(0, 3), 404, Words("no log")),
        post(
            "another log's origin, signed by this one",
            of(0, &[], &log.sign(&foreign.body(3))),
            404,
            Words("no log"),
        ),
        post(
            "signed by another key of that name",
            stranger.request(0, 5),
            403,
            Words("no trusted"),
        ),
        post("signed by an unknown key", of(0, &[], &unsigned), 403, Words("no trusted key")),
        post("another text than was signed", of(0, &[], &altered), 403, Words("no trusted key")),
        // Nothing is known yet.
        post("not from 0", log.request(3, 5), 409, Size(0)),
        post("nothing known, and a proof", of(0, &[[1; 32]], &log.note(5)), 422, Words("no proof")),
        post(
            "an empty log with a false root",
            of(0, &[], &log.sign(&log.body_of("0", &[9; 32]))),
            409,
            Size(0),
        ),
        post("an empty log", of(0, &[], &empty), 200, Line(empty.clone())),
        post("an empty log with a proof", of(0, &[[1; 32]], &empty), 422, Words("no proof")),
        post("from nothing", log.request(0, 5), 200, Line(log.note(5))),
        post("from nothing again", log.request(0, 5), 409, Size(5)),
        post("from an older size", log.request(3, 7), 409, Size(5)),
        post("from a later size", log.request(7, 9), 409, Size(5)),
        post("smaller", log.request(2, 4), 409, Size(5)),
        post("the same", of(5, &[], &log.note(5)), 200, Line(log.note(5))),
        post("the same, and a proof", of(5, &[[1; 32]], &log.note(5)), 422, Words("no proof")),
        post("the next", log.request(5, 20), 200, Line(log.note(20))),
        post("the same size, another root", of(20, &[], &other.note(20)), 409, Size(20)),
        post("the same, from an older size", other.request(5, 20), 409, Size(20)),
        post("another history", other.request(20, 30), 422, Words("consistency of 20 with 30")),
        post("a false proof", of(20, &false_proof, &log.note(30)), 422, Words("consistency")),
        post("no proof", of(20, &[], &log.note(30)), 422, Words("consistency")),
        post("extension lines", of(20, &log.proof(20, 21), &extended), 200, Line(extended.clone())),
        post("an old and a new key", of(21, &log.proof(21, 22), &both), 200, Line(both.clone())),
        post("the new key alone", renewed.request(22, 31), 200, Line(log.note(31))),
        post("the old key after that", log.request(31, 35), 403, Words("no trusted key")),
        ("who is it", "GET", "/", vec![], 200, Words(NAME)),
    ];
    let mut statuses = std::collections::BTreeSet::new();
    for (what, method, path, body, status, form) in table {
        let reply = server.client().ask(method, path, &body).unwrap();
        assert_eq!(reply.status, status, "{what}: {reply:?}");
        statuses.insert(status);
        let content_type = match &form {
            Size(_) => Some("text/x.tlog.size"),
            Words(_) | Line(_) => Some(TEXT),
            Nothing => None,
        };
        assert_eq!(reply.content_type.as_deref(), content_type, "{what}: {reply:?}");
        match form {
            Words(word) => {
                assert!(
                    reply.body.contains(word) && reply.body.ends_with('\n'),
                    "{what}: {reply:?}"
                );
            }
            Size(size) => assert_eq!(reply.body, format!("{size}\n"), "{what}"),
            Line(checkpoint) => {
                assert!(reply.body.starts_with(&format!("— {NAME} ")), "{what}: {reply:?}");
                assert_eq!(reply.body.matches('\n').count(), 1, "{what}: {reply:?}");
                assert!(cosigned(&checkpoint, &reply.body).is_some(), "{what}: {reply:?}");
            }
            Nothing => assert_eq!(reply.body, "", "{what}"),
        }
    }
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), [200, 400, 403, 404, 405, 409, 413, 422]);

    let about = server.client().ask("GET", "/", b"").unwrap().body;
    assert!(about.contains(&cosigner().to_string()), "{about}");
    assert!(about.contains("example.com/behind-the-sofa 31 "), "{about}");
    // What convicts the log is kept, once each; what only the request got wrong is not.
    let kept = WitnessReader::open(&dir.path().join("w.db")).unwrap().evidence().unwrap();
    let told: Vec<_> = kept.iter().map(|e| (e.kind, e.size, e.kept.clone(), &e.shown)).collect();
    let (false_empty, fork) = (log.sign(&log.body_of("0", &[9; 32])), log.note(20));
    assert_eq!(
        told,
        [
            (Contradiction::Root, 0, None, &false_empty),
            (Contradiction::Root, 20, Some(fork.clone()), &other.note(20)),
            (Contradiction::Unproven, 30, Some(fork.clone()), &other.note(30)),
            (Contradiction::Unproven, 30, Some(fork), &log.note(30)),
        ]
    );
}

#[test]
fn one_connection_serves_many_requests_and_an_orderly_end_answers_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new("example.com/log", 2, 30, 30, "");
    let server = Server::new(witness(&[&log], store(dir.path())));
    let mut client = server.client();
    for size in 1..20 {
        let reply = client.ask("POST", "/add-checkpoint", log.request(size - 1, size).as_bytes());
        assert_eq!(reply.unwrap().status, 200);
    }
    // A request that has begun when the end comes.
    let body = log.request(19, 20);
    let head = format!(
        "POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.send(head.as_bytes()).unwrap();
    client.send(&body.as_bytes()[..10]).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let ending = std::thread::spawn(move || drop(server));
    std::thread::sleep(Duration::from_millis(200));
    client.send(&body.as_bytes()[10..]).unwrap();
    let reply = client.reply().unwrap();
    assert!(cosigned(&log.note(20), &reply.body).is_some(), "{reply:?}");
    ending.join().unwrap();
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new("example.com/log", 2, 3, 3, "");
    let server = Server::new(witness(&[&log], store(dir.path())));
    let mut client = server.client();
    client
        .send(b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 100\r\n\r\nold 0\n")
        .unwrap();
    let reply = client.reply().unwrap();
    assert_eq!((reply.status, reply.content_type.as_deref()), (408, Some(TEXT)));
}

#[test]
fn a_head_is_cosigned_anew_and_time_never_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new("example.com/log", 2, 9, 9, "");
    let witness = witness(&[&log], store(dir.path()));
    let at = |old, size, now| match witness.add_checkpoint(log.request(old, size).as_bytes(), now) {
        Answer::Cosigned(line) => cosigned(&log.note(size), &line),
        other => panic!("{other:?}"),
    };
    assert_eq!(at(0, 5, 100), Some(100));
    assert_eq!(at(5, 5, 200), Some(200), "the same head, later");
    assert_eq!(at(5, 5, 150), Some(200), "a clock that was put back");
    assert_eq!(at(5, 9, 0), Some(200));
    assert_eq!(at(9, 9, 201), Some(201));
}

/// A log that tells two stories asks with both, from many threads: whatever the order, what was
/// cosigned is one of them.
#[test]
fn of_two_histories_at_once_one_is_signed() {
    const SIZE: u64 = 60;
    const FORK: u64 = 12;
    let mut sides = std::collections::BTreeSet::new();
    for seed in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        let stories = ["rice", "tea"].map(|story| Log::new("log.example", 2, SIZE, FORK, story));
        let witness = witness(&[&stories[0]], store(dir.path()));
        let signed = Mutex::new(Vec::<(usize, u64, u64)>::new());
        let clock = AtomicU64::new(1_000);
        std::thread::scope(|scope| {
            for thread in 0..6 {
                let (witness, stories, signed, clock) = (&witness, &stories, &signed, &clock);
                scope.spawn(move || {
                    let mut dice = Dice(seed * 100 + thread);
                    let (mut old, mut refused) = (0, 0);
                    while old < SIZE && refused < 200 {
                        let story = usize::try_from(dice.below(2)).unwrap();
                        let size = (old + dice.below(4)).min(SIZE);
                        let now = clock.fetch_add(1, Ordering::Relaxed) - dice.below(20);
                        let log = &stories[story];
                        match witness.add_checkpoint(log.request(old, size).as_bytes(), now) {
                            Answer::Cosigned(line) => {
                                let time = cosigned(&log.note(size), &line).unwrap();
                                signed.lock().unwrap().push((story, size, time));
                                old = size;
                            }
                            Answer::Conflict { size } => (old, refused) = (size, refused + 1),
                            Answer::Unproven(_) => refused += 1,
                            other => panic!("{other:?}"),
                        }
                    }
                });
            }
        });
        let mut signed = signed.into_inner().unwrap();
        signed.sort_unstable_by_key(|(_, size, time)| (*size, *time));
        assert!(signed.len() > 20, "seed {seed}: {} were signed", signed.len());
        for pair in signed.windows(2) {
            let [(_, old, before), (story, new, after)] = pair else { unreachable!() };
            assert!(before <= after, "seed {seed}: time went back from {old} to {new}");
            let (first, then) = (&stories[pair[0].0], &stories[*story]);
            let roots = (first.root(*old), then.root(*new));
            if *old > 0 {
                let proof = then.proof(*old, *new);
                tree::verify_consistency(*old, *new, &roots.0, &roots.1, &proof).unwrap_or_else(
                    |e| panic!("seed {seed}: {old} and {new} are two histories: {e}"),
                );
            }
        }
        let last = signed.last().unwrap();
        assert_eq!(witness.heads().unwrap()[0].size, last.1);
        sides.insert(last.0);
        let kept = WitnessReader::open(&dir.path().join("w.db")).unwrap().evidence().unwrap();
        assert!(!kept.is_empty(), "the second story was told, and is kept");
    }
    println!("8 runs of two histories at once; those that won: {sides:?}");
}

/// What a store does wrong, once.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    /// Fails, and has written nothing.
    Before,
    /// Fails, but has written.
    After,
    /// The process is gone between commit and reply.
    Gone,
}

struct Faulty {
    file: WitnessFile,
    next: Arc<Mutex<Option<Fault>>>,
}

impl WitnessStore for Faulty {
    fn head(&self, origin: &str) -> Stored<Option<Kept>> {
        self.file.head(origin)
    }
    fn heads(&self) -> Stored<Vec<Kept>> {
        self.file.heads()
    }
    fn advance(&mut self, step: &Step<'_>) -> Stored<Advance> {
        let fault = self.next.lock().unwrap().take();
        if fault != Some(Fault::Before) {
            let advanced = self.file.advance(step)?;
            match fault {
                None => return Ok(advanced),
                Some(Fault::Gone) => panic!("gone, as the test wants it"),
                _ => {}
            }
        }
        Err(StoreError::DiskFull { path: "w.db".into() })
    }
    fn keep_evidence(&mut self, evidence: &Evidence) -> Stored<bool> {
        self.file.keep_evidence(evidence)
    }
    fn evidence(&self) -> Stored<Vec<Evidence>> {
        self.file.evidence()
    }
}

#[test]
fn what_is_not_known_to_be_durable_is_not_signed() {
    let log = Log::new("example.com/log", 2, 9, 9, "");
    for (fault, kept) in [(Fault::Before, 5), (Fault::After, 7), (Fault::Gone, 7)] {
        let dir = tempfile::tempdir().unwrap();
        let next = Arc::new(Mutex::new(None));
        let faulty = Faulty { file: store(dir.path()), next: next.clone() };
        let server = Server::new(witness(&[&log], faulty));
        let ask = |request: String| {
            server.client().ask("POST", "/add-checkpoint", request.as_bytes()).unwrap()
        };
        assert_eq!(ask(log.request(0, 5)).status, 200);
        *next.lock().unwrap() = Some(fault);
        let reply = ask(log.request(5, 7));
        assert_eq!((reply.status, reply.content_type.as_deref()), (500, Some(TEXT)));
        assert!(cosigned(&log.note(7), &reply.body).is_none(), "{reply:?}");
        // The log asks again, and is told where to begin; the witness goes on.
        let reply = ask(log.request(5, 7));
        if kept == 5 {
            assert_eq!(reply.status, 200);
        } else {
            assert_eq!((reply.status, reply.body.as_str()), (409, "7\n"));
        }
        let reply = ask(log.request(7, 7));
        assert!(cosigned(&log.note(7), &reply.body).is_some(), "{reply:?}");
    }
}

/// The window between commit and reply, and then another process on the same file.
#[test]
fn a_head_that_was_kept_and_not_signed_for_is_where_the_next_process_goes_on() {
    let log = Log::new("example.com/log", 2, 9, 4, "rice");
    let other = Log::new("example.com/log", 2, 9, 4, "tea");
    let dir = tempfile::tempdir().unwrap();
    let next = Arc::new(Mutex::new(Some(Fault::Gone)));
    let first = witness(&[&log], Faulty { file: store(dir.path()), next });
    let request = log.request(0, 6);
    let gone = catch_unwind(AssertUnwindSafe(|| first.add_checkpoint(request.as_bytes(), 50)));
    assert!(gone.is_err(), "nothing was answered");
    drop(first);
    let second = witness(&[&log], WitnessFile::open(&dir.path().join("w.db")).unwrap());
    let ask = |request: String| second.add_checkpoint(request.as_bytes(), 40);
    assert_eq!(ask(other.request(0, 6)), Answer::Conflict { size: 6 });
    assert_eq!(ask(other.request(6, 6)), Answer::Conflict { size: 6 }, "the other story");
    assert!(matches!(ask(other.request(6, 9)), Answer::Unproven(_)));
    let Answer::Cosigned(line) = ask(log.request(6, 6)) else { panic!("the same head") };
    assert_eq!(cosigned(&log.note(6), &line), Some(50), "not before what may have been signed");
    assert!(matches!(ask(log.request(6, 9)), Answer::Cosigned(_)));
    assert_eq!(Head::read(&log.body(9)).unwrap().size, second.heads().unwrap()[0].size);
}

/// Numbers that are the same in every run with the same seed (splitmix64, Steele, Lea and
/// Flood 2014).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}
