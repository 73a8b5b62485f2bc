"""The seed of hashes, drawn once; part of each module that has tables of names or values."""

import os

from libc.stdint cimport uint8_t, uint64_t


cdef extern from "hash.h" nogil:
    uint64_t hash_seed


# Before the first table, and never again.
cdef bytes _seed = os.urandom(8)
cdef int _place
for _place in range(8):
    (<uint8_t *>&hash_seed)[_place] = _seed[_place]
