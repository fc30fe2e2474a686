//! Three organisations, each with a process, a database, keys and a port of its own.
//!
//! Owns how they are set up, agreed with each other and followed, each by a way that can be cut,
//! and how a process is started, stopped and killed. Leaves out when.

use crate::{
    kit::{Place, Ran},
    proxy::Proxy,
};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};
use subak_ledger::log::{Hash, LedgerId, SecretKey};
use subak_node::keyfile;

/// Their names, in the order of the money.
pub const NAMES: [&str; 3] = ["phyle", "commons", "upstream"];
/// Who follows whom.
pub const WAYS: [(usize, usize); 4] = [(0, 1), (1, 0), (1, 2), (2, 1)];
const EQUATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/federation/equation.toml");
/// How long a process may take for what is asked of it on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// One organisation.
pub struct Member {
    pub place: Place,
    pub at: SocketAddr,
    pub ledger: LedgerId,
    /// The key that signs its heads, in hex.
    pub operator: String,
    child: Option<Child>,
}

impl Member {
    pub fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub fn key(&self, handle: &str) -> SecretKey {
        keyfile::read(&self.place.key(handle), None).unwrap()
    }

    fn spawn(&self) -> Child {
        let log = File::options().create(true).append(true).open(self.path("node.log")).unwrap();
        let mut command = self.place.command();
        command.args(["serve", "--json", "--listen", &self.at.to_string()]);
        command.env("RUST_LOG", "info").stdout(Stdio::piped()).stderr(log);
        command.spawn().unwrap()
    }

    /// Starts it, and waits until it serves.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "one process on one database");
        let mut child = self.spawn();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let log = self.path("node.log");
        assert!(line.contains("\"url\""), "it does not start: {line}, see {}", log.display());
        self.child = Some(child);
    }

    /// Starts it and expects that it ends by itself: how, and what it said.
    pub fn starts_not(&mut self) -> Ran {
        assert!(self.child.is_none(), "one process on one database");
        let mut command = self.place.command();
        let words = ["serve", "--json", "--listen", &self.at.to_string()];
        let child = command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        self.child = Some(child.unwrap());
        self.ends();
        let output = self.child.take().unwrap().wait_with_output().unwrap();
        Ran::new(words.join(" "), output)
    }

    fn ends(&mut self) {
        let since = Instant::now();
        let child = self.child.as_mut().expect("it runs");
        while child.try_wait().unwrap().is_none() {
            assert!(since.elapsed() < PATIENCE, "{} does not end", self.at);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends it a signal by name.
    pub fn signal(&self, signal: &str) {
        let id = self.child.as_ref().expect("it runs").id().to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap();
        assert!(sent.success(), "kill -{signal}");
    }

    /// SIGKILL: it gets no chance to finish anything.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM: it ends in order.
    pub fn end(&mut self) {
        self.signal("TERM");
        self.ends();
        let status = self.child.take().unwrap().wait().unwrap();
        assert!(status.success(), "{}: ended in order with {status}", self.at);
    }

    /// `subak backup`, as it stands now.
    pub fn back_up(&self, to: &Path) {
        self.place.type_in(&format!("backup {}", to.display())).done();
        // Its reader leaves these, empty.
        for end in ["-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{end}", to.display()));
        }
    }

    pub fn copy_keys(&self, to: &Path) {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(self.path("subak.db.keys")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }

    /// A backup becomes the database, and a copy of the keys folder that one.
    pub fn put_in(&self, backup: &Path, keys: Option<&Path>) {
        fs::rename(backup, self.path("subak.db")).unwrap();
        if let Some(keys) = keys {
            fs::rename(keys, self.path("subak.db.keys")).unwrap();
        }
    }

    /// Its database is moved away, with what belongs to it; with its keys where they are asked for.
    pub fn put_away(&self, to: &Path, keys: bool) {
        fs::create_dir(to).unwrap();
        for name in ["subak.db", "subak.db-wal", "subak.db-shm"] {
            if self.path(name).exists() {
                fs::rename(self.path(name), to.join(name)).unwrap();
            }
        }
        if keys {
            fs::rename(self.path("subak.db.keys"), to.join("subak.db.keys")).unwrap();
        }
    }

    /// What was put away is as it was; what is there instead is gone.
    pub fn put_back(&self, from: &Path) {
        for name in ["subak.db", "subak.db-wal", "subak.db-shm"] {
            let _ = fs::remove_file(self.path(name));
        }
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = place_of(self.place.path(), &entry.path());
            if to.is_dir() {
                fs::remove_dir_all(&to).unwrap();
            }
            fs::rename(entry.path(), to).unwrap();
        }
        fs::remove_dir(from).unwrap();
    }
}

fn place_of(folder: &Path, file: &Path) -> PathBuf {
    folder.join(file.file_name().expect("an entry of a folder has a name"))
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// All of it.
pub struct World {
    pub members: Vec<Member>,
    /// As [`WAYS`].
    pub ways: Vec<Proxy>,
    /// Of the phyle with the commons, and of the commons with the one upstream.
    pub agreements: [Hash; 2],
}

impl World {
    /// Three nodes that serve, follow and have agreed.
    pub fn new(dir: &Path) -> Self {
        let members = NAMES.map(|who| dir.join(who));
        let mut members: Vec<Member> = members.into_iter().map(member).collect();
        open(&mut members);
        members.iter_mut().for_each(Member::start);
        let ways: Vec<Proxy> =
            WAYS.iter().map(|(_, source)| Proxy::new(members[*source].at)).collect();
        for ((who, _), way) in WAYS.iter().zip(&ways) {
            members[*who].place.type_in(&format!("peer add {}", way.url)).done();
        }
        let mut world = Self { members, ways, agreements: [[0; 32]; 2] };
        world.work();
        world.agree();
        world
    }

    /// A command of a member at its own node.
    fn at(&self, who: usize, line: &str) -> Value {
        let Member { place, at, .. } = &self.members[who];
        place.data(&format!("{line} --node http://{at} --ledger sample-{}", NAMES[who]))
    }

    fn work(&self) {
        self.at(1, "contribute 3 --kind hours --as ben");
        self.at(1, "agent admit ben --as ana");
        self.at(1, "validate --all-pending --remuneration unpaid --as ana");
        self.at(2, "contribute 2 --kind hours --as vic");
        self.at(2, "agent admit vic --as uma");
        self.at(2, "validate --all-pending --remuneration unpaid --as uma");
    }

    fn agree(&mut self) {
        let [phyle, commons, upstream] = [0, 1, 2].map(|who: usize| self.members[who].url());
        let share = self.at(0, &format!("agreement offer --commons-ledger sample-commons --share \"10 %\" --currency EUR --other-node {commons} --as tess"));
        let below = share["agreement"].as_str().unwrap().to_owned();
        self.at(1, &format!("agreement accept {below} --other-node {phyle} --as ana"));
        let onward = self.at(1, &format!("agreement offer --commons-ledger sample-upstream --currency EUR --other-node {upstream} --as ana"));
        let above = onward["agreement"].as_str().unwrap().to_owned();
        self.at(2, &format!("agreement accept {above} --other-node {commons} --as uma"));
        self.agreements = [below, above].map(|hex| digest(&hex));
        let since = Instant::now();
        for who in [0, 1] {
            while !self.at(who, "agreement list").to_string().contains("\"active\"") {
                assert!(since.elapsed() < PATIENCE, "the agreements do not come into force");
                std::thread::sleep(Duration::from_millis(200));
            }
        }
    }
}

fn digest(text: &str) -> Hash {
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest).unwrap();
    digest
}

/// A folder and a port.
fn member(path: PathBuf) -> Member {
    fs::create_dir_all(path.join("home")).unwrap();
    let at = SocketAddr::from(([127, 0, 0, 1], port()));
    let (place, ledger) = (Place::within(path), LedgerId([0; 32]));
    Member { place, at, ledger, operator: String::new(), child: None }
}

/// A port below those that the system gives to whoever asks for any, so that nobody takes it while
/// the node is down; and no other member's.
fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn open(members: &mut [Member]) {
    let people: [&[&str]; 3] = [&["tess"], &["ana", "ben"], &["uma", "vic"]];
    for (member, people) in members.iter_mut().zip(people) {
        for who in people {
            member.place.type_in(&format!("key new {who}")).done();
        }
    }
    let lines = [
        "phyle open sample-phyle --steward tess --commons sample-commons".to_owned(),
        format!(
            "commons open sample-commons --steward ana --equation {EQUATION} --upstream sample-upstream --phyle sample-phyle"
        ),
        "commons open sample-upstream --steward uma".to_owned(),
    ];
    for (member, line) in members.iter_mut().zip(&lines) {
        let opened = member.place.data(line);
        member.ledger = LedgerId(digest(opened["id"].as_str().unwrap()));
        opened["operator_key"].as_str().unwrap().clone_into(&mut member.operator);
    }
    members[2].place.type_in("agent add sample-commons --kind commons --as uma").done();
}
