#!/bin/sh
# What somebody does with the C programs, in a folder with their dafka.cfg: a cluster, records through it, everything
# stopped, the records again. The test says by which names the programs are called.
#
# shellcheck disable=SC2153 # the names of the programs come from outside
set -eu

# Each is a program, and arguments perhaps.
: "${TOWERD:?}" "${STORED:?}" "${PRODUCER:?}" "${CONSUMER:?}"

fail() { echo "$*" >&2; exit 1; }

# until_true CONDITION...: C users sleep; this waits for what they sleep for.
until_true() {
	tries=0
	until "$@"; do
		tries=$((tries + 1))
		[ $tries -lt 600 ] || fail "waited in vain: $*"
		sleep 0.1
	done
}

has_lines() { [ "$(wc -l <"$2")" -ge "$1" ]; }

# stop PID...: each must end with status 0.
stop() {
	for pid; do
		kill -TERM "$pid"
		wait "$pid" || fail "$pid ended with status $?"
	done
}

trap 'kill $(jobs -p) 2>/dev/null || true' EXIT

$TOWERD --verbose -c dafka.cfg >tower.log 2>&1 &
tower=$!
until_true grep -q 'tower is running' tower.log
$STORED -c dafka.cfg --verbose >store.log 2>&1 &
store=$!
until_true grep -q 'running' store.log
$CONSUMER hello --from-beginning -c dafka.cfg >live 2>/dev/null &
consumer=$!

# An empty record among them, and no newline at the end.
{ seq -f 'record %g' 1000; echo; printf 'the last, without a newline'; } >records
$PRODUCER -c dafka.cfg hello <records >producer.log 2>&1
until_true has_lines 1002 live

if [ -n "${PERF_STORE:-}" ]; then
	$PERF_CONSUMER --verbose -c dafka.cfg 20000 100 >perf_consumer.log 2>/dev/null &
	perf_consumer=$!
	until_true grep -q 'connected to tower' perf_consumer.log
	$PERF_STORE 20000 100 -c dafka.cfg >perf_store.log
	wait $perf_consumer
fi
stop $consumer $store $tower

# Another day.
$TOWERD -c dafka.cfg >quiet_tower.log &
tower=$!
$STORED -c dafka.cfg >quiet_store.log &
store=$!
$CONSUMER -c dafka.cfg --from-beginning hello >replayed 2>/dev/null &
consumer=$!
until_true has_lines 1002 replayed
stop $consumer $store $tower
