//! Statements as an author makes them, a liar alters them and another encoder writes them.

use super::*;

fn key() -> SecretKey {
    SecretKey::from_seed(&[42; 32])
}

fn draft() -> Draft {
    let header = Header {
        ledger: LedgerId([0xaa; 32]),
        author: Handle::new("wayan").expect("a handle"),
        nonce: [0xbb; 16],
        created_at: 1_800_000_000_000,
        expires_at: 1_800_000_600_000,
        basis: Some(Basis { size: 7, chain: [0xcc; 32] }),
    };
    Draft { header, events: vec![vec![1, 2, 3], vec![4]] }
}

fn judge(envelope: &[u8]) -> Outcome<Statement> {
    Unverified::parse(envelope)?.verify(&mut KeyCache::default())
}

fn code(envelope: &[u8]) -> Option<Code> {
    judge(envelope).err().map(|refused| refused.code)
}

#[test]
fn what_is_read_is_what_was_signed() {
    let draft = draft();
    let envelope = draft.sign(&key());
    let statement = judge(&envelope).expect("sound");
    assert_eq!(statement.header(), &draft.header);
    assert_eq!(statement.events(), &draft.events[..]);
    assert_eq!(statement.key(), key().public().bytes());
    assert_eq!((statement.body(), statement.envelope()), (&draft.body()[..], &envelope[..]));
    assert_eq!(statement.envelope_digest(), *blake3::hash(&envelope).as_bytes());
    let stored = Unverified::parse(&envelope).and_then(Unverified::trust_stored);
    assert_eq!(stored, Ok(statement));
}

/// The bytes, spelled out: a change here is a change of the published format.
#[test]
fn the_format_is_frozen() {
    let body = format!(
        "0a20{}1205776179616e1a10{}20{millis}28{expiry}32240807 1220{}3a030102033a0104",
        "aa".repeat(32),
        "bb".repeat(16),
        "cc".repeat(32),
        millis = "80a0f1c2b134",
        expiry = "c0ef95c3b134",
    )
    .replace(' ', "");
    assert_eq!(hex::encode(draft().body()), body);
    let pae = pae(b"body");
    assert_eq!(pae, b"DSSEv1 43 application/vnd.subak.statement.v1+protobuf 4 body");
    assert_eq!(
        hex::encode(body_digest(b"body")),
        hex::encode(blake3::derive_key("subak 2026 statement body v1", b"body"))
    );
}

#[test]
fn no_bit_of_an_envelope_can_change() {
    let envelope = draft().sign(&key());
    let body_bits = (envelope.len() - KEY_LEN - SIGNATURE_LEN) * 8;
    let mut keys = KeyCache::default();
    for bit in 0..envelope.len() * 8 {
        let mut altered = envelope.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let refused = Unverified::parse(&altered)
            .and_then(|unverified| unverified.verify(&mut keys))
            .expect_err("a bit was flipped");
        // In the body it is always the signature that says so: nothing was decoded.
        let expected = refused.code == Code::BadSignature
            || (bit >= body_bits && refused.code == Code::BadKey);
        assert!(expected, "bit {bit}: {refused}");
    }
    for length in 0..envelope.len() {
        assert!(judge(&envelope[..length]).is_err(), "cut to {length}");
    }
}

#[test]
fn the_signature_is_checked_before_anything_is_decoded() {
    let junk = [&[0xff; 40][..], &key().public().bytes(), &[0; 64]].concat();
    assert_eq!(code(&junk), Some(Code::BadSignature));
    // The same bytes, signed, get as far as the decoder.
    assert_eq!(code(&seal(vec![0xff; 40], &key())), Some(Code::Malformed));
    // A key that is not admitted comes before both.
    let mut weak = junk;
    weak[40..72].copy_from_slice(&[0; 32]);
    assert_eq!(code(&weak), Some(Code::BadKey));
}

/// A named way to alter something.
type Change<T> = (&'static str, fn(&mut T));

/// The body as fields, so that they can be put together in other ways.
fn fields() -> Vec<Vec<u8>> {
    let v1::StatementBody { ledger, author, nonce, created_at, expires_at, basis, event } =
        v1::StatementBody::decode(&draft().body()[..]).expect("our own encoding");
    let empty = v1::StatementBody::default();
    let mut fields: Vec<Vec<u8>> = vec![
        v1::StatementBody { ledger, ..empty.clone() }.encode_to_vec(),
        v1::StatementBody { author, ..empty.clone() }.encode_to_vec(),
        v1::StatementBody { nonce, ..empty.clone() }.encode_to_vec(),
        v1::StatementBody { created_at, ..empty.clone() }.encode_to_vec(),
        v1::StatementBody { expires_at, ..empty.clone() }.encode_to_vec(),
        v1::StatementBody { basis, ..empty.clone() }.encode_to_vec(),
    ];
    fields.extend(
        event
            .into_iter()
            .map(|event| v1::StatementBody { event: vec![event], ..empty.clone() }.encode_to_vec()),
    );
    fields
}

#[test]
fn a_body_in_another_form_is_malformed_though_signed() {
    assert_eq!(code(&seal(fields().concat(), &key())), None, "the control");
    let changes: [Change<Vec<Vec<u8>>>; 7] = [
        ("an unknown field", |f| f.push(vec![0x78, 1])),
        ("a field twice", |f| f.insert(3, f[3].clone())),
        ("a default written out", |f| f.insert(3, vec![0x20, 0])),
        ("a long varint", |f| {
            let end = f[3].len() - 1;
            f[3][end] |= 0x80;
            f[3].push(0);
        }),
        ("a long tag", |f| drop(f[3].splice(0..1, [0xa0, 0]))),
        ("another order", |f| f.swap(3, 4)),
        ("an unknown field in the basis", |f| {
            f[5][1] += 2;
            f[5].extend([0x78, 1]);
        }),
    ];
    let sound = v1::StatementBody::decode(&draft().body()[..]).expect("our own encoding");
    for (name, change) in changes {
        let mut fields = fields();
        change(&mut fields);
        let body = fields.concat();
        // To a lenient reader it is the same statement: only the form is refused.
        assert_eq!(v1::StatementBody::decode(&body[..]).as_ref(), Ok(&sound), "{name}");
        assert_eq!(code(&seal(body.clone(), &key())), Some(Code::Malformed), "{name}");
        // A store is not believed so far as to give a second reading.
        let stored = Unverified::parse(&seal(body, &key())).and_then(Unverified::trust_stored);
        assert_eq!(stored.map_err(|r| r.code), Err(Code::Malformed), "{name}");
    }
}

#[test]
fn a_field_out_of_its_limits_is_named() {
    let cases: [Change<v1::StatementBody>; 11] = [
        ("statement.ledger", |b| b.ledger.truncate(31)),
        ("statement.ledger", |b| b.ledger.clear()),
        ("handle", |b| b.author = "Wayan".into()),
        ("handle", |b| b.author = "x".repeat(33)),
        ("statement.nonce", |b| b.nonce = [&b.nonce[..], &[0]].concat().into()),
        ("statement.nonce", |b| b.nonce.truncate(15)),
        ("statement.created_at", |b| b.created_at = 0),
        ("statement.expires_at", |b| b.expires_at = 0),
        ("statement.basis.size", |b| b.basis.as_mut().expect("set").size = 0),
        ("statement.basis.chain", |b| b.basis.as_mut().expect("set").chain.truncate(31)),
        ("statement.basis", |b| b.basis = Some(v1::Basis::default())),
    ];
    for (field, change) in cases {
        let mut body = v1::StatementBody::decode(&draft().body()[..]).expect("our own encoding");
        change(&mut body);
        let refused = judge(&seal(body.encode_to_vec(), &key())).expect_err(field);
        assert_eq!(refused.code, Code::Malformed);
        assert!(refused.detail.contains(field), "{field}: {}", refused.detail);
    }
}

#[test]
fn a_genesis_names_no_ledger_and_a_statement_may_have_no_basis() {
    let mut draft = draft();
    draft.header.ledger = LedgerId::ZERO;
    draft.header.basis = None;
    let statement = judge(&draft.sign(&key())).expect("sound");
    assert_eq!(statement.header(), &draft.header);
}

#[test]
fn one_to_a_thousand_events() {
    let with = |count| code(&Draft { events: vec![vec![9]; count], ..draft() }.sign(&key()));
    assert_eq!(with(0), Some(Code::TooManyEvents));
    assert_eq!(with(1), None);
    assert_eq!(with(MAX_EVENTS), None);
    assert_eq!(with(MAX_EVENTS + 1), Some(Code::TooManyEvents));
}

#[test]
fn an_envelope_of_256_kib_and_not_a_byte_more() {
    let with = |length| Draft { events: vec![vec![9; length]], ..draft() }.sign(&key());
    // An event of 128 KiB and more has a length of three bytes, as has the largest.
    let overhead = with(200_000).len() - 200_000;
    let largest = with(MAX_ENVELOPE - overhead);
    assert_eq!((largest.len(), code(&largest)), (MAX_ENVELOPE, None));
    assert_eq!(code(&with(MAX_ENVELOPE - overhead + 1)), Some(Code::TooLarge));
}

#[test]
fn a_body_has_a_digest_of_its_own_whoever_signs_it() {
    let mine = judge(&draft().sign(&key())).expect("sound");
    let other = judge(&draft().sign(&SecretKey::from_seed(&[43; 32]))).expect("sound");
    assert_eq!(mine.body_digest(), other.body_digest());
    assert_ne!(mine.envelope_digest(), other.envelope_digest());
}

/// Verification needs nothing but the envelope and the thread's own cache.
#[test]
fn statements_are_verified_on_every_core() {
    let envelopes: Vec<_> = (0u8..64)
        .map(|n| {
            let mut draft = draft();
            draft.header.nonce[0] = n;
            draft.sign(&key())
        })
        .collect();
    let sound: usize = std::thread::scope(|scope| {
        let verify = |share: &[Vec<u8>]| {
            let mut keys = KeyCache::default();
            let verified = share.iter().map(|e| Unverified::parse(e)?.verify(&mut keys));
            verified.flatten().count()
        };
        let threads: Vec<_> =
            envelopes.chunks(16).map(|share| scope.spawn(move || verify(share))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    assert_eq!(sound, envelopes.len());
}
