#import <Foundation/Foundation.h>

int main(void)
{
    @autoreleasepool {
        puts("before");
        [[NSArray array] objectAtIndex:1];
    }
    return 0;
}
