using System;

class Fail
{
    static void Main(string[] words)
    {
        Console.WriteLine("before");
        Console.WriteLine(1 / words.Length);
    }
}
