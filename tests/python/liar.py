"""Whether the example client catches a node that lies.

    python tests/python/liar.py --node URL --ledger NAME

Stands between client and node, and alters one kind of answer at a time. Guarantees that
the client fails on each by a check of its own, and passes when nothing is altered. Leaves
out lies that no single client can see: a node that shows two people two histories, both
signed, is for witnesses and `subak audit` to catch.
"""

import argparse
import contextlib
import io
import sys
from concurrent import futures

import grpc

import client
from client import SERVICE
from formats import CheckFailed


def flip(data, at):
    """The bytes with one bit changed."""
    data = bytearray(data)
    data[at] ^= 1
    return bytes(data)


def recorded(change):
    """A lie about what was recorded; refusals stay as they are."""

    def alter(reply, truth):
        if reply.WhichOneof("result") == "appended":
            change(reply.appended, truth)

    return alter


def leaf_time(appended, _):
    appended.leaf = flip(appended.leaf, 80)


def path(appended, _):
    appended.path[0] = flip(appended.path[0], 0)


def shorter_path(appended, _):
    del appended.path[-1]


def number(appended, _):
    appended.entry -= 1


def signature(appended, _):
    head, _, line = appended.checkpoint.rpartition(" ")
    appended.checkpoint = f"{head} {line[:20]}{'A' if line[20] != 'A' else 'B'}{line[21:]}"


def size(appended, _):
    first, count, rest = appended.checkpoint.split("\n", 2)
    appended.checkpoint = f"{first}\n{int(count) + 1}\n{rest}"


def old_head(appended, truth):
    appended.checkpoint = truth.first_head


def another_entry(appended, truth):
    """The true proof of a true entry, but not of what was sent."""
    request = SERVICE.EntriesRequest(ledger=appended.ledger, limit=1)
    [reply] = truth.log.Entries(request)
    count = int(appended.checkpoint.split("\n")[1])
    proof = truth.log.Inclusion(SERVICE.InclusionRequest(ledger=appended.ledger, entry=0, size=count))
    appended.entry, appended.leaf = 0, reply.entry[0].leaf
    appended.path[:] = proof.hash


def swallowed(reply, _):
    """A refusal that is given out as nothing at all."""
    reply.ClearField("result")


def statement(reply, _):
    reply.entry[-1].envelope = flip(reply.entry[-1].envelope, 40)


def genesis(reply, _):
    if reply.entry[0].seq == 0:
        reply.entry[0].envelope = flip(reply.entry[0].envelope, -100)


def time(reply, _):
    reply.entry[-1].leaf = flip(reply.entry[-1].leaf, 80)


def left_out(reply, _):
    del reply.entry[-1]


def twice(reply, _):
    reply.entry.append(reply.entry[-1])


def operator(reply, _):
    reply.ledger[0].operator_key = bytes(31) + b"\x01"


def text(reply, _):
    for disclosure in reply.disclosure:
        disclosure.text = b"mended nothing"


# What is altered, in the answer to which call.
LIES = {
    "the time of what was recorded": ("Append", recorded(leaf_time)),
    "a hash of the proof": ("Append", recorded(path)),
    "a proof that is too short": ("Append", recorded(shorter_path)),
    "the number of the entry": ("Append", recorded(number)),
    "the checkpoint's signature": ("Append", recorded(signature)),
    "the checkpoint's size": ("Append", recorded(size)),
    "a checkpoint from before": ("Append", recorded(old_head)),
    "the proof of another entry": ("Append", recorded(another_entry)),
    "no answer": ("Append", swallowed),
    "a statement in the log": ("Entries", statement),
    "the genesis": ("Entries", genesis),
    "the time of an entry": ("Entries", time),
    "an entry left out": ("Entries", left_out),
    "an entry shown twice": ("Entries", twice),
    "the operator's key": ("Ledgers", operator),
    "the text behind a commitment": ("Disclosures", text),
}


class Between(grpc.GenericRpcHandler):
    """Passes every call on, as bytes; alters the answers to one."""

    def __init__(self, node):
        self.node = node
        self.log = client.GRPC.LogStub(node)
        self.lie = (None, None)
        self.first_head = None

    def service(self, details):
        name = details.method.rpartition("/")[2]
        if name in ("Entries", "Disclosures"):
            onward = self.node.unary_stream(details.method)
            answers = lambda request, _: (self.alter(name, data) for data in onward(request))
            return grpc.unary_stream_rpc_method_handler(answers)
        onward = self.node.unary_unary(details.method)
        return grpc.unary_unary_rpc_method_handler(lambda request, _: self.alter(name, onward(request)))

    def alter(self, name, data):
        if name == "Checkpoint":
            self.first_head = SERVICE.CheckpointReply.FromString(data).checkpoint
        target, change = self.lie
        if name != target:
            return data
        reply = getattr(SERVICE, f"{name}Reply").FromString(data)
        change(reply, self)
        return reply.SerializeToString()


def outcome(url, ledger):
    """None if the client is content, or the check that failed. Other errors go on."""
    sys.argv = ["client.py", "--node", url, "--ledger", ledger]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            client.main()
    except CheckFailed as failed:
        return str(failed)
    return None


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--node", required=True)
    options.add_argument("--ledger", required=True)
    options = options.parse_args()
    with client.connect(options.node) as node:
        between = Between(node)
        server = grpc.server(futures.ThreadPoolExecutor(4), handlers=(between,))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        url = f"http://127.0.0.1:{port}"
        try:
            honest = outcome(url, options.ledger)
            assert honest is None, f"nothing was altered, but: {honest}"
            for name, between.lie in LIES.items():
                found = outcome(url, options.ledger)
                assert found, f"the client believed it: {name}"
                print(f"caught: {name}: {found}")
        finally:
            server.stop(None)


if __name__ == "__main__":
    main()
