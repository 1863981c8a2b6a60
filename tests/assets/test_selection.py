"""What `--select` takes, and what it says of names that are none."""

import pytest

from assets import defs
from assets.selection import SelectionError, selected

GRAPH = defs.resolve_asset_graph()


@pytest.mark.parametrize(
    ("select", "names"),
    [
        ("via_val", {"via_val"}),
        ("raw_images,raw_labels", {"raw_images", "raw_labels"}),
        ("raw_images, via_val", {"raw_images", "via_val"}),
        ("*filtered_labels", {"raw_images", "raw_labels", "filtered_labels"}),
        ("trained_model+,raw_images", {"raw_images", "trained_model", "evaluation_report", "released_model"}),
        ("group:raw", {"raw_images", "raw_labels"}),
    ],
)
def test_a_selection_is_dagster_s_with_commas_between_several(select, names):
    assert {key.path[-1] for key in selected(select, GRAPH)} == names


@pytest.mark.parametrize(
    ("select", "words"),
    [
        (
            "no_such_asset",
            "no_such_asset: there is no such asset; the assets are raw_images, raw_labels,",
        ),
        ("raw_images,traned_model", "predictions; did you mean trained_model?"),
        ("*raw_image", "did you mean raw_images?"),
        ("raw_images raw_labels", "put commas between assets: --select raw_images,raw_labels"),
        ("group:nothing", "group:nothing: there is no such asset"),
        ("", "--select : there is no such asset"),
    ],
)
def test_what_selects_nothing_is_one_sentence(select, words):
    with pytest.raises(SelectionError) as fault:
        selected(select, GRAPH)
    assert words in str(fault.value)
    assert "\n" not in str(fault.value)
