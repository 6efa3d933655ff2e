"""What every blob store must do. An adapter passes by a subclass with the fixture `store`."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest

from penstock_kit.stores.blobs import KEY_BYTES_MAX, BlobInfo, BlobMissing, BlobStore, KeyInvalid
from penstock_kit.stores.digests import STEP_BYTES, Digesting
from penstock_kit.stores.parts import PART_BYTES_MIN, PARTS_MAX, PartsGone, PartsMissing, PartTooLarge

__all__ = ["BlobStoreContract", "in_chunks", "whole"]

MIB = 1_048_576


async def in_chunks(data: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    """Yields data in chunks of a size."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def whole(chunks: AsyncIterator[bytes]) -> bytes:
    """Returns what an iteration yields, as one."""
    return b"".join([chunk async for chunk in chunks])


class BlobStoreContract:
    """The contract of `BlobStore`."""

    @pytest.fixture
    async def store(self) -> BlobStore:
        """A new, empty store, closed afterwards."""
        raise NotImplementedError

    @pytest.mark.parametrize("size", [0, 1, 65_536, MIB, 3 * MIB + 17])
    async def test_a_blob_comes_back_as_it_was_put(self, store: BlobStore, size: int) -> None:
        data = bytes(range(251)) * (size // 251 + 1)
        data = data[:size]
        assert await store.put("folder/blob", in_chunks(data)) == BlobInfo("folder/blob", size)
        assert await store.stat("folder/blob") == BlobInfo("folder/blob", size)
        pieces = [piece async for piece in store.get("folder/blob")]
        assert b"".join(pieces) == data
        assert all(0 < len(piece) <= MIB for piece in pieces)

    async def test_a_part_of_a_blob(self, store: BlobStore) -> None:
        data = bytes(range(256)) * 8_192
        await store.put("blob", in_chunks(data))
        for offset, length in (
            (0, 10),
            (5, 0),
            (MIB - 3, 7),
            (100, None),
            (len(data) - 2, 10),
            (len(data), 5),
            (2**40, None),
        ):
            end = None if length is None else offset + length
            assert await whole(store.get("blob", offset=offset, length=length)) == data[offset:end]
        for offset, length in ((-1, None), (0, -1)):
            with pytest.raises(ValueError, match="negative"):
                await whole(store.get("blob", offset=offset, length=length))

    @pytest.mark.parametrize("size", [0, 1, STEP_BYTES, 3 * MIB + 17])
    async def test_the_digest_of_a_blob(self, store: BlobStore, size: int) -> None:
        data = (bytes(range(251)) * (size // 251 + 1))[:size]
        await store.put("folder/blob", in_chunks(data))
        digesting = Digesting()
        await store.digest("folder/blob", digesting)
        assert (digesting.hexdigest(), digesting.size) == (hashlib.sha256(data).hexdigest(), size)
        with pytest.raises(BlobMissing):
            await store.digest("folder/absent", digesting)

    async def test_a_digest_that_nobody_waits_for_ends(self, store: BlobStore) -> None:
        await store.put("blob", in_chunks(bytes(8 * MIB)))
        digesting = Digesting()
        digesting.stop()
        await store.digest("blob", digesting)
        assert 0 < digesting.size < 8 * MIB

    async def test_a_missing_blob(self, store: BlobStore) -> None:
        await store.put("folder/blob", in_chunks(b"data"))
        for key in ("absent", "folder", "folder/absent", "folder/blob/absent"):
            with pytest.raises(BlobMissing):
                await store.stat(key)
            with pytest.raises(BlobMissing):
                await whole(store.get(key))
            await store.delete(key)
        assert await whole(store.get("folder/blob")) == b"data"

    async def test_a_put_replaces(self, store: BlobStore) -> None:
        await store.put("blob", in_chunks(b"the longer one"))
        await store.put("blob", in_chunks(b"short"))
        assert await whole(store.get("blob")) == b"short"
        assert await self._keys(store) == ["blob"]

    async def test_puts_of_one_key_at_once_leave_one_whole(self, store: BlobStore) -> None:
        blobs = [bytes([n]) * 200_000 for n in range(8)]
        await asyncio.gather(*(store.put("folder/blob", in_chunks(blob, 1_000)) for blob in blobs))
        assert await whole(store.get("folder/blob")) in blobs

    async def test_a_failing_source_leaves_nothing(self, store: BlobStore) -> None:
        async def failing() -> AsyncIterator[bytes]:
            yield bytes(2 * MIB)
            raise ConnectionError("the uploader went away")

        await store.put("kept", in_chunks(b"before"))
        for key in ("new", "kept"):
            with pytest.raises(ConnectionError):
                await store.put(key, failing())
        assert await self._keys(store) == ["kept"]
        assert await whole(store.get("kept")) == b"before"

    async def test_a_blob_is_not_visible_before_it_is_whole(self, store: BlobStore) -> None:
        half = asyncio.Event()
        go_on = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield bytes(MIB)
            half.set()
            await go_on.wait()
            yield bytes(MIB)

        putting = asyncio.ensure_future(store.put("blob", slow()))
        await half.wait()
        assert await self._keys(store) == []
        with pytest.raises(BlobMissing):
            await store.stat("blob")
        go_on.set()
        await putting
        assert (await store.stat("blob")).size == 2 * MIB

    async def test_a_cancelled_put_leaves_nothing(self, store: BlobStore) -> None:
        half = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield bytes(MIB)
            half.set()
            await asyncio.Event().wait()

        putting = asyncio.ensure_future(store.put("blob", endless()))
        await half.wait()
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
        assert await self._keys(store) == []

    async def test_delete(self, store: BlobStore) -> None:
        await store.put("a/b/c", in_chunks(b"1"))
        await store.put("a/d", in_chunks(b"2"))
        await store.delete("a/b/c")
        await store.delete("a/b/c")
        assert await self._keys(store) == ["a/d"]
        await store.put("a/b", in_chunks(b"3"))
        assert await self._keys(store) == ["a/b", "a/d"]

    async def test_puts_and_deletes_side_by_side(self, store: BlobStore) -> None:
        async def churn(n: int) -> None:
            for _ in range(10):
                await store.put(f"x/y/{n}", in_chunks(b"data"))
                await store.delete(f"x/y/{n}")
            await store.put(f"x/y/{n}", in_chunks(b"last"))

        await asyncio.gather(*(churn(n) for n in range(4)))
        assert await self._keys(store) == [f"x/y/{n}" for n in range(4)]

    async def test_a_blob_beside_a_folder_of_the_same_name(self, store: BlobStore) -> None:
        await store.put("a/b", in_chunks(b"inner"))
        await store.put("a", in_chunks(b"outer"))
        assert await whole(store.get("a")) == b"outer"
        assert await whole(store.get("a/b")) == b"inner"
        assert await self._keys(store) == ["a", "a/b"]

    async def test_lists_in_the_order_of_keys(self, store: BlobStore) -> None:
        keys = ["a", "a-b", "a.b", "a/a", "a/b", "a/b/c", "a0", "ab/c", "b", "A", "Z/z", "_", "0"]
        for key in keys:
            await store.put(key, in_chunks(key.encode()))
        ordered = sorted(keys)
        assert await self._keys(store) == ordered
        assert [blob.size for blob in (await store.list()).blobs] == [len(key) for key in ordered]
        for prefix in ("a", "a/", "a/b", "ab", "z", "a/b/c/d", "../", "/"):
            expected = [key for key in ordered if key.startswith(prefix)]
            assert [blob.key for blob in (await store.list(prefix)).blobs] == expected
        for limit in (1, 2, 5):
            found: list[str] = []
            cursor: str | None = None
            while True:
                page = await store.list("a", limit=limit, cursor=cursor)
                assert len(page.blobs) <= limit
                found += [blob.key for blob in page.blobs]
                cursor = page.cursor
                if cursor is None:
                    break
            assert found == [key for key in ordered if key.startswith("a")]

    async def test_limits_of_a_key(self, store: BlobStore) -> None:
        segment = "s" * 200
        longest = "/".join([segment] * 4 + ["t" * (KEY_BYTES_MAX - 4 * 201)])
        assert len(longest) == KEY_BYTES_MAX
        await store.put(longest, in_chunks(b"data"))
        assert await self._keys(store) == [longest]
        assert await whole(store.get(longest)) == b"data"
        for key in (longest + "t", segment + "s"):
            with pytest.raises(KeyInvalid):
                await store.put(key, in_chunks(b"data"))

    @pytest.mark.parametrize(
        "key",
        ["", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", ".incoming/x", "a/.b", "a\\b", "a\0b",
         "a\n", "a\n/b", "a b", "C:a", "a=", "é", "~"],
    )  # fmt: skip
    async def test_a_key_that_is_none_is_refused_by_every_call(self, store: BlobStore, key: str) -> None:
        with pytest.raises(KeyInvalid):
            await store.put(key, in_chunks(b"data"))
        with pytest.raises(KeyInvalid):
            await whole(store.get(key))
        with pytest.raises(KeyInvalid):
            await store.stat(key)
        with pytest.raises(KeyInvalid):
            await store.delete(key)
        with pytest.raises(KeyInvalid):
            await store.begin_parts(key, PART_BYTES_MIN)
        assert await self._keys(store) == []

    async def test_a_blob_in_parts_that_come_in_any_order(self, store: BlobStore) -> None:
        data = bytes(range(251)) * (2 * PART_BYTES_MIN // 251) + b"the rest"
        await store.put("folder/blob", in_chunks(b"the one before"))
        upload = await store.begin_parts("folder/blob", PART_BYTES_MIN)
        assert await store.parts(upload) == {}
        parts = [data[start : start + PART_BYTES_MIN] for start in range(0, len(data), PART_BYTES_MIN)]
        await store.put_part(upload, 2, in_chunks(parts[1]))
        with pytest.raises(PartsMissing) as missing:
            await store.finish_parts(upload, len(data))
        assert missing.value.number == 1
        # All of them: one that came already may come again.
        await asyncio.gather(
            *(store.put_part(upload, number, in_chunks(part, MIB)) for number, part in enumerate(parts, 1))
        )
        assert await store.parts(upload) == {number: len(part) for number, part in enumerate(parts, 1)}
        assert await whole(store.get("folder/blob")) == b"the one before"
        for size in (len(data) - 1, len(data) + 1):
            with pytest.raises(PartsMissing) as missing:
                await store.finish_parts(upload, size)
            assert missing.value.number == len(parts)
        await store.finish_parts(upload, len(data))
        assert await whole(store.get("folder/blob")) == data
        assert await self._keys(store) == ["folder/blob"]
        # Whoever did not hear of it does it again; and no part comes in any more.
        await store.finish_parts(upload, len(data))
        with pytest.raises(PartsGone):
            await store.put_part(upload, 1, in_chunks(b"late"))
        with pytest.raises(PartsGone):
            await store.parts(upload)
        await store.drop_parts(upload)
        assert await whole(store.get("folder/blob")) == data

    async def test_parts_that_are_dropped(self, store: BlobStore) -> None:
        upload = await store.begin_parts("blob", PART_BYTES_MIN)
        other = await store.begin_parts("blob", PART_BYTES_MIN)
        for one in (upload, other):
            await store.put_part(one, 1, in_chunks(b"data"))
        for _ in range(2):
            await store.drop_parts(upload)
        with pytest.raises(PartsGone):
            await store.parts(upload)
        with pytest.raises(PartsGone):
            await store.put_part(upload, 1, in_chunks(b"data"))
        with pytest.raises(PartsGone):
            await store.finish_parts(upload, 4)
        assert await self._keys(store) == []
        await store.finish_parts(other, 4)
        assert await whole(store.get("blob")) == b"data"

    async def test_a_part_that_breaks_off_is_not_there(self, store: BlobStore) -> None:
        async def failing() -> AsyncIterator[bytes]:
            yield b"half"
            raise ConnectionError("the uploader went away")

        upload = await store.begin_parts("blob", PART_BYTES_MIN)
        with pytest.raises(ConnectionError):
            await store.put_part(upload, 1, failing())
        assert await store.parts(upload) == {}

    async def test_limits_of_parts(self, store: BlobStore) -> None:
        with pytest.raises(ValueError, match=str(PART_BYTES_MIN)):
            await store.begin_parts("blob", PART_BYTES_MIN - 1)
        upload = await store.begin_parts("blob", PART_BYTES_MIN)
        for number in (0, PARTS_MAX + 1):
            with pytest.raises(ValueError, match="between 1 and"):
                await store.put_part(upload, number, in_chunks(b"data"))
        await store.put_part(upload, PARTS_MAX, in_chunks(b"data"))
        with pytest.raises(PartTooLarge):
            await store.put_part(upload, 1, in_chunks(bytes(PART_BYTES_MIN + 1), MIB))
        await store.put_part(upload, 1, in_chunks(bytes(PART_BYTES_MIN), MIB))
        assert await store.parts(upload) == {1: PART_BYTES_MIN, PARTS_MAX: 4}
        await store.drop_parts(upload)

    async def _keys(self, store: BlobStore) -> list[str]:
        page = await store.list()
        assert page.cursor is None
        return [blob.key for blob in page.blobs]
