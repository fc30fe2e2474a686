"""An example client: claim work in a commons' ledger, and believe nothing unchecked.

    python tests/python/client.py --node http://127.0.0.1:7117 --ledger our-commons

It is documentation for people who write clients in other languages: read it from `main`
downwards, with `formats.py` beside it and `proto/subak/v1/*.proto` open. It

1. copies the ledger and verifies it: signatures, chain, tree, operator's checkpoint;
2. makes a key and introduces itself with a first claim, in one signed statement;
3. verifies the answer, which is a proof and not a promise;
4. reads its own claim back from the log, and the balances from the book;
5. shows what a refusal looks like.

A node needs no account and no session: the signature is the permission. Any failed check
ends the program with status 1. It leaves out key files (the key made here is thrown away;
`subak key new` makes one to keep), the rules of the book (what a claim is worth: that is
`subak audit`'s to judge, or the node's to be believed) and retries.
"""

import argparse
import os
import sys
import time

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from formats import (
    ZERO,
    CheckFailed,
    Leaf,
    body_digest,
    chain_hash,
    commitment,
    encode,
    envelope_digest,
    leaf_hash,
    ledger_id,
    open_checkpoint,
    public_bytes,
    require,
    seal,
    stubs,
    tree_root,
    verify_envelope,
    verify_inclusion,
    verifier_key,
)

STATEMENT, EVENT, SERVICE, GRPC = stubs()

DAY = 86_400_000  # milliseconds
PATIENCE = 30  # seconds that any one call may take


# ---------------------------------------------------------------- 1. reading a ledger


class Copy:
    """A verified copy of a ledger: as much of it as further checks need.

    The ledger's id is the hash of its first statement, and that statement names the
    operator's key. So whoever has the id from a trustworthy place (a receipt, a
    friend, a printed page) needs to trust the node for nothing.
    """

    def __init__(self, ledger, operator):
        self.ledger, self.operator = ledger, operator
        self.chain, self.recorded_at = ZERO, 0
        self.hashes = []  # leaf hashes, from entry 0; their count is the ledger's size
        self.envelopes = []

    def take(self, entry):
        """Verifies the next entry, from its raw bytes."""
        size = len(self.hashes)
        leaf = Leaf.from_bytes(entry.leaf)
        require(entry.seq == leaf.seq == size, f"expected entry {size}, found {entry.seq}")
        require(leaf.ledger == self.ledger, f"entry {size}: of another ledger")
        require(leaf.previous == self.chain, f"entry {size}: the chain is broken")
        require(leaf.recorded_at >= self.recorded_at, f"entry {size}: time goes back")
        require(leaf.envelope == envelope_digest(entry.envelope), f"entry {size}: another statement")
        body = verify_envelope(entry.envelope)
        if size == 0:
            self.check_genesis(body)
        self.chain, self.recorded_at = chain_hash(entry.leaf), leaf.recorded_at
        self.hashes.append(leaf_hash(entry.leaf))
        self.envelopes.append(entry.envelope)

    def check_genesis(self, body):
        require(ledger_id(body) == self.ledger, "the id is not that of the genesis")
        genesis = event_of(read_body(body).event[0], "genesis")
        require(genesis.operator_key == self.operator, "the genesis names another operator")

    def check_head(self, checkpoint):
        """The operator has signed exactly this copy."""
        size, root = open_checkpoint(checkpoint, self.ledger, self.operator)
        require(size == len(self.hashes), f"checkpoint of {size} entries, copied {len(self.hashes)}")
        require(root == tree_root(self.hashes), "the checkpoint's root is not this log's")

    def follow(self, log, checkpoint):
        """Copies what is missing up to a checkpoint, then checks it. The copy's older
        entries are part of the same tree, so no history was exchanged behind our back."""
        size, _ = open_checkpoint(checkpoint, self.ledger, self.operator)
        missing = size - len(self.hashes)
        require(missing >= 0, "the node shows an older head than before")
        if missing:  # a limit of 0 would mean: to the end
            request = SERVICE.EntriesRequest(ledger=self.ledger, limit=missing)
            # `from` is a word of Python's, so it cannot be a keyword argument.
            setattr(request, "from", len(self.hashes))
            for reply in log.Entries(request, timeout=PATIENCE):
                for entry in reply.entry:
                    self.take(entry)
        self.check_head(checkpoint)


def read_body(body):
    return STATEMENT.StatementBody.FromString(body)


def event_of(data, kind):
    """One event, which must be of this kind."""
    event = EVENT.Event.FromString(data)
    require(event.WhichOneof("kind") == kind, f"expected {kind}, found {event.WhichOneof('kind')}")
    return getattr(event, kind)


def find_ledger(log, name):
    """What the node says of the ledger. All of it is verified later."""
    ledgers = log.Ledgers(SERVICE.LedgersRequest(), timeout=PATIENCE).ledger
    found = [info for info in ledgers if name in (info.name, info.id.hex())]
    require(len(found) == 1, f"{name!r}: {len(found)} such ledgers among {[i.name for i in ledgers]}")
    return found[0]


# ---------------------------------------------------------------- 2. writing a statement


def now():
    """Milliseconds since 1970-01-01T00:00:00Z."""
    return time.time_ns() // 1_000_000


def statement(copy, author, key, events, lifetime=DAY):
    """Signs events: all of them are recorded, or none.

    The node admits it until `expires_at`, at most 30 days ahead, and admits it once. The
    nonce lets one say the same thing twice. The basis is optional: it makes the
    statement valid only in the history that the author has seen.
    """
    created = now()
    body = STATEMENT.StatementBody(
        ledger=copy.ledger,
        author=author,
        nonce=os.urandom(16),
        created_at=created,
        expires_at=created + lifetime,
        basis=STATEMENT.Basis(size=len(copy.hashes), chain=copy.chain),
        event=[encode(event) for event in events],
    )
    return seal(encode(body), key)


def claim(copy, author, kind, note):
    """A newcomer's first statement: who I am, and what I did. Needs nobody's leave; it
    counts once the commons' maintainers have validated it.

    There is no prose in a statement. The note enters as a commitment, and its text goes
    beside it as a disclosure, which can be erased later without breaking the log.
    """
    salt = os.urandom(32)  # with the salt erased, nobody can guess the text and try it
    disclosure = SERVICE.Disclosure(salt=salt, tag="text", author=author, field="evidence", text=note.encode())
    committed = commitment(salt, "text", copy.ledger, author, "evidence", note.encode())
    contribute = EVENT.Contribute(
        reference=f"example:{os.urandom(8).hex()}",  # what the work is known by elsewhere
        kind=kind,
        stream=EVENT.LOVE,
        worked_on=now() // DAY,
        part=[EVENT.Part(agent=author, quantity=2_500)],  # thousandths: 2.5 hours
        evidence=committed,
    )
    return [EVENT.Event(agent_join=EVENT.AgentJoin()), EVENT.Event(contribute=contribute)], disclosure


# ---------------------------------------------------------------- 3. checking the answer


def append(log, envelope, disclosures=()):
    """Sends a statement. The answer comes after the durable commit."""
    request = SERVICE.AppendRequest(envelope=envelope, disclosure=disclosures)
    reply = log.Append(request, timeout=PATIENCE)
    result = reply.WhichOneof("result")
    require(result is not None, "the answer is neither an entry nor a refusal")
    return result, getattr(reply, result)


def check_answer(copy, envelope, appended):
    """The entry holds the statement that we sent, and the operator has signed for it."""
    require(appended.ledger == copy.ledger, "answer: of another ledger")
    leaf = Leaf.from_bytes(appended.leaf)
    require(leaf.ledger == copy.ledger and leaf.seq == appended.entry, "answer: the leaf is of another entry")
    require(leaf.envelope == envelope_digest(envelope), "answer: the leaf holds another statement")
    size, root = open_checkpoint(appended.checkpoint, copy.ledger, copy.operator)
    verify_inclusion(appended.entry, size, root, leaf_hash(appended.leaf), list(appended.path))
    # Keep envelope, leaf, path and checkpoint: together they are a receipt, which proves
    # the entry without the node.
    return leaf, size


def expect_refusal(log, envelope, code):
    """A refusal is an answer and no failure: a stable code, what is wrong, what to do.
    Failures of the world (disk full, shutting down) are gRPC statuses instead."""
    result, refused = append(log, envelope)
    require(result == "refused", f"expected the refusal {code}, but it was recorded")
    require(refused.code == code, f"expected the refusal {code}, found {refused.code}: {refused.message}")
    print(f"refused    {refused.code}: {refused.message}")
    print(f"           next: {refused.next}")


# ---------------------------------------------------------------- all together


def connect(url):
    """A channel to a node's URL, once the node says that it serves."""
    scheme, _, address = url.partition("://")
    require(scheme in ("http", "https") and address, f"{url!r}: expected http://HOST:PORT or https://HOST:PORT")
    address = address.rstrip("/")
    secure = scheme == "https"
    channel = grpc.secure_channel(address, grpc.ssl_channel_credentials()) if secure else grpc.insecure_channel(address)
    # The standard health service, called by name: an empty request asks for the whole
    # server, and the answer `status = SERVING` is field 1 with value 1.
    health = channel.unary_unary("/grpc.health.v1.Health/Check")
    require(health(b"", timeout=PATIENCE, wait_for_ready=True) == b"\x08\x01", "the node does not serve")
    return channel


def main():
    options = argparse.ArgumentParser(description="Claim work in a commons' ledger, and check every answer.")
    options.add_argument("--node", required=True, metavar="URL", help="as in http://127.0.0.1:7117")
    options.add_argument("--ledger", required=True, metavar="NAME|ID", help="a commons")
    options.add_argument("--operator", metavar="HEX", help="the operator's key, known from elsewhere than the node")
    options.add_argument("--kind", default="hours", help="kind of work: one that the value equation has a rate for")
    options = options.parse_args()

    with connect(options.node) as channel:
        log, book = GRPC.LogStub(channel), GRPC.BookStub(channel)

        info = find_ledger(log, options.ledger)
        operator = bytes.fromhex(options.operator) if options.operator else info.operator_key
        copy = Copy(info.id, operator)
        head = log.Checkpoint(SERVICE.CheckpointRequest(ledger=info.id), timeout=PATIENCE)
        copy.follow(log, head.checkpoint)
        print(f"ledger     {info.name}, {copy.ledger.hex()}" + (", SANDBOX" if info.sandbox else ""))
        print(f"           {len(copy.hashes)} entries: signatures, chain, tree and checkpoint hold")
        print(f"           trust file: log {verifier_key(copy.ledger, copy.operator)}")

        key = Ed25519PrivateKey.generate()
        author = f"py-{public_bytes(key)[:6].hex()}"  # a handle: 1 to 32 of a-z, 0-9 and -
        events, disclosure = claim(copy, author, options.kind, "mended the sluice")
        envelope = statement(copy, author, key, events)
        result, appended = append(log, envelope, [disclosure])
        require(result == "appended", f"refused: {appended}")
        leaf, size = check_answer(copy, envelope, appended)
        print(f"recorded   entry {appended.entry} by {author}, at {leaf.recorded_at} ms")
        print(f"           body {body_digest(envelope[:-96]).hex()}")
        print(f"           in the tree of {size} under {len(appended.path)} hashes, signed by the operator")

        copy.follow(log, appended.checkpoint)
        require(copy.envelopes[appended.entry] == envelope, "the log holds another statement than we sent")
        read = event_of(read_body(verify_envelope(copy.envelopes[appended.entry])).event[1], "contribute")
        hours, thousandths = divmod(read.part[0].quantity, 1_000)
        print(f"read back  {read.reference}: {hours}.{thousandths:03} {read.kind} by {read.part[0].agent}")

        request = SERVICE.DisclosuresRequest(ledger=copy.ledger)
        given = [d for reply in log.Disclosures(request, timeout=PATIENCE) for d in reply.disclosure]
        texts = [
            d.text.decode()
            for d in given
            if commitment(d.salt, d.tag, copy.ledger, d.author, d.field, d.text) == read.evidence
        ]
        require(texts == ["mended the sluice"], "the disclosure does not open the commitment")
        print(f"note       {texts[0]!r}, which opens the commitment")

        balances = book.Balances(SERVICE.BalancesRequest(ledger=copy.ledger), timeout=PATIENCE)
        require(balances.size > appended.entry, "the book is behind the log")
        print(f"balances   after {balances.size} entries, of {len(balances.balance)} who have accrued something")
        for b in balances.balance:
            print(f"           {b.agent}: accrued {b.accrued}, available {b.available} (minor units of {b.currency})")

        expect_refusal(log, statement(copy, author, key, events[1:], lifetime=-DAY), "expired")
        expect_refusal(log, envelope, "replayed")
    print("all checks passed")


if __name__ == "__main__":
    try:
        main()
    except CheckFailed as failed:
        sys.exit(f"CHECK FAILED: {failed}")
    except grpc.RpcError as failed:
        sys.exit(f"the node failed: {failed.code().name}: {failed.details()}")
