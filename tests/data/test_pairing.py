"""Masks find their image by name, and the longest name wins."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pasam.data.pairing import list_images, match_names

IM, GT = Path("photos"), Path("masks")


def match(images, masks):
    return match_names(
        [IM / name for name in images], [GT / name for name in masks], image_root=IM, mask_root=GT
    )


def masks_of(images, masks):
    found = match(images, masks).masks_of
    return {
        image.relative_to(IM).as_posix(): [mask.relative_to(GT).as_posix() for mask in of_image]
        for image, of_image in found.items()
    }


def test_masks_are_found_by_name_suffix_and_folder():
    masks = ["a.png", "a_left.png", "b.jpg.png", "c/0.png", "c/deep_1.png", "d/e.png"]
    assert masks_of(["a.jpg", "b.jpg", "c.tif", "d/e.jpg"], masks) == {
        "a.jpg": ["a.png", "a_left.png"],
        "b.jpg": ["b.jpg.png"],
        "c.tif": ["c/0.png", "c/deep_1.png"],
        "d/e.jpg": ["d/e.png"],
    }


def test_the_longest_image_name_wins():
    assert masks_of(["a.jpg", "a_1.jpg"], ["a_1_2.png"]) == {"a_1.jpg": ["a_1_2.png"]}


def test_what_has_no_partner_is_left():
    found = match(["a.jpg", "b.jpg"], ["a.png", "ab.png", "x/a.png"])
    assert found.without_mask == (IM / "b.jpg",)
    assert found.without_image == (GT / "ab.png", GT / "x/a.png")


def test_images_that_share_a_name_are_told():
    assert match(["a.jpg", "a.png"], ["a.png"]).same_name == ((IM / "a.jpg", IM / "a.png"),)


def test_pictures_are_listed_without_hidden_files_and_deep_on_request(tmp_path):
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.png", "in/c.webp", ".no/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.png", "b.JPG"]
    assert [path.name for path in list_images(tmp_path, deep=True)] == ["a.png", "b.JPG", "c.webp"]


@given(st.lists(st.text("ab_/", min_size=1).map(lambda text: f"x{text}y"), unique=True))
def test_no_mask_is_lost_or_used_twice(names):
    images = [f"{name}.jpg" for name in names if "//" not in name][::2]
    masks = [f"{name}.png" for name in names if "//" not in name]
    found = match(images, masks)
    used = [mask for of_image in found.masks_of.values() for mask in of_image]
    assert sorted([*used, *found.without_image]) == sorted(GT / name for name in masks)
    assert sorted([*found.masks_of, *found.without_mask]) == sorted(IM / name for name in images)
