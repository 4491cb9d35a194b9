#!/usr/bin/env python3
"""What the documents point at is there: files, headings, and tests (`flow/02_resume.c`: name_of_a_test)."""
import re
import sys
from pathlib import Path

root = Path(__file__).resolve().parents[1]
wrong = []


def anchor(heading):
    """As the sites that show Markdown make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(document):
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.M | re.S)
    return {anchor(heading) for heading in re.findall(r"^#+ (.*)$", text, re.M)}


documents = [root / "README.md", root / "client/README.md", *sorted((root / "docs").glob("*.md"))]
links = tests = 0
for document in documents:
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
        place = f"{document.relative_to(root)}:{number}"
        for target in re.findall(r"\]\(([^)\s]+)\)", line):
            if re.match(r"[a-z]+:", target):
                continue  # another site
            links += 1
            path, _, heading = target.partition("#")
            file = (document.parent / path).resolve() if path else document
            if not file.exists():
                wrong.append(f"{place}: {target}: there is no such file")
            elif heading and heading not in anchors(file):
                wrong.append(f"{place}: {target}: there is no such heading")
        for file, name in re.findall(r"`((?:unit|flow|soak|disk)/[\w/]+\.c)`: (\w+)", line):
            tests += 1
            file = root / "tests" / file
            if not file.exists() or f"START_TEST({name})" not in file.read_text(encoding="utf-8"):
                wrong.append(f"{place}: {file.relative_to(root)} has no test {name}")

if links < 20 or tests < 50:
    wrong.append(f"only {links} links and {tests} tests were found: are they written otherwise now?")
for line in wrong:
    print(line)
print(f"{0 if wrong else 1} passed, {1 if wrong else 0} failed")
sys.exit(bool(wrong))
