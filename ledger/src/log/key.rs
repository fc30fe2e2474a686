//! Keys: which Ed25519 keys are admitted, and the one verdict on a signature.
//!
//! Owns admission, signing and verification (RFC 8032). Guarantees that equal bytes
//! get the same verdict everywhere: only strict verification, never a batch, whose
//! verdict on edge cases depends on its neighbours. Leaves out whose key it is at
//! an entry (`book`), key files (`cli`) and where seeds come from (randomness is the
//! caller's).

use super::Hash;
use crate::reject::{Code, Outcome, Reject};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use std::{collections::BTreeMap, fmt};

/// An admitted public key, held decompressed: the check that costs as much as a
/// signature is made once per key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Admits a key that is canonically encoded, not weak and torsion-free.
    ///
    /// Without torsion, strict, cofactored and batch verifiers agree on a key's
    /// signatures, so another implementation cannot judge a statement differently.
    pub fn admit(bytes: &[u8; 32]) -> Outcome<Self> {
        let refuse =
            |why: &str| Reject::new(Code::BadKey, format!("{}: {why}", hex::encode(bytes)));
        let key =
            VerifyingKey::from_bytes(bytes).map_err(|_| refuse("not a point of the curve"))?;
        let point = key.to_edwards();
        if point.compress().as_bytes() != bytes {
            return Err(refuse("not the canonical encoding of its point"));
        }
        if key.is_weak() {
            return Err(refuse("a point of small order: it signs anything"));
        }
        if !point.is_torsion_free() {
            return Err(refuse("a point with a torsion component"));
        }
        Ok(Self(key))
    }

    /// The canonical encoding.
    pub fn bytes(&self) -> Hash {
        self.0.to_bytes()
    }

    /// Whether `signature` over `message` is this key's, judged strictly: canonical S
    /// and R, R not of small order.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", hex::encode(self.bytes()))
    }
}

/// A signing key. Wiped from memory when dropped; neither cloned nor printed.
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key of an RFC 8032 seed, which must be random and secret.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The seed, for a key file. The copy is the caller's to wipe.
    pub fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public half, which by construction needs no admission.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The RFC 8032 signature over `message`; deterministic.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {:?})", self.public())
    }
}

/// Keys admitted before, by their bytes. It changes the cost of a verdict, never the
/// verdict. Each verifying thread keeps its own, so that threads share no lock.
#[derive(Debug, Clone, Default)]
pub struct KeyCache(BTreeMap<Hash, PublicKey>);

impl KeyCache {
    /// Anyone may send statements under fresh keys, so the cache is bounded (about
    /// 4 MB); a full one starts again empty.
    const CAPACITY: usize = 16_384;

    /// The admitted key of `bytes`, decompressed and checked at most once.
    pub fn admit(&mut self, bytes: &[u8; 32]) -> Outcome<&PublicKey> {
        if !self.0.contains_key(bytes) {
            let key = PublicKey::admit(bytes)?;
            if self.0.len() == Self::CAPACITY {
                self.0.clear();
            }
            self.0.insert(*bytes, key);
        }
        Ok(&self.0[bytes])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The points of small order in canonical form (orders 1, 2, 4, 4 and four of 8).
    const SMALL_ORDER: [&str; 8] = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ];

    fn unhex<const N: usize>(text: &str) -> [u8; N] {
        hex::decode(text).expect("hex in a test").try_into().expect("the right length")
    }

    fn refusal(bytes: &[u8; 32]) -> Reject {
        PublicKey::admit(bytes).expect_err("this key must be refused")
    }

    #[test]
    fn small_order_points_are_no_keys() {
        for text in SMALL_ORDER {
            let refused = refusal(&unhex(text));
            assert_eq!(refused.code, Code::BadKey);
            assert!(refused.detail.contains("small order"), "{}", refused.detail);
        }
    }

    #[test]
    fn a_key_with_torsion_is_refused() {
        let honest = SecretKey::from_seed(&[7; 32]).public();
        // All but the first, the identity, which adds nothing.
        for text in &SMALL_ORDER[1..] {
            let torsion = VerifyingKey::from_bytes(&unhex(text)).expect("on the curve");
            let mixed = honest.0.to_edwards() + torsion.to_edwards();
            let refused = refusal(&mixed.compress().to_bytes());
            assert_eq!(refused.code, Code::BadKey);
            assert!(refused.detail.contains("torsion"), "{}", refused.detail);
        }
        assert_eq!(PublicKey::admit(&honest.bytes()), Ok(honest));
    }

    /// An encoding is not canonical where y is not reduced (y + p for y < 19), or where
    /// x = 0 carries a sign.
    #[test]
    fn encodings_that_are_not_canonical_are_refused() {
        let unreduced = (0xed..=0xff).flat_map(|low| {
            [0x7f, 0xff].map(|high| {
                let mut bytes = [0xff; 32];
                (bytes[0], bytes[31]) = (low, high);
                bytes
            })
        });
        let mut signed_zero = unhex::<32>(SMALL_ORDER[0]);
        signed_zero[31] |= 0x80;
        let mut decodable = 0;
        for bytes in unreduced.chain([signed_zero]) {
            let refused = refusal(&bytes);
            assert_eq!(refused.code, Code::BadKey);
            decodable += u32::from(refused.detail.contains("canonical"));
        }
        // Or else the curve library refuses them all and the check is never reached.
        assert!(decodable > 10, "only {decodable} reached the check");
    }

    /// RFC 8032, section 7.1, tests 1 to 3.
    #[test]
    fn signatures_are_those_of_rfc_8032() {
        let cases = [
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                "",
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ),
            (
                "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
                "72",
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            ),
            (
                "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
                "af82",
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
            ),
        ];
        for (seed, public, message, signature) in cases {
            let secret = SecretKey::from_seed(&unhex(seed));
            let message = hex::decode(message).expect("hex");
            assert_eq!(secret.public().bytes(), unhex(public));
            assert_eq!(secret.sign(&message), unhex(signature));
            let key = PublicKey::admit(&unhex(public)).expect("a sound key");
            assert!(key.verify(&message, &unhex(signature)));
            assert!(!key.verify(b"another message", &unhex(signature)));
        }
    }

    /// S + L satisfies the same equation: without the range check there would be two
    /// signatures for every one.
    #[test]
    fn a_signature_has_one_encoding() {
        let order: [u8; 32] =
            unhex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
        let secret = SecretKey::from_seed(&[1; 32]);
        let mut signature = secret.sign(b"message");
        let mut carry = 0;
        for (byte, add) in signature[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
        }
        assert!(!secret.public().verify(b"message", &signature));
    }

    /// R = identity, S = k * a: made with the secret key, which a dishonest author has.
    /// The plain equation accepts it; a verifier that multiplies by the cofactor accepts
    /// seven more of its kind.
    #[test]
    fn a_signature_with_r_of_small_order_is_refused() {
        use ed25519_dalek::Verifier;
        let s = "95c0fdcc54fccad1f2b8bc9b96aa6837c82f86349e6576ad29ca3ece7b7ea905";
        let signature: [u8; 64] = unhex(&format!("{}{s}", SMALL_ORDER[0]));
        let key = SecretKey::from_seed(&[1; 32]).public();
        let lenient = key.0.verify(b"message", &Signature::from_bytes(&signature));
        assert!(lenient.is_ok(), "or else this shows nothing");
        assert!(!key.verify(b"message", &signature));
    }

    #[test]
    fn a_secret_is_not_printed() {
        let seed = [0xab; 32];
        let shown = format!("{:?}", SecretKey::from_seed(&seed));
        assert!(!shown.contains(&hex::encode(seed)) && !shown.contains("171"), "{shown}");
    }

    #[test]
    fn the_cache_gives_the_verdict_of_admission() {
        let mut cache = KeyCache::default();
        let honest = SecretKey::from_seed(&[9; 32]).public();
        let weak = unhex(SMALL_ORDER[4]);
        for _ in 0..2 {
            assert_eq!(cache.admit(&honest.bytes()), Ok(&honest));
            assert_eq!(cache.admit(&weak).map_err(|r| r.code), Err(Code::BadKey));
        }
    }
}
