/* What a runtime says about being started ahead of its requests: the field `warm` of runtime.json. */
#include "runner.h"

#include <string.h>

bool warm_suits(const struct runtime *runtime, const struct request *request)
{
    (void)runtime;
    (void)request;
    return false;
}
