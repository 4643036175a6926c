"""Packs: bytes, readers of MXNet, manifests, foreign files, damage."""

import json
import pickle
import struct
import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluon_mtcnn.core.backend.runtime import mx
from gluon_mtcnn.core.errors import InputError
from gluon_mtcnn.core.packs import recordio
from gluon_mtcnn.core.packs.layout import encode_records, record_bytes
from gluon_mtcnn.core.packs.manifest import count_labels, set_entry, write_manifest
from gluon_mtcnn.core.packs.pack import Pack, describe
from gluon_mtcnn.core.packs.writer import PackWriter, preallocate, write_at, write_index

MAGIC_BYTES = struct.pack("<I", 0xCED7230A)
FIRST_PIXEL = 8 + 24 + 60 + 54  # RecordIO's head, IRHeader, 15 floats, BMP's heads


def samples(count, size=12, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    rows = rng.normal(size=(count, 15)).astype(np.float32)
    rows[:, 0] = np.resize([1, 0, 0, -1, -2], count)
    return images, rows


def write_pack(folder, count=10, size=12, **options):
    images, rows = samples(count, size)
    with PackWriter(folder, "train", size, **options) as writer:
        writer.append(images[:3], rows[:3])
        writer.append(images[3:], rows[3:])
    return images, rows


def edit_manifest(folder, **changes):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["sets"]["train"].update(changes)
    path.write_text(json.dumps(manifest))


def foreign_pack(folder, payloads, labels, suffix=".png", keys=None):
    """Write a pack as users of MXNet do."""
    record = mx.recordio.MXIndexedRecordIO(str(folder / "train.idx"), str(folder / "train.rec"), "w")
    for i, (image, label) in enumerate(zip(payloads, labels)):
        header = mx.recordio.IRHeader(0, label, i, 0)
        key = i if keys is None else keys[i]
        record.write_idx(key, mx.recordio.pack_img(header, image, quality=3, img_fmt=suffix))
    record.close()


class TestBytes:
    @pytest.mark.parametrize(("size", "stride"), [(12, 580), (24, 1876), (48, 7060), (1, 152), (5, 228)])
    def test_stride(self, size, stride):
        assert record_bytes(size) == stride

    def test_first_bytes_by_hand(self):
        images = np.zeros((1, 12, 12, 3), np.uint8)
        images[0, 11, 0] = 1, 2, 3  # bottom left: a BMP's first pixel
        row = np.arange(15, dtype=np.float32)[None]
        row[0, 0] = -1
        record = encode_records(images, row, 7)[0].tobytes()
        assert record[:8] == MAGIC_BYTES + struct.pack("<I", 570)
        assert record[8:32] == struct.pack("<IfQQ", 15, 0.0, 7, 0)
        assert np.array_equal(np.frombuffer(record[32:92], np.float32), row[0])
        assert record[92:94] == b"BM"
        assert record[FIRST_PIXEL : FIRST_PIXEL + 6] == bytes([1, 2, 3, 0, 0, 0])
        assert len(record) == 580

    @pytest.mark.parametrize("size", [1, 5, 12, 24, 48])
    def test_every_record_is_what_mxnet_writes(self, tmp_path, size):
        images, rows = samples(6, size)
        record = mx.recordio.MXRecordIO(str(tmp_path / "a.rec"), "w")
        for i in range(6):
            header = mx.recordio.IRHeader(0, rows[i], i, 0)
            record.write(mx.recordio.pack(header, cv2.imencode(".bmp", images[i])[1].tobytes()))
        record.close()
        theirs = np.frombuffer((tmp_path / "a.rec").read_bytes(), np.uint8).reshape(6, -1).copy()
        ours = encode_records(images, rows, 0)
        theirs[:, 92 + 34 : 92 + 38] = ours[:, 92 + 34 : 92 + 38]  # biSizeImage: OpenCV leaves 0 there, also valid
        assert np.array_equal(ours, theirs)

    def test_empty(self):
        assert encode_records(np.zeros((0, 12, 12, 3), np.uint8), np.zeros((0, 15)), 0).shape == (0, 580)

    def test_arguments_stay(self):
        images, rows = samples(2)
        images[0].reshape(-1)[2:6] = images[0].reshape(-1)[34:38] = list(MAGIC_BYTES)
        before = images.copy(), rows.copy()
        encode_records(images, rows, 0)
        assert np.array_equal(images, before[0])
        assert np.array_equal(rows, before[1])

    @pytest.mark.parametrize(
        ("column", "value", "message"),
        [
            (0, 2, r"record 11: label: expected 1, 0, -1 or -2, got 2"),
            (0, np.nan, r"record 11: label"),
            (3, np.inf, r"record 11: dx2: expected a finite target, got inf"),
            (14, np.frombuffer(MAGIC_BYTES, np.float32)[0], r"record 11: y5: expected a finite target, got -1.8"),
        ],
    )
    def test_bad_row(self, column, value, message):
        images, rows = samples(3)
        rows[1, column] = value
        with pytest.raises(InputError, match=message):
            encode_records(images, rows, 10)

    def test_bad_shapes(self):
        images, rows = samples(3)
        with pytest.raises(ValueError, match=r"images must be \(_, S, S, 3\) uint8, but got \(3, 12, 11, 3\)"):
            encode_records(images[:, :, :11], rows, 0)
        with pytest.raises(ValueError, match=r"uint8, but got .* float64"):
            encode_records(images * 1.0, rows, 0)
        with pytest.raises(ValueError, match="3 images and 2 rows"):
            encode_records(images, rows[:2], 0)
        with pytest.raises(ValueError, match=r"rows must be \(_, 15\)"):
            encode_records(images, rows[:, :14], 0)
        with pytest.raises(ValueError, match="record numbers must stay below"):
            encode_records(images, rows, 0xCED7230A - 2)


class TestMagicWord:
    @pytest.mark.parametrize("place", [0, 1, 2, 3, 34, 218, 426, 428])
    def test_planted(self, tmp_path, place):
        """Pixels begin at byte 146 of a record, so places 2, 34, 218 and 426 are where dmlc would cut."""
        images, rows = samples(5)
        bottom_up = images[2, ::-1].copy()
        bottom_up.reshape(-1)[place : place + 4] = list(MAGIC_BYTES)
        images[2] = bottom_up[::-1]
        with PackWriter(tmp_path) as writer:
            writer.append(images, rows)
        assert (tmp_path / "train.rec").stat().st_size == 5 * 580
        words = np.fromfile(tmp_path / "train.rec", "<u4")
        assert np.count_nonzero(words == recordio.MAGIC) == 5  # one where each record begins
        difference = np.abs(Pack(tmp_path).images(range(5)).astype(int) - images)
        assert difference.max() == difference.sum() == ((FIRST_PIXEL + place) % 4 == 0)
        record = mx.recordio.MXIndexedRecordIO(str(tmp_path / "train.idx"), str(tmp_path / "train.rec"), "r")
        for i in range(5):
            header, image = mx.recordio.unpack_img(record.read_idx(i))
            assert np.array_equal(header.label, rows[i])
            assert np.abs(image.astype(int) - images[i]).sum() == difference[i].sum()

    def test_the_trap_is_real(self, tmp_path):
        """MXNet's own writer breaks the stride, and our reader follows its index."""
        images, rows = samples(4)
        bottom_up = images[1, ::-1].copy()
        bottom_up.reshape(-1)[2:6] = list(MAGIC_BYTES)
        images[1] = bottom_up[::-1]
        foreign_pack(tmp_path, images, rows, ".bmp")
        assert (tmp_path / "train.rec").stat().st_size == 4 * 580 + 4
        pack = Pack(tmp_path)
        assert np.array_equal(pack.images([3, 1]), images[[3, 1]])
        assert np.array_equal(pack.rows(), rows)

    @given(parts=st.lists(st.binary(max_size=9), min_size=1, max_size=5), shift=st.integers(0, 3))
    def test_frame_is_what_dmlc_writes(self, tmp_path_factory, parts, shift):
        payload = bytes(shift) + MAGIC_BYTES.join(parts)
        path = tmp_path_factory.mktemp("frame") / "a.rec"
        record = mx.recordio.MXRecordIO(str(path), "w")
        record.write(payload)
        record.write(b"after")
        record.close()
        data = np.frombuffer(path.read_bytes(), np.uint8)
        assert recordio.frame(payload) + recordio.frame(b"after") == data.tobytes()
        offsets = recordio.scan(data, "a.rec")
        assert [recordio.read_record(data, int(o), "a.rec") for o in offsets] == [payload, b"after"]


class TestReadByMXNet:
    @pytest.mark.parametrize("payload", ["bmp", "png"])
    def test_all_readers(self, tmp_path, payload):
        images, rows = write_pack(tmp_path, 10, payload=payload)
        rec = str(tmp_path / "train.rec")
        iterator = mx.io.ImageRecordIter(
            path_imgrec=rec, data_shape=(3, 12, 12), label_width=15, batch_size=5, preprocess_threads=1, verbose=False
        )
        batches = list(iterator)
        data = np.concatenate([b.data[0].asnumpy() for b in batches])
        assert np.array_equal(data.transpose(0, 2, 3, 1)[..., ::-1], images)  # ImageRecordIter gives RGB
        assert np.array_equal(np.concatenate([b.label[0].asnumpy() for b in batches]), rows)
        record = mx.recordio.MXIndexedRecordIO(str(tmp_path / "train.idx"), rec, "r")
        header, image = mx.recordio.unpack_img(record.read_idx(7))
        assert (header.id, header.flag) == (7, 15)
        assert np.array_equal(image, images[7])
        dataset = mx.gluon.data.vision.ImageRecordDataset(rec)
        assert len(dataset) == 10
        image, label = dataset[9]
        assert np.array_equal(image.asnumpy()[..., ::-1], images[9])
        assert np.array_equal(label, rows[9])


class TestPack:
    @pytest.mark.parametrize("size", [5, 12, 48])
    def test_round_trip(self, tmp_path, size):
        images, rows = write_pack(tmp_path, 11, size)
        pack = Pack(tmp_path)
        assert (len(pack), pack.count, pack.size) == (11, 11, size)
        order = [10, 0, 3, 3, 7]
        assert np.array_equal(pack.images(order), images[order])
        assert np.array_equal(pack.rows(order), rows[order])
        assert np.array_equal(pack.rows(), rows)
        assert np.array_equal(pack.labels(), rows[:, 0])
        assert pack.labels().dtype == np.int8
        assert pack.class_counts() == {"positive": 3, "negative": 4, "part": 2, "landmark": 2}

    @pytest.mark.parametrize("payload", ["png", "jpg"])
    def test_compressed(self, tmp_path, payload):
        images, rows = write_pack(tmp_path, 10, 24, payload=payload, quality=100)
        pack = Pack(tmp_path)
        assert np.array_equal(pack.rows(), rows)
        if payload == "png":
            assert np.array_equal(pack.images(range(10)), images)
        expected = [cv2.imdecode(cv2.imencode(f".{payload}", i, [1, 100])[1], 1) for i in images[[4, 2]]]
        assert np.array_equal(pack.images([4, 2]), expected)

    def test_workers_in_any_order_write_the_same_bytes(self, tmp_path):
        images, rows = write_pack(tmp_path, 10)
        rec, idx = tmp_path / "b.rec", tmp_path / "b.idx"
        preallocate(rec, 10, 12)
        with open(rec, "r+b") as first, open(rec, "r+b") as second:
            for file, start, stop in [(second, 6, 10), (first, 0, 2), (second, 2, 6)]:
                write_at(file, start, encode_records(images[start:stop], rows[start:stop], start))
        write_index(idx, 10, 12)
        assert rec.read_bytes() == (tmp_path / "train.rec").read_bytes()
        assert idx.read_text() == (tmp_path / "train.idx").read_text()
        assert idx.read_text().startswith("0\t0\n1\t580\n2\t1160\n")

    def test_unwritten_records_are_noticed(self, tmp_path):
        images, rows = samples(10)
        rec = tmp_path / "train.rec"
        preallocate(rec, 10, 12)
        with open(rec, "r+b") as file:
            write_at(file, 0, encode_records(images[:4], rows[:4], 0))
            write_at(file, 5, encode_records(images[5:], rows[5:], 5))
        write_manifest(tmp_path, {"train": set_entry(rec, 12, 10, count_labels(rows[:, 0]))})
        with pytest.raises(InputError, match=r"train.rec: record 4, byte 2320: expected magic 0xced7230a, got 0x0"):
            Pack(tmp_path).images([3, 4])

    def test_pickles_as_its_path(self, tmp_path):
        images, _ = write_pack(tmp_path, 500)
        text = pickle.dumps(Pack(tmp_path))
        assert len(text) < 1000
        assert np.array_equal(pickle.loads(text).images([499]), images[[499]])

    def test_empty(self, tmp_path):
        with PackWriter(tmp_path, size=24) as writer:
            writer.append(np.zeros((0, 24, 24, 3), np.uint8), np.zeros((0, 15)))
        pack = Pack(tmp_path)
        assert (len(pack), pack.size) == (0, 24)
        assert pack.labels().shape == (0,)
        assert pack.rows().shape == (0, 15)
        assert pack.images([]).shape == (0, 24, 24, 3)

    @pytest.mark.parametrize("number", [-1, 10])
    def test_number_outside(self, tmp_path, number):
        write_pack(tmp_path)
        with pytest.raises(IndexError, match=f"expected record numbers 0..9, got {number}"):
            Pack(tmp_path).images([0, number])

    def test_a_million_records_open_without_reading_them(self, tmp_path):
        count = 1_000_000
        images, rows = samples(1)
        rec = tmp_path / "train.rec"
        with open(rec, "wb") as file:
            write_at(file, 0, encode_records(images, rows, 0))
            write_at(file, count - 1, encode_records(images, rows, count - 1))  # a hole between: takes no disk
        (tmp_path / "train.idx").write_text("never read")
        entry = {"size": 12, "count": count, "payload": "bmp"}
        write_manifest(tmp_path, {"train": entry})
        tracemalloc.start()
        pack = Pack(tmp_path)
        assert np.array_equal(pack.images([count - 1]), images)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(pack) == count
        assert peak < 1 << 20


class TestForeign:
    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
    @pytest.mark.parametrize("width", [1, 5, 15])
    def test_label_widths(self, tmp_path, width, suffix):
        images, rows = samples(7, 24)
        labels = [float(row[0]) if width == 1 else row[:width] for row in rows]
        foreign_pack(tmp_path, images, labels, suffix)
        pack = Pack(tmp_path)
        expected = rows.copy()
        expected[:, width:] = 0
        assert np.array_equal(pack.rows(), expected)
        assert np.array_equal(pack.labels(), rows[:, 0])
        assert pack.size == 24
        if suffix != ".jpg":
            assert np.array_equal(pack.images([6, 1]), images[[6, 1]])

    def test_records_count_in_the_order_of_the_index(self, tmp_path):
        images, rows = samples(3)
        foreign_pack(tmp_path, images, rows, keys=[20, 10, 30])
        index = tmp_path / "train.idx"
        index.write_text("".join(reversed(index.read_text().splitlines(keepends=True))))
        assert np.array_equal(Pack(tmp_path).images([0, 1, 2]), images[::-1])

    def test_without_index(self, tmp_path):
        images, rows = samples(5)
        foreign_pack(tmp_path, images, rows)
        (tmp_path / "train.idx").unlink()
        pack = Pack(tmp_path)
        assert np.array_equal(pack.images(range(5)), images)
        assert np.array_equal(pack.rows(), rows)

    def test_other_label_width(self, tmp_path):
        images, rows = samples(3)
        foreign_pack(tmp_path, images, [rows[0], rows[1, :11], rows[2]])
        with pytest.raises(InputError, match=r"train.rec: record 1: expected a label of 1, 5 or 15 numbers, got 11"):
            Pack(tmp_path).rows()

    def test_other_label(self, tmp_path):
        images, _ = samples(3)
        foreign_pack(tmp_path, images, [1.0, 0.0, 3.0])
        with pytest.raises(InputError, match=r"record 2: expected label 1, 0, -1 or -2, got 3"):
            Pack(tmp_path).labels()

    def test_sizes_differ(self, tmp_path):
        foreign_pack(tmp_path, [*samples(2, 12)[0], *samples(1, 24)[0]], [1.0, 0.0, 1.0])
        with pytest.raises(InputError, match="record 2: expected 12x12 px, got 24x24"):
            Pack(tmp_path).images([0, 2])

    def test_no_image(self, tmp_path):
        record = mx.recordio.MXIndexedRecordIO(str(tmp_path / "train.idx"), str(tmp_path / "train.rec"), "w")
        record.write_idx(0, mx.recordio.pack(mx.recordio.IRHeader(0, 1.0, 0, 0), b"not an image"))
        record.close()
        with pytest.raises(InputError, match="record 0: expected an image, got 12 bytes"):
            Pack(tmp_path)


class TestDamage:
    def cut(self, folder, size):
        with open(folder / "train.rec", "r+b") as file:
            file.truncate(size)

    @pytest.mark.parametrize(
        ("size", "indexed", "message"),
        [
            (5790, True, r"train.rec: record 9, byte 5220: expected 572 bytes, got 562: truncated\?"),
            (5790, False, r"train.rec: record 9, byte 5220: expected 572 bytes, got 562: truncated\?"),
            (5224, True, r"train.rec: record 9, byte 5220: expected 8 bytes of a record, got the file's end"),
            (5220, True, r"train.idx:10: expected an offset below the pack's 5220 bytes, got 5220: truncated\?"),
            (5220, False, r"train.rec: expected count 10 as in manifest.json, got 9"),
        ],
    )
    def test_truncated(self, tmp_path, size, indexed, message):
        write_pack(tmp_path)
        self.cut(tmp_path, size)
        if not indexed:
            (tmp_path / "train.idx").unlink()
        with pytest.raises(InputError, match=message):
            Pack(tmp_path)

    def test_bad_magic(self, tmp_path):
        write_pack(tmp_path)
        with open(tmp_path / "train.rec", "r+b") as file:
            file.seek(4 * 580)
            file.write(b"????")
        with pytest.raises(InputError, match="record 4, byte 2320: expected magic 0xced7230a, got 0x3f3f3f3f"):
            Pack(tmp_path).images([1, 4])
        (tmp_path / "manifest.json").unlink()
        with pytest.raises(InputError, match="record 4, byte 2320: expected magic 0xced7230a, got 0x3f3f3f3f"):
            Pack(tmp_path).rows()
        (tmp_path / "train.idx").unlink()
        with pytest.raises(InputError, match="record 4, byte 2320: expected magic 0xced7230a, got 0x3f3f3f3f"):
            Pack(tmp_path)

    def test_missing(self, tmp_path):
        with pytest.raises(InputError, match=r"val.rec: pack not found"):
            Pack(tmp_path, "val")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"count": 9}, "expected count 9 as in manifest.json, got 10"),
            ({"size": 24}, "expected size 24 as in manifest.json, got 12"),
            ({"count": "10"}, r"manifest.json: sets.train.count: expected 0..3470205706, got '10'"),
            ({"size": None}, r"manifest.json: sets.train.size: expected 1..1024, got None"),
            ({"payload": "gif"}, r"manifest.json: sets.train.payload: expected bmp, jpg, png, got 'gif'"),
        ],
    )
    def test_wrong_manifest(self, tmp_path, changes, message):
        write_pack(tmp_path)
        edit_manifest(tmp_path, **changes)
        with pytest.raises(InputError, match=message):
            Pack(tmp_path)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ('{"a":\n1,}', r"manifest.json:2: expected JSON"),
            ("[]", "expected the manifest of a gluon-mtcnn pack"),
            ('{"format": "gluon-mtcnn pack", "version": 2, "sets": {}}', "expected version 1, got 2"),
            ('{"format": "gluon-mtcnn pack", "version": 1, "sets": {}}', "expected the label layout label dx1"),
        ],
    )
    def test_no_manifest_of_ours(self, tmp_path, content, message):
        write_pack(tmp_path)
        (tmp_path / "manifest.json").write_text(content)
        with pytest.raises(InputError, match=message):
            Pack(tmp_path)

    @pytest.mark.parametrize("line", ["5 x", "5", "5\t582", "5\t-4", "5\t" + "4" * 20, "5\t" + "4" * 5000])
    def test_bad_index_line(self, tmp_path, line):
        images, rows = samples(2)
        foreign_pack(tmp_path, images, rows)
        with open(tmp_path / "train.idx", "a") as file:
            file.write(line + "\n")
        with pytest.raises(InputError, match=r"train.idx:3: expected 'key<TAB>offset'"):
            Pack(tmp_path)


class TestWriter:
    def test_an_error_leaves_nothing(self, tmp_path):
        images, rows = samples(3)
        rows[2, 0] = 5
        with pytest.raises(InputError, match="record 2: label"), PackWriter(tmp_path) as writer:  # noqa: PT012
            writer.append(images[:2], rows[:2])
            writer.append(images[2:], rows[2:])
        assert list(tmp_path.iterdir()) == []

    def test_an_error_leaves_the_old_pack(self, tmp_path):
        write_pack(tmp_path)
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(InputError), PackWriter(tmp_path) as writer:
            writer.append(samples(1)[0], np.full((1, 15), np.nan))
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before

    def test_sets_share_a_manifest(self, tmp_path):
        write_pack(tmp_path, metadata={"seed": 3})
        images, rows = samples(4, 12, seed=1)
        with PackWriter(tmp_path, "val") as writer:
            writer.append(images, rows)
        assert len(Pack(tmp_path)) == 10
        assert len(Pack(tmp_path, "val")) == 4
        sets = describe(tmp_path)["sets"]
        assert sets["train"]["metadata"] == {"seed": 3}
        assert sets["val"]["classes"] == {"positive": 1, "negative": 2, "part": 1, "landmark": 0}

    def test_wrong_arguments(self, tmp_path):
        with pytest.raises(ValueError, match="payload must be one of bmp, jpg, png, but got 'gif'"):
            PackWriter(tmp_path, payload="gif")
        with PackWriter(tmp_path) as writer, pytest.raises(ValueError, match=r"images must be \(_, 12, 12, 3\)"):
            writer.append(*samples(1, 24))


class TestDescribe:
    def test_agrees(self, tmp_path):
        write_pack(tmp_path)
        entry = describe(tmp_path)["sets"]["train"]
        assert (entry["count"], entry["image_shape"], entry["stride"], entry["bytes"]) == (10, [12, 12, 3], 580, 5800)
        assert entry["sha256_matches"]
        assert entry["classes_match"]

    def test_changed_file(self, tmp_path):
        write_pack(tmp_path)
        images, rows = samples(1, seed=9)
        rows[0, 0] = 0
        with open(tmp_path / "train.rec", "r+b") as file:
            write_at(file, 0, encode_records(images, rows, 0))
        entry = describe(tmp_path)["sets"]["train"]
        assert entry["sha256_matches"] is False
        assert entry["classes_match"] is False

    def test_foreign(self, tmp_path):
        images, rows = samples(3)
        foreign_pack(tmp_path, images, rows)
        entry = describe(tmp_path)["sets"]["train"]
        assert (entry["count"], entry["sha256_matches"]) == (3, None)

    def test_nothing_there(self, tmp_path):
        with pytest.raises(InputError, match="expected a pack"):
            describe(tmp_path)
