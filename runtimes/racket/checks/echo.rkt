#lang racket
(displayln "Grüße, 世界! 😀")
(for-each displayln (vector->list (current-command-line-arguments)))
(for ([line (in-lines)])
  (printf "> ~a\n" line))
(exit 7)
