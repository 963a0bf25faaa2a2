# Compiled before the program: what it prints appears line by line, in a pipe too.
STDOUT.flush_on_newline = true
