# cython: language_level=3, binding=False
"""What Python cannot ask of files."""

from libc.errno cimport errno
from libc.string cimport strerror


cdef extern from *:
    """
    #include <fcntl.h>

    static int begin_write_back(int file) {
    #ifdef SYNC_FILE_RANGE_WRITE
        return sync_file_range(file, 0, 0, SYNC_FILE_RANGE_WRITE);
    #else
        (void)file;
        return 0;
    #endif
    }

    static int make_room(int file, long long size) {
    #ifdef FALLOC_FL_KEEP_SIZE
        return fallocate(file, FALLOC_FL_KEEP_SIZE, 0, size) == 0;
    #else
        (void)file;
        (void)size;
        return 0;
    #endif
    }
    """
    int _begin "begin_write_back" (int file) nogil
    int _make_room "make_room" (int file, long long size) nogil


def begin_write_back(int file):
    """Have what was written to the open *file* on its way to the disk, and stay in memory, where Linux does it.

    Raises OSError.
    """
    cdef int failed, reason
    with nogil:
        failed = _begin(file)
        reason = errno
    if failed:
        raise OSError(reason, strerror(reason).decode())


def reserve(int file, long long size):
    """Make room on the disk for *size* bytes of the open *file*, which does not get longer by that; return whether it was.

    What is not used is given back by truncating *file* to where it ends.
    """
    cdef int made
    with nogil:
        made = _make_room(file, size)
    return made != 0
