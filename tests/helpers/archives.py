"""Archives in memory, hostile ones too."""

import io
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import py7zr


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return stream.getvalue()


def seven_zipped(members: dict[str, bytes], password: str | None = None) -> bytes:
    stream = io.BytesIO()
    with py7zr.SevenZipFile(stream, "w", password=password) as file:
        for name, data in members.items():
            file.writestr(data, name)
    return stream.getvalue()


def tarred(members: dict[str, bytes], mode: str = "w:gz", link: str | None = None) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as file:
        for name, data in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            file.addfile(about, io.BytesIO(data))
        if link is not None:
            about = tarfile.TarInfo("linked")
            about.type, about.linkname = tarfile.SYMTYPE, link
            file.addfile(about)
    return stream.getvalue()


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def renamed_7z(data: bytes, old: str, new: str) -> bytes:
    """Rename a member to a name that py7zr refuses to write; the header holds UTF-16 and two checksums."""
    offset, size = struct.unpack_from("<QQ", data, 12)
    header = data[32 + offset : 32 + offset + size].replace(old.encode("utf-16-le"), new.encode("utf-16-le"))
    start = struct.pack("<QQI", offset, size, zlib.crc32(header))
    return data[:8] + struct.pack("<I", zlib.crc32(start)) + start + data[32 : 32 + offset] + header
