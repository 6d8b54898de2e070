#!/usr/bin/env python3
"""Arrows point down only: who may include what, who may need whose symbols, and no file too long.

    layers.py files   SOURCE_DIR PUBLIC_HEADER...
    layers.py symbols SOURCE_DIR BUILD_DIR [NM]

"files" reads every #include of the rooms below, the comments of their internal headers, and the length of
every source file.  "symbols" reads, by nm, what each object in a build directory defines and needs; without
nm, or where objects hold no machine code yet (LTO), it exits with 77.  Both print each violation, and end
with "N passed, N failed": files without a violation, and violations.
"""
import collections
import json
import os
import re
import subprocess
import sys

# From the bottom to the top: each room, and the rooms that it may use, all of which stand above it here.  A
# file in place of a room permits that file alone.  A room within a folder is apart from the folder's own.
ROOMS = {
    "kernels": [],
    "tensor": ["kernels"],
    "autograd": ["tensor", "kernels"],
    "autograd/watching": ["autograd", "tensor", "kernels"],
    "autograd/transforms": ["autograd", "tensor", "kernels"],
    "archive": ["tensor", "kernels"],
    "ops": ["autograd", "tensor", "kernels"],
    "nn": ["ops", "autograd", "autograd/watching", "tensor", "archive", "kernels"],
    "nn/models": ["nn", "ops", "autograd", "tensor"],
    # Of nn/ the parameter store alone.
    "optim": ["autograd", "tensor", "archive", "kernels", "nn/nn.h", "nn/params.c"],
    "data": ["tensor", "archive", "kernels"],
    "data/augment": ["data", "tensor", "kernels"],
    "data/loader": ["data", "data/augment", "tensor", "archive", "kernels"],
    "training": ["optim", "nn", "data", "data/loader", "autograd", "tensor", "archive", "kernels"],
    "flow": ["ops", "autograd", "autograd/watching", "tensor", "kernels"],
}
LIBRARY = list(ROOMS)
ROOMS["ebb.h"] = LIBRARY
ROOMS["demos"] = ["ebb.h", *LIBRARY]
ROOMS["bench"] = ["ebb.h", "demos", *LIBRARY]
ROOMS["fuzz"] = ["ebb.h", *LIBRARY]

# The headers that are neither public nor of their own room alone, and the rooms that may include them besides
# ("*": all that may use the header's room).
SHARED = {
    "kernels/kernels.h": "*",
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
    "archive/internal.h": ["nn", "data", "training"],
    "archive/state.h": "*",
    "archive/torch/pickle.h": ["fuzz"],
    "nn/internal.h": ["nn/models", "optim", "training"],
    "data/internal.h": ["data/augment", "data/loader"],
    "data/augment/internal.h": ["data/loader"],
    "flow/internal.h": ["bench"],
    "demos/cli.h": ["bench"],
    "demos/surface.h": ["bench"],
}

# Folders of source files that are no rooms: their files may be no longer than others', and include anything.
OTHERS = ["tests", "script", ".ci"]
LONGEST = 600

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+(?:"([^"\n]+)"|<([^>\n]+)>|(.*))', re.M)
COMMENT = re.compile(r"\s*/\*.*?\*/", re.S)
# "for ops/ and autograd/ only" at the end of what a header's first comment says that it is.
MEANT_FOR = re.compile(r"\b[Ff]or\s+((?:[\w/]+/,?\s+(?:and\s+)?)+)(?:and\s+its\s+tests\s+)?only\b")


def room_of(path):
    """The innermost room that a file is in, or None."""
    while path and path not in ROOMS:
        path = os.path.dirname(path)
    return path or None


def may_use(room, path):
    """Whether a room may use what a file of another one declares or defines."""
    other = room_of(path)
    return other in (room, None) or other in ROOMS[room] or path in ROOMS[room]


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
    rooms = list(ROOMS)
    for i, room in enumerate(rooms):
        for used in ROOMS[room]:
            if room_of(used) not in rooms[:i]:
                report.violation("", f"the table lets {room} use {used}, which does not stand before it")
    for header, users in SHARED.items():
        for user in users if users != "*" else []:
            if rooms.index(user) <= rooms.index(room_of(header)):
                report.violation("", f"the table lets {user} include {header}, which does not stand before it")


# ---- Files --------------------------------------------------------------------------------------


def is_source(root, path):
    if path.endswith((".c", ".h", ".def", ".py", ".sh")) or os.path.basename(path) == "meson.build":
        return True
    if "." in os.path.basename(path):
        return False
    with open(os.path.join(root, path), "rb") as f:
        return f.read(2) == b"#!"


def source_files(root):
    """Every source file below the top, build directories and hidden folders (but those named) left out."""
    found = []
    for directory, folders, names in os.walk(root):
        top = directory == root
        folders[:] = [f for f in folders
                      if (not f.startswith((".", "build")) or top and f in OTHERS)
                      and f != "__pycache__" and not (top and f == "shared")
                      and not os.path.exists(os.path.join(directory, f, "meson-private"))]
        for name in names:
            path = os.path.relpath(os.path.join(directory, name), root)
            if os.path.isfile(os.path.join(root, path)) and is_source(root, path):
                found.append(path)
    return sorted(found)


def resolve(root, path, quoted, angled):
    """The file of the tree that an #include names, or None."""
    tries = [os.path.join(os.path.dirname(path), quoted), quoted] if quoted else [angled]
    for name in map(os.path.normpath, tries):
        if os.path.isfile(os.path.join(root, name)):
            return name
    return None


def check_include(report, public, path, line, header):
    room, other = room_of(path), room_of(header)
    where = f"{path}:{line}"
    if other is None:
        report.violation(path, f"{where}: {room} includes {header}, which is in no room of the table")
        return
    if path in public and header not in public:
        report.violation(path, f"{where}: a public header includes {header}, which is not public")
    if other == room:
        return
    shared = SHARED.get(header, [])
    if room in shared or shared == "*" and may_use(room, header):
        return
    if not may_use(room, header):
        report.violation(path, f"{where}: {room} includes {header} of {other}, which it may not use")
    elif header not in public:
        report.violation(path, f"{where}: {room} includes {header}, which is for {other} only")


def check_comment(report, path, text):
    """The rooms that a header's first comment says it is for, against the table."""
    first = COMMENT.match(text)
    meant = MEANT_FOR.search(re.sub(r"\n \*", "\n", first.group())) if first else None
    if not meant or SHARED.get(path) == "*":
        return
    said = {name.rstrip("/") for name in re.findall(r"[\w/]+/", meant.group(1))}
    for name in said - set(ROOMS):
        report.violation(path, f"{path}: its comment is for {name}/, which is no room")
    # A folder's name covers the rooms within it.
    users = {room_of(path), *SHARED.get(path, [])}
    for user in sorted(users):
        if user not in said and os.path.dirname(user) not in said:
            report.violation(path, f"{path}: its comment is not for {user}/, which the table lets include it")
    for name in sorted(said & set(ROOMS)):
        if not any(user == name or user.startswith(name + "/") for user in users):
            report.violation(path, f"{path}: its comment is for {name}/, which the table does not let include it")


def check_files(root, headers):
    report = Report()
    public = {os.path.relpath(os.path.join(root, h), root) for h in headers}
    check_table(report)
    paths = source_files(root)
    for room in ROOMS:
        if not any(room_of(path) == room for path in paths):
            report.violation(room, f"{room}: a room of the table, but no file is in it")
    for header in SHARED:
        if header not in paths:
            report.violation(header, f"{header}: a header of the table, but not there")
    for path in paths:
        report.looked_at(path)
        with open(os.path.join(root, path), encoding="utf-8") as f:
            text = f.read()
        lines = text.count("\n")
        if lines > LONGEST:
            report.violation(path, f"{path}: {lines} lines, more than {LONGEST}")
        if not path.endswith((".c", ".h")) or path.split("/")[0] in OTHERS:
            continue
        if room_of(path) is None:
            report.violation(path, f"{path}: in no room of the table")
            continue
        if path.endswith(".h"):
            check_comment(report, path, text)
        for found in INCLUDE.finditer(text):
            quoted, angled, other = found.groups()
            line = text.count("\n", 0, found.start()) + 1
            header = resolve(root, path, quoted, angled) if quoted or angled else None
            if header:
                check_include(report, public, path, line, header)
            elif quoted or other is not None:
                report.violation(path, f"{path}:{line}: no file of the tree: {quoted or other}")
    return report.end()


# ---- Symbols ------------------------------------------------------------------------------------


class CannotTell(Exception):
    pass


def objects_of(root, build):
    """The rooms' objects that are there, as paths from the build directory, and the sources they are of."""
    objects = {}
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as f:
        commands = json.load(f)
    for entry in commands:
        directory = entry["directory"]
        source = os.path.relpath(os.path.realpath(os.path.join(directory, entry["file"])), os.path.realpath(root))
        output = os.path.join(directory, entry["output"])
        if room_of(source) is None or not os.path.isfile(output):
            continue
        with open(output, "rb") as f:
            bitcode = f.read(2) == b"BC"
        if bitcode or re.search(r"(^|\s)-flto", entry.get("command", "")):
            raise CannotTell("objects are compiled when they are linked (LTO), and hold no symbols before")
        objects[os.path.relpath(output, build)] = source
    return objects


def read_symbols(nm, build, objects):
    """(needed, defined): which sources need a symbol, and which define it."""
    needed, defined = collections.defaultdict(set), collections.defaultdict(set)
    paths = list(objects)
    for i in range(0, len(paths), 200):
        try:
            done = subprocess.run([nm, "-A", "-g", "-P", *paths[i:i + 200]], cwd=build, capture_output=True,
                                  text=True, check=False)
        except OSError as e:
            raise CannotTell(f"{nm} does not run: {e}") from e
        if done.returncode or re.search("not recognized|plugin needed", done.stderr):
            raise CannotTell(f"{nm} does not read these objects: {done.stderr.splitlines()[:1]}")
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
        print(f"Symbols are not looked at: {e}.")
        return 77
    for source in objects.values():
        report.looked_at(source)
    for room in LIBRARY:
        if not any(room_of(source) == room for source in objects.values()):
            report.violation(room, f"{room}: a room of the table, but no object is of it")
    for symbol in sorted(needed):
        users = collections.defaultdict(list)
        for source in sorted(needed[symbol]):
            if symbol in defined and not any(may_use(room_of(source), path) for path in defined[symbol]):
                users[room_of(source)].append(source)
        for room, sources in users.items():
            path = min(defined[symbol])
            report.violation(sources[0], f"{symbol}: {room} ({', '.join(sources)}) needs it, and {path} of "
                             f"{room_of(path)}, which {room} may not use, defines it")
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
