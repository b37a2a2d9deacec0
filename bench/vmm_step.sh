# SPDX-License-Identifier: Apache-2.0
# vmm_step.sh STEP - one step of bench/vmm; run by sh in the emulated host or on a machine with KVM.
# Steps that are measured print their milliseconds.
R=${R:-/rig} T=${T:-/tmp/bench} K=trixie C=1 J=
QEMU=${QEMU:-qemu-system-x86_64} FIRMWARE=${FIRMWARE:-/usr/share/qemu}
line="console=ttyS0 quiet panic=-1 reboot=t pci=off cryptomgr.notests 8250.nr_uarts=1 i8042.noprobe \
audit=0 tsc=reliable"
. $R/suite_lib.sh
milliseconds() {
    sed -n 's/^answered after \([0-9.]*\) ms$/\1/p'
}
case $1 in
prepare)
    rm -rf $T && mkdir -p $T && chmod 755 $T
    truncate -s 128M $T/disk
    boot a --overlay $T/a.overlay >/dev/null
    $R/vmctl $T/a snapshot $T/snap >/dev/null
    stop a
    clone w --record >/dev/null
    $R/vmctl $T/w workset $T/snap >/dev/null
    stop w
    ;;
# What is around a restore, and no VM.
nothing) mkdir -p $T/m && $R/vmctl $T/m pid | milliseconds ;;
microvm)
    $R/vmtool until "init: ready" $QEMU -L $FIRMWARE -M microvm,x-option-roms=off,rtc=off \
        -enable-kvm -cpu host -m 256 -smp 1 -nodefaults -no-user-config -nographic -no-reboot \
        -serial stdio -kernel $R/vmlinuz-$K -initrd $R/guest-$K.gz -append "$line"
    ;;
boot) boot m --overlay $T/m/overlay --cmdline "$line" | milliseconds ;;
restore) clone m | milliseconds ;;
figures)
    clone m >/dev/null
    set -- $($R/vmctl $T/m stats)
    echo "exits to user space from restore to answer: $1"
    stop m
    ;;
many) . $R/suite_many.sh ;;
end) [ -e $T/m ] && stop m && rm -rf $T/m ;;
esac
exit 0
