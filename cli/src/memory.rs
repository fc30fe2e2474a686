//! What an auditor remembers of ledgers: the newest head of each that was judged sound, and who
//! was proven to have signed two histories.
//!
//! Owns the files in a folder of the auditor's: `LEDGER.seen`, and `LEDGER-KEY.fraud-proof`, which
//! is the proof itself (`ledger::log::fraud`); anybody can sign two heads of a ledger that is not
//! theirs, so it goes by the key as well. Guarantees that what is remembered is synced before the
//! audit ends, never half written and never replaced by an older head; that a proof stays until a
//! person removes it; and that a file that was damaged is noticed and not gone by. Leaves out every
//! judgement about a log (`ledger::audit`).
//!
//! ```text
//! subak/seen@v1
//! operator <C2SP verifier key: ledger, key>
//! name <handle>
//! sandbox yes|no
//! former <such a key: who signed before and has handed over>, any number, the newest first
//! place <where it was seen: a file's path or a node's URL>, up to 8, the newest last
//! leaf <base64 of the hash of the last leaf>
//! <base64 hash>, a line each: its path to the root
//!
//! <the signed checkpoint, whole: evidence>
//! ```
//!
//! The last leaf holds the chain hash of all entries before it: with its path, any rewrite that is
//! met later is proven, and not only noticed.

use crate::{
    failure::{Done, Failure},
    files::replace,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use std::{
    ffi::OsStr,
    fmt::Write as _,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};
use subak_ledger::{
    audit::{LedgerReport, Seen},
    log::{
        Checkpoint, Handle, Hash, LedgerId, PublicKey,
        checkpoint::{parse_verifier_key, verifier_key},
        fraud::{self, FraudProof, Placed},
        note::MAX_NOTE,
        tree::verify_inclusion,
    },
};

const FORMAT: &str = "subak/seen@v1";
const SUFFIX: &str = "seen";
/// Of the file that accuses an operator.
const ACCUSED: &str = "fraud-proof";
/// Places that are remembered of one ledger.
const MOST_PLACES: usize = 8;
/// Beside them: locked by whoever changes one.
const LOCK: &str = "lock";
/// A file is smaller than this, in bytes.
const MOST_BYTES: usize = MAX_NOTE + 64 * 1024;

/// What is remembered of one ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Head, operator, name.
    pub seen: Seen,
    /// The checkpoint as it was signed.
    pub note: String,
    /// The last leaf under it.
    pub last: Placed,
    /// Where it was seen, the newest last.
    pub places: Vec<String>,
}

/// An operator who was proven to have signed two histories, once and for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accused {
    /// What proves it; verified.
    pub proof: FraudProof,
    /// The first entry that is known to differ, if one is.
    pub entry: Option<u64>,
    /// Entries of the smaller of the two heads.
    pub smaller: u64,
    /// Where the proof lies.
    pub file: PathBuf,
}

/// A folder of what was seen, read.
#[derive(Debug)]
pub struct Memory {
    folder: PathBuf,
    all: Vec<Remembered>,
    accused: Vec<Accused>,
}

impl Memory {
    /// Reads a folder; one that is not there yet remembers nothing.
    pub fn read(folder: &Path) -> Done<Self> {
        let folder = folder.to_path_buf();
        let (mut all, mut accused) = (Vec::new(), Vec::new());
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { folder, all, accused });
            }
            Err(e) => return Err(Failure::file(&folder, &e)),
        };
        for entry in entries {
            let path = entry.map_err(|e| Failure::file(&folder, &e))?.path();
            match path.extension().and_then(OsStr::to_str) {
                Some(SUFFIX) => all.push(read(&path)?),
                Some(ACCUSED) => accused.push(read_accused(path)?),
                _ => {}
            }
        }
        all.sort_by_key(|it| it.seen.head.ledger);
        Ok(Self { folder, all, accused })
    }

    /// What is remembered of a ledger.
    pub fn of(&self, ledger: LedgerId) -> Option<&Remembered> {
        self.all.iter().find(|it| it.seen.head.ledger == ledger)
    }

    /// The heads of all ledgers.
    pub fn seen(&self) -> Vec<Seen> {
        self.all.iter().map(|it| it.seen.clone()).collect()
    }

    /// The heads of the ledgers that were seen at a place.
    pub fn seen_at(&self, place: &str) -> Vec<Seen> {
        let here = self.all.iter().filter(|it| it.places.iter().any(|p| p == place));
        here.map(|it| it.seen.clone()).collect()
    }

    /// Whether a proof accuses this operator of this ledger.
    pub fn accused(&self, ledger: LedgerId, operator: &PublicKey) -> Option<&Accused> {
        self.accused.iter().find(|it| it.proof.accused() == (ledger, operator))
    }

    /// Keeps a proof that was verified: whoever signed two histories is not found sound again
    /// when only one of them is at hand. Durable when it returns. The first proof stays.
    pub fn accuse(&self, proof: &FraudProof) -> Done {
        let _locked = self.lock()?;
        let path = self.folder.join(format!("{}.{ACCUSED}", accusation(proof)));
        if path.exists() {
            return read_accused(path).map(drop);
        }
        replace(&path, &proof.to_text()).map_err(|e| Failure::file(&path, &e))
    }

    /// Held while a file is looked at and replaced: of two audits that end at once, the one with
    /// the older head must see the newer. The system lets go of it when the file is closed.
    fn lock(&self) -> Done<File> {
        fs::create_dir_all(&self.folder).map_err(|e| Failure::file(&self.folder, &e))?;
        let path = self.folder.join(LOCK);
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let locked = file.and_then(|file| file.lock().map(|()| file));
        locked.map_err(|e| Failure::file(&path, &e))
    }

    /// Remembers a ledger that was judged sound, with the place if it is one to come back to.
    /// Durable when it returns. Keeps what is there where that is newer.
    pub fn remember(&self, report: &LedgerReport, place: Option<&str>) -> Done {
        let Some(new) = of_report(report) else { return Ok(()) };
        let _locked = self.lock()?;
        let path = self.folder.join(format!("{}.{SUFFIX}", report.id));
        // Another audit may have ended meanwhile.
        let before = if path.exists() { Some(read(&path)?) } else { None };
        let mut places = before.as_ref().map(|it| it.places.clone()).unwrap_or_default();
        if let Some(place) = place.filter(|p| !p.contains(char::is_control)) {
            places.retain(|known| known != place);
            places.push(place.to_owned());
            places.drain(..places.len().saturating_sub(MOST_PLACES));
        }
        let newer = before.filter(|it| it.seen.head.size >= new.seen.head.size);
        let next = Remembered { places, ..newer.unwrap_or(new) };
        replace(&path, &next.to_text()).map_err(|e| Failure::file(&path, &e))
    }
}

/// None of a ledger without a signed head of at least one entry.
fn of_report(report: &LedgerReport) -> Option<Remembered> {
    let (head, note) = report.signed.clone()?;
    let (leaf, path) = report.last_leaf.clone()?;
    let operator = report.operator.clone()?;
    let before = report.operators.iter().skip(1);
    let former = before.filter_map(|tenure| PublicKey::admit(&tenure.key).ok()).collect();
    let (name, sandbox) = (report.name.clone(), report.sandbox);
    let seen = Seen { head, operator, former, name, sandbox };
    Some(Remembered { seen, note, last: Placed { leaf, path }, places: Vec::new() })
}

impl Remembered {
    fn to_text(&self) -> String {
        let Seen { head, operator, former, name, sandbox } = &self.seen;
        let key = verifier_key(&head.ledger, operator);
        let sandbox = if *sandbox { "yes" } else { "no" };
        let mut text = format!("{FORMAT}\noperator {key}\nname {name}\nsandbox {sandbox}\n");
        for key in former {
            let _ = writeln!(text, "former {}", verifier_key(&head.ledger, key));
        }
        for place in &self.places {
            let _ = writeln!(text, "place {place}"); // a String takes all
        }
        text += "leaf ";
        for hash in std::iter::once(&self.last.leaf).chain(&self.last.path) {
            let _ = writeln!(text, "{}", BASE64_STANDARD.encode(hash));
        }
        text + "\n" + &self.note
    }

    /// Reads what `to_text` writes, and checks the signature and the leaf under it.
    fn parse(text: &str) -> Option<Self> {
        let (top, note) = text.split_once("\n\n")?;
        let mut lines = top.split('\n').peekable();
        lines.next().filter(|first| *first == FORMAT)?;
        let (ledger, operator) =
            parse_verifier_key(lines.next()?.strip_prefix("operator ")?).ok()?;
        let name = Handle::new(lines.next()?.strip_prefix("name ")?).ok()?.to_string();
        let sandbox = lines.next()? == "sandbox yes";
        let mut former = Vec::new();
        while let Some(key) = lines.peek()?.strip_prefix("former ") {
            former.push(parse_verifier_key(key).ok()?.1);
            lines.next();
        }
        let mut places = Vec::new();
        while let Some(place) = lines.peek()?.strip_prefix("place ") {
            places.push(place.to_owned());
            lines.next();
        }
        let leaf = hash(lines.next()?.strip_prefix("leaf ")?)?;
        let path = lines.map(hash).collect::<Option<Vec<_>>>()?;
        let head = Checkpoint::open(note, ledger, &operator).ok()?;
        let last = head.size.checked_sub(1)?;
        verify_inclusion(last, head.size, &head.root, &leaf, &path).ok()?;
        let seen = Seen { head, operator, former, name, sandbox };
        let read = Self { seen, note: note.to_owned(), last: Placed { leaf, path }, places };
        (read.to_text() == text).then_some(read)
    }
}

fn hash(text: &str) -> Option<Hash> {
    BASE64_STANDARD.decode(text).ok()?.try_into().ok()
}

fn read(path: &Path) -> Done<Remembered> {
    let parsed = text(path, MOST_BYTES)?.and_then(|text| Remembered::parse(&text));
    let parsed = parsed.filter(|it| is_named(path, &it.seen.head.ledger.to_string()));
    parsed.ok_or_else(|| {
        let next = "find out who changed it; restore it, or remove it to see that ledger for the \
                    first time again";
        damaged(path, "what an audit remembers of a ledger", next)
    })
}

fn read_accused(path: PathBuf) -> Done<Accused> {
    let proof = text(&path, fraud::MOST_BYTES)?.and_then(|text| FraudProof::parse(&text).ok());
    let proof = proof.filter(|it| is_named(&path, &accusation(it)));
    let proven = proof.and_then(|it| it.verify(it.accused().1).ok().map(|proven| (it, proven)));
    let (proof, proven) = proven.ok_or_else(|| {
        let next = "find out who changed it; put the proof back, or remove it to believe that \
                    operator again";
        damaged(&path, "a proof of that ledger's two histories", next)
    })?;
    let smaller = proven.heads[0].size;
    Ok(Accused { proof, entry: proven.entry, smaller, file: path })
}

/// None of what is larger, or no text.
fn text(path: &Path, most: usize) -> Done<Option<String>> {
    let mut bytes = Vec::new();
    let limit = most as u64 + 1;
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    read.map_err(|e| Failure::file(path, &e))?;
    Ok(String::from_utf8(bytes).ok().filter(|text| text.len() <= most))
}

/// It is found by its name, so another ledger's file must not stand in.
fn is_named(path: &Path, name: &str) -> bool {
    path.file_stem().is_some_and(|stem| stem == name)
}

/// The name of a proof: the ledger, and whose key it accuses.
fn accusation(proof: &FraudProof) -> String {
    let (ledger, operator) = proof.accused();
    format!("{ledger}-{}", hex::encode(operator.bytes()))
}

fn damaged(path: &Path, what: &str, next: &str) -> Failure {
    Failure::refused("memory-damaged", format!("{}: it is not {what}", path.display()), next)
}
