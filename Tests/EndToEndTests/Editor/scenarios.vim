" What people do with the plugin, in Vim or Neovim without a terminal. $SCENARIO names one; what went wrong in it is
" written to the file $VERDICT, a line each, and 'ok' if nothing did. EditorTests starts the editor and reads it.

set nomore noswapfile hidden
filetype on

" Lets callbacks run until the expression is true, at most for `seconds`.
function! Await(expression, seconds = 60) abort
  let began = reltime()
  while !eval(a:expression)
    if reltimefloat(reltime(began)) > a:seconds
      throw printf('not within %d s: %s; output: %s', a:seconds, a:expression, string(Output()))
    endif
    sleep 10m
  endwhile
endfunction

function! Open(name, lines) abort
  execute 'edit' fnameescape(a:name)
  silent %delete _
  call setline(1, a:lines)
endfunction

" What the output buffer of a source buffer shows.
function! Output(source = bufnr('')) abort
  let buffer = getbufvar(a:source, 'martlet_output', 0)
  return buffer ? getbufline(buffer, 1, '$') : []
endfunction

function! Ended(source = bufnr('')) abort
  return get(getbufvar(a:source, 'martlet', {}), 'state', '') ==# 'ended'
endfunction

function! Run(command = 'Martlet') abort
  execute a:command
  call Await('Ended()')
endfunction

" Places in the quickfix list as 'line:text', after looking that all are in this buffer.
function! Places() abort
  let items = getqflist()
  for item in items
    call assert_equal(bufnr(''), item.bufnr)
    call assert_equal(1, item.valid)
  endfor
  return map(items, {_, item -> item.lnum . ':' . item.text})
endfunction

" Whether a process whose command line holds a word is there.
function! IsAlive(word) abort
  for path in glob('/proc/[0-9]*/cmdline', 0, 1)
    let text = filereadable(path) ? join(readfile(path, 'b'), ' ') : ''
    if stridx(text, a:word) >= 0
      return 1
    endif
  endfor
  return 0
endfunction

" --- running

function! Scenario_buffer() abort
  call Open('hello.py', ['print("Hello,")', 'print("wörld!")'])
  let window = win_getid()
  call Run()
  call assert_equal(window, win_getid(), 'the cursor stays')
  call assert_equal(2, winnr('$'))
  let lines = Output()
  call assert_equal('martlet: python hello.py', lines[0])
  call assert_equal(['Hello,', 'wörld!'], lines[1:2])
  call assert_match('^\[exit 0 after \d\+\.\d\d s\]$', lines[3])
  call assert_equal(4, len(lines))
  call assert_equal('exit 0', martlet#status())
  call assert_equal([], getqflist())
  call assert_false(filereadable('hello.py'), 'it was never saved')
  call assert_true(&modified)
  call assert_equal(0, getbufvar(b:martlet_output, '&modifiable'))
  call Run()
  call assert_equal(2, winnr('$'), 'the window is used again')
  call assert_equal(4, len(Output()))
endfunction

function! Scenario_range() abort
  call Open('part.py', ['def f():', '    x = 1', '    print(x + 1)', '    print(nothing)', 'f()'])
  call Run('2,4Martlet')
  call assert_equal('martlet: python part.py, lines 2-4', Output()[0])
  call assert_equal('2', Output()[1])
  call assert_equal(["4:NameError: name 'nothing' is not defined"], Places())
  cfirst
  call assert_equal([bufnr('part.py'), 4], [bufnr(''), line('.')])
endfunction

function! Scenario_live() abort
  call Open('slow.py', ['import time', 'print("first")', 'time.sleep(600)', 'print("never")'])
  Martlet
  call Await('index(Output(), "first") > 0')
  call assert_equal('running', b:martlet.state)
  call assert_equal('python: running', martlet#status())
  call assert_equal(['first'], Output()[1:])
  let windows = win_findbuf(b:martlet_output)
  call assert_equal(2, line('.', windows[0]), 'the window follows')
  MartletStop
  call Await('Ended()')
  call assert_match('^\[cancelled after ', Output()[-1])
endfunction

function! Scenario_partial() abort
  call Open('dots.py', ['import sys, time', 'print("a", end=""); time.sleep(.2)', 'print("b\rc\x1b[1md\x1b[0m")',
        \ 'print("no end", end="")', 'time.sleep(.2)',
        \ 'print("oops", file=sys.stderr)', 'time.sleep(.2)', 'sys.stdout.buffer.write(b"\xff\0x\n")',
        \ 'print("nul\0")'])
  call Run()
  call assert_equal(['cd', 'no end', 'oops', "\xff␀x", 'nul␀'], Output()[1:-2])
endfunction

function! Scenario_flood() abort
  let g:martlet_max_lines = 1000
  call Open('flood.py', ['for i in range(200000): print(i)'])
  call Run()
  let lines = Output()
  call assert_equal(1003, len(lines))
  call assert_equal('[199000 earlier lines are not shown]', lines[1])
  call assert_equal(['199000', '199999'], [lines[2], lines[1001]])
  call assert_match('^\[exit 0', lines[1002])
endfunction

function! Scenario_cancel() abort
  let word = $MARKER
  call Open('wait.sh', ['exec -a ' . word . ' sleep 600'])
  Martlet
  call Await("b:martlet.state ==# 'running' && IsAlive($MARKER)")
  MartletStop
  call Await('Ended()')
  call assert_equal('cancelled', b:martlet.reason)
  call Await('!IsAlive($MARKER)', 10)
endfunction

" Leaves with a program running: EditorTests looks that it ended.
function! Scenario_leave() abort
  call Open('wait.sh', ['exec -a ' . $MARKER . ' sleep 600'])
  Martlet
  call Await('IsAlive($MARKER)')
endfunction

function! Scenario_two() abort
  call Open('one.py', ['import time', 'print("one")', 'time.sleep(600)'])
  let one = bufnr('')
  Martlet
  call Await('index(Output(), "one") > 0')
  call Open('two.rb', ['puts "two"; $stdout.flush', 'sleep 600'])
  let two = bufnr('')
  Martlet
  call Await('index(Output(), "two") > 0')
  call assert_equal(['running', 'running'], [getbufvar(one, 'martlet').state, b:martlet.state])
  call assert_equal(3, winnr('$'), 'each has a window')
  MartletStop
  call Await('Ended()')
  call assert_equal('running', getbufvar(one, 'martlet').state, 'the other goes on')
  execute 'buffer' one
  MartletStop
  call Await('Ended()')
  call assert_equal(['one'], Output(one)[1:-2])
  call assert_equal(['two'], Output(two)[1:-2])
endfunction

function! Scenario_again() abort
  call Open('again.py', ['import time', 'print("x")', 'time.sleep(600)'])
  Martlet
  call Await('index(Output(), "x") > 0')
  redir => said
  silent Martlet
  redir END
  call assert_match('it runs already', said)
  call setline(1, ['print("y")', '', ''])
  call Run('Martlet!')
  call assert_equal(['y'], Output()[1:-2])
  call Await('empty(filter(Jobs(), {_, job -> job}))', 10)
endfunction

function! Jobs() abort
  return has('nvim') ? map(filter(nvim_list_chans(), {_, channel -> has_key(channel, 'argv')}), {_, channel -> 1})
        \ : map(job_info(), {_, job -> job_status(job) ==# 'run'})
endfunction

function! Scenario_input() abort
  call Open('echo.py', ['import sys', 'for line in sys.stdin: print(line.strip()[::-1])', 'print(sys.argv[1:])'])
  call Run('Martlet a --b')
  call assert_equal(["['a', '--b']"], Output()[1:-2], 'its input is empty')
  let b:martlet_input = 'open'
  Martlet
  call Await("b:martlet.state ==# 'running'")
  MartletInput martlet
  call Await('index(Output(), "teltram") > 0')
  MartletInput! end
  call Await('Ended()')
  call assert_equal(['teltram', 'dne', '[]'], Output()[1:-2])
  call writefile(['of a file'], 'input.txt')
  let b:martlet_input = 'input.txt'
  call Run()
  call assert_equal(['elif a fo', '[]'], Output()[1:-2])
endfunction

function! Scenario_options() abort
  let g:martlet_options = ['--timeout', '1s', '--env', 'STAGE=test']
  call Open('options.sh', ['echo $STAGE', 'sleep 600'])
  call Run()
  call assert_equal('test', Output()[1])
  call assert_match('^\[out of time after ', Output()[-1])
  call assert_equal('timeout', martlet#status())
endfunction

" --- languages

function! Scenario_languages() abort
  for [name, lines, language] in [
        \ ['a.sh', ['echo ok'], 'bash'], ['a.js', ['console.log("ok")'], 'javascript'], ['a.rb', ['puts "ok"'], 'ruby'],
        \ ['a.cpp', ['#include <cstdio>', 'int main() { puts("ok"); }'], 'cpp'],
        \ ['script', ['#!/usr/bin/env python3', 'print("ok")'], 'python']]
    call Open(name, lines)
    filetype detect
    call Run()
    call assert_equal(['martlet: ' . language . ' ' . name, 'ok'], Output()[0:1])
  endfor
  enew
  call setline(1, 'puts "ok"')
  call Run()
  call assert_match('No language is known', Output()[1])
  call assert_match('MartletLanguage', Output()[2])
  MartletLanguage ruby
  call Run()
  call assert_equal(['martlet: ruby [No Name]', 'ok'], Output()[0:1])
  let g:martlet_languages = {'mine': 'lua'}
  unlet b:martlet_language
  set filetype=mine
  call setline(1, 'print("ok")')
  call Run()
  call assert_equal('martlet: lua [No Name]', Output()[0])
  call assert_equal('ok', Output()[1])
endfunction

" Every language there is has a name here; $LANGUAGES has 'name:file' of each.
function! Scenario_names() abort
  for pair in split($LANGUAGES)
    let [name, file] = split(pair, ':')
    call assert_inrange(0, 99, index(martlet#language#names(), name), name)
    call assert_equal(escape(file, '.'), martlet#language#file(name))
  endfor
  call assert_equal(len(split($LANGUAGES)), len(martlet#language#names()))
  call assert_match('python', join(getcompletion('MartletLanguage py', 'cmdline')))
endfunction

" --- errors of programs

function! Scenario_places() abort
  for [name, lines, expected] in [
        \ ['a.py', ['import json', 'def f():', '    json.loads("{")', 'f()'],
        \   ['4:in <module>', '3:json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: '
        \     . 'line 1 column 2 (char 1)']],
        \ ['said.py', ['import sys', 'print("error: mine", file=sys.stderr)', 'def f(): 1/0', 'f()'],
        \   ['4:in <module>', '3:ZeroDivisionError: division by zero']],
        \ ['b.py', ['x = 1', 'def f(:'], ['2:SyntaxError: invalid syntax']],
        \ ['c.c', ['#include <stdio.h>', 'int main(void) {', '  int y;', '  return z;', '}'],
        \   ['4:‘z’ undeclared (first use in this function)',
        \     '4:each undeclared identifier is reported only once for each function it appears in',
        \     '3:unused variable ‘y’ [-Wunused-variable]']],
        \ ['d.js', ['function f() {', '  null.x;', '}', '', 'f();'],
        \   ["2:TypeError: Cannot read properties of null (reading 'x')", '5:at Object.<anonymous>']],
        \ ['e.js', ['const a = 1;', 'let b = ;'], ["2:SyntaxError: Unexpected token ';'"]],
        \ ['f.rb', ['def f', '  raise "boom"', 'end', 'f'], ["2:in `f': boom (RuntimeError)", "4:in `<main>'"]],
        \ ['g.go', ['package main', 'func main() {', '  x := 1', '}'], ['3:x declared but not used']],
        \ ['h.go', ['package main', 'func f(i int) {', '  a := []int{1}', '  _ = a[i]', '}', 'func main() {', '  f(5)', '}'],
        \   ['4:panic: runtime error: index out of range [5] with length 1', '7:']],
        \ ['i.sh', ['true', 'nosuch'], ['2:nosuch: command not found']],
        \ ['j.lua', ['local t = nil', 'print(t.x)'], ["2:attempt to index a nil value (local 't')", '2:in main chunk']],
        \ ['k.pl', ['my $x = 1;', 'die "boom";'], ['2:boom']],
        \ ['l.rs', ['fn main() {', '  let x: i32 = "a";', '}'], ['2:error[E0308]: mismatched types']],
        \ ['m.hs', ['main :: IO ()', 'main = putStrLn nosuch'], ['2:Variable not in scope: nosuch :: String']],
        \ ['n.ml', ['let () = ()', 'let x : int = "a"'],
        \   ['2:This expression has type string but an expression was expected of type']],
        \ ['o.ts', ['const a = 1;', 'const x: number = "a";'],
        \   ["2:error TS2322: Type 'string' is not assignable to type 'number'."]],
        \ ['p.sql', ['select 1;', 'select nosuch;'], ['2:no such column: nosuch']],
        \ ['q.tcl', ['puts 1', 'nosuch 2'], ['2:invalid command name "nosuch"']],
        \ ['Main.java', ['public class Main {', '  static void f() { throw new RuntimeException("boom"); }',
        \   '  public static void main(String[] a) {', '    f();', '  }', '}'],
        \   ['2:Exception in thread "main" java.lang.RuntimeException: boom', '4:at Main.main']],
        \ ]
    call Open(name, lines)
    filetype detect
    call Run()
    call assert_equal(expected, Places(), name . ': ' . string(Output()))
  endfor
  call assert_match('quickfix list\]$', Output()[-1])
  " The number that :cc goes to is that of the error itself.
  buffer a.py
  call Run()
  call assert_equal(2, getqflist({'idx': 0}).idx)
  call cursor(1, 1)
  cc
  call assert_equal([bufnr('a.py'), 3], [bufnr(''), line('.')])
  call setline(3, '    pass')
  call Run()
  call assert_equal([], getqflist(), 'what was mended is not listed any more')
endfunction

function! Scenario_offset() abort
  call Open('part.go', ['// notes', '', 'package main', 'func main() {', '  x := 1', '}'])
  call Run('3,$Martlet')
  call assert_equal(['5:x declared but not used'], Places())
  let item = getqflist()[0]
  call assert_equal([3, 'E'], [item.col, item.type ==# '' ? 'E' : item.type])
  call Open('part.rb', ['# 1', '# 2', 'puts 1', 'raise "boom"'])
  call Run('3,4Martlet')
  call assert_equal(["4:in `<main>': boom (RuntimeError)"], Places())
endfunction

function! Scenario_format() abort
  let g:martlet_errorformat = {'bash': '%f: line %l: %m'}
  let before = len(getbufinfo())
  call Open('own.sh', ['true', 'nosuch'])
  call Run()
  call assert_equal(['2:nosuch: command not found'], Places())
  call assert_equal(before + 1, len(getbufinfo()), 'no buffers of names that were read')
endfunction

function! Scenario_windows() abort
  let g:martlet_split = ''
  call Open('a.py', ['print("a")'])
  call Run()
  call assert_equal(1, winnr('$'))
  call assert_equal('a', Output()[1])
  MartletOutput
  call assert_equal(2, winnr('$'))
  call assert_equal('a.py', bufname(''))
  " In the output window the commands are about the program.
  wincmd w
  call assert_equal('nofile', &buftype)
  let g:martlet_ended = 0
  augroup scenario
    autocmd User MartletEnded let g:seen = g:martlet_ended
  augroup END
  execute '1Martlet'
  call Await('exists("g:seen")')
  call assert_equal(bufnr('a.py'), g:seen)
  call assert_equal(['martlet: python a.py', 'a'], getline(1, 2))
  wincmd w
  " Who wipes the output out has no more use for the run.
  call setline(1, ['import time', 'while True:', '    print("x"); time.sleep(.05)'])
  Martlet
  call Await("b:martlet.state ==# 'running'")
  execute 'bwipeout' b:martlet_output
  call Await('Ended()')
  call assert_equal('cancelled', b:martlet.reason)
endfunction

" Lists of two buffers do not overwrite each other.
function! Scenario_lists() abort
  call Open('one.py', ['qqqqqqqq'])
  call Run()
  call assert_equal(["1:NameError: name 'qqqqqqqq' is not defined"], Places())
  call Open('two.py', ['', 'zzzzzzzz'])
  call Run()
  call assert_equal(["2:NameError: name 'zzzzzzzz' is not defined"], Places())
  buffer one.py
  colder
  call assert_equal(["1:NameError: name 'qqqqqqqq' is not defined"], Places())
  call Run()
  call assert_equal(2, getqflist({'nr': '$'}).nr, 'its own list is used again')
  call setqflist([], ' ', {'title': 'mine', 'lines': ['x']})
  call setline(1, 'print(1)')
  call Run()
  call assert_equal('mine', getqflist({'title': 1}).title)
endfunction

" What is sent is what would be saved, with the line ends of Linux.
function! Scenario_encodings() abort
  call Open('latin.py', ['# -*- coding: latin-1 -*-', 'print("ä".encode("utf-8"), len("ä"))'])
  setlocal fileencoding=latin1 fileformat=dos
  call Run()
  call assert_equal('b''\xc3\xa4'' 1', Output()[1])
  call Open('dos.sh', ['echo a', 'echo b'])
  setlocal fileformat=dos
  call Run()
  call assert_equal(['a', 'b'], Output()[1:2])
endfunction

" --- errors of Martlet

function! Scenario_no_server() abort
  let $MARTLET_URL = 'http://127.0.0.1:1'
  call Open('a.py', ['print(1)'])
  call Run()
  call assert_equal(['[No server answers at http://127.0.0.1:1.]',
        \ "[Start one with 'martlet up', or set MARTLET_URL.]", '[http_connect_failed]'], Output()[1:])
  call assert_match('No server answers', execute('messages'))
  call assert_equal('http_connect_failed', b:martlet.reason)
endfunction

function! Scenario_bad_token() abort
  let $MARTLET_TOKEN = 'mlt_wrong'
  call Open('a.py', ['print(1)'])
  call Run()
  call assert_equal('[unauthenticated]', Output()[-1])
  call assert_match('token', Output()[1])
  call assert_match('martlet token create', Output()[2])
endfunction

function! Scenario_unknown_language() abort
  call Open('a.py', ['print(1)'])
  MartletLanguage klingon
  call Run()
  call assert_equal("[There is no language 'klingon'.]", Output()[1])
  call assert_match('Use one of: .*python', Output()[2])
  call assert_equal('[unknown_language]', Output()[3])
endfunction

function! Scenario_no_program() abort
  let g:martlet_command = '/nowhere/martlet'
  call Open('a.py', ['print(1)'])
  call Run()
  call assert_match("'/nowhere/martlet' is not a program", Output()[1])
  call assert_match('g:martlet_command', Output()[2])
  let g:martlet_command = '/bin/false'
  call Run()
  call assert_match('ended with code 1', Output()[1])
endfunction

function! Scenario_wrong_option() abort
  let b = 0
  call Open('a.py', ['print(1)'])
  let b:martlet_options = ['--no-such-option']
  call Run()
  call assert_match('no-such-option', Output()[1])
endfunction

" --- beside

function! Scenario_quiet() abort
  for mode in ['n', 'x', 'i', 'o']
    let mapped = filter(split(execute(mode . 'map'), "\n"), {_, line -> line =~? 'martlet' && line !~# '^.\s\+<Plug>'})
    call assert_equal([], mapped)
  endfor
  call assert_notequal('', maparg('<Plug>(martlet-run)', 'n'))
  call assert_equal('', exists('*martlet#run') ? 'loaded before it is used' : '')
  redir => said
  silent MartletStop
  redir END
  call assert_match('nothing of this buffer runs', said)
endfunction

function! Scenario_help() abort
  help martlet
  call assert_equal('help', &buftype)
  call assert_match('martlet\.txt$', bufname(''))
  for topic in [':Martlet', ':MartletStop', ':MartletLanguage', 'g:martlet_split', 'martlet#status()', '<Plug>(martlet-run)']
    execute 'help' topic
    call assert_match('\*' . escape(topic, '[]*.') . '\*', getline('.'), topic)
  endfor
  " The file of tags that is installed is what the editor itself makes.
  let directory = fnamemodify(bufname(''), ':p:h')
  let shipped = readfile(directory . '/tags')
  execute 'helptags' fnameescape(directory)
  call assert_equal(readfile(directory . '/tags'), shipped)
endfunction

" --- the frame

function! s:Perform() abort
  let v:errors = []
  try
    call call('Scenario_' . $SCENARIO, [])
  catch
    call add(v:errors, v:exception . ' at ' . v:throwpoint)
  endtry
  call writefile(empty(v:errors) ? ['ok'] : v:errors, $VERDICT)
  qall!
endfunction

" Once it is up: as for a person, plugins are loaded by then.
autocmd VimEnter * ++nested call s:Perform()
