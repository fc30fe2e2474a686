#!/usr/bin/env bash
# Three organisations on one machine, as if on three: a phyle, the commons that it earns on, and the
# commons that this one builds on. Each has a process, a database, keys and a certificate of its own,
# and no file of another's. They run the whole cycle: work, revenue, the share that falls due, its way
# to the commons and on to the one upstream, cash, payouts. Then all three are audited over the network,
# and everything is stopped. The exit status is 0 only if every check held.
#
#   examples/federation/run.sh [DIR]     DIR: where to work [default: a new temporary folder, removed
#                                        if all went well]
#   SUBAK=/path/to/subak                 the program [default: built here in release]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ -z "${SUBAK:-}" ]; then
    (cd "$here/../.." && cargo build --locked --release -q -p subak-cli)
    SUBAK=${CARGO_TARGET_DIR:-$here/../../target}/release/subak
fi
SUBAK=$(realpath "$SUBAK")
dir=${1:-}
keep=yes
if [ -z "$dir" ]; then
    dir=$(mktemp -d)
    keep=no
fi
mkdir -p "$dir"
cd "$dir"
# Nothing of whoever runs this is used: neither keys nor settings.
unset "${!SUBAK_@}" 2>/dev/null || true
export HOME=$dir RUST_LOG=${RUST_LOG:-warn}

nodes=()
ended() {
    status=$?
    for node in "${nodes[@]:-}"; do [ -n "$node" ] && kill "$node" 2>/dev/null && wait "$node" 2>/dev/null || true; done
    if [ $status -ne 0 ]; then
        echo "FAILED with status $status; the nodes' logs are in $dir/*/node.log" >&2
    elif [ $keep = no ]; then
        rm -rf "$dir"
    fi
}
trap ended EXIT

say() { printf '\n== %s\n' "$*"; }

# One organisation's own command line: its keys, and the certificates that it was given.
by() {
    local who=$1
    shift
    "$SUBAK" "$@" --home "$dir/$who/home"
}

# The same, at its own node.
at() {
    local who=$1
    shift
    by "$who" "$@" --node "$(cat "$dir/$who/url")" --node-ca "$dir/certificates.pem"
}

# Tries until it holds, for half a minute.
until_holds() {
    local what=$1
    shift
    for _ in $(seq 300); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    echo "it did not come about: $what" >&2
    "$@" >&2 || true
    return 1
}

# Whether what a command prints has this in it.
shows() {
    local expected=$1
    shift
    "$@" | grep -qF -- "$expected"
}

check() {
    local what=$1
    shift
    if "$@"; then echo "ok: $what"; else
        echo "NOT SO: $what" >&2
        return 1
    fi
}

start() {
    local who=$1
    rm -f "$dir/$who/started"
    (cd "$dir/$who" && exec "$SUBAK" serve --db subak.db --home home --listen "$(cat listen 2>/dev/null || echo 127.0.0.1:0)" \
        --tls-cert node.pem --tls-key node.key >started 2>>node.log) &
    nodes+=($!)
    until_holds "$who serves" grep -q https:// "$dir/$who/started"
    grep -o 'https://[0-9.:]*' "$dir/$who/started" | head -1 >"$dir/$who/url"
    # After a restart it is found where it was.
    sed 's#https://##' "$dir/$who/url" >"$dir/$who/listen"
}

say "three organisations, each with keys, a certificate and a database of its own"
for who in phyle commons upstream; do
    mkdir -p "$who/home"
    by "$who" certificate 127.0.0.1 --tls-cert "$who/node.pem" --tls-key "$who/node.key"
done
# Handed over another way than over the network: whom to believe that is spoken to.
cat ./*/node.pem >certificates.pem
by phyle key new tess
for name in ana ben cai; do by commons key new "$name"; done
by upstream key new uma
by upstream key new vic
by phyle phyle open sample-phyle --steward tess --commons sample-commons --db phyle/subak.db
by commons commons open sample-commons --steward ana --equation "$here/equation.toml" \
    --upstream sample-upstream --phyle sample-phyle --db commons/subak.db
by upstream commons open sample-upstream --steward uma --db upstream/subak.db
by upstream agent add sample-commons --kind commons --as uma --db upstream/subak.db
for who in phyle commons upstream; do start "$who"; done

say "each follows those with whom it has to do"
by phyle peer add "$(cat commons/url)" --db phyle/subak.db --node-ca certificates.pem
by commons peer add "$(cat phyle/url)" --db commons/subak.db --node-ca certificates.pem
by commons peer add "$(cat upstream/url)" --db commons/subak.db --node-ca certificates.pem
by upstream peer add "$(cat commons/url)" --db upstream/subak.db --node-ca certificates.pem

say "work: two people at the commons, one upstream"
at commons contribute 3 --kind hours --as ben
at commons contribute 1 --kind hours --as cai
at commons agent admit ben --as ana
at commons agent admit cai --as ana
at commons validate --all-pending --remuneration unpaid --as ana
at upstream contribute 2 --kind hours --as vic
at upstream agent admit vic --as uma
at upstream validate --all-pending --remuneration unpaid --as uma

say "agreements: the stewards of both sides decide; what was decided, the nodes tell each other"
digest() { grep -o '"agreement":"[0-9a-f]*"' | head -1 | cut -d'"' -f4; }
share=$(at phyle agreement offer --commons-ledger sample-commons --share "10 %" --currency EUR \
    --other-node "$(cat commons/url)" --as tess --json | digest)
at commons agreement accept "$share" --other-node "$(cat phyle/url)" --as ana
onward=$(at commons agreement offer --commons-ledger sample-upstream --currency EUR \
    --other-node "$(cat upstream/url)" --as ana --ledger sample-commons --json | digest)
at upstream agreement accept "$onward" --other-node "$(cat commons/url)" --as uma
until_holds "the phyle's agreement is active" shows "active" at phyle agreement list --ledger sample-phyle
until_holds "the commons' agreement with the one upstream is active" \
    shows '"stage":"active"' at commons agreement list --ledger sample-commons --json

say "the phyle earns 12,000.00 EUR; 10 % of it are the commons', without anybody's doing"
at phyle revenue record a/1 --net "12000.00 EUR" --tax "2400.00 EUR" --as tess --ledger sample-phyle
until_holds "the income at the commons" shows "1,200.00" at commons income list --ledger sample-commons
at commons income list --ledger sample-commons
check "ben's three hours of four have accrued 720.00 of 960.00" \
    shows "720.00" at commons balance ben --ledger sample-commons

say "the cash: the phyle sends it, the treasurer of the commons sees it arrive"
at phyle settle sent "$share" --amount "1200.00 EUR" --bank "our transfer 77" --as tess --ledger sample-phyle
at commons settle received "$share" --amount "1200.00 EUR" --bank "statement 4" --as ana --ledger sample-commons

say "the commons pays: to its people, and to the commons that it builds on"
at commons payout propose --all --as ana --ledger sample-commons
run=$(at commons payout list --ledger sample-commons --json | grep -o '"run":[0-9]*' | head -1 | cut -d: -f2)
at commons payout paid "$run" --bank "batch 9" --as ana --ledger sample-commons
until_holds "the payout is income upstream" shows "240.00" at upstream income list --ledger sample-upstream
at upstream settle received "$onward" --amount "240.00 EUR" --bank "statement 1" --as uma --ledger sample-upstream
check "vic has 240.00 upstream" shows "240.00" at upstream balance vic --ledger sample-upstream

say "a refund goes the same way back"
at phyle revenue reverse a/1 --net "2000.00 EUR" --cause refund --as tess --ledger sample-phyle
until_holds "the commons has taken it over" \
    shows '"reversed":"200.00"' at commons income list --ledger sample-commons --json

say "the upstream commons' node is away for a while; the others go on"
kill "${nodes[2]}"
wait "${nodes[2]}" 2>/dev/null || true
at phyle revenue record a/2 --net "5000.00 EUR" --as tess --ledger sample-phyle
until_holds "the second income at the commons" shows "500.00" at commons income list --ledger sample-commons
start upstream
until_holds "the copy upstream is whole again" shows "whole" at upstream peer list

say "who routes how much to whom"
by commons network "$(cat commons/url)" --node-ca certificates.pem

say "audited from outside, over the network, believing nobody"
audited() {
    by auditor audit "$(cat phyle/url)" "$(cat commons/url)" "$(cat upstream/url)" \
        --node-ca certificates.pem --no-memory "$@"
}
audited
check "the audit is sound" shows '"verdict":"sound"' audited --json
check "both sides of each agreement add up to the cent" shows '"balanced":true' audited --json
echo
echo "every check held"
