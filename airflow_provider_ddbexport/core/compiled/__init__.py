"""The compiled decoder: C that reads lines and fills Arrow columns without the GIL, and its Cython face.

It gives the answer of the reference (:mod:`..decode`, :mod:`..columns`) and knows nothing that is not written there.
:mod:`..decoder` chooses between the two and is the only one to load ``_kernel``. ``_pages`` is for pages of Parquet,
``_thrift`` for its footers, ``_changes`` for increments, and, without pyarrow, ``_splice`` for the pages of scans,
``_lines`` for what is unzipped and ``_disk`` for local files. All are loaded by :mod:`.loading`, but for those that
:mod:`.sources` finds to be of other sources than lie beside them.
"""
