#lang racket
(displayln "never"
