#: {"about": "four processes print without end",
#:  "request": {"limits": {"outputBytes": 1048576}, "timeoutMs": 15000},
#:  "expect": {"reason": "output_limit"}}
yes & yes & yes >&2 & yes >&2 &
wait
