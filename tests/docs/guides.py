#!/usr/bin/env python3
"""Compares README and guides (Markdown) with the files that they name and quote.

    guides.py SOURCE_DIR FILE.md...

- Each path in backticks or in a link exists: a file or a folder of the tree, or the name of one without its path.
- Each identifier ebb_.. or EBB_.. in backticks is in a C file or in a list (.def).
- `name` (`path`): the identifier is in that file.
- A code block after <!-- quoted: PATH --> is in that file, line by line; a line "..." stands for any lines.
- A table of folders (folder | content | may use) is the table of tests/layers/layers.py.
Prints each difference, and ends with "N passed, N failed".
"""
import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "layers"))
import layers  # noqa: E402

# Folders of builds and of what programs write, which are not in the tree; and names that stand for any.
NOT_THERE = re.compile(r"^(?:build[\w-]*|out)/|^\.\.|[A-Z]{3,}\.\w+$|^\.\w+$")
PATH = re.compile(r"^\.?[\w-]+(?:[./][\w.-]+)*/?$")
ENDINGS = (".c", ".h", ".cpp", ".hpp", ".py", ".sh", ".def", ".md", ".build", ".png", ".txt")
QUOTE = re.compile(r"^<!-- quoted: (\S+) -->\n```\w*\n(.*?)^```$", re.S | re.M)
ROW = re.compile(r"^\| `([\w/]+)/` \| .* \| (.*?) ?\|$", re.M)


class Tree:
    """The files of a source tree, and the words of its C files."""

    def __init__(self, root):
        self.root = root
        self.names, self.words, self.of_file = set(), set(), {}
        for directory, folders, names in os.walk(root):
            folders[:] = [f for f in folders if not f.startswith((".", "build")) and f != "shared"]
            self.names.update(names, (name + "/" for name in folders))
            for name in names:
                if name.endswith((".c", ".h", ".cpp", ".hpp", ".def")):
                    self.words |= self.words_of(os.path.relpath(os.path.join(directory, name), root))

    def text(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8") as f:
            return f.read()

    def words_of(self, path):
        if path not in self.of_file:
            self.of_file[path] = set(re.findall(r"\w+", self.text(path)))
        return self.of_file[path]

    def has(self, path):
        return os.path.exists(os.path.join(self.root, path))

    def defines(self, word):
        """A word of a C file, or one that a list makes: EBB_UNARY_relu of the row relu."""
        if word in self.words:
            return True
        made = re.fullmatch(r"EBB_[A-Z]+_([a-z]\w*)", word)
        return bool(made) and made.group(1) in self.words


def quote_is_in(quoted, text):
    """Whether the parts of a quotation between lines "..." are in a text, in that order."""
    at = 0
    for part in re.split(r"^\s*\.\.\.\n", quoted, flags=re.M):
        found = ("\n" + text).find("\n" + part, at)
        if not part.strip() or found < 0:
            return False
        at = found + len(part)
    return True


def check_tokens(tree, path, text):
    """(what, problem or None) for each token in backticks and each link."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", prose):
        if "://" not in target:
            name = os.path.normpath(os.path.join(os.path.dirname(path), target))
            yield target, None if tree.has(name) else f"links to {target}, which does not exist"
    for token in re.findall(r"`([^`\n]+)`", prose):
        for word in re.findall(r"\b(?:ebb|EBB)_\w+", token):
            if not word.endswith("_"):
                yield word, None if tree.defines(word) else f"names {word}, which is in no C file"
        name = token.split()[0]
        if not PATH.match(name) or NOT_THERE.search(name):
            continue
        if "/" in name or name.endswith(ENDINGS):
            exists = tree.has(name) or name in tree.names
            yield name, None if exists else f"names {name}, which does not exist"
    for word, name in re.findall(r"`(\w+)`\s+\(`([\w./]+)`\)", prose):
        if tree.has(name):
            yield word, None if word in tree.words_of(name) else f"says that {word} is in {name}, which lacks it"


def check_quotes(tree, text):
    for name, quoted in QUOTE.findall(text):
        if not tree.has(name):
            yield name, f"quotes {name}, which does not exist"
        else:
            yield name, None if quote_is_in(quoted, tree.text(name)) else f"quotes what is not in {name}:\n{quoted}"
    if text.count("<!-- quoted: ") != len(QUOTE.findall(text)):
        yield "quotations", "has a comment \"quoted\" without a code block below it"


def check_table(text):
    """The table of folders, if the text has one."""
    rows = dict(ROW.findall(text))
    if "| folder | content | may use |" not in text:
        return
    for folder in layers.LIBRARY:
        if folder not in rows:
            yield folder, f"has no row for {folder}/"
            continue
        said = {name.rstrip("/") for name in re.findall(r"`([\w/.]+)`", rows[folder])}
        used = {layers.folder_of(name) for name in layers.FOLDERS[folder]}
        yield folder, None if said == used else f"says that {folder}/ may use {sorted(said)}; layers.py: {sorted(used)}"
    for folder in rows:
        if folder not in layers.LIBRARY:
            yield folder, f"has a row for {folder}/, which layers.py lacks"


def main():
    root, *guides = sys.argv[1:]
    tree = Tree(root)
    passed = failed = 0
    for guide in guides:
        path = os.path.relpath(guide, root)
        text = tree.text(path)
        for _, problem in [*check_tokens(tree, path, text), *check_quotes(tree, text), *check_table(text)]:
            passed += problem is None
            if problem:
                failed += 1
                print(f"FAILED: {path} {problem}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
