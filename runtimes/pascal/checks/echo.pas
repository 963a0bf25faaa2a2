program Echo;
var
    i: Integer;
    line: String;
begin
    writeln('Grüße, 世界! 😀');
    for i := 1 to ParamCount do
        writeln(ParamStr(i));
    while not eof do
    begin
        readln(line);
        writeln('> ', line);
    end;
    halt(7);
end.
