#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of tests/data/expand.rows through exim4 -be: what is recorded there is what it really says.
$EXIM4 or /usr/sbin/exim4; without one the test is skipped.  `heddle -be`, where it is built, must say the same."""
import os
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
MARK = "@@@@"
# Expansions of one process share $0 and the like: few rows for each.
CHUNK = 20


def rows():
    with open(os.path.join(TOP, "tests/data/expand.rows"), encoding="latin1") as data:
        for number, line in enumerate(data, 1):
            line = line.rstrip("\n")
            if line and not line.startswith("#"):
                text, _, want = line.split("\t", 2)
                yield number, text, want.replace("\\\\", "\0").replace("\\n", "\n").replace("\0", "\\")


def expand(program, config, texts):
    """Results of texts, or None for what ended the program (exim4 4.96 crashes on a few)."""
    args = [part for text in texts for part in (text, MARK)]
    done = subprocess.run([program, "-C", config, "-be"] + [a.encode("latin1") for a in args], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, check=False)
    parts = done.stdout.decode("latin1").split(MARK + "\n")
    if len(parts) == len(texts) + 1:
        return [part[:-1] for part in parts[:-1]]
    if len(texts) == 1:
        return [None]
    half = len(texts) // 2
    return expand(program, config, texts[:half]) + expand(program, config, texts[half:])


def compare(number, name, program, config):
    table, wrong = list(rows()), 0
    for at in range(0, len(table), CHUNK):
        part = table[at:at + CHUNK]
        for (line, text, want), got in zip(part, expand(program, config, [row[1] for row in part])):
            if got is not None and got.startswith("Failed: "):
                got = got.replace("\n", " ")
            if got != want:
                wrong += 1
                print(f"# expand.rows:{line}: {text}\n#   recorded: {want!r}\n#   {name}: {got!r}")
    print(f"{'not ok' if wrong else 'ok'} {number} - {name} says what is recorded ({len(table)} rows, {wrong} differ)")
    return wrong


def main():
    exim = os.environ.get("EXIM4", "/usr/sbin/exim4")
    heddle = os.path.join(TOP, os.environ.get("BUILD", "build"), "heddle")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        config = os.path.join(folder, "exim.conf")
        with open(config, "w", encoding="ascii") as out:
            out.write(f"spool_directory = {folder}\n")
        os.chmod(config, 0o644)
        for number, (name, program) in enumerate((("exim4", exim), ("heddle", heddle)), 1):
            if os.access(program, os.X_OK):
                failed += compare(number, name, program, config)
            else:
                print(f"ok {number} - {name} # SKIP no {program}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
