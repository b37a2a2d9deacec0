# SPDX-License-Identifier: Apache-2.0
# hostile.sh - guests that attack (hostile.c). The VMM outlives each attack: the guest's own end
# is what it reports.
attack() { # VM NAME [OPTIONS]
    mkdir -p $T/$1
    set -- "$@" --dir $T/$1 --kernel $R/hostile --cmdline $2 --disk $T/disk --overlay $T/$1/overlay \
        --memory 256 $J
    shift 2
    $VMM "$@" >/dev/null 2>&1
}
attacked() { # NAME STATUS WHAT
    attack h $1
    check "$3" $2 $?
    rm -rf $T/h
}
[ -e $T/disk ] || truncate -s 64M $T/disk
attacked wild 18 "queues at wild addresses"
attacked chains 18 "looping and wild chains"
attacked resize 18 "queues resized after activation"
attacked regs 18 "random registers"
attacked fault 19 "a triple fault is a reset"
attacked nowhere 21 "code where no memory is"
mkdir -p $T/h
$R/vmctl $T/h serve 77 >/dev/null &
w=$!
attacked flood 18 "vsock connections without end"
kill $w 2>/dev/null

# Without end: the control socket goes on answering, and a stop works at once.
endless() { # NAME WHAT
    attack h $1 &
    $R/vmctl $T/h up
    sleep 1
    check "$2: statistics" 0 "$($R/vmctl $T/h stats >/dev/null; echo $?)"
    check "$2: pause" ok "$(vmctl h pause)"
    check "$2: snapshot" ok "$(vmctl h snapshot $T/hsnap)"
    check "$2: resume" ok "$(vmctl h resume)"
    [ $1 = mute ] && check "$2: a connection fails in time" 1 "$(ask h ping >/dev/null; echo $?)"
    set -- "$2" "$($R/vmctl $T/h ends "")"
    check "$1: stop" "exited 1 stopped" "$(echo "$2" | head -n 1)"
    at_most "$1: stopped within a second" $SECOND "$(echo "$2" | tail -n 1)"
    rm -rf $T/h $T/hsnap
}
endless kick "kicking without pause"
endless mute "never giving buffers"
endless hang "looping with interrupts off"
endless halt "halted with interrupts off"

# The serial port's ring stays a ring.
attack h serial &
$R/vmctl $T/h up
sleep 4
at_most "the log is bounded" 16384 "$($R/vmctl $T/h log 2>/dev/null | wc -c)"
wait $!
check "a full log does not end it" 18 $?
rm -rf $T/h

# Clients on the host that never read, more of them than there may be connections: what they left is
# bounded, and new ones are served when they go.
if [ -e $T/snap ]; then
    clone n >/dev/null
    $R/vmctl $T/n hold 40 "flood 4" >/dev/null &
    w=$!
    sleep 5
    set -- $($R/vmtool memory $($R/vmctl $T/n pid))
    at_most "what is kept for them, KiB" 6400 "$8"
    check "another one is served" pong "$(ask n ping)"
    kill $w
    check "and when they are gone" pong "$(ask n ping)"
    check "a guest that never reads" 1 "$(VMCTL_SECONDS=3 $R/vmctl $T/n ask idle >/dev/null 2>&1; echo $?)"
    stop n
fi
