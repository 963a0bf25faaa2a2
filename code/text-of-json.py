#: {"about": "code of every character that JSON has an escape for",
#:  "request": {"code": "import sys\ns = '\\x00  😀\u0001'\nprint('blocked:', len(s))\n"},
#:  "expect": {"stdout": "blocked: 6\n"}}
print("replaced")
