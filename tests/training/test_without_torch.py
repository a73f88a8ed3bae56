"""Commands and public functions where torch is not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mcore.common.optional import install_command

BLOCK = """
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'")
sys.meta_path.insert(0, NoTorch())
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
