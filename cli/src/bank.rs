//! Bank references: what a transfer is known by, without its text.
//!
//! Owns the one way from a bank's text to a `bank:` reference. Guarantees that the
//! same text gives the same reference within a ledger, so that one transfer cannot be
//! recorded twice, and that the text itself never enters the log. Whoever knows the
//! text can check it; a text that can be guessed can be guessed here too.

use crate::failure::{Done, Failure};
use subak_ledger::{book::types::Reference, log::LedgerId};

/// The reference of a transfer: `bank:…` as it is; any other text as `bank:` and the
/// first 32 hex digits of BLAKE3 keyed with `derive_key("subak 2026 bank reference v1",
/// ledger id)` over the trimmed text.
pub fn reference(ledger: &LedgerId, text: &str) -> Done<String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Failure::usage(
            "the bank reference is empty",
            "give what the bank's statement calls the transfer",
        ));
    }
    if text.starts_with("bank:") {
        return Ok(Reference::bank(text)?.to_string());
    }
    let key = blake3::derive_key("subak 2026 bank reference v1", &ledger.0);
    let hash = blake3::keyed_hash(&key, text.as_bytes());
    Ok(format!("bank:{}", &hash.to_hex()[..32]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_reference_in_one_ledger() {
        let (a, b) = (LedgerId([1; 32]), LedgerId([2; 32]));
        let one = reference(&a, "SEPA 2026-03-01 4711").unwrap();
        assert_eq!(one, reference(&a, " SEPA 2026-03-01 4711 ").unwrap());
        assert_ne!(one, reference(&b, "SEPA 2026-03-01 4711").unwrap());
        assert_ne!(one, reference(&a, "SEPA 2026-03-01 4712").unwrap());
        assert_eq!(one.len(), "bank:".len() + 32);
        assert!(Reference::bank(&one).is_ok());
    }

    #[test]
    fn a_reference_stays_as_it_is() {
        let id = LedgerId([1; 32]);
        assert_eq!(reference(&id, "bank:E2E-17").unwrap(), "bank:E2E-17");
        assert!(reference(&id, "bank:with space").is_err());
        assert!(reference(&id, "  ").is_err());
    }
}
