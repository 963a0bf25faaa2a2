#!/usr/bin/env escript
%% Runs FILE with the words that follow: a script with main/1, as escript would (without taking its first line, and in
%% UTF-8), or a module that exports main or start.

main([File | Words]) ->
    io:setopts([{encoding, unicode}]),
    case compile:forms(forms(File), [binary, return_errors, export_all, nowarn_export_all]) of
        {ok, Module, Code} ->
            {module, Module} = code:load_binary(Module, File, Code),
            run(Module, Words);
        {error, Errors, _} ->
            [report(Name, Error) || {Name, List} <- Errors, Error <- List],
            halt(1)
    end.

forms(File) ->
    {ok, Source} = file:open(File, [read]),
    {Line, Place} = case io:get_line(Source, "") of
        "#!" ++ _ -> {2, cur};
        _ -> {1, bof}
    end,
    {ok, _} = file:position(Source, Place),
    {ok, Forms} = epp:parse_file(File, [{fd, Source}, {location, Line}]),
    case [Name || {attribute, _, module, Name} <- Forms] of
        [] -> [{attribute, 1, file, {File, 1}}, {attribute, 1, module, main} | Forms];
        _ -> Forms
    end.

run(Module, Words) ->
    Starts = [{main, [Words]}, {main, []}, {start, []}],
    case [Start || {Name, Given} = Start <- Starts, erlang:function_exported(Module, Name, length(Given))] of
        [{Name, Given} | _] ->
            try apply(Module, Name, Given) of
                _ -> halt(0)
            catch
                Class:Reason:Stack ->
                    io:put_chars(standard_error, [erl_error:format_exception(Class, Reason, Stack), "\n"]),
                    halt(1)
            end;
        [] ->
            io:put_chars(standard_error, "It exports neither main/1, main/0 nor start/0.\n"),
            halt(1)
    end.

report(Name, {Place, Module, Description}) ->
    {Line, Column} = case Place of {_, _} -> Place; _ -> {Place, 1} end,
    io:format(standard_error, "~ts:~p:~p: ~ts~n", [Name, Line, Column, Module:format_error(Description)]).
