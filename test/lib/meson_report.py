# SPDX-License-Identifier: Apache-2.0
"""meson_report.py SUITE LOG: turns meson's test log into result lines, one per TAP case, or one per
program that speaks none."""
import json
import re
import sys

CASE = re.compile(r"^(not )?ok \d+(?: - (.*))?$", re.M)


def report(suite, entry):
    name = f"{suite}/{entry['name'].split(' / ')[-1].split(':')[-1]}"
    output = (entry.get("stdout") or "") + (entry.get("stderr") or "")
    if entry["result"] == "SKIP":
        print(f"skip {name}: {output.strip() or 'nothing to run'}".replace("\n", " "))
        return
    cases = CASE.findall(entry.get("stdout") or "")
    for failed, case in cases:
        if not failed:
            print(f"ok {name}.{case}")
    if entry["result"] != "OK":
        print(f"not ok {name}: {entry['result'].lower()}, status {entry.get('returncode')}")
        for line in output.strip().split("\n")[-60:]:
            print(f"    {line}")
    elif not cases:
        print(f"ok {name}")


def main(suite, path):
    try:
        with open(path, encoding="utf-8") as f:
            entries = [json.loads(line) for line in f if line.strip()]
    except FileNotFoundError:
        print(f"not ok {suite}: meson wrote no test log")
        return
    for entry in entries:
        report(suite, entry)


main(sys.argv[1], sys.argv[2])
