#!/usr/bin/env python3
"""Checks that tensor/options.hpp lists exactly the members of the structs that C++ programs fill by options.

    options.py OPTIONS_HPP HEADER...
    options.py --write

The structs are those of arguments (NAME_args), without their member site, and those in FILLED.  --write writes the
list of the headers that ebb.h includes.  Ends with "N passed, N failed".
"""
import os
import re
import sys

sys.dont_write_bytecode = True
import headers  # noqa: E402

# Structs that users fill and pass, other than the structs of arguments.
FILLED = ["ebb_attack_result", "ebb_figure", "ebb_image_options", "ebb_init", "ebb_observer", "ebb_op", "ebb_panel", "ebb_part",
          "ebb_preprocess", "ebb_rect", "ebb_rename", "ebb_report", "ebb_report_figure", "ebb_report_network",
          "ebb_report_option", "ebb_rule", "ebb_rules", "ebb_selection", "ebb_series", "ebb_verdict_limits"]
TEXT = """/*
 * options.hpp - the names of all options in C++: ebb::NAME for each member of a struct of arguments, and of other
 * structs that programs fill, in alphabetical order.  call.hpp includes this list.  A test (tests/cxx/options.py)
 * compares it with the headers; the same script writes it.
 */
#ifndef EBB_CALL_HPP
#include "call.hpp"
#else
"""


def main():
    write = sys.argv[1] == "--write"
    if write:
        root = os.path.dirname(os.path.dirname(headers.HERE))
        path, public = os.path.join(root, "tensor", "options.hpp"), headers.included(root, os.path.join(root, "ebb.h"))
    else:
        path, *public = sys.argv[1:]
    structs = headers.structs(headers.read(public))
    expected = set()
    passed = failed = 0
    for name in FILLED:
        if name not in structs:
            print(f"FAILED: no header defines the struct {name}, which options.py names")
            failed += 1
    for name, members in structs.items():
        if name.endswith("_args") or name in FILLED:
            expected |= set(members) - {"site"}
    if write:
        with open(path, "w", encoding="utf-8") as f:
            f.write(TEXT + "".join(f"EBB_OPTION({name})\n" for name in sorted(expected)) + "#endif\n")
    with open(path, encoding="utf-8") as f:
        listed = re.findall(r"^EBB_OPTION\((\w+)\)$", f.read(), re.M)
    for name in sorted(expected | set(listed)):
        wrong = None
        if listed.count(name) > 1:
            wrong = f"{path} lists {name} twice"
        elif name not in expected:
            wrong = f"{path} lists {name}, which is a member of no struct of arguments"
        elif name not in listed:
            wrong = f"{path} lacks the line EBB_OPTION({name}); options.py --write adds it"
        passed += wrong is None
        if wrong:
            print("FAILED:", wrong)
            failed += 1
    if listed != sorted(listed):
        print(f"FAILED: {path} is not in alphabetical order")
        failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
