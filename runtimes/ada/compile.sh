#!/bin/sh
# Compiles FILE to PROGRAM. Its units get the files that GNAT wants them in, whatever they are called; the last one is
# the program. Errors are told of FILE (-r).
mkdir units && names=$(gnatchop -r "$1" units) && cd units && exec gnatmake -q -O1 -o "../$2" "${names##*/}"
