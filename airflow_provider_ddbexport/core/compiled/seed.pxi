"""The seed of the hashes of names, drawn once; part of each module that has tables of names."""

import os

from libc.stdint cimport uint8_t, uint64_t


cdef extern from "kernel.h" nogil:
    uint64_t hash_seed


# Before the first table of names, and never again.
cdef bytes _seed = os.urandom(8)
cdef int _place
for _place in range(8):
    (<uint8_t *>&hash_seed)[_place] = _seed[_place]
