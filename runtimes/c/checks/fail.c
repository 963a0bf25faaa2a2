#include <stdio.h>

int main(int count, char **words)
{
    puts("before");
    printf("%c\n", words[count][0]);
}
