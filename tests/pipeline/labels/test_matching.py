"""Which image a label file means by a name."""

from collections import Counter
from collections.abc import Callable
from itertools import takewhile
from pathlib import PurePosixPath

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.instances.reasons import AMBIGUOUS, NO_SUCH_IMAGE, OTHER_SPLIT, UNREADABLE
from pipeline.labels.matching import ImageNames, Namesakes
from pipeline.sources.label_files import LabelFile
from tests.pipeline.raw_tables import index_of


def labels(path: str, member: str | None = None) -> LabelFile:
    return LabelFile(path, str(PurePosixPath(path[1:], member or "")), member)


ELSEWHERE = labels("/labels/all.json")


@pytest.mark.parametrize(
    "name",
    [
        "b1c66a42-6f7d68ca.jpg",
        "b1c66a42-6f7d68ca",
        "B1C66A42-6F7D68CA.JPG",
        "train/b1c66a42-6f7d68ca.jpg",
        "https://s3.example.com/bdd/b1c66a42-6f7d68ca.jpg?size=full",
        "file:///home/me/my%20images/b1c66a42-6f7d68ca.jpg",
        r"C:\images\b1c66a42-6f7d68ca.jpg",
        "http://[a/b1c66a42-6f7d68ca.jpg",
        "https://[::1/x/b1c66a42-6f7d68ca.jpg?a=/b",
        "x://\u2100/b1c66a42-6f7d68ca.jpg",
    ],
)
def test_a_single_image_of_the_name_is_meant_however_it_is_written(name: str) -> None:
    names = ImageNames(index_of("100k/val/other.jpg", "100k/val/b1c66a42-6f7d68ca.jpg"))
    assert names.find(name, ELSEWHERE) == 1


@pytest.mark.parametrize("name", ["", "/", "..", "missing.jpg", "b1c66a42-6f7d68ca.jpg.bak"])
def test_a_name_of_no_image_is_no_image(name: str) -> None:
    assert ImageNames(index_of("b1c66a42-6f7d68ca.jpg")).find(name, ELSEWHERE) == NO_SUCH_IMAGE


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Return what says how often an image was weighed for a name."""
    weighed: Counter[str] = Counter()
    judge = ImageNames._lies_beside_another_split

    def counting(self: ImageNames, row: int, file: LabelFile) -> bool:
        weighed["times"] += 1
        return judge(self, row, file)

    monkeypatch.setattr(ImageNames, "_lies_beside_another_split", counting)
    return lambda: weighed["times"]


def frames(videos: int, each: int, path: str) -> list[str]:
    return [path.format(video=video, frame=frame) for video in range(videos) for frame in range(each)]


@pytest.mark.parametrize("path", ["a/v{video}/{frame:06}.jpg", "a/v{video}/images/{frame:06}.jpg"])
@pytest.mark.parametrize("said", ["whole path", "no ending", "own folder", "folder above"])
def test_each_of_many_videos_may_have_frames_of_the_same_names(
    path: str, said: str, looked_at: Callable[[], int]
) -> None:
    """Of 300 images of a name, few are looked at to find the one that is meant."""
    paths = frames(300, 10, path)
    names = ImageNames(index_of(*paths, source="/d"))
    rows = []
    for each in paths:
        folder, _, name = each.rpartition("/")
        file = labels(f"/d/{folder if said == 'own folder' else '/'.join(each.split('/')[:2])}/labels.json")
        full = each.removesuffix(".jpg") if said == "no ending" else each
        rows.append(names.find(name, file) if "folder" in said else names.find(full, ELSEWHERE))
    assert rows == list(range(len(paths)))
    assert looked_at() <= 4 * len(paths)


def test_bare_names_that_each_video_has_are_refused_at_once(looked_at: Callable[[], int]) -> None:
    paths = frames(300, 10, "a/v{video}/images/{frame:06}.jpg")
    names = ImageNames(index_of(*paths, source="/d"))
    reasons = {names.find("/".join(each.split("/")[3:]), labels("/d/a/all.json")) for each in paths}
    reasons |= {names.find("/".join(each.split("/")[2:]), labels("/d/a/all.json")) for each in paths}
    assert reasons == {AMBIGUOUS}
    assert looked_at() <= 4 * len(paths)


components = st.lists(st.sampled_from("ab"), max_size=3)


@given(st.lists(components, max_size=20), components, components)
def test_the_nearest_of_many_are_those_that_looking_at_each_finds(folders: list, end: list, start: list) -> None:
    def agrees(folder: list) -> int:
        agreeing = takewhile(lambda pair: pair[0] == pair[1], zip(reversed(folder), reversed(end), strict=False))
        return len(list(agreeing))

    most = max(map(agrees, folders), default=0)
    best = [row for row, folder in enumerate(folders) if agrees(folder) == most]
    inside = [row for row in best if folders[row][: len(start)] == start]
    namesakes = Namesakes((tuple(folder), row) for row, folder in enumerate(folders))
    assert namesakes.nearest(tuple(end), tuple(start)) == (inside or best)


def test_folders_and_what_is_unreadable_are_found_by_names_of_addresses() -> None:
    names = ImageNames(index_of("a dir/x y.jpg", "b dir/x y.jpg"), ["bad one.jpg"])
    assert names.find("a%20dir/x%20y.jpg", ELSEWHERE) == 0
    assert names.find("bad%20one.jpg", ELSEWHERE) == UNREADABLE


def test_an_image_that_was_set_aside_is_told_from_one_that_is_absent() -> None:
    assert ImageNames(index_of("a.jpg"), unreadable=["b.jpg"]).find("b", ELSEWHERE) == UNREADABLE


def test_the_longest_agreement_of_paths_wins() -> None:
    names = ImageNames(index_of("one/clip/1.jpg", "two/clip/1.jpg", "two/other/1.jpg"))
    assert names.find("two/clip/1.jpg", ELSEWHERE) == 1
    assert names.find("other/1.jpg", ELSEWHERE) == 2
    assert names.find("clip/1.jpg", ELSEWHERE) == AMBIGUOUS


def test_frames_of_equal_name_are_told_apart_by_their_video() -> None:
    names = ImageNames(index_of("first/0001.jpg", "second/0001.jpg"))
    assert names.find("0001.jpg", ELSEWHERE, video="second") == 1


def test_the_image_in_the_label_file_s_own_folder_is_meant() -> None:
    names = ImageNames(index_of("train/1.jpg", "val/1.jpg", source="/via"))
    assert names.find("1.jpg", labels("/via/train/via_region_data.json")) == 0
    assert names.find("1.jpg", labels("/via/val/via_region_data.json")) == 1


def test_an_image_below_the_label_file_s_folder_is_meant() -> None:
    names = ImageNames(index_of("a/images/1.jpg", "b/images/1.jpg", source="/via"))
    assert names.find("1.jpg", labels("/via/b/labels.json")) == 1


def test_labels_beside_train_images_never_mean_a_val_image() -> None:
    names = ImageNames(index_of("train/2.jpg", "val/1.jpg", source="/via"))
    assert names.find("1.jpg", labels("/via/train/via_region_data.json")) == OTHER_SPLIT


def test_members_of_one_archive_lie_in_folders_too() -> None:
    names = ImageNames(index_of("images/train/1.jpg", "images/val/1.jpg"))
    assert names.find("1.jpg", labels("/data/images.zip", "images/val/via_region_data.json")) == 1


def test_the_split_in_the_label_file_s_name_decides_between_images_of_one_name() -> None:
    names = ImageNames(index_of("10k/train/a.jpg", "100k/val/a.jpg"))
    assert names.find("a.jpg", labels("/l/det_20/det_val.json")) == 1
    assert names.find("a.jpg", labels("/l/labels.zip", "bdd100k/labels/ins_seg_train.json")) == 0
    assert names.find("a.jpg", ELSEWHERE) == AMBIGUOUS


def test_copies_of_one_image_are_not_ambiguous() -> None:
    assert ImageNames(index_of("p/a.jpg", "q/a.jpg", digest="same bytes")).find("a.jpg", ELSEWHERE) == 0


def test_the_flat_name_under_which_via_was_given_an_image_leads_back_to_it() -> None:
    names = ImageNames(index_of("train/1.jpg", "val/1.jpg"))
    assert names.find("val__1.jpg", labels("/corrected/via_export.json")) == 1


def test_a_flat_name_leads_back_also_when_other_images_have_changed_the_names() -> None:
    others = index_of("train/0001.jpg", "val/0001.jpg", "val/0002.jpg")
    names = ImageNames(pa.concat_tables([index_of("train/0001.jpg", source="/a/more.ZIP"), others]))
    rows = [names.find(name, ELSEWHERE) for name in ("val__0001.jpg", "more__train__0001.jpg", "val__0002.jpg")]
    assert rows == [2, 0, 3]
    assert ImageNames(index_of("1.jpg", "a/train/1.jpg", "b/train/1.jpg")).find("train__1.jpg", ELSEWHERE) == AMBIGUOUS
    for name in ("test__0001.jpg", "__0001.jpg", "l__0001.jpg", "__"):
        assert names.find(name, ELSEWHERE) == NO_SUCH_IMAGE
