#: {"about": "sends files of the oddest names",
#:  "request": {"files": [{"path": "new\nline", "content": "new\nline"}, {"path": "-rf", "content": "-rf"},
#:     {"path": "--help", "content": "--help"}, {"path": "\u202egnp.exe", "content": "\u202egnp.exe"}, {"path":
#:     "sp ace", "content": "sp ace"}, {"path": "*", "content": "*"}, {"path": "$(touch planted)", "content":
#:     "$(touch planted)"}, {"path": "`id`", "content": "`id`"}, {"path": ";id", "content": ";id"}, {"path": "'",
#:     "content": "'"}, {"path": "\"", "content": "\""}, {"path": "\\", "content": "\\"}, {"path": "&",
#:     "content": "&"}, {"path": "|", "content": "|"}, {"path": "~", "content": "~"}, {"path": "\u0001\u001b[2J",
#:     "content": "\u0001\u001b[2J"}, {"path": "a/-c/;x", "content": "a/-c/;x"}, {"path": "%s%n", "content":
#:     "%s%n"}, {"path": "{file}", "content": "{file}"}, {"path": "{directory}", "content": "{directory}"},
#:     {"path": ".hidden", "content": ".hidden"}, {"path": "...", "content": "..."}, {"path": "\u00e9",
#:     "content": "\u00e9"}, {"path": "e\u0301", "content": "e\u0301"}, {"path": "\ud83d\udca3", "content":
#:     "\ud83d\udca3"}]},
#:  "expect": {"lines": "blocked: "}}
import os

wrong = []
count = 0
for root, _, names in os.walk("."):
    for name in names:
        path = os.path.relpath(os.path.join(root, name), ".")
        if path == "main.py" or "__pycache__" in path:
            continue
        count += 1
        if open(path, newline="").read() != path:
            wrong.append(path)
print("blocked: all as they were sent" if count == 25 and not wrong else f"THROUGH: {count} {wrong}")
