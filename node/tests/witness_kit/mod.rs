//! A log to be witnessed, with as many histories as it likes, and a few lines of HTTP.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test binary uses a part of it

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};
use subak_ledger::log::{
    Frontier, Hash, SecretKey,
    note::{self, VerifierKey},
    submission::Submission,
    tree,
};

/// One history of a log that anybody may keep: not one of our ledgers.
pub struct Log {
    name: String,
    key: SecretKey,
    nodes: HashMap<(u32, u64), Hash>,
    roots: Vec<Hash>,
}

impl Log {
    /// A log of `size` leaves. Those from `fork` on are of this `story`: two logs of one name and
    /// key that differ in it are two histories of one log.
    pub fn new(name: &str, seed: u8, size: u64, fork: u64, story: &str) -> Self {
        let empty = Self {
            name: name.into(),
            key: SecretKey::from_seed(&[seed; 32]),
            nodes: HashMap::new(),
            roots: vec![Frontier::default().root()],
        };
        empty.branch(0, fork, "").branch(fork, size, story)
    }

    /// A history that is this one up to `fork`, and from there to `size` leaves of this `story`.
    pub fn branch(&self, fork: u64, size: u64, story: &str) -> Self {
        let mut new = Self {
            name: self.name.clone(),
            key: SecretKey::from_seed(&self.key.seed()),
            nodes: HashMap::new(),
            roots: Vec::new(),
        };
        let mut frontier = Frontier::default();
        new.roots.push(frontier.root());
        for index in 0..size {
            let leaf = if index < fork {
                self.nodes[&(0, index)]
            } else {
                tree::leaf_hash(format!("{index} {story}").as_bytes())
            };
            new.nodes.insert((0, index), leaf);
            for (level, at, hash) in frontier.push(leaf) {
                new.nodes.insert((level, at), hash);
            }
            new.roots.push(frontier.root());
        }
        new
    }

    pub fn verifier(&self) -> VerifierKey {
        VerifierKey::new(&self.name, self.key.public()).unwrap()
    }

    pub fn root(&self, size: u64) -> Hash {
        self.roots[usize::try_from(size).unwrap()]
    }

    /// The text of a head.
    pub fn body(&self, size: u64) -> String {
        self.body_of(&size.to_string(), &self.root(size))
    }

    /// A text in the form of a head, whatever it says.
    pub fn body_of(&self, size: &str, root: &Hash) -> String {
        // A submission spells hashes as heads do.
        let spelt = Submission::write(0, &[*root], "");
        format!("{}\n{size}\n{}\n", self.name, spelt.lines().nth(1).unwrap())
    }

    pub fn sign(&self, body: &str) -> String {
        note::sign(&self.name, body, &self.key)
    }

    /// A signed head.
    pub fn note(&self, size: u64) -> String {
        self.sign(&self.body(size))
    }

    pub fn proof(&self, old: u64, new: u64) -> Vec<Hash> {
        let read = |level, index| self.nodes.get(&(level, index)).copied().ok_or(());
        tree::prove_consistency(old, new, read).unwrap()
    }

    /// An honest submission of the head of `size`.
    pub fn request(&self, old: u64, size: u64) -> String {
        Submission::write(old, &self.proof(old, size), &self.note(size))
    }
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub content_type: Option<String>,
    pub body: String,
}

/// A connection that is kept alive.
pub struct Client(BufReader<TcpStream>);

impl Client {
    pub fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_mins(1)))?;
        Ok(Self(BufReader::new(stream)))
    }

    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    pub fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> std::io::Result<Reply> {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: witness\r\nContent-Length: {length}\r\n\r\n"
        );
        self.send(&[head.as_bytes(), body].concat())?;
        self.reply()
    }

    pub fn reply(&mut self) -> std::io::Result<Reply> {
        let gone = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(gone)?;
        let (mut length, mut content_type) = (0, None);
        loop {
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                return Err(gone());
            }
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "content-type" => content_type = Some(value.to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok(Reply { status, content_type, body: String::from_utf8(body).unwrap() })
    }
}
