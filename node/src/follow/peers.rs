//! Whom a node follows: a file that people read, and commands write.
//!
//! Owns the file `<database>.peers`, and the one spelling of a node's URL. Guarantees that what is
//! written can be read again, that it is written whole or not at all, that of two who change it at
//! once nobody's word is lost, and that a mistake in it is named with its line. Leaves out what
//! following means (`run`).
//!
//! ```toml
//! [[peer]]
//! url = "https://phyle.example:7117"
//! ca = "phyle.pem"                    # believe this certificate alone; relative to this file
//! follow = ["subak/<ledger id>+…"]    # these ledgers, by these operators' C2SP verifier keys
//! all = true                          # every ledger that is there
//! ```
//!
//! Whatever else is said, the ledgers with which this node's own ones have agreements are followed
//! where a peer has them: the terms name the ledger's id and its operator's key.

use crate::{NodeError, refusal::world};
use axum::http::uri::Authority;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    net::IpAddr,
    path::{Path, PathBuf},
};
use subak_ledger::{
    log::{LedgerId, PublicKey, checkpoint::parse_verifier_key},
    store::sync_directory,
};

/// A node that is followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// `http://HOST:PORT` or `https://HOST:PORT`, as [`node_url`] spells it.
    #[serde(deserialize_with = "read_url")]
    pub url: String,
    /// The file of the only certificates that are believed, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Ledgers to follow, by their operators' verifier keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "read_keys")]
    pub follow: Vec<String>,
    /// Follow every ledger there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

impl Peer {
    /// The ledgers that it names, each with an operator's key that its log must have had.
    pub fn named(&self) -> Result<Vec<(LedgerId, PublicKey)>, NodeError> {
        let read = |text: &String| {
            parse_verifier_key(text)
                .map_err(|reject| malformed(&format!("peer {}, {text:?}: {reject}", self.url)))
        };
        self.follow.iter().map(read).collect()
    }

    /// Where its certificate is, if it stands in the peers file `file`.
    pub fn ca_beside(&self, file: &Path) -> Option<PathBuf> {
        let ca = self.ca.as_ref()?;
        Some(file.parent().map_or_else(|| ca.clone(), |dir| dir.join(ca)))
    }

    /// Whether a URL, as [`node_url`] spells it, is of this node: one place speaks one scheme.
    pub fn is_at(&self, url: &str) -> bool {
        let place = |url: &str| url.split_once("://").map(|(_, place)| place.to_owned());
        place(&self.url) == place(url)
    }
}

/// The one spelling of a node's URL: the host in small letters, no slash at the end, no port that
/// the scheme implies. Without a scheme, but with a port, `https` is meant, and `http` on this
/// machine. None if it is no URL of a node.
pub fn node_url(text: &str) -> Option<String> {
    let (scheme, place) = match text.trim().split_once("://") {
        Some((scheme, place)) => (Some(scheme.to_ascii_lowercase()), place),
        None => (None, text.trim()),
    };
    let place: Authority = place.strip_suffix('/').unwrap_or(place).parse().ok()?;
    let (host, port) = (place.host().to_ascii_lowercase(), place.port_u16());
    let said = port.map_or_else(String::new, |port| format!(":{port}"));
    // Neither a user's name nor a port that is no number.
    if host.is_empty() || !place.as_str().eq_ignore_ascii_case(&format!("{host}{said}")) {
        return None;
    }
    let scheme = match scheme.as_deref() {
        Some("https") => "https",
        Some("http") => "http",
        None if port.is_some() => {
            if is_this_machine(&host) {
                "http"
            } else {
                "https"
            }
        }
        _ => return None,
    };
    let implied = matches!((scheme, port), ("http", Some(80)) | ("https", Some(443)));
    Some(format!("{scheme}://{host}{}", if implied { "" } else { &said }))
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn read_url<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    let url = node_url(&text);
    url.ok_or_else(|| {
        let expected = "expected http://HOST:PORT or https://HOST:PORT";
        D::Error::custom(format!("url {text:?}: {expected}"))
    })
}

fn read_keys<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let keys = Vec::<String>::deserialize(from)?;
    for key in &keys {
        parse_verifier_key(key)
            .map_err(|reject| D::Error::custom(format!("follow, {key:?}: {reject}")))?;
    }
    Ok(keys)
}

/// All of them, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peers {
    /// The nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peer: Vec<Peer>,
}

/// What became of a peer that was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// What was said of that node before; nothing if it was not followed.
    pub before: Option<Peer>,
    /// All that is said of it now.
    pub now: Peer,
}

/// The file that belongs to a database.
pub fn file_of(database: &Path) -> PathBuf {
    with_ending(database, ".peers")
}

fn with_ending(file: &Path, ending: &str) -> PathBuf {
    let mut file = file.as_os_str().to_owned();
    file.push(ending);
    file.into()
}

impl Peers {
    /// Reads the file; nobody is followed where there is none.
    pub fn read(file: &Path) -> Result<Self, NodeError> {
        match fs::read_to_string(file) {
            Ok(text) => {
                Self::parse(&text).map_err(|what| malformed(&format!("{}, {what}", file.display())))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(unusable(file, &error)),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let peers: Self = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(1, |before| before.matches('\n').count() + 1);
            format!("line {line}: {}", error.message())
        })?;
        for (place, peer) in peers.peer.iter().enumerate() {
            if peers.peer[..place].iter().any(|before| before.is_at(&peer.url)) {
                let lines = (1..).zip(text.lines());
                let mut begin = lines.filter(|(_, line)| line.trim_start().starts_with("[[peer]]"));
                let line = begin.nth(place).map_or(1, |(line, _)| line);
                return Err(format!("line {line}: the peer {} twice", peer.url));
            }
        }
        Ok(peers)
    }

    /// Adds what is said of a node to what was said of it before: ledgers come to those that are
    /// named, another key of the same ledger and another certificate in place of the one before.
    pub fn add(&mut self, said: &Peer) -> Result<Added, NodeError> {
        let place = self.peer.iter().position(|known| known.is_at(&said.url));
        let before = place.map(|place| self.peer[place].clone());
        let unsaid = Peer { ca: None, follow: Vec::new(), all: false, ..said.clone() };
        let mut now = before.clone().unwrap_or(unsaid);
        for (key, (ledger, _)) in said.follow.iter().zip(said.named()?) {
            match now.named()?.iter().position(|(known, _)| *known == ledger) {
                Some(known) => now.follow[known].clone_from(key),
                None => now.follow.push(key.clone()),
            }
        }
        now.url.clone_from(&said.url);
        now.ca = said.ca.clone().or(now.ca).filter(|_| said.url.starts_with("https:"));
        now.all |= said.all;
        match place {
            Some(place) => self.peer[place] = now.clone(),
            None => self.peer.push(now.clone()),
        }
        Ok(Added { before, now })
    }

    /// Changes the file, while nobody else does. Where `change` fails, or changes nothing, it stays
    /// as it is.
    pub fn change<T, E: From<NodeError>>(
        file: &Path,
        change: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        // The system lets go of it when it is closed; the file stays, as everywhere: whoever
        // deleted it could let two in.
        let _locked = lock(file)?;
        let mut peers = Self::read(file)?;
        let before = peers.clone();
        let changed = change(&mut peers)?;
        if peers != before {
            peers.write(file)?;
        }
        Ok(changed)
    }

    /// Writes the file in place of the one before; it lasts when this returns.
    pub fn write(&self, file: &Path) -> Result<(), NodeError> {
        let text = toml::to_string(self).expect("strings, lists and flags have a form in TOML");
        let text = format!("# Whom this node follows; `subak peer` changes it.\n\n{text}");
        let part = with_ending(file, "-part");
        let written = File::create(&part)
            .and_then(|mut out| out.write_all(text.as_bytes()).and_then(|()| out.sync_all()))
            .and_then(|()| fs::rename(&part, file))
            .and_then(|()| sync_directory(file));
        written.map_err(|error| unusable(file, &error))
    }
}

fn lock(file: &Path) -> Result<File, NodeError> {
    let name = with_ending(file, ".lock");
    let opened = File::options().write(true).create(true).truncate(false).open(&name);
    let locked = opened.and_then(|file| file.lock().map(|()| file));
    locked.map_err(|error| unusable(&name, &error))
}

fn malformed(what: &str) -> NodeError {
    NodeError::Refused {
        code: "peers-malformed".into(),
        message: what.to_owned(),
        next: "mend that line in an editor, or delete that node's lines, from its [[peer]] to the \
               next, and add it again with `subak peer add`; until then nothing changes in whom \
               is followed"
            .into(),
    }
}

fn unusable(file: &Path, error: &io::Error) -> NodeError {
    let what = format!("{}: {error}", file.display());
    world("peers", what, "see that the folder of the database can be read and written")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::thread;
    use subak_ledger::log::{SecretKey, checkpoint::verifier_key};

    fn peer(url: &str) -> Peer {
        Peer { url: url.into(), ca: None, follow: Vec::new(), all: false }
    }

    fn key(ledger: u8, operator: u8) -> String {
        verifier_key(&LedgerId([ledger; 32]), &SecretKey::from_seed(&[operator; 32]).public())
    }

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = file_of(&dir.path().join("a.db"));
        assert_eq!(Peers::read(&file).unwrap(), Peers::default());
        let peer = Peer {
            ca: Some("phyle.pem".into()),
            follow: vec![key(1, 2)],
            all: true,
            ..peer("https://phyle.example:7117")
        };
        let peers = Peers { peer: vec![peer] };
        peers.write(&file).unwrap();
        assert_eq!(Peers::read(&file).unwrap(), peers);
        assert!(fs::read_to_string(&file).unwrap().starts_with("# Whom"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        let key = key(1, 2);
        for (text, expected) in [
            (
                "[[peer]]\nurl = \"http://a:1\"\n[[peer]]\nurl = \"http://A:1/\"\n",
                "line 3: the peer http://a:1 twice",
            ),
            ("[[peer]]\nurl = \"http://a:1\"\nfollow = [\"x\"]\n", "line 3: follow, \"x\": "),
            ("# Mine.\n\n[[peer]]\nurl = \"a\"\n", "line 4: url \"a\": expected http://"),
            ("[[peer]]\nurl = \"http://a:1\"\nfolow = []\n", "line 3: unknown field `folow`"),
            ("\n[[peer]]\nall = true\n", "line 2: missing field `url`"),
            ("[[peer]\n", "line 1: "),
        ] {
            let found = Peers::parse(text).unwrap_err();
            assert!(found.starts_with(expected), "{found}");
        }
        let sound = format!("[[peer]]\nurl = \"http://a:1\"\nfollow = [{key:?}]\n");
        assert!(Peers::parse(&sound).is_ok(), "the control");
    }

    #[test]
    fn a_url_has_one_spelling() {
        for (text, url) in [
            ("http://a.example:7117", Some("http://a.example:7117")),
            (" HTTPS://A.Example:7117/ ", Some("https://a.example:7117")),
            ("https://a.example:443", Some("https://a.example")),
            ("http://a.example:80/", Some("http://a.example")),
            ("http://a.example:443", Some("http://a.example:443")),
            ("a.example:7117", Some("https://a.example:7117")),
            ("127.0.0.1:7117", Some("http://127.0.0.1:7117")),
            ("LocalHost:7117/", Some("http://localhost:7117")),
            ("[::1]:7117", Some("http://[::1]:7117")),
            ("http://[2001:DB8::1]:7117", Some("http://[2001:db8::1]:7117")),
            ("a.example", None),
            ("", None),
            ("http://", None),
            ("https:///", None),
            ("ftp://a.example:7117", None),
            ("http://a.example:7117/tiles", None),
            ("http://a.example:7117//", None),
            ("http://a.example:7117?x", None),
            ("http://a.example:7117#x", None),
            ("http://ana@a.example:7117", None),
            ("http://a.example:", None),
            ("http://a.example:port", None),
            ("http://a.example:70000", None),
            ("http://a b:1", None),
        ] {
            assert_eq!(node_url(text).as_deref(), url, "{text:?}");
        }
    }

    #[test]
    fn what_is_said_of_a_node_adds_to_what_was_said() {
        let mut peers = Peers { peer: vec![peer("http://b:1")] };
        let first = Peer { follow: vec![key(1, 2), key(1, 2)], ..peer("http://a:1") };
        let added = peers.add(&first).unwrap();
        let now = Peer { follow: vec![key(1, 2)], ..first };
        assert_eq!(added, Added { before: None, now: now.clone() });
        // Again is no change.
        let again = peers.add(&peer("http://a:1")).unwrap();
        assert_eq!(again, Added { before: Some(now.clone()), now: now.clone() });
        let more = Peer {
            ca: Some("a.pem".into()),
            follow: vec![key(3, 4)],
            all: true,
            ..peer("https://a:1")
        };
        peers.add(&more).unwrap();
        // Another key of the same ledger, and another certificate, in place of the one before.
        let other =
            Peer { ca: Some("b.pem".into()), follow: vec![key(1, 5)], ..peer("https://a:1") };
        let added = peers.add(&other).unwrap();
        let follow = vec![key(1, 5), key(3, 4)];
        let all = Peer { follow, all: true, ..other };
        assert_eq!(added.now, all);
        assert_eq!(peers.peer, [peer("http://b:1"), all], "each in its place");
    }

    #[test]
    fn of_many_who_change_it_at_once_nobody_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let file = file_of(&dir.path().join("a.db"));
        thread::scope(|scope| {
            for n in 0..8 {
                let file = &file;
                scope.spawn(move || {
                    for m in 0..8 {
                        let said = peer(&format!("http://h{n}:{}", m + 1));
                        Peers::change(file, |peers| peers.add(&said)).unwrap();
                    }
                });
            }
        });
        assert_eq!(Peers::read(&file).unwrap().peer.len(), 64);
    }
}
