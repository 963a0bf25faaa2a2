# Used before the program: what it prints appears at once, in a pipe too.
unit module Live;
$*OUT.out-buffer = False;
