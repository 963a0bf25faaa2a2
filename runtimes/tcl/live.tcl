# Starts the program: what it prints appears line by line, in a pipe too.
fconfigure stdout -buffering line
set argv [lassign $argv argv0]
incr argc -1
source -encoding utf-8 $argv0
