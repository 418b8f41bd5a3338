# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lint checks share: the files, C text without comments and strings, and lists of allowed exceptions."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
_TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def sources(*folders, suffixes=(".c", ".h")):
    """Files of the tree, without what is built; relative to ROOT, as text."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and (not suffixes or path.suffix in suffixes):
                yield path.relative_to(ROOT).as_posix()


def read(path):
    return (ROOT / path).read_text(errors="replace")


def code(text, keep_strings=False):
    """The same lines without comments (and with empty strings): what a search for code may look at."""
    def blank(match):
        token = match.group()
        if token[0] == "/":
            return "\n" * token.count("\n") or " "
        return token if keep_strings else token[0] * 2
    return _TOKEN.sub(blank, text)


def tracked():
    """Every file that belongs to the tree (git's list, or all there are in an unpacked archive)."""
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    if listed.returncode == 0:
        return sorted(p for p in listed.stdout.decode().split("\0") if p and (ROOT / p).is_file())
    return [p for p in sources(".", suffixes=()) if not p.startswith(("build", ".git/"))]


class Report:
    """Collects problems; those that tests/lint/allow names with a reason do not count, and one that no longer occurs does."""

    def __init__(self, check):
        self.check, self.problems, self.used, self.allowed = check, [], set(), {}
        for number, line in enumerate(read("tests/lint/allow").splitlines(), 1):
            if not line or line.startswith("#"):
                continue
            words = line.split(None, 2)
            if len(words) < 3:
                sys.exit(f"tests/lint/allow:{number}: wanted: CHECK WHAT REASON")
            if words[0] == check:
                self.allowed[words[1]] = number

    def add(self, key, where, text):
        """key: what an allow line would name."""
        if key in self.allowed:
            self.used.add(key)
        else:
            self.problems.append(f"{where}: {text} [{self.check} {key}]")

    def finish(self, looked_at):
        for key, number in self.allowed.items():
            if key not in self.used:
                self.problems.append(f"tests/lint/allow:{number}: {self.check} {key} is not needed any more")
        if looked_at == 0:
            self.problems.append(f"{self.check}: there was nothing to look at")
        for line in self.problems:
            print(line)
        print(f"{'FAIL' if self.problems else 'ok  '} lint/{self.check}: {looked_at} looked at, "
              f"{len(self.problems)} problems, {len(self.used)} allowed")
        return 1 if self.problems else 0
