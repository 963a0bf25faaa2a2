/* The library of zygote.c and the program of policy.c, as parts of the runner: nothing has to be installed beside it. */
    .section .rodata
    .global zygote_library
    .global zygote_library_end
    .balign 16
zygote_library:
    .incbin ZYGOTE_LIBRARY
zygote_library_end:
    .global policy_program
    .global policy_program_end
    .balign 16
policy_program:
    .incbin POLICY_PROGRAM
policy_program_end:
    .section .note.GNU-stack, "", %progbits
