# SPDX-License-Identifier: Apache-2.0
# lib.sh - what the parts of the suite share; sourced by suite.sh.
VMM=$R/corral-vmm
J="$J --no-cgroup"
SECOND=${SECOND:-1000} # a second of a machine of its own, in ms
VMCTL_SECONDS=${VMCTL_SECONDS:-60}
export VMCTL_SECONDS

check() { # NAME WANTED GOT
    if [ "$2" = "$3" ]; then echo "ok $K/$C $1"; else echo "not ok $K/$C $1: wanted '$2', got '$3'"; fi
}
differ() { # NAME A B
    if [ -n "$2" ] && [ "$2" != "$3" ]; then echo "ok $K/$C $1"; else echo "not ok $K/$C $1: '$2'"; fi
}
at_most() { # NAME LIMIT GOT
    if [ -n "$3" ] && [ "$3" -le "$2" ]; then
        echo "ok $K/$C $1 # $3"
    else
        echo "not ok $K/$C $1: '$3' > $2"
    fi
}
has() { # NAME PART TEXT
    case $3 in
    *"$2"*) echo "ok $K/$C $1" ;;
    *) echo "not ok $K/$C $1: '$3'" ;;
    esac
}
ask() { # VM LINE
    $R/vmctl $T/$1 ask "$2" 2>/dev/null
}
state_of() { # VM: for a failure nobody understands yet
    echo "# $1: $($R/vmctl $T/$1 stats) $(cat $T/$1/log)"
    $R/vmctl $T/$1 log | tail -n 20 | sed 's/^/# /'
    cat /proc/$($R/vmctl $T/$1 pid)/task/*/status | grep -E "^(Name|State)" | sed 's/^/# /'
}
vmctl() { # VM VERB...: without the time it took
    vm=$1
    shift
    $R/vmctl $T/$vm "$@" | cut -d'#' -f1 | sed 's/ *$//'
}
cpus() {
    [ $C = 1 ] && echo 0 || echo 0-$((C - 1))
}
boot() { # VM [OPTIONS]: from the kernel
    mkdir -p $T/$1
    d=$T/$1
    shift
    $R/vmctl $d spawn $VMM --dir $d --kernel $R/vmlinuz-$K --initrd $R/guest-$K.gz \
        --disk $T/disk --memory 256 --vcpus $C $J "$@"
}
clone() { # VM [OPTIONS]: from the snapshot
    mkdir -p $T/$1
    d=$T/$1
    shift
    $R/vmctl $d spawn $VMM --dir $d --restore $T/snap --disk $T/disk --overlay $d/overlay $J "$@"
}
stop() { # VM...
    for vm in "$@"; do
        $R/vmctl $T/$vm stop >/dev/null
        rm -f $T/$vm/overlay
    done
}
# Whether a guest is as it should be: it answers, sleeps as long as it should, its timers go on, and
# all its processors work.
well() { # VM
    [ "$(ask $1 ping)" = pong ] || return 1
    slept=$(ask $1 "sleep 50")
    [ -n "$slept" ] && [ "$slept" -ge 49 ] && [ "$slept" -lt 1000 ] || return 1
    before=$(ask $1 ticks)
    ask $1 "sleep 100" >/dev/null
    [ $(($(ask $1 ticks) - before)) -ge 5 ] || return 1
    ask $1 all >/dev/null && [ "$(ask $1 "cat /sys/devices/system/cpu/online")" = "$(cpus)" ]
}
