# SPDX-License-Identifier: Apache-2.0
# jail.sh - the walls, looked at from outside, for root and for an ordinary user.
walls() { # NAME PID
    for task in /proc/$2/task/*; do
        check "$1: filter of $(cat $task/comm)" 2 "$(sed -n 's/^Seccomp:\t//p' $task/status)"
        check "$1: no new privileges" 1 "$(sed -n 's/^NoNewPrivs:\t//p' $task/status)"
        check "$1: no capabilities" 0 "$(grep '^Cap' $task/status | grep -vc '0000000000000000')"
    done
    for ns in mnt pid net ipc uts cgroup; do
        differ "$1: own $ns namespace" "$(readlink /proc/$2/ns/$ns)" "$(readlink /proc/self/ns/$ns)"
    done
    check "$1: an empty root" sandbox "$(ls /proc/$2/root)"
    check "$1: which is read-only" no "$(mkdir /proc/$2/root/new 2>/dev/null || echo no)"
    check "$1: the directory, too" no "$(touch /proc/$2/root/sandbox/new 2>/dev/null || echo no)"
    check "$1: no file of its starter" 0 "$(ls -l /proc/$2/fd | grep -c $R/suite)"
    at_most "$1: no file beyond its disk, its memory and a table" 272633856 \
        "$(sed -n 's/^Max file size *\([0-9]*\) .*/\1/p' /proc/$2/limits)"
    check "$1: no core dumps" 0 "$(sed -n 's/^Max core file size *\([0-9]*\) .*/\1/p' /proc/$2/limits)"
}
mkdir -p /sys/fs/cgroup/vm
exec 9<$R/suite.sh
clone j --uid 4321 --gid 4322 --cgroup /sys/fs/cgroup/vm >/dev/null
pid=$($R/vmctl $T/j pid)
walls root $pid
check "uid" "4321 4321 4321 4321" "$(sed -n 's/^Uid:\t//p' /proc/$pid/status | tr '\t' ' ')"
check "gid" "4322 4322 4322 4322" "$(sed -n 's/^Gid:\t//p' /proc/$pid/status | tr '\t' ' ')"
check "no groups" "" "$(sed -n 's/^Groups:[\t ]*//p' /proc/$pid/status)"
check "cgroup" 0::/vm "$(cat /proc/$pid/cgroup)"
check "first of its pid namespace" 1 "$(sed -n 's/^NSpid:.*\t//p' /proc/$pid/status)"
check "and it works" pong "$(ask j ping)"
stop j
sleep 0.3
rmdir /sys/fs/cgroup/vm
exec 9<&-

# What the emulated host does not have and every other one has.
chown 0:36 /dev/kvm && chmod 660 /dev/kvm
mkdir -p $T/u && chown 1000:1000 $T/u
chmod 755 $T/snap && chmod 644 $T/snap/* $T/disk
user() { # GID [OPTIONS]
    gid=$1
    shift
    set -- as 1000 $gid $VMM --dir $T/u --restore $T/snap --disk $T/disk --overlay $T/u/overlay "$@"
    $R/vmctl $T/u spawn $R/vmtool "$@"
}
echo "# restore by an ordinary user: $(user 36)"
pid=$($R/vmctl $T/u pid)
walls user $pid
check "an ordinary user" "1000 1000 1000 1000" "$(sed -n 's/^Uid:\t//p' /proc/$pid/status | tr '\t' ' ')"
differ "own user namespace" "$(readlink /proc/$pid/ns/user)" "$(readlink /proc/self/ns/user)"
check "and it works for it" pong "$(ask u ping)"
check "a snapshot by it" ok "$(vmctl u snapshot $T/usnap)"
$R/vmctl $T/u stop >/dev/null
sleep 0.3
set -- --dir $T/u --restore $T/snap --disk $T/disk --overlay $T/u/overlay
has "not permitted" "/dev/kvm cannot be opened" "$($R/vmtool as 1000 1000 $VMM "$@" 2>&1)"
chown 0:0 /dev/kvm
mv /dev/kvm /dev/kvm.away
has "no /dev/kvm" "/dev/kvm cannot be opened" "$($VMM "$@" 2>&1)"
mv /dev/kvm.away /dev/kvm
rm -rf $T/u $T/usnap

# Left behind by its starter.
mkdir -p $T/l
pid=$($VMM --dir $T/l --restore $T/snap --disk $T/disk --overlay $T/l/overlay --detach --no-cgroup)
check "detached: its pid" corral-vmm "$(cat /proc/$pid/comm)"
check "detached: its parent is gone" 1 "$(sed -n 's/^PPid:\t//p' /proc/$pid/status)"
check "detached: it answers" 0 "$($R/vmctl $T/l wait >/dev/null; echo $?)"
kill -9 $pid
sleep 0.3
check "detached: killed, gone" "" "$(pidof corral-vmm)"
rm -rf $T/l
