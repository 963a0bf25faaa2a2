import std.stdio;

void main(string[] words)
{
    writeln("before");
    writeln(words[1]);
}
