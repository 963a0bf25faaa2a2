" The buffer that shows a run: a line that says what runs, what the program prints, a line that says how it ended.
" It holds at most g:martlet_max_lines lines of output, the newest.

let s:longest_part = 16 * 1024  " of a line whose end has not come

highlight default link MartletRemark Comment
highlight default link MartletStderr WarningMsg
highlight default link MartletFailure ErrorMsg

if has('nvim')
  let s:namespace = nvim_create_namespace('martlet')
else
  for s:name in ['MartletRemark', 'MartletStderr', 'MartletFailure']
    if empty(prop_type_get(s:name))
      call prop_type_add(s:name, {'highlight': s:name})
    endif
  endfor
endif

" Makes the output buffer of a source buffer, or empties the one that is there.
function! martlet#output#open(source, title) abort
  let name = 'martlet://' . a:source . '/' . fnamemodify(bufname(a:source), ':t')
  let known = getbufvar(a:source, 'martlet_output', 0)
  let buffer = known && bufexists(known) ? known : bufadd(name)
  call setbufvar(a:source, 'martlet_output', buffer)
  call setbufvar(buffer, '&buftype', 'nofile')  " first: there is no file to be looked for
  silent call bufload(buffer)
  for [option, value] in items({'bufhidden': 'hide', 'swapfile': 0, 'buflisted': 0,
        \ 'undolevels': -1, 'filetype': 'martlet', 'modifiable': 1})
    if getbufvar(buffer, '&' . option) !=# value
      call setbufvar(buffer, '&' . option, value)
    endif
  endfor
  call setbufvar(buffer, 'martlet_source', a:source)
  silent call deletebufline(buffer, 1, '$')
  call setbufline(buffer, 1, a:title)
  if has('nvim')
    call nvim_buf_clear_namespace(buffer, s:namespace, 0, -1)
  endif
  let output = {
        \ 'buffer': buffer, 'last': 1, 'first': 2, 'part': '', 'part_kind': '', 'has_part': 0, 'status': 0,
        \ 'left_out': 0, 'most': max([10, get(g:, 'martlet_max_lines', 10000)])}
  call s:colour(output, 1, 1, 'MartletRemark')
  call setbufvar(buffer, '&modifiable', 0)
  return output
endfunction

" Shows it in a window of this tab page; the cursor stays where it is. A window whose run is over is used again.
function! martlet#output#reveal(buffer) abort
  if !bufexists(a:buffer)
    return
  endif
  let here = win_getid()
  for window in range(1, winnr('$'))
    if winbufnr(window) == a:buffer
      return
    endif
  endfor
  let split = get(g:, 'martlet_split', 'botright 12split')
  let free = filter(range(1, winnr('$')), {_, window -> getbufvar(winbufnr(window), 'martlet_source', 0)
        \ && !martlet#is_running(getbufvar(winbufnr(window), 'martlet_source'))})
  if !empty(free)
    execute 'noautocmd' free[0] . 'wincmd w'
    execute 'silent keepalt buffer' a:buffer
  elseif split !=# ''
    execute 'silent keepalt' split
    execute 'silent keepalt buffer' a:buffer
    setlocal nonumber norelativenumber nolist nospell nofoldenable nowrap winfixheight
  endif
  call win_gotoid(here)
endfunction

function! martlet#output#is_shown(output) abort
  return bufwinnr(a:output.buffer) > 0
endfunction

" Adds what the program printed. `kind` is 'stdout' or 'stderr'; a change of kind begins a line.
function! martlet#output#write(output, kind, text) abort
  if a:text ==# ''
    return
  endif
  let output = a:output
  if output.has_part && output.part_kind !=# a:kind
    call s:forget_part(output)
  endif
  let text = output.part . a:text
  let lines = split(text, "\n", 1)
  let output.part = remove(lines, -1)
  let output.part_kind = a:kind
  let replaces = output.has_part
  let output.has_part = output.part !=# ''
  if output.has_part
    call add(lines, output.part)
  endif
  let dropped = max([0, len(lines) - output.most])
  if dropped
    call remove(lines, 0, dropped - 1)
  endif
  if stridx(text, "\e") >= 0 || stridx(text, "\r") >= 0
    call map(lines, {_, line -> martlet#output#clean(line)})
  endif
  if len(output.part) > s:longest_part
    call s:forget_part(output)
  endif
  call s:put(output, lines, replaces, a:kind ==# 'stderr' ? 'MartletStderr' : '', dropped)
endfunction

" What is done before the program begins; each takes the place of the one before, '' the last one's.
function! martlet#output#status(output, text) abort
  let output = a:output
  if a:text !=# ''
    call s:put(output, s:whole([a:text]), output.status, 'MartletRemark', 0)
  elseif output.status
    call s:change(output, {-> deletebufline(output.buffer, output.last)})
    let output.last -= 1
  endif
  let output.status = a:text !=# ''
endfunction

" Adds lines of our own at the end.
function! martlet#output#remark(output, lines, group) abort
  call s:forget_part(a:output)
  let a:output.most += len(a:lines)  " these are beside what it holds of the program's
  call s:put(a:output, s:whole(a:lines), 0, a:group, 0)
endfunction

" A line as a terminal would leave it: without its escape sequences, and what was written over.
function! martlet#output#clean(line) abort
  let line = a:line
  if stridx(line, "\e") >= 0
    let line = substitute(line, '\e\%(\[[0-?]*[ -/]*[@-~]\|\][^\x07\e]*\%(\%x07\|\e\\\)\?\|[ -/]*[0-~]\)', '', 'g')
  endif
  if stridx(line, "\r") >= 0
    let line = matchstr(substitute(line, '\r\+$', '', ''), '[^\r]*$')
  endif
  return line
endfunction

" Bytes of base64 as text of Vim's, in which no byte is 0: those become '␀', as do they in JSON.
function! martlet#output#decode64(text) abort
  let digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  if !exists('s:values')
    let s:values = {}
    for value in range(64)
      let s:values[digits[value]] = value
    endfor
  endif
  let text = substitute(a:text, '[^A-Za-z0-9+/]', '', 'g')
  let hex = []
  for at in range(0, len(text) - 1, 4)
    let part = strpart(text, at, 4)
    let bits = 0
    for index in range(4)
      let bits = bits * 64 + get(s:values, get(split(part, '\zs'), index, 'A'), 0)
    endfor
    call add(hex, strpart(printf('%06x', bits), 0, 2 * (len(part) - 1)))
  endfor
  let lines = split(substitute(substitute(join(hex, ''), '..', '& ', 'g'), '0a ', "\n", 'g'), "\n", 1)
  return join(map(lines, {_, line -> s:bytes(line)}), "\n")
endfunction

" Of hexadecimal digits alone, so there is nothing in it that could be more than a string.
function! s:bytes(hex) abort
  return eval('"' . substitute(substitute(a:hex, '\(\x\x\) ', '\\x\1', 'g'), '\\x00', '␀', 'g') . '"')
endfunction

" Lines without line ends in them.
function! s:whole(lines) abort
  return map(copy(a:lines), {_, line -> tr(line, "\n", ' ')})
endfunction

function! s:forget_part(output) abort
  let [a:output.part, a:output.part_kind, a:output.has_part] = ['', '', 0]
endfunction

" Appends lines, the first in place of the last one if `replaces`, drops what is too old, and moves on the windows in
" which the cursor was at the end. `dropped` lines were left out before these.
function! s:put(output, lines, replaces, group, dropped) abort
  let output = a:output
  if empty(a:lines) || !bufloaded(output.buffer)
    return
  endif
  let following = filter(win_findbuf(output.buffer), {_, window -> line('.', window) >= output.last})
  let old = max([0, output.last - output.first + 1 + len(a:lines) - (a:replaces ? 1 : 0) - output.most])
  call s:change(output, {-> s:edit(output, a:lines, a:replaces, a:group, old, a:dropped)})
  for window in following
    call win_execute(window, 'call cursor(line("$"), 1)')
  endfor
endfunction

function! s:edit(output, lines, replaces, group, old, dropped) abort
  let output = a:output
  let lines = a:lines
  let begin = output.last + (a:replaces ? 0 : 1)
  if a:replaces
    call s:fade(output, output.last)
    call setbufline(output.buffer, output.last, lines[0])
    call appendbufline(output.buffer, output.last, lines[1:])
  else
    call appendbufline(output.buffer, output.last, lines)
  endif
  let output.last = begin + len(lines) - 1
  if a:group !=# ''
    call s:colour(output, begin, output.last, a:group)
  endif
  if !a:old && !a:dropped
    return
  endif
  if a:old
    silent call deletebufline(output.buffer, output.first, output.first + a:old - 1)
    let output.last -= a:old
  endif
  let note = output.left_out > 0
  let output.left_out += a:old + a:dropped
  let text = printf('[%d earlier lines are not shown]', output.left_out)
  if note
    call s:fade(output, 2)
    call setbufline(output.buffer, 2, text)
  else
    call appendbufline(output.buffer, 1, text)
    let output.first += 1
    let output.last += 1
  endif
  call s:colour(output, 2, 2, 'MartletRemark')
endfunction

function! s:change(output, edit) abort
  call setbufvar(a:output.buffer, '&modifiable', 1)
  try
    silent call a:edit()
  finally
    call setbufvar(a:output.buffer, '&modifiable', 0)
  endtry
endfunction

" Line by line in Vim: properties of several lines do not survive that some of these are deleted (E685).
function! s:colour(output, first, last, group) abort
  let lines = getbufline(a:output.buffer, a:first, a:last)
  if has('nvim')
    call nvim_buf_set_extmark(a:output.buffer, s:namespace, a:first - 1, 0,
          \ {'end_row': a:last - 1, 'end_col': len(lines[-1]), 'hl_group': a:group})
    return
  endif
  for index in range(len(lines))
    call prop_add(a:first + index, 1, {'bufnr': a:output.buffer, 'type': a:group, 'length': len(lines[index])})
  endfor
endfunction

function! s:fade(output, line) abort
  if has('nvim')
    call nvim_buf_clear_namespace(a:output.buffer, s:namespace, a:line - 1, a:line)
  else
    call prop_clear(a:line, a:line, {'bufnr': a:output.buffer})
  endif
endfunction
