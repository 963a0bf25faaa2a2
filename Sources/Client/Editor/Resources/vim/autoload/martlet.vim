" Runs of buffers, one a buffer at a time. 'martlet run --json' is the other end: a child process that prints the events
" of the run as lines of JSON (docs/EDITORS.md), and cancels it when it is interrupted. Everything happens in callbacks
" of that process, so Vim is never waited for and never waits.

let s:runs = {}  " by number of the source buffer: what goes on
let s:most_errors = 5000  " lines of standard error that are looked through for places

" :Martlet
function! martlet#run(is_forced, has_range, first, last, arguments) abort
  let source = martlet#source()
  if has_key(s:runs, source)
    if !a:is_forced
      return s:complain('it runs already.', ':MartletStop ends it, :Martlet! begins again.')
    endif
    let old = s:runs[source]
    call martlet#job#interrupt(old.job)
    call s:finish(old, 'cancelled', ['[cancelled: run again]'], 'MartletRemark')
  endif
  if !bufloaded(source)
    return s:complain('the buffer that this was the output of is gone.', '')
  endif
  " Asked for in the output window, it is all of the program: the lines that were counted are the output's.
  let is_part = a:has_range && source == bufnr('')
  let [first, last] = is_part ? [a:first, a:last] : [1, len(getbufline(source, 1, '$'))]
  let language = martlet#language#of(source)
  let name = fnamemodify(bufname(source), ':t')
  let title = printf('martlet: %s %s%s', language, name ==# '' ? '[No Name]' : name,
        \ is_part ? printf(', lines %d-%d', first, last) : '')
  let run = {
        \ 'source': source, 'language': language, 'offset': first - 1, 'indent': 0, 'last': last, 'job': {},
        \ 'output': martlet#output#open(source, title), 'file': '', 'errors': [], 'error_part': '', 'errors_whole': 1,
        \ 'state': 'waiting', 'opens_input': 0, 'exit_code': v:null, 'reason': '', 'execution': ''}
  let s:runs[source] = run
  call s:publish(run)
  call martlet#output#reveal(run.output.buffer)
  let missing = martlet#job#missing()
  if missing !=# ''
    return s:fail(run, 'Martlet needs ' . missing . '.', '', '')
  elseif language ==# ''
    return s:fail(run, 'No language is known for this buffer.', ':MartletLanguage NAME, or :set filetype=NAME.', '')
  endif
  let command = s:option('command', ['martlet'])
  let command = type(command) == v:t_list ? copy(command) : [command]
  let command[0] = expand(command[0])
  if !executable(command[0])
    return s:fail(run, printf("'%s' is not a program that can be found.", command[0]),
          \ "Install Martlet, or say where it is: let g:martlet_command = '/path/to/martlet'", '')
  endif
  let input = s:option('input', '')
  let run.opens_input = input !=# ''
  let run.file = tempname()
  call writefile(s:program(run, first, last, is_part), run.file, 'b')
  let command += ['run', '--json', '--language', language, run.opens_input ? '--stdin' : '--no-stdin']
        \ + s:option('options', []) + ['--', run.file] + a:arguments
  let run.job = martlet#job#start(command, run.opens_input, {
        \ 'lines': {lines -> s:take(run, lines)}, 'ended': {code, text -> s:ended(run, code, text)}})
  if empty(run.job)
    return s:fail(run, printf("'%s' could not be started.", command[0]), 'See g:martlet_command.', '')
  endif
  if run.opens_input && input !=# 'open'
    try
      call martlet#job#send(run.job, join(readfile(expand(input), 'b'), "\n"))
    catch
      call martlet#output#remark(run.output, [printf("[no input: cannot read '%s']", input)], 'MartletFailure')
    endtry
    call martlet#job#close_input(run.job)
  endif
endfunction

" :MartletStop. The second within one run does not wait for the server.
function! martlet#stop() abort
  let run = get(s:runs, martlet#source(), {})
  if empty(run)
    return s:complain('nothing of this buffer runs.', '')
  endif
  call martlet#job#interrupt(run.job)
endfunction

" :MartletInput
function! martlet#input(is_end, text) abort
  let run = get(s:runs, martlet#source(), {})
  if empty(run) || !run.opens_input
    return s:complain(empty(run) ? 'nothing of this buffer runs.' : 'the input of this run is closed.',
          \ empty(run) ? '' : "Before the run: let b:martlet_input = 'open'")
  endif
  if a:text !=# '' || !a:is_end
    call martlet#job#send(run.job, a:text . "\n")
  endif
  if a:is_end
    call martlet#job#close_input(run.job)
    let run.opens_input = 0
  endif
endfunction

" :MartletOutput
function! martlet#show() abort
  let buffer = getbufvar(martlet#source(), 'martlet_output', 0)
  if !buffer || !bufexists(buffer)
    return s:complain('this buffer has not been run.', '')
  endif
  call martlet#output#reveal(buffer)
  if bufwinnr(buffer) < 0
    execute 'silent keepalt botright 12split'
    execute 'silent keepalt buffer' buffer
    wincmd p
  endif
endfunction

" For 'statusline': what the run of a buffer does, or how it ended; '' if there was none.
function! martlet#status(...) abort
  let run = getbufvar(a:0 ? a:1 : bufnr(''), 'martlet', {})
  if empty(run)
    return ''
  elseif run.state ==# 'waiting' || run.state ==# 'running'
    return run.language . ': ' . run.state
  endif
  return run.exit_code is v:null ? run.reason : 'exit ' . run.exit_code
endfunction

function! martlet#is_running(source) abort
  return has_key(s:runs, a:source)
endfunction

" The buffer that a command is about: this one, or the one that this is the output of.
function! martlet#source() abort
  return get(b:, 'martlet_source', bufnr(''))
endfunction

" --- the program

" A setting: the buffer's, else the global one, else `default`.
function! s:option(name, default) abort
  return getbufvar(martlet#source(), 'martlet_' . a:name, get(g:, 'martlet_' . a:name, a:default))
endfunction

" The lines to run, saved or not, as they would be saved, but with the line ends of Linux.
function! s:program(run, first, last, is_part) abort
  let lines = getbufline(a:run.source, a:first, a:last)
  if a:is_part && martlet#language#is_indented(a:run.language)
    let full = filter(copy(lines), {_, line -> line =~# '\S'})
    let margin = empty(full) ? '' : matchstr(full[0], '^\s*')
    for line in full
      while strpart(line, 0, len(margin)) !=# margin
        let margin = strpart(margin, 0, len(margin) - 1)
      endwhile
    endfor
    let a:run.indent = len(margin)
    call map(lines, {_, line -> strpart(line, 0, len(margin)) ==# margin ? strpart(line, len(margin)) : line})
  endif
  let encoding = getbufvar(a:run.source, '&fileencoding')
  if encoding !=# '' && encoding !=# &encoding && encoding !~? 'ucs\|utf-\?\(16\|32\|8\)'
    call map(lines, {_, line -> iconv(line, &encoding, encoding)})
  endif
  return lines + ['']
endfunction

" --- events

function! s:take(run, lines) abort
  if a:run.state ==# 'ended'
    return
  elseif !bufexists(a:run.output.buffer)
    return martlet#job#interrupt(a:run.job)  " nobody can read it any more
  endif
  " Pieces of one stream that came together are printed together: that is a hundred times as fast.
  let pieces = []
  let kind = ''
  for line in a:lines
    if line ==# ''
      continue
    endif
    " A character 0 is none for Vim.
    let text = stridx(line, '\u0000') < 0 ? line
          \ : substitute(line, '\v%(\\)@1<!%(\\\\)*\zs\\u0000', '␀', 'g')
    try
      let event = json_decode(text)
      let name = event.event
    catch
      continue  " not of a stream of events: if it is none at all, its end will say so
    endtry
    if name !=# kind
      call s:print(a:run, kind, join(pieces, ''))
      let pieces = []
      let kind = name
    endif
    if name ==# 'stdout' || name ==# 'stderr'
      call add(pieces, get(event, 'encoding', '') ==# 'base64' ? martlet#output#decode64(event.data) : event.data)
    elseif name ==# 'status'
      call martlet#output#status(a:run.output, printf('[%s]', get(event, 'message', '')))
    elseif name ==# 'started'
      call martlet#output#status(a:run.output, '')
      let a:run.state = 'running'
      let a:run.execution = get(event, 'executionId', '')
      call s:publish(a:run)
    elseif name ==# 'exit'
      return s:exited(a:run, event)
    elseif name ==# 'error'
      return s:fail(a:run, get(event, 'message', ''), get(event, 'hint', ''), get(event, 'code', ''))
    endif
  endfor
  call s:print(a:run, kind, join(pieces, ''))
endfunction

function! s:print(run, kind, text) abort
  call martlet#output#write(a:run.output, a:kind, a:text)
  if a:kind !=# 'stderr'
    return
  endif
  let lines = split(a:run.error_part . a:text, "\n", 1)
  let a:run.error_part = strpart(remove(lines, -1), 0, 4096)
  let most = s:most_errors - len(a:run.errors)
  if most > 0
    call extend(a:run.errors, map(lines[: most - 1], {_, line -> martlet#output#clean(strpart(line, 0, 4096))}))
  endif
endfunction

function! s:exited(run, exit) abort
  let exit = a:exit
  let after = printf('after %.2f s', get(exit, 'durationMs', 0) / 1000.0)
  let words = {'timeout': 'out of time', 'memory': 'out of memory', 'processes': 'too many processes',
        \ 'output_limit': 'too much output', 'cancelled': 'cancelled'}
  let is_compiler = get(exit, 'stage', 'run') ==# 'compile'
  if exit.reason ==# 'exited'
    let a:run.exit_code = exit.exitCode
    let text = printf('%sexit %d', is_compiler ? 'not compiled, ' : '', exit.exitCode)
  elseif exit.reason ==# 'signaled'
    let text = 'ended by ' . exit.signal
  else
    let text = get(words, exit.reason, exit.reason)
  endif
  let lines = a:run.errors + (a:run.error_part ==# '' ? [] : [martlet#output#clean(a:run.error_part)])
  if is_compiler  " some write to standard output
    let lines = getbufline(a:run.output.buffer, 2, '$')
  endif
  let found = s:list(a:run, martlet#errors#find(lines, a:run.language))
  let places = found ? printf(', %d place%s in the quickfix list', found, found == 1 ? '' : 's') : ''
  call s:finish(a:run, exit.reason, [printf('[%s %s%s]', text, after, places)],
        \ exit.reason ==# 'exited' && a:run.exit_code == 0 ? 'MartletRemark' : 'MartletFailure')
  if !martlet#output#is_shown(a:run.output)
    echo printf('martlet: %s %s%s', text, after, places)
  endif
endfunction

" The run never happened, or how it ended is not known.
function! s:fail(run, message, hint, code) abort
  if has_key(s:runs, a:run.source) && s:runs[a:run.source] isnot a:run
    return
  endif
  if a:code ==# 'cancelled'
    return s:finish(a:run, 'cancelled', ['[cancelled before it began]'], 'MartletRemark')
  endif
  let lines = filter([a:message, a:hint, a:code], {_, line -> line !=# ''})
  call martlet#output#status(a:run.output, '')
  call s:finish(a:run, a:code ==# '' ? 'error' : a:code, map(lines, {_, line -> printf('[%s]', line)}), 'MartletFailure')
  call s:complain(a:message, martlet#output#is_shown(a:run.output) ? '' : a:hint)
endfunction

function! s:ended(run, code, text) abort
  if a:run.state ==# 'ended'
    return
  endif
  if a:code == 130 || a:code == 143
    return s:fail(a:run, '', '', 'cancelled')
  endif
  let said = filter(split(a:text, "\n"), {_, line -> line =~# '\S'})
  call s:fail(a:run, empty(said) ? printf("'martlet run' ended with code %d and told no more.", a:code)
        \ : substitute(said[0], '^martlet: ', '', ''), join(map(said[1:3], {_, line -> trim(line)}), ' '), '')
endfunction

function! s:finish(run, reason, lines, group) abort
  let a:run.state = 'ended'
  let a:run.reason = a:reason
  call martlet#output#remark(a:run.output, a:lines, a:group)
  if a:run.file !=# ''
    call delete(a:run.file)
  endif
  if get(s:runs, a:run.source, {}) is a:run
    call remove(s:runs, a:run.source)
  endif
  call s:publish(a:run)
  if exists('#User#MartletEnded')
    let g:martlet_ended = a:run.source
    doautocmd <nomodeline> User MartletEnded
  endif
endfunction

" What others may read of it.
function! s:publish(run) abort
  if bufexists(a:run.source)
    call setbufvar(a:run.source, 'martlet', {
          \ 'state': a:run.state, 'language': a:run.language, 'exit_code': a:run.exit_code, 'reason': a:run.reason,
          \ 'execution': a:run.execution, 'output': a:run.output.buffer})
  endif
endfunction

" --- quickfix

" Makes a list of the places, or puts them into the one that this buffer's last run made if that is still the current
" one. Returns how many there are.
function! s:list(run, items) abort
  if !bufloaded(a:run.source)
    return 0
  endif
  let current = getqflist({'context': 1, 'nr': 0})
  let context = {'martlet': a:run.source}
  let is_ours = type(current.context) == v:t_dict && current.context == context
  if empty(a:items) && !is_ours
    return 0
  endif
  let most = len(getbufline(a:run.source, 1, '$'))
  for item in a:items
    let item.bufnr = a:run.source
    let item.lnum = max([1, min([item.lnum + a:run.offset, most])])
    let item.col = item.col > 0 ? item.col + a:run.indent : 0
  endfor
  let name = fnamemodify(bufname(a:run.source), ':t')
  let list = {'title': 'martlet ' . a:run.language . ' ' . name, 'context': context, 'items': a:items}
  if !empty(a:items)
    let list.idx = martlet#errors#main(a:items)
  endif
  call setqflist([], is_ours ? 'r' : ' ', list)
  if !empty(a:items) && get(g:, 'martlet_open_quickfix', 0)
    let here = win_getid()
    copen
    call win_gotoid(here)
  endif
  return len(a:items)
endfunction

function! s:complain(message, hint) abort
  echohl ErrorMsg
  echomsg 'martlet: ' . a:message
  echohl None
  if a:hint !=# ''
    echomsg a:hint
  endif
endfunction
