"""Configuration of the detector: every number that it decides by, with its unit, and why it is what it is.

A value that names no other source was chosen on rendered meets (``mcore-bench detector``, seeds 100 to 137); published
figures come from other seeds. Rows are those of a picture of 200 rows.

Example:
    >>> config = DetectorConfig(fall=FallConfig(min_mean_evidence=0.7))
    >>> detector = BallisticDetector(aspect=16 / 9, config=config)
"""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]
"""Smallest and largest value that is allowed; or, where the name says so, begin and end."""


def within(value: float, limits: Range) -> bool:
    """Return whether a value is allowed."""
    return limits[0] <= value <= limits[1]


@dataclass(frozen=True)
class ForegroundConfig:
    """Separation of what moves from the background, and evidence of a body in it."""

    background_rate_per_s: float = 0.75
    """How fast the background follows the light, shares a second."""
    moving_rate_per_s: float = 0.2
    """How fast it takes up what moved and stays. A diver who waits on the board for five seconds must not become part
    of the background, or the beginning of the dive is invisible."""
    all_moves_share: float = 0.4
    """Where this share of the picture moves, it is the light or the camera: everything is learned fast."""
    min_deviations: float = 2.5
    """A value moves when it is this many of its own mean deviations off the background, ..."""
    min_offset_levels: float = 4.0
    """... and this many grey levels more; ..."""
    soft_levels: float = 8.0
    """... fully so this many grey levels later."""
    first_deviation_levels: float = 4.0
    """Deviation that a pixel is assumed to have before it is known."""
    min_deviation_levels: float = 1.5
    """Smallest deviation learned."""
    max_deviation_levels: float = 40.0
    """Largest deviation learned."""
    band_width_share: float = 0.25
    """Width of a vertical band, as a share of the picture's width. A diver moves along while falling."""
    band_step_share: float = 0.125
    """Distance from a band to the next: half a width, so that every body is well inside one of them."""
    full_row_px: float = 1.2
    """A row with this many moving pixels shows a body. Pictures are 112 pixels wide."""
    core_m: float = 0.35
    """A body is there when the rows this close to its centre move, ..."""
    surround_m: Range = (1.3, 2.1)
    """... and those between these distances above and below it do not."""
    scales_rows_per_m: tuple[float, ...] = (8.0, 12.0, 18.0, 27.0, 40.0)
    """Rows per metre for which evidence is computed: views from 25 m to 5 m high, each scale 1.5 times the last."""


@dataclass(frozen=True)
class CameraConfig:
    """Vertical movement of the camera, and the falls that show in it."""

    bands: int = 8
    """Vertical bands whose brightness is compared from picture to picture."""
    reach_rows: int = 40
    """Largest movement from one picture to the next."""
    inertia_per_row: float = 0.01
    """How much worse a movement counts for each row that it differs from the last: rows of seats look alike."""
    max_step_levels: float = 12.0
    """Brightness differences beyond this (grey levels a row) count as this: no single edge decides."""
    kept_s: float = 3.2
    """Speeds that are looked at: the longest fall and rise, 2.55 s together, and the braking."""
    max_kept: int = 110
    """Speeds kept. They come at most every 0.03 s, so these last for 3.3 s."""
    min_samples: int = 12
    """Speeds that a judgement needs at least."""
    moving_heights_per_s: float = 0.06
    """The camera moves when it is faster than this, picture heights a second, ..."""
    moving_window_s: float = 1.5
    """... in the last seconds, ..."""
    moving_share: float = 0.35
    """... for this share of them. A jolt is shorter."""
    min_peak_heights_per_s: float = 0.65
    """Slowest end of a fall: 9.1 m/s from 3 m, in a view of 14 m."""
    stopped_share: float = 0.5
    """Share of the peak speed at which the camera counts as stopped: the middle of its braking, when the diver
    enters the water."""
    braking_s: float = 0.45
    """An operator brakes within this time."""
    fit_before_peak_s: Range = (1.0, 0.1)
    """The speed must grow evenly from this long before the peak until this long before it."""
    min_fit_samples: int = 6
    """Speeds that the line through them needs at least."""
    max_unevenness: float = 0.03
    """Largest deviation of the growth from a straight line, median, as a share of the peak speed."""
    min_fall_to_braking: float = 2.5
    """The fall lasts at least this many times as long as the braking from full to half speed; a pan's halves are
    alike."""
    fall_s: Range = (0.6, 1.75)
    """From the highest point to the entry: 0.78 s for 3 m, 1.43 s for 10 m and the jump's height more; the operator's
    lag widens both ends."""
    rise_s: Range = (-0.05, 0.8)
    """From the take-off to the highest point; armstand dives hardly rise."""
    fall_m: Range = (1.8, 14.0)
    """Height of the fall, from boards of 3 to 10 m; the operator's lag widens both ends."""
    view_m: Range = (3.0, 16.0)
    """What the picture's height can show; a diver with arms stretched is 2.4 m long."""
    departed_share: float = 0.1
    """Deviation from the line, as a share of the peak speed, that means that the flight had not begun."""
    operator_lag_s: float = 0.1
    """An operator smooths the diver's path; so the flight shows this much later and ends this much earlier."""
    quiet_after_dive_s: float = 1.0
    """No further dive is looked for in this time after one was found."""


@dataclass(frozen=True)
class FallConfig:
    """Parabolas of falling bodies before a still camera."""

    entry_speeds_m_per_s: tuple[float, ...] = (9.1, 11.3, 13.0, 14.4)
    """Speeds at the water, from 3, 5, 7.5 and 10 m with the jump before."""
    rise_s: float = 0.22
    """Every diver goes up at least this long before the highest point; armstands do not, but little."""
    samples: int = 14
    """Points of a path at which evidence is looked up."""
    scale_step: float = 1.1
    """Ratio of one scale of paths to the next."""
    max_picture_share: float = 0.92
    """A whole fall fills at most this share of the picture's height."""
    end_step_rows: int = 4
    """Distance of the heights at which paths may end."""
    full_evidence: float = 0.8
    """Evidence counts up to this: a body need not fill its core."""
    coarse_samples: tuple[int, ...] = (3, 7, 11)
    """Points that are looked at first, because most paths fail there already."""
    min_coarse_evidence: float = 0.35
    """A path goes on where each of them has more than this."""
    match_score: float = 0.66
    """Mean evidence of a path that may be a dive."""
    min_mean_evidence: float = 0.66
    """Mean evidence of the whole flight, at least."""
    present_evidence: float = 0.45
    """Evidence above this says that the body is on the path."""
    step_s: float = 0.04
    """Time between two looks at a flight: the time of a picture at 25 a second."""
    area_m2: Range = (0.22, 2.5)
    """A towel that is thrown down has half of the least, a diver three times as much."""
    tracked_s: tuple[Range, ...] = ((-0.25, 0.8), (0.0, 0.9))
    """The body is followed from this long before the highest point to this long after it: no board is lower than 3 m.
    An armstand dive hardly rises, so that before the highest point it still stands."""
    reaches_m: tuple[float, ...] = (1.4, 1.2, 1.0, 1.0)
    """Its middle is looked for this close to the path, closer each time."""
    min_mass_px: float = 1.0
    """Moving pixels that a row range needs to have a middle."""
    min_samples: int = 8
    """Looks at a flight, 0.3 s of it, that a judgement needs at least."""
    max_scale_ratio: float = 1.6
    """Gravity as the body's own track tells it may differ from the matched path's by this factor."""
    max_track_error_m: float = 0.35
    """Deviation of the body's middle from a parabola, root mean square."""
    flight_s: Range = (-0.96, 1.84)
    """Begin and end of the time around the highest point in which the body may be on the path."""
    fall_s: Range = (0.85, 1.75)
    """From the highest point to the end of the path, which lies a little after the entry. From a board of 3 m the
    diver's middle falls 3 m at least, in 0.78 s; from the pool's edge nobody falls longer than 0.55 s."""
    rise_limits_s: Range = (-0.1, 1.0)
    """From the beginning of the path to the highest point."""
    springboard_fall_s: float = 1.2
    """Falls shorter than this began on a springboard."""
    springboard_rise_s: Range = (0.35, 0.6)
    """A springboard throws divers up for half a second, a platform does not; so the take-off is known closely even
    where the body cannot be told from the board."""
    platform_rise_s: Range = (0.08, 0.45)
    """The same for a platform."""
    takeoff_bias_s: float = 0.2
    """A body is close to the parabola this long before it leaves the board. Measured on rendered dives of other seeds
    than those that published figures come from."""
    entry_bias_s: float = -0.12
    """It leaves the path this much after it touches the water. Measured likewise."""


@dataclass(frozen=True)
class BodyConfig:
    """The proof that one body fell, not several people who together make a parabola."""

    step_s: float = 0.04
    """Time between two looks at the fall."""
    min_samples: int = 8
    """Looks that the proof needs at least."""
    splash_s: float = 0.15
    """What lies later than this before the end of the path may be the splash."""
    standing_s: float = 0.2
    """A path shows from this long before the take-off, while the body still stands close to it."""
    apart_m: float = 1.3
    """A body that has fallen this far has left its place: there nothing of it moves any more."""
    core_height_m: float = 0.45
    """Above and below the path: where a body surely is."""
    outline_height_m: float = 1.5
    """Above and below the path: where its outline is looked for."""
    core_width_m: float = 0.35
    """Distance to the left and right within which a body surely is."""
    outline_width_m: float = 0.7
    """Distance to the left and right within which its outline is looked for."""
    max_along_m_per_s: float = 3.0
    """Fastest movement along the pool; divers take 1 to 2 metres a second, to clear the board."""
    along_step_m_per_s: float = 0.25
    """Distance of the speeds tried."""
    min_inside_share: float = 0.8
    """Share of the fall that is inside the picture."""
    changed_levels: float = 24.0
    """Grey levels by which a pixel surely differs from itself."""
    full_core_m2: float = 0.15
    """This much of its core shows a body."""
    min_half_evidence: float = 0.75
    """Evidence that each half of the fall has by itself. On seeds that no figure comes from, dives had 0.85 and more;
    where two people make a parabola, one half often has less."""
    min_left_m2: float = 0.22
    """The body's area times the share of the upper half that is empty before and after it: dives had 0.25 and more,
    towels of people who stay 0.09 and 0.21."""
    max_height_std_m: float = 0.48
    """Standard deviation of the body's height. More means that the scale is wrong, so that it was no free fall:
    somebody of 1.7 m who stands has 0.49, dives had up to 0.45, people at a wrong scale up to 0.75."""


@dataclass(frozen=True)
class DetectorConfig:
    """All numbers of ``BallisticDetector``."""

    period_s: float = 0.03
    """Pictures that come faster are skipped: 30 a second are enough for falls of a second."""
    history_s: float = 3.4
    """Pictures kept: the longest flight of 2.8 s, and the time until it is judged."""
    min_matches: int = 2
    """Moments at which a path must have matched; a single match may be chance."""
    max_matches: int = 20
    """Matches of one fall that are judged, the last ones."""
    settle_s: float = 0.4
    """A match is judged this long after the last path that fitted: only then is the end of the flight known."""
    min_dive_distance_s: float = 2.0
    """Dives on one board are further apart than this; the same dive found in two ways is not."""
    foreground: ForegroundConfig = ForegroundConfig()
    camera: CameraConfig = CameraConfig()
    fall: FallConfig = FallConfig()
    body: BodyConfig = BodyConfig()
