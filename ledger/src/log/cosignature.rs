//! Cosignatures: what a witness says of a head that somebody else signed.
//!
//! Owns the C2SP `tlog-cosignature` of Ed25519 (type 0x04). Guarantees that a time is given out
//! only for a line that holds over this very note. Leaves out what a witness checks before it
//! signs (`subak-node`) and whose word is enough ([`super::policy`]).
//!
//! ```text
//! LINE      "— " name " " base64(key id (4) || time (8, big endian) || signature (64)) newline
//! SIGNED    "cosignature/v1" newline "time " time newline, then the note's whole text
//! ```
//!
//! Such a line says: at this time (seconds since 1970), of all consistent heads of this log
//! that the witness had seen, this was the largest. The name is not signed, so a key signs
//! under one name only.

use super::{
    SecretKey,
    note::{Note, SignatureLine, Verifier, require_name},
};
use crate::reject::Outcome;

/// The signature type of an Ed25519 cosignature.
pub const COSIGNATURE: u8 = 0x04;

/// The key of a witness, under its name.
pub type CosignerKey = Verifier<COSIGNATURE>;

impl CosignerKey {
    /// When this witness signed `note`, seconds since 1970: the newest, if several lines hold.
    /// None if no line is its own and holds; what does not hold says nothing.
    pub fn cosigned(&self, note: &Note<'_>) -> Option<u64> {
        self.newest(note).map(|(time, _)| time)
    }

    /// The line itself that [`CosignerKey::cosigned`] tells of, with its newline.
    pub fn line(&self, note: &Note<'_>) -> Option<String> {
        self.newest(note).map(|(_, line)| line.to_string())
    }

    fn newest<'n>(&self, note: &'n Note<'_>) -> Option<(u64, &'n SignatureLine<'n>)> {
        let judged = self.lines(note).filter_map(|line| Some((self.judge(note.text, line)?, line)));
        judged.max_by_key(|(time, _)| *time)
    }

    fn judge(&self, text: &str, line: &SignatureLine<'_>) -> Option<u64> {
        let (time, signature) = line.signature.split_first_chunk::<8>()?;
        let time = u64::from_be_bytes(*time);
        let signature = signature.try_into().ok()?;
        let fits = i64::try_from(time).is_ok();
        (fits && self.key().verify(signed(text, time).as_bytes(), signature)).then_some(time)
    }
}

/// The signature line of a witness under a note of this text, at `time` (seconds since 1970, less
/// than 2^63). Only after it is durable that no smaller or other head will be signed.
pub fn cosign(name: &str, text: &str, time: u64, key: &SecretKey) -> Outcome<String> {
    require_name(name)?;
    debug_assert!(i64::try_from(time).is_ok(), "a clock shows less than 2^63 seconds");
    let verifier = CosignerKey::new(name, key.public())?;
    let signature = key.sign(signed(text, time).as_bytes());
    let signature = [&time.to_be_bytes()[..], &signature].concat();
    Ok(SignatureLine { name, key_id: verifier.id(), signature }.to_string())
}

fn signed(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::note::VerifierKey;

    /// A head that the log arche2025h1.staging.ct.transparency.dev published in 2026, as its
    /// witnesses signed it.
    const PUBLISHED: &str = "arche2025h1.staging.ct.transparency.dev\n1432088532\nU7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=\n\n— arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=\n— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=\n— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==\n— witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==\n— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==\n— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==\n";
    /// When they all did.
    const AT: u64 = 0x6a12_2120;
    /// Their keys, as they publish them.
    const WITNESSES: [&str; 4] = [
        "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM",
        "witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO",
        "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
        "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
    ];
    const LOG: &str = "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f";

    fn witness(key: &str) -> CosignerKey {
        CosignerKey::parse(key).expect("a published key")
    }

    #[test]
    fn the_witnesses_of_a_published_log_have_signed_its_head() {
        let note = Note::parse(PUBLISHED).expect("published");
        VerifierKey::parse(LOG).expect("published").verify(&note).expect("the log's own line");
        for key in WITNESSES {
            assert_eq!(witness(key).cosigned(&note), Some(AT), "{key}");
            assert_eq!(witness(key).to_string(), key);
        }
        // Another head, another time, another name: not theirs.
        let at = |from: &str, to: &str| {
            let note = PUBLISHED.replacen(from, to, 1);
            witness(WITNESSES[2]).cosigned(&Note::parse(&note).expect("well formed"))
        };
        assert_eq!(at("1432088532", "1432088533"), None);
        assert_eq!(at("2net5wAAAABqEiEg", "2net5wAAAABqEiEh"), None);
        assert_eq!(at("— remora", "— demora"), None);
        assert_eq!(at("2net5wAAAABqEiEg", "2net5wAAAABqEiEg"), Some(AT), "unchanged");
    }

    #[test]
    fn a_line_holds_over_its_own_note_alone_and_the_newest_counts() {
        let key = SecretKey::from_seed(&[9; 32]);
        let verifier = CosignerKey::new("witness.example/w", key.public()).expect("a name");
        let text = "log\n1\nroot\n";
        let line = |time| cosign("witness.example/w", text, time, &key).expect("a name");
        let when = |lines: &str| {
            let note = format!("{text}\n{lines}");
            verifier.cosigned(&Note::parse(&note).expect("well formed"))
        };
        assert_eq!(when(&line(0)), Some(0));
        let three = format!("{}{}{}", line(7), line(9), line(8));
        assert_eq!(when(&three), Some(9));
        let note = format!("{text}\n{three}");
        let newest = verifier.line(&Note::parse(&note).expect("well formed"));
        assert_eq!(newest, Some(line(9)));
        let other = cosign("witness.example/w", "log\n2\nroot\n", 99, &key).expect("a name");
        assert_eq!(when(&format!("{other}{}", line(7))), Some(7), "what does not hold is ignored");
        // An operator's signature with the same key and name is no cosignature.
        let plain = crate::log::note::sign("witness.example/w", text, &key);
        assert_eq!(verifier.cosigned(&Note::parse(&plain).expect("a note")), None);
        // A line of another length, and a time that no clock shows.
        let broken = |signature: Vec<u8>| {
            SignatureLine { name: "witness.example/w", key_id: verifier.id(), signature }
                .to_string()
        };
        assert_eq!(when(&broken(vec![0; 71])), None);
        assert_eq!(when(&broken(vec![1; 7])), None);
        let time = u64::MAX;
        let signature =
            [&time.to_be_bytes()[..], &key.sign(signed(text, time).as_bytes())].concat();
        assert_eq!(when(&broken(signature)), None);
        assert!(cosign("two words", text, 1, &key).is_err());
    }
}
