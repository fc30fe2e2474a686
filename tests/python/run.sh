#!/usr/bin/env bash
# The example client against a real node: opens a sandbox commons, serves it, lets
# client.py claim work there, rebuilds its ledgers from the tiles that it serves over HTTP, stops
# it, audits what it leaves behind, and has its receipts verified by pymerkle, and the one in
# docs/FORMAT.md.
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
"$subak" --db "$db" commons open many --steward ana
operator=$("$subak" --db "$db" --ledger our-commons --json commons show | "$python" -c 'import json, sys; print(json.load(sys.stdin)["data"]["operator_key"])')

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
"$subak" --node "$url" --ledger our-commons --as ana agent admit "$newcomer"
"$subak" --node "$url" --ledger our-commons --as ana validate --all-pending --remuneration unpaid
"$subak" --node "$url" --ledger our-commons --as ana income record --payer our-phyle --amount "1000.00 EUR" --bank TRANSFER-1
claim
grep -q "^ *$newcomer: accrued 100000, " "$folder/client.txt" || { echo "the claim has not earned the income" >&2; exit 1; }

"$python" tests/python/liar.py --node "$url" --ledger our-commons

# Its files, and those of a ledger that fills more than one tile.
field() {
    "$python" -c 'import json, sys; print(json.load(sys.stdin)["data"][sys.argv[1]])' "$1"
}
tiles() {
    local shown
    shown=$("$subak" --node "$url" --ledger "$1" --json commons show)
    "$python" tests/python/tiles.py --url "$url" --at-least "$2" \
        --ledger "$(field id <<<"$shown")" --operator "$(field operator_key <<<"$shown")"
}
git init --quiet "$folder/repository"
for ((commit = 1; commit <= 300; commit++)); do
    printf 'commit refs/heads/work\ncommitter Ana <ana@example.org> %d +0000\ndata 4\nwork\n' "$((1750000000 + commit))"
done | git -C "$folder/repository" fast-import --quiet
"$subak" --node "$url" --ledger many --as ana import git "$folder/repository" --revision work --batch 1
tiles our-commons 5
tiles many 300

kill -TERM "$node"
wait "$node" || { echo "the node ended with status $?" >&2; exit 1; }
node=
"$subak" audit "$db"

# Each entry's receipt, judged by other people's software.
size=$("$subak" --db "$db" --ledger our-commons --json commons show | "$python" -c 'import json, sys; print(json.load(sys.stdin)["data"]["size"])')
for ((entry = 0; entry < size; entry++)); do
    "$subak" --db "$db" --ledger our-commons --json receipt get "$entry" --out "$folder/$entry.tlog-proof" >/dev/null
done
"$python" tests/python/receipt.py --operator "$operator" "$folder"/*.tlog-proof

# The receipt that the format's document prints, by the keys that it names.
# The blank lines before the next section are none of it: "$(…)" leaves them out.
printed=$(sed -n '/^### Receipt of entry 1$/,/^### [^R]/p' docs/FORMAT.md | sed -n '/^    c2sp/,$ s/^    //p; /^$/p' |
    sed -n '/^c2sp/,$p')
printf '%s\n' "$printed" >"$folder/printed.tlog-proof"
named() {
    grep -o -m 1 "^ *$1[^ ]*+[0-9a-f]\{8\}+[^ ]*" docs/FORMAT.md | tr -d ' '
}
"$python" tests/python/receipt.py --alone --operator "$(named subak/)" \
    --witness "$(named witness.example/)" "$folder/printed.tlog-proof"
