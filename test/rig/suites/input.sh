# SPDX-License-Identifier: Apache-2.0
# input.sh - files that are not what they should be: a message that says so, and status 1.
mkdir -p $T/bad $T/r
refused() { # NAME, part of the message, OPTIONS
    name=$1 part=$2
    shift 2
    text=$($VMM --dir $T/r "$@" $J 2>&1)
    set -- $? "$text"
    [ $1 = 1 ] || set -- $1 "status $1 $2"
    has "$name" "$part" "$2"
}
bad() { # NAME, part of the message: restoring $T/bad
    refused "$1" "$2" --restore $T/bad --disk $T/disk --overlay $T/r/overlay
}
patch() { # FILE OFFSET BYTES (for printf)
    printf "$3" | dd of=$1 bs=1 seek=$2 conv=notrunc 2>/dev/null
}
fresh() {
    cp $T/snap/state $T/bad/state
    rm -f $T/bad/memory
    ln $T/snap/memory $T/bad/memory
}
fresh
size=$(wc -c <$T/bad/state)
for at in 12 33 50 64 71 72 $((size / 3)) $((size / 2)) $((size - 1)); do
    fresh
    old=$(dd if=$T/bad/state bs=1 skip=$at count=1 2>/dev/null | od -An -tu1 | tr -d ' ')
    patch $T/bad/state $at "\\$(printf %03o $((old ^ 16)))"
    bad "a flipped bit in byte $at of the state" "the state file is damaged"
done
fresh
patch $T/bad/state 8 '\377'
bad "another version" "the snapshot has version"
fresh
truncate -s $((size - 1)) $T/bad/state
bad "a state cut short" "the state file is damaged"
printf 'ELF' >$T/bad/state
bad "no snapshot at all" "no possible size"
: >$T/bad/state
bad "an empty state" "the state file"
cp $T/snap2/state $T/bad/state
bad "state and memory of two snapshots" "belongs to another snapshot"
fresh
rm $T/bad/memory
pages=$(($(wc -c <$T/snap/memory) / 4096))
dd if=$T/snap/memory of=$T/bad/memory bs=4096 skip=$((pages - 1)) seek=$((pages - 1)) count=1 \
    2>/dev/null
bad "a memory file that was written to" "written to after the snapshot"
fresh
rm $T/bad/memory
truncate -s 100M $T/bad/memory
bad "memory cut short" "damaged or cut short"
rm $T/bad/memory
bad "no memory" "memory cannot be opened"
fresh
# The fingerprint of the processor's features, and a header that is whole again.
$R/vmtool reseal $T/bad/state 12 ||
    echo "not ok $K/$C the header cannot be made again"
bad "a snapshot of another CPU" "taken on another CPU"
truncate -s 64M $T/small
refused "a smaller disk" "is not that of the snapshot" \
    --restore $T/snap --disk $T/small --overlay $T/r/o2
cp $T/disk $T/other
patch $T/other 1100 'another file system'
rm -f $T/r/overlay
clone o >/dev/null
refused "an overlay in use" "used by another VM" \
    --restore $T/snap --disk $T/disk --overlay $T/o/overlay
$R/vmctl $T/o stop >/dev/null
sleep 0.3
refused "an overlay of another image" "belongs to another disk image" \
    --restore $T/snap --disk $T/other --overlay $T/o/overlay
# One of another moment, or of another snapshot.
refused "another snapshot's overlay" "is not that of the snapshot" \
    --restore $T/snap --disk $T/disk --overlay $T/snap2/overlay
rm -f $T/o/overlay
$R/vmctl $T/o spawn $VMM --dir $T/o --restore $T/snap2 --disk $T/disk --overlay $T/o/overlay $J >/dev/null
check "a snapshot with its overlay" ok "$(ask o "write 30001 3")"
$R/vmctl $T/o stop >/dev/null
sleep 0.3
refused "an overlay that was written to since" "is not that of the snapshot" \
    --restore $T/snap2 --disk $T/disk --overlay $T/o/overlay
rm -rf $T/other $T/o
printf 'not an overlay' >$T/r/o3
refused "no overlay at all" "overlay is damaged" --restore $T/snap --disk $T/disk --overlay $T/r/o3
refused "a kernel that is none" "not a bzImage" --kernel $R/guest-$K.gz --disk $T/disk
refused "an empty kernel" "cannot be read" --kernel /dev/null --disk $T/disk
head -c 1000000 $R/vmlinuz-$K >$T/r/short
refused "an initramfs that does not fit" "does not fit" \
    --kernel $R/vmlinuz-$K --initrd $T/disk --memory 128 --disk $T/disk
refused "a kernel that does not fit" "does not fit" --kernel $R/vmlinuz-$K --memory 32 --disk $T/disk
refused "too little memory" "memory cannot be had" --kernel $R/vmlinuz-$K --memory 1 --disk $T/disk
refused "a command line that is too long" "too long" --kernel $R/vmlinuz-$K --disk $T/disk \
    --cmdline "$(head -c 3000 /dev/zero | tr '\0' x)"
has "root without a control group" "has to name a --cgroup" \
    "$($VMM --dir $T/r --kernel $R/vmlinuz-$K --disk $T/disk 2>&1)"
refused "no disk" "cannot be opened" --kernel $R/vmlinuz-$K --disk $T/none
rm -rf $T/bad $T/r $T/small
