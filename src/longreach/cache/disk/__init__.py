"""Pages that outlive the process: extents of a prefix chain, one file each.

extent.py     the file's format: a header that its name proves, data that the header proves
files.py      private directories, files written whole or not at all, reads into many buffers
catalog.py    what one model's folder holds: digest -> extent
pin_files.py  pins that outlive the process
room.py       which files go when there are too many, or when their time is over
writer.py     the thread that writes
store.py      the facade: extents of one model in a directory that others may use, too
entries.py    what a directory holds, as prefixes that people know
upkeep.py     a directory seen from outside an engine, for its care

file_digests.py has the digests of a model's own files, remembered.

Nothing here knows tensors: pages are buffers of bytes. `cache/disk_tier.py` has both.
"""

from longreach.cache.disk.catalog import Catalog, Part
from longreach.cache.disk.extent import Extent, Header, Layout
from longreach.cache.disk.store import ExtentStore

__all__ = ["Catalog", "Extent", "ExtentStore", "Header", "Layout", "Part"]
