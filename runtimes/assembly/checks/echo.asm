; with libc
global main
extern puts, printf, fgets, stdin, stdout, setlinebuf
default rel

section .rodata
greeting: db "Grüße, 世界! 😀", 0
format: db "> %s", 0

section .bss
line: resb 200

section .text
main:
    push rbx
    push r12
    sub rsp, 8
    lea rbx, [rsi + 8]          ; the words, without the first
    mov rax, [stdout wrt ..got]
    mov rdi, [rax]
    call setlinebuf wrt ..plt
    lea rdi, [greeting]
    call puts wrt ..plt
.word:
    mov rdi, [rbx]
    test rdi, rdi
    jz .lines
    call puts wrt ..plt
    add rbx, 8
    jmp .word
.lines:
    mov rax, [stdin wrt ..got]
    mov rdx, [rax]
    mov esi, 200
    lea rdi, [line]
    call fgets wrt ..plt
    test rax, rax
    jz .end
    lea rdi, [format]
    lea rsi, [line]
    xor eax, eax
    call printf wrt ..plt
    jmp .lines
.end:
    add rsp, 8
    pop r12
    pop rbx
    mov eax, 7
    ret

section .note.GNU-stack
