#: {"about": "kills every process it may",
#:  "expect": {"reason": ["signaled", "exited"]}}
kill -9 -1
echo "still here"
