//! What a log sends to a witness: its new head, and the proof that it continues an older one.
//!
//! Owns the body of C2SP `tlog-witness`' `add-checkpoint`, read and written. Guarantees that it
//! has one spelling. Leaves out who signed, whether the proof holds, and what is answered
//! (`subak-node`).
//!
//! ```text
//! old <size of the last head that this witness signed, decimal>
//! <proof: up to 63 hashes, a line each, base64>
//!
//! <checkpoint: a signed note>
//! ```

use super::{
    Hash, fixed,
    head::{Head, MAX_SIZE},
    note::{MAX_NOTE, Note, decode_base64},
};
use crate::reject::{Code, Outcome, Reject, require};
use base64::{Engine, prelude::BASE64_STANDARD};

/// The most hashes of a proof: one for each level of the largest tree.
pub const MAX_PROOF: usize = 63;

/// The most bytes that a submission needs: the old size (20 digits), the proof's lines of 45
/// bytes, and the note.
pub const MAX_SUBMISSION: usize = MAX_NOTE + 45 * MAX_PROOF + 32;

/// A parsed submission. Nothing in it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission<'a> {
    /// The size that the proof begins at.
    pub old: u64,
    /// From there to the head: an RFC 6962 consistency proof.
    pub proof: Vec<Hash>,
    /// The checkpoint as it was sent.
    pub checkpoint: &'a str,
    /// The same, taken apart.
    pub note: Note<'a>,
    /// What it says.
    pub head: Head<'a>,
}

impl<'a> Submission<'a> {
    /// Takes a request's body apart. Refuses a proof in another form as `bad-proof`, the rest as
    /// `bad-note` and `bad-checkpoint`; and an old size that is larger than the head's.
    pub fn parse(body: &'a [u8]) -> Outcome<Self> {
        let body = std::str::from_utf8(body).map_err(|_| bad("the body: expected UTF-8".into()))?;
        let (lines, checkpoint) = body
            .split_once("\n\n")
            .ok_or_else(|| bad("the body: no blank line before the checkpoint".into()))?;
        let mut lines = lines.split('\n');
        let old = old(lines.next().unwrap_or_default())?;
        let proof = proof(lines)?;
        let note = Note::parse(checkpoint)?;
        let head = Head::read(note.text)?;
        require(old <= head.size, Code::BadProof, || {
            format!("old size: expected at most the checkpoint's {}, found {old}", head.size)
        })?;
        Ok(Self { old, proof, checkpoint, note, head })
    }

    /// The body of a request.
    pub fn write(old: u64, proof: &[Hash], checkpoint: &str) -> String {
        let mut body = format!("old {old}\n");
        for hash in proof {
            body.push_str(&BASE64_STANDARD.encode(hash));
            body.push('\n');
        }
        body + "\n" + checkpoint
    }
}

fn old(line: &str) -> Outcome<u64> {
    let size = line.strip_prefix("old ").and_then(|text| {
        let size: u64 = text.parse().ok()?;
        // One spelling: no sign, no leading zero.
        (size.to_string() == text && size <= MAX_SIZE).then_some(size)
    });
    size.ok_or_else(|| {
        let found: String = line.chars().take(40).collect();
        bad(format!("line 1: expected `old` and a decimal size, found {found:?}"))
    })
}

fn proof<'a>(lines: impl Iterator<Item = &'a str>) -> Outcome<Vec<Hash>> {
    let mut proof = Vec::new();
    for line in lines {
        require(proof.len() < MAX_PROOF, Code::BadProof, || {
            format!("the proof: expected at most {MAX_PROOF} lines")
        })?;
        let hash = decode_base64(line, "the proof").map_err(|refused| bad(refused.detail))?;
        proof.push(fixed(&hash, Code::BadProof, "a hash of the proof")?);
    }
    Ok(proof)
}

fn bad(why: String) -> Reject {
    Reject::new(Code::BadProof, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification C2SP/tlog-witness.
    const PUBLISHED: &str = "old 20852014\n\
        PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\
        jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\
        5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n\
        /6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\
        \n\
        example.com/behind-the-sofa\n\
        20852163\n\
        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\
        \n\
        — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        — example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=\n";

    #[test]
    fn the_published_request_is_taken_apart_and_put_together() {
        let read = Submission::parse(PUBLISHED.as_bytes()).expect("published");
        assert_eq!((read.old, read.proof.len(), read.head.size), (20_852_014, 4, 20_852_163));
        assert_eq!(read.note.signatures.len(), 2);
        assert_eq!(Submission::write(read.old, &read.proof, read.checkpoint), PUBLISHED);
        // From nothing there is nothing to prove.
        let first = Submission::write(0, &[], read.checkpoint);
        assert_eq!(Submission::parse(first.as_bytes()).map(|s| (s.old, s.proof)), Ok((0, vec![])));
    }

    #[test]
    fn a_request_in_another_form_is_refused() {
        let checkpoint = PUBLISHED.split_once("\n\n").expect("two parts").1;
        let hash = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n";
        let most = format!("old 5\n{}\n{checkpoint}", hash.repeat(MAX_PROOF));
        assert!(Submission::parse(most.as_bytes()).is_ok(), "the control");
        let cases = [
            String::new(),
            checkpoint.into(),
            format!("\n{checkpoint}"),
            format!("old 5\n{checkpoint}"),
            format!("old 05\n\n{checkpoint}"),
            format!("old +5\n\n{checkpoint}"),
            format!("old -0\n\n{checkpoint}"),
            format!("old  5\n\n{checkpoint}"),
            format!("old 5 \n\n{checkpoint}"),
            format!("old\n\n{checkpoint}"),
            format!("Old 5\n\n{checkpoint}"),
            format!("old 5\r\n\r\n{checkpoint}"),
            format!("old 9223372036854775808\n\n{checkpoint}"),
            format!("old 20852164\n\n{checkpoint}"),
            format!("old 5\n{}\n{checkpoint}", hash.repeat(MAX_PROOF + 1)),
            format!("old 5\nPlRN\n\n{checkpoint}"),
            format!("old 5\n{}\n{checkpoint}", hash.replace("kaw=", "kax=")),
            format!("old 5\n{}\n{checkpoint}", hash.replace('=', "")),
            format!("old 5\n {hash}\n{checkpoint}"),
            format!("old 5\n\n\n{checkpoint}"),
            "old 5\n\n".into(),
            format!("old 5\n\n{}", checkpoint.trim_end()),
            format!("old 5\n\n{}", &checkpoint[..checkpoint.find('—').expect("signed")]),
        ];
        for case in cases {
            assert!(Submission::parse(case.as_bytes()).is_err(), "{case:?}");
        }
        assert!(Submission::parse(b"old 5\n\n\xff\n").is_err());
    }
}
