:- initialization(main).

main :- writeln(never.
