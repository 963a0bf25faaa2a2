#lang racket
(displayln "before")
(displayln (/ 1 (vector-length (current-command-line-arguments))))
