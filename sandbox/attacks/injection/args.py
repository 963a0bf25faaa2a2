#: {"about": "arguments that a shell would take for more",
#:  "request": {"args": ["; id", "$(id)", "`id`", "| id", "&& id", "\n id", "' ; id ; '", "\" ; id ; \"", "-c",
#:     "--version", "{file}", "{directory}", "%s", "$HOME", "*", "~", "\\", "<(id)", "\r\nX: y", "\u202e"]},
#:  "expect": {"lines": "blocked: "}}
import sys

print("blocked: taken as words" if sys.argv[1:] == ['; id', '$(id)', '`id`', '| id', '&& id', '\n id', "' ; id ; '", '" ; id ; "', '-c', '--version', '{file}', '{directory}', '%s', '$HOME', '*', '~', '\\', '<(id)', '\r\nX: y', '\u202e'] else f"THROUGH: {sys.argv[1:]}")
