#include <iostream>
#include <string>

int main(int count, char **words)
{
    std::cout << "Grüße, 世界! 😀\n";
    for (int i = 1; i < count; i++)
        std::cout << words[i] << '\n';
    for (std::string line; std::getline(std::cin, line);)
        std::cout << "> " << line << '\n';
    return 7;
}
