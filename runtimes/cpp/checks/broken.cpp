int main()
{
    std::string text = 1;
}
