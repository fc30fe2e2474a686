"""A ledger as files of fixed content, fetched over plain HTTP and put together again.

    python tests/python/tiles.py --url URL --ledger ID --operator KEY [--at-least N]

Fetches the checkpoint and every entry bundle and level-0 tile below it (C2SP tlog-tiles), with
nothing but `urllib`, and leaves the root to `pymerkle` and the signature to `cryptography`. The
leaves must also be a chain. Any failed check ends the program with status 1. Leaves out what a
leaf's statement says, which is not in a bundle.
"""

import argparse
import hashlib
import sys
import urllib.request

from pymerkle import InmemoryTree

from formats import CheckFailed, Leaf, chain_hash, open_checkpoint, require

FULL = 256


def fetch(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


def place(index):
    """A tile's number as a path: 1234067 is x001/x234/067."""
    digits = [f"{index % 1000:03}"]
    while index >= 1000:
        index //= 1000
        digits.insert(0, f"x{index % 1000:03}")
    return "/".join(digits)


def tiles(size):
    """(path, width) of all tiles of one level that has `size` hashes or leaves."""
    for index in range(size // FULL):
        yield place(index), FULL
    if size % FULL:
        yield f"{place(size // FULL)}.p/{size % FULL}", size % FULL


def leaves_of(bundle):
    """Each leaf stands after its length, two bytes, big endian."""
    at, leaves = 0, []
    while at < len(bundle):
        length = int.from_bytes(bundle[at : at + 2], "big")
        leaves.append(bundle[at + 2 : at + 2 + length])
        require(len(leaves[-1]) == length and at + 2 <= len(bundle), "a leaf is cut off")
        at += 2 + length
    return leaves


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--url", required=True, help="the node's address")
    options.add_argument("--ledger", required=True, help="the ledger's id in hex")
    options.add_argument("--operator", required=True, help="the operator's key in hex")
    options.add_argument("--at-least", type=int, default=1, help="entries that are expected")
    options = options.parse_args()
    ledger, prefix = bytes.fromhex(options.ledger), f"{options.url}/{options.ledger}"
    checkpoint = fetch(f"{prefix}/checkpoint").decode()
    size, root = open_checkpoint(checkpoint, ledger, bytes.fromhex(options.operator))
    require(size >= options.at_least, f"expected {options.at_least} entries, found {size}")
    tree, previous, count, files = InmemoryTree(algorithm="sha256"), bytes(32), 0, 0
    for path, width in tiles(size):
        leaves = leaves_of(fetch(f"{prefix}/tile/entries/{path}"))
        require(len(leaves) == width, f"entries/{path}: expected {width} leaves, found {len(leaves)}")
        hashes = b"".join(hashlib.sha256(b"\0" + leaf).digest() for leaf in leaves)
        require(fetch(f"{prefix}/tile/0/{path}") == hashes, f"0/{path}: hashes of other leaves")
        for data in leaves:
            leaf = Leaf.from_bytes(data)
            require((leaf.ledger, leaf.seq) == (ledger, count), f"entry {count}: another place")
            require(leaf.previous == previous, f"entry {count}: it follows another entry")
            tree.append_entry(data)
            previous, count = chain_hash(data), count + 1
        files += 2
    require(tree.get_root() == root, f"the root over {size} entries is another than the signed one")
    print(f"pymerkle: the {count} leaves of {files} tiles have the signed root")


if __name__ == "__main__":
    try:
        main()
    except CheckFailed as failed:
        sys.exit(f"tiles.py: {failed}")
