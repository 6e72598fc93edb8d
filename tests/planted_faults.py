"""Faults that tests plant into a small set; each breaks one property and leaves the others."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
from PIL import Image
from small_set import HEIGHT, TRAIN, VAL, WIDTH, jpeg, save


def lost_mask(s):
    s.file("gt").unlink()


def lost_image(s):
    s.file("im").unlink()


def row_without_a_mask(s):
    s.rows[0][3] = ""


def row_of_another_split(s):
    s.rows[0][0] = "test"


def row_given_twice(s):
    s.rows.append(s.rows[0])


def second_image_of_a_name(s):
    s.file("im", suffix="jpg").write_bytes(jpeg(s.image()))


def empty_file(s):
    s.file("im").write_bytes(b"")


def text_file(s):
    s.file("im").write_text("<html>404 Not Found</html>")


def cut_picture(s):
    s.file("im").write_bytes(jpeg(s.image())[:400])


def bomb(s):
    content = bytearray(s.file("im").read_bytes())
    content[16:24] = struct.pack(">II", 60_000, 60_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    s.file("im").write_bytes(content)


def cut_mask(s):
    s.file("gt").write_bytes(s.file("gt").read_bytes()[:60])


def flipped_bit(s):
    content = bytearray(s.file("gt").read_bytes())
    content[45] ^= 1
    s.file("gt").write_bytes(content)


def smaller_mask(s):
    save(s.file("gt"), s.mask()[::2, ::2])


def turned_mask(s):
    save(s.file("gt"), s.mask().T)


def label_map(s):
    numbers = (s.mask() > 0).astype(np.uint8)
    numbers[:, :20] *= 2
    numbers[:3] = 3
    save(s.file("gt"), numbers)


def class_colours(s):
    picture = Image.fromarray((s.mask() > 0).astype(np.uint8) * 2)
    picture.putpixel((0, 0), 1)
    picture.putpalette([0, 0, 0, 200, 0, 0, 0, 0, 200])
    picture.save(s.file("gt"))


def _halves(mask):
    """The mask's upper half as 1, its lower as 2."""
    rows = np.flatnonzero(mask.any(axis=1))
    lower = np.arange(len(mask))[:, None] > (rows[0] + rows[-1]) // 2
    return (mask > 0) * np.where(lower, 2, 1)


def faint_mask(s):
    save(s.file("gt"), (_halves(s.mask()) * 50).astype(np.uint8))


def odd_16_bits(s):
    save(s.file("gt"), (_halves(s.mask()) * 4000).astype(np.uint16))


def picture_as_mask(s):
    grain = np.random.default_rng(0).integers(1, 60, s.mask().shape)
    picture = np.clip(s.image()[..., 0] // 2 + grain, 0, 254).astype(np.uint8)
    save(s.file("gt"), np.maximum(picture, s.mask()))


def black_mask(s):
    save(s.file("gt"), s.mask() * 0)


def faint_share(s):
    s.file("gt").unlink()
    save(s.file("gt", suffix="tif"), (s.mask(index=1) > 0).astype(np.float32) * 0.4)


def white_mask(s):
    save(s.file("gt"), np.full((HEIGHT, WIDTH), 255, np.uint8))


def second_mask_of_a_name(s):
    save(s.file("gt", suffix="tif"), s.mask()[:, ::-1].copy())


def all_masks_black(s):
    for split, index in s.pairs():
        save(s.file("gt", split, index), s.mask(split, index) * 0)


def many_in_quarantine(s):
    s.quarantined = [(str(s.file("gt", TRAIN, index)), "wrong") for index in range(2)]


def repaired_in_quarantine(s):
    s.quarantined = [(str(s.file("gt")), "wrong")]  # it is drawn anew after it was listed


def gone_in_quarantine(s):
    s.quarantined = [(str(s.file("gt", index=99)), "wrong")]


def one_path_in_both_splits(s):
    s.rows.append([VAL, f"{s.name}_too", *s.rows[0][2:]])


def copy_in_the_benchmark(s):
    s.file("im", VAL).write_bytes(s.file("im").read_bytes())


def jpeg_in_the_benchmark(s):
    s.file("im", VAL).write_bytes(jpeg(s.image()))


def lighter_and_larger_in_the_benchmark(s):
    larger = cv2.resize(s.image(), (WIDTH * 3 // 2, HEIGHT * 3 // 2), interpolation=cv2.INTER_AREA)
    save(s.file("im", VAL), larger + np.uint8(40))
    save(s.file("gt", VAL), np.kron(s.mask(VAL)[::2, ::2], np.ones((3, 3), np.uint8)))


def copy_of_an_image(s):
    s.file("im", index=1).write_bytes(s.file("im").read_bytes())


def jpeg_of_an_image(s):
    s.file("im", index=1).write_bytes(jpeg(s.image()))


def copy_of_a_mask(s):
    s.file("gt", index=1).write_bytes(s.file("gt").read_bytes())


def tiny_mask(s):
    label = s.mask() * 0
    label[20:22, 30] = 255
    save(s.file("gt"), label)


def nearly_full_mask(s):
    label = np.full((HEIGHT, WIDTH), 255, np.uint8)
    label[0] = 0
    save(s.file("gt"), label)


def tiny_image(s):
    save(s.file("im"), s.image()[:20, :24])
    label = np.zeros((20, 24), np.uint8)
    label[4:12, 5:15] = 255
    save(s.file("gt"), label)


def huge_image(s):
    save(s.file("im"), np.kron(s.image(), np.ones((5, 5, 1), np.uint8)))
    save(s.file("gt"), np.kron(s.mask(), np.ones((5, 5), np.uint8)))


def blank_image(s):
    save(s.file("im"), s.image() * 0 + 90)


def deep_image(s):
    cv2.imwrite(str(s.file("im")), s.image().astype(np.uint16) * 257)


def turned_by_a_tag(s):
    exif = Image.Exif()
    exif[0x0112] = 3
    save(s.file("im"), s.image(), exif=exif)


def fewer_than_published(s):
    s.file("im", VAL).unlink()
    s.file("gt", VAL).unlink()


def whole_set_gone(s):
    for path in (s.root / TRAIN / s.name, s.root / VAL / s.name):
        path.rename(s.root / f".{s.name}_{path.parent.name}")


def larger_objects(s):
    for split, index in s.pairs(TRAIN):
        grown = cv2.resize(s.mask(split, index)[:24, :32], (WIDTH, HEIGHT))
        save(s.file("gt", split, index), (grown > 128).astype(np.uint8) * 255)


def jagged_outlines(s):
    for split, index in s.pairs(TRAIN):
        mask = s.mask(split, index)
        rows, columns = np.nonzero(mask)
        comb = np.zeros_like(mask)
        comb[rows.min() : rows.max() + 1, (columns - columns.min()) * 2] = 255
        save(s.file("gt", split, index), comb)


def larger_images(s):
    for split, index in s.pairs(TRAIN):
        save(s.file("im", split, index), np.kron(s.image(split, index), np.ones((2, 2, 1), "u1")))
        save(s.file("gt", split, index), np.kron(s.mask(split, index), np.ones((2, 2), "u1")))


def lighter_images(s):
    for split, index in s.pairs(TRAIN):
        save(s.file("im", split, index), s.image(split, index) + np.uint8(60))


def lost_image_of_a_row(s):
    s.file("im").unlink()


def lost_mask_of_a_row(s):
    s.file("gt").unlink()
