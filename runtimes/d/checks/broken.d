void main()
{
    nothing();
}
