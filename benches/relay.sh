#!/usr/bin/env bash
# relay.sh EVENTS SIZE [SUBSCRIBERS [FLAGS FOR bench pub AND bench sub ...]]
#
# One broker process, so many subscriber processes (default 1), one publisher process, on loopback. Prints a line of figures for each
# subscriber, then the broker's CPU seconds and peak memory. For instance:
#
#   cargo build --release -p distbus-cli
#   benches/relay.sh 1000000 64 1 --codec msgpack --payload bytes
#   benches/relay.sh 10000 64 1 --rate 2000
set -euo pipefail
program=${DISTBUS:-$(cd "$(dirname "$0")/.." && pwd)/target/release/distbus}
events=$1 size=$2 subscribers=${3:-1}
shift $(($# < 3 ? $# : 3))

folder=$(mktemp -d)
started=()
trap 'kill "${started[@]}" 2>/dev/null || true; rm -rf "$folder"' EXIT

# wait_for FILE TEXT: until the file has a line that begins so, ten seconds at most.
wait_for() {
  for _ in $(seq 200); do
    grep -q "^$2" "$1" 2>/dev/null && return
    sleep 0.05
  done
  echo "no line \"$2\" came" >&2
  exit 1
}

# shellcheck disable=SC2086 # SERVE holds further flags for the broker.
"$program" serve ${SERVE:-} >"$folder/broker" & broker=$!
started+=("$broker")
wait_for "$folder/broker" ready
endpoint=$(sed -n 's/^ready //p' "$folder/broker")
work=(--to "$endpoint" --events "$events" --size "$size" "$@")

waiting=()
for i in $(seq "$subscribers"); do
  "$program" bench sub "${work[@]}" >"$folder/sub$i" & waiting+=($!)
done
started+=("${waiting[@]}")
for i in $(seq "$subscribers"); do wait_for "$folder/sub$i" ready; done
"$program" bench pub "${work[@]}"
wait "${waiting[@]}"

grep -hv '^ready' "$folder"/sub*
awk -v hertz="$(getconf CLK_TCK)" '{printf "broker cpu %.2f s", ($14 + $15) / hertz}' "/proc/$broker/stat"
awk '/VmHWM/ {printf ", peak %d kB\n", $2}' "/proc/$broker/status"
