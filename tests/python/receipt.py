"""Receipts judged by software that nobody here wrote.

    python tests/python/receipt.py --operator KEY [--witness VKEY]... [--alone] FILE...

Takes `.tlog-proof` files apart by the published form (C2SP tlog-proof, tlog-cosignature) and
leaves the judgement to others: the inclusion proof and the root to `pymerkle`, the signatures
to `cryptography`. The files are the receipts of all entries of one ledger, so that the root is
rebuilt from the leaves as well; with `--alone` each is judged by itself. Any failed check ends
the program with status 1. Leaves out what an entry means.
"""

import argparse
import base64
import hashlib
import pathlib
import sys

from pymerkle import InmemoryTree, verify_inclusion
from pymerkle.proof import InclusionProof

from formats import CheckFailed, Leaf, envelope_digest, open_checkpoint, require, verify_envelope, verify_signature

FORMAT = "c2sp.org/tlog-proof@v1"
LEAF_LENGTH = 113


def parse(text):
    """(extra, index, path, checkpoint) of a receipt."""
    proof, checkpoint = text.split("\n\n", 1)
    first, extra, index, *path = proof.split("\n")
    require(first == FORMAT, f"expected {FORMAT}, found {first}")
    extra = base64.b64decode(extra.removeprefix("extra "), validate=True)
    path = [base64.b64decode(line, validate=True) for line in path]
    return extra, int(index.removeprefix("index ")), path, checkpoint


def sides(index, size):
    """Whether the node on the way from leaf to root is the right child (1) or the left (0), for
    each hash of an RFC 9162 path (section 2.1.3.2); `pymerkle` has one more 0, for the root."""
    position, last, bits = index, size - 1, []
    while last > 0:
        if position % 2 == 1 or position == last:
            bits.append(1)
            while position % 2 == 0 and position != 0:
                position, last = position >> 1, last >> 1
        else:
            bits.append(0)
        position, last = position >> 1, last >> 1
    return [*bits, 0]


def inclusion(index, size, leaf_hash, path, root):
    """Leaves the verdict to pymerkle; its leaves are counted from 1."""
    proof = InclusionProof(
        algorithm="sha256", security=True, size=size, index=index + 1, rule=sides(index, size), path=[leaf_hash, *path]
    )
    verify_inclusion(leaf_hash, root, proof, index=index + 1, size=size, algorithm="sha256")


def cosigned(checkpoint, vkey):
    """When the witness of this key signed the checkpoint, in seconds; fails where it did not."""
    name, identity, blob = vkey.split("+", 2)
    blob = base64.b64decode(blob, validate=True)
    require(blob[0] == 4 and len(blob) == 33, "expected a cosigner's key, of type 4")
    wanted = hashlib.sha256(name.encode() + b"\n" + blob).digest()[:4]
    require(wanted.hex() == identity, "the key id is not that of the name and key")
    text, _, lines = checkpoint.rpartition("\n\n")
    text += "\n"
    for line in lines.splitlines():
        _, who, signature = line.split(" ")
        signature = base64.b64decode(signature, validate=True)
        if who == name and signature[:4] == wanted:
            time = int.from_bytes(signature[4:12], "big")
            message = f"cosignature/v1\ntime {time}\n{text}".encode()
            verify_signature(blob[1:], message, signature[12:], f"cosignature of {name}")
            return time
    raise CheckFailed(f"no cosignature of {name}")


def operator_key(text):
    """The 32 bytes, of hex or of a verifier key; whose it is, is in the checkpoint."""
    if "+" not in text:
        return bytes.fromhex(text)
    blob = base64.b64decode(text.split("+", 2)[2], validate=True)
    require(blob[0] == 1 and len(blob) == 33, "expected an Ed25519 key, of type 1")
    return blob[1:]


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--operator", required=True, help="the operator's key, in hex or as a verifier key")
    options.add_argument("--witness", action="append", default=[], help="a witness's verifier key")
    options.add_argument("--alone", action="store_true", help="not those of all entries")
    options.add_argument("file", nargs="+", type=pathlib.Path)
    options = options.parse_args()
    operator, leaves, heads = operator_key(options.operator), {}, {}
    for file in options.file:
        extra, index, path, checkpoint = parse(file.read_text(encoding="utf-8"))
        leaf, envelope = extra[:LEAF_LENGTH], extra[LEAF_LENGTH:]
        verify_envelope(envelope)
        place = Leaf.from_bytes(leaf)
        require(place.seq == index, f"{file}: the leaf belongs to entry {place.seq}")
        require(place.envelope == envelope_digest(envelope), f"{file}: another envelope")
        size, root = open_checkpoint(checkpoint, place.ledger, operator)
        leaf_hash = hashlib.sha256(b"\0" + leaf).digest()
        inclusion(index, size, leaf_hash, path, root)
        for wrong in (bytes([leaf_hash[0] ^ 1]) + leaf_hash[1:], root):
            try:
                inclusion(index, size, wrong, path, root)
            except Exception:  # noqa: BLE001 -- whatever pymerkle says no with
                continue
            require(size == 1 and wrong == root, f"{file}: a wrong leaf is proven too")
        for witness in options.witness:
            cosigned(checkpoint, witness)
        leaves[index], heads[size] = leaf, root
    words = f", each seen by {len(options.witness)} witnesses" if options.witness else ""
    if options.alone:
        print(f"pymerkle: {len(options.file)} receipts hold{words}")
        return
    require(sorted(leaves) == list(range(len(leaves))), "expected the receipts of all entries")
    tree = InmemoryTree(algorithm="sha256")
    for index in sorted(leaves):
        tree.append_entry(leaves[index])
        if index + 1 in heads:
            require(tree.get_root() == heads[index + 1], f"the root at size {index + 1}")
    require(len(leaves) in heads, "expected a checkpoint over all entries")
    print(f"pymerkle: {len(leaves)} receipts hold{words}, and their leaves have the signed root")


if __name__ == "__main__":
    try:
        main()
    except CheckFailed as failed:
        sys.exit(f"receipt.py: {failed}")
