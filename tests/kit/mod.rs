//! A folder of one's own, the program in it, and a server to kill, for the tests that
//! see Subak only from outside.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test binary uses a part of it

use prost::Message as _;
use serde_json::Value;
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU64, Ordering},
};
use subak_ledger::log::{Draft, Handle, Header, LedgerId, SecretKey};
use subak_node::{Append, Ledgers as _, RawEntry, client::Remote, keyfile};
use subak_proto::v1::{self, event::Kind};

pub const DAY_MS: u64 = 86_400_000;

/// How a command ended, and what it said.
pub struct Ran {
    pub line: String,
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn new(line: String, output: Output) -> Self {
        Self {
            line,
            status: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// That it was done.
    #[track_caller]
    pub fn done(self) -> Self {
        assert_eq!(self.status, 0, "subak {}\n{}{}", self.line, self.out, self.err);
        self
    }

    /// That all of this stands in what it said, however the lines are wrapped.
    #[track_caller]
    pub fn says(&self, what: &[&str]) {
        let said = format!("subak {}\n{}{}", self.line, self.out, self.err);
        let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
        for what in what {
            assert!(flat.contains(what), "{what:?} in {said}");
        }
    }

    /// The one JSON object that `--json` prints.
    #[track_caller]
    pub fn object(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|e| panic!("subak {}: {e}\n{}{}", self.line, self.out, self.err))
    }

    /// The data of its result.
    #[track_caller]
    pub fn data(self) -> Value {
        self.done().object()["data"].take()
    }
}

/// A folder with a home for keys in it; gone after the test.
pub struct Place {
    path: PathBuf,
    _mine: Option<tempfile::TempDir>,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { path: dir.path().to_path_buf(), _mine: Some(dir) }
    }

    /// In a folder that is there already, and stays.
    pub fn within(path: PathBuf) -> Self {
        Self { path, _mine: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn db(&self) -> PathBuf {
        self.path().join("subak.db")
    }

    /// The key file of a handle, made here with `key new`.
    pub fn key(&self, handle: &str) -> PathBuf {
        self.path().join("home/keys").join(format!("{handle}.key"))
    }

    /// The program in this folder, without anything of the person who runs the tests.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_subak"));
        let theirs = std::env::vars_os().map(|(name, _)| name);
        for name in theirs.filter(|n| n.to_string_lossy().starts_with("SUBAK_")) {
            command.env_remove(name);
        }
        command.env_remove("RUST_LOG").env_remove("NO_COLOR").stdin(Stdio::null());
        command.current_dir(self.path()).env("SUBAK_HOME", self.path().join("home"));
        command
    }

    /// Runs `subak` with these words.
    pub fn run(&self, words: &[&str]) -> Ran {
        let output = self.command().args(words).output().unwrap();
        Ran::new(words.join(" "), output)
    }

    /// Runs a line as a person types it: words between spaces, double quotes around those
    /// that hold a space.
    pub fn type_in(&self, line: &str) -> Ran {
        self.run(&words(line).iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// As `type_in`, and it is done; the data of its result.
    #[track_caller]
    pub fn data(&self, line: &str) -> Value {
        self.type_in(&format!("{line} --json")).data()
    }

    /// Audits a file and expects it to be sound.
    #[track_caller]
    pub fn sound(&self, db: &Path) -> Value {
        let data = self.run(&["audit", db.to_str().unwrap(), "--json"]).data();
        assert_eq!(data["verdict"], "sound", "{data:#}");
        data
    }

    /// Copies the keys beside a ledger file to another one: who has both can go on from an older copy,
    /// as if nothing had been. What was signed last is not copied.
    pub fn copy_keys(&self, from: &str, to: &str) {
        let to = self.path().join(format!("{to}.keys"));
        fs::create_dir_all(&to).unwrap();
        for file in fs::read_dir(self.path().join(format!("{from}.keys"))).unwrap() {
            let file = file.unwrap();
            if file.path().extension().is_none_or(|it| it != "head") {
                fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        }
    }

    /// `subak serve` on the folder's ledger file, ready to be called.
    pub fn serve(&self, more: &[&str]) -> Server {
        let mut command = self.command();
        command.args(["serve", "--json", "--listen", "127.0.0.1:0"]).args(more);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Ok(told) = serde_json::from_str::<Value>(&line) else {
            let mut err = String::new();
            child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
            panic!("the server did not start: {line}{err}");
        };
        // Nobody reads its log: a full pipe must not hold it up.
        let mut log = child.stderr.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let url = told["data"]["url"].as_str().unwrap().to_owned();
        Server { child, url }
    }
}

/// A line's words, as a shell would cut it.
pub fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|w| !w.is_empty());
    words
}

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    pub url: String,
}

impl Server {
    /// SIGKILL: it gets no chance to finish anything.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Somebody who appends: the ledger, the key, and a number for the next statement.
pub struct Author {
    pub ledger: LedgerId,
    key: SecretKey,
    next: AtomicU64,
}

impl Author {
    /// Ana, whose key is in the folder, on the ledger that `commons open` answered with.
    pub fn new(place: &Place, opened: &Value) -> Self {
        let mut id = [0; 32];
        hex::decode_to_slice(opened["id"].as_str().unwrap(), &mut id).unwrap();
        let key = keyfile::read(&place.key("ana"), None).unwrap();
        Self { ledger: LedgerId(id), key, next: AtomicU64::new(0) }
    }

    /// An hour of work under a reference that no other statement has.
    pub fn hour(&self) -> Vec<u8> {
        self.hour_at(now())
    }

    /// As `hour`, signed at a moment and valid for a day.
    pub fn hour_at(&self, at: u64) -> Vec<u8> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&number.to_be_bytes());
        let work = Kind::Contribute(v1::Contribute {
            reference: format!("test:{number}"),
            kind: "hours".into(),
            stream: v1::Stream::Livelihood as i32,
            worked_on: u32::try_from(at / DAY_MS).unwrap() - 1,
            part: vec![v1::Part { agent: "ana".into(), quantity: 1_000 }],
            evidence: vec![],
        });
        let author = Handle::new("ana").unwrap();
        let header = Header {
            ledger: self.ledger,
            author,
            nonce,
            created_at: at,
            expires_at: at + DAY_MS,
            basis: None,
        };
        let events = vec![v1::Event { kind: Some(work) }.encode_to_vec()];
        Draft { header, events }.sign(&self.key)
    }
}

pub fn append(envelope: &[u8]) -> Append {
    Append { envelope: envelope.to_vec().into(), ..Append::default() }
}

/// All entries of a ledger.
pub async fn entries(remote: &Remote, ledger: LedgerId) -> Vec<RawEntry> {
    let mut all: Vec<RawEntry> = Vec::new();
    loop {
        let page = remote.entries(ledger, all.len() as u64, 1_000).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// Numbers that are the same in every run with the same seed (splitmix64, Steele, Lea and
/// Flood 2014).
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// Milliseconds since 1970.
pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.unwrap().as_millis()).unwrap()
}
