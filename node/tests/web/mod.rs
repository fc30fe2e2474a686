//! A node that is served, and the smallest client of plain HTTP that can look at it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test binary uses a part of it

use crate::kit::{Fresh, fresh};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};
use subak_node::{serve::serve_as, tls::Identity};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// A node on a port of its own.
pub struct Web {
    pub fresh: Fresh,
    pub address: SocketAddr,
    pub stop: oneshot::Sender<()>,
    pub served: JoinHandle<anyhow::Result<()>>,
}

pub async fn web() -> Web {
    web_with(None).await
}

/// As [`web`]; with an identity in TLS.
pub async fn web_with(identity: Option<Identity>) -> Web {
    let fresh = fresh();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let node = fresh.node.clone();
    let served = tokio::spawn(serve_as(node, listener, identity, async {
        let _ = stopped.await;
    }));
    Web { fresh, address, stop, served }
}

impl Web {
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    /// One request on a connection of its own; `more` are header lines, each with its end.
    pub fn ask(&self, method: &str, path: &str, more: &str) -> Answer {
        tokio::task::block_in_place(|| {
            ask(TcpStream::connect(self.address).unwrap(), method, path, more)
        })
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The one header of this name; none where there is none.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(n, _)| n == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} twice: {self:?}");
        value
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Asks on any connection, and reads until its end.
pub fn ask(mut line: impl Read + Write, method: &str, path: &str, more: &str) -> Answer {
    write!(line, "{method} {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n{more}\r\n")
        .unwrap();
    let mut bytes = Vec::new();
    line.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a head and a body");
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_ascii_lowercase(), value.trim().to_owned())
    };
    Answer { status, headers: lines.map(header).collect(), body: bytes.split_off(end + 4) }
}
