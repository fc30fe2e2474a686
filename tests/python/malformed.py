"""Encodings that must be refused as `malformed`, made by hand.

Owns the second spellings: bytes that another protobuf decoder reads as exactly the same
message as the canonical ones beside them. Were they admitted, one fact would have many
digests, and two programs could disagree on what was signed. The rest has no reading, or
one to which the schema gives no meaning.

A case is (name, bytes, canonical): with `canonical` it is a second spelling of that.
"""

from events import SMALL_EQUATION, digest, public

# ---------------------------------------------------------------- a wire by hand


def varint(number, pad=0):
    """A number in base 128, with `pad` bytes more than it needs."""
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    for _ in range(pad):
        out[-1] |= 128
        out.append(0)
    return bytes(out)


def number(field, value, pad=0):
    """A varint field."""
    return varint(field << 3) + varint(value, pad)


def block(field, data, pad=0):
    """A length-delimited field: string, bytes, message, packed numbers."""
    return varint(field << 3 | 2) + varint(len(data), pad) + data


def split(data):
    """The fields of a message, each with its tag: (number, bytes)."""

    def read_varint(at):
        value = shift = 0
        while True:
            byte = data[at]
            value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
            if byte < 128:
                return value, at

    fields, at = [], 0
    while at < len(data):
        start = at
        tag, at = read_varint(at)
        value, at = read_varint(at)
        if tag & 7 == 2:
            at += value
        fields.append((tag >> 3, data[start:at]))
    return fields


def join(fields):
    return b"".join(raw for _, raw in fields)


# ---------------------------------------------------------------- events


def events(encode_event):
    """Malformed events. `encode_event(kind, fields)` gives a canonical one."""
    withdraw = encode_event("withdraw", {"entry": 300})
    entry = number(1, 300)
    assert withdraw == block(4, entry)

    def of_withdraw(name, data):
        return (f"withdraw: {name}", data, withdraw)

    cases = [
        # Spellings that any message can have.
        of_withdraw("an unknown field after the kind", withdraw + number(99, 1)),
        of_withdraw("an unknown field before the kind", number(99, 1) + withdraw),
        of_withdraw("a kind that is not yet known, too", withdraw + block(98, b"")),
        of_withdraw("an unknown field in the kind", block(4, entry + number(2, 1))),
        of_withdraw("an unknown fixed32", block(4, entry + b"\x15\x00\x00\x00\x00")),
        of_withdraw("an unknown fixed64", block(4, entry + b"\x11" + bytes(8))),
        of_withdraw("an unknown group", withdraw + b"\x9b\x06\x9c\x06"),
        of_withdraw("a field twice", block(4, entry + entry)),
        of_withdraw("a field twice, the first in vain", block(4, number(1, 7) + entry)),
        of_withdraw("a field twice, the first its default", block(4, number(1, 0) + entry)),
        of_withdraw("a long number", block(4, number(1, 300, pad=1))),
        of_withdraw("a number of ten bytes", block(4, number(1, 300, pad=8))),
        of_withdraw("a long tag", block(4, b"\x88\x00" + varint(300))),
        of_withdraw("a long tag of the kind", b"\xa2\x00" + varint(len(entry)) + entry),
        of_withdraw("a long length", block(4, entry, pad=1)),
        of_withdraw("the kind twice", withdraw + withdraw),
        of_withdraw("the kind in two parts", block(4, b"") + withdraw),
        of_withdraw("another kind before it", encode_event("agent_admit", {"agent": "a"}) + withdraw),
        of_withdraw("a later kind before it", encode_event("held_fallback", {}) + withdraw),
        (
            "withdraw: its default written",
            block(4, number(1, 0)),
            encode_event("withdraw", {}),
        ),
        (
            "approve: fields in another order",
            block(2, block(2, digest("d")) + number(1, 1)),
            encode_event("approve", {"entry": 1, "digest": digest("d")}),
        ),
        (
            "agent_join: an empty commitment written",
            block(5, block(1, digest("n")) + block(2, b"")),
            encode_event("agent_join", {"name": digest("n")}),
        ),
        (
            "agent_admit: a handle twice, the first in vain",
            block(7, block(1, b"someone-else") + block(1, b"made")),
            encode_event("agent_admit", {"agent": "made"}),
        ),
        (
            "reject_contribution: a 32-bit number with higher bits",
            block(16, block(1, number(2, 2**32 + 1)) + number(2, 1)),
            encode_event("reject_contribution", {"contribution": {"event": 1}, "reason": "NOT_DONE"}),
        ),
        (
            "reject_contribution: a default written two levels down",
            block(16, block(1, number(1, 0) + number(2, 1)) + number(2, 1)),
            encode_event("reject_contribution", {"contribution": {"event": 1}, "reason": "NOT_DONE"}),
        ),
        (
            "reject_contribution: a message in two parts",
            block(16, block(1, number(1, 7)) + block(1, number(2, 1)) + number(2, 1)),
            encode_event("reject_contribution", {"contribution": {"entry": 7, "event": 1}, "reason": "NOT_DONE"}),
        ),
        (
            "reject_contribution: the enum's other 32 bits set",
            block(16, block(1, b"") + number(2, 2**32 + 1)),
            encode_event("reject_contribution", {"contribution": {}, "reason": "NOT_DONE"}),
        ),
        (
            "validate: a field between the elements of a repeated one",
            block(14, block(1, span(1)) + number(2, 1) + block(1, span(2))),
            encode_event("validate", {"span": [{"first": {"entry": n}, "last": {"entry": n}} for n in (1, 2)], "remuneration": "UNPAID"}),
        ),
    ]
    return cases + packed(encode_event) + oneofs(encode_event) + within(encode_event) + unreadable(encode_event)


def span(entry):
    place = number(1, entry)
    return block(1, place) + block(2, place)


def packed(encode_event):
    """Repeated numbers: packed, in one run, or not at all."""
    release = encode_event("held_release", {"income": [1, 300], "bucket": "all"})
    bucket = block(2, b"all")
    assert release == block(18, block(1, varint(1) + varint(300)) + bucket)
    genesis = {
        "random": digest("random"),
        "kind": "PHYLE",
        "name": "phyle-a",
        "sandbox": True,
        "steward": [{"agent": "sam", "key": public("sam")}],
        "quorum": 1,
        "clerk_key": public("clerk"),
        "operator_key": public("operator"),
    }
    plain = encode_event("genesis", genesis)
    ruled = encode_event("genesis", genesis | {"steward_role": ["MAINTAINER", "TREASURER"]})
    return [
        ("held_release: numbers not packed", block(18, number(1, 1) + number(1, 300) + bucket), release),
        ("held_release: packed in two runs", block(18, block(1, varint(1)) + block(1, varint(300)) + bucket), release),
        ("held_release: half of it packed", block(18, number(1, 1) + block(1, varint(300)) + bucket), release),
        ("held_release: an empty run besides", block(18, block(1, varint(1) + varint(300)) + block(1, b"") + bucket), release),
        ("held_release: a long number in the run", block(18, block(1, varint(1, pad=1) + varint(300)) + bucket), release),
        ("genesis: an empty run of roles", edited(plain, insert=(6, block(6, b""))), plain),
        ("genesis: roles not packed", edited(ruled, replace=(6, number(6, 2) + number(6, 3))), ruled),
        ("genesis: true written as 2", edited(plain, replace=(4, number(4, 2))), plain),
        ("genesis: true written long", edited(plain, replace=(4, number(4, 1, pad=1))), plain),
    ]


def edited(event, insert=None, replace=None):
    """An event whose kind has one field more, in its place, or another instead."""
    [(kind, raw)] = split(event)
    body = raw[len(varint(kind << 3 | 2)) :]
    length = len(varint(len(event)))  # every event edited here has a length of two bytes
    fields = split(body[length:])
    if insert:
        fields.append(insert)
        fields.sort(key=lambda field: field[0])
    if replace:
        fields = [replace if field[0] == replace[0] else field for field in fields]
    return block(kind, join(fields))


def oneofs(encode_event):
    """A bucket whose `to` is said twice: the last one counts, elsewhere."""

    def adopt(bucket):
        rate = block(3, block(1, b"hours") + number(2, 1))
        return block(17, block(1, block(1, b"solo") + number(2, 1) + rate + block(4, bucket) + number(5, 1)))

    head = block(1, b"all") + number(2, 1_000_000)
    agent, contributors = block(3, b"sam"), block(4, block(4, b"\x01"))
    sound = encode_event("equation_adopt", {"equation": SMALL_EQUATION})
    assert sound == adopt(head + contributors)
    to_agent = {"bucket": [{"name": "all", "share": 1_000_000, "agent": "sam"}]}
    other = encode_event("equation_adopt", {"equation": SMALL_EQUATION | to_agent})
    return [
        ("equation_adopt: a bucket to an agent, then to contributors", adopt(head + agent + contributors), sound),
        ("equation_adopt: a bucket to contributors, then to an agent", adopt(head + contributors + agent), other),
        ("equation_adopt: a bucket's contributors twice", adopt(head + block(4, b"") + contributors), sound),
        ("equation_adopt: weights not packed", adopt(head + block(4, number(4, 1))), sound),
        ("equation_adopt: `unpaid_only` written as false", adopt(head + block(4, number(3, 0) + block(4, b"\x01"))), sound),
    ]


def within(encode_event):
    """Sound but for an event within a proposal, which is bytes to the outer one: only
    reading the inner one finds it. So no outer message equals a canonical one."""
    inner = {
        "a default written": block(19, number(1, 0) + block(2, b"all")),
        "fields in another order": block(19, block(2, b"all") + number(1, 3)),
        "an unknown field": block(19, block(2, b"all")) + number(99, 1),
        "no event at all": b"",
        "an event cut short": block(19, block(2, b"all"))[:-1],
    }
    return [(f"propose: within it, {name}", block(3, block(1, data)), None) for name, data in inner.items()]


def unreadable(encode_event):
    """What has no reading, or one that the schema gives no meaning."""
    grant = lambda role: block(11, block(1, b"mia") + role)
    withdraw = encode_event("withdraw", {"entry": 300})
    return [
        ("no kind", b"", None),
        ("an unknown kind only", block(98, b""), None),
        ("a kind of the wrong wire type", number(4, 300), None),
        ("withdraw: a number of the wrong wire type", block(4, b"\x09" + bytes(8)), None),
        ("withdraw: a number of 11 bytes", block(4, number(1, 300, pad=9)), None),
        ("withdraw: a number over 64 bits", block(4, b"\x08" + b"\xff" * 9 + b"\x7f"), None),
        ("withdraw: a length beyond the end", withdraw[:1] + b"\x04" + withdraw[2:], None),
        ("withdraw: cut short", withdraw[:-1], None),
        ("withdraw: a zero byte behind it", withdraw + b"\x00", None),
        ("withdraw: a field numbered 0", block(4, b"\x00\x01"), None),
        ("withdraw: a group that does not end", withdraw + b"\x9b\x06", None),
        ("agent_admit: a handle that is not UTF-8", block(7, block(1, b"ma\xffde")), None),
        ("agent_admit: a handle with a capital", block(7, block(1, b"Made")), None),
        ("role_grant: no role", grant(b""), None),
        ("role_grant: role 0 written", grant(number(2, 0)), None),
        ("role_grant: an unknown role", grant(number(2, 99)), None),
        ("role_grant: a negative role", grant(number(2, 2**64 - 1)), None),
        ("role_grant: the greatest role", grant(number(2, 2**31 - 1)), None),
    ]


# ---------------------------------------------------------------- bodies


def bodies(body):
    """Malformed bodies of statements, from a canonical one with a basis."""
    fields = dict(split(body))
    assert list(fields) == [1, 2, 3, 4, 5, 6, 7]

    def put(**changes):
        """The body with other bytes in place of some fields: f4=…"""
        return b"".join(changes.get(f"f{n}", raw) for n, raw in fields.items())

    basis = fields[6][2:]
    size, chain = (raw for _, raw in split(basis))
    second = [
        ("an unknown field", body + number(8, 1)),
        ("an unknown field in the basis", put(f6=block(6, basis + number(3, 1)))),
        ("fields in another order", put(f2=b"", f3=fields[3] + fields[2])),
        ("an event before the rest", fields[7] + put(f7=b"")),
        ("a ledger twice, the first in vain", block(1, bytes(32)) + body),
        ("an author twice, the first in vain", put(f2=block(2, b"mallory") + fields[2])),
        ("a time twice", put(f4=fields[4] + fields[4])),
        ("a long time", put(f5=fields[5][:-1] + bytes([fields[5][-1] | 128, 0]))),
        ("a long tag", put(f4=b"\xa0\x00" + fields[4][1:])),
        ("a long length", put(f2=block(2, fields[2][2:], pad=1))),
        ("a basis in two parts", put(f6=block(6, size) + block(6, chain))),
        ("a basis in another order", put(f6=block(6, chain + size))),
        ("an empty basis before the basis", put(f6=block(6, b"") + fields[6])),
    ]
    none = [
        ("a ledger of 31 bytes", put(f1=block(1, bytes(31)))),
        ("no ledger", put(f1=b"")),
        ("a default written: the author", put(f2=block(2, b""))),
        ("no author", put(f2=b"")),
        ("an author with a capital", put(f2=block(2, b"Wayan"))),
        ("an author who is not UTF-8", put(f2=block(2, b"\xc3\x28"))),
        ("an author with a look-alike letter", put(f2=block(2, "wаyan".encode()))),
        ("a nonce of 15 bytes", put(f3=block(3, bytes(15)))),
        ("a nonce of 17 bytes", put(f3=block(3, bytes(17)))),
        ("no time", put(f4=b"")),
        ("a default written: the time", put(f4=number(4, 0))),
        ("a negative time", put(f4=b"\x20" + b"\xff" * 10)),
        ("no expiry", put(f5=b"")),
        ("an empty basis", put(f6=block(6, b""))),
        ("a basis of size 0 written", put(f6=block(6, number(1, 0) + chain))),
        ("a basis without chain", put(f6=block(6, size))),
        ("a chain of 33 bytes", put(f6=block(6, size + block(2, bytes(33))))),
        ("a time as fixed64", put(f4=b"\x21" + bytes(8))),
        ("a zero byte behind it", body + b"\x00"),
        ("cut short", body[:-1]),
        ("one zero byte", b"\x00"),
    ]
    return [(name, data, body) for name, data in second] + [(name, data, None) for name, data in none]
