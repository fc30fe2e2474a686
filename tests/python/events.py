"""Sound events: every kind, empty, with the least and with everything.

Owns the choice of cases. Guarantees, by `check_coverage`, that every field and every enum
value of the schema occurs in one of them. Leaves out statements around events and
whether a ledger would admit them.

A case is (kind, name, fields, verdict). All are canonical. The verdict is what reading the
event by itself gives: "accepted", or the code of the refusal where the form is sound and
a required field is empty.
"""

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from formats import public_bytes

U64 = 2**64 - 1
# The last millisecond of the year 9999.
LAST_TIME = 253_402_300_799_999
U32 = 2**32 - 1
MAX_MONEY = 10**15


def digest(text):
    """32 bytes that look like a hash, the same in every run."""
    return hashlib.sha256(text.encode()).digest()


def key(name):
    """A private key from a name: for tests only."""
    return Ed25519PrivateKey.from_private_bytes(digest(f"seed of {name}"))


def public(name):
    return public_bytes(key(name))


SMALL_EQUATION = {
    "name": "solo",
    "version": 1,
    "rate": [{"kind": "hours", "points": 1}],
    "bucket": [{"name": "all", "share": 1_000_000, "contributors": {"weight": [1]}}],
    "validators": 1,
}

# The example is worked by hand. 15 % and 5 % of 100.00 go to the two agents, 20 % to unpaid
# care, all of it ana's. Of the last 60.00, ben's commit a month old has 1 point x 300 and
# cyd's 5 hours have 5 x 3 points x 1: 300/315 are 57.14, 15/315 are 2.85.
EQUATION = {
    "name": "points-with-decay-2",
    "version": U32,
    "rate": [
        {"kind": "commit", "points": 1},
        {"kind": "hours", "points": 3},
        {"kind": "review", "points": 1_000_000},
    ],
    "bucket": [
        {"name": "association", "share": 150_000, "agent": "association"},
        {"name": "upstream", "share": 50_000, "agent": "upstream"},
        {
            "name": "care",
            "share": 200_000,
            "contributors": {
                "kind": ["hours"],
                "stream": ["CARE"],
                "unpaid_only": True,
                "weight": [1] * 12 + [0],
            },
        },
        {
            "name": "makers",
            "share": 600_000,
            "contributors": {
                "kind": ["commit", "hours", "review"],
                "stream": ["LIVELIHOOD", "LOVE"],
                "weight": [65_535, 300, 0, 1],
            },
        },
    ],
    "validators": 9,
    "maturity_days": 14,
    "notice_days": 300,
    "claim_delay_days": 30,
    "held_days": 3_660,
    "fallback": "association",
    "minimum_payout": [
        {"currency": "EUR", "minor": 500},
        {"currency": "JPY", "minor": MAX_MONEY},
    ],
    "example": [
        {
            "income": {"currency": "EUR", "minor": 10_000},
            "work": [
                {"agent": "ana", "kind": "hours", "stream": "CARE", "remuneration": "UNPAID", "quantity": 2_000},
                {"agent": "ben", "kind": "commit", "stream": "LIVELIHOOD", "remuneration": "PAID", "quantity": 1_000, "age_months": 1},
                {"agent": "cyd", "kind": "hours", "stream": "LOVE", "remuneration": "UNKNOWN", "quantity": 5_000, "age_months": 500},
            ],
            "amount": [
                {"agent": "ana", "minor": 2_000},
                {"agent": "association", "minor": 1_500},
                {"agent": "ben", "minor": 5_714},
                {"agent": "cyd", "minor": 285},
                {"agent": "upstream", "minor": 500},
            ],
        },
        # Nobody has worked: the contributors' parts are held, the agents' are theirs.
        {
            "income": {"currency": "EUR", "minor": 100},
            "amount": [{"agent": "association", "minor": 15}, {"agent": "upstream", "minor": 5}],
        },
    ],
}

TERMS = {
    "payer": digest("ledger of phyle-a"),
    "payer_operator": public("operator of phyle-a"),
    "commons": digest("ledger of our-commons"),
    "commons_operator": public("operator of our-commons"),
    "payer_handle": "phyle-a",
    "commons_handle": "our-commons",
    "share": 100_000,
    "base": "NET",
    "currency": "EUR",
    "random": digest("terms")[:16],
}
ALL_TERMS = TERMS | {
    "share": 1_000_000,
    "base": "GROSS",
    "due_days": 30,
    "notice_days": 90,
    "product": "field-guide",
}
AGREEMENT, OTHER, THIRD = sorted(digest(f"agreement {n}") for n in (1, 2, 3))

# The proof of an entry has another ledger's form; here only the fields count.
PROOF = {
    "envelope": digest("envelope") * 5,
    "leaf": b"\x01" + digest("leaf") * 3 + bytes(16),
    "path": [digest("sibling 0"), digest("sibling 1")],
    "checkpoint": f"subak/{TERMS['payer'].hex()}\n3\nAAAA\n\n— subak/x AAAA\n",
}
REF, LATER, LAST = {"entry": 7, "event": 1}, {"entry": 8}, {"entry": U64, "event": U32}
DUES = [
    {"agreement": AGREEMENT, "number": 1},
    {"agreement": OTHER, "number": 300, "amount": 12_345},
    {"agreement": THIRD, "number": U64, "amount": U64},
]
ITEMS = [{"income": 0, "minor": 1}, {"income": U64, "minor": MAX_MONEY}]
FEE = {"minor": 35, "bearer": "association"}
HANDLE = "abcdefghijklmnopqrstuvwxyz-01239"  # as long as a handle may be
PARTS = [{"agent": "wayan", "quantity": 2_500}, {"agent": HANDLE, "quantity": 10**12}]
BANK = "bank:2026-11-20.SEPA_0042"


def cases():
    """All cases, kind by kind in the order of the schema."""
    ok, malformed = "accepted", "malformed"
    steward = {"agent": "sam", "key": public("sam")}
    genesis = {
        "random": digest("random"),
        "kind": "COMMONS",
        "name": "our-commons",
        "steward": [steward],
        "quorum": 1,
        "clerk_key": public("clerk"),
        "operator_key": public("operator"),
        "equation": SMALL_EQUATION,
    }
    whole_agent = {
        "handle": "trust",
        "kind": "TRUST",
        "key": public("trust"),
        "name": digest("name"),
        "email": digest("email"),
    }
    agents = [
        {"handle": "association", "kind": "ASSOCIATION"},
        {"handle": "water-board", "kind": "AUTHORITY"},
        {"handle": "phyle-a", "kind": "PHYLE"},
        {"handle": "made", "kind": "PERSON"},
        whole_agent,
    ]
    roles = ["MAINTAINER", "TREASURER", "STEWARD"]
    stewards = [steward, {"agent": "mia", "key": public("mia")}]
    whole_genesis = {"sandbox": True, "steward": stewards, "steward_role": roles, "quorum": 2}
    contribute = {
        "reference": "git:0123456789abcdef",
        "kind": "commit",
        "stream": "LOVE",
        "part": PARTS[:1],
    }
    record = {"invoice": {"series": "inv", "number": 1}, "currency": "EUR", "net": 1}
    grant = {"agent": "mia", "role": "MAINTAINER"}
    proposal = [("held_fallback", {"bucket": "all"}), ("role_grant", grant)]
    consents = [{"key": bytes([n]) * 32, "signature": bytes([n]) * 64} for n in range(1, 100)]
    handover = {
        "key": digest("operator"),
        "clerk": digest("clerk"),
        "checkpoint": "x",
        "possession": digest("left") + digest("right"),
        "consent": consents[:1],
        "expires_at": U64,
    }
    many = [{"agent": f"a{n:03}", "minor": n + 1} for n in range(300)]
    spans = [
        {"first": {}, "last": {"event": 1}},
        {"first": REF, "last": LATER},
        {"first": {"entry": 300}, "last": LAST},
    ]
    return [
        ("genesis", "empty", {}, malformed),
        ("genesis", "least", genesis, ok),
        ("genesis", "all", genesis | whole_genesis | {"agent": agents, "equation": EQUATION}, ok),
        ("genesis", "of a fork", genesis | {"parent": PARENT}, ok),
        ("genesis", "of a fork of nothing", genesis | {"parent": {}}, malformed),
        ("genesis", "of a phyle", {k: v for k, v in genesis.items() if k != "equation"} | {"kind": "PHYLE"}, ok),
        ("approve", "empty", {}, malformed),
        ("approve", "of the genesis", {"digest": digest("body")}, ok),
        ("approve", "all", {"entry": U64, "digest": digest("body")}, ok),
        ("propose", "empty", {}, malformed),
        ("propose", "one event", {"event": proposal[:1]}, ok),
        ("propose", "several events", {"event": proposal * 50}, ok),
        ("propose", "a proposal in a proposal", {"event": [("propose", {"event": proposal[:1]})]}, "not-proposable"),
        ("withdraw", "empty", {}, ok),
        ("withdraw", "all", {"entry": 300}, ok),
        ("agent_join", "empty", {}, ok),
        ("agent_join", "a name", {"name": digest("name")}, ok),
        ("agent_join", "all", {"name": digest("name"), "email": digest("email")}, ok),
        ("agent_add", "empty", {}, malformed),
        ("agent_add", "least", {"handle": "x", "kind": "PERSON"}, ok),
        ("agent_add", "all", whole_agent | {"handle": HANDLE}, ok),
        ("agent_admit", "empty", {}, malformed),
        ("agent_admit", "least", {"agent": "-"}, ok),
        ("agent_admit", "longest", {"agent": HANDLE}, ok),
        ("agent_refuse", "empty", {}, malformed),
        ("agent_refuse", "one", {"agent": [HANDLE]}, ok),
        ("agent_refuse", "several", {"agent": ["a", "b", "c"]}, ok),
        ("erase", "empty", {}, malformed),
        ("erase", "one", {"commitment": [digest("name")]}, ok),
        ("erase", "most", {"commitment": [bytes([n + 1]) * 32 for n in range(100)]}, ok),
        ("erase", "too many", {"commitment": [bytes([n + 1]) * 32 for n in range(101)]}, malformed),
        ("erase", "descending", {"commitment": [bytes([2]) * 32, bytes([1]) * 32]}, malformed),
        ("erase", "zeros", {"commitment": [bytes(32)]}, malformed),
        ("agent_claim", "empty", {}, malformed),
        ("agent_claim", "least", {"unclaimed": "git-1"}, ok),
        ("agent_claim", "all", {"unclaimed": "git-1", "evidence": digest("evidence")}, ok),
        ("claim_attest", "empty", {}, malformed),
        ("claim_attest", "least", {"unclaimed": "u", "claimant": "c"}, ok),
        ("claim_attest", "all", {"unclaimed": "git-1", "claimant": HANDLE}, ok),
        ("key_add", "empty", {}, malformed),
        ("key_add", "zeros", {"key": bytes(32), "possession": bytes(64)}, ok),
        ("key_add", "all", {"key": public("second"), "possession": digest("a") + digest("b")}, ok),
        ("key_revoke", "empty", {}, malformed),
        ("key_revoke", "since never", {"key": public("second")}, malformed),
        ("key_revoke", "least", {"key": bytes(32), "since": 1}, ok),
        ("key_revoke", "all", {"key": public("second"), "since": U64}, ok),
        ("key_recover", "empty", {}, malformed),
        ("key_recover", "a short proof", {"agent": "mia", "key": public("second"), "possession": bytes(63)}, malformed),
        ("key_recover", "zeros", {"agent": "x", "key": bytes(32), "possession": bytes(64)}, ok),
        ("key_recover", "all", {"agent": HANDLE, "key": public("second"), "possession": digest("a") + digest("b")}, ok),
        ("effects_confirm", "empty", {}, malformed),
        ("effects_confirm", "everything", {"key": public("second")}, ok),
        ("effects_confirm", "some", {"key": public("second"), "agent": ["a", HANDLE]}, ok),
        ("effects_confirm", "most", {"key": public("second"), "agent": [f"p{n:03}" for n in range(100)]}, ok),
        ("effects_confirm", "too many", {"key": public("second"), "agent": [f"p{n:03}" for n in range(101)]}, malformed),
        ("effects_confirm", "descending", {"key": public("second"), "agent": ["b", "a"]}, malformed),
        ("role_grant", "empty", {}, malformed),
        ("role_grant", "steward", {"agent": "mia", "role": "STEWARD"}, ok),
        ("role_grant", "treasurer", {"agent": "mia", "role": "TREASURER"}, ok),
        ("role_revoke", "empty", {}, malformed),
        ("role_revoke", "steward", {"agent": "mia", "role": "STEWARD"}, ok),
        ("role_revoke", "maintainer", grant, ok),
        ("contribute", "empty", {}, malformed),
        ("contribute", "least", contribute, ok),
        ("contribute", "all", contribute | {"worked_on": U32, "part": PARTS, "evidence": digest("evidence")}, ok),
        ("contribute", "64 parts", contribute | {"stream": "CARE", "part": [{"agent": f"p{n}", "quantity": 2**n % 10**12 + 1} for n in range(64)]}, ok),
        ("validate", "empty", {}, malformed),
        ("validate", "the very first", {"span": [{"first": {}, "last": {}}], "remuneration": "UNPAID"}, ok),
        ("validate", "spans", {"span": spans, "remuneration": "PAID"}, ok),
        ("validate", "quantities", {"span": [{"first": REF, "last": REF}], "remuneration": "UNKNOWN", "quantity": PARTS}, ok),
        ("validate", "a span without ends", {"span": [{}], "remuneration": "PAID"}, malformed),
        ("revise", "empty", {}, malformed),
        ("revise", "the very first", {"contribution": {}}, ok),
        ("revise", "all", {"contribution": LAST, "part": PARTS}, ok),
        ("reject_contribution", "empty", {}, malformed),
        *(
            ("reject_contribution", reason.lower(), {"contribution": place, "reason": reason}, ok)
            for place, reason in (
                ({}, "NOT_DONE"),
                (REF, "DUPLICATE"),
                (LATER, "NOT_USEFUL"),
                (LAST, "WRONG_AGENT"),
                ({"event": 128}, "WITHDRAWN"),
            )
        ),
        ("equation_adopt", "empty", {}, malformed),
        ("equation_adopt", "least", {"equation": SMALL_EQUATION}, ok),
        ("equation_adopt", "all", {"equation": EQUATION}, ok),
        ("equation_adopt", "without weights", {"equation": SMALL_EQUATION | {"bucket": [{"name": "all", "share": 1_000_000, "contributors": {}}]}}, "equation-invalid"),
        ("held_release", "empty", {}, malformed),
        ("held_release", "the first", {"income": [0], "bucket": "care"}, ok),
        ("held_release", "several", {"income": [0, 1, 127, 128, 300, 2**35, U64], "bucket": HANDLE}, ok),
        ("held_fallback", "empty", {}, malformed),
        ("held_fallback", "the first", {"bucket": "care"}, ok),
        ("held_fallback", "all", {"income": U64, "bucket": "care"}, ok),
        ("agreement_offer", "empty", {}, malformed),
        ("agreement_offer", "least", {"terms": TERMS}, ok),
        ("agreement_offer", "all", {"terms": ALL_TERMS}, ok),
        ("agreement_accept", "empty", {}, malformed),
        ("agreement_accept", "an empty proof", {"terms": TERMS | {"base": "PAYOUT"}, "proof": {}}, ok),
        ("agreement_accept", "all", {"terms": ALL_TERMS, "proof": PROOF}, ok),
        ("agreement_stage", "empty", {}, malformed),
        ("agreement_stage", "offered", {"agreement": AGREEMENT, "stage": "OFFERED"}, ok),
        ("agreement_stage", "accepted", {"agreement": OTHER, "stage": "ACCEPTED"}, ok),
        ("agreement_active", "empty", {}, malformed),
        ("agreement_active", "an empty proof", {"agreement": AGREEMENT, "proof": {}}, ok),
        ("agreement_active", "all", {"agreement": AGREEMENT, "proof": PROOF}, ok),
        ("agreement_end", "empty", {}, malformed),
        ("agreement_end", "zeros", {"agreement": bytes(32)}, ok),
        ("fork_copy", "empty", {}, malformed),
        ("fork_copy", "least", {"agent": [{"handle": "x", "kind": "PERSON"}]}, ok),
        ("fork_copy", "all", {"agent": [{"handle": HANDLE, "kind": "PERSON", "key": [public("second")], "revoked": [bytes(32), public("third")], "admitted": True, "alias": "wayan", "alias_since": LAST_TIME}], "work": [FORK_WORK], "next": digest("next")}, ok),
        ("fork_copy", "a date that would wrap", {"agent": [{"handle": "x", "kind": "PERSON", "alias": "wayan", "alias_since": LAST_TIME + 1}]}, malformed),
        ("agreement_unfreeze", "empty", {}, malformed),
        ("agreement_unfreeze", "keeps none", {"agreement": AGREEMENT, "entry": 7}, ok),
        ("agreement_unfreeze", "all", {"agreement": AGREEMENT, "entry": U64, "back_to": U64}, ok),
        ("agreement_end", "all", {"agreement": AGREEMENT}, ok),
        ("income_take", "empty", {}, malformed),
        ("income_take", "an empty proof", {"agreement": AGREEMENT, "proof": {}}, ok),
        ("income_take", "all", {"agreement": AGREEMENT, "proof": PROOF | {"path": [digest(str(n)) for n in range(64)]}}, ok),
        ("income_record", "empty", {}, malformed),
        ("income_record", "least", {"payer": "phyle-a", "amount": {"currency": "EUR", "minor": 1}, "bank": "bank:1"}, ok),
        ("income_record", "all", {"payer": "phyle-a", "amount": {"currency": "JPY", "minor": MAX_MONEY}, "bank": BANK, "note": digest("note")}, ok),
        ("income_record", "an empty amount", {"payer": "phyle-a", "amount": {}, "bank": BANK}, malformed),
        ("settlement_received", "empty", {}, malformed),
        ("settlement_received", "least", {"agreement": AGREEMENT, "minor": 1, "bank": "bank:1"}, ok),
        ("settlement_received", "all", {"agreement": AGREEMENT, "minor": MAX_MONEY, "bank": BANK, "item": ITEMS, "fee": FEE}, ok),
        ("settlement_received", "an empty fee", {"agreement": AGREEMENT, "minor": 1, "bank": BANK, "fee": {}}, "amount-out-of-range"),
        ("write_off", "empty", {}, malformed),
        ("write_off", "the first", {"income": [0]}, ok),
        ("write_off", "several", {"income": list(range(1_000))}, ok),
        ("payout_propose", "empty", {}, "lines-invalid"),
        ("payout_propose", "least", {"currency": "EUR", "line": many[:1]}, ok),
        ("payout_propose", "all", {"currency": "EUR", "line": many, "expires_at": 1_767_225_600_000, "cash_of": HANDLE}, ok),
        ("payout_paid", "empty", {}, "lines-invalid"),
        ("payout_paid", "least", {"agent": ["wayan"], "bank": "bank:1"}, ok),
        ("payout_paid", "all", {"run": 300, "agent": ["made", "wayan"], "bank": BANK, "fee": FEE, "due": DUES}, ok),
        ("payout_paid", "an agreement twice", {"agent": ["wayan"], "bank": BANK, "due": [DUES[0], DUES[0] | {"number": 2}]}, malformed),
        ("payout_failed", "empty", {}, "lines-invalid"),
        ("payout_failed", "least", {"agent": ["wayan"], "reason": "ACCOUNT_CLOSED"}, ok),
        ("payout_failed", "all", {"run": U64, "agent": ["made", "wayan"], "reason": "ACCOUNT_UNKNOWN"}, ok),
        ("payout_returned", "empty", {}, malformed),
        ("payout_returned", "least", {"agent": "wayan", "reason": "REFUSED_BY_BANK", "bank": "bank:1"}, ok),
        ("payout_returned", "all", {"run": 128, "agent": "wayan", "reason": "OTHER", "bank": BANK, "due": DUES}, ok),
        ("revenue_record", "empty", {}, malformed),
        ("revenue_record", "least", record, ok),
        ("revenue_record", "all", record | {"invoice": {"series": "inv-2026", "number": U64, "line": U32}, "product": "field-guide", "net": MAX_MONEY, "tax": MAX_MONEY, "note": digest("note"), "due": DUES}, ok),
        ("invoice_void", "empty", {}, malformed),
        ("invoice_void", "least", {"series": "i", "number": 1}, ok),
        ("invoice_void", "all", {"series": "inv-2026", "number": U64}, ok),
        ("revenue_reverse", "empty", {}, "amount-out-of-range"),
        ("revenue_reverse", "net", record_of(record, net=1, cause="REFUND"), ok),
        ("revenue_reverse", "tax", record_of(record, tax=1, cause="CHARGEBACK"), ok),
        ("revenue_reverse", "both", record_of(record, net=2, tax=1, cause="CREDIT_NOTE"), ok),
        ("revenue_reverse", "all", record_of(record, net=10**14, tax=10**14, cause="BAD_DEBT", note=digest("note"), due=DUES), ok),
        ("settlement_sent", "empty", {}, malformed),
        ("settlement_sent", "least", {"agreement": AGREEMENT, "minor": 1, "bank": "bank:1"}, ok),
        ("settlement_sent", "all", {"agreement": AGREEMENT, "minor": MAX_MONEY, "bank": BANK, "item": ITEMS, "fee": 35}, ok),
        ("state_root", "empty", {}, malformed),
        ("state_root", "of nobody", {"root": digest("root")}, ok),
        ("state_root", "all", {"root": digest("root"), "leaves": U64}, ok),
        ("rules_version", "empty", {}, malformed),
        ("rules_version", "the first", {"version": 1}, malformed),
        ("rules_version", "the second", {"version": 2}, ok),
        ("rules_version", "all", {"version": U32}, ok),
        ("handover", "empty", {}, malformed),
        ("handover", "least", handover, ok),
        ("handover", "all", handover | {"checkpoint": "subak/\n\u2014", "consent": consents}, ok),
        ("handover", "a consent twice", handover | {"consent": consents[:1] * 2}, malformed),
        ("handover", "nobody's", handover | {"consent": []}, malformed),
        ("handover_take", "empty", {}, malformed),
        ("handover_take", "an empty proof", {"ledger": AGREEMENT, "proof": {}}, ok),
        ("handover_take", "all", {"ledger": AGREEMENT, "proof": PROOF}, ok),
    ]


def record_of(record, **fields):
    """A reversal of the invoice of a revenue."""
    return {"invoice": record["invoice"], **fields}


def value_name(enum, number):
    return f"{enum.full_name}.{enum.values_by_number[number].name}"


PARENT = {
    "ledger": digest("parent"),
    "size": U64,
    "root": digest("root"),
    "operator": public("operator"),
    "checkpoint": "subak/1\n",
    "path": [digest("a"), digest("b")],
    "copy": digest("copy"),
}
FORK_WORK = {
    "reference": "git:1",
    "kind": "hours",
    "stream": "CARE",
    "worked_on": U32,
    "rate": U32,
    "claimant": "x",
    "claimed_at": LAST_TIME,
    "part": [
        {
            "agent": "x",
            "quantity": U64,
            "remuneration": "PAID",
            "vote": ["a", "b"],
            "since": LAST_TIME,
            "counted": U64,
            "counted_unpaid": U64,
            "maturing": U64,
            "matures_at": LAST_TIME,
        }
    ],
}


def check_coverage(messages):
    """Every field and every enum value of the schema occurs in `messages`."""
    seen, wanted = set(), set()

    def visit(message):
        for field, value in message.ListFields():
            seen.add(field.full_name)
            values = value if field.is_repeated else [value]
            for one in values:
                if field.message_type:
                    visit(one)
                elif field.enum_type:
                    seen.add(value_name(field.enum_type, one))

    def want(kind):
        for field in kind.fields:
            if field.full_name in wanted:
                continue
            wanted.add(field.full_name)
            if field.message_type:
                want(field.message_type)
            elif field.enum_type:
                wanted.update(value_name(field.enum_type, v.number) for v in field.enum_type.values if v.number)

    for message in messages:
        visit(message)
    want(messages[0].DESCRIPTOR)
    missing = sorted(wanted - seen)
    assert not missing, f"no case has {missing}"
