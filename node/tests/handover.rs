//! A ledger that its stewards have moved: what the operator before can still say, and to whom.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::*;
use subak_ledger::log::policy::Policy;
use subak_node::{Ledgers as _, submit::Submitter};

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_replaced_stops_nothing() {
    let moved = moved().await;
    for size in [1, 3] {
        let refused = moved.node.challenge(moved.ledger, moved.invented(size)).await.unwrap_err();
        assert_eq!(refused.code(), "former-operator", "{refused}");
    }
    // What they sign for later sizes is no head at all.
    let refused = moved.node.challenge(moved.ledger, moved.invented(4)).await.unwrap_err();
    assert_eq!(refused.code(), "bad-checkpoint", "{refused}");
    moved.node.append(hour(moved.ledger, "after")).await.unwrap();
}

/// It has signed what the stewards left behind, and can sign this ledger no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_witness_of_what_was_left_behind_stops_nothing() {
    let moved = moved().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            use std::io::{Read as _, Write as _};
            let (mut stream, mut bytes) = (stream.unwrap(), [0; 8_192]);
            let _ = stream.read(&mut bytes).unwrap();
            let answer = "HTTP/1.1 409 X\r\nContent-Length: 3\r\nConnection: close\r\n\r\n17\n";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let witness = subak_ledger::log::cosignature::CosignerKey::new("w.example", key("w").public());
    let policy = format!("witness W {} {url}\nquorum none\n", witness.unwrap());
    let submitter = Submitter::new(moved.node.clone(), Policy::parse(&policy).unwrap()).unwrap();
    submitter.first().await.unwrap();
    moved.node.append(hour(moved.ledger, "after")).await.unwrap();
}
