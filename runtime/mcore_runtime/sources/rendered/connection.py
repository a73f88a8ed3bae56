"""A rendered meet as a source."""

from __future__ import annotations

import time
from collections.abc import Iterator

from mcore_runtime.sources.frame import Picture
from mcore_runtime.sources.rendered.meet import plan_meet
from mcore_runtime.sources.rendered.scene import Scene
from mcore_runtime.sources.rendered.settings import settings_of
from mcore_runtime.sources.timeline import paced
from mcore_runtime.sources.uri import SourceURI


class RenderedConnection:
    """A meet that is rendered while it is watched.

    Args:
        uri: of kind synthetic.

    Raises:
        SourceError: an option that there is not.
        UserError: a meet that cannot be.
    """

    reader = "rendered"

    def __init__(self, uri: SourceURI) -> None:
        self.is_live = uri.is_live
        self.meet = plan_meet(settings_of(uri))

    def pictures(self) -> Iterator[Picture]:
        """Yield its frames: in real time, or as fast as they are rendered."""
        pictures = self._render()
        return paced(pictures) if self.is_live else pictures

    def _render(self) -> Iterator[Picture]:
        rate = self.meet.settings.rate
        for index, rgb in enumerate(Scene(self.meet).frames()):
            yield Picture(rgb, time.monotonic(), index / rate)

    def close(self) -> None:
        """Nothing is held."""
