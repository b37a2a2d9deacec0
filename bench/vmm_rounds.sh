# SPDX-License-Identifier: Apache-2.0
# vmm_rounds.sh - the measuring part of bench/vmm; run by sh in the emulated host or on a machine with
# KVM. Rounds alternate between the peers; medians and their ratios at the end.
R=${R:-/rig} T=${T:-/tmp/bench} K=trixie C=1 J=
QEMU=${QEMU:-qemu-system-x86_64} FIRMWARE=${FIRMWARE:-/usr/share/qemu}
ROUNDS=${ROUNDS:-5} CLONES=${CLONES:-30}
rm -rf $T && mkdir -p $T && chmod 755 $T
. $R/suite_lib.sh
line="console=ttyS0 quiet panic=-1 reboot=t pci=off cryptomgr.notests 8250.nr_uarts=1 i8042.noprobe \
audit=0 tsc=reliable"
truncate -s 128M $T/disk

peer() { # milliseconds to the first line of init
    $R/vmtool until "init: ready" $QEMU -L $FIRMWARE -M microvm,x-option-roms=off,rtc=off -enable-kvm \
        -cpu host -m 256 -smp 1 -nodefaults -no-user-config -nographic -no-reboot -serial stdio \
        -kernel $R/vmlinuz-$K -initrd $R/guest-$K.gz -append "$line"
}
milliseconds() {
    sed -n 's/^answered after \([0-9.]*\) ms$/\1/p'
}
middle() { # FILE
    sort -n $1 | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}
row() { # NAME OURS PEER BUDGET
    awk -v name="$1" -v ours="$2" -v peer="$3" -v budget="$4" 'BEGIN {
        ratio = ours / peer
        printf "%-34s %10.1f %10.1f %8.4f  <= %-6s %s\n", name, ours, peer, ratio, budget,
            ratio <= budget ? "met" : "MISSED" }'
}

boot a >/dev/null
$R/vmctl $T/a snapshot $T/snap >/dev/null
stop a
clone w --record >/dev/null
$R/vmctl $T/w workset $T/snap >/dev/null
stop w
peer >/dev/null # once for the page cache
for round in $(seq $ROUNDS); do
    peer >>$T/qemu
    boot b --overlay $T/b.overlay | milliseconds >>$T/boot
    stop b
    rm -f $T/b.overlay
    for again in 1 2 3; do
        clone c | milliseconds >>$T/restore
        stop c
    done
done
echo "rounds: qemu $(tr '\n' ' ' <$T/qemu)"
echo "rounds: boot $(tr '\n' ' ' <$T/boot)"
echo "rounds: restore $(tr '\n' ' ' <$T/restore)"
qemu=$(middle $T/qemu)
printf "%-34s %10s %10s %8s  %s\n" "milliseconds, medians" ours "microvm" ratio budget
row "own cold boot to vsock answer" "$(middle $T/boot)" $qemu 0.5
row "restore to vsock answer" "$(middle $T/restore)" $qemu 0.02

clone c >/dev/null
set -- $($R/vmctl $T/c stats)
echo "exits to user space, restore to answer: $1 (<= 60)"
stop c
[ "$CLONES" = 0 ] || . $R/suite_many.sh
rm -rf $T
