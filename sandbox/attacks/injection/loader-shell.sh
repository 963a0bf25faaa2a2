#: {"about": "a shell's own start-up variables",
#:  "request": {"env": {"BASH_ENV": "main.sh", "ENV": "main.sh", "SHELLOPTS": "xtrace", "PS4": "$(echo THROUGH)",
#:     "PROMPT_COMMAND": "echo THROUGH", "LD_PRELOAD": "/nonexistent.so"}, "timeoutMs": 3000, "limits":
#:     {"outputBytes": 65536, "processes": 32}},
#:  "expect": {"reason": ["exited", "timeout", "processes", "output_limit", "signaled"]}}
echo "blocked: $(id -u)"
