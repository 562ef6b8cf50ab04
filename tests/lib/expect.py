"""What a test expects, said when it is not so."""
import re


class Failure(Exception):
    pass


def check(ok, what):
    if not ok:
        raise Failure(what)


def equal(got, want, what):
    check(got == want, "%s: %r, not %r" % (what, got, want))


def in_order(text, *patterns):
    """Each is there, after the one before it."""
    at = 0
    for pattern in patterns:
        match = re.compile(pattern, re.M).search(text, at)
        check(match, "no %r in:\n%s" % (pattern, text[at:]))
        at = match.end()
