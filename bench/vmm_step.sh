# SPDX-License-Identifier: Apache-2.0
# vmm_step.sh STEP [LINE] - one step of bench/vmm; run by sh in the emulated host or on a machine with
# KVM. Steps that are measured print their milliseconds.
R=${R:-/rig} T=${T:-/tmp/bench} K=trixie C=1 J=
CID=4211 # of QEMU's guest; a number that others on a real machine hardly have
# QEMU, its libraries and its firmware are in $PEER.
QEMU="$PEER/ld-linux-x86-64.so.2 --library-path $PEER $PEER/qemu-system-x86_64"
line="console=ttyS0 quiet panic=-1 reboot=t pci=off cryptomgr.notests 8250.nr_uarts=1 i8042.noprobe \
audit=0 tsc=reliable"
. $R/lib.sh
milliseconds() {
    sed -n 's/^answered after \([0-9.]*\) ms$/\1/p'
}
peer_vsock() { # what QEMU's vsock needs of the host; status
    for module in vhost_iotlb vhost vsock vmw_vsock_virtio_transport_common vhost_vsock; do
        [ ! -e $R/$module.ko ] || insmod $R/$module.ko 2>/dev/null
    done
    [ -e /dev/vhost-vsock ] || modprobe vhost_vsock 2>/dev/null
    [ -c /dev/vhost-vsock ]
}
until_pong() { # VM
    for _ in $(seq 300); do
        [ "$($R/vmctl "$1" ask ping 2>/dev/null)" != pong ] || return 0
        sleep 0.2
    done
    echo "the guest of QEMU does not answer: $(tail -n 5 $T/m/log)" >&2
    exit 1
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
# The two guests of vmm_io.py, whose commands are LINE, and what is sent to them as MiB.
io-able) peer_vsock && echo yes ;;
io-ours) boot m --kernel $R/vmlinux-$K --overlay $T/m/overlay --cmdline "$line" >/dev/null ;;
io-peer)
    mkdir -p $T/m && cp $T/disk $T/m/disk
    setsid $QEMU -L $PEER -M microvm,rtc=off -global virtio-mmio.force-legacy=false -enable-kvm \
        -cpu host -m 256 -smp 1 -nodefaults -no-user-config -nographic -no-reboot -serial stdio \
        -drive file=$T/m/disk,if=none,id=d,format=raw,cache=writeback \
        -device virtio-blk-device,drive=d -device vhost-vsock-device,guest-cid=$CID \
        -kernel $R/vmlinuz-$K -initrd $R/guest-$K.gz -append "$line" </dev/null >$T/m/log 2>&1 &
    echo $! >$T/m/peer
    until_pong cid:$CID
    ;;
ask-ours) $R/vmctl $T/m ask "$2" 2>/dev/null ;;
ask-peer) $R/vmctl cid:$CID ask "$2" 2>/dev/null ;;
flood-ours) $R/vmctl $T/m ask "flood $2" 2>/dev/null | wc -c ;;
flood-peer) $R/vmctl cid:$CID ask "flood $2" 2>/dev/null | wc -c ;;
send-ours) $R/vmctl $T/m send "$2" | cut -d'#' -f1 ;;
send-peer) $R/vmctl cid:$CID send "$2" | cut -d'#' -f1 ;;
fire-*) . $R/firecracker.sh ;;
end)
    if [ -e $T/m/peer ]; then
        kill -9 "$(cat $T/m/peer)"
    elif [ -e $T/m ]; then
        stop m
    fi
    rm -rf $T/m
    ;;
esac
exit 0
