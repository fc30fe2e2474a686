//! Trust files: whose heads are believed.
//!
//! Owns the C2SP `tlog-policy` form as far as it names logs. Guarantees that each key is named
//! once, and that a file which asks for more than can be judged here is refused instead of
//! being half obeyed. Leaves out witnesses: cosignatures are not judged yet, so the
//! quorum must be `none`.
//!
//! ```text
//! # whom I trust, and for what
//! log subak/<ledger id>+<key id>+<key> [url]
//! quorum none
//! ```

use super::{LedgerId, PublicKey, checkpoint::parse_verifier_key};
use crate::reject::{Code, Outcome, Reject, require};

/// The ledgers that a trust file names, each with its operator's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<(LedgerId, PublicKey)>,
}

impl Policy {
    /// Reads a trust file; refused as `bad-policy` with the line's number.
    pub fn parse(text: &str) -> Outcome<Self> {
        let (mut logs, mut quorums) = (Vec::new(), 0);
        for (number, line) in (1..).zip(text.split('\n')) {
            let at = |what: &str| bad(&format!("line {number}: {what}"));
            let odd = line.contains(|c: char| c.is_control() && c != '\t');
            require(!odd, Code::BadPolicy, || {
                format!("line {number}: a control character (Windows line ends?)")
            })?;
            let words: Vec<&str> = line.split([' ', '\t']).filter(|w| !w.is_empty()).collect();
            match words[..] {
                [] => {}
                [first, ..] if first.starts_with('#') => {}
                ["log", key] | ["log", key, _] => {
                    let log = parse_verifier_key(key).map_err(|r| at(&r.detail))?;
                    let twice = logs.iter().any(|(_, known)| *known == log.1);
                    require(!twice, Code::BadPolicy, || format!("line {number}: a key twice"))?;
                    logs.push(log);
                }
                ["quorum", "none"] => quorums += 1,
                ["witness" | "group" | "quorum", ..] => {
                    return Err(at("witnesses are not judged by this version: quorum none"));
                }
                [other, ..] => return Err(at(&format!("expected log or quorum, found {other:?}"))),
            }
        }
        require(quorums == 1, Code::BadPolicy, || {
            format!("expected one line `quorum none`, found {quorums}")
        })?;
        Ok(Self { logs })
    }

    /// The keys that are believed for a ledger, in the file's order: one mostly.
    pub fn operators(&self, ledger: LedgerId) -> impl Iterator<Item = &PublicKey> {
        self.logs.iter().filter(move |(named, _)| *named == ledger).map(|(_, key)| key)
    }
}

fn bad(what: &str) -> Reject {
    Reject::new(Code::BadPolicy, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{SecretKey, checkpoint::verifier_key};

    fn key(seed: u8) -> PublicKey {
        SecretKey::from_seed(&[seed; 32]).public()
    }

    #[test]
    fn a_file_names_ledgers_and_their_operators() {
        let [rice, tea] = [LedgerId([1; 32]), LedgerId([2; 32])];
        let text = format!(
            "# mine\n\n\tlog {} https://rice.example/ \nquorum\tnone\n log {}\nlog {}",
            verifier_key(&rice, &key(1)),
            verifier_key(&tea, &key(2)),
            verifier_key(&rice, &key(3))
        );
        let policy = Policy::parse(&text).expect("a trust file");
        let of = |ledger| policy.operators(ledger).cloned().collect::<Vec<_>>();
        assert_eq!(of(rice), [key(1), key(3)], "all of them, as the form has it");
        assert_eq!(of(tea), [key(2)]);
        assert_eq!(of(LedgerId([3; 32])), []);
        assert!(Policy::parse("quorum none\n").is_ok(), "one may trust nobody");
    }

    #[test]
    fn what_cannot_be_obeyed_whole_is_refused_with_its_line() {
        let log = format!("log {}", verifier_key(&LedgerId([1; 32]), &key(1)));
        let other = format!("log {}", verifier_key(&LedgerId([2; 32]), &key(1)));
        let cases = [
            (String::new(), "found 0"),
            (log.clone(), "found 0"),
            ("quorum none\nquorum none".into(), "found 2"),
            (format!("{log}\n{other}\nquorum none"), "line 2: a key twice"),
            (format!("{log} url more\nquorum none"), "line 1: expected log or quorum"),
            ("log nonsense\nquorum none".into(), "line 1"),
            ("\nwitness w key\nquorum w".into(), "line 2: witnesses are not judged"),
            ("quorum w".into(), "line 1: witnesses are not judged"),
            ("quorum none\r\n".into(), "line 1: a control character"),
            ("trust me\nquorum none".into(), "line 1: expected log or quorum"),
        ];
        for (text, what) in cases {
            let refused = Policy::parse(&text).expect_err(&text);
            assert_eq!(refused.code, Code::BadPolicy);
            assert!(refused.detail.contains(what), "{text:?}: {}", refused.detail);
        }
    }
}
