#!/usr/bin/env python3
"""Checks the dependencies between folders (includes and symbols) and the length of source files.

    layers.py files   SOURCE_DIR PUBLIC_HEADER...
    layers.py symbols SOURCE_DIR BUILD_DIR [NM]

"files" checks every #include in the folders of FOLDERS, the first comments of their internal headers, and the
length of every source file.  "symbols" checks, with nm, which symbols each object in a build directory defines
and needs.  Without nm, or if objects contain no machine code yet (LTO), it exits with 77.  Both print each
violation, and then "N passed, N failed": the numbers of files without a violation, and of violations.
"""
import collections
import json
import os
import re
import subprocess
import sys

# Each folder, and the folders that it may use, which all come before it in this table.  A file name in place of
# a folder permits that file only.  A subfolder in this table is separate from its parent folder.
FOLDERS = {
    "kernels": [],
    "tensor": ["kernels"],
    "autograd": ["tensor", "kernels"],
    "autograd/watching": ["autograd", "tensor", "kernels"],
    "autograd/transforms": ["autograd", "tensor", "kernels"],
    "archive": ["tensor", "kernels"],
    "ops": ["autograd", "tensor", "kernels"],
    "nn": ["ops", "autograd", "autograd/watching", "tensor", "archive", "kernels"],
    # Only the parameter store of nn/.
    "optim": ["autograd", "tensor", "archive", "kernels", "nn/nn.h", "nn/params.c"],
    "data": ["tensor", "archive", "kernels"],
    "data/augment": ["data", "tensor", "kernels"],
    "data/loader": ["data", "data/augment", "tensor", "archive", "kernels"],
    # Of data/ the preprocessing of an input alone.
    "nn/models": ["nn", "ops", "autograd", "tensor", "archive", "data/preprocess.h", "data/augment/preprocess.c"],
    "training": ["optim", "nn", "data", "data/loader", "autograd", "tensor", "archive", "kernels"],
    "explain": ["ops", "autograd", "autograd/watching", "tensor", "kernels"],
    # Of nn/ the parameter store alone.
    "flow": ["ops", "autograd", "autograd/watching", "tensor", "kernels", "nn/nn.h", "nn/params.c"],
}
LIBRARY = list(FOLDERS)
FOLDERS["ebb.h"] = LIBRARY
FOLDERS["demos"] = ["ebb.h", *LIBRARY]
FOLDERS["bench"] = ["ebb.h", "demos", *LIBRARY]
FOLDERS["fuzz"] = ["ebb.h", *LIBRARY]

# Internal headers that other folders may include, and these folders ("*": all that may use the header's folder).
SHARED = {
    "kernels/kernels.h": "*",
    "kernels/integer.h": ["autograd"],
    "kernels/sizes.h": "*",
    "kernels/unary.def": "*",
    "kernels/binary.def": "*",
    "kernels/float_state.h": "*",
    "kernels/environment.h": ["tensor", "autograd"],
    "tensor/host.h": "*",
    "tensor/internal.h": ["autograd", "autograd/watching", "autograd/transforms", "archive", "ops", "training"],
    "tensor/memory.h": ["archive"],
    "tensor/deferred.h": ["autograd", "optim"],
    "tensor/option.h": "*",
    "autograd/internal.h": ["autograd/transforms", "autograd/watching", "ops"],
    "autograd/compute.h": ["ops"],
    "autograd/watching/parts.h": ["nn"],
    "ops/fused.h": ["nn"],
    "archive/internal.h": ["nn", "nn/models", "data", "training"],
    "archive/state.h": "*",
    "archive/torch/pickle.h": ["fuzz"],
    "nn/internal.h": ["nn/models", "optim", "training"],
    "data/internal.h": ["data/augment", "data/loader"],
    "data/augment/internal.h": ["data/loader"],
    "flow/internal.h": ["bench"],
    "kernels/gemm/blas.h": ["flow"],
    "demos/cli.h": ["bench"],
    "demos/surface.h": ["bench"],
}

# Folders of source files that are not in FOLDERS: the length of their files is checked, but not their includes.
OTHERS = ["tests", "script", ".ci"]
LONGEST = 600

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+(?:"([^"\n]+)"|<([^>\n]+)>|(.*))', re.M)
COMMENT = re.compile(r"\s*/\*.*?\*/", re.S)
# The phrase "for ops/ and autograd/ only" in the first comment of a header.
MEANT_FOR = re.compile(r"\b[Ff]or\s+((?:[\w/]+/,?\s+(?:and\s+)?)+)(?:and\s+its\s+tests\s+)?only\b")


def folder_of(path):
    """The innermost folder of FOLDERS that contains a file, or None."""
    while path and path not in FOLDERS:
        path = os.path.dirname(path)
    return path or None


def may_use(folder, path):
    """Whether files in a folder may use what the file path declares or defines."""
    other = folder_of(path)
    return other in (folder, None) or other in FOLDERS[folder] or path in FOLDERS[folder]


class Report:
    """Counts files without a violation, and violations."""

    def __init__(self):
        self.files, self.bad, self.failed = set(), set(), 0

    def looked_at(self, path):
        self.files.add(path)

    def violation(self, path, text):
        print(f"FAILED: {text}")
        self.bad.add(path)
        self.failed += 1

    def end(self):
        print(f"{len(self.files - self.bad)} passed, {self.failed} failed")
        return 1 if self.failed or not self.files else 0


# ---- The table itself ---------------------------------------------------------------------------


def check_table(report):
    order = list(FOLDERS)
    for i, folder in enumerate(order):
        for used in FOLDERS[folder]:
            if folder_of(used) not in order[:i]:
                report.violation("", f"the table lets {folder} use {used}, which does not come before it")
    for header, users in SHARED.items():
        for user in users if users != "*" else []:
            if order.index(user) <= order.index(folder_of(header)):
                report.violation("", f"the table lets {user} include {header}, which does not come before it")


# ---- Files --------------------------------------------------------------------------------------


def is_source(root, path):
    if path.endswith((".c", ".h", ".cpp", ".hpp", ".def", ".py", ".sh")) or os.path.basename(path) == "meson.build":
        return True
    if "." in os.path.basename(path):
        return False
    with open(os.path.join(root, path), "rb") as f:
        return f.read(2) == b"#!"


def source_files(root, wanted=is_source):
    """Every source file below root, or those that wanted selects, except in build directories and hidden folders
    (those in OTHERS count)."""
    found = []
    for directory, folders, names in os.walk(root):
        top = directory == root
        folders[:] = [f for f in folders
                      if (not f.startswith((".", "build")) or top and f in OTHERS)
                      and f != "__pycache__" and not (top and f == "shared")
                      and not os.path.exists(os.path.join(directory, f, "meson-private"))]
        for name in names:
            path = os.path.relpath(os.path.join(directory, name), root)
            if os.path.isfile(os.path.join(root, path)) and wanted(root, path):
                found.append(path)
    return sorted(found)


def resolve(root, path, quoted, angled):
    """The file below root that an #include names, or None."""
    tries = [os.path.join(os.path.dirname(path), quoted), quoted] if quoted else [angled]
    for name in map(os.path.normpath, tries):
        if os.path.isfile(os.path.join(root, name)):
            return name
    return None


def check_include(report, public, path, line, header):
    folder, other = folder_of(path), folder_of(header)
    where = f"{path}:{line}"
    if other is None:
        report.violation(path, f"{where}: {folder} includes {header}, which is in no folder of the table")
        return
    if path in public and header not in public:
        report.violation(path, f"{where}: a public header includes {header}, which is not public")
    if other == folder:
        return
    shared = SHARED.get(header, [])
    if folder in shared or shared == "*" and may_use(folder, header):
        return
    if not may_use(folder, header):
        report.violation(path, f"{where}: {folder} includes {header} of {other}, which it may not use")
    elif header not in public:
        report.violation(path, f"{where}: {folder} includes {header}, which is for {other} only")


def check_comment(report, path, text):
    """Compares the folders in the phrase "for .. only" of a header's first comment with the table."""
    first = COMMENT.match(text)
    meant = MEANT_FOR.search(re.sub(r"\n \*", "\n", first.group())) if first else None
    if not meant or SHARED.get(path) == "*":
        return
    said = {name.rstrip("/") for name in re.findall(r"[\w/]+/", meant.group(1))}
    for name in said - set(FOLDERS):
        report.violation(path, f"{path}: its comment is for {name}/, which is no folder of the table")
    # The name of a folder includes its subfolders.
    users = {folder_of(path), *SHARED.get(path, [])}
    for user in sorted(users):
        if user not in said and os.path.dirname(user) not in said:
            report.violation(path, f"{path}: its comment is not for {user}/, which the table lets include it")
    for name in sorted(said & set(FOLDERS)):
        if not any(user == name or user.startswith(name + "/") for user in users):
            report.violation(path, f"{path}: its comment is for {name}/, which the table does not let include it")


def check_files(root, headers):
    report = Report()
    public = {os.path.relpath(os.path.join(root, h), root) for h in headers}
    check_table(report)
    paths = source_files(root)
    for folder in FOLDERS:
        if not any(folder_of(path) == folder for path in paths):
            report.violation(folder, f"{folder}: a folder of the table, but it has no source file")
    for header in SHARED:
        if header not in paths:
            report.violation(header, f"{header}: a header of the table, but the file does not exist")
    for path in paths:
        report.looked_at(path)
        with open(os.path.join(root, path), encoding="utf-8") as f:
            text = f.read()
        lines = text.count("\n")
        if lines > LONGEST:
            report.violation(path, f"{path}: {lines} lines, more than {LONGEST}")
        if not path.endswith((".c", ".h", ".cpp", ".hpp")) or path.split("/")[0] in OTHERS:
            continue
        if folder_of(path) is None:
            report.violation(path, f"{path}: in no folder of the table")
            continue
        if path.endswith((".h", ".hpp")):
            check_comment(report, path, text)
        for found in INCLUDE.finditer(text):
            quoted, angled, other = found.groups()
            line = text.count("\n", 0, found.start()) + 1
            header = resolve(root, path, quoted, angled) if quoted or angled else None
            if header:
                check_include(report, public, path, line, header)
            elif quoted or other is not None:
                report.violation(path, f"{path}:{line}: no such file in the source tree: {quoted or other}")
    return report.end()


# ---- Symbols ------------------------------------------------------------------------------------


class CannotTell(Exception):
    pass


def objects_of(root, build):
    """Maps each existing object (a path from the build directory) of the folders in FOLDERS to its source."""
    objects = {}
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as f:
        commands = json.load(f)
    for entry in commands:
        directory = entry["directory"]
        source = os.path.relpath(os.path.realpath(os.path.join(directory, entry["file"])), os.path.realpath(root))
        output = os.path.join(directory, entry["output"])
        if folder_of(source) is None or not os.path.isfile(output):
            continue
        with open(output, "rb") as f:
            bitcode = f.read(2) == b"BC"
        if bitcode or re.search(r"(^|\s)-flto", entry.get("command", "")):
            raise CannotTell("the objects contain no symbols before they are linked (LTO)")
        objects[os.path.relpath(output, build)] = source
    return objects


def read_symbols(nm, build, objects):
    """Returns (needed, defined): for each symbol, the sources that need it and those that define it."""
    needed, defined = collections.defaultdict(set), collections.defaultdict(set)
    paths = list(objects)
    for i in range(0, len(paths), 200):
        try:
            done = subprocess.run([nm, "-A", "-g", "-P", *paths[i:i + 200]], cwd=build, capture_output=True,
                                  text=True, check=False)
        except OSError as e:
            raise CannotTell(f"{nm} does not run: {e}") from e
        if done.returncode or re.search("not recognized|plugin needed", done.stderr):
            raise CannotTell(f"{nm} cannot read these objects: {done.stderr.splitlines()[:1]}")
        for line in done.stdout.splitlines():
            path, _, rest = line.partition(": ")
            symbol, kind = rest.split()[:2]
            (needed if kind in "Uvw" else defined)[symbol].add(objects[path])
    return needed, defined


def check_symbols(root, build, nm):
    report = Report()
    check_table(report)
    try:
        if not nm:
            raise CannotTell("there is no nm")
        objects = objects_of(root, build)
        needed, defined = read_symbols(nm, build, objects)
    except CannotTell as e:
        print(f"Symbols are not checked: {e}.")
        return 77
    for source in objects.values():
        report.looked_at(source)
    for folder in LIBRARY:
        if not any(folder_of(source) == folder for source in objects.values()):
            report.violation(folder, f"{folder}: a folder of the table, but it has no object")
    for symbol in sorted(needed):
        users = collections.defaultdict(list)
        for source in sorted(needed[symbol]):
            if symbol in defined and not any(may_use(folder_of(source), path) for path in defined[symbol]):
                users[folder_of(source)].append(source)
        for folder, sources in users.items():
            path = min(defined[symbol])
            report.violation(sources[0], f"{symbol}: {folder} ({', '.join(sources)}) needs it, and {path} of "
                             f"{folder_of(path)}, which {folder} may not use, defines it")
            report.bad.update(sources)
    return report.end()


def main():
    if len(sys.argv) >= 3 and sys.argv[1] == "files":
        return check_files(sys.argv[2], sys.argv[3:])
    if len(sys.argv) in (4, 5) and sys.argv[1] == "symbols":
        return check_symbols(sys.argv[2], sys.argv[3], sys.argv[4] if len(sys.argv) == 5 else None)
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main())
