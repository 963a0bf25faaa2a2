:- initialization(main).

main :-
    writeln('Grüße, 世界! 😀'),
    current_prolog_flag(argv, Words),
    maplist(writeln, Words),
    copy,
    halt(7).

copy :-
    read_line_to_string(user_input, Line),
    Line \== end_of_file,
    !,
    format("> ~w~n", [Line]),
    copy.
copy.
