"""The competition: who dives what and when, and who leads. Knows nothing of cameras and networks."""

from mcore_runtime.competition.competition import Competition
from mcore_runtime.competition.entry import Entry, EntryState
from mcore_runtime.competition.ranking import RankRow
from mcore_runtime.competition.start_list import TEMPLATE, StartList, read_start_list

__all__ = ["TEMPLATE", "Competition", "Entry", "EntryState", "RankRow", "StartList", "read_start_list"]
