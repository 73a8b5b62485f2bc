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
    """
    int _begin "begin_write_back" (int file) nogil


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
