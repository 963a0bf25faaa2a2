#!/bin/sh
# Assembles FILE and links PROGRAM: with the C library where it has a `main`, by itself where it begins at `_start`.
nasm -f elf64 -o program.o "$1" || exit
if nm program.o | grep -q ' T main$'; then
    exec gcc -o "$2" program.o -lm
fi
exec ld -o "$2" program.o
