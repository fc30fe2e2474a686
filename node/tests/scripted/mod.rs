//! A witness that says what a test wants it to.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test binary uses a part of it

use crate::kit::key;
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};
use subak_ledger::log::{
    SecretKey,
    cosignature::{CosignerKey, cosign},
    note::Note,
    policy::Policy,
};

pub const NAME: &str = "witness.example/w1";

/// What a witness says to `old` and the checkpoint that was submitted.
pub type Says = Box<dyn Fn(u64, &str) -> (u16, String) + Send>;

/// A witness on a port of its own; what it was asked is kept.
pub struct Scripted {
    pub url: String,
    pub asked: Arc<Mutex<Vec<(u64, String)>>>,
}

pub fn scripted(says: Says) -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = asked.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut line, mut length) = (String::new(), 0);
            reader.read_line(&mut line).unwrap();
            assert_eq!(line.trim_end(), "POST /w/add-checkpoint HTTP/1.1");
            loop {
                line.clear();
                reader.read_line(&mut line).unwrap();
                if let Some(said) = line.to_lowercase().strip_prefix("content-length: ") {
                    length = said.trim().parse().unwrap();
                }
                if line.trim_end().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let body = String::from_utf8(body).unwrap();
            let (head, note) = body.split_once("\n\n").unwrap();
            let old = head.lines().next().unwrap().strip_prefix("old ").unwrap().parse().unwrap();
            kept.lock().unwrap().push((old, note.to_owned()));
            let (status, text) = says(old, note);
            let length = text.len();
            let answer = format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    Scripted { url: format!("{url}/w/"), asked }
}

/// Signs whatever it is given.
pub fn signs(_: u64, note: &str) -> (u16, String) {
    let note = Note::parse(note).unwrap();
    (200, cosign(NAME, note.text, 1_790_000_000, &key("witness")).unwrap())
}

pub fn witness_key(secret: &SecretKey) -> CosignerKey {
    CosignerKey::new(NAME, secret.public()).unwrap()
}

pub fn policy(url: &str) -> Policy {
    let key = witness_key(&key("witness"));
    Policy::parse(&format!("witness W1 {key} {url}\nquorum W1\n")).unwrap()
}

/// Waits until something is so.
pub async fn until(mut so: impl AsyncFnMut() -> bool) {
    for _ in 0..200 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not come about in ten seconds");
}
