" Martlet: runs the buffer, or a part of it, in your VM. See :help martlet.
" No key is mapped here; the <Plug> names below are for mappings of your own.

if exists('g:loaded_martlet') || &compatible
  finish
endif
let g:loaded_martlet = 1

command! -range -bang -nargs=* Martlet call martlet#run(<bang>0, <range>, <line1>, <line2>, [<f-args>])
command! -bar MartletStop call martlet#stop()
command! -bar MartletOutput call martlet#show()
command! -bar -nargs=? -complete=custom,martlet#language#complete MartletLanguage call martlet#language#choose(<q-args>)
command! -bang -nargs=? MartletInput call martlet#input(<bang>0, <q-args>)

nnoremap <silent> <Plug>(martlet-run) :<C-U>Martlet<CR>
xnoremap <silent> <Plug>(martlet-run) :Martlet<CR>
nnoremap <silent> <Plug>(martlet-stop) :<C-U>MartletStop<CR>
nnoremap <silent> <Plug>(martlet-output) :<C-U>MartletOutput<CR>
