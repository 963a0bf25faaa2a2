#: {"about": "an input that has ended before it began",
#:  "expect": {"stdout": "''\n"}}
import sys

print(repr(sys.stdin.read()))
