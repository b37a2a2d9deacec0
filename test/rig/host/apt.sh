# SPDX-License-Identifier: Apache-2.0
# apt.sh - packages of another Debian release than the host's, unpacked and not installed; sourced.
#   apt_begin SUITE         reads the lists, from the host's own mirror; what it makes is in $work
#   apt_get, apt_cache ...  as the programs of these names, for the suite
#   apt_unpack DIR          what was downloaded
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

apt_begin() {
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/etc"
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
        sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb  *\(\[[^]]*\] *\)*\([^ ]*\).*/\2/p' |
        grep '/debian/*$' | head -n 1)
    key=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$key] $mirror $1 main" >"$work/etc/sources.list"
    apt_get update >/dev/null
}
apt_run() {
    program=$1
    shift
    "$program" -q -o Dir::Etc::SourceList="$work/etc/sources.list" \
        -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$work/lists" \
        -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root -o Dir::State::Status=/dev/null "$@"
}
apt_get() {
    apt_run apt-get "$@"
}
apt_cache() {
    apt_run apt-cache "$@"
}
apt_unpack() {
    for package in "$work"/cache/archives/*.deb "$work"/*.deb; do
        [ ! -e "$package" ] || dpkg-deb -x "$package" "$1"
    done
}
