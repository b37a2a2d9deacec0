# SPDX-License-Identifier: Apache-2.0
# disk.sh - what a guest synced is there after its VMM was killed, and no moment of a kill leaves
# more behind than a journal to be replayed.
MIB=${MIB:-48}
killed() { # VM: without warning
    kill -9 $($R/vmctl $T/$1 pid)
    sleep 0.3
}
# The disk as other programs see it. Replaying the journal may be needed, nothing else.
sound() { # NAME VM
    $R/cowdump $T/disk $T/$2/overlay $T/whole 2>&1
    e2fsck -p $T/whole >$T/fsck 2>&1
    status=$?
    check "$1: a replay of the journal is enough" yes \
        "$([ $status -le 1 ] && echo yes || echo "$status: $(tail -n 3 $T/fsck)")"
    check "$1: clean" 0 "$(e2fsck -fn $T/whole >$T/fsck 2>&1; echo $?)"
    rm -f $T/whole
}
clone d >/dev/null
check "a synced file of $MIB MiB" ok "$(ask d "file $MIB")"
killed d
sound "killed after a sync" d
mkdir -p $T/v
$R/vmctl $T/v spawn $VMM --dir $T/v --kernel $R/vmlinuz-$K --initrd $R/guest-$K.gz \
    --disk $T/disk --overlay $T/d/overlay --memory 256 --vcpus $C $J >/dev/null
check "another machine reads the file" ok "$(ask v "verify $MIB")"
before=$(du -k $T/d/overlay | cut -f1)
check "deleting and trimming" ok "$(ask v trim)"
at_most "the overlay shrinks, KiB" $((before - MIB * 900)) "$(du -k $T/d/overlay | cut -f1)"
$R/vmctl $T/v stop >/dev/null
rm -rf $T/d $T/v

for pause in 0.3 0.7 1.1; do
    clone d >/dev/null
    $R/vmctl $T/d ask "file $MIB" >/dev/null 2>&1 &
    sleep $pause
    killed d
    sound "killed after $pause s of writing" d
    rm -rf $T/d
done
