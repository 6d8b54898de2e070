#!/usr/bin/env python3
"""Checks that layers.py finds the violations that this script puts into small source trees and objects.

    planted.py LAYERS_PY NM COMPILER [ARGUMENTS...]

NM is empty if there is no nm; the test then checks that layers.py exits with 77.
"""
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True


def write(root, path, text):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def header(folder):
    """The public header of a folder."""
    return f"{folder}/{os.path.basename(folder)}.h"


class Planter:
    def __init__(self, layers, nm, compiler):
        self.layers, self.nm, self.compiler = layers, nm, compiler
        sys.path.insert(0, os.path.dirname(layers))
        self.table = __import__("layers")
        self.passed = self.failed = 0

    def expect(self, what, done, status, *lines):
        """Checks the exit status, and that each element of lines matches one violation by all its words."""
        ended, printed = done
        found = [line for line in printed.splitlines() if line.startswith("FAILED: ")]
        missed = [words for words in lines if not any(all(w in line for w in words) for line in found)]
        if ended == status and not missed and len(found) == len(lines):
            self.passed += 1
            return
        self.failed += 1
        print(f"FAILED: {what}: exit status {ended}, expected {status}; not found: {missed}; printed:\n{printed}")

    def run(self, *arguments):
        """Runs layers.py; returns its exit status and output."""
        printed, sys.argv = io.StringIO(), [self.layers, *arguments]
        with contextlib.redirect_stdout(printed):
            return self.table.main(), printed.getvalue()

    # ---- Files ----

    def tree(self, root):
        """Makes every folder with a public header and a source, and all shared headers; returns the public headers."""
        headers = ["ebb.h"]
        for folder in self.table.LIBRARY:
            headers.append(header(folder))
            write(root, header(folder), f"/* {folder} */\n")
            write(root, f"{folder}/file.c", f'#include "{header(folder)}"\n#include <stdio.h>\n')
        for path in self.table.SHARED:
            if not os.path.exists(os.path.join(root, path)):
                write(root, path, "/* shared */\n")
        write(root, "ebb.h", "".join(f'#include "{h}"\n' for h in headers[1:]))
        for folder in ("demos", "bench", "fuzz"):
            write(root, f"{folder}/file.c", "#include <ebb.h>\n")
        write(root, "tests/file.c", '#include "kernels/file.c"\n#include "not_there.h"\n')
        write(root, "build-other/long.c", "\n" * 1000)
        write(root, "other/meson-private/long.c", "\n" * 1000)
        return headers

    def files(self, what, planted, *lines):
        with tempfile.TemporaryDirectory() as root:
            headers = self.tree(root)
            for path, text in planted.items():
                write(root, path, text)
            self.expect(what, self.run("files", root, *headers), 1 if lines else 0, *lines)

    def all_files(self):
        self.files("a tree without a violation", {})
        self.files("an upward include", {"kernels/file.c": '\n#include "ops/ops.h"\n'},
                   ("kernels/file.c:2:", "kernels includes ops/ops.h of ops"))
        self.files("an upward include in a header, by a relative path",
                   {"tensor/new.h": '#include "../autograd/autograd.h"\n'},
                   ("tensor/new.h:1:", "tensor includes autograd/autograd.h of autograd"))
        self.files("an upward include in angle brackets", {"autograd/file.c": "# include <nn/nn.h>\n"},
                   ("autograd/file.c:1:", "autograd includes nn/nn.h of nn"))
        self.files("a file that includes a header of its subfolder",
                   {"autograd/file.c": '#include "autograd/transforms/transforms.h"\n'},
                   ("autograd includes autograd/transforms/transforms.h",))
        self.files("an include of an unrelated folder", {"data/file.c": '#include "optim/optim.h"\n'},
                   ("data includes optim/optim.h of optim",))
        self.files("more of nn/ than the parameter store",
                   {"optim/file.c": '#include "nn/nn.h"\n#include "nn/other.h"\n', "nn/other.h": ""},
                   ("optim/file.c:2:", "optim includes nn/other.h of nn"))
        self.files("ebb.h included by the library", {"flow/file.c": "#include <ebb.h>\n"},
                   ("flow includes ebb.h",))
        self.files("another folder's internal header",
                   {"ops/file.c": '#include "archive/internal.h"\n#include "autograd/internal.h"\n'},
                   ("ops/file.c:1:", "ops includes archive/internal.h"))
        self.files("another folder's header that is not shared",
                   {"flow/file.c": '#include "ops/hidden.h"\n', "ops/hidden.h": ""},
                   ("flow includes ops/hidden.h, which is for ops only",))
        self.files("a public header that includes an internal one", {"nn/nn.h": '#include "nn/internal.h"\n'},
                   ("nn/nn.h:1:", "a public header includes nn/internal.h"))
        self.files("comments that agree with the table",
                   {"autograd/internal.h": "/*\n * internal.h - structs, for autograd/ and\n * ops/ only.\n */\n",
                    "data/internal.h": "/* internal.h - files.  For data/ and its tests only. */\n",
                    "kernels/kernels.h": "/* for kernels/ only */\n"})
        self.files("a comment that omits a folder",
                   {"nn/internal.h": "/* internal.h - a struct, for nn/ and optim/ only. */\n"},
                   ("nn/internal.h: its comment is not for training/",))
        self.files("a comment that names an additional folder",
                   {"flow/internal.h": "/* internal.h - for flow/, bench/ and data/ only. */\n"},
                   ("flow/internal.h: its comment is for data/",))
        self.files("a comment that names an unknown folder",
                   {"flow/internal.h": "/* internal.h - for flow/, bench/ and attic/ only. */\n"},
                   ("its comment is for attic/, which is no folder of the table",))
        self.files("a folder that is not in the table", {"attic/old.c": '#include "ops/ops.h"\n'},
                   ("attic/old.c: in no folder",))
        self.files("an include of a file that does not exist", {"ops/file.c": '#include "gone.h"\n#include NAME\n'},
                   ("ops/file.c:1:", "gone.h"), ("ops/file.c:2:", "NAME"))
        most = self.table.LONGEST
        self.files("files of the longest length, and a document that is longer",
                   {"ops/file.c": "\n" * most, "docs/long.md": "\n" * (2 * most)})
        for path in ("ops/file.c", "tests/long.py", "ops/meson.build", "tests/docs/long.sh", ".ci/run.sh"):
            self.files("a file too long", {path: "\n" * (most + 1)}, (f"{path}: {most + 1} lines",))
        self.files("a script too long", {"script/long": "#!/bin/sh\n" + "\n" * most},
                   (f"script/long: {most + 1} lines",))

    def tables(self):
        """A folder and a header of the table that do not exist; then a table with an upward dependency."""
        with tempfile.TemporaryDirectory() as root:
            headers = self.tree(root)
            os.remove(os.path.join(root, "tensor/deferred.h"))
            os.remove(os.path.join(root, "fuzz/file.c"))
            self.expect("a table with a missing folder and a missing header", self.run("files", root, *headers), 1,
                        ("fuzz: a folder of the table",), ("tensor/deferred.h: a header of the table",))
            self.expect("no arguments", self.run(), 2)

        report = self.table.Report()
        self.table.check_table(report)
        ups = report.failed
        self.table.FOLDERS["tensor"].append("ops")
        with contextlib.redirect_stdout(io.StringIO()):
            self.table.check_table(report)
        self.table.FOLDERS["tensor"].pop()
        if ups == 0 and report.failed == 1:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED: an upward dependency in the table: {ups} violations before it, {report.failed} with it")

    # ---- Symbols ----

    def symbols(self, what, planted, status, *lines, command=""):
        """Compiles an object for each folder and for each planted source."""
        with tempfile.TemporaryDirectory() as root:
            build = os.path.join(root, "build")
            os.mkdir(build)
            sources = {f"{folder}/file.c": f"int room_{i}(void);\nint room_{i}(void) {{ return {i}; }}\n"
                       for i, folder in enumerate(self.table.LIBRARY)}
            sources.update(planted)
            commands = []
            for i, (path, text) in enumerate(sources.items()):
                write(root, f"{i}.c", text)
                commands.append({"directory": build, "file": os.path.join("..", path), "output": f"{i}.o",
                                 "command": "cc " + command})
            done = subprocess.run([*self.compiler, "-c", *(f"../{i}.c" for i in range(len(sources)))], cwd=build,
                                  capture_output=True, text=True, check=False)
            if done.returncode:
                self.failed += 1
                print(f"FAILED: {what}: it does not compile: {done.stderr}")
                return
            write(build, "compile_commands.json", json.dumps(commands))
            arguments = ["symbols", root, build] + ([self.nm] if self.nm else [])
            self.expect(what, self.run(*arguments), status, *lines)

    def all_symbols(self):
        up = "int {0}(void);\nint by_{1}(void);\nint by_{1}(void) {{ return {0}(); }}\n"
        defined = "int {0}(void);\nint {0}(void) {{ return 1; }}\n"
        if not self.nm:
            self.symbols("objects without nm", {}, 77)
            return
        self.symbols("objects without upward dependencies", {
            "ops/a.c": up.format("low", "a"), "kernels/low.c": defined.format("low"),
            "kernels/b.c": up.format("malloc_or_so", "b")}, 0)
        self.symbols("an upward symbol", {
            "kernels/a.c": up.format("high", "a"), "ops/high.c": defined.format("high")}, 1,
            ("high: kernels (kernels/a.c) needs it, and ops/high.c of ops",))
        self.symbols("an upward variable", {
            "autograd/a.c": "extern int high;\nint *at(void);\nint *at(void) { return &high; }\n",
            "nn/high.c": "int high = 1;\n"}, 1, ("high: autograd (autograd/a.c)", "nn/high.c of nn"))
        self.symbols("a symbol that two folders define", {
            "ops/a.c": up.format("twice", "a"), "tensor/low.c": defined.format("twice"),
            "optim/high.c": defined.format("twice")}, 0)
        self.symbols("symbols of the parameter store, and another symbol of nn/", {
            "optim/a.c": up.format("store", "a"), "nn/params.c": defined.format("store"),
            "optim/b.c": up.format("layer", "b"), "nn/layers.c": defined.format("layer")}, 1,
            ("layer: optim (optim/b.c)", "nn/layers.c of nn"))
        self.symbols("a symbol of a subfolder", {
            "autograd/a.c": up.format("within", "a"),
            "autograd/transforms/b.c": defined.format("within")}, 1,
            ("within: autograd (autograd/a.c)", "of autograd/transforms"))
        self.symbols("LTO objects", {}, 77, command="-O2 -flto=auto")

    def missing_rooms(self):
        if self.nm:
            with tempfile.TemporaryDirectory() as root:
                write(root, "compile_commands.json", "[]")
                self.expect("no objects", self.run("symbols", root, root, self.nm), 1 if self.nm else 77,
                            *[(f"{folder}: a folder of the table, but it has no object",) for folder in self.table.LIBRARY])
        with tempfile.TemporaryDirectory() as root:
            write(root, "compile_commands.json", "[]")
            self.expect("no nm", self.run("symbols", root, root), 77)


def main():
    layers, nm, *compiler = sys.argv[1:]
    planter = Planter(os.path.abspath(layers), nm, compiler)
    planter.all_files()
    planter.tables()
    planter.all_symbols()
    planter.missing_rooms()
    print(f"{planter.passed} passed, {planter.failed} failed")
    return 1 if planter.failed else 0


if __name__ == "__main__":
    sys.exit(main())
