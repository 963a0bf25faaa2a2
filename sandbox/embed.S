/* The library of zygote.c, as a part of the runner: nothing has to be installed beside it. */
    .section .rodata
    .global zygote_library
    .global zygote_library_end
    .balign 16
zygote_library:
    .incbin ZYGOTE_LIBRARY
zygote_library_end:
    .section .note.GNU-stack, "", %progbits
