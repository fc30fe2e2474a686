#!/usr/bin/env bash
# The example client against a real node: opens a sandbox commons, serves it, lets
# client.py claim work there, stops the node, audits what it leaves behind, and has its
# receipts verified by pymerkle.
#
#   tests/python/run.sh [PATH OF subak]
#
# Without a path it builds and uses the debug binary. PYTHON may name an interpreter that
# has requirements.txt installed; else one is made in target/python-venv.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PYTHONDONTWRITEBYTECODE=1

target=${CARGO_TARGET_DIR:-$PWD/target}
if [ $# -gt 0 ]; then
    subak=$(realpath "$1")
else
    cargo build --quiet -p subak-cli
    subak=$target/debug/subak
fi
python=${PYTHON:-$(tests/python/venv.sh)}

folder=$(mktemp -d)
node=
finish() {
    status=$?
    if [ -n "$node" ]; then
        kill "$node" 2>/dev/null || true
        wait "$node" 2>/dev/null || true
    fi
    [ "$status" -eq 0 ] || { echo "--- the node's log"; cat "$folder/node.log" 2>/dev/null || true; }
    rm -rf "$folder"
    exit "$status"
}
trap finish EXIT

# Nothing of the person's own configuration takes part.
unset SUBAK_DB SUBAK_NODE SUBAK_LEDGER SUBAK_AS SUBAK_KEY SUBAK_PASSPHRASE SUBAK_PASSPHRASE_FILE
export SUBAK_HOME=$folder/home
db=$folder/subak.db

"$subak" --db "$db" key new ana
"$subak" --db "$db" commons open our-commons --steward ana --phyle our-phyle --sandbox
operator=$("$subak" --db "$db" --json commons show | "$python" -c 'import json, sys; print(json.load(sys.stdin)["data"]["operator_key"])')

# The port is the system's choice; the node prints its URL once it listens.
"$subak" --db "$db" --json serve --listen 127.0.0.1:0 >"$folder/serve.json" 2>"$folder/node.log" &
node=$!
for _ in $(seq 300); do
    [ -s "$folder/serve.json" ] && break
    kill -0 "$node" 2>/dev/null || break
    sleep 0.1
done
url=$("$python" -c 'import json, sys; print(json.load(sys.stdin)["data"]["url"])' <"$folder/serve.json")

claim() {
    "$python" tests/python/client.py --node "$url" --ledger our-commons --operator "$operator" | tee "$folder/client.txt"
}

claim
# What the newcomer has claimed is validated, money comes, and it is theirs.
newcomer=$(sed -n 's/^recorded .* by \(py-[0-9a-f]*\),.*/\1/p' "$folder/client.txt")
"$subak" --node "$url" --as ana agent admit "$newcomer"
"$subak" --node "$url" --as ana validate --all-pending --remuneration unpaid
"$subak" --node "$url" --as ana income record --payer our-phyle --amount "1000.00 EUR" --bank TRANSFER-1
claim
grep -q "^ *$newcomer: accrued 100000, " "$folder/client.txt" || { echo "the claim has not earned the income" >&2; exit 1; }

"$python" tests/python/liar.py --node "$url" --ledger our-commons

kill -TERM "$node"
wait "$node" || { echo "the node ended with status $?" >&2; exit 1; }
node=
"$subak" audit "$db"

# Each entry's receipt, judged by other people's software.
size=$("$subak" --db "$db" --json commons show | "$python" -c 'import json, sys; print(json.load(sys.stdin)["data"]["size"])')
for ((entry = 0; entry < size; entry++)); do
    "$subak" --db "$db" --json receipt get "$entry" --out "$folder/$entry.tlog-proof" >/dev/null
done
"$python" tests/python/receipt.py --operator "$operator" "$folder"/*.tlog-proof
