(use-modules (ice-9 rdelim))

(define (say . words)
  (for-each display words)
  (newline))

(say "Grüße, 世界! 😀")
(for-each say (cdr (command-line)))
(let loop ((line (read-line)))
  (unless (eof-object? line)
    (say "> " line)
    (loop (read-line))))
(exit 7)
