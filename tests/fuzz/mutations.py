"""Damage done to files: by bytes, by tokens of text, and inside zip archives with their checksums put right again."""

import io
import random
import re
import zipfile
from collections.abc import Callable

__all__ = ["mutate_bytes", "mutate_text", "mutate_zip"]

_BYTES = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\n",
    b" ",
    b"\x80\x02c",
    b"\x00" * 16,
    b"\xff" * 8,
    b"PK\x05\x06",
)
_WORDS = (
    "", "0", "-1", "1", "2", "100000", "2147483647", "nan", "inf", "-inf", "1e999", "1e-999", "9" * 25, "2147483648",
    "-9223372036854775809", "0x1f", "1.5",
    "true", "null", "None", "[]", "{}", "'", '"', "<", "&lt;", "&#0;", "../../etc/passwd", "/dev/zero",
    "é", "\u2028", "\x00", "%s%n", "A" * 500, "1,2,3", ",", "9" * 5000, "2001-99-99", "[" * 1500,
    "!!python/object/apply:os.system [true]", "&a [*a]",
)  # fmt: skip
_TOKEN = re.compile(r"[-+.\w]+|[^\w\s]")


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """Some small change of some bytes."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        if not found:
            return b""
        start = rng.randrange(len(found))
        length = min(rng.choice((1, 1, 2, 8, 64, 1024)), len(found) - start)
        choice = rng.randrange(7)
        if choice == 0:
            found[start] ^= 1 << rng.randrange(8)
        elif choice == 1:
            found[start] = rng.randrange(256)
        elif choice == 2:
            found[start : start + length] = rng.choice(_BYTES)
        elif choice == 3:
            del found[start : start + length]
        elif choice == 4:
            found[start:start] = found[start : start + length]
        elif choice == 5:
            found[start:start] = rng.randbytes(length)
        elif rng.random() < 0.3:
            del found[start:]
    return bytes(found)


def mutate_text(data: bytes, rng: random.Random) -> bytes:
    """Some tokens replaced, dropped, doubled or exchanged; now and then bytes instead."""
    if rng.random() < 0.25:
        return mutate_bytes(data, rng)
    text = data.decode("utf-8", "replace")
    for _ in range(rng.choice((1, 1, 2, 3))):
        tokens = list(_TOKEN.finditer(text))
        if not tokens:
            break
        token, other = rng.choice(tokens), rng.choice(tokens)
        word = rng.choice((rng.choice(_WORDS), rng.choice(_WORDS), other[0], token[0] * 2, ""))
        text = text[: token.start()] + word + text[token.end() :]
    return text.encode("utf-8", "replace")


def mutate_zip(
    data: bytes,
    rng: random.Random,
    mutate: Callable[[bytes, random.Random], bytes] = mutate_bytes,
    wanted: Callable[[str], bool] = lambda name: True,
) -> bytes:
    """An archive in which one entry is damaged, dropped, doubled or renamed, and every checksum right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [(info.filename, archive.read(info)) for info in archive.infolist()]
    index = rng.choice([i for i, (name, _) in enumerate(entries) if wanted(name)])
    name, content = entries[index]
    choice = rng.random()
    if choice < 0.85:
        entries[index] = (name, mutate(content, rng))
    elif choice < 0.9:
        del entries[index]
    elif choice < 0.95:
        entries.append((name, mutate(content, rng)))
    else:
        entries[index] = (
            rng.choice((name + "x", "../" + name, name.split("/")[-1], "/" + name, "")),
            content,
        )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for entry, content in entries:
            archive.writestr(zipfile.ZipInfo(entry or "x"), content)
    return out.getvalue()
