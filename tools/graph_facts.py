"""Count the nodes of each exported graph by operator, and say why each operator that is not obvious is there.

Run it with ``python tools/graph_facts.py --write docs/results/graphs.md``: it exports the default network with random
weights. ``python tools/graph_facts.py BUNDLE`` counts in a bundle instead.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import onnx
import torch
import tyro

from mcore.common.command_line import run_command_line
from mcore.common.errors import UserError
from mcore.config import ModelConfig
from mcore.network.model import MCoRe
from mcore_export.graphs.onnx import export_graphs, graph_modules
from mcore_runtime.bundle.folder import Bundle
from mcore_runtime.bundle.records import PARTS, Precision, standard_graphs

OBVIOUS = {"Conv", "Relu", "MatMul", "LayerNormalization", "Softmax", "Sigmoid"}
"""Operators that the layer of the same name needs."""
REASONS = {
    "Abs": "Pooling to stage tokens is interpolation as a product: `relu(1 - abs(frame - position)) @ features`.",
    "Add": "Biases, residual connections, what a gated shift brings from the neighbouring frames, and the sum of two "
    "logits that ordered decoding maximises.",
    "ArgMax": "Transitions are decoded in the graph, so that nothing returns to the host between two graphs.",
    "BatchNormalization": "One in each gated shift: it stands before a ReLU, so no convolution can take it in; all "
    "others are folded.",
    "Cast": "Decoded frame numbers become float32 for the interpolation. fp16: float32 inputs and outputs, and the "
    "borders of the float32 islands (`export/mcore_export/graphs/half.py`).",
    "Clip": "Published decoding: a first transition at frame 0 counts as 1, so that every stage has a frame.",
    "Concat": "Backbone: puts what a gated shift moved beside the channels it leaves alone. Segmenter: first and last "
    "frames of the three stages. Regressor: a target shape, which depends on the number of exemplars.",
    "Div": "Segmenter: distance between a stage's tokens. Regressor: exact GELU, and the share of each stage.",
    "Erf": "Exact GELU, as in the published network; its tanh approximation would be another function.",
    "Expand": "The query's tokens are repeated for each exemplar: their number is known only when the graph runs.",
    "GRU": "One bidirectional node with `linear_before_reset = 1`, as PyTorch has it, and constant weights.",
    "Gather": "Picks the channel of logits of one transition.",
    "Greater": "Ordered decoding: a flight that begins after the chosen entry is left out.",
    "Mul": "Backbone: gates and squeeze-excite. Segmenter: positions of tokens. Regressor: exact GELU, and attention's "
    "scale. fp16: a float32 island's small linear layer is products and sums.",
    "Pad": "A shift in time is a slice and a frame of zeros on axis 0: for the gate's maps and for what it moves, both "
    "ways.",
    "ReduceMax": "Ordered decoding: the best flight before each entry. ONNX has no running maximum.",
    "ReduceMean": "Backbone: squeeze-excite, and the last pooling. Regressor: mean over tokens, the score difference.",
    "ReduceSum": "Adds up the points of a stage's tokens. fp16: the sums of a float32 island's small linear layer.",
    "Reshape": "Segmenter: joins the GRU's directions, and the tokens of all stages. Regressor: stages into the batch "
    "and back, channels into heads and back.",
    "Shape": "The number of exemplars is the one extent that varies: expanding the query asks for it.",
    "Slice": "Backbone: drops the frame that a shift moves out of the clip. Segmenter: the frames in which each "
    "transition is searched.",
    "Split": "Shifted channels and the rest, their two halves, the gate's maps by frame, and the two gates.",
    "Squeeze": "Removes an axis of one element: backbone the batch of one clip, regressor the points' last axis.",
    "Sub": "Backbone: a gated shift takes away what it moves. Segmenter: lengths of stages, and the distance of a "
    "frame from a token's position.",
    "Tanh": "Gates of the shift.",
    "Transpose": "Backbone: frames become the batch, once. Segmenter: ONNX's GRU wants time first and gives directions "
    "apart. Regressor: heads of attention, and keys.",
    "Unsqueeze": "Backbone: gives back the batch axis. Segmenter: axes for joining and broadcasting. fp16: an axis for "
    "the products of a float32 island's small linear layer.",
    "Where": "Ordered decoding: what is left out is minus infinity, so that the best of the rest wins, ties included.",
}
"""One sentence for every other operator."""


@dataclass(frozen=True)
class Options:
    """Options: the graphs, and the file of the table."""

    bundle: Annotated[Path | None, tyro.conf.Positional] = None
    """Bundle to count in; default: export the default network with random weights."""
    opset: int = 18
    """ONNX operator set of that export."""
    write: Path | None = None
    """Markdown file; the text is always printed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``tools/graph_facts.py``; returns 0, or 2 for a mistake."""
    return run_command_line(Options, _run, prog="graph_facts.py", doc=__doc__, argv=argv)


def _run(options: Options) -> int:
    if options.bundle is not None:
        bundle = Bundle.open(options.bundle)
        counts = {
            _column(part, name): count_operators(graphs.path(part))
            for name, graphs in bundle.variants.items()
            for part in PARTS
        }
        origin, opset = f"Bundle `{options.bundle.name}`", bundle.manifest.opset
    else:
        counts, opset = count_default(options.opset), options.opset
        origin = "Default configuration (RegNetY-200MF, 96 frames of 112 x 112), random weights"
    text = describe(counts, f"{origin}, opset {opset}", _command(options))
    if options.write is not None:
        options.write.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


def _command(options: Options) -> str:
    words = ["python", "tools/graph_facts.py"]
    if options.bundle is not None:
        words.append(options.bundle.name)
    elif options.opset != Options.opset:
        words += ["--opset", str(options.opset)]
    return " ".join([*words, "--write", "docs/results/graphs.md"])


def count_default(opset: int) -> dict[str, Counter[str]]:
    """Export the default network with random weights and count its operators, by part and precision."""
    model = randomise(MCoRe(ModelConfig())).eval()
    precisions: tuple[Precision, ...] = ("fp32", "fp16")
    with tempfile.TemporaryDirectory() as folder:
        return {
            _column(part, precision): count_operators(path)
            for precision in precisions
            for part, path in export_graphs(
                graph_modules(model, precision), standard_graphs(model.config), Path(folder), opset
            )
        }


def _column(part: str, precision: str) -> str:
    return part if precision == "fp32" else f"{part} {precision}"


def randomise(model: MCoRe) -> MCoRe:
    """Replace the zeros and ones of a fresh network, which an optimiser could drop, in place."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in (*model.parameters(), *model.buffers()):
            if value.is_floating_point():  # positive, for the variances among them
                value.uniform_(0.01, 0.1, generator=generator)
    return model


def count_operators(path: Path) -> Counter[str]:
    """Count the nodes of an ONNX file by operator."""
    return Counter(node.op_type for node in onnx.load(path, load_external_data=False).graph.node)


def describe(counts: Mapping[str, Counter[str]], origin: str, command: str) -> str:
    """Return the Markdown page.

    Args:
        counts: nodes by operator, by part.
        origin: which graphs these are.
        command: how to write the page again.

    Raises:
        UserError: an operator has no reason; add one, or find out why it is there.
    """
    operators = sorted(set().union(*counts.values()))
    if unexplained := [name for name in operators if name not in OBVIOUS and name not in REASONS]:
        raise UserError(f"no reason is written down for {', '.join(unexplained)}: add them to REASONS")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "onnx", "onnxscript"))
    rows = [
        f"| {name} | {' | '.join(str(counts[part][name] or '') for part in counts)} | {REASONS.get(name, '')} |"
        for name in operators
    ]
    return "\n".join(
        [
            "# Nodes of the graphs",
            "",
            f"{origin}; {versions}; {datetime.date.today().isoformat()}. Written by `{command}`.",
            "",
            f"| operator | {' | '.join(counts)} | why |",
            f"|---|{'---:|' * len(counts)}---|",
            *rows,
            f"| **all** | {' | '.join(f'**{count.total()}**' for count in counts.values())} | |",
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
