# SPDX-License-Identifier: Apache-2.0
# skip.sh - would the suite notice a restore that leaves something out? Each of these must make
# a clone unwell. (The local timer of these guests is in deadline mode; one that has AVX faults
# without its XCR0.)
VMCTL_SECONDS=4
from=$T/snap
skipping() { # ITEM: yes when the clone is well
    mkdir -p $T/s
    $R/vmctl $T/s spawn $R/skip $1 $VMM --dir $T/s --restore $from --disk $T/disk \
        --overlay $T/s/overlay --no-jail >/dev/null && well s && echo yes
    $R/vmctl $T/s stop >/dev/null 2>&1 || kill $(pidof skip) 2>/dev/null
    sleep 0.2
    rm -rf $T/s
}
# A timer's interrupt that was already under way at the moment of the snapshot makes up for whatever
# the timer was restored from. So a clone that is well is asked for another moment.
noticed() { # ITEM: yes when a clone is not well
    for try in 1 2 3 4 5; do
        [ "$(skipping $1)" = yes ] || break
        from=$T/snap-$1-$try try=none
        clone n >/dev/null
        [ "$(vmctl n snapshot $from)" = ok ] || break
        stop n
    done
    [ $try = none ] || echo yes
    rm -rf $T/snap-*
    from=$T/snap
}
check "a clone with nothing left out is well" yes "$(skipping nothing)"
for item in lapic irqchip clock tsc deadline mp_state xcrs msrs; do
    [ $item = mp_state ] && [ $C = 1 ] && continue
    check "one without $item is not" yes "$(noticed $item)"
done
VMCTL_SECONDS=60
