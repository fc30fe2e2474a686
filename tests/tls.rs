//! A node in TLS, by the command line: files that fit, files that do not, and who is believed.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::*;
use std::fs;

/// A certificate for this machine that has signed itself, as `NAME.pem` and `NAME.key`.
fn certificate(place: &Place, name: &str) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(place.path().join(format!("{name}.pem")), made.cert.pem()).unwrap();
    fs::write(place.path().join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
}

fn fails(place: &Place, line: &str, status: i32, words: &[&str]) {
    let ran = place.type_in(line);
    assert_eq!(ran.status, status, "subak {line}\n{}{}", ran.out, ran.err);
    for word in words {
        assert!(ran.err.contains(word), "subak {line}: expected {word:?} in\n{}", ran.err);
    }
}

#[test]
fn a_node_in_tls_is_used_by_who_holds_its_certificate() {
    let place = Place::new();
    place.type_in("key new ana").done();
    place.type_in("commons open rice --steward ana").done();
    certificate(&place, "node");
    certificate(&place, "other");
    let server = place.serve(&["--tls-cert", "node.pem", "--tls-key", "node.key"]);
    assert!(server.url.starts_with("https://"), "{}", server.url);
    let at = format!("--node {}", server.url);
    place.type_in(&format!("contribute 2 --as ana {at} --node-ca node.pem")).done();
    place.type_in(&format!("commons show {at} --node-ca node.pem")).done();
    place.type_in(&format!("audit {} --node-ca node.pem", server.url)).done();
    // By the environment, and from the configuration.
    let mut by_environment = place.command();
    by_environment.args(["balance", "--node", &server.url]).env("SUBAK_NODE_CA", "node.pem");
    assert!(by_environment.output().unwrap().status.success());
    fs::write(place.path().join("home/config.toml"), "node-ca = \"node.pem\"\n").unwrap();
    place.type_in(&format!("balance {at}")).done();
    fs::remove_file(place.path().join("home/config.toml")).unwrap();

    let trusted = ["[node-certificate]", "the one that was named"];
    // Of what could not be looked at nobody is guilty.
    place.type_in("backup away.db").done();
    place.copy_keys("subak.db", "away.db");
    let restore = format!("operator restore {} --db away.db", server.url);
    let audit = format!("audit {}", server.url);
    for line in [format!("balance {at}"), format!("ledger list {at}"), audit, restore] {
        fails(&place, &format!("{line} --node-ca other.pem"), 4, &trusted);
    }
    fails(&place, &format!("balance {at}"), 4, &["[node-certificate]", "--node-ca FILE"]);
    let plain = server.url.replace("https:", "http:");
    fails(&place, &format!("balance --node {plain}"), 4, &["[node-tls]", "https://"]);
    fails(&place, &format!("balance --node {plain} --node-ca node.pem"), 2, &["https://"]);
    fails(&place, &format!("balance {at} --node-ca none.pem"), 4, &["none.pem", "check the path"]);
    fails(&place, &format!("balance {at} --node-ca node.key"), 4, &["node.key", "a certificate"]);
}

#[test]
fn a_certificate_and_its_key_are_written_both_or_not_at_all() {
    let place = Place::new();
    let make = |host: &str| format!("certificate {host} --tls-cert node.pem --tls-key node.key");
    let refused = place.type_in(&make("b\u{fc}cher.example"));
    assert_eq!(refused.status, 2, "{}", refused.err);
    assert_eq!(refused.err.matches("cher.example").count(), 1, "said once: {}", refused.err);
    fs::write(place.path().join("node.pem"), "mine").unwrap();
    fails(&place, &make("subak.example"), 1, &["node.pem: it exists"]);
    assert!(!place.path().join("node.key").exists(), "no key without a certificate");
    fs::remove_file(place.path().join("node.pem")).unwrap();
    place.type_in(&make("subak.example")).done();
    fails(&place, &make("subak.example"), 1, &["node.key: it exists"]);
}

#[test]
fn files_that_do_not_fit_are_named_before_anything_is_served() {
    let place = Place::new();
    certificate(&place, "node");
    certificate(&place, "other");
    let serve = "serve --new-ledgers --listen 127.0.0.1:0";
    fails(&place, &format!("{serve} --tls-cert node.pem"), 2, &["--tls-key"]);
    fails(&place, &format!("{serve} --tls-key node.key"), 2, &["--tls-cert"]);
    for (files, words) in [
        ("--tls-cert node.key --tls-key node.pem", ["node.key and node.pem", "BEGIN CERTIFICATE"]),
        ("--tls-cert node.pem --tls-key node.pem", ["a private key", "BEGIN PRIVATE KEY"]),
        ("--tls-cert node.pem --tls-key other.key", ["not that of the certificate", "made for"]),
    ] {
        fails(&place, &format!("{serve} {files}"), 4, &words);
    }
    for (files, missing) in [
        ("--tls-cert none.pem --tls-key node.key", "none.pem"),
        ("--tls-cert node.pem --tls-key none.key", "none.key"),
    ] {
        fails(&place, &format!("{serve} {files}"), 4, &[missing, "check the path"]);
    }
    assert!(!place.db().exists(), "no ledger file was made");
}
