#: {"about": "exits with every code there is",
#:  "sweep": "exitCodes",
#:  "modes": ["warm"]}
import os
import sys

os._exit(int(sys.argv[1]))
