#: {"about": "crashes, hoping for a core file",
#:  "expect": {"lines": "blocked: "}}
ulimit -c unlimited 2>/dev/null
cd ~ || exit 1
(kill -SEGV $BASHPID) 2>/dev/null
sleep 0.1
found=$(find ~ "$PWD" /tmp -maxdepth 2 -name 'core*' 2>/dev/null)
if [ -n "$found" ]; then echo "THROUGH: $found"; else echo "blocked: no core file"; fi
