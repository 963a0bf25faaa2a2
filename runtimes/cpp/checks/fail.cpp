#include <iostream>
#include <vector>

int main()
{
    std::cout << "before\n";
    std::cout << std::vector<int>().at(0) << '\n';
}
