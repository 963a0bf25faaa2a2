#include <stdio.h>

int main(int count, char **words)
{
    puts("Grüße, 世界! 😀");
    for (int i = 1; i < count; i++)
        puts(words[i]);
    char line[200];
    while (fgets(line, sizeof line, stdin))
        printf("> %s", line);
    return 7;
}
