(write-line "before")
(print (/ 1 (length (cddr sb-ext:*posix-argv*))))
