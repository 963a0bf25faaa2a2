" A child process of Vim or Neovim, whichever this is: the one place where they differ.
"
" Callbacks of `on`, a dictionary:
"   on.lines(list)   whole lines of its standard output, without their ends, as they come
"   on.ended(code, text)   once, after its last line; `text` is the end of what it said on standard error

let s:longest_line = 16 * 1024 * 1024
let s:longest_text = 16 * 1024

" What is missing here to run anything; '' if nothing is.
function! martlet#job#missing() abort
  if has('nvim')
    return has('nvim-0.7') ? '' : 'Neovim 0.7 or newer'
  endif
  return has('job') && has('channel') && has('textprop') && has('lambda') && exists('*appendbufline')
        \ ? '' : 'a Vim of version 9 or newer with the features +job, +channel and +textprop'
endfunction

" Starts it; nothing if it cannot be started. Its standard input is a pipe if `opens_input`, else empty.
function! martlet#job#start(command, opens_input, on) abort
  let job = {'on': a:on, 'rest': [], 'rest_length': 0, 'text': '', 'code': v:null, 'is_closed': 0, 'is_over': 0}
  if has('nvim')
    try
      let job.id = jobstart(a:command, {
            \ 'stdin': a:opens_input ? 'pipe' : 'null',
            \ 'on_stdout': {_, data, ... -> data == [''] ? s:end(job, job.code, 1) : s:take(job, join(data, "\n"))},
            \ 'on_stderr': {_, data, ... -> s:hear(job, join(data, "\n"))},
            \ 'on_exit': {_, code, ... -> s:end(job, code, job.is_closed)}})
    catch
      return {}
    endtry
    return job.id > 0 ? job : {}
  endif
  let job.handle = job_start(a:command, {
        \ 'in_io': a:opens_input ? 'pipe' : 'null', 'in_mode': 'raw', 'out_mode': 'raw', 'err_mode': 'raw',
        \ 'noblock': 1, 'stoponexit': 'term',
        \ 'out_cb': {_, data -> s:take(job, data)},
        \ 'err_cb': {_, data -> s:hear(job, data)},
        \ 'exit_cb': {_, code -> s:end(job, code, job.is_closed)},
        \ 'close_cb': {_ -> s:end(job, job.code, 1)}})
  return job_status(job.handle) ==# 'fail' ? {} : job
endfunction

" Sends it the signal of Ctrl-C.
function! martlet#job#interrupt(job) abort
  if a:job.is_over
    return
  endif
  if has('nvim')
    try
      call luaeval('vim.loop.kill(_A, 2)', jobpid(a:job.id))
    catch
    endtry
  else
    call job_stop(a:job.handle, 'int')
  endif
endfunction

" Writes to its standard input.
function! martlet#job#send(job, text) abort
  if has('nvim')
    call chansend(a:job.id, a:text)
  else
    call ch_sendraw(a:job.handle, a:text)
  endif
endfunction

function! martlet#job#close_input(job) abort
  if has('nvim')
    call chanclose(a:job.id, 'stdin')
  else
    call ch_close_in(a:job.handle)
  endif
endfunction

function! s:take(job, data) abort
  let end = strridx(a:data, "\n")
  if end < 0
    let a:job.rest_length += len(a:data)
    if a:job.rest_length <= s:longest_line
      call add(a:job.rest, a:data)
    endif
    return
  endif
  let lines = split(join(a:job.rest + [strpart(a:data, 0, end)], ''), "\n", 1)
  let a:job.rest = [strpart(a:data, end + 1)]
  let a:job.rest_length = len(a:job.rest[0])
  call a:job.on.lines(lines)
endfunction

function! s:hear(job, data) abort
  let a:job.text = strpart(a:job.text . a:data, max([0, len(a:job.text) + len(a:data) - s:longest_text]))
endfunction

" Exit and end of output come in either order.
function! s:end(job, code, is_closed) abort
  let a:job.code = a:code
  let a:job.is_closed = a:is_closed
  if a:job.is_over || !a:is_closed || a:code is v:null
    return
  endif
  let a:job.is_over = 1
  call a:job.on.ended(a:code, a:job.text)
endfunction
