"""Commands and public functions where torch, or something else that they need, is not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mcore.common.optional import install_command

BLOCK = """
import sys
class Absent:
    names = {"torch"}
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BLOCK + code], check=False, capture_output=True, text=True)


@pytest.mark.parametrize(
    "code",
    [
        "import mcore.train; sys.exit(mcore.train.main(['--data', 'a', '--out', 'b']))",
        "import mcore.evaluate; sys.exit(mcore.evaluate.main(['best.pt', '--data', 'a']))",
        "import mcore.ablate; sys.exit(mcore.ablate.main(['--data', 'a', '--out', 'b']))",
        "import mcore; mcore.load_checkpoint",
    ],
)
def test_what_needs_torch_names_the_extra(code: str) -> None:
    found = run(code)
    assert found.returncode != 0
    assert install_command("train") in found.stderr


def test_help_and_comparisons_need_no_torch() -> None:
    found = run("import mcore.compare, mcore.train; mcore.train.main(['--preset', 'tiny', '--help'])")
    assert found.returncode == 0, found.stderr
    assert "--batch-norm {frozen,estimated,trained}" in found.stdout
    assert "(default: estimated)" in found.stdout  # of the preset


def test_a_training_asks_for_all_it_needs_before_it_begins(tmp_path: Path) -> None:
    """As with the extra ``bench`` alone, which has torch and no tensorboard."""
    (tmp_path / "dives.csv").write_text("path,dive_number,score,split\n")
    given = ["--data", str(tmp_path / "dives.csv"), "--out", str(tmp_path / "run")]
    found = run(
        "import mcore.train, mcore.evaluate\n"
        "for Absent.names in ({'tensorboard'}, {'matplotlib'}):\n"
        f"    print(mcore.train.main({given}))\n"
        f"print(mcore.evaluate.main(['best.pt', *{given[:2]}]))\n"
    )
    assert found.stdout.split() == ["2", "2", "2"], found.stderr
    for package, line in zip(("tensorboard", "matplotlib", "matplotlib"), found.stderr.splitlines(), strict=True):
        assert f"needs the package {package!r}" in line
        assert install_command("train") in line
    assert not (tmp_path / "run").exists()
