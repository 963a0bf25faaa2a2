#: {"about": "variables whose names and values a shell would take for more",
#:  "request": {"env": {"A": "$(id)", "B;id": "x", "BASH_FUNC_ls%%": "() { echo THROUGH; }", "C": "'\"`\n",
#:     "D$(id)": "y", "E F": "z"}},
#:  "expect": {"lines": "blocked: "}}
import os

wanted = {"A": "$(id)", "B;id": "x", "C": "'\"`\n", "D$(id)": "y", "E F": "z"}
print("blocked: taken as they are" if all(os.environ.get(name) == value for name, value in wanted.items()) else "THROUGH")
