{ Loaded before the program's own units: what it prints appears at each line's end, in a pipe too. }
unit Live;

interface

implementation

initialization
    TextRec(Output).FlushFunc := TextRec(Output).InOutFunc;
end.
