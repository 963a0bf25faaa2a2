program echo
    implicit none
    character(200) :: text
    integer :: i, length, status

    print '(a)', 'Grüße, 世界! 😀'
    do i = 1, command_argument_count()
        call get_command_argument(i, text, length)
        print '(a)', text(:length)
    end do
    do
        read (*, '(a)', iostat=status) text
        if (status /= 0) exit
        print '(2a)', '> ', trim(text)
    end do
    stop 7, quiet=.true.
end program echo
