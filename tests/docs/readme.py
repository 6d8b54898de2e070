#!/usr/bin/env python3
"""Compiles and runs every C and C++ snippet of a Markdown file, and compares its output.

    readme.py FILE.md INCLUDE_DIR LIBRARY_DIR COMPILER [ARGUMENTS...]

A comment before each ```c or ```cpp block selects the check (NAME.cpp in place of NAME.c for C++, which is compiled
by g++ and clang++ where they are installed, as C++17 and as C++20):
    <!-- program: NAME.c -->   a whole program, which is compiled and run; a ```text block after it is its output, in
                               which "..." matches any text; in a block "text approximate" the words are the same,
                               numbers may differ by a fifth, and bars and rules have any length
    <!-- error: NAME.c -->     statements on a tape t, which run in debug mode; the ```text block after it is the tape's
                               error message
    <!-- functions: NAME.c --> definitions, which are compiled
header_examples.c checks the examples in headers.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror", "-O1"]
C_FLAGS = ["-std=c11", "-Wstrict-prototypes", *WARNINGS]
CXX_COMPILERS = [[command, standard] for command in ("g++", "clang++") for standard in ("-std=c++17", "-std=c++20")]
# The number of error messages that a file must show, so that none is lost unnoticed.
EXPECTED_ERRORS = {"README.md": 6}
ERROR_PROGRAM = """#include <ebb.h>
#include <stdio.h>
int main(void)
{{
	ebb_tape *t = ebb_tape_new();
	{{
#line 1 "{name}"
{code}
	}}
	puts(ebb_error_message(t));
	ebb_tape_free(t);
	return 0;
}}
"""


def snippets(text):
    """Yields (line, kind, name, code, the text block after it or None, the function that compares it)."""
    fence = re.compile(r"^(?:<!-- (\w+): (\S+) -->\n+)?```c(?:pp)?\n(.*?)^```\n(?:\n*```text( approximate)?\n(.*?)^```\n)?",
                       re.S | re.M)
    for m in fence.finditer(text):
        yield (text.count("\n", 0, m.start(3)) + 1, m.group(1), m.group(2), m.group(3), m.group(5),
               resembles if m.group(4) else matches)


def matches(pattern, text):
    return re.fullmatch(re.escape(pattern.strip()).replace(r"\.\.\.", ".*"), text.strip(), re.S)


NUMBER = re.compile(r"([-+]?\d[\d.]*(?:e[-+]?\d+)?)")


def is_drawn(word):
    """A bar or a rule."""
    return not word.strip("─█▉▊▋▌▍▎▏")


def resembles(pattern, text):
    words, printed = ([w for w in s.split() if not is_drawn(w)] for s in (pattern, text))
    if len(words) != len(printed):
        return False
    for word, other in zip(words, printed):
        if ":" in word:
            if word != other:       # a file and a line
                return False
            continue
        parts, others = NUMBER.split(word), NUMBER.split(other)
        if parts[::2] != others[::2]:
            return False
        for a, b in zip(map(number_of, parts[1::2]), map(number_of, others[1::2])):
            if abs(a - b) > 0.2 * abs(a):
                return False
    return True


def number_of(text):
    """A full stop ends the number at the end of a sentence."""
    return float(text.rstrip("."))


def check(kind, name, code, expected, compare, directory, include, library, compiler):
    """Returns a description of the failure, or None."""
    source, program = os.path.join(directory, name), os.path.join(directory, "program")
    if kind == "error":
        code = ERROR_PROGRAM.format(name=name, code=code)
    elif kind == "functions":
        code = "#include <ebb.h>\n#line 1\n" + code
    elif kind != "program":
        return "no comment selects a check for this snippet"
    with open(source, "w") as f:
        f.write(code)
    command = [*compiler, "-I", include, "-o", program, source]
    # Compiled in its own directory, so that error messages name the file without a path.
    command[command.index(source)] = name
    command += ["-c", "-Wno-unused-function"] if kind == "functions" else ["-L", library, "-lebb", "-lm", "-Wl,-rpath," + library]
    done = subprocess.run(command, capture_output=True, text=True, cwd=directory)
    if done.returncode:
        return done.stderr
    if kind == "functions":
        return None
    environment = {**os.environ, "EBB_DEBUG": "1"} if kind == "error" else None
    done = subprocess.run([program], capture_output=True, text=True, cwd=directory, timeout=120, env=environment)
    if done.returncode:
        return f"exit status {done.returncode}: {done.stderr}"
    if kind == "error" and expected is None:
        return "no ```text block with the message"
    if expected is not None and not compare(expected, done.stdout):
        return f"expected:\n{expected}\nprinted:\n{done.stdout}"
    return None


def commands(name, compiler):
    """The compilers of a snippet, with their flags."""
    if not name.endswith(".cpp"):
        return [[*compiler, *C_FLAGS]]
    found = [[*command, *WARNINGS] for command in CXX_COMPILERS if shutil.which(command[0])]
    if not found:
        print(f"{name} is not compiled: there is neither g++ nor clang++")
    return found


def main():
    path, include, library, *compiler = sys.argv[1:]
    passed = failed = errors = blocks = 0
    with open(path) as f:
        text = f.read()
    for line, kind, name, code, expected, compare in snippets(text):
        errors += kind == "error"
        blocks += 1
        for command in commands(name or "none.c", compiler):
            with tempfile.TemporaryDirectory() as directory:
                wrong = check(kind, name or "none.c", code, expected, compare, directory, include, library, command)
            if wrong:
                print(f"FAILED: {path}:{line}: {' '.join(command[:2])}: {wrong}")
                failed += 1
            else:
                passed += 1
    if blocks != text.count("```c\n") + text.count("```cpp\n"):
        print(f"FAILED: {path} has C blocks without a check")
        failed += 1
    expected_errors = EXPECTED_ERRORS.get(os.path.basename(path), 0)
    if errors < expected_errors:
        print(f"FAILED: {path} shows {errors} error messages, expected {expected_errors}")
        failed += 1
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
