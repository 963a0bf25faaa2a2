main(_) ->
    io:format("never"
