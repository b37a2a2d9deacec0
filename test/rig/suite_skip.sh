# SPDX-License-Identifier: Apache-2.0
# suite_skip.sh - would the suite notice a restore that leaves something out? Each of these must make
# a clone unwell. (The local timer of these guests is in deadline mode; one that has AVX faults
# without its XCR0.)
VMCTL_SECONDS=4
skipping() { # ITEM: yes when the clone is well
    mkdir -p $T/s
    $R/vmctl $T/s spawn $R/skip $1 $VMM --dir $T/s --restore $T/snap --disk $T/disk \
        --overlay $T/s/overlay --no-jail >/dev/null && well s && echo yes
    $R/vmctl $T/s stop >/dev/null 2>&1 || kill $(pidof skip) 2>/dev/null
    sleep 0.2
    rm -rf $T/s
}
check "a clone with nothing left out is well" yes "$(skipping nothing)"
for item in lapic irqchip clock tsc deadline mp_state xcrs msrs; do
    [ $item = mp_state ] && [ $C = 1 ] && continue
    check "one without $item is not" "" "$(skipping $item)"
done
VMCTL_SECONDS=60
