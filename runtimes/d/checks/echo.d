import std.stdio;

int main(string[] words)
{
    writeln("Grüße, 世界! 😀");
    foreach (word; words[1 .. $])
        writeln(word);
    foreach (line; stdin.byLine)
        writeln("> ", line);
    return 7;
}
