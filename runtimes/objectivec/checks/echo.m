#import <Foundation/Foundation.h>

int main(int count, char **words)
{
    @autoreleasepool {
        NSString *greeting = @"Grüße, 世界! 😀";
        puts([greeting UTF8String]);
        for (int i = 1; i < count; i++)
            puts([[NSString stringWithUTF8String:words[i]] UTF8String]);
        char line[200];
        while (fgets(line, sizeof line, stdin))
            printf("> %s", line);
    }
    return 7;
}
