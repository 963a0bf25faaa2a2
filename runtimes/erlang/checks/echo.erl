main(Words) ->
    io:format("Grüße, 世界! 😀~n"),
    [io:format("~ts~n", [Word]) || Word <- Words],
    copy(),
    halt(7).

copy() ->
    case io:get_line("") of
        eof -> ok;
        Line -> io:format("> ~ts", [Line]), copy()
    end.
