//! Whether a witness signs: the rules, from bytes and what is known to an answer.
//!
//! Pure: no clock, no file, no network. Guarantees the order of the table in the module above,
//! and that nothing is judged but what a trusted key has signed. Leaves out keeping and signing.

use std::collections::HashMap;
use subak_ledger::{
    log::{
        head::Head,
        note::{Note, VerifierKey},
        submission::Submission,
        tree::{EMPTY_ROOT, verify_consistency},
    },
    reject::{Code, require},
    store::witness::{Contradiction, Kept, Step},
};

/// What is said to a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 200: the line of the cosignature, with its newline.
    Cosigned(String),
    /// 400: not the form of a submission; why.
    Malformed(String),
    /// 403: no trusted key of this origin has signed it.
    Untrusted,
    /// 404: this origin is nobody's who is trusted.
    UnknownLog,
    /// 409: this is the size to begin the proof at.
    Conflict {
        /// Leaves of the last head that was cosigned.
        size: u64,
    },
    /// 422: the proof does not hold; why.
    Unproven(String),
    /// 500: the store failed.
    Failed,
}

impl Answer {
    /// The status of the HTTP response.
    pub fn status(&self) -> u16 {
        match self {
            Self::Cosigned(_) => 200,
            Self::Malformed(_) => 400,
            Self::Untrusted => 403,
            Self::UnknownLog => 404,
            Self::Conflict { .. } => 409,
            Self::Unproven(_) => 422,
            Self::Failed => 500,
        }
    }

    /// Its content type.
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "text/x.tlog.size",
            _ => "text/plain; charset=utf-8",
        }
    }

    /// Its body: lines.
    pub fn body(&self) -> String {
        match self {
            Self::Cosigned(lines) => lines.clone(),
            Self::Malformed(why) | Self::Unproven(why) => format!("{why}\n"),
            Self::Untrusted => "no trusted key of this origin has signed it\n".into(),
            Self::UnknownLog => "no log of this origin is witnessed here\n".into(),
            Self::Conflict { size } => format!("{size}\n"),
            Self::Failed => "the witness could not keep it, and has signed nothing\n".into(),
        }
    }
}

/// The keys that are trusted to sign heads, by the name of their log.
#[derive(Debug, Clone, Default)]
pub struct Logs(HashMap<String, Vec<VerifierKey>>);

impl Logs {
    /// The log of a key is the one of the key's name. A log may have several.
    pub fn new(keys: impl IntoIterator<Item = VerifierKey>) -> Self {
        let mut logs = HashMap::<String, Vec<VerifierKey>>::new();
        for key in keys {
            logs.entry(key.name().to_owned()).or_default().push(key);
        }
        Self(logs)
    }

    /// Their names, sorted.
    pub fn origins(&self) -> Vec<&str> {
        let mut origins: Vec<&str> = self.0.keys().map(String::as_str).collect();
        origins.sort_unstable();
        origins
    }
}

/// A submission whose head a trusted key of its origin has signed: only [`admit`] makes one.
#[derive(Debug)]
pub struct Signed<'a>(Submission<'a>, &'a [VerifierKey]);

/// The last of these keys that has signed a note.
fn newest(keys: &[VerifierKey], note: &Note<'_>) -> Option<usize> {
    keys.iter().rposition(|key| key.verify(note).is_ok())
}

impl<'a> Signed<'a> {
    /// What the log says.
    pub fn head(&self) -> &Head<'a> {
        &self.0.head
    }

    /// Which log.
    pub fn origin(&self) -> &'a str {
        self.0.head.origin
    }

    /// The text that was signed, and is cosigned.
    pub fn text(&self) -> &'a str {
        self.0.note.text
    }

    /// The checkpoint as it was submitted.
    pub fn checkpoint(&self) -> &'a str {
        self.0.checkpoint
    }

    /// What the store is to do, if the judgement is favourable.
    pub(super) fn step(&self, now: u64) -> Step<'_> {
        let Head { origin, size, root } = self.0.head;
        Step { origin, expected: self.0.old, size, root, note: self.0.checkpoint, now }
    }
}

/// The form, the log, the signature: what can be judged of a request alone. Of several trusted
/// keys, as when a log changes its key, one that has signed is enough; what others have is ignored.
pub fn admit<'a>(body: &'a [u8], logs: &'a Logs) -> Result<Signed<'a>, Answer> {
    let submission =
        Submission::parse(body).map_err(|refused| Answer::Malformed(refused.detail))?;
    let keys = logs.0.get(submission.head.origin).ok_or(Answer::UnknownLog)?;
    match newest(keys, &submission.note) {
        Some(_) => Ok(Signed(submission, keys)),
        None => Err(Answer::Untrusted),
    }
}

/// Holds a signed head against the kept one: whether it continues that, or what is answered
/// instead; and whether it contradicts it.
pub fn judge(
    signed: &Signed<'_>,
    known: Option<&Kept>,
) -> (Result<(), Answer>, Option<Contradiction>) {
    let Submission { old, proof, head, .. } = &signed.0;
    // Of which nothing is known stands at the empty tree.
    let (size, root) = known.map_or((0, EMPTY_ROOT), |kept| (kept.size, kept.root));
    // A log that has changed its key is not signed by the one before any more: whoever kept or stole
    // that could else end the log here. The later line of the trust file is the later key.
    let before = known.and_then(|kept| newest(signed.1, &Note::parse(&kept.note).ok()?));
    if newest(signed.1, &signed.0.note) < before {
        return (Err(Answer::Untrusted), None);
    }
    // Whatever the request says of the old size: two notes of one size tell it.
    let forked = head.size == size && head.root != root;
    if forked || *old != size {
        return (Err(Answer::Conflict { size }), forked.then_some(Contradiction::Root));
    }
    let proven = if *old == 0 {
        // Everything continues the empty tree.
        require(proof.is_empty(), Code::BadProof, || "old size 0: expected no proof".into())
    } else {
        verify_consistency(*old, head.size, &root, &head.root, proof)
    };
    let Err(refused) = proven else { return (Ok(()), None) };
    // Of the same head, or after nothing, only the request is at fault.
    let contradiction = (*old > 0 && head.size > size).then_some(Contradiction::Unproven);
    (Err(Answer::Unproven(refused.detail)), contradiction)
}
