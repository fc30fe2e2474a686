//! A commit as git stores it: its hash and the parts that an import needs.
//!
//! Owns the reading of a commit object's text (git's own format: header lines
//! `tree`, `parent`, `author`, `committer`, `encoding` …, a blank line, the
//! message). Guarantees that no content is fatal: what is missing or odd comes out
//! as `None` and is judged by the caller. Leaves out trees, signatures and the
//! verification of hashes.
//!
//! It is read here and not by the repository library, whose reader refuses a whole
//! commit for one odd line; histories that were converted from older systems have
//! such lines, and nobody can mend them.

use std::{borrow::Cow, fmt};

/// The name of a commit: SHA-1 (20 bytes) or SHA-256 (32 bytes).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash {
    // Unused bytes are zero, so that the derived order and equality hold.
    bytes: [u8; 32],
    len: u8,
}

impl Hash {
    /// From 20 or 32 raw bytes.
    pub fn from_bytes(raw: &[u8]) -> Option<Self> {
        let len = u8::try_from(raw.len()).ok().filter(|len| matches!(len, 20 | 32))?;
        let mut bytes = [0; 32];
        bytes[..raw.len()].copy_from_slice(raw);
        Some(Self { bytes, len })
    }

    /// From 40 or 64 hex digits of either case.
    pub fn from_hex(digits: &[u8]) -> Option<Self> {
        let mut raw = [0; 32];
        let raw = raw.get_mut(..digits.len() / 2)?;
        hex::decode_to_slice(digits, raw).ok()?;
        Self::from_bytes(raw)
    }

    /// The bytes, with zeros after them: hashes compare alike in this form, whatever
    /// their length, also with the beginning of one.
    pub(crate) fn padded(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Whether the hash in hex begins with these digits of either case.
    pub(crate) fn starts_with(&self, digits: &[u8]) -> bool {
        let nibble = |at: usize| {
            let byte = self.bytes().get(at / 2)?;
            Some(u32::from(if at.is_multiple_of(2) { byte >> 4 } else { byte & 15 }))
        };
        digits.iter().enumerate().all(|(at, &d)| {
            nibble(at).is_some_and(|found| char::from(d).to_digit(16) == Some(found))
        })
    }

    /// The raw bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.bytes()))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The parts of a commit, as bytes of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Raw<'a> {
    /// What follows `author `, if such a line exists.
    pub author: Option<&'a [u8]>,
    /// What follows `committer `, if such a line exists.
    pub committer: Option<&'a [u8]>,
    /// Whether the text is ISO 8859-1 by its `encoding` line. UTF-8 is the default,
    /// and every other encoding is read as UTF-8, where it fails visibly.
    pub latin1: bool,
    /// Everything after the first blank line.
    pub message: &'a [u8],
}

/// Takes a commit apart and appends its parents to `parents`.
pub fn parse<'a>(text: &'a [u8], parents: &mut Vec<Hash>) -> Raw<'a> {
    let mut raw = Raw::default();
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = split_line(rest);
        rest = after;
        if line.is_empty() {
            break;
        }
        if let Some(hash) = line.strip_prefix(b"parent ") {
            parents.extend(Hash::from_hex(hash));
        } else if let Some(who) = line.strip_prefix(b"author ") {
            raw.author.get_or_insert(who);
        } else if let Some(who) = line.strip_prefix(b"committer ") {
            raw.committer.get_or_insert(who);
        } else if let Some(name) = line.strip_prefix(b"encoding ") {
            raw.latin1 = is_latin1(name);
        }
    }
    raw.message = rest;
    raw
}

fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|&b| b == b'\n') {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (text, &[]),
    }
}

fn is_latin1(name: &[u8]) -> bool {
    let plain: Vec<u8> =
        name.iter().filter(|b| b.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect();
    matches!(plain.as_slice(), b"iso88591" | b"latin1")
}

impl Raw<'_> {
    /// The bytes as UTF-8 if the commit says that they are ISO 8859-1, whose code
    /// points are Unicode's first 256; else as they are.
    pub fn transcode<'t>(&self, text: &'t [u8]) -> Cow<'t, [u8]> {
        if !self.latin1 || text.is_ascii() {
            return Cow::Borrowed(text);
        }
        Cow::Owned(text.iter().map(|&b| char::from(b)).collect::<String>().into_bytes())
    }
}

/// `Name <email> seconds offset`, split as git does it: the e-mail ends at the first
/// `>` after the first `<`, the date follows the last `>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature<'a> {
    /// The name without space around it; may be empty.
    pub name: &'a [u8],
    /// The e-mail without space around it; may be empty.
    pub email: &'a [u8],
    /// Seconds since 1970-01-01 UTC.
    pub seconds: Option<i64>,
}

/// Splits a signature; `None` without both brackets.
pub fn signature(line: &[u8]) -> Option<Signature<'_>> {
    let open = line.iter().position(|&b| b == b'<')?;
    let close = open + line[open..].iter().position(|&b| b == b'>')?;
    let last = line.iter().rposition(|&b| b == b'>')?;
    let date = line[last + 1..].trim_ascii();
    let digits = date.split(u8::is_ascii_whitespace).next().unwrap_or(&[]);
    let seconds = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    Some(Signature {
        name: line[..open].trim_ascii(),
        email: line[open + 1..close].trim_ascii(),
        seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_taken_apart() {
        let text = b"tree 00\nparent 0123456789012345678901234567890123456789\n\
            author A B <a@x> 86400 +0200\ncommitter C <c@x> 1 +0000\nencoding iso-8859-1\n\
            gpgsig -----BEGIN\n author Nobody <n@x> 0 +0000\n\nSubject\n\nauthor text\n";
        let mut parents = Vec::new();
        let raw = parse(text, &mut parents);
        assert_eq!(parents.len(), 1);
        let author = signature(raw.author.unwrap()).unwrap();
        assert_eq!((author.name, author.email), (&b"A B"[..], &b"a@x"[..]));
        assert_eq!(author.seconds, Some(86_400));
        assert_eq!(raw.message, b"Subject\n\nauthor text\n");
        assert!(raw.latin1);
        assert_eq!(raw.transcode(b"J\xf6rg").as_ref(), "Jörg".as_bytes());
    }

    #[test]
    fn odd_signatures_are_read_as_far_as_they_go() {
        assert_eq!(signature(b"no brackets 0 +0000"), None);
        assert_eq!(signature(b"> backwards <"), None);
        let odd = signature(b"A <a<b@x>> 12 +0000").unwrap();
        assert_eq!((odd.email, odd.seconds), (&b"a<b@x"[..], Some(12)));
        assert_eq!(signature(b"A <a@x> soon").unwrap().seconds, None);
        assert_eq!(signature(b"A <a@x>").unwrap().seconds, None);
        assert_eq!(signature(b"<> 99999999999999999999 +0000").unwrap().seconds, None);
        assert_eq!(signature(b"A <a@x> -5 +0000").unwrap().seconds, Some(-5));
    }

    #[test]
    fn text_without_a_message_or_without_anything_is_no_fault() {
        assert_eq!(parse(b"", &mut Vec::new()), Raw::default());
        assert_eq!(parse(b"author A <a@x> 1 +0000", &mut Vec::new()).message, b"");
    }

    #[test]
    fn hashes_have_two_lengths() {
        for (digits, fits) in [(40, true), (64, true), (39, false), (42, false), (66, false)] {
            assert_eq!(Hash::from_hex("a".repeat(digits).as_bytes()).is_some(), fits, "{digits}");
        }
        assert_eq!(
            Hash::from_hex("AB".repeat(20).as_bytes()).unwrap().to_string(),
            "ab".repeat(20)
        );
    }
}
