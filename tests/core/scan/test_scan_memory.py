"""Memory that is freed goes back to the system."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes
from airflow_provider_ddbexport.core.scan.memory import give_large_blocks_back

class Figures(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Figures

def blocks_of_their_own(megabytes):
    before = libc.mallinfo2().hblks
    block = bytearray(megabytes << 20)
    return libc.mallinfo2().hblks - before

print(blocks_of_their_own(30))
print(blocks_of_their_own(10))
give_large_blocks_back()
# Larger than what there is to be used again.
print(blocks_of_their_own(20))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="it is about glibc")
def test_large_blocks_go_back_after_glibc_has_begun_to_keep_them() -> None:
    """After the first large one is freed, glibc takes the next from what it keeps; after the call, from the system."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout.split() == ["1", "0", "1"]
