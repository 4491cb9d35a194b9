#!/usr/bin/env python3
"""Writes fold_table.h: what fold.c knows of Unicode (UAX #15 and #44), from Python's unicodedata.

    python3 make_fold_table.py > fold_table.h
"""
import sys
import unicodedata as u


def fold(code):
    """Compatibility decomposition, without marks and what is invisible, without case."""
    text = u.normalize("NFKD", chr(code)).casefold()
    text = u.normalize("NFKD", text).casefold()
    return [ord(c) for c in text if not ignored(ord(c))]


def ignored(code):
    return u.category(chr(code)) in ("Mn", "Me", "Cf") or 0xFE00 <= code <= 0xFE0F or code == 0x3164


def is_space(code):
    return u.category(chr(code)) in ("Zs", "Zl", "Zp") or chr(code) in "\t\n\v\f\r\x85"


def has_no_spaces(code):
    """Of scripts that write words without spaces between them: every place is a boundary."""
    ranges = [(0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x31FF),
              (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0xFF66, 0xFF9F),
              (0x20000, 0x3FFFF)]
    return any(low <= code <= high for low, high in ranges)


def is_word(code):
    return u.category(chr(code))[0] in "LN" and not has_no_spaces(code)


def ranges_of(test):
    found = []
    for code in range(0x110000):
        if 0xD800 <= code <= 0xDFFF or not test(code):
            continue
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return found


def print_table(kind, name, items):
    print(f"static const {kind} {name}[] = {{")
    line = "   "
    for item in items:
        if len(line) + len(item) > 96:
            print(line)
            line = "   "
        line += " " + item
    print(line)
    print("};")


def main():
    print("/* Made by make_fold_table.py from Unicode " + u.unidata_version + ": do not edit. */")
    print("/* clang-format off */")
    for name, test in (("ignored", ignored), ("spaces", is_space), ("words", is_word)):
        print_table("struct range", f"range_{name}",
                    [f"{{{low},{high}}}," for low, high in ranges_of(test)])
    maps = []
    for code in range(0x110000):
        if 0xD800 <= code <= 0xDFFF or ignored(code) or is_space(code) or 0xAC00 <= code <= 0xD7A3:
            continue
        to = fold(code)
        if to == [code] or not to or len(to) > 3:
            continue
        maps.append(f"{{{code},{{{','.join(map(str, to))}}}}},")
    print_table("struct mapping", "mappings", maps)


sys.exit(main())
