//! `subak certificate`: a node's own certificate, for TLS without an authority.
//!
//! Owns the two files. Guarantees that neither overwrites what is there, and that the key is readable
//! by its owner alone. Leaves out who believes it: whoever is given the certificate (`--node-ca`).

use crate::{
    context::Context,
    failure::{Done, Failure},
    files,
};
use clap::Args;
use rcgen::InvalidAsn1String;
use serde_json::json;
use std::{
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
};

/// Make a certificate for a node, and its key: for `subak serve --tls-cert --tls-key`.
///
/// The certificate is signed by itself. Whoever is to believe the node is given that file, another
/// way than over the network, and names it with --node-ca; it has no end date. For authorities that
/// everybody believes, use theirs instead.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  subak certificate subak.example 127.0.0.1 --tls-cert node.pem --tls-key node.key"
)]
pub struct Certificate {
    /// Names and addresses under which the node is found
    #[arg(required = true, value_name = "HOST")]
    host: Vec<String>,
    /// The certificate to write
    #[arg(long, value_name = "FILE")]
    tls_cert: PathBuf,
    /// Its key to write
    #[arg(long, value_name = "FILE")]
    tls_key: PathBuf,
}

impl Certificate {
    /// Runs it.
    pub fn run(self, cx: &Context) -> Done {
        let Self { host, tls_cert, tls_key } = self;
        let made = rcgen::generate_simple_self_signed(host.clone()).map_err(|error| {
            let what = match error {
                rcgen::Error::InvalidAsn1String(InvalidAsn1String::Ia5String(host)) => {
                    format!("host {host:?}: expected a name in ASCII, or an address")
                }
                error => format!("no certificate for {}: {error}", host.join(", ")),
            };
            Failure::usage(what, "name hosts as in subak.example or 192.0.2.7")
        })?;
        // Both or none.
        [&tls_key, &tls_cert].into_iter().try_for_each(|file| files::require_new(file))?;
        // The key first: a certificate without one is of no use to anybody.
        write_secret(&tls_key, &made.signing_key.serialize_pem())?;
        files::write_new(&tls_cert, &made.cert.pem())?;
        let (cert, key) = (tls_cert.display(), tls_key.display());
        let text = format!(
            "certificate {cert} for {}, its key {key}\n  serve: `subak serve --tls-cert {cert} --tls-key {key}`\n  believe: give others {cert}, for --node-ca",
            host.join(", ")
        );
        let data = json!({ "tls_cert": tls_cert, "tls_key": tls_key, "hosts": host });
        cx.out.result("subak.certificate/1", &data, &text)
    }
}

/// A new file, whole and synced.
fn write_secret(path: &Path, text: &str) -> Done {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let written = options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|error| Failure::file(path, &error))
}
