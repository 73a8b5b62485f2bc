#include "hash.h"

uint64_t hash_seed = 0x2545F4914F6CDD1Du;
