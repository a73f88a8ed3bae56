"""The tiny bundle of the runtime's tests, for the C++ scorer too."""

from tests.runtime.conftest import bundle_copy, tiny_bundle

__all__ = ["bundle_copy", "tiny_bundle"]
