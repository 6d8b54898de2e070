#!/usr/bin/env python3
"""Compiles and runs the C++ programs of this folder, with g++ and clang++, as C++17 and as C++20.

    cxx.py twins   SOURCE_DIR LIBRARY_DIR COMPILER [ARGUMENTS...]
    cxx.py macros  SOURCE_DIR LIBRARY_DIR HEADER...
    cxx.py refused SOURCE_DIR LIBRARY_DIR

"twins": each program NAME.cpp prints exactly what NAME.c prints, which is in this folder or in README.md and which
COMPILER compiles.  "macros": the programs macros_*.cpp run, and use every macro of the public headers; UNUSED names
those that are not for programs.  "refused": each case of refused.cpp fails to compile, with a message that matches the
comment beside its #if (only as C++17).  A compiler that is not installed is left out.  Ends with "N passed, N failed".
"""
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import headers  # noqa: E402

HERE = headers.HERE
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wold-style-cast", "-Werror"]
C_FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1"]
# Attributes of declarations, and parts of other macros.
UNUSED = ["EBB_API", "EBB_PRINTF", "EBB_SITE_STRING", "EBB_CALL_STEP", "EBB_LIST"]


class Report:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, what, wrong):
        self.passed += not wrong
        if wrong:
            self.failed += 1
            print(f"FAILED: {what}: {wrong}")

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed or not self.passed else 0


def compilers():
    """(command, standard) of each compiler that is installed."""
    found = []
    for command in ("g++", "clang++"):
        if shutil.which(command):
            found += [(command, "c++17"), (command, "c++20")]
        else:
            print(f"{command} is not installed")
    return found


def build_and_run(command, source, library):
    """(output, None) of a program, or (None, what is wrong).  It runs in a folder of its own."""
    with tempfile.TemporaryDirectory() as directory:
        program = os.path.join(directory, "program")
        name = os.path.join(directory, os.path.basename(source))
        shutil.copy(source, name)
        # Compiled in its own directory, so that error messages name the file without a path.
        done = subprocess.run([*command, "-o", program, os.path.basename(source), "-L", library, "-lebb", "-lm",
                               "-Wl,-rpath," + library], capture_output=True, text=True, cwd=directory)
        if done.returncode:
            return None, done.stderr
        done = subprocess.run([program], capture_output=True, text=True, cwd=directory, timeout=300)
        if done.returncode:
            return None, f"exit status {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout, None


def in_parallel(function, jobs):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, jobs))


def cxx(compiler, root):
    command, standard = compiler
    return [command, "-std=" + standard, *WARNINGS, "-O1", "-I", root]


def c_programs(root, directory):
    """name -> the path of the C program of that name, of this folder or of README.md."""
    found = {os.path.basename(path)[:-2]: path for path in glob.glob(os.path.join(HERE, "*.c"))}
    with open(os.path.join(root, "README.md"), encoding="utf-8") as f:
        for name, code in re.findall(r"^<!-- program: (\w+)\.c -->\n+```c\n(.*?)^```$", f.read(), re.S | re.M):
            found[name] = os.path.join(directory, name + ".c")
            with open(found[name], "w", encoding="utf-8") as out:
                out.write(code)
    return found


def twins(root, library, *compiler):
    report = Report()
    with tempfile.TemporaryDirectory() as directory:
        programs = c_programs(root, directory)
        jobs = []
        for path in sorted(glob.glob(os.path.join(HERE, "*.cpp"))):
            name = os.path.basename(path)[:-4]
            if name == "refused" or name.startswith("macros_"):
                continue
            report.check(name, None if name in programs else "there is no C program of that name")
            if name in programs:
                jobs.append(([*compiler, *C_FLAGS, "-I", root], programs[name]))
                jobs += [(cxx(c, root), path) for c in compilers()]
        results = in_parallel(lambda job: build_and_run(job[0], job[1], library), jobs)
    expected = None
    for (command, path), (output, wrong) in zip(jobs, results):
        if path.endswith(".c"):
            expected = output
            if not wrong and not output:
                wrong = "prints nothing"
        elif not wrong and output.replace(".cpp:", ".c:") != expected:
            wrong = f"printed:\n{output}\nthe C program:\n{expected}"
        report.check(f"{os.path.basename(path)}, {' '.join(command[:2])}", wrong)
    return report.end()


def macros(root, library, *public):
    report = Report()
    text = ""
    sources = sorted(glob.glob(os.path.join(HERE, "macros_*.cpp")))
    for path in sources:
        with open(path, encoding="utf-8") as f:
            text += re.sub(r"//.*|\"(?:\\.|[^\"\\\n])*\"", "", f.read())
    for name, takes_arguments in headers.macros(headers.read(public)).items():
        if name not in UNUSED:
            used = re.search(rf"\b{name}\b" + (r"\(" if takes_arguments else ""), text)
            report.check(name, None if used else "no file tests/cxx/macros_*.cpp uses this macro")
    jobs = [([*cxx(c, root), "-Wconversion"], path) for path in sources for c in compilers()]
    results = in_parallel(lambda job: build_and_run(job[0], job[1], library), jobs)
    for (command, path), (_, wrong) in zip(jobs, results):
        report.check(f"{os.path.basename(path)}, {' '.join(command[:2])}", wrong)
    return report.end()


def refused(root, _library):
    report = Report()
    path = os.path.join(HERE, "refused.cpp")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    cases = dict(re.findall(r"^#(?:el)?if CASE == (\d+) +// (.*)$", text, re.M))
    if len(cases) != text.count("CASE =="):
        report.check("refused.cpp", "has a case without a message")
    installed = [c for c in compilers() if c[1] == "c++17"]
    jobs = [(c, number) for c in installed for number in ["0", *cases]]
    jobs += [((command, "c++14"), "c++14") for command, _ in installed]
    cases["c++14"] = "the headers of Ebb need C"
    results = in_parallel(lambda job: subprocess.run(
        [*cxx(job[0], root), "-DCASE=" + job[1].strip("c+"), "-fsyntax-only", path],
        capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}), jobs)
    for (compiler, number), done in zip(jobs, results):
        wrong = None
        errors = "\n".join(line for line in done.stderr.split("\n") if "error:" in line)
        if number == "0":
            wrong = done.stderr
        elif not done.returncode:
            wrong = "compiles"
        elif not re.search(cases[number], errors):
            wrong = f"the message lacks \"{cases[number]}\":\n{done.stderr}"
        report.check(f"case {number}, {' '.join(compiler)}", wrong)
    return report.end()


def main():
    modes = {"twins": twins, "macros": macros, "refused": refused}
    if len(sys.argv) < 4 or sys.argv[1] not in modes:
        print(__doc__)
        return 2
    if not compilers():
        return 77
    mode, root, library, *rest = sys.argv[1:]
    return modes[mode](os.path.abspath(root), os.path.abspath(library), *rest)


if __name__ == "__main__":
    sys.exit(main())
