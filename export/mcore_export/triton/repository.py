"""Writes the model repository, whole or not at all.

``mcore_backbone``, ``mcore_segmenter`` and ``mcore_regressor`` are the bundle's graphs with a batch axis;
``mcore_encode`` chains the first two, and ``mcore`` scores dives by calling both it and the regressor.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import mcore
from mcore.common.errors import UserError
from mcore.common.files import write_text
from mcore.data.trained_on import describe_training
from mcore_export.folder import appearing_folder
from mcore_export.log import Log
from mcore_export.triton.configs import (
    ENCODER,
    MODELS,
    PART_MODELS,
    SCORER,
    encoder_config,
    part_config,
    scorer_config,
)
from mcore_export.triton.options import TritonOptions
from mcore_export.triton.pbtxt import Message, render
from mcore_export.triton.plans import PlanBuilder
from mcore_runtime.bundle.folder import EXEMPLARS_FILE, RECOGNISER_FILE, Bundle, recogniser_file
from mcore_runtime.bundle.records import PARTS, GraphSet

CONFIG_FILE = "config.pbtxt"
MARKER_FILE = "mcore-triton.json"
"""Says that a folder is a repository of ours, and of what; Triton looks at folders only."""
MARKER_FORMAT = "mcore-triton"
SERVED = Path(__file__).with_name("served.py")
VERSION = "1"
"""Folder of the models' only version."""


def write_triton_repository(
    bundle: Bundle,
    repository: Path,
    options: TritonOptions,
    *,
    overwrite: bool,
    log: Log,
    plans: PlanBuilder | None = None,
) -> None:
    """Write a model repository of Triton Inference Server; needs neither torch nor a backend.

    Args:
        bundle: with exemplars.
        repository: folder that appears whole, or stays as it was.
        options: what is served, and how.
        overwrite: replace a repository of ours that is there already. Nothing else is ever replaced.
        log: gets one line for each graph and each model.
        plans: builds engines of TensorRT for the three graphs; None: ONNX Runtime runs the graphs themselves.

    Raises:
        BackendError: an engine cannot be built.
        BundleError: the bundle lacks this precision, exemplars, or graphs with a batch axis.
        UserError: ``repository`` may not be replaced, or ``plans`` without a GPU.
    """
    if plans is not None and options.device != "gpu":
        raise UserError("engines of TensorRT run on GPUs only: choose --device gpu, or leave out --tensorrt")
    precision = options.chosen_precision(bundle)
    batched, bank = bundle.batched_graphs(precision), bundle.load_exemplars(precision)
    check_repository(repository, overwrite=overwrite)
    with appearing_folder(repository) as folder:
        for part in PARTS:
            _write_graph(part, batched, folder, options, plans, log)
        facts = _facts(bundle, precision, plans)
        exemplars = bundle.manifest.variants[precision].exemplars
        assert exemplars is not None  # load_exemplars would have refused
        encoder = _write_model(folder, ENCODER, encoder_config(batched.records, options))
        (encoder / ".keep").touch()  # an ensemble has no file, and object stores know no empty folder
        scorer = _write_model(folder, SCORER, scorer_config(bundle.model, options, facts, exemplars))
        shutil.copyfile(SERVED, scorer / "model.py")
        bank.save(scorer / EXEMPLARS_FILE)
        if exemplars.recogniser is not None:
            shutil.copyfile(bundle.path / recogniser_file(precision), scorer / RECOGNISER_FILE)
        write_text(folder / MARKER_FILE, json.dumps({"format": MARKER_FORMAT, **facts}, indent=2) + "\n")
    log(f"{SCORER:15} {precision}, {len(bank)} exemplars, batches of up to {options.max_batch_size} clips")


def check_repository(repository: Path, *, overwrite: bool) -> None:
    """Refuse to replace anything but a repository of ours, and that only if asked to.

    Raises:
        UserError: ``repository`` exists and may not be replaced.
    """
    if not repository.exists():
        return
    if not repository.is_dir():
        raise UserError(f"{repository} is a file; choose another --out")
    found = {path.name for path in repository.iterdir()}
    if not found:
        return
    if MARKER_FILE not in found:
        raise UserError(
            f"{repository} exists and was not written by mcore-bundle triton, so it will not be replaced; choose "
            "another --out. A server takes several: tritonserver --model-repository A --model-repository B"
        )
    if foreign := sorted(found - {MARKER_FILE, *MODELS}):
        raise UserError(
            f"{repository} also holds {', '.join(foreign)}, so it will not be replaced; move that elsewhere. A server "
            "takes several folders: tritonserver --model-repository A --model-repository B"
        )
    if not overwrite:
        raise UserError(f"{repository} already exists; replace it with --force, or choose another --out")


def _write_graph(
    part: str, batched: GraphSet, folder: Path, options: TritonOptions, plans: PlanBuilder | None, log: Log
) -> None:
    record, graph = batched.records[part], batched.path(part)
    config = part_config(part, record, options, plan=plans is not None)
    version = _write_model(folder, PART_MODELS[part], config)
    path = version / ("model.onnx" if plans is None else "model.plan")
    if plans is None:
        shutil.copyfile(graph, path)
    else:
        most = options.max_pairs if part == "regressor" else options.max_batch_size
        path.write_bytes(plans.build(part, graph, record, most))
    runs = "ONNX Runtime" if plans is None else plans.title
    log(f"{PART_MODELS[part]:15} {path.stat().st_size / 1e6:6.1f} MB  {runs}, {options.device}")


def _write_model(folder: Path, name: str, config: Message) -> Path:
    """Write a model's configuration; returns the folder of its version."""
    version = folder / name / VERSION
    version.mkdir(parents=True)
    write_text(folder / name / CONFIG_FILE, render(config))
    return version


def _facts(bundle: Bundle, precision: str, plans: PlanBuilder | None) -> Mapping[str, str]:
    return {
        "mcore_edge": mcore.__version__,
        "bundle_sha256": bundle.sha256,
        "checkpoint": bundle.manifest.checkpoint.name,
        "trained_on": describe_training(bundle.manifest.trained_on),
        "caution": bundle.caution or "",
        "precision": precision,
        "built_by": "" if plans is None else plans.title,
    }
