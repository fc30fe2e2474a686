//! The canonical form: a message is the encoding of what it decodes to.
//!
//! Owns that comparison for every protobuf message that is signed. Guarantees that no
//! two byte strings decode to the same message: unknown and repeated fields, written
//! defaults, long varints and fields out of order all fail it. Leaves out the meaning
//! of fields; for the schema's part in it see `statement.proto`.

use super::{Hash, fixed};
use crate::reject::{Code, Outcome, Reject, require};
use prost::{Message, bytes::Bytes};
use std::cell::RefCell;

/// Decodes `bytes`, encodes the result and compares; `what` names the message in a
/// refusal (`malformed`).
pub fn decode<M: Message + Default>(bytes: &[u8], what: &str) -> Outcome<M> {
    hold(M::decode(bytes), bytes, what)
}

/// As [`decode`]; fields that are `Bytes` are parts of `bytes` and no copies.
pub fn decode_shared<M: Message + Default>(bytes: &Bytes, what: &str) -> Outcome<M> {
    hold(M::decode(bytes.clone()), bytes, what)
}

thread_local! {
    /// Where messages are encoded for the comparison: no allocation for each.
    static ENCODED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Holds what was decoded to its bytes.
fn hold<M: Message>(
    decoded: Result<M, prost::DecodeError>,
    bytes: &[u8],
    what: &str,
) -> Outcome<M> {
    let message = decoded
        .map_err(|e| Reject::new(Code::Malformed, format!("{what}: does not decode: {e}")))?;
    ENCODED.with_borrow_mut(|canonical| {
        canonical.clear();
        message.encode(canonical).expect("a Vec grows as it must");
        require(canonical == bytes, Code::Malformed, || difference(what, canonical, bytes))
    })?;
    Ok(message)
}

/// A field that must hold a hash, a key or another 32 bytes.
pub fn hash32(bytes: &[u8], field: &str) -> Outcome<Hash> {
    fixed(bytes, Code::Malformed, field)
}

/// Where two encodings part, for whoever wrote the other encoder.
fn difference(what: &str, canonical: &[u8], found: &[u8]) -> String {
    let same = canonical.iter().zip(found).take_while(|(a, b)| a == b).count();
    let from = |bytes: &[u8]| match bytes.get(same..) {
        None | Some([]) => "the end".to_owned(),
        Some(rest) => hex::encode(&rest[..rest.len().min(8)]),
    };
    format!("{what}, byte {same}: expected {}, found {}", from(canonical), from(found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use subak_proto::v1::Basis;

    /// A basis of size 300 with a chain hash of two bytes, field by field.
    const SIZE: &[u8] = &[0x08, 0xac, 0x02];
    const CHAIN: &[u8] = &[0x12, 0x02, 0xaa, 0xbb];

    #[test]
    fn only_the_canonical_encoding_is_read() {
        let sound = [SIZE, CHAIN].concat();
        let basis = decode::<Basis>(&sound, "basis").expect("canonical");
        assert_eq!((basis.size, basis.chain), (300, vec![0xaa, 0xbb].into()));

        let long = &[0x08, 0xac, 0x82, 0x00][..];
        let long_tag = &[0x88, 0x00, 0xac, 0x02][..];
        let cases: [(&str, Vec<u8>); 8] = [
            ("an unknown field", [SIZE, CHAIN, &[0x78, 0x01]].concat()),
            ("a field twice", [SIZE, SIZE, CHAIN].concat()),
            ("a field twice, first in vain", [SIZE, &[0x12, 0x01, 0x00], CHAIN].concat()),
            ("a default", [SIZE, &[0x12, 0x00]].concat()),
            ("a long varint", [long, CHAIN].concat()),
            ("a long tag", [long_tag, CHAIN].concat()),
            ("a long length", [SIZE, &[0x12, 0x82, 0x00, 0xaa, 0xbb]].concat()),
            ("another order", [CHAIN, SIZE].concat()),
        ];
        for (name, bytes) in cases {
            // Each has a reading: it is the second spelling that is refused.
            assert!(Basis::decode(&bytes[..]).is_ok(), "{name} does not decode at all");
            let refused = decode::<Basis>(&bytes, "basis").expect_err(name);
            assert_eq!(refused.code, Code::Malformed, "{name}");
        }
        assert!(decode::<Basis>(&sound[..4], "basis").is_err(), "cut short");
    }

    #[test]
    fn a_refusal_says_where_and_what() {
        let bytes = [SIZE, &[0x12, 0x00][..]].concat();
        let refused = decode::<Basis>(&bytes, "basis").expect_err("a default is written");
        assert_eq!(refused.detail, "basis, byte 3: expected the end, found 1200");
        let refused = hash32(&[1; 31], "basis.chain").expect_err("too short");
        assert_eq!(refused.detail, "basis.chain: expected 32 bytes, found 31");
    }
}
