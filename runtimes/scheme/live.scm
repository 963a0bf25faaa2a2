;; Read before the program: what it prints appears line by line, in a pipe too.
(setvbuf (current-output-port) 'line)
