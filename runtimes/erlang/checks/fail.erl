main(Words) ->
    io:format("before~n"),
    io:format("~p~n", [1 / length(Words)]).
