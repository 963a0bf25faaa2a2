program broken
    implicit none
    nothing = 1
end program broken
