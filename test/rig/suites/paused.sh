# SPDX-License-Identifier: Apache-2.0
# paused.sh - a restored machine that waits for its START: it does nothing at all until then,
# and then little.
mkdir -p $T/p $T/bare
ln -f $T/snap/state $T/snap/memory $T/bare/ # without the list of pages to be copied
$VMM --dir $T/p --restore $T/bare --disk $T/disk --overlay $T/p/overlay --paused $J >/dev/null 2>&1 &
$R/vmctl $T/p up
sleep 0.5
pid=$($R/vmctl $T/p pid)
turns() {
    cat /proc/$pid/task/*/status | sed -n 's/^.*ctxt_switches:\t//p' | tr '\n' ' '
}
before=$(turns)
sleep 2
check "waiting wakes nobody up" "$before" "$(turns)"
set -- $($R/vmtool memory $pid)
echo "# $*"
at_most "memory of its own, KiB" 1024 "$8"
at_most "guest memory written, KiB" 64 "${10}"
strace -f -p $pid -o $T/trace 2>/dev/null &
w=$!
sleep 1
check start ok "$(vmctl p start)"
check "it answers" pong "$(ask p ping)"
kill $w
wait $w 2>/dev/null
sed '/pong/q' $T/trace | grep -vE 'resumed|restart_syscall' >$T/calls
at_most "system calls from START to answer" 100 "$(wc -l <$T/calls)"
check "a second start is refused" error "$(vmctl p start | cut -d' ' -f1)"
stop p
