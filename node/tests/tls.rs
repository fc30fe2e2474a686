//! A node in TLS: who holds its certificate reads and appends, others are told why not.
#![allow(clippy::unwrap_used)]

mod kit;
mod web;

use kit::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::{
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};
use subak_ledger::log::Checkpoint;
use subak_node::{
    Ledgers, NodeError,
    client::Remote,
    tls::{Identity, Pin},
};
use tokio_rustls::rustls::{
    self, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use web::*;

/// A certificate that has signed itself, and its key, in PEM.
fn own(params: CertificateParams) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn names(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap()
}

async fn web_as(certificate: &str, key: &str) -> Web {
    web_with(Some(Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap())).await
}

fn url(web: &Web) -> String {
    format!("https://{}", web.address)
}

async fn connect(web: &Web, pinned: &str) -> Result<Remote, NodeError> {
    let pin = Pin::from_pem(pinned.as_bytes()).unwrap();
    Remote::connect_pinned(&url(web), None, Some(&pin)).await
}

fn parts(error: NodeError) -> (String, String, String) {
    let NodeError::World { code, message, next } = error else { panic!("{error:?}") };
    (code, message, next)
}

/// Appends and reads, from afar.
async fn works(far: &Remote) {
    let ledger = open_commons(far, "rice", false).await;
    for n in 1..9 {
        assert_eq!(far.append(hour(ledger, &n.to_string())).await.unwrap().entry, n);
    }
    assert_eq!(far.book(ledger).await.unwrap().size, 9);
    far.wait_beyond(ledger, 8).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_the_nodes_own_certificate_reads_and_appends() {
    let (certificate, key) = own(names(&["127.0.0.1"]));
    works(&connect(&web_as(&certificate, &key).await, &certificate).await.unwrap()).await;
    // One that calls itself an authority, for another name: as `openssl req -x509` makes them.
    let mut params = names(&["elsewhere.example"]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (certificate, key) = own(params);
    works(&connect(&web_as(&certificate, &key).await, &certificate).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_vouches_for_the_names_that_it_has_signed() {
    let mut params = names(&[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let here = names(&["127.0.0.1"]).signed_by(&key, &authority).unwrap().pem();
    let there = names(&["elsewhere.example"]).signed_by(&key, &authority).unwrap().pem();
    let web = web_as(&here, &key.serialize_pem()).await;
    works(&connect(&web, &authority.pem()).await.unwrap()).await;
    let web = web_as(&there, &key.serialize_pem()).await;
    let (code, message, _) = parts(connect(&web, &authority.pem()).await.unwrap_err());
    assert_eq!(code, "node-certificate");
    assert!(message.contains("NotValidForName"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_certificate_is_refused_and_that_is_no_node_that_is_away() {
    let (certificate, key) = own(names(&["127.0.0.1"]));
    let (other, _) = own(names(&["127.0.0.1"]));
    let web = web_as(&certificate, &key).await;
    let (code, message, next) = parts(connect(&web, &other).await.unwrap_err());
    assert_eq!(code, "node-certificate");
    assert!(
        message.contains(&url(&web)) && message.contains("the one that was named"),
        "{message}"
    );
    assert!(next.contains("operator") && next.contains("nothing was sent"), "{next}");
    // Without a pin the public authorities decide, and know nothing of it.
    let (code, message, next) = parts(Remote::connect(&url(&web), None).await.unwrap_err());
    assert_eq!(code, "node-certificate");
    assert!(message.contains("public authorities") && next.contains("--node-ca"), "{next}");
    // Several may be named: the old one and the next.
    works(&connect(&web, &format!("{other}{certificate}")).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_the_wrong_one_is_told_which() {
    let (certificate, key) = own(names(&["127.0.0.1"]));
    let secret = web_as(&certificate, &key).await;
    let refused = Remote::connect(&secret.url(), None).await.unwrap_err();
    let (code, message, next) = parts(refused);
    assert_eq!(code, "node-tls");
    assert!(message.contains(&secret.url()) && next.contains("https://"), "{message}; {next}");
    let page = secret.get("/");
    assert_eq!((page.status, page.text().contains("https://")), (400, true));
    assert_eq!(page.header("content-length"), Some(&*page.body.len().to_string()));
    let open = web().await;
    let (code, message, next) = parts(connect(&open, &certificate).await.unwrap_err());
    assert_eq!(code, "node-tls");
    assert!(message.contains(&url(&open)) && next.contains("http://"), "{message}; {next}");
    // And where nobody is, nobody is.
    drop(open.stop);
    open.served.await.unwrap().unwrap();
    let away = Remote::connect(&format!("https://{}", open.address), None).await;
    let Err(NodeError::World { code, .. }) = away else { panic!("{away:?}") };
    assert_eq!(code, "node-away");
}

/// A connection in TLS that offers these protocols.
fn line(
    web: &Web,
    certificate: &str,
    protocols: &[&str],
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(client, TcpStream::connect(web.address).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn tiles_come_over_tls_too() {
    let (certificate, key) = own(names(&["127.0.0.1"]));
    let web = web_as(&certificate, &key).await;
    let ledger = open_commons(&*web.fresh.node, "rice", false).await;
    let operator = operator(&*web.fresh.node, ledger).await;
    // Those who know no protocol's name, and those who know the one name.
    for protocols in [&[][..], &["http/1.1"]] {
        let get = |path: &str| {
            let path = format!("/{ledger}/{path}");
            tokio::task::block_in_place(|| {
                ask(line(&web, &certificate, protocols), "GET", &path, "")
            })
        };
        let answer = get("checkpoint");
        let head = Checkpoint::open(answer.text(), ledger, &operator).unwrap();
        assert_eq!(get("tile/0/000.p/1").body, head.root, "of one entry");
        assert_eq!(get("tile/0/000").status, 404);
    }
}

/// A peer that does not shake hands keeps nobody else out.
#[tokio::test(flavor = "multi_thread")]
async fn the_silent_hold_nobody_up() {
    let (certificate, key) = own(names(&["127.0.0.1"]));
    let web = web_as(&certificate, &key).await;
    let silent: Vec<_> = (0..50).map(|_| TcpStream::connect(web.address).unwrap()).collect();
    let begun = Instant::now();
    works(&connect(&web, &certificate).await.unwrap()).await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    // Nor do they hold up the end.
    web.stop.send(()).unwrap();
    let served = tokio::time::timeout(Duration::from_secs(5), web.served).await;
    served.expect("it ends before the drain does").unwrap().unwrap();
    drop(silent);
}

#[test]
fn files_that_are_no_certificate_or_no_key_are_told_apart() {
    let (certificate, key) = own(names(&["127.0.0.1"]));
    let (_, other) = own(names(&["127.0.0.1"]));
    let identity = |certificate: &str, key: &str| {
        parts(Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap_err())
    };
    let broken = certificate.replace("-----END", "-----FIN");
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    for ((code, message, next), word) in [
        (identity(&key, &certificate), "a certificate"),
        (identity("", &key), "a certificate"),
        (identity("nonsense", &key), "a certificate"),
        (identity(&broken, &key), "a certificate"),
        (identity(&certificate, &certificate), "a private key"),
        (identity(&certificate, ""), "a private key"),
        (identity(&certificate, &encrypted), "a private key"),
        (identity(&certificate, &other), "not that of the certificate"),
        (parts(Pin::from_pem(key.as_bytes()).unwrap_err()), "a certificate"),
    ] {
        assert!(code == "tls-pem" && message.contains(word) && !next.is_empty(), "{message}");
    }
    assert!(Identity::from_pem(certificate.as_bytes(), key.as_bytes()).is_ok());
    let text = format!("{:?}", Identity::from_pem(certificate.as_bytes(), key.as_bytes()));
    assert_eq!(text, "Ok(Identity)", "no key in a log");
}
