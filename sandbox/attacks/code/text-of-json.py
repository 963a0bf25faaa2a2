#: {"about": "code of every character that JSON has an escape for",
#:  "request": {"code":
#:     "import sys\ns = '\\x00\u2028\u2029\ud83d\ude00\u007f\u0001'\nprint('blocked:', len(s))\n"},
#:  "expect": {"stdout": "blocked: 6\n"}}
print("replaced")
