//! TLS: who a node says it is, and which node a client believes.
//!
//! Owns certificates and keys in PEM, and what their refusals mean. Guarantees one crypto
//! provider (ring), TLS 1.2 or later, and that a client with a [`Pin`] believes nobody else,
//! not even the public authorities. Leaves out files and connections, and certificates of
//! clients: a statement's signature is the permission. TLS keeps what is read from being seen
//! on the way; that the log is right is proven without it.

use crate::{NodeError, refusal::world};
use std::{error::Error, fmt, io, sync::Arc, time::Duration};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
        client::{
            WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{CryptoProvider, ring},
        pki_types::{
            CertificateDer, PrivateKeyDer, ServerName, UnixTime,
            pem::{self, PemObject},
        },
    },
};
use tonic::transport::{ClientTlsConfig, Endpoint};

/// gRPC is HTTP/2; tiles are fetched by what knows only HTTP/1.1 too.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The code of certificates and keys that cannot be used.
const PEM: &str = "tls-pem";
/// The code of a node whose certificate is not believed.
const CERTIFICATE: &str = "node-certificate";
/// The code of two who do not both speak TLS.
const MIXED: &str = "node-tls";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// A certificate and its private key: what a node shows, and proves to be its own.
#[derive(Clone)]
pub struct Identity(Arc<ServerConfig>);

impl Identity {
    /// Reads PEM: the chain of certificates with the node's own first, and its key (PKCS#8,
    /// PKCS#1 or SEC1, not encrypted).
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, NodeError> {
        let chain = certificates(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| unusable_key(&e))?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| unusable(&e))?
            .with_no_client_auth()
            .with_single_cert(chain, key);
        let mut config = config.map_err(|e| match e {
            rustls::Error::InconsistentKeys(_) => world(
                PEM,
                "the key is not that of the certificate",
                "name the key that the certificate was made for; in a chain the node's own \
                 certificate comes first",
            ),
            other => unusable(&other),
        })?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Self(Arc::new(config)))
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.clone())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// The only certificates that a client believes: a node's own, or those of authorities.
#[derive(Debug, Clone)]
pub struct Pin(Arc<Pinned>);

impl Pin {
    /// Reads PEM: one certificate or several.
    pub fn from_pem(text: &[u8]) -> Result<Self, NodeError> {
        let certificates = certificates(text)?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots.add(certificate.clone()).map_err(|e| unusable(&e))?;
        }
        let below = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
        let below = below.build().map_err(|e| unusable(&e))?;
        Ok(Self(Arc::new(Pinned { certificates, below })))
    }
}

#[derive(Debug)]
struct Pinned {
    certificates: Vec<CertificateDer<'static>>,
    /// What the authorities among them have signed.
    below: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Pinned {
    /// The very certificate that was handed over needs no name and no date that fits, as with
    /// ssh: who has its key is who is meant. (That it has, `verify_tls1x_signature` shows.)
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.certificates.contains(end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        self.below.verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.below.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.below.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.below.supported_verify_schemes()
    }
}

/// An endpoint that believes the pin, or without one the public authorities, and shakes hands
/// `within` a time.
pub(crate) fn believing(
    endpoint: Endpoint,
    pin: Option<&Pin>,
    within: Duration,
) -> Result<Endpoint, tonic::transport::Error> {
    let config = ClientTlsConfig::new().timeout(within);
    match pin {
        Some(Pin(pinned)) => endpoint.tls_config_with_verifier(config, pinned.clone()),
        None => endpoint.tls_config(config.with_webpki_roots()),
    }
}

/// What a failed connection says of TLS, if it failed by that: a retry would fail as well.
pub(crate) fn fault(url: &str, error: &(dyn Error + 'static), pinned: bool) -> Option<NodeError> {
    match tls_error(error)? {
        rustls::Error::InvalidCertificate(why) => {
            let whose = if pinned { "the one that was named" } else { "the public authorities" };
            let message = format!("the certificate of {url} is not believed by {whose}: {why:?}");
            let next = if pinned {
                "compare the certificate with the one that the node's operator gives out: it may \
                 have changed, or somebody is in between; nothing was sent"
            } else {
                "if the certificate is the node's own, get it from its operator and name it with \
                 --node-ca FILE; nothing was sent"
            };
            Some(world(CERTIFICATE, message, next))
        }
        rustls::Error::InvalidMessage(_) => {
            let message = format!("what answers at {url} does not speak TLS");
            Some(world(MIXED, message, "if it is the node, write http:// instead of https://"))
        }
        _ => None,
    }
}

/// What the answer of a TLS port looks like to somebody who speaks plain HTTP/2: whether it is
/// an alert or the text of an error, its first bytes would be the length of a frame that
/// nobody sends.
pub(crate) fn is_spoken_there(url: &str, why: &str) -> Option<NodeError> {
    (url.starts_with("http:") && why.contains("frame with invalid size")).then(|| {
        let message = format!("what answers at {url} speaks no plain HTTP, but perhaps TLS");
        world(MIXED, message, "write https:// instead of http://; nothing was recorded")
    })
}

/// An `io::Error` does not name what it holds as its source.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(here) = cause {
        let held = here.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let held = held.and_then(|held| held.downcast_ref());
        if let Some(found) = here.downcast_ref().or(held) {
            return Some(found);
        }
        cause = here.source();
    }
    None
}

fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, NodeError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        found => {
            let why = found.err().map(|e| format!(": {e}")).unwrap_or_default();
            let message = format!("expected a certificate in PEM, found none{why}");
            Err(world(PEM, message, "name the file that has -----BEGIN CERTIFICATE----- in it"))
        }
    }
}

fn unusable_key(e: &pem::Error) -> NodeError {
    let why = if matches!(e, pem::Error::NoItemsFound) { String::new() } else { format!(": {e}") };
    let message = format!("expected a private key in PEM, found none that can be read{why}");
    let next = "name the file that has -----BEGIN PRIVATE KEY----- in it; an encrypted one must \
                be decrypted first";
    world(PEM, message, next)
}

fn unusable(e: &dyn fmt::Display) -> NodeError {
    let message = format!("the certificate or key cannot be used: {e}");
    world(PEM, message, "make a new one, or ask whoever made it")
}
