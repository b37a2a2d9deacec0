# SPDX-License-Identifier: Apache-2.0
# vmm_step.sh STEP - one step of bench/vmm; run by sh in the emulated host or on a machine with KVM.
# Steps that are measured print their milliseconds.
R=${R:-/rig} T=${T:-/tmp/bench} K=trixie C=1 J=
# QEMU, its libraries and its firmware are in $PEER.
QEMU="$PEER/ld-linux-x86-64.so.2 --library-path $PEER $PEER/qemu-system-x86_64"
line="console=ttyS0 quiet panic=-1 reboot=t pci=off cryptomgr.notests 8250.nr_uarts=1 i8042.noprobe \
audit=0 tsc=reliable"
. $R/lib.sh
milliseconds() {
    sed -n 's/^answered after \([0-9.]*\) ms$/\1/p'
}
case $1 in
prepare)
    rm -rf $T && mkdir -p $T && chmod 755 $T
    truncate -s 128M $T/disk
    boot a --overlay $T/a/overlay >/dev/null
    $R/vmctl $T/a snapshot $T/snap >/dev/null
    stop a
    clone w --record >/dev/null
    $R/vmctl $T/w workset $T/snap >/dev/null
    stop w
    ;;
# What is around a restore, and no VM.
nothing) mkdir -p $T/m && $R/vmctl $T/m pid | milliseconds ;;
microvm)
    $R/vmtool until "init: ready" $QEMU -L $PEER -M microvm,rtc=off \
        -enable-kvm -cpu host -m 256 -smp 1 -nodefaults -no-user-config -nographic -no-reboot \
        -serial stdio -kernel $R/vmlinuz-$K -initrd $R/guest-$K.gz -append "$line"
    ;;
boot) boot m --overlay $T/m/overlay --cmdline "$line" | milliseconds ;;
vmlinux)
    boot m --kernel $R/vmlinux-$K --overlay $T/m/overlay --cmdline "$line" | milliseconds
    ;;
restore) clone m | milliseconds ;;
# In one process without a jail, so that strace sees all of it.
figures)
    mkdir -p $T/m
    strace -f -o $T/trace $VMM --dir $T/m --restore $T/snap --disk $T/disk --overlay $T/m/overlay \
        --no-jail >/dev/null 2>&1 &
    $R/vmctl $T/m wait >/dev/null
    sed '/pong/q' $T/trace | grep -v resumed >$T/calls
    set -- $($R/vmctl $T/m stats)
    echo "exits $1"
    echo "calls $(wc -l <$T/calls)"
    stop m
    ;;
many) . $R/many.sh ;;
end) [ -e $T/m ] && stop m && rm -rf $T/m ;;
esac
exit 0
