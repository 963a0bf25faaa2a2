program fail
    implicit none
    character(3) :: text = 'one'
    integer :: number
    print '(a)', 'before'
    read (text, *) number
    print *, number
end program fail
