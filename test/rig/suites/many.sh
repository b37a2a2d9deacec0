# SPDX-License-Identifier: Apache-2.0
# many.sh - many machines from one snapshot, side by side.
many() { # COUNT
    seq 1 $1 | while read -r i; do
        clone n$i >$T/n$i.out 2>&1 &
    done
    wait
    seq 1 $1 | while read -r i; do
        for try in 1 2 3 4 5 6 7 8 9; do
            grep -q answered $T/n$i.out && break
            sleep 1
        done
        cat $T/n$i.out
    done | grep -c answered
}
away() { # COUNT
    seq 1 $1 | while read -r i; do
        stop n$i
        rm -rf $T/n$i $T/n$i.out
    done
}
start=$(cut -d. -f1 /proc/uptime)
check "30 clones alive" 30 "$(many 30)"
echo "# after $(($(cut -d. -f1 /proc/uptime) - start)) s"
drawn=$(seq 1 30 | while read -r i; do ask n$i rand; done | sort -u | wc -l)
[ $K = trixie ] && check "30 clones draw 30 random numbers" 30 "$drawn"
sleep 5
set -- $($R/vmtool memory $(seq 1 30 | while read -r i; do $R/vmctl $T/n$i pid; done))
echo "# $* (KiB)"
check "all were measured" 30 "$2"
at_most "largest memory of a VMM outside its guest, KiB" 1024 "$8"
away 30
start=$(cut -d. -f1 /proc/uptime)
check "50 clones at once all answer" 50 "$(many 50)"
echo "# after $(($(cut -d. -f1 /proc/uptime) - start)) s"
away 50
