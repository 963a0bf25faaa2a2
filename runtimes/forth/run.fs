\ Runs a file to the end of the process. An error is told on the error stream alone, and is exit code 1.
: run ( name length -- )
    ['] included catch dup if stderr to outfile-id DoError 1 (bye) then drop bye ;
