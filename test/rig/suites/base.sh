# SPDX-License-Identifier: Apache-2.0
# base.sh - boot, devices, snapshot, restore, ends, and what a restore costs.
mke2fs=$(ls /usr/bin/mke2fs /sbin/mke2fs 2>/dev/null | head -n 1)
truncate -s 128M $T/disk
$mke2fs -q -t ext4 $T/disk

echo "# cold boot: $(boot a)"
check ping pong "$(ask a ping)"
check "cpus online" "$(cpus)" "$(ask a "cat /sys/devices/system/cpu/online")"
t=$(ask a "sleep 50")
check "sleep on time" 1 $([ "$t" -ge 49 ] && [ "$t" -lt 1000 ] && echo 1 || echo "$t")
check "write" ok "$(ask a "write 30000 7")"
check "read back" 28672 "$(ask a "read 30000")"
check "8 MiB from the guest" 8388608 "$(ask a "flood 8" | wc -c)"
check "8 MiB to the guest" 8388608 "$(vmctl a send 8)"
$R/vmctl $T/a serve 77 >$T/served &
sleep 0.3
check "the guest connects to the host" "hello from the host" "$(ask a "connect 77")"
check "and is heard" "hello from the guest" "$(cat $T/served)"
check "no such host port" "error Connection reset by peer" "$(ask a "connect 78")"
ask a "touch 64" >/dev/null
sleep 3
set -- $($R/vmctl $T/a stats)
check "free memory comes back" 1 $([ "$7" -gt 67108864 ] && echo 1 || echo "$7")

# The same kernel, uncompressed.
if [ -e $R/vmlinux-$K ]; then
    echo "# cold boot, uncompressed: $(boot n --kernel $R/vmlinux-$K --overlay $T/n/overlay)"
    check "an uncompressed kernel" pong "$(ask n ping)"
    check "it has all cpus" "$(cpus)" "$(ask n "cat /sys/devices/system/cpu/online")"
    check "and ends" "exited 2 the guest powered off" \
        "$($R/vmctl $T/n ends poweroff | head -n 1)"
fi

# A snapshot with a connection open.
$R/vmctl $T/a ask keep >/dev/null 2>&1 &
sleep 0.5
port=$($R/vmctl $T/a port)
before=$(ask a clocks | cut -d' ' -f2)
check pause ok "$(vmctl a pause)"
echo "# snapshot: $($R/vmctl $T/a snapshot $T/snap)"
echo "# memory file: $(du -k $T/snap/memory | cut -f1) KiB, state $(wc -c <$T/snap/state) bytes"
sleep 5
check resume ok "$(vmctl a resume)"
check "the origin goes on" pong "$(ask a ping)"
took=$(($(ask a clocks | cut -d' ' -f2) - before))
check "a pause takes no time" 1 $([ $took -ge 0 ] && [ $took -lt 5000 ] && echo 1 || echo $took)
t=$(ask a "sleep 50")
check "sleep on time after a pause" 1 $([ "$t" -ge 49 ] && [ "$t" -lt 1000 ] && echo 1 || echo "$t")
stop a
cp $T/disk $T/disk.origin
for vm in b c; do
    echo "# restore: $(clone $vm)"
    at_most "connections are not taken for those of the origin" "$($R/vmctl $T/$vm port)" "$port"
done
echo "# restore, recording: $(clone w --record)"
check "the working set is recorded" ok "$(vmctl w workset $T/snap)"
stop w
echo "# working set: $(wc -c <$T/snap/workset) bytes"
echo "# restore with the working set: $(clone x)"
echo "# $($R/vmtool memory $($R/vmctl $T/x pid)) KiB"
check "and it is whole" pong "$(ask x ping)"
stop x
t=$(ask b "sleep 50")
check "sleep on time after restore" 1 $([ "$t" -ge 49 ] && [ "$t" -lt 1000 ] && echo 1 || echo "$t")
t1=$(ask b ticks)
ask b "sleep 100" >/dev/null
t2=$(ask b ticks)
check "timers run on" 1 $([ $((t2 - t1)) -ge 5 ] && echo 1 || echo $((t2 - t1)))
check "cpus online after restore" "$(cpus)" "$(ask b "cat /sys/devices/system/cpu/online")"
# Kernels before 5.18 or without the driver leave this to the agent.
[ $K = trixie ] && differ "clones draw different random numbers" "$(ask b rand)" "$(ask c rand)"
check "old connections are dead" "-1" "$(ask b old | cut -d' ' -f1)"
check "the disk came along" 28672 "$(ask b "read 30000")"
ask b "write 30001 9" >/dev/null
ask c "write 30001 5" >/dev/null
check "a clone reads its own write" 36864 "$(ask b "read 30001")"
check "another its own" 20480 "$(ask c "read 30001")"
check "the image has neither" 0 "$(cmp $T/disk $T/disk.origin >/dev/null 2>&1; echo $?)"
stop c

# A snapshot of a clone, with a disk request under way.
check "a reader begins" ok "$(ask b busy)"
n=0
until [ "$(ask b reads)" -gt 0 ] || [ $n = 50 ]; do n=$((n + 1)); done
check "a second snapshot" ok "$(vmctl b snapshot $T/snap2)"
pong=$(ask b ping)
check "the clone goes on" pong "$pong"
[ "$pong" = pong ] || state_of b
stop b
mkdir -p $T/r
$R/vmctl $T/r spawn $VMM --dir $T/r --restore $T/snap2 --disk $T/disk --overlay $T/r/overlay $J \
    >/dev/null
t1=$(ask r reads)
ask r "sleep 100" >/dev/null
t2=$(ask r reads)
check "the reader goes on" 1 "$([ "$t1" -gt 0 ] && [ "$t2" -gt "$t1" ] && echo 1 || echo "$t1 $t2")"
stop r

# Ends. Each is known within a second.
ended() { # NAME COMMAND REASON
    clone e >/dev/null
    set -- "$1" "$3" "$($R/vmctl $T/e ends "$2")"
    check "$1" "$2" "$(echo "$3" | head -n 1)"
    at_most "$1 is told within a second" $SECOND "$(echo "$3" | tail -n 1)"
    rm -f $T/e/overlay
}
ended "power-off" poweroff "exited 2 the guest powered off"
ended "reboot" reboot "exited 3 the guest rebooted"
ended "panic" panic "exited 4 Attempted to kill init! exitcode=0x00000100"
ended "stop" "" "exited 1 stopped"

# Figures of a restore, in one process without a jail so that strace sees all of it.
mkdir -p $T/h
strace -f -o $T/trace $VMM --dir $T/h --restore $T/snap --disk $T/disk --overlay $T/h/overlay \
    --no-jail >/dev/null 2>&1 &
$R/vmctl $T/h wait >/dev/null
sed '/pong/q' $T/trace | grep -v resumed >$T/calls
set -- $($R/vmctl $T/h stats)
at_most "exits to user space from restore to answer" 60 "$1"
# Each processor has its own; the budget is that of an ordinary sandbox.
[ $C -gt 2 ] || at_most "system calls from exec to answer" 200 "$(wc -l <$T/calls)"
stop h
