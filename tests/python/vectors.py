"""Makes `tests/vectors/python_bodies.json`: statements as another implementation writes them.

    python tests/python/vectors.py            writes the file
    python tests/python/vectors.py --check    compares it with what would be written

Google's protobuf encodes, OpenSSL signs and the official BLAKE3 binding hashes; nothing of
Subak's Rust code takes part. `ledger/tests/python_vectors.rs` holds that code to the
result. The output is the same in every run: keys come from fixed seeds, nothing is random.
"""

import json
import pathlib
import sys

import events
import malformed
from events import digest, key, public
from formats import (
    ZERO,
    Leaf,
    body_digest,
    bucket_id,
    chain_hash,
    commitment,
    encode,
    envelope_digest,
    inclusion_path,
    leaf_hash,
    ledger_id,
    open_checkpoint,
    origin,
    pae,
    possession_text,
    public_bytes,
    seal,
    sign_checkpoint,
    split_envelope,
    stubs,
    terms_digest,
    tree_root,
    verifier_key,
    verify_envelope,
    verify_inclusion,
)

FILE = pathlib.Path(__file__).resolve().parents[1] / "vectors" / "python_bodies.json"
STATEMENT, EVENT, _SERVICE, _GRPC = stubs()

START = 1_767_225_600_000  # 2026-01-01T00:00:00Z
DAY = 86_400_000


def encode_event(kind, fields):
    """The canonical bytes of an event. The events of a proposal are (kind, fields) too."""
    if kind == "propose" and "event" in fields:
        fields = {"event": [encode_event(*inner) for inner in fields["event"]]}
    return encode(EVENT.Event(**{kind: fields}))


def encode_body(**fields):
    return encode(STATEMENT.StatementBody(**fields))


def sound_events():
    """Every kind of event, canonical, with the verdict of reading it."""
    cases, messages = [], []
    for kind, name, fields, verdict in events.cases():
        data = encode_event(kind, fields)
        messages.append(EVENT.Event.FromString(data))
        assert messages[-1].WhichOneof("kind") == kind and encode(messages[-1]) == data
        camel = "".join(part.capitalize() for part in kind.split("_"))
        cases.append({"name": f"{kind}: {name}", "kind": camel, "hex": data.hex(), "read": verdict})
    events.check_coverage(messages)
    counts = {c["kind"]: 0 for c in cases}
    for case in cases:
        counts[case["kind"]] += case["read"] == "accepted"
    assert len(counts) == len(EVENT.Event.DESCRIPTOR.fields) and min(counts.values()) >= 2, counts
    return cases


def second_spelling(message, data, canonical):
    """Whether protobuf reads both as the same message: or else the case shows nothing."""
    found, expected = message.FromString(data), message.FromString(canonical)
    found.DiscardUnknownFields()
    return data != canonical and encode(expected) == canonical and encode(found) == canonical


def malformed_events():
    cases = []
    for name, data, canonical in malformed.events(encode_event):
        case = {"name": name, "hex": data.hex(), "malformed": True}
        if canonical is not None:
            assert second_spelling(EVENT.Event, data, canonical), name
            case["spells"] = canonical.hex()
        cases.append(case)
    return cases


def header(author, nonce, **more):
    """The fields of a body, its nonce made from a number."""
    return {
        "ledger": digest("ledger"),
        "author": author,
        "nonce": digest(f"nonce {nonce}")[:16],
        "created_at": START,
        "expires_at": START + DAY,
        **more,
    }


def sound_envelopes():
    """Signed statements with everything that is hashed and signed on the way."""
    join = encode_event("agent_join", {})
    withdraw = encode_event("withdraw", {"entry": 300})
    basis = {"size": 300, "chain": digest("chain")}
    bodies = {
        "least": header("w", 0, created_at=1, expires_at=1, event=[b"\x00"]),
        "a newcomer": header("wayan", 1, event=[join]),
        "with a basis": header("wayan", 2, basis=basis, event=[join, withdraw]),
        "1,000 events": header("abcdefghijklmnopqrstuvwxyz-01239", 3, event=[withdraw] * 1_000),
        "greatest numbers": header("z", 4, created_at=2**64 - 1, expires_at=2**64 - 1, basis=basis | {"size": 2**64 - 1}, event=[join]),
        "an event of no bytes": header("wayan", 5, event=[b""]),
        "events that are not read here": header("wayan", 6, event=[b"\xff" * 1_000, withdraw]),
    }
    cases = []
    for name, fields in bodies.items():
        body = encode_body(**fields)
        assert encode(STATEMENT.StatementBody.FromString(body)) == body
        envelope = seal(body, key(fields["author"]))
        assert verify_envelope(envelope) == body
        cases.append(
            {
                "name": name,
                "kind": "StatementBody",
                "hex": envelope.hex(),
                "read": "accepted",
                "seed": key(fields["author"]).private_bytes_raw().hex(),
                "author": fields["author"],
                "events": len(fields["event"]),
                "pae": pae(body).hex(),
                "body_digest": body_digest(body).hex(),
                "envelope_digest": envelope_digest(envelope).hex(),
                "id_as_genesis": ledger_id(body).hex(),
            }
        )
    return cases


def refused_envelopes():
    """Statements that are refused before or while they are read, but not as malformed."""
    body = encode_body(**header("wayan", 1, event=[encode_event("agent_join", {})]))
    good = seal(body, key("wayan"))
    body, public_key, signature = split_envelope(good)
    small = bytes(31) + b"\x80"  # a point of small order: it would verify under many keys
    big = encode_body(**header("wayan", 1, event=[bytes(256 * 1024)]))
    cases = {
        "signed without the DSSE encoding": (body + public_key + key("wayan").sign(body), "bad-signature"),
        "signed as another type": (
            body + public_key + key("wayan").sign(pae(body).replace(b".v1+", b".v2+")),
            "bad-signature",
        ),
        "the key of another": (body + public("made") + signature, "bad-signature"),
        "a bit of the body changed": (body[:-1] + bytes([body[-1] ^ 1]) + good[-96:], "bad-signature"),
        "a bit of the signature changed": (good[:-1] + bytes([good[-1] ^ 1]), "bad-signature"),
        "a key of small order": (body + small + signature, "bad-key"),
        "no event": (seal(encode_body(**header("wayan", 1)), key("wayan")), "too-many-events"),
        "1,001 events": (
            seal(encode_body(**header("wayan", 1, event=[b"\x01"] * 1_001)), key("wayan")),
            "too-many-events",
        ),
        "only key and signature": (good[-96:], "malformed"),
        "nothing": (b"", "malformed"),
    }
    assert len(seal(big, key("wayan"))) > 256 * 1024  # too large to write down: Rust has it
    return [{"name": n, "hex": data.hex(), "read": code} for n, (data, code) in cases.items()]


def malformed_envelopes():
    """Non-canonical bodies, each under a sound signature: only the form is at fault."""
    basis = {"size": 300, "chain": digest("chain")}
    sound = encode_body(**header("wayan", 2, basis=basis, event=[encode_event("agent_join", {})]))
    cases = []
    for name, body, canonical in malformed.bodies(sound):
        case = {"name": name, "hex": seal(body, key("wayan")).hex(), "malformed": True}
        if canonical is not None:
            assert second_spelling(STATEMENT.StatementBody, body, canonical), name
            case["spells"] = seal(canonical, key("wayan")).hex()
        cases.append(case)
    return cases


def ledger():
    """A small commons from its genesis to income, entry by entry, with a proof for each.

    Every statement is admitted by the rules of the book: at the end wayan has accrued
    all of the one income, as the only one who worked.
    """
    said = []  # (author, recorded_at, [(kind, fields)])
    genesis = {
        "random": digest("a ledger written by Python"),
        "kind": "COMMONS",
        "name": "our-commons",
        "sandbox": True,
        "steward": [{"agent": "sam", "key": public("sam")}],
        "steward_role": ["MAINTAINER", "TREASURER"],
        "quorum": 1,
        "clerk_key": public("clerk"),
        "operator_key": public("operator"),
        "agent": [{"handle": "phyle-a", "kind": "PHYLE"}],
        "equation": events.SMALL_EQUATION,
    }
    work = {
        "reference": "issue:42",
        "kind": "hours",
        "stream": "LOVE",
        "worked_on": START // DAY,
        "part": [{"agent": "wayan", "quantity": 2_500}],
        "evidence": digest("evidence"),
    }
    claim = {"first": {"entry": 1, "event": 1}, "last": {"entry": 1, "event": 1}}
    income = {"payer": "phyle-a", "amount": {"currency": "EUR", "minor": 1_000}, "bank": "bank:1"}
    said = [
        ("sam", [("genesis", genesis)]),
        ("wayan", [("agent_join", {"name": digest("name")}), ("contribute", work)]),
        ("sam", [("agent_admit", {"agent": "wayan"})]),
        ("sam", [("validate", {"span": [claim], "remuneration": "UNPAID"})]),
        ("sam", [("income_record", income)]),
        ("wayan", "key_add"),
    ]
    name, previous, entries = ZERO, ZERO, []
    for seq, (author, facts) in enumerate(said):
        if facts == "key_add":
            text = possession_text(name, author, public("second"))
            facts = [("key_add", {"key": public("second"), "possession": key("second").sign(text)})]
        at = START + seq * 60_000
        times = {"created_at": at - 5, "expires_at": at + DAY}
        if seq > 0:
            times["basis"] = {"size": seq, "chain": previous}
        body = encode_body(**header(author, seq, ledger=name, event=[encode_event(*f) for f in facts], **times))
        envelope = seal(body, key(author))
        if seq == 0:
            name = ledger_id(body)
        leaf = Leaf(name, seq, previous, at, envelope_digest(envelope)).to_bytes()
        previous = chain_hash(leaf)
        entries.append({"recorded_at": at, "envelope": envelope.hex(), "leaf": leaf.hex(), "chain": previous.hex()})
    return finish(name, entries)


def finish(name, entries):
    """Adds leaf hashes, proofs, root and checkpoint."""
    hashes = [leaf_hash(bytes.fromhex(entry["leaf"])) for entry in entries]
    root, size = tree_root(hashes), len(hashes)
    for seq, entry in enumerate(entries):
        path = inclusion_path(seq, hashes)
        verify_inclusion(seq, size, root, hashes[seq], path)
        entry |= {"leaf_hash": hashes[seq].hex(), "path": [h.hex() for h in path]}
    checkpoint = sign_checkpoint(name, size, root, key("operator"))
    assert open_checkpoint(checkpoint, name, public_bytes(key("operator"))) == (size, root)
    return {
        "id": name.hex(),
        "origin": origin(name),
        "operator_seed": key("operator").private_bytes_raw().hex(),
        "verifier_key": verifier_key(name, public("operator")),
        "root": root.hex(),
        "checkpoint": checkpoint,
        "accrued": {"agent": "wayan", "currency": "EUR", "minor": 1_000},
        "entries": entries,
    }


def commitments():
    """Commitments, with what opens them."""
    cases = [
        (digest("salt"), "text", digest("ledger"), "wayan", "name", "Wayan of Jatiluwih"),
        (digest("salt"), "text", digest("ledger"), "wayan", "email", ""),
        (ZERO, "", ZERO, "s", "note", "in a genesis the ledger is zeros"),
        (digest("salt"), "te", digest("ledger"), "x", "tname", "parts that join to the same text"),
        (digest("salt"), "text", digest("ledger"), "x", "name", "parts that join to the same text"),
        (digest("salt"), "text", digest("ledger"), "wayan", "evidence", "ᬲᬸᬩᬓ\n" * 500),
    ]
    return [
        {
            "salt": salt.hex(),
            "tag": tag,
            "ledger": ledger.hex(),
            "author": author,
            "field": field,
            "text": text,
            "commitment": commitment(salt, tag, ledger, author, field, text.encode()).hex(),
        }
        for salt, tag, ledger, author, field, text in cases
    ]


def names():
    """Digests that name agreements and buckets."""
    terms = [encode(EVENT.Terms(**t)) for t in (events.TERMS, events.ALL_TERMS)]
    buckets = [EVENT.Bucket(**b) for b in events.EQUATION["bucket"]]
    whole = [encode(b) for b in buckets]
    for bucket in buckets:
        bucket.ClearField("share")
    return {
        "terms": [{"hex": t.hex(), "digest": terms_digest(t).hex()} for t in terms],
        "buckets": [
            {"hex": data.hex(), "id": bucket_id(encode(bucket)).hex()} for data, bucket in zip(whole, buckets)
        ],
        "possession": [
            {
                "ledger": digest("ledger").hex(),
                "handle": handle,
                "key": public("second").hex(),
                "text": possession_text(digest("ledger"), handle, public("second")).hex(),
            }
            for handle in ("w", "abcdefghijklmnopqrstuvwxyz-01239")
        ],
    }


def document():
    """The whole file: one case a line, so that a change shows as what it is."""
    sections = {
        "events": sound_events(),
        "malformed_events": malformed_events(),
        "envelopes": sound_envelopes(),
        "refused_envelopes": refused_envelopes(),
        "malformed_envelopes": malformed_envelopes(),
        "commitments": commitments(),
    }
    line = lambda value: json.dumps(value, ensure_ascii=False)
    parts = ['"made_by": "tests/python/vectors.py; see there for what the fields are"']
    for name, cases in sections.items():
        parts.append(f'"{name}": [\n' + ",\n".join(f"    {line(case)}" for case in cases) + "\n  ]")
    parts.append(f'"names": {line(names())}')
    parts.append(f'"ledger": {line(ledger())}')
    return "{\n  " + ",\n  ".join(parts) + "\n}\n"


def main():
    text = document()
    if "--check" in sys.argv[1:]:
        if FILE.read_bytes() != text.encode():
            sys.exit(f"{FILE} is not what this program writes: run it without --check and look at the difference")
        print(f"{FILE.name}: as written, {len(text.encode())} bytes")
    else:
        FILE.write_bytes(text.encode())
        print(f"{FILE}: {len(text.encode())} bytes")


if __name__ == "__main__":
    main()
