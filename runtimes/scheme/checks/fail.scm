(display "before\n")
(display (/ 1 (length (cdr (command-line)))))
