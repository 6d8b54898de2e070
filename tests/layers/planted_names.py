#!/usr/bin/env python3
"""Plants what names.py must find, in small trees of its own, and sees that it finds it.

    planted_names.py NAMES_PY
"""
import contextlib
import io
import os
import sys
import tempfile

sys.dont_write_bytecode = True

# What one name may be: declared and defined, forward declared, called by a macro of its own.
SOUND = {
    "tensor/a.h": "typedef struct ebb_a ebb_a;\nEBB_API ebb_a *ebb_a_new(int n);\nextern int ebb_count;\n"
                  "#define ebb_a_new(...) ebb_a_new(__VA_ARGS__, EBB_SITE)\n"
                  "enum { EBB_ONE, EBB_TWO = EBB_ONE + 1 };\n",
    "tensor/a.c": "struct ebb_a {\n\tint ebb_member;\n};\nint ebb_count = 3;\n"
                  "ebb_a *(ebb_a_new)(int n)\n{\n\tint ebb_local = n;\n\treturn 0;\n}\n",
    "kernels/b.h": "#define ebb_pack EBB_NAME(pack)\nvoid ebb_pack(int n);\n"
                   "static inline int ebb_lines(int n)\n{\n\treturn n;\n}\n",
    "kernels/b.c": "void ebb_pack(int n)\n{\n\tint ebb_lines = 0;\n}\n",
}

# What is planted beside it, and the name that has two meanings then.
TWICE = [
    ("an inline function and a public one", {"kernels/c.h": "static inline float ebb_a_new(float x)\n{\n\treturn x;\n}\n"}, "ebb_a_new"),
    ("inline functions of two headers", {"tensor/c.h": "EBB_INLINE int ebb_lines(int n)\n{\n\treturn 2 * n;\n}\n"}, "ebb_lines"),
    ("a static function of a file", {"data/c.c": "MADE(x)\n__attribute__((cold)) static float ebb_a_new(float x)\n{\n\treturn x;\n}\n"}, "ebb_a_new"),
    ("a pointer to functions and a function", {"data/c.c": "static void (*ebb_pack)(int);\n"}, "ebb_pack"),
    ("two bodies of a function", {"ops/c.c": "ebb_a *ebb_a_new(int n)\n{\n\treturn 0;\n}\n"}, "ebb_a_new"),
    ("two bodies of a struct", {"flow/c.h": "struct ebb_a {\n\tint x;\n};\n"}, "ebb_a"),
    ("a type and a function", {"data/c.h": "typedef struct ebb_pack {\n\tint x;\n} ebb_pack;\n"}, "ebb_pack"),
    ("a pointer type and a function", {"data/c.h": "typedef int (*ebb_lines)(int n);\n"}, "ebb_lines"),
    ("an enumerator twice", {"nn/c.h": "enum ebb_kind { EBB_TWO = 7 };\n"}, "EBB_TWO"),
    ("a macro and an enumerator", {"nn/c.h": "#define EBB_ONE 1\n"}, "EBB_ONE"),
    ("an object and a function", {"optim/c.c": "static const int ebb_pack[] = {1, 2};\n"}, "ebb_pack"),
    ("a macro that calls another", {"optim/c.c": "#define ebb_pack(n) ebb_lines(n)\n"}, "ebb_pack"),
]

RETIRED = [
    ("a part of an identifier", "nn/c.c", "int ebb_remake_all;\n", "remake"),
    ("a comment", "nn/c.c", "/* The crew waits. */\n", "crew"),
    ("a constant", "nn/c.h", "enum { EBB_DICE_BANK };\n", "DICE"),
    ("a text", "nn/c.c", 'const char *s = "a stored tensor";\n', "stored"),
    ("a document", "docs/c.md", "Batches are made ahead.\n", "ahead"),
    ("a script", "script/c", "#!/bin/sh\n# in other ways\n", "ways"),
    ("a row of data", "kernels/c.def", "/* walks */\n", "walks"),
]


class Planter:
    def __init__(self, names):
        sys.path.insert(0, os.path.dirname(names))
        self.names = __import__("names")
        self.passed = self.failed = 0

    def run(self, what, planted):
        """What names.py exits with and prints for a tree."""
        with tempfile.TemporaryDirectory() as root:
            for path, text in planted.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as f:
                    f.write(text)
            printed, sys.argv = io.StringIO(), ["names.py", what, root]
            with contextlib.redirect_stdout(printed):
                status = self.names.main()
        return status, [line for line in printed.getvalue().splitlines() if line.startswith("FAILED: ")]

    def expect(self, case, done, word):
        """One violation with that word, or none."""
        status, lines = done
        if (status, len(lines)) == ((1, 1) if word else (0, 0)) and all(word in line.replace(":", " ").split() for line in lines):
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED: {case}: exit status {status}, printed {lines}")

    def all(self):
        self.expect("a sound tree", self.run("duplicates", SOUND), "")
        for case, planted, name in TWICE:
            self.expect(case, self.run("duplicates", {**SOUND, **planted}), name)
        sound = {**SOUND, "docs/a.md": "It is always on.\n", "script/a.py": "for a in os.walk(b):\n\tpass\n",
                 "CHANGELOG.md": "`ebb_node_stored` is gone.\n"}
        self.expect("no retired word", self.run("retired", sound), "")
        for case, path, text, word in RETIRED:
            self.expect(case, self.run("retired", {**sound, path: text}), word)
        self.expect("the changelog's prose", self.run("retired", {"CHANGELOG.md": "A stored one.\n"}), "stored")
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0


if __name__ == "__main__":
    sys.exit(Planter(sys.argv[1]).all())
