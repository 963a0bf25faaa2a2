" Languages: which one a buffer is in, and under which name its program stands in the VM.

" The names that 'martlet run' takes, and what the program's file is called there.
let s:files = {
      \ 'ada': 'main.adb', 'assembly': 'main.asm', 'awk': 'main.awk', 'bash': 'main.sh', 'basic': 'main.bas',
      \ 'c': 'main.c', 'clojure': 'main.clj', 'cobol': 'main.cob', 'coffeescript': 'main.coffee',
      \ 'commonlisp': 'main.lisp', 'cpp': 'main.cpp', 'crystal': 'main.cr', 'csharp': 'main.cs', 'd': 'main.d',
      \ 'elixir': 'main.exs', 'erlang': 'main.erl', 'fish': 'main.fish', 'forth': 'main.fs', 'fortran': 'main.f90',
      \ 'go': 'main.go', 'groovy': 'main.groovy', 'haskell': 'main.hs', 'icon': 'main.icn', 'java': 'Main.java',
      \ 'javascript': 'main.js', 'kotlin': 'main.kt', 'lua': 'main.lua', 'luajit': 'main.lua', 'nim': 'main.nim',
      \ 'objectivec': 'main.m', 'ocaml': 'main.ml', 'octave': 'main.m', 'pascal': 'main.pas', 'perl': 'main.pl',
      \ 'php': 'main.php', 'pike': 'main.pike', 'prolog': 'main.pl', 'pypy': 'main.py', 'python': 'main.py',
      \ 'r': 'main.R', 'racket': 'main.rkt', 'raku': 'main.raku', 'ruby': 'main.rb', 'rust': 'main.rs',
      \ 'scala': 'main.scala', 'scheme': 'main.scm', 'sqlite': 'main.sql', 'swift': 'main.swift', 'tcl': 'main.tcl',
      \ 'typescript': 'main.ts', 'vala': 'main.vala', 'zsh': 'main.zsh',
      \ }

" Vim's names for them, where they are others.
let s:filetypes = {
      \ 'asm': 'assembly', 'nasm': 'assembly', 'coffee': 'coffeescript', 'cs': 'csharp', 'lisp': 'commonlisp',
      \ 'javascriptreact': 'javascript', 'matlab': 'octave', 'objc': 'objectivec', 'objcpp': 'objectivec',
      \ 'perl6': 'raku', 'sh': 'bash', 'sql': 'sqlite', 'typescriptreact': 'typescript',
      \ }

" In these a part of a program cannot begin further right than it stands.
let s:indented = ['coffeescript', 'nim', 'pypy', 'python']

" The language of a buffer; '' if nothing tells.
function! martlet#language#of(buffer) abort
  let chosen = getbufvar(a:buffer, 'martlet_language', '')
  if chosen !=# ''
    return chosen
  endif
  let type = matchstr(getbufvar(a:buffer, '&filetype'), '^[^.]*')
  if type ==# ''
    return tolower(fnamemodify(bufname(a:buffer), ':e'))
  endif
  return get(get(g:, 'martlet_languages', {}), type, get(s:filetypes, type, type))
endfunction

function! martlet#language#names() abort
  return sort(keys(s:files))
endfunction

" A pattern (very magic) for the name of the program's file.
function! martlet#language#file(language) abort
  return escape(get(s:files, a:language, ''), '.')
endfunction

function! martlet#language#is_indented(language) abort
  return index(s:indented, a:language) >= 0
endfunction

function! martlet#language#complete(lead, line, position) abort
  return join(martlet#language#names(), "\n")
endfunction

" :MartletLanguage
function! martlet#language#choose(name) abort
  let source = martlet#source()
  if a:name !=# ''
    call setbufvar(source, 'martlet_language', a:name)
    return
  endif
  let language = martlet#language#of(source)
  echo language ==# '' ? 'No language is known: :MartletLanguage NAME' : language
endfunction
