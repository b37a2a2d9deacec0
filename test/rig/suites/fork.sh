# SPDX-License-Identifier: Apache-2.0
# fork.sh - children of a machine that runs on: by way of memory, and shared until it is written.
children=4
numbers=$(seq 1 $children)
clone p >/dev/null
ask p "hold 24 5" >/dev/null
ask p "write 30003 2" >/dev/null
held=$(ask p held)
cat >$T/children.sh <<'END'
for i in $*; do
    mkdir -p $T/k$i
    $R/vmctl $T/k$i spawn $R/corral-vmm --dir $T/k$i --restore $T/fork --handed --disk $T/disk \
        --overlay $T/k$i/overlay $J >$T/k$i.out 2>&1 &
done
wait
END
export R T J
$R/vmctl $T/p fork $T/fork $T/snap/memory sh $T/children.sh $numbers >$T/fork.out
set -- $(cat $T/fork.out)
echo "# fork with 24 MiB written: $*"
check "a fork" "ok 1" "$1 $4"
check "needs no file but the disk's" "base overlay" "$(ls $T/fork | tr '\n' ' ' | sed 's/ $//')"
set -- $($R/vmctl $T/p stats)
echo "# the parent stood still for ${10} us, with the copy of its overlay"
check "the parent goes on" 0 "$(well p; echo $?)"
ask p "hold 24 6" >/dev/null
check "every child answers" $children "$(cat $T/k*.out | grep -c answered)"
cat $T/k*.out | sed 's/^/# child: /'
same=0
for i in $numbers; do
    [ "$(ask k$i held)" = "$held" ] && same=$((same + 1))
done
check "every child has the parent's memory of that moment" $children $same
check "a child is well" 0 "$(well k1; echo $?)"
check "and has its disk" 8192 "$(ask k1 "read 30003")"
ask k1 "write 30003 9" >/dev/null
check "which is its own" 8192 "$(ask k2 "read 30003")"
drawn=$(for i in p $(echo $numbers | sed 's/[0-9]*/k&/g'); do ask $i rand; done | sort -u | wc -l)
[ $K = trixie ] && check "all draw other random numbers" $((children + 1)) "$drawn"
set -- $($R/vmtool memory $($R/vmctl $T/k2 pid))
echo "# child: $* (KiB)"

# A child is a machine like others: its difference has what it shares with its siblings.
set -- $($R/vmctl $T/k3 diff $T/d3 $T/fork/base)
check "a child's difference" "ok 1" "$1 $4"
stop p k1 k2 k3 k4
rm -rf $T/k* $T/fork
mkdir -p $T/g
$R/vmctl $T/g spawn $VMM --dir $T/g --restore $T/d3 --disk $T/disk --overlay $T/g/overlay $J \
    >/dev/null
check "and is restored" "$held" "$(ask g held)"
stop g
rm -rf $T/d3

# What was not sealed may change under the child.
mkdir -p $T/g
has "memory that is not sealed is refused" "error the memory that was handed is not sealed" \
    "$($VMM --dir $T/g --restore $T/snap --handed --disk $T/disk --overlay $T/g/overlay --detach $J \
        3<$T/snap/state 4<$T/snap/memory 2>/dev/null)"
