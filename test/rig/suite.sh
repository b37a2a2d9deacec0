# SPDX-License-Identifier: Apache-2.0
# suite.sh - what the VMM must do with one kernel (K) and number of vCPUs (C); run by sh inside the
# emulated host, or on any machine with KVM, busybox or not. Files are in $R (default /rig). Prints
# "ok ..." and "not ok ..." lines, figures behind '#'.
R=${R:-/rig} K=${K:-trixie} C=${C:-1} T=${T:-/tmp/vmm}
J=${J:-} # --no-jail for debugging
VMM=$R/corral-vmm
rm -rf $T && mkdir -p $T/a && chmod 755 $T

check() { # NAME WANTED GOT
    if [ "$2" = "$3" ]; then echo "ok $K/$C $1"; else echo "not ok $K/$C $1: wanted '$2', got '$3'"; fi
}
differ() {
    if [ -n "$2" ] && [ "$2" != "$3" ]; then echo "ok $K/$C $1"; else echo "not ok $K/$C $1: '$2'"; fi
}
at_most() { # NAME LIMIT GOT
    if [ -n "$3" ] && [ "$3" -le "$2" ]; then echo "ok $K/$C $1 # $3"; else echo "not ok $K/$C $1: $3 > $2"; fi
}
ask() { # VM LINE
    $R/vmctl $T/$1 ask "$2" 2>/dev/null
}
boot() { # VM [OPTIONS]: from the kernel
    mkdir -p $T/$1
    d=$T/$1
    shift
    $R/vmctl $d spawn $VMM --dir $d --kernel $R/vmlinuz-$K --initrd $R/guest-$K.gz \
        --disk $T/disk --memory 256 --vcpus $C $J "$@"
}
clone() { # VM: from the snapshot
    mkdir -p $T/$1
    d=$T/$1
    shift
    $R/vmctl $d spawn $VMM --dir $d --restore $T/snap --disk $T/disk --overlay $d/overlay $J "$@"
}
refused() { # NAME, part of the message: restoring $T/bad fails with it
    mkdir -p $T/r
    text=$($VMM --dir $T/r --restore $T/bad --disk $T/disk --overlay $T/r/overlay $J 2>&1)
    case $text in
    *"$2"*) echo "ok $K/$C $1" ;;
    *) echo "not ok $K/$C $1: $text" ;;
    esac
}
ended() { # NAME VM COMMAND REASON: the guest ends itself
    $R/vmctl $T/$2 exited >$T/exited &
    w=$!
    sleep 0.3
    $R/vmctl $T/$2 ask "$3" >/dev/null 2>&1 &
    wait $w
    check "$1" "$4" "$(cat $T/exited)"
}

truncate -s 128M $T/disk
$(ls /usr/bin/mke2fs /sbin/mke2fs 2>/dev/null | head -n 1) -q -t ext4 $T/disk
echo "# cold boot: $(boot a)"
check ping pong "$(ask a ping)"
check "cpus online" "$([ $C = 1 ] && echo 0 || echo 0-$((C - 1)))" "$(ask a "cat /sys/devices/system/cpu/online")"
t=$(ask a "sleep 50")
check "sleep on time" 1 $([ "$t" -ge 49 ] && [ "$t" -lt 1000 ] && echo 1 || echo "$t")
check "write" ok "$(ask a "write 30000 7")"
check "read back" 28672 "$(ask a "read 30000")"
check "8 MiB from the guest" 8388608 "$(ask a "flood 8" | wc -c)"
check "8 MiB to the guest" 8388608 "$($R/vmctl $T/a send 8 | head -n 1 | cut -d'#' -f1)"
$R/vmctl $T/a serve 77 >$T/served &
sleep 0.3
check "the guest connects to the host" "hello from the host" "$(ask a "connect 77")"
check "and is heard" "hello from the guest" "$(cat $T/served)"
check "no such host port" "error Connection reset by peer" "$(ask a "connect 78")"
ask a "touch 64" >/dev/null
sleep 3
set -- $($R/vmctl $T/a stats)
check "free memory comes back" 1 $([ "$7" -gt 67108864 ] && echo 1 || echo "$7")

$R/vmctl $T/a ask keep >/dev/null 2>&1 &
sleep 0.5
check pause ok "$($R/vmctl $T/a pause | cut -d' ' -f1)"
echo "# snapshot: $($R/vmctl $T/a snapshot $T/snap)"
echo "# memory file: $(du -k $T/snap/memory | cut -f1) KiB, state $(wc -c <$T/snap/state) bytes"
check resume ok "$($R/vmctl $T/a resume | cut -d' ' -f1)"
check "the origin goes on" pong "$(ask a ping)"
$R/vmctl $T/a stop >/dev/null
sleep 0.5
cp $T/disk $T/disk.origin
for vm in b c; do
    echo "# restore: $(clone $vm)"
done
echo "# restore, recording: $(clone w --record)"
check "the working set is recorded" ok "$($R/vmctl $T/w workset $T/snap | cut -d' ' -f1)"
$R/vmctl $T/w stop >/dev/null
echo "# working set: $(wc -c <$T/snap/workset) bytes"
for vm in x y; do
    echo "# restore with the working set: $(clone $vm)"
    p=$(pidof corral-vmm | tr ' ' '\n' | sort -n | tail -n 1)
    echo "# $(grep -E "^Pss:|^Anonymous|^Private_Dirty" /proc/$p/smaps_rollup | tr -s ' \n' ' ')"
    check "and it is whole" pong "$(ask $vm ping)"
    $R/vmctl $T/$vm stop >/dev/null
done
t=$(ask b "sleep 50")
check "sleep on time after restore" 1 $([ "$t" -ge 49 ] && [ "$t" -lt 1000 ] && echo 1 || echo "$t")
t1=$(ask b ticks)
ask b "sleep 100" >/dev/null
t2=$(ask b ticks)
check "timers run on" 1 $([ $((t2 - t1)) -ge 5 ] && echo 1 || echo $((t2 - t1)))
check "cpus online after restore" "$([ $C = 1 ] && echo 0 || echo 0-$((C - 1)))" "$(ask b "cat /sys/devices/system/cpu/online")"
# Kernels before 5.18 or without the driver leave this to the agent.
[ $K = trixie ] && differ "clones draw different random numbers" "$(ask b rand)" "$(ask c rand)"
check "old connections are dead" "-1" "$(ask b old | cut -d' ' -f1)"
check "the disk came along" 28672 "$(ask b "read 30000")"
ask b "write 30001 9" >/dev/null
check "a clone reads its own write" 36864 "$(ask b "read 30001")"
check "another does not" 0 "$(ask c "read 30001")"
check "nor does the image" 0 "$(cmp $T/disk $T/disk.origin >/dev/null 2>&1; echo $?)"
check "a second snapshot" ok "$($R/vmctl $T/b snapshot $T/snap2 | cut -d' ' -f1)"
check "the clone goes on" pong "$(ask b ping)"
$R/vmctl $T/c stop >/dev/null

# A file system on the overlay, killed without warning.
check "a synced file" ok "$(ask b "file 32")"
pid=$(pidof corral-vmm | tr ' ' '\n' | sort -n | tail -n 1)
kill -9 $pid
sleep 0.5
mkdir -p $T/d
cp $T/b/overlay $T/d/overlay
mkdir -p $T/e
$R/vmctl $T/e spawn $VMM --dir $T/e --kernel $R/vmlinuz-$K --initrd $R/guest-$K.gz --disk $T/disk \
    --overlay $T/d/overlay --memory 256 $J >/dev/null
check "the overlay opens again" pong "$(ask e ping)"
check "and mounts again" ok "$(ask e "file 1")"
ended "power-off" e poweroff "exited 2 the guest powered off"

# Ends.
clone f >/dev/null
ended "reboot" f reboot "exited 3 the guest rebooted"
clone g >/dev/null
$R/vmctl $T/g exited >$T/exited &
w=$!
sleep 0.3
$R/vmctl $T/g ask panic >/dev/null 2>&1 &
wait $w
check "panic" "exited 4 Attempted to kill init! exitcode=0x00000100" "$(cat $T/exited)"

# Figures of a restore, in one process without a jail so that strace sees all of it.
mkdir -p $T/h
strace -f -o $T/trace $VMM --dir $T/h --restore $T/snap --disk $T/disk --overlay $T/h/overlay --no-jail >/dev/null 2>&1 &
$R/vmctl $T/h wait >/dev/null
calls=$(sed '/pong/q' $T/trace | grep -vc resumed)
set -- $($R/vmctl $T/h stats)
at_most "exits to user space from restore to answer" 60 "$1"
at_most "system calls from exec to answer" 200 "$calls"
$R/vmctl $T/h stop >/dev/null

# Bad input.
mkdir -p $T/bad
cp $T/snap/memory $T/snap/state $T/bad/
printf 'X' | dd of=$T/bad/state bs=1 seek=9000 conv=notrunc 2>/dev/null
refused "a flipped byte in the state" "the state file is damaged"
printf '\377' | dd of=$T/bad/state bs=1 seek=8 conv=notrunc 2>/dev/null
refused "another version" "the snapshot has version"
printf 'ELF' >$T/bad/state
refused "no snapshot at all" "no possible size"
cp $T/snap2/state $T/bad/state
refused "state and memory of two snapshots" "belongs to another snapshot"
cp $T/snap/state $T/bad/state
truncate -s 100M $T/bad/memory
refused "memory cut short" "damaged or cut short"
truncate -s 64M $T/small
text=$($VMM --dir $T/r --restore $T/snap --disk $T/small --overlay $T/r/o2 $J 2>&1)
check "another disk" 1 $(echo "$text" | grep -c "not that of the snapshot")
text=$($VMM --dir $T/r --kernel $R/guest-$K.gz --disk $T/disk $J 2>&1)
check "a kernel that is none" 1 $(echo "$text" | grep -c "not a bzImage")
text=$($VMM --dir $T/r --kernel $R/vmlinuz-$K --initrd $T/disk --memory 128 --disk $T/disk $J 2>&1)
check "an initramfs that does not fit" 1 $(echo "$text" | grep -c "does not fit")
sleep 0.5
check "no process is left" "" "$(pidof corral-vmm)"
