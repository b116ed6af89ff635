# cython: language_level=3, boundscheck=False, wraparound=False
"""The compiled twin of the loop that cuts text messages out of what was read (see ``protocol.py``)."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint64_t

__all__ = ["cut"]


def cut(data, Py_ssize_t position, Py_ssize_t limit, list messages not None) -> int:
    """Append the text messages of ``data`` from ``position`` on, as long as each is one whole, valid frame.

    Returns where the first frame begins that is anything else: incomplete, longer than ``limit``, not UTF-8, of another
    kind. It is left to the pure code.
    """
    cdef bytes whole = data if PyBytes_CheckExact(data) else bytes(data)
    cdef const unsigned char* at = <const unsigned char*> PyBytes_AS_STRING(whole)
    cdef Py_ssize_t end = PyBytes_GET_SIZE(whole), start
    cdef uint64_t size
    cdef int index
    while end - position >= 2 and at[position] == 0x81:
        size = at[position + 1]
        start = position + 2
        if size > 127:  # masked
            break
        if size >= 126:
            start += 2 if size == 126 else 8
            if start > end:
                break
            size = 0
            for index in range(<int> (position + 2 - start), 0):
                size = size << 8 | at[start + index]
        if size > <uint64_t> limit or size > <uint64_t> (end - start):
            break
        try:
            message = PyUnicode_DecodeUTF8(<const char*> at + start, <Py_ssize_t> size, NULL)
        except UnicodeDecodeError:
            break
        messages.append(message)
        position = start + <Py_ssize_t> size
    return position
