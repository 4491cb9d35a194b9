#!/usr/bin/env python3
"""Writes fold_table.h: what fold.c knows of Unicode (UAX #15 and #44), from Python's unicodedata.

    python3 make_fold_table.py > fold_table.h
"""
import sys
import unicodedata as u


def fold(code):
    """Compatibility decomposition, without accents and what is invisible, without case."""
    text = u.normalize("NFKD", chr(code)).casefold()
    text = u.normalize("NFKD", text).casefold()
    return [ord(c) for c in text if not ignored(ord(c))]


# Combining classes of marks that are no accents but part of how a word is spelled: the vowels of India
# and South-East Asia (0, and those of 84 to 132), the virama that takes a vowel away (9), and what
# makes ka ga in Japanese (8).
LETTERS = {0, 8, 9, 84, 91, 103, 118, 129, 130, 132}
# Variation selectors, joiners and fillers: of class 0 too, or letters, but nothing to see.
UNSEEN = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0x180B, 0x1810),
          *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}


def ignored(code):
    category = u.category(chr(code))
    if category == "Mn":
        return u.combining(chr(code)) not in LETTERS or code in UNSEEN
    return category in ("Me", "Cf") or code in UNSEEN or (category == "Cc" and not is_space(code))


def is_mark(code):
    return u.category(chr(code))[0] == "M" and not ignored(code)


def is_space(code):
    return u.category(chr(code)) in ("Zs", "Zl", "Zp") or chr(code) in "\t\n\v\f\r\x85"


def has_no_spaces(code):
    """Of scripts that write words without spaces between them: every place is a boundary."""
    ranges = [(0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x31FF),
              (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0xFF66, 0xFF9F),
              (0x20000, 0x3FFFF)]
    return any(low <= code <= high for low, high in ranges)


def is_word(code):
    letter = u.category(chr(code))[0] in "LN" or is_mark(code)
    return letter and not ignored(code) and not has_no_spaces(code)


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
    for name, test in (("ignored", ignored), ("spaces", is_space), ("words", is_word),
                       ("marks", is_mark)):
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
