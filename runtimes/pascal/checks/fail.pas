program Fail;
begin
    writeln('before');
    writeln(1 div ParamCount);
end.
