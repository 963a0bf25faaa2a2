int main(void)
{
    [nothing];
}
