"""What the public headers define: structs with their members, and macros."""
import os
import re

HERE = os.path.dirname(os.path.realpath(__file__))
STRUCT = re.compile(r"^(?:typedef )?struct (\w+) \{(.*?)^\}[^;]*;", re.S | re.M)
DEFINE = re.compile(r"^#define (\w+)(\(?)(.*)$", re.M)


def read(paths):
    """The text of the headers in C (.h), without comments, with continued lines joined."""
    texts = []
    for path in paths:
        if not path.endswith(".h"):
            continue
        with open(path, encoding="utf-8") as f:
            texts.append(re.sub(r"/\*.*?\*/", " ", f.read(), flags=re.S).replace("\\\n", " "))
    return "\n".join(texts)


def included(root, path, found=None):
    """The paths of a header below root, and of all headers that it includes in quotes."""
    found = [] if found is None else found
    if path not in found:
        found.append(path)
        with open(path, encoding="utf-8") as f:
            for name in re.findall(r'^#include "(.*)"$', f.read(), re.M):
                beside = os.path.normpath(os.path.join(os.path.dirname(path), name))
                included(root, beside if os.path.exists(beside) else os.path.join(root, name), found)
    return found


def macros(text):
    """name -> whether it takes arguments, of each macro for users; names that end in _ are internal, and a macro
    without expansion is an include guard or vanishes."""
    return {m[1]: m[2] == "(" for m in DEFINE.finditer(text) if m[3].strip() and not m[1].endswith("_")}


def declared(members):
    """The names that a list of member declarations declares: int *a, b[2]; void (*f)(int x);"""
    names = []
    for declaration in members.split(";"):
        function = re.search(r"\(\*(\w+)\)\(", declaration)
        if function:
            names.append(function[1])
        elif declaration.strip():
            names += [re.search(r"(\w+)\s*(?:\[.*\])?$", part.strip())[1]
                      for part in re.sub(r"\[[^\]]*\]", "", declaration).split(",")]
    return names


def structs(text):
    """struct -> its members' names, in order; a macro of members (EBB_CONV_GEOMETRY) is expanded."""
    lists = {m[1]: m[3] for m in DEFINE.finditer(text) if not m[2]}
    found = {}
    for name, body in STRUCT.findall(text):
        body = re.sub(r"^\s*(EBB_\w+);", lambda m: lists.get(m[1], m[0]) + ";", body, flags=re.M)
        found[name] = declared(body)
    return found
