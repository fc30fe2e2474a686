"""Subak's formats in Python: what a client signs, and how it checks what it is told.

Owns a second implementation of the log's formats, written from the comments in
`proto/subak/v1/statement.proto` and the published specifications, not from the Rust code.
Guarantees nothing by itself: `vectors.py` writes down what it computes, and
`ledger/tests/python_vectors.rs` holds the Rust code to that. Leaves out the meaning of
events, and the stricter half of signature verification (see `verify_signature`).

Whoever writes a client in another language needs these functions and little else.
"""

import base64
import hashlib
import importlib
import pathlib
import struct
import sys
import tempfile

import grpc_tools
from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
ZERO = bytes(32)


class CheckFailed(Exception):
    """Something a node said does not hold. Never ignore it: keep the bytes as evidence."""


def require(holds, what):
    """A check that stays in optimised Python, unlike `assert`."""
    if not holds:
        raise CheckFailed(what)


# ---------------------------------------------------------------- messages


def stubs():
    """The modules generated from the `.proto` files: (statement, event, service, grpc).

    They are made anew in a temporary folder, so that they can never be out of date.
    """
    out = tempfile.TemporaryDirectory(prefix="subak-stubs-")
    files = [f"subak/v1/{name}.proto" for name in ("statement", "event", "service")]
    builtin = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    options = [f"-I{PROTO}", f"-I{builtin}", f"--python_out={out.name}", f"--grpc_python_out={out.name}"]
    require(protoc.main(["protoc", *options, *files]) == 0, "protoc could not read the .proto files")
    sys.path.insert(0, out.name)
    try:
        names = ("statement_pb2", "event_pb2", "service_pb2", "service_pb2_grpc")
        return tuple(importlib.import_module(f"subak.v1.{name}") for name in names)
    finally:
        sys.path.remove(out.name)
        out.cleanup()


def encode(message):
    """The canonical encoding, which is what an ordinary protobuf encoder writes: fields in
    the order of their numbers, nothing that has its default value, packed numbers."""
    return message.SerializeToString(deterministic=True)


# ---------------------------------------------------------------- statements

STATEMENT_TYPE = b"application/vnd.subak.statement.v1+protobuf"


def pae(body):
    """What is signed for a body: the DSSE v1 pre-authentication encoding."""
    return b"DSSEv1 %d %b %d %b" % (len(STATEMENT_TYPE), STATEMENT_TYPE, len(body), body)


def public_bytes(key):
    """The 32 bytes of a private key's public half."""
    return key.public_key().public_bytes_raw()


def seal(body, key):
    """The envelope: body || public key (32) || signature (64)."""
    return body + public_bytes(key) + key.sign(pae(body))


def split_envelope(envelope):
    """Body, public key and signature of an envelope."""
    require(len(envelope) > 96, "an envelope is longer than its key and signature")
    return envelope[:-96], envelope[-96:-64], envelope[-64:]


def verify_signature(public, message, signature, what):
    """Ed25519 as OpenSSL verifies it.

    A node and the audit are stricter: they also refuse keys and R of small order and keys
    with a torsion component. What an honest program signs passes both;
    to judge a stranger's ledger, use the audit.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise CheckFailed(f"{what}: the signature does not verify") from error


def verify_envelope(envelope):
    """The body of an envelope whose signature verifies."""
    body, public, signature = split_envelope(envelope)
    verify_signature(public, pae(body), signature, "statement")
    return body


# ---------------------------------------------------------------- hashes


def derive_key(context, data):
    """BLAKE3 in derive_key mode: one context for each purpose, so no two hashes meet."""
    return blake3(data, derive_key_context=context).digest()


def body_digest(body):
    """Names a body, for approvals and replay."""
    return derive_key("subak 2026 statement body v1", body)


def envelope_digest(envelope):
    """Plain BLAKE3 of the whole envelope: what a leaf holds."""
    return blake3(envelope).digest()


def ledger_id(genesis_body):
    """The id of the ledger that this genesis body opens."""
    return derive_key("subak 2026 ledger id v1", genesis_body)


def terms_digest(terms):
    """Names an agreement, by the encoding of its `Terms`."""
    return derive_key("subak 2026 agreement terms v1", terms)


def bucket_id(bucket):
    """Names a bucket of a value equation, by its encoding without the share."""
    return derive_key("subak 2026 bucket identity v1", bucket)


def possession_text(ledger, handle, key):
    """What the new key of a `KeyAdd` signs."""
    handle = handle.encode()
    return b"subak key possession v1" + ledger + bytes([len(handle)]) + handle + key


def commitment(salt, tag, ledger, author, field, text):
    """BLAKE3 keyed with the salt, over parts that are each preceded by their length
    (u64, big endian). In a genesis `ledger` is zeros."""
    parts = [tag.encode(), ledger, author.encode(), field.encode(), text]
    message = b"".join(struct.pack(">Q", len(part)) + part for part in parts)
    return blake3(message, key=salt).digest()


# ---------------------------------------------------------------- entries

LEAF = struct.Struct(">B32sQ32sQ32s")  # version, ledger, seq, previous, recorded_at, envelope


class Leaf:
    """A statement's place in a ledger: 113 bytes, numbers big endian."""

    def __init__(self, ledger, seq, previous, recorded_at, envelope):
        self.ledger, self.seq, self.previous = ledger, seq, previous
        self.recorded_at, self.envelope = recorded_at, envelope

    def to_bytes(self):
        return LEAF.pack(1, self.ledger, self.seq, self.previous, self.recorded_at, self.envelope)

    @classmethod
    def from_bytes(cls, data):
        require(len(data) == LEAF.size, f"leaf: expected {LEAF.size} bytes, found {len(data)}")
        version, *rest = LEAF.unpack(data)
        require(version == 1, f"leaf: expected version 1, found {version}")
        return cls(*rest)


def chain_hash(leaf):
    """The hash that the next entry's leaf names as `previous`."""
    return derive_key("subak 2026 ledger chain v1", leaf)


# ---------------------------------------------------------------- tree (RFC 6962, SHA-256)


def leaf_hash(leaf):
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def _middle(count):
    """The largest power of two smaller than `count`: how many leaves the left half has."""
    return 1 << (count - 1).bit_length() - 1


def tree_root(hashes):
    """The root over leaf hashes, by RFC 6962's recursive definition."""
    if not hashes:
        return hashlib.sha256().digest()
    if len(hashes) == 1:
        return hashes[0]
    middle = _middle(len(hashes))
    return node_hash(tree_root(hashes[:middle]), tree_root(hashes[middle:]))


def inclusion_path(index, hashes):
    """The inclusion proof of one leaf, by the recursive definition, from the leaf up."""
    if len(hashes) == 1:
        return []
    middle = _middle(len(hashes))
    if index < middle:
        return inclusion_path(index, hashes[:middle]) + [tree_root(hashes[middle:])]
    return inclusion_path(index - middle, hashes[middle:]) + [tree_root(hashes[:middle])]


def verify_inclusion(index, size, root, leaf, path):
    """RFC 9162, 2.1.3.2: the leaf hash is at `index` of the tree of `size` with this root."""
    require(index < size, f"inclusion: entry {index} is not in a tree of {size}")
    node, last, here = index, size - 1, leaf
    for sibling in path:
        require(last > 0, "inclusion: the proof is too long")
        if node & 1 or node == last:
            here = node_hash(sibling, here)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            here = node_hash(here, sibling)
        node, last = node >> 1, last >> 1
    require(last == 0, "inclusion: the proof is too short")
    require(here == root, "inclusion: the proof leads to another root")


# ---------------------------------------------------------------- checkpoints (C2SP)


def origin(ledger):
    """The name that a ledger's operator signs under."""
    return f"subak/{ledger.hex()}"


def key_id(name, public):
    return hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]


def verifier_key(ledger, operator):
    """The line for a trust file."""
    name = origin(ledger)
    encoded = base64.b64encode(b"\x01" + operator).decode()
    return f"{name}+{key_id(name, operator).hex()}+{encoded}"


def sign_checkpoint(ledger, size, root, key):
    """A signed note of three lines: origin, size, root."""
    name = origin(ledger)
    text = f"{name}\n{size}\n{base64.b64encode(root).decode()}\n"
    blob = key_id(name, public_bytes(key)) + key.sign(text.encode())
    return f"{text}\n— {name} {base64.b64encode(blob).decode()}\n"


def open_checkpoint(note, ledger, operator):
    """(size, root) of a checkpoint of `ledger` that `operator` signed.

    Lines of other signers (witnesses) are allowed and ignored.
    """
    name = origin(ledger)
    text, blank, lines = note.rpartition("\n\n")
    require(blank, "checkpoint: no blank line before the signatures")
    text += "\n"
    expected = key_id(name, operator)
    ours = []
    for line in lines.splitlines():
        dash, signer, encoded = line.split(" ")
        blob = base64.b64decode(encoded, validate=True)
        if dash == "—" and signer == name and blob[:4] == expected:
            ours.append(blob[4:])
    require(len(ours) == 1, "checkpoint: expected one signature line of the operator")
    verify_signature(operator, text.encode(), ours[0], "checkpoint")
    first, size, root = text.rstrip("\n").split("\n")
    require(first == name, "checkpoint: of another ledger")
    size, root = int(size), base64.b64decode(root, validate=True)
    # There is one text of a head; whatever the lenient parsing above let slip ends here.
    canonical = f"{name}\n{size}\n{base64.b64encode(root).decode()}\n"
    require(text == canonical and len(root) == 32, "checkpoint: not in its canonical form")
    return size, root
