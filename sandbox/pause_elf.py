"""Assembles the two programs that sample images run: one that waits, one that is done at once.

Promise: static Linux programs for amd64 of a few hundred bytes that need neither a compiler nor a
file beside them. `pause` ends with status 0 on SIGTERM and SIGINT also as process 1 of a container,
where Linux ignores every signal without a handler: it blocks both signals and waits for them.
`done` exits with status 0. Pure. Not for arm64: nothing here could run what it made.

A program may carry Go's build information, which is all that Trivy reads of a Go binary.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

_CODE_AT, _DATA_AT = 0x400000, 0x600000  # where the kernel maps the segments; any free place does
_PAGE_BYTES = 0x1000
_EXECUTE_READ, _WRITE_READ = 5, 6
_ELF_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
_NAMES = b"\0.go.buildinfo\0.shstrtab\0"
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_SIGINT, _SIGTERM = 2, 15

_EXIT = bytes.fromhex(
    "b8 e7 00 00 00"  # mov eax, 231     exit_group(
    "31 ff"  #           xor edi, edi      0)
    "0f 05"  #           syscall
)
_BLOCK = bytes.fromhex(
    "b8 0e 00 00 00"  # mov eax, 14      rt_sigprocmask(
    "31 ff"  #           xor edi, edi      SIG_BLOCK,
    "48 8d 35 2f 00 00 00"  # lea rsi, [rip+47]  signals,
    "31 d2"  #           xor edx, edx      no old set,
    "41 ba 08 00 00 00"  # mov r10d, 8     8 bytes)
    "0f 05"  #           syscall
)
_WAIT = bytes.fromhex(
    "b8 80 00 00 00"  # mov eax, 128     rt_sigtimedwait(
    "48 8d 3d 19 00 00 00"  # lea rdi, [rip+25]  signals,
    "31 f6"  #           xor esi, esi      no details,
    "31 d2"  #           xor edx, edx      no timeout,
    "41 ba 08 00 00 00"  # mov r10d, 8     8 bytes)
    "0f 05"  #           syscall
    "85 c0"  #           test eax, eax
    "78 e4"  #           js -28            interrupted (a stop and continue): wait again
)
_SIGNALS = struct.pack("<Q", 1 << (_SIGINT - 1) | 1 << (_SIGTERM - 1))

# Go's linker puts the module text between two 16-byte marks; readers only cut them off.
_MARK = bytes(16)


def pause(go_info: bytes = b"") -> bytes:
    """Return the program that waits for SIGTERM; with `go_build_info` it passes for a Go binary."""
    return _program(_BLOCK + _WAIT + _EXIT + _SIGNALS, go_info)


def done() -> bytes:
    """Return the program that succeeds at once."""
    return _program(_EXIT, b"")


def go_build_info(module: str, *, version: str, go: str, needs: Mapping[str, str]) -> bytes:
    """Return what `go version -m` shows of a binary: toolchain `go1.x`, module, dependencies.

    Source: Go's `debug/buildinfo`, the inline form that linkers write since Go 1.18.
    """
    lines = [f"path\t{module}", f"mod\t{module}\t{version}\t"]
    lines += [f"dep\t{path}\t{wanted}\th1:{'A' * 43}=" for path, wanted in sorted(needs.items())]
    lines += ["build\t-compiler=gc", "build\tCGO_ENABLED=0", "build\tGOARCH=amd64"]
    text = _MARK + "".join(f"{line}\n" for line in lines).encode() + _MARK
    pointer_bytes, inline = 8, 2
    head = b"\xff Go buildinf:" + bytes([pointer_bytes, inline])
    return head.ljust(32, b"\0") + _counted(go.encode()) + _counted(text)


def _counted(text: bytes) -> bytes:
    """Return `text` behind its length as a variable-length integer of 7 bits a byte."""
    length, head = len(text), bytearray()
    while length >> 7:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*head, length]) + text


def _program(code: bytes, go_info: bytes) -> bytes:
    """Return an ELF file: a segment of code, and a named one if there is `go_info`."""
    count = 2 if go_info else 1
    code_from = _ELF_HEADER.size + count * _PROGRAM_HEADER.size
    data_from = -(-(code_from + len(code)) // 16) * 16  # Go looks for its mark every 16 bytes
    segments = _segment(_EXECUTE_READ, _CODE_AT, 0, code_from + len(code))
    data, sections_from, sections = b"", 0, 0
    if go_info:
        segments += _segment(_WRITE_READ, _DATA_AT + data_from, data_from, len(go_info))
        table, sections = _sections(data_from, len(go_info))
        data = go_info + _NAMES
        sections_from = data_from + len(data)
        data += table
    magic = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    executable, amd64, version = 2, 62, 1
    header = _ELF_HEADER.pack(
        *(magic, executable, amd64, version, _CODE_AT + code_from),
        *(_ELF_HEADER.size, sections_from, 0, _ELF_HEADER.size),
        *(_PROGRAM_HEADER.size, count, _SECTION_HEADER.size, sections, max(sections - 1, 0)),
    )
    content = header + segments + code
    return content.ljust(data_from, b"\0") + data if data else content


def _segment(flags: int, address: int, offset: int, size: int) -> bytes:
    load = 1
    return _PROGRAM_HEADER.pack(load, flags, offset, address, address, size, size, _PAGE_BYTES)


def _sections(data_from: int, size: int) -> tuple[bytes, int]:
    """Return the section table and its length: Go since 1.27 finds its data only by name."""
    content, strings, writable_in_memory = 1, 3, 3
    info_name, names_name = _NAMES.index(b".go"), _NAMES.index(b".shstrtab")
    where = (_DATA_AT + data_from, data_from, size, 0, 0, 16, 0)
    table = (
        bytes(_SECTION_HEADER.size),
        _SECTION_HEADER.pack(info_name, content, writable_in_memory, *where),
        _SECTION_HEADER.pack(names_name, strings, 0, 0, data_from + size, len(_NAMES), 0, 0, 1, 0),
    )
    return b"".join(table), len(table)
