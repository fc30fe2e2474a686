//! The head of any log, not only of a ledger: what a witness reads.
//!
//! Owns the C2SP `tlog-checkpoint` text in its general form. Guarantees that size and root have
//! one spelling. Leaves out who signed the text ([`super::note`]), the request that carries it
//! ([`super::submission`]), and the stricter form of ledgers ([`super::checkpoint`]).
//!
//! ```text
//! <origin: whatever name the log has>
//! <size, decimal, without leading zeros>
//! <root, base64>
//! <extension lines, if any: what they say is not judged>
//! ```

use super::{Hash, checkpoint::parse_decimal, fixed, note::decode_base64};
use crate::reject::{Code, Outcome, Reject, require};

/// The longest origin that is read, in bytes.
pub const MAX_ORIGIN: usize = 1_024;

/// The largest size that is read: proofs have room for trees of less than 2^63 leaves.
pub const MAX_SIZE: u64 = (1 << 63) - 1;

/// So many leaves under this root, says the log of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// The log's name.
    pub origin: &'a str,
    /// How many leaves.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
}

impl<'a> Head<'a> {
    /// Reads a note's text; refuses every other form as `bad-checkpoint`.
    pub fn read(text: &'a str) -> Outcome<Self> {
        let lines = text.strip_suffix('\n').ok_or_else(|| bad("expected lines"))?;
        let empty = lines.split('\n').any(str::is_empty);
        require(!empty, Code::BadCheckpoint, || "checkpoint: an empty line".into())?;
        let mut lines = lines.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(bad("expected origin, size and root"));
        };
        require(origin.len() <= MAX_ORIGIN, Code::BadCheckpoint, || {
            format!("checkpoint origin: expected at most {MAX_ORIGIN} bytes")
        })?;
        let size = parse_decimal(size)?;
        require(size <= MAX_SIZE, Code::BadCheckpoint, || {
            format!("checkpoint size: expected less than 2^63, found {size}")
        })?;
        let root = decode_base64(root, "checkpoint root")
            .and_then(|root| fixed(&root, Code::BadCheckpoint, "checkpoint root"))
            .map_err(|refused| Reject::new(Code::BadCheckpoint, refused.detail))?;
        Ok(Self { origin, size, root })
    }
}

fn bad(why: &str) -> Reject {
    Reject::new(Code::BadCheckpoint, format!("checkpoint: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification C2SP/tlog-checkpoint.
    const PUBLISHED: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    #[test]
    fn a_published_head_is_read_with_and_without_extensions() {
        let head = Head::read(PUBLISHED).expect("published");
        assert_eq!((head.origin, head.size), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(head.root[..4], [0x0a, 0xc5, 0x18, 0x6a]);
        assert_eq!(Head::read(&format!("{PUBLISHED}more\nand — more\n")), Ok(head));
        let names = PUBLISHED.replace("example.com/behind-the-sofa", "any name, + what it likes");
        assert_eq!(Head::read(&names).expect("a head").origin, "any name, + what it likes");
    }

    #[test]
    fn a_head_in_another_form_is_refused() {
        let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
        let cases = [
            String::new(),
            "\n".into(),
            PUBLISHED.trim_end().into(),
            "log\n1\n".into(),
            format!("\n1\n{root}\n"),
            format!("log\n\n{root}\n"),
            format!("log\n01\n{root}\n"),
            format!("log\n+1\n{root}\n"),
            format!("log\n-1\n{root}\n"),
            format!("log\n 1\n{root}\n"),
            format!("log\n1 \n{root}\n"),
            format!("log\n9223372036854775808\n{root}\n"),
            format!("log\n18446744073709551616\n{root}\n"),
            format!("log\n1\n{}\n", root.trim_end_matches('=')),
            format!("log\n1\n{}\n", root.replace("q2I=", "q2J=")),
            format!("log\n1\n{}\n", &root[4..]),
            format!("log\n1\n{root}\n\nextension\n"),
            format!("log\n1\n{root}\n\n"),
            format!("{}\n1\n{root}\n", "x".repeat(MAX_ORIGIN + 1)),
        ];
        for case in cases {
            let refused = Head::read(&case).map_err(|r| r.code);
            assert_eq!(refused, Err(Code::BadCheckpoint), "{case:?}");
        }
        assert!(Head::read(&format!("{}\n{MAX_SIZE}\n{root}\n", "x".repeat(MAX_ORIGIN))).is_ok());
    }
}
