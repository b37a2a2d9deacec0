# SPDX-License-Identifier: Apache-2.0
# firecracker.sh - the steps of bench/vmm for the user's own Firecracker; sourced by vmm_step.sh. The
# requests are those of Firecracker's published API, src/firecracker/swagger/firecracker.yaml, 1.17.0-dev.
F=$T/f # one folder for all: a snapshot names the socket of its vsock
fire() { # REQUESTS [COMMAND...]: a call that is refused ends the run
    $R/vmctl $F api "$@" >$T/fire || {
        [ ! -s $F/log ] || tail -n 3 $F/log >&2
        exit 1
    }
    milliseconds <$T/fire
}
fire_start() { # REQUESTS
    mkdir -p $F && rm -f $F/*.sock $F/log
    fire "$1" $R/firecracker --api-sock $F/api.sock
    # Where the step `end` looks for it.
    mkdir -p $T/m && mv $F/peer $T/m/peer
}
case $1 in
fire-prepare)
    rm -rf $F && mkdir -p $F
    cat >$F/boot <<REQUESTS
PUT /machine-config {"vcpu_count": 1, "mem_size_mib": 256}
PUT /boot-source {"kernel_image_path": "$R/vmlinux-$K", "initrd_path": "$R/guest-$K.gz", "boot_args": "$line"}
PUT /drives/disk {"drive_id": "disk", "path_on_host": "$T/disk", "is_root_device": false, "is_read_only": true}
PUT /vsock {"guest_cid": 3, "uds_path": "$F/vsock.sock"}
PUT /actions {"action_type": "InstanceStart"}
REQUESTS
    cat >$F/save <<REQUESTS
PATCH /vm {"state": "Paused"}
PUT /snapshot/create {"snapshot_type": "Full", "snapshot_path": "$F/state", "mem_file_path": "$F/memory"}
REQUESTS
    cat >$F/load <<REQUESTS
PUT /snapshot/load {"snapshot_path": "$F/state", "mem_backend": {"backend_type": "File", "backend_path": "$F/memory"}, "resume_vm": true}
REQUESTS
    fire_start $F/boot >/dev/null
    fire $F/save
    kill -9 "$(cat $T/m/peer)"
    rm -rf $T/m
    ;;
fire-boot) fire_start $F/boot ;;
fire-restore) fire_start $F/load ;;
esac
