# SPDX-License-Identifier: Apache-2.0
# suite.sh - what the VMM must do with one kernel (K) and number of vCPUs (C); run by sh inside the
# emulated host, or on any machine with KVM, busybox or not. Files are in $R (default /rig). Prints
# "ok ..." and "not ok ..." lines, figures behind '#'. TOPICS names the parts (NAME.sh); `base`
# makes the snapshot that others need.
R=${R:-/rig} K=${K:-trixie} C=${C:-1} T=${T:-/tmp/vmm}
J=${J:-} # --no-jail for debugging
[ "$(pidof corral-vmm)" = "" ] || echo "not ok $K/$C a VMM is left from before"
rm -rf $T && mkdir -p $T && chmod 755 $T
. $R/lib.sh

# Each part once with the machine that has the most to say to it.
case $K/$C in
trixie/1) more="hostile input jail many large" ;;
trixie/2) more="skip diff fork" ;;
bookworm/1) more="disk" ;;
*) more="paused" ;;
esac
for topic in ${TOPICS:-base $more}; do
    . $R/$topic.sh
done
sleep 0.5
check "no process is left" "" "$(pidof corral-vmm)"
rm -rf $T
