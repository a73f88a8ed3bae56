"""Configurations of the models for Triton: tensors, batching, instances, and their chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mcore.common.typed_json import encode
from mcore.config import STAGES, ModelConfig
from mcore_export.triton.options import TritonOptions
from mcore_export.triton.pbtxt import Enum, Message, Value, entries
from mcore_runtime.bundle.records import PARTS, ExemplarRecord, GraphRecord, TensorSpec

SCORER = "mcore"
"""Model that scores dives: a clip and its dive number in, a score out."""
ENCODER = "mcore_encode"
"""Ensemble of backbone and segmenter."""
PART_MODELS = {part: f"mcore_{part}" for part in PARTS}
MODELS = (*PART_MODELS.values(), ENCODER, SCORER)

_TYPES = {
    "float32": "TYPE_FP32",
    "float64": "TYPE_FP64",
    "int64": "TYPE_INT64",
    "str": "TYPE_STRING",
    "bool": "TYPE_BOOL",
}
_NEWEST: Message = {"latest": {"num_versions": 1}}
_ZEROS: Message = {"zero_data": True}
"""Warm-up inputs: random bits would be denormal and not-a-number too, which run at another speed."""
VARIES = -1


def scorer_tensors(model: ModelConfig) -> tuple[list[TensorSpec], list[TensorSpec]]:
    """Describe inputs and outputs of ``mcore``, without their batch axis; C possible numbers and E exemplars vary."""
    clip = model.clip
    inputs = [
        TensorSpec("clip", "float32", (3, clip.num_frames, clip.crop_size, clip.crop_size)),
        TensorSpec("dive_number", "str", (1,)),
        TensorSpec("any_exemplar", "bool", (1,)),
    ]
    outputs = [
        TensorSpec("score", "float64", (1,)),
        TensorSpec("low", "float64", (1,)),
        TensorSpec("high", "float64", (1,)),
        TensorSpec("interval_level", "float64", (1,)),
        TensorSpec("award", "float64", (3,)),
        TensorSpec("caution", "str", (1,)),
        TensorSpec("p_value", "float64", (1,)),
        TensorSpec("why_unlike", "str", (1,)),
        TensorSpec("looks_like", "str", ("C",)),
        TensorSpec("probabilities", "float64", ("C",)),
        TensorSpec("announced_p_value", "float64", (1,)),
        TensorSpec("transitions", "int64", (len(STAGES) - 1,)),
        TensorSpec("stage_deltas", "float64", (len(STAGES),)),
        TensorSpec("exemplar_names", "str", ("E",)),
        TensorSpec("exemplar_dive_numbers", "str", ("E",)),
        TensorSpec("exemplar_scores", "float64", ("E",)),
        TensorSpec("exemplar_deltas", "float64", ("E",)),
    ]
    return inputs, outputs


def part_config(part: str, record: GraphRecord, options: TritonOptions, *, plan: bool) -> Message:
    """Describe one graph.

    Args:
        part: ``backbone``, ``segmenter`` or ``regressor``.
        record: of the graph with a batch axis.
        options: what the user chose.
        plan: it is an engine of TensorRT; else ONNX Runtime runs the graph.
    """
    most = options.max_pairs if part == "regressor" else options.max_batch_size
    batching: dict[str, Value] = {}
    if part == "backbone":  # the others get what came through together, so waiting again would gain nothing
        batching["preferred_batch_size"] = list(options.preferred_batch_sizes)
        batching["max_queue_delay_microseconds"] = options.queue_delay_us
    config: dict[str, Value] = {
        "name": PART_MODELS[part],
        "platform": "tensorrt_plan" if plan else "onnxruntime_onnx",
        "max_batch_size": most,
        "input": [_tensor(spec) for spec in record.inputs],
        "output": [_tensor(spec) for spec in record.outputs],
        "version_policy": _NEWEST,
        "dynamic_batching": batching,
        "instance_group": [{"count": options.instances, "kind": Enum(f"KIND_{options.device.upper()}")}],
        "model_warmup": _warmups(record, most),
    }
    if not plan:
        config |= _onnxruntime(options)
    return config


def encoder_config(records: Mapping[str, GraphRecord], options: TritonOptions) -> Message:
    """Describe the ensemble: clip -> features, logits, transitions and tokens."""
    backbone, segmenter = records["backbone"], records["segmenter"]
    return {
        "name": ENCODER,
        "platform": "ensemble",
        "max_batch_size": options.max_batch_size,
        "input": [_tensor(spec) for spec in backbone.inputs],
        "output": [_tensor(spec) for spec in (*backbone.outputs, *segmenter.outputs)],
        "version_policy": _NEWEST,
        "ensemble_scheduling": {"step": [_step("backbone", backbone), _step("segmenter", segmenter)]},
    }


def scorer_config(
    model: ModelConfig, options: TritonOptions, facts: Mapping[str, str], exemplars: ExemplarRecord
) -> Message:
    """Describe the scorer, which calls the other models.

    Args:
        model: the network.
        options: what the user chose.
        facts: what a person may want to know of the model's origin, kept as its parameters.
        exemplars: where they came from, and the intervals of the scores.
    """
    inputs, outputs = ([_batched(spec) for spec in specs] for specs in scorer_tensors(model))
    parameters = {
        **facts,
        "max_pairs": str(options.max_pairs),
        "exemplars": encode(exemplars),
        "clip": encode(model.clip),
    }
    return {
        "name": SCORER,
        "backend": "python",
        "max_batch_size": options.max_batch_size,
        "input": [{**_tensor(spec), **({"optional": True} if spec.name == "any_exemplar" else {})} for spec in inputs],
        "output": [_tensor(spec) for spec in outputs],
        "version_policy": _NEWEST,
        "dynamic_batching": {},  # takes what is there: the backbone is where clips wait
        # One more than the graphs have, so that a batch is prepared while another is computed.
        "instance_group": [{"count": options.instances + 1, "kind": Enum("KIND_CPU")}],
        "parameters": entries({key: {"string_value": value} for key, value in parameters.items()}),
    }


def _onnxruntime(options: TritonOptions) -> dict[str, Value]:
    extra: dict[str, Value] = {}
    if options.device == "gpu":
        # Ten bits of mantissa instead of 23 would make "fp32" untrue; ONNX Runtime takes them by default.
        cuda: Message = {"name": "cuda", "parameters": entries({"use_tf32": "0"})}
        extra["optimization"] = {"execution_accelerators": {"gpu_execution_accelerator": [cuda]}}
    if options.threads is not None:
        extra["parameters"] = entries({"intra_op_thread_count": {"string_value": str(options.threads)}})
    return extra


def _warmups(record: GraphRecord, most: int) -> list[Value]:
    """Run the smallest and the largest batch before the first request: the first run of a shape takes longer."""
    inputs = entries(
        {
            spec.name: {"data_type": Enum(_TYPES[spec.dtype]), "dims": _extents(spec.shape[1:]), **_ZEROS}
            for spec in record.inputs
        }
    )
    return [{"name": f"batch of {size}", "batch_size": size, "inputs": inputs} for size in sorted({1, most})]


def _step(part: str, record: GraphRecord) -> Message:
    """Tensors keep their names, so that each finds the one before."""
    return {
        "model_name": PART_MODELS[part],
        "model_version": -1,
        "input_map": entries({spec.name: spec.name for spec in record.inputs}),
        "output_map": entries({spec.name: spec.name for spec in record.outputs}),
    }


def _tensor(spec: TensorSpec) -> dict[str, Value]:
    """Triton adds the batch axis itself, and wants one axis more than a number has."""
    dims = _extents(spec.shape[1:])
    message: dict[str, Value] = {"name": spec.name, "data_type": Enum(_TYPES[spec.dtype]), "dims": dims or [1]}
    return message if dims else {**message, "reshape": {}}


def _extents(shape: Sequence[int | str]) -> list[int]:
    return [axis if isinstance(axis, int) else VARIES for axis in shape]


def _batched(spec: TensorSpec) -> TensorSpec:
    return TensorSpec(spec.name, spec.dtype, ("B", *spec.shape))
