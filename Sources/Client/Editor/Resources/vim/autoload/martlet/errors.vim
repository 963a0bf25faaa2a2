" Finds the places in a program that errors name.
"
" The program's file has a name of its own in the VM ('main.py', '/tmp/run/main.py'), so whatever the language, a line
" that has this name and a number behind it is a place, and what stands around or near it is the message. A language
" whose name is a key of g:martlet_errorformat is read by that 'errorformat' instead.

let s:most = 1000

" Before a place: the message of the places that follow.
let s:headline = '\v^%(panic: |fatal error: |error>|warning>|Exception in |Uncaught |\*\* \('
      \ . '|%([[:alnum:]_.:]+)?%(Error|Exception)>)'

" Languages whose messages name a line and no file, and those whose first line is the message, whatever it looks like.
let s:nameless = ['octave', 'sqlite']
let s:untitled = ['raku', 'tcl']

" Items as setqflist() takes them, in the order of the lines, with numbers of lines from 1 in the program.
function! martlet#errors#find(lines, language) abort
  let format = get(get(g:, 'martlet_errorformat', {}), a:language, '')
  return format ==# '' ? s:scan(a:lines, a:language) : s:parse(a:lines, a:language, format)
endfunction

" The number, from 1, of the item that says most: the first error, else the first with a message of its own.
function! martlet#errors#main(items) abort
  for index in range(len(a:items))
    if a:items[index].type ==? 'E'
      return index + 1
    endif
  endfor
  return 1
endfunction

function! s:name(language) abort
  let file = martlet#language#file(a:language)
  return '%(/tmp/run/|\./)?' . (file ==# '' ? '[Mm]ain\.\a\w*' : file)
endfunction

function! s:scan(lines, language) abort
  let place = '\v^(.{-})%(^|[^-/.[:alnum:]_])@1<=' . s:name(a:language)
        \ . '%("?\)?%(, line | \(line |: line | line | on line |: ?|\())\(?(\d+)%([:,.] ?(\d+))?(.*)$'
  let items = []
  let headline = ''
  let awaited = ''  " what tells the message of the last item: 'trace' ends, 'mark' below it, 'line' that is next
  for line in a:lines
    let found = matchlist(line, place)
    if empty(found) && index(s:nameless, a:language) >= 0
      let found = matchlist(line, '\v^(.{-})<%(near|at) line (\d+)%(,? column (\d+))?(.*)$')
    endif
    if empty(found)
      if !empty(items) && awaited !=# ''
        let awaited = s:listen(items[-1], awaited, line)
      elseif line =~# s:headline || line ==# a:lines[0] && index(s:untitled, a:language) >= 0
        let headline = line
      endif
      continue
    endif
    let [_, before, row, column, after; _] = found
    let after = substitute(after, '\v^%(-[0-9.:]+)?[-):.,;"'' \t]*|^ \+0x\x+$', '', '')
    if after =~# '\v^%(\+0x\x+|characters .*)$'
      let after = ''
    endif
    let start = substitute(before, '\v[ \t:,("'']*%(<%(at|in|In|File|file|from)>)?[ \t"(]*$', '', '')
    let start = substitute(start, '\v^\s*%(--\>|#\d+)?\s*', '', '')
    let text = after !=# '' ? after : start
    let item = {'lnum': str2nr(row), 'col': str2nr(column), 'type': '', 'text': ''}
    let is_inner = before =~# '^\s' || text ==# ''
    let is_titled = headline !=# '' && is_inner && before !~# '\<File "$'
    call s:tell(item, is_titled ? headline : text)
    let headline = ''
    if is_titled
      let awaited = ''
    elseif item.text ==# '' && line =~# '\v^\S+$' && column ==# ''
      let awaited = 'mark'
    elseif item.type !=# '' && item.text ==# ''
      let awaited = 'line'
    elseif before =~# '\v<[Ff]ile ["'']$|<In $' || item.text ==# ''
      let awaited = 'trace'
    elseif awaited !=# 'trace' || !is_inner
      let awaited = ''
    endif
    if !empty(items) && items[-1].lnum == item.lnum && is_inner && (items[-1].type !=# '' || item.text ==# '')
      let items[-1].col = max([items[-1].col, item.col])
      continue
    endif
    call add(items, item)
    if len(items) >= s:most
      break
    endif
  endfor
  return items
endfunction

" Looks in a line without a place for the message of the item before. Returns what is awaited after it.
function! s:listen(item, awaited, line) abort
  if a:awaited ==# 'mark'
    let mark = match(a:line, '\v^\s*\zs\^+\s*$')
    if mark < 0
      return 'mark'
    endif
    let a:item.col = mark + 1
    return 'line'
  elseif a:awaited ==# 'trace' && a:line !~# '\v^\S' || a:line =~# '\v^\s*$|^\s*\d+ *\|'
    return a:awaited
  endif
  let text = substitute(a:line, '\v^%(\s|•|│|\|)+', '', '')
  if a:awaited ==# 'trace'
    let a:item.text = ''
  endif
  call s:tell(a:item, text)
  let a:item.type = a:item.type ==# '' ? 'E' : a:item.type
  return ''
endfunction

" Gives an item its text, and the type that this begins with.
function! s:tell(item, text) abort
  let kind = matchlist(a:text, '\v\c^%(fatal )?(error|warning|note|info)%(:\s*%(\[.*\])?\s*|$)(.*)$')
  if !empty(kind)
    let a:item.type = {'e': 'E', 'w': 'W', 'n': 'I', 'i': 'I'}[tolower(kind[1][0])]
    let a:item.text .= kind[2]
    return
  endif
  if a:item.type ==# ''
    let a:item.type = a:text =~# '\v<%(\w*Warning):|^[Ww]arning>' ? 'W'
          \ : a:text =~# s:headline || a:text =~# '\v^%([Ss]yntax )?[Ee]rror>|%(Error|Exception)>' ? 'E' : ''
  endif
  let a:item.text .= a:text
endfunction

" By an 'errorformat' of the user's. Vim makes buffers for the names that it finds: they are removed again, and only the
" places in the program are kept.
function! s:parse(lines, language, format) abort
  let mark = 'martlet-program'
  let pattern = '\v%(^|[^-/.[:alnum:]_])@1<=' . s:name(a:language) . '>'
  let lines = map(copy(a:lines), {_, line -> substitute(line, pattern, mark, 'g')})
  let highest = bufnr('$')
  noautocmd let items = getqflist({'lines': lines, 'efm': a:format}).items
  let items = filter(items, {_, item -> item.valid && item.lnum > 0
        \ && (item.bufnr == 0 || fnamemodify(bufname(item.bufnr), ':t') ==# mark)})
  for buffer in filter(range(highest + 1, bufnr('$')), {_, number -> bufexists(number) && !buflisted(number)})
    execute 'silent! noautocmd bwipeout' buffer
  endfor
  return map(items[: s:most - 1],
        \ {_, item -> {'lnum': item.lnum, 'col': item.col, 'type': item.type, 'text': trim(item.text)}})
endfunction
