#!/usr/bin/env python3
"""Names: no two things of the library share one, and no retired word is left.

    names.py duplicates SOURCE_DIR
    names.py retired    SOURCE_DIR

"duplicates" reads what each file of the library's folders defines at file scope under a name that begins with ebb_
or EBB_ (functions, types, enumerators, objects, macros) and prints each name with two meanings.  A macro may
have the name of the function that its expansion calls.  "retired" prints each line with one of the words below,
in an identifier, a comment, a text or a document.  Both end with "N passed, N failed": names or files without a
violation, and violations.
"""
import os
import re
import sys

from layers import LIBRARY, is_source, source_files

# ---- Duplicate names ----------------------------------------------------------------------------

# Names that may have two meanings, and why.
TWICE = {
    "ebb_linear": "the op is a macro with an argument list, the layer's type has none",
    "EBB_SITE": "functions of nn/models/ take it from their parameter",
}

TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|[A-Za-z_]\w*|\d\w*|\S', re.S)
DEFINE = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)(\([^)]*\))?(.*)$", re.M)
DIRECTIVE = re.compile(r"^[ \t]*#.*$", re.M)
OURS = re.compile(r"(ebb|EBB)_\w+\Z")


def tokens(text):
    for match in TOKEN.finditer(text):
        token = match.group()
        if not token.startswith(("//", "/*")):
            yield token


def macros(text):
    """(name, expansion) of each macro of a text whose lines are joined."""
    return [(m.group(1), m.group(3)) for m in DEFINE.finditer(text)]


def statements(text):
    """The declarations at file scope, each a list of tokens; a body is one token "{}" and what a type's body
    declares comes beside it: (tokens, bodies)."""
    text = DIRECTIVE.sub("", text)
    current, bodies, body, depth = [], [], [], 0
    listed = list(tokens(text))
    i = 0
    while i < len(listed):
        token = listed[i]
        if depth == 0 and token == "extern" and listed[i + 1:i + 3] == ['"C"', "{"]:
            i += 3
            continue
        i += 1
        if token == "{":
            depth += 1
            if depth > 1:
                body.append(token)
        elif token == "}":
            if depth == 0:
                continue  # the end of extern "C"
            depth -= 1
            if depth:
                body.append(token)
                continue
            current.append("{}")
            bodies.append(body)
            body = []
            # A function's body ends its definition; a type's and an initialiser's do not.
            if ")" in current and "=" not in current and current[0] != "typedef":
                yield current, bodies
                current, bodies = [], []
        elif depth:
            body.append(token)
        elif token == ";":
            if current:
                yield current, bodies
            current, bodies = [], []
        else:
            current.append(token)


def enumerators(body):
    names, depth, fresh = [], 0, True
    for token in body:
        if depth == 0 and fresh and re.match(r"[A-Za-z_]", token):
            names.append(token)
        fresh = depth == 0 and token == ","
        depth += (token in "([{") - (token in ")]}")
    return names


def is_local(head):
    """Whether a declaration names what its file alone sees; inline functions of headers are the header's."""
    return any(word in ("static", "inline", "EBB_INLINE") for word in head)


def tag_of(current, k):
    """The tag of "struct tag {" or "struct tag" at k."""
    return current[k + 1] if k + 1 < len(current) and re.match(r"[A-Za-z_]", current[k + 1]) else ""


def without_macros(current):
    """A declaration without what stands before it: NAME(..) of a macro that ends without a semicolon, or of an
    attribute."""
    while len(current) > 1 and re.match(r"[A-Za-z_]", current[0]) and current[1] == "(":
        end, depth = 1, 1
        while depth and end + 1 < len(current):
            end += 1
            depth += (current[end] == "(") - (current[end] == ")")
        if end + 1 >= len(current) or not re.match(r"[A-Za-z_]", current[end + 1]):
            break
        current = current[end + 1:]
    return current


def meanings(path, text):
    """(name, meaning) of what a file declares at file scope.  Declarations of one thing have one meaning: a
    type is its tag wherever it is defined, a function its linkage, a macro its file."""
    text = text.replace("\\\n", "  ")
    found = []
    for current, bodies in statements(text):
        current = without_macros(current)
        head = current[:current.index("{}")] if "{}" in current else current
        for k, token in enumerate(head):
            if token in ("struct", "union", "enum") and (k == 0 or head[k - 1] in ("typedef", "static", "extern", "const")):
                tag = tag_of(current, k)
                if token == "enum" and bodies:
                    found += [(name, f"enumerator in {path}") for name in enumerators(bodies[0])]
                if current[k + 2:k + 3] == ["{}"]:
                    found.append((tag, f"type {tag}"))
                    found.append((tag, f"body in {path}"))
                if current[0] == "typedef":
                    found.append((current[-1], f"type {tag or path}"))
        if current[0] == "typedef":
            if current[1] not in ("struct", "union", "enum"):
                pointer = re.search(r"\( \* (\w+) \)", " ".join(current))
                found.append((pointer.group(1) if pointer else current[-1], f"type in {path}"))
            continue
        if "(" in head and "=" not in head[:head.index("(")]:
            at = head.index("(")
            name = head[at - 1] if at else ""
            if head[at + 1:at + 2] == ["*"] and at + 2 < len(head):
                found.append((head[at + 2], f"object of {path}"))  # a pointer to a function
                continue
            if head[at + 2:at + 4] == [")", "("]:
                name = head[at + 1]  # (ebb_relu)(..)
            if name.startswith("EBB_"):
                continue  # a macro at file scope
            found.append((name, f"function of {path}" if is_local(head) else "function"))
            if current[-1] == "{}" and not is_local(head):
                found.append((name, f"body in {path}"))
        elif current[0] != "extern" and (not bodies or "=" in current) and len(current) > 1:
            declared = current[:current.index("=")] if "=" in current else current
            declared = declared[:declared.index("[")] if "[" in declared else declared
            if declared[0] not in ("struct", "union", "enum") or len(declared) > 2:
                found.append((declared[-1], f"object of {path}"))
    for name, expansion in macros(text):
        # ebb_relu(..) calls ebb_relu, ebb_pack(..) calls EBB_NAME(pack): the macro of a function is no meaning of its own.
        if not re.search(rf"\b{name}\b|\bEBB_NAME\({name[4:]}\)", expansion):
            found.append((name, f"macro in {path}"))
    return [(name, meaning) for name, meaning in found if OURS.match(name)]


def duplicates(root):
    """How many names there are, and name -> its meanings where there is more than one."""
    seen = {}
    for path in source_files(root):
        if path.endswith((".c", ".h")) and (path.split("/")[0] in LIBRARY or path == "ebb.h"):
            with open(os.path.join(root, path), encoding="utf-8") as f:
                for name, meaning in meanings(path, f.read()):
                    seen.setdefault(name, set()).add(meaning)
    bad = {}
    for name, all_of in seen.items():
        bodies = [m for m in all_of if m.startswith("body")]
        if (len(all_of) - len(bodies) > 1 or len(bodies) > 1) and name not in TWICE:
            bad[name] = sorted(all_of)
    return len(seen), bad


# ---- Retired words ------------------------------------------------------------------------------

# Each with the field's term that has taken its place.
RETIRED = {
    "remak(e|es|ing)|remade": "recompute",
    "stored": "persistent, parameter; written, saved",
    "deposit(s|ed|ing)?": "accumulate",
    "ways?": "algorithm, method, form",
    "walk(s|ed|ing)?": "loop nest, traversal",
    "turned": "transposed, rotated",
    "crews?": "workers",
    "ahead": "prefetch",
    "dice": "rng",
    "adopt(s|ed|ing)?": "import",
}
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
RETIRED_WORD = re.compile("|".join(f"(?:{words})" for words in RETIRED), re.I)
# The files that list the words themselves.
THESE = ("tests/layers/names.py", "tests/layers/planted_names.py")
# Names of other libraries and, in the changelog, names that are gone.
FOREIGN = re.compile(r"\bos\.walk\b")
CODE_SPAN = re.compile(r"`[^`]*`")


def is_text(root, path):
    return path not in THESE and (path.endswith((".md", "meson_options.txt")) or is_source(root, path))


def retired(root, path):
    """(line, word, what to say) of each retired word of a file."""
    with open(os.path.join(root, path), encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            line = FOREIGN.sub("", line)
            if os.path.basename(path) == "CHANGELOG.md":
                line = CODE_SPAN.sub("", line)
            for word in WORD.findall(line):
                if RETIRED_WORD.fullmatch(word):
                    instead = next(new for old, new in RETIRED.items() if re.fullmatch(old, word, re.I))
                    yield number, word, instead


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("duplicates", "retired"):
        sys.exit(__doc__)
    what, root = sys.argv[1:]
    passed = failed = 0
    if what == "duplicates":
        count, bad = duplicates(root)
        for name, all_of in sorted(bad.items()):
            print(f"FAILED: {name} has more than one meaning: {'; '.join(all_of)}")
        passed, failed = count - len(bad), len(bad)
    else:
        for path in source_files(root, is_text):
            found = list(retired(root, path))
            for number, word, instead in found:
                print(f"FAILED: {path}:{number}: {word}: say {instead}")
            passed += not found
            failed += len(found)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
