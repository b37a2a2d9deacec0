# SPDX-License-Identifier: Apache-2.0
# large.sh - 1 GiB written and synced, then the VMM killed. Minutes in the emulated host.
mount -o remount,size=90% /tmp 2>/dev/null
mv $T/disk $T/disk.small
truncate -s 1300M $T/disk
$mke2fs -q -t ext4 $T/disk
boot g --overlay $T/g.overlay >/dev/null
start=$(cut -d. -f1 /proc/uptime)
VMCTL_SECONDS=600
check "1 GiB written and synced" ok "$(ask g "file 1024")"
echo "# in $(($(cut -d. -f1 /proc/uptime) - start)) s"
kill -9 $($R/vmctl $T/g pid)
sleep 0.5
boot g --overlay $T/g.overlay >/dev/null
check "and read by another machine" ok "$(ask g "verify 1024")"
kill -9 $($R/vmctl $T/g pid)
sleep 0.5
$R/cowdump $T/disk $T/g.overlay $T/whole
check "its journal is replayed" yes "$(e2fsck -p $T/whole >/dev/null 2>&1; [ $? -le 1 ] && echo yes)"
check "clean" 0 "$(e2fsck -fn $T/whole >/dev/null 2>&1; echo $?)"
VMCTL_SECONDS=60
rm -f $T/whole $T/g.overlay
mv $T/disk.small $T/disk
