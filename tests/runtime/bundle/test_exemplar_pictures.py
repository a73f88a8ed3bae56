"""Moments that are compared, and the file that carries those of the exemplars."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcore.common.errors import BundleError
from mcore_runtime.bundle.exemplar_pictures import ExemplarPictures, write_exemplar_pictures
from mcore_runtime.bundle.moments import Moment, moment_frames
from mcore_runtime.report.exemplar_comparison import compare_with_exemplar

STRIPS = {
    "train/ada.mp4": [Moment(0.1 * i, b"a%d" % i) for i in range(6)],
    "<b>Třída</b> 3.5- s": [Moment(0.2 * i, b"b%d" % i) for i in range(6)],
}


@given(st.data())
def test_moments_are_the_frames_closest_to_the_tokens(data: st.DataObject) -> None:
    torch = pytest.importorskip("torch", reason="the definition is in PyTorch")
    from mcore.network.stages import interpolation_matrix

    num_frames = data.draw(st.integers(4, 96))
    first = data.draw(st.integers(1, num_frames - 2))
    second = data.draw(st.integers(first + 1, num_frames - 1))
    tokens = data.draw(st.integers(1, 6))
    frames = moment_frames((first, second), num_frames, tokens)
    matrix = interpolation_matrix(torch.tensor([[first, second]]), num_frames, tokens)[0].numpy()  # (3K, T)
    assert len(frames) == 3 * tokens
    # The closest frame has the largest weight; of two equally close ones, both have a half.
    np.testing.assert_allclose(matrix[np.arange(3 * tokens), frames], matrix.max(axis=1), atol=1e-5)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pictures.zip"
    write_exemplar_pictures(path, STRIPS)
    pictures = ExemplarPictures(path, "abc")
    assert (len(pictures), pictures.tokens_per_stage) == (2, 2)
    for name, moments in STRIPS.items():
        assert name in pictures
        assert pictures.moments(name) == tuple(moments)
    assert pictures.moments("nobody") is None
    before = path.read_bytes()
    write_exemplar_pictures(path, STRIPS)
    assert path.read_bytes() == before  # a bundle's digest depends on it


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"not a zip", "not a zip file"),
        ({}, "index.json"),
        ({"index.json": b"{}"}, "exemplars"),
        ({"index.json": b"]"}, "Expecting value"),
        ({"index.json": b'{"exemplars": [{"name": "x", "pts_seconds": 3}]}'}, "not iterable"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: bytes | dict[str, bytes] | None, reason: str) -> None:
    path = tmp_path / "pictures.zip"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        with zipfile.ZipFile(path, "w") as file:
            for name, value in content.items():
                file.writestr(name, value)
    with pytest.raises(BundleError, match=reason):
        ExemplarPictures(path, "abc")


def test_pictures_that_inflate_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("index.json", bytes(50_000_000))
    with pytest.raises(BundleError, match="it is compressed"):
        ExemplarPictures(path, "abc")


def test_a_file_that_is_replaced_meanwhile_is_said(tmp_path: Path) -> None:
    path = tmp_path / "pictures.zip"
    strip = [Moment(0.1 * i, bytes([i]) * 30_000) for i in range(6)]  # larger than what is read ahead
    write_exemplar_pictures(path, {"train/ada.mp4": strip})
    pictures = ExemplarPictures(path, "abc")
    write_exemplar_pictures(path, {"train/ada.mp4": strip[:3]})
    with pytest.raises(BundleError, match="another file than when it was opened"):
        pictures.moments("train/ada.mp4")


def test_pictures_that_the_index_names_and_the_file_lacks_are_said(tmp_path: Path) -> None:
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("index.json", b'{"exemplars": [{"name": "train/ada.mp4", "pts_seconds": [0.5]}]}')
    with pytest.raises(BundleError, match=r"lacks pictures of train/ada\.mp4"):
        ExemplarPictures(path, "abc").moments("train/ada.mp4")


@pytest.mark.parametrize(
    ("exemplar", "bundle", "dive", "belong_together"),
    [
        ("train/ada.mp4", "abc", 6, True),
        ("train/bo.mp4", "abc", 6, False),
        ("train/ada.mp4", "abd", 6, False),
        ("train/ada.mp4", "abc", 9, False),
    ],
)
def test_two_dives_belong_together(
    tmp_path: Path, exemplar: str, bundle: str, dive: int, belong_together: bool
) -> None:
    write_exemplar_pictures(tmp_path / "pictures.zip", STRIPS)
    pictures = ExemplarPictures(tmp_path / "pictures.zip", "abc")
    both = compare_with_exemplar(exemplar, bundle, [Moment(0.0, b"")] * dive, pictures)
    assert (both is not None) == belong_together
    assert compare_with_exemplar(exemplar, bundle, [], None) is None
