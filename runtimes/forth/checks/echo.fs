: arguments ( -- )
    begin next-arg dup while type cr repeat 2drop ;

: copy ( -- )
    begin pad 200 stdin read-line throw while ." > " pad swap type cr repeat drop ;

.( Grüße, 世界! 😀) cr
arguments
copy
7 (bye)
