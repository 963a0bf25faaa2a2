using System;

class Echo
{
    static int Main(string[] words)
    {
        Console.WriteLine("Grüße, 世界! 😀");
        foreach (var word in words) Console.WriteLine(word);
        for (string line; (line = Console.ReadLine()) != null;) Console.WriteLine($"> {line}");
        return 7;
    }
}
