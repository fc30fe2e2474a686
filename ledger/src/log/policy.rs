//! Trust files: whose heads are believed, and whose word is needed beside the operator's.
//!
//! Owns the C2SP `tlog-policy` form and the verdict of its quorum. Guarantees that each key and
//! each name is there once, that a witness counts on one way only, and that a file which asks
//! for more than can be judged here is refused instead of being half obeyed. Leaves out what a
//! URL is for, and which log an entry lies in ([`super::receipt`]).
//!
//! ```text
//! # whom I trust, and for what
//! log subak/<ledger id>+<key id>+<key> [url]
//! witness W1 <name>+<key id>+<key, of type 4> [url]
//! witness W2 ...
//! group BOTH all W1 W2             # or any, or a number: so many of them
//! quorum BOTH                      # or a witness; or none
//! ```
//!
//! A group names what stands before it, and nothing is a member twice, so groups are trees.

use super::{
    LedgerId, PublicKey,
    checkpoint::ledger_of_origin,
    cosignature::CosignerKey,
    note::{Note, VerifierKey},
};
use crate::reject::{Code, Outcome, Reject, require};
use std::collections::{BTreeMap, BTreeSet};

/// Who is believed, of logs and witnesses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Quorum,
}

/// A log that is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Its operator's key, under its origin.
    pub key: VerifierKey,
    /// Where it may be asked.
    pub url: Option<String>,
}

/// Somebody whose cosignatures count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Its name in this file.
    pub name: String,
    /// Its key, under the name that it signs with.
    pub key: CosignerKey,
    /// Where checkpoints may be submitted to it.
    pub url: Option<String>,
}

/// A cosignature that counts: the witness's name in the trust file, and when it signed, in
/// seconds since 1970.
pub type Cosigned = (String, u64);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    needs: usize,
    members: Vec<Member>,
}

/// Who must have signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quorum {
    Nobody,
    Of(Member),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    Witness(usize),
    Group(usize),
}

impl Policy {
    /// Reads a trust file; refused as `bad-policy` with the line's number.
    pub fn parse(text: &str) -> Outcome<Self> {
        let mut reader = Reader::default();
        for (number, line) in (1..).zip(text.split('\n')) {
            reader.line(line).map_err(|what| bad(&format!("line {number}: {what}")))?;
        }
        let quorum = reader.quorum.ok_or_else(|| {
            bad("expected one line `quorum NAME`, or `quorum none` to ask for no witness")
        })?;
        let Reader { logs, witnesses, groups, .. } = reader;
        Ok(Self { logs, witnesses, groups, quorum })
    }

    /// The logs, in the file's order.
    pub fn logs(&self) -> &[Log] {
        &self.logs
    }

    /// The witnesses, in the file's order.
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// Whether a checkpoint needs cosignatures.
    pub fn asks_for_witnesses(&self) -> bool {
        self.quorum != Quorum::Nobody
    }

    /// The keys that are believed for a ledger, in the file's order: one mostly.
    pub fn operators(&self, ledger: LedgerId) -> impl Iterator<Item = &PublicKey> {
        self.logs
            .iter()
            .filter(move |log| ledger_of_origin(log.key.name()) == Some(ledger))
            .map(|log| log.key.key())
    }

    /// The cosignatures under a checkpoint that count, if they are as many as the file asks for;
    /// else refused as `unwitnessed`. Whether it is a head of a log that is believed is not
    /// looked at.
    pub fn witnessed(&self, checkpoint: &str) -> Outcome<Vec<Cosigned>> {
        let note = Note::parse(checkpoint)?;
        let times: Vec<_> = self.witnesses.iter().map(|w| w.key.cosigned(&note)).collect();
        let enough = self.is_met(&times);
        let named = self.witnesses.iter().zip(times);
        let seen: Vec<Cosigned> = named.filter_map(|(w, at)| Some((w.name.clone(), at?))).collect();
        require(enough, Code::Unwitnessed, || {
            let names: Vec<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
            let found = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            format!("checkpoint: expected the quorum of the trust file, found {found}")
        })?;
        Ok(seen)
    }

    /// In the order of the file: a group names only what stands before it.
    fn is_met(&self, times: &[Option<u64>]) -> bool {
        let counts = |member: Member, groups: &[bool]| match member {
            Member::Witness(n) => times[n].is_some(),
            Member::Group(n) => groups[n],
        };
        let mut groups = Vec::with_capacity(self.groups.len());
        for Group { needs, members } in &self.groups {
            let found = members.iter().filter(|member| counts(**member, &groups)).count();
            groups.push(found >= *needs);
        }
        match self.quorum {
            Quorum::Nobody => true,
            Quorum::Of(member) => counts(member, &groups),
        }
    }
}

/// A file, as far as it is read.
#[derive(Default)]
struct Reader {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    /// Witnesses and groups by name.
    names: BTreeMap<String, Member>,
    /// Names that are a member somewhere.
    used: BTreeSet<String>,
    /// Keys of logs and witnesses: one is never the other.
    keys: BTreeSet<[u8; 32]>,
    quorum: Option<Quorum>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.contains(|c: char| c.is_ascii_control() && c != '\t') {
            return Err("a control character (Windows line ends?)".into());
        }
        let words: Vec<&str> = line.split([' ', '\t']).filter(|w| !w.is_empty()).collect();
        match words[..] {
            [] => Ok(()),
            [first, ..] if first.starts_with('#') => Ok(()),
            ["log", key] => self.log(key, None),
            ["log", key, url] => self.log(key, Some(url)),
            ["witness", name, key] => self.witness(name, key, None),
            ["witness", name, key, url] => self.witness(name, key, Some(url)),
            ["group", name, needs, ref members @ ..] if !members.is_empty() => {
                self.group(name, needs, members)
            }
            ["quorum", name] => self.quorum(name),
            [word @ ("log" | "witness" | "group" | "quorum"), ..] => {
                Err(format!("{word}: too few words, or too many"))
            }
            [other, ..] => Err(format!("expected log, witness, group or quorum, found {other:?}")),
        }
    }

    fn log(&mut self, key: &str, url: Option<&str>) -> Result<(), String> {
        let key = VerifierKey::parse(key).map_err(|refused| refused.detail)?;
        // Another log may stand here for other programs; a ledger that is misspelt may not.
        if key.name().starts_with("subak/") && ledger_of_origin(key.name()).is_none() {
            return Err(format!("expected subak/<ledger id>, found {:?}", key.name()));
        }
        self.key_once(key.key())?;
        self.logs.push(Log { key, url: url.map(str::to_owned) });
        Ok(())
    }

    fn witness(&mut self, name: &str, key: &str, url: Option<&str>) -> Result<(), String> {
        let key = CosignerKey::parse(key).map_err(|refused| refused.detail)?;
        self.key_once(key.key())?;
        self.name(name, Member::Witness(self.witnesses.len()))?;
        self.witnesses.push(Witness { name: name.to_owned(), key, url: url.map(str::to_owned) });
        Ok(())
    }

    fn group(&mut self, name: &str, needs: &str, members: &[&str]) -> Result<(), String> {
        let needs = match needs {
            "all" => members.len(),
            "any" => 1,
            number => number
                .parse()
                .ok()
                .filter(|k: &usize| k.to_string() == number && (1..=members.len()).contains(k))
                .ok_or_else(|| {
                    format!("expected all, any or 1 to {}, found {number:?}", members.len())
                })?,
        };
        let members = members
            .iter()
            .map(|member| {
                if !self.used.insert((*member).to_owned()) {
                    return Err(format!("{member} is a member twice"));
                }
                self.find(member)
            })
            .collect::<Result<_, _>>()?;
        self.name(name, Member::Group(self.groups.len()))?;
        self.groups.push(Group { needs, members });
        Ok(())
    }

    fn quorum(&mut self, name: &str) -> Result<(), String> {
        let quorum = if name == "none" { Quorum::Nobody } else { Quorum::Of(self.find(name)?) };
        match self.quorum.replace(quorum) {
            None => Ok(()),
            Some(_) => Err("a second quorum".into()),
        }
    }

    fn find(&self, name: &str) -> Result<Member, String> {
        self.names.get(name).copied().ok_or_else(|| {
            format!("expected a witness or group of a line before this, found {name:?}")
        })
    }

    fn name(&mut self, name: &str, member: Member) -> Result<(), String> {
        if name == "none" {
            return Err("nothing may be called none".into());
        }
        match self.names.insert(name.to_owned(), member) {
            None => Ok(()),
            Some(_) => Err(format!("{name} stands for something already")),
        }
    }

    fn key_once(&mut self, key: &PublicKey) -> Result<(), String> {
        let new = self.keys.insert(key.bytes());
        if new { Ok(()) } else { Err("a key twice".into()) }
    }
}

fn bad(what: &str) -> Reject {
    Reject::new(Code::BadPolicy, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{
        Checkpoint, SecretKey, checkpoint::verifier_key, cosignature::cosign, note::ED25519,
    };

    fn secret(seed: u8) -> SecretKey {
        SecretKey::from_seed(&[seed; 32])
    }

    fn key(seed: u8) -> PublicKey {
        secret(seed).public()
    }

    fn log(ledger: u8, seed: u8) -> String {
        format!("log {}", verifier_key(&LedgerId([ledger; 32]), &key(seed)))
    }

    /// A line for witness `w<seed>`, which signs as `witness.example/<seed>`.
    fn witness(seed: u8) -> String {
        let key = CosignerKey::new(&format!("witness.example/{seed}"), key(seed)).expect("a name");
        format!("witness w{seed} {key} https://witness.example/")
    }

    #[test]
    fn a_file_names_ledgers_and_their_operators() {
        let [rice, tea] = [LedgerId([1; 32]), LedgerId([2; 32])];
        let foreign = VerifierKey::new("sum.example/db", key(4)).expect("a name");
        let text = format!(
            "# mine\n\n\t{} https://rice.example/ \nquorum\tnone\n {}\n{}\nlog {foreign}",
            log(1, 1),
            log(2, 2),
            log(1, 3)
        );
        let policy = Policy::parse(&text).expect("a trust file");
        let of = |ledger| policy.operators(ledger).cloned().collect::<Vec<_>>();
        assert_eq!(of(rice), [key(1), key(3)], "all of them, as the form has it");
        assert_eq!(of(tea), [key(2)]);
        assert_eq!(of(LedgerId([3; 32])), []);
        assert_eq!(policy.logs()[0].url.as_deref(), Some("https://rice.example/"));
        assert!(!policy.asks_for_witnesses());
        assert!(Policy::parse("quorum none\n").is_ok(), "one may trust nobody");
    }

    /// Whether a set of witnesses, a bit for each, is enough.
    type Expected = fn(u32) -> bool;

    #[test]
    fn a_quorum_is_met_by_exactly_the_sets_that_its_groups_say() {
        let witnesses: String = (1..=5).map(|seed| witness(seed) + "\n").collect();
        let head = Checkpoint { ledger: LedgerId([1; 32]), size: 7, root: [3; 32] };
        let signed = head.sign(&secret(9));
        let rule = |tail: &str| Policy::parse(&format!("{witnesses}{tail}")).expect("a trust file");
        let cases: [(&str, Expected); 5] = [
            ("quorum none", |_| true),
            ("quorum w2", |set| set & 0b10 != 0),
            ("group g 2 w1 w2 w3\nquorum g", |set| (set & 0b111).count_ones() >= 2),
            ("group g any w1 w5\nquorum g", |set| set & 0b10001 != 0),
            // The example of the specification: two of three, and one of the others.
            ("group x 2 w1 w2 w3\ngroup y any w4 w5\ngroup both all x y\nquorum both", |set| {
                (set & 0b111).count_ones() >= 2 && set & 0b11000 != 0
            }),
        ];
        for (tail, expected) in cases {
            let policy = rule(tail);
            for set in 0..32_u32 {
                let mut note = signed.clone();
                for seed in (1..=5).filter(|seed| set & (1 << (seed - 1)) != 0) {
                    let name = format!("witness.example/{seed}");
                    note += &cosign(&name, &head.body(), 100 + u64::from(seed), &secret(seed))
                        .expect("a name");
                }
                let seen = policy.witnessed(&note);
                assert_eq!(seen.is_ok(), expected(set), "{tail:?} {set:05b}");
                match seen {
                    Ok(seen) => {
                        assert_eq!(u32::try_from(seen.len()), Ok(set.count_ones()));
                        assert!(seen.iter().all(|(n, at)| format!("w{}", at - 100) == *n));
                    }
                    Err(refused) => assert_eq!(refused.code, Code::Unwitnessed),
                }
            }
        }
        // Groups of groups without end are no stack without end.
        let mut deep = format!("{witnesses}group g0 any w1\n");
        for n in 1..20_000 {
            deep += &format!("group g{n} all g{}\n", n - 1);
        }
        let deep = Policy::parse(&(deep + "quorum g19999")).expect("a trust file");
        assert!(deep.witnessed(&signed).is_err());
        // A cosignature of another head, and a line of that key that is no cosignature.
        let policy = rule("quorum w1");
        let other = Checkpoint { size: 8, ..head };
        let line = cosign("witness.example/1", &other.body(), 1, &secret(1)).expect("a name");
        assert!(policy.witnessed(&format!("{signed}{line}")).is_err());
        let plain = crate::log::note::sign("witness.example/1", &head.body(), &secret(1));
        let plain = plain.lines().last().expect("its line").to_owned() + "\n";
        assert!(policy.witnessed(&format!("{signed}{plain}")).is_err());
    }

    #[test]
    fn what_cannot_be_obeyed_whole_is_refused_with_its_line() {
        let (log1, w1, w2) = (log(1, 1), witness(1), witness(2));
        let (other, w3) = (log(2, 1), witness(3));
        let plain = VerifierKey::new("w", key(7)).expect("a name");
        let misspelt = VerifierKey::new("subak/abc", key(7)).expect("a name");
        assert_eq!(ED25519, 1);
        let none = "expected one line `quorum NAME`";
        let cases = [
            (String::new(), none),
            (log1.clone(), none),
            ("quorum none\nquorum none".into(), "line 2: a second quorum"),
            (format!("{log1}\n{other}\nquorum none"), "line 2: a key twice"),
            (format!("{log1}\n{w1}\nquorum none"), "line 2: a key twice"),
            (format!("{w1}\n{w1}\nquorum none"), "line 2: a key twice"),
            (format!("{log1} url more\nquorum none"), "line 1: log: too few words, or too many"),
            ("log nonsense\nquorum none".into(), "line 1: verifier key"),
            (format!("log {misspelt}\nquorum none"), "line 1: expected subak/<ledger id>"),
            (format!("witness w {plain}\nquorum w"), "line 1: verifier key: expected type 4"),
            ("\nwitness w key\nquorum w".into(), "line 2: verifier key"),
            ("witness w\nquorum w".into(), "line 1: witness: too few words"),
            ("quorum w".into(), "line 1: expected a witness or group of a line before"),
            (format!("group g any w1\n{w1}\nquorum g"), "line 1: expected a witness or group"),
            (format!("{w1}\ngroup g 0 w1\nquorum g"), "line 2: expected all, any or 1 to 1"),
            (format!("{w1}\ngroup g 2 w1\nquorum g"), "line 2: expected all, any or 1 to 1"),
            (format!("{w1}\ngroup g 01 w1\nquorum g"), "line 2: expected all, any or 1 to 1"),
            (format!("{w1}\ngroup g +1 w1\nquorum g"), "line 2: expected all, any or 1 to 1"),
            (format!("{w1}\ngroup g all\nquorum g"), "line 2: group: too few words"),
            (format!("{w1}\ngroup g all w1 w1\nquorum g"), "line 2: w1 is a member twice"),
            (
                format!("{w1}\n{w2}\ngroup g all w1 w2\ngroup h any g w1\nquorum h"),
                "line 4: w1 is a member twice",
            ),
            (format!("{w1}\ngroup g any none\nquorum g"), "line 2: expected a witness or group"),
            (format!("{w1}\ngroup none any w1\nquorum w1"), "line 2: nothing may be called none"),
            (format!("{w1}\ngroup w1 any w1\nquorum w1"), "line 2: w1 stands for something"),
            (format!("{w3}\ngroup w3 all w3\nquorum w3"), "line 2: w3 stands for something"),
            ("quorum none\r\n".into(), "line 1: a control character"),
            ("trust me\nquorum none".into(), "line 1: expected log, witness, group or quorum"),
        ];
        for (text, what) in cases {
            let refused = Policy::parse(&text).expect_err(&text);
            assert_eq!(refused.code, Code::BadPolicy);
            assert!(refused.detail.contains(what), "{text:?}: {}", refused.detail);
        }
    }
}
