# SPDX-License-Identifier: Apache-2.0
"""where.py API_LOG KVM_LOG OUT: which API test ran where, from the result lines of the suites api and
kvm (a log may be missing). Prints note lines: a table of counts by file, and what was left out with
its reasons; OUT gets a line for every test."""
import collections
import re
import sys

LINE = re.compile(r"^(ok|not ok|skip) (?:api|kvm)/(test_\w+)\.([\w.]+)(?:: (.*))?$")
LEFT_OUT = "left out in the emulated host: "


def read(path):
    """test -> (result, reason)."""
    results = {}
    try:
        with open(path, encoding="utf-8") as f:
            for line in f:
                found = LINE.match(line.rstrip("\n"))
                if found:
                    results[found[2], found[3]] = (found[1], found[4] or "")
    except FileNotFoundError:
        pass
    return results


def kvm_kind(path):
    with open(path, encoding="utf-8") as f:
        return "emulated" if "note kvm/in the emulated host" in f.read() else "real"


def main(api_path, kvm_path, out):
    api, kvm = read(api_path), read(kvm_path)
    kind = f"kvm, {kvm_kind(kvm_path)}"
    files, reasons = collections.defaultdict(collections.Counter), collections.Counter()
    with open(out, "w", encoding="utf-8") as table:
        for test in sorted(set(api) | set(kvm)):
            row = {"oci, native": api.get(test), kind: kvm.get(test)}
            for place, result in row.items():
                if result and result[0] != "skip":
                    files[test[0]][place] += 1
            result, reason = kvm.get(test, ("", ""))
            if reason.startswith(LEFT_OUT):
                files[test[0]]["left out"] += 1
                reasons[reason.removeprefix(LEFT_OUT)] += 1
            said = "; ".join(f"{place}: {' '.join(r).strip()}" for place, r in row.items() if r)
            table.write(f"{'.'.join(test)}: {said}\n")
    print(f"note {'tests by file':28} {'oci, native':>12} {kind:>14} {'left out':>9}")
    for name, counts in sorted(files.items()):
        print(f"note {name:28} {counts['oci, native']:12} {counts[kind]:14} {counts['left out']:9}")
    for reason, count in reasons.most_common():
        print(f"note left out, {count}: {reason}")
    print(f"note a line for every test is in {out}")


main(*sys.argv[1:])
