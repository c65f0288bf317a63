"""What packs bytes as files of each name are packed."""
import bz2
import gzip
import io
import lzma
import zipfile

import zstandard


def zipped(data: bytes, *names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/", b"")
        for name in names or ("folder/in.csv", "__MACOSX/._in.csv"):
            archive.writestr(name, data)
    return file.getvalue()


PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstandard.ZstdCompressor(write_checksum=True).compress, ".zip": zipped}
#: what may stand between two streams, which are then read as one
BETWEEN = {".gz": b"", ".bz2": b"", ".xz": bytes(8), ".zst": b"\x50\x2a\x4d\x18\x04\0\0\0skip"}
