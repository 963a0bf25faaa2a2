class Broken
{
    static void Main()
    {
        nothing();
    }
}
