#ifndef MARTLET_CLIBPQ_SHIM_H
#define MARTLET_CLIBPQ_SHIM_H

#include <libpq-fe.h>

#endif
