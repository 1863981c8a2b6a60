"""Names of pictures in folders that other tools read."""

import pytest

from pipeline.dataset.export.names import distinct_names


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("ride 3, größe.JPG", "ride 3, größe.JPG"),
        ("..", "_"),
        (".hidden.jpg", "_hidden.jpg"),
        ("a\nb\x1b[2J.png", "a_b_[2J.png"),
        ('what?*<"|>:.jpg', "what_______.jpg"),
        ("é" * 150 + ".jpg", "é" * 98 + ".jpg"),
    ],
)
def test_a_name_leads_nowhere_and_hides_nothing(name: str, safe: str) -> None:
    assert distinct_names([name]) == [safe]


def test_names_that_differ_in_case_only_are_numbered() -> None:
    assert distinct_names(["a.jpg", "A.jpg", "a_1.jpg", "a.png"]) == ["a.jpg", "A_1.jpg", "a_1_1.jpg", "a.png"]


def test_by_stem_endings_are_no_difference_and_jfif_is_jpg() -> None:
    assert distinct_names(["a.jpg", "a.png", "b.JFIF"], by_stem=True) == ["a.jpg", "a_1.png", "b.jpg"]
